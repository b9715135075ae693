"""The event loop behind `run()`: signals wake it, and it gives back what it took."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import pytest

from tta_dev_primitives import step
from tta_dev_primitives.core.blocking import Bell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio does it by itself there")


def test_a_run_restores_what_signals_woke_before() -> None:
    @step
    async def wakes(value: int) -> int:
        found.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(found[0])
        return value

    found: list[int] = []
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)

    assert wakes.run(3) == 3
    assert found[0] not in {-1, before}
    assert signal.set_wakeup_fd(before) == before


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    @step
    async def same(value: int) -> int:
        return value

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(same.run(3)))
    thread.start()
    thread.join()

    assert results == [3]


def test_a_signal_wakes_a_loop_that_waits() -> None:
    """Also one that does not interrupt the wait: here, since another thread is given it."""
    woken: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        bell = Bell(loop)

        def heed(number: int, _: object) -> None:
            woken.append(number)
            loop.stop()

        def be_signalled() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, heed)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        other = threading.Thread(target=be_signalled)
        try:
            with bell:
                loop.call_soon(other.start)
                loop.call_later(30, loop.stop)
                loop.run_forever()
            other.join()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            signal.signal(signal.SIGUSR1, before)
            bell.close()

    assert woken == [signal.SIGUSR1]


def test_threads_that_have_run_workflows_leave_nothing_behind_when_they_end() -> None:
    """No loop, and no ghost of a thread among those that `threading` knows.

    Where a process was started before, asyncio looks at the thread whose loop changes.
    """

    @step
    async def same(value: int) -> int:
        return value

    async def start_a_process() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "")
        await process.wait()

    asyncio.run(start_a_process())
    before = set(threading.enumerate())

    for _ in range(3):
        threads = [threading.Thread(target=same.run, args=(1,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # On Python 3.11 the thread that waited for the process may end only now.
    assert set(threading.enumerate()) <= before
