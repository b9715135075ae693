"""Single flight across event loops and threads: one run, and nobody hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import pytest

from tta_dev_primitives.performance import CachePrimitive, cached
from tta_dev_primitives.performance.flights import leading

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
LONG = 60  # seconds: for what comes at once, also where other programs keep it waiting


def in_threads(count: int, work: Callable[[], T]) -> list[T]:
    """Run `work` in so many threads that start at once."""
    together = threading.Barrier(count)

    def run() -> T:
        together.wait()
        return work()

    with ThreadPoolExecutor(count) as pool:
        begun = [pool.submit(run) for _ in range(count)]
        return [future.result() for future in begun]


def be_awaited_by(others: int) -> None:
    """Return when so many wait for the run that this code is part of."""
    flight = leading.get()
    assert flight is not None
    began = time.monotonic()
    while len(flight.waiting or ()) < others:
        assert time.monotonic() < began + LONG
        time.sleep(0.001)


def test_thirty_two_threads_on_a_cold_key_run_it_once() -> None:
    """Each with a loop of its own; nobody hangs (case 73)."""
    runs: list[int] = []

    @cached
    async def slow(key: str) -> str:
        runs.append(threading.get_ident())
        await asyncio.to_thread(be_awaited_by, 31)
        return key

    assert in_threads(32, lambda: asyncio.run(slow("k"))) == ["k"] * 32
    assert len(runs) == 1
    assert slow.cache_stats().calls == 32


def test_thirty_two_threads_share_a_synchronous_run() -> None:
    """Those who wait block their own thread only (case 73)."""
    runs: list[int] = []

    @cached
    def slow(key: str) -> str:
        runs.append(1)
        be_awaited_by(31)
        return key

    assert in_threads(32, lambda: slow("k")) == ["k"] * 32
    assert len(runs) == 1
    assert slow.cache_stats().waiters == 31


def test_a_failure_reaches_the_waiters_of_other_threads() -> None:
    """Each as an exception of its own (case 73)."""
    runs: list[int] = []

    @cached
    async def failing(key: str) -> str:
        runs.append(1)
        await asyncio.to_thread(be_awaited_by, 7)
        raise OSError(key)

    def run() -> BaseException:
        with pytest.raises(OSError, match="k") as caught:
            asyncio.run(failing("k"))
        return caught.value

    assert len({id(error) for error in in_threads(8, run)}) == 8
    assert len(runs) == 1


def test_a_leader_cancelled_in_one_loop_hands_over_to_another() -> None:
    """Whoever waits longest takes over, in its own loop (case 73)."""
    runs: list[int] = []
    begun, awaited = threading.Event(), threading.Event()

    @cached
    async def slow(key: str) -> str:
        runs.append(1)
        if len(runs) == 1:
            begun.set()
            await asyncio.to_thread(be_awaited_by, 1)
            awaited.set()
            await asyncio.Event().wait()
        return key

    async def lead() -> None:
        task = asyncio.create_task(slow("k"))
        await asyncio.to_thread(awaited.wait, LONG)
        task.cancel()
        await asyncio.wait([task])

    def follow() -> str:
        begun.wait(LONG)
        return asyncio.run(slow("k"))

    with ThreadPoolExecutor(2) as pool:
        ahead = pool.submit(asyncio.run, lead())
        following = pool.submit(follow)
        assert following.result(LONG) == "k"
        ahead.result(LONG)
    assert len(runs) == 2


def test_one_who_waits_for_a_loop_that_stops_computes_itself() -> None:
    """It does not wait for ever (case 73)."""
    runs: list[int] = []
    begun, awaited = threading.Event(), threading.Event()
    cache: CachePrimitive[str, str]

    async def step(key: str) -> str:
        runs.append(1)
        if len(runs) == 1:
            begun.set()
            await asyncio.to_thread(be_awaited_by, 1)
            awaited.set()
            await asyncio.Event().wait()
        return key

    cache = CachePrimitive(step)
    stopped = asyncio.new_event_loop()
    abandoned: list[asyncio.Task[str]] = []

    async def abandon() -> None:
        abandoned.append(asyncio.create_task(cache.execute("k")))
        await asyncio.to_thread(awaited.wait, LONG)

    def follow() -> str:
        begun.wait(LONG)
        return asyncio.run(cache.execute("k"))

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        stopped.run_until_complete(abandon())
        assert following.result(LONG) == "k"
    abandoned[0].cancel()
    with suppress(asyncio.CancelledError):
        stopped.run_until_complete(abandoned[0])
    stopped.close()


def test_a_synchronous_function_does_not_hold_up_a_running_loop() -> None:
    """There it computes instead of waiting for another thread, which may need that loop (73)."""
    begun = threading.Event()
    gate = threading.Event()

    @cached
    def slow(key: str) -> str:
        begun.set()
        gate.wait(LONG)
        return key

    async def main() -> str:
        other = asyncio.create_task(asyncio.to_thread(slow, "k"))
        await asyncio.to_thread(begun.wait, LONG)
        gate.set()
        mine = slow("k")
        assert await other == "k"
        return mine

    assert asyncio.run(main()) == "k"
    assert slow.cache_stats().calls == 2
