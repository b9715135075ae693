"""Retry with all that it can look after, when it fails, how much it holds, and its virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc
from types import coroutine
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import Sequential, WorkflowContext
from tta_dev_primitives.recovery import RetryBudget, RetryPrimitive
from tta_dev_primitives.recovery.retries.schedules import constant
from tta_dev_primitives.testing import VirtualTimeLoop

from .beside import beside
from .measure import figure
from .observing import MODES, observed
from .row import Measured, Row
from .subjects import bare_chain, passes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .measure import Effort
    from .row import Peers

__all__ = ("rows",)

_STEPS = 10
_FAILURES = 2
_CROWD = 5_000
_LONG = 1e9  # seconds that never pass


def rows() -> Iterator[Row]:
    """Yield the rows about Retry that are not about its plain success path."""
    guards = "with deadline, budget and hook"
    yield Row(
        key="wrapper.retry-guarded.off",
        title=f"Retry {guards}, {MODES['off']}",
        against="one bare await",
        unit="x",
        budget=6.0,
        measure=_guarded_directly,
    )
    yield Row(
        key="wrapper.retry-guarded.chained",
        title=f"Retry {guards}, each of {_STEPS} steps of a chain, {MODES['off']}",
        against=f"the bare loop over {_STEPS} steps",
        unit="x",
        budget=6.0,
        measure=_guarded_in_a_chain,
    )
    yield Row(
        key="wrapper.retry-failing.off",
        title=f"Retry, {_FAILURES} failures and a success without pauses, {MODES['off']}",
        against="a loop written by hand",
        unit="x",
        budget=1.25,
        measure=_failing,
    )
    yield Row(
        key="wrapper.retry-heap.off",
        title=f"Retry, memory of a call under way, {_CROWD:,} at once, {MODES['off']}",
        against="bytes more than the bare call",
        unit="B",
        budget=512.0,
        measure=_heap,
    )
    yield Row(
        key="wrapper.retry-hour.off",
        title=f"Retry, one hour of pauses in virtual time, {MODES['off']}",
        against="real time",
        unit="ms",
        budget=5.0,
        measure=_hour,
    )


def _ignore(event: object) -> None:
    del event


def _guarded() -> Any:
    return RetryPrimitive(passes, max_elapsed=60.0, budget=RetryBudget(), on_retry=_ignore)


async def _guarded_directly(effort: Effort, peers: Peers) -> Measured:
    del peers
    retry, context = _guarded(), WorkflowContext(deadline=_LONG)

    async def ours(value: int) -> object:
        return await retry.execute(context, value)

    with observed("off"):
        return await beside(
            passes, retry.execute, effort, {}, lambda _: None, extra={"context.deadline": ours}
        )


async def _guarded_in_a_chain(effort: Effort, peers: Peers) -> Measured:
    del peers
    ours: Any = Sequential([_guarded() for _ in range(_STEPS)])
    with observed("off"):
        return await beside(bare_chain("input", _STEPS), ours.execute, effort, {}, lambda _: None)


class _Fails:
    """Fails twice, then succeeds, and so on."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, value: int) -> int:
        self.calls += 1
        if self.calls % (_FAILURES + 1):
            raise ConnectionError
        return value


async def _failing(effort: Effort, peers: Peers) -> Measured:
    del peers
    step = _Fails()

    async def by_hand(value: int) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 60.0
        attempt = 0
        while True:
            attempt += 1
            try:
                return await step(value)
            except Exception as error:
                if not isinstance(error, OSError) or attempt > _FAILURES:
                    raise
                pause = random.uniform(0.0, min(30.0, 0.0 * 2.0 ** (attempt - 1)))  # noqa: S311 - jitter is no secret
                if loop.time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)

    retry = RetryPrimitive(_Fails(), initial_delay=0.0, max_elapsed=60.0)
    with observed("off"):
        return await beside(by_hand, retry.execute, effort, {}, lambda _: None)


async def _heap(effort: Effort, peers: Peers) -> Measured:
    del effort, peers

    @coroutine
    def pause() -> Generator[None]:
        yield

    async def waits(value: int) -> int:
        await pause()
        return value

    def bytes_each(call: Any) -> float:
        call(1).close()  # what is made once
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        calls = [call(1) for _ in range(_CROWD)]
        for made in calls:
            made.send(None)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        for made in calls:
            made.close()
        return (after - before) / _CROWD

    with observed("off"):
        bare = bytes_each(waits)
        retry = bytes_each(RetryPrimitive(waits).execute)
    return Measured(ours=figure([retry - bare]), facts=(f"the bare call holds {bare:.0f} B",))


async def _hour(effort: Effort, peers: Peers) -> Measured:
    del peers

    async def hour() -> float:
        left = [60]

        async def fails(value: int) -> int:
            left[0] -= 1
            if left[0] >= 0:
                raise ConnectionError
            return value

        began = time.perf_counter()
        await RetryPrimitive(fails, max_attempts=61, schedule=constant(60.0)).execute(1)
        return 1e3 * (time.perf_counter() - began)

    def run() -> list[float]:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return [runner.run(hour()) for _ in range(effort.rounds)]

    with observed("off"):  # in a thread: this one's loop is in real time
        return Measured(ours=figure(await asyncio.to_thread(run)))
