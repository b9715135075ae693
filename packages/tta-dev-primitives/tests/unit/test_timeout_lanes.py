"""The shared timer of a Timeout: what it costs the loop, and what it leaves behind."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from typing import Any, cast

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import TimeoutExceededError
from tta_dev_primitives.recovery import TimeoutPrimitive
from tta_dev_primitives.recovery.deadlines.deadline import current, remaining
from tta_dev_primitives.testing import run_virtual


@pytest.fixture(autouse=True)
def bare() -> None:
    """Nobody listens: only then is the timer shared."""
    engine.silence()


async def quick(value: int) -> int:
    return value


async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def timers() -> list[asyncio.TimerHandle]:
    """Return the timers that are set on the running loop."""
    scheduled = cast("Any", asyncio.get_running_loop())._scheduled
    return [handle for handle in scheduled if not handle.cancelled()]


async def test_a_timeout_that_is_used_once_leaves_no_timer() -> None:
    """As with `asyncio.timeout`, however many are made."""
    before = len(timers())
    for _ in range(50):
        await TimeoutPrimitive(quick, seconds=3600).execute(1)
    assert len(timers()) == before


async def test_a_timeout_that_is_used_often_leaves_one_timer() -> None:
    """However often, one after the other or side by side."""
    before = len(timers())
    limited = TimeoutPrimitive(quick, seconds=3600)
    for _ in range(50):
        await limited.execute(1)
    await asyncio.gather(*(limited.execute(n) for n in range(50)))
    assert len(timers()) == before + 1


def test_time_that_is_virtual_is_not_moved_by_a_timer_left_behind() -> None:
    """On a loop with a clock of its own, each timer is taken back."""

    async def main() -> None:
        limited = TimeoutPrimitive(quick, seconds=3600)
        for _ in range(5):
            await limited.execute(1)
            assert timers() == []

    run_virtual(main())


async def test_a_closed_call_leaves_no_scope_and_no_reference() -> None:
    """What the step was given is free when the call has ended."""

    class Big:
        pass

    async def takes(value: Big) -> None:
        await asyncio.sleep(0)

    limited = TimeoutPrimitive(takes, seconds=3600)
    held: list[weakref.ref[Big]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            big = Big()
            held.append(weakref.ref(big))
            await limited.execute(big)
            del big
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()
    assert current.get() is None


async def test_a_call_that_is_thrown_away_unfinished_leaves_no_scope() -> None:
    """Closing its coroutine is enough."""
    limited = TimeoutPrimitive(sleep, seconds=3600)

    async def driver() -> None:
        call = cast("Any", limited.execute(60))
        call.send(None)
        call.close()
        assert remaining() is None

    await driver()
    assert await limited.execute(0) == 0


async def test_a_task_that_outlives_the_timeout_has_no_deadline_of_it() -> None:
    """Its context still names the scope, which is closed."""
    left: list[float | None] = []
    started: list[asyncio.Task[None]] = []

    async def later() -> None:
        await asyncio.sleep(0)
        left.append(remaining())

    async def starts(value: int) -> int:
        left.append(remaining())
        started.append(asyncio.create_task(later()))
        return value

    await TimeoutPrimitive(starts, seconds=5).execute(1)
    await started[0]
    assert left[0] is not None
    assert left[1] is None


def test_one_timeout_serves_many_loops_and_threads() -> None:
    """In turn and at the same time; each call has the timer of its own loop."""
    limited = TimeoutPrimitive(sleep, seconds=0.02)
    wrong: list[object] = []

    async def calls() -> None:
        for _ in range(3):
            if await limited.execute(0) != 0:
                wrong.append("result")
            try:
                await limited.execute(30)
                wrong.append("no timeout")
            except TimeoutExceededError:
                """As it should be."""

    def loop_of_its_own() -> None:
        try:
            asyncio.run(calls())
        except BaseException as error:  # noqa: BLE001 - of another thread
            wrong.append(error)

    for _ in range(2):
        threads = [threading.Thread(target=loop_of_its_own) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


async def test_a_timeout_that_has_run_can_be_copied_and_pickled() -> None:
    """What runs leave behind does not go with it."""
    limited = TimeoutPrimitive(quick, seconds=5)
    assert await limited.execute(1) == 1
    for again in (copy.copy(limited), pickle.loads(pickle.dumps(limited)), limited.named("x")):  # noqa: S301 - made here
        assert await again.execute(2) == 2


def test_a_coroutine_driven_by_hand_is_refused() -> None:
    """There is no task that could be cancelled."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[str] = loop.create_future()

        def outside_any_task() -> None:
            call = cast("Any", TimeoutPrimitive(quick, seconds=1).execute(1))
            try:
                call.send(None)
            except RuntimeError as error:
                failed.set_result(str(error))

        loop.call_soon(outside_any_task)
        assert "inside a task" in await failed

    asyncio.run(main())
