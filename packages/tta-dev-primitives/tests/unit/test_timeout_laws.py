"""Timeouts under any schedule: each ends as `asyncio.timeout` does, and at its own time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import TimeoutExceededError
from tta_dev_primitives.recovery import TimeoutPrimitive
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work: TypeAlias = Callable[[], Awaitable[Any]]
    Limit: TypeAlias = Callable[[float, Work], Awaitable[Any]]

ticks = st.integers(1, 6)
BODIES = ("plain", "swallows", "raises", "converts")


@pytest.fixture(autouse=True)
def bare() -> None:
    """Nobody listens: only then is the timer shared."""
    engine.silence()


async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def call(function: Work) -> Any:
    return await function()


async def by_asyncio(seconds: float, work: Work) -> Any:
    """What ours is held against."""
    async with asyncio.timeout(seconds):
        return await work()


async def by_own_timer(seconds: float, work: Work) -> Any:
    """The run has a deadline that is earlier, so the limit gets a timer of its own."""
    context = WorkflowContext(deadline=asyncio.get_running_loop().time() + seconds)
    return await TimeoutPrimitive(call, seconds=100.0).execute(context, work)


class Kept:
    """Timeouts that are used again and again, so that all calls of a length share a timer."""

    def __init__(self) -> None:
        self.timeouts: dict[float, TimeoutPrimitive[Any, Any]] = {}

    async def __call__(self, seconds: float, work: Work) -> Any:
        if seconds not in self.timeouts:
            self.timeouts[seconds] = TimeoutPrimitive(call, seconds=seconds)
        return await self.timeouts[seconds].execute(work)


async def body(kind: str, naps: list[int]) -> str:
    """Sleep, and answer a cancellation in one of several ways."""
    try:
        for nap in naps:
            await asyncio.sleep(nap)
    except asyncio.CancelledError:
        if kind == "swallows":
            return "swallowed"
        if kind == "converts":
            raise ConnectionError from None
        raise
    if kind == "raises":
        raise TimeoutError
    return "done"


async def outcome(work: Work) -> tuple[str, float, int]:
    """Return how a call ended, when, and how many cancellations of the task are left."""
    task = asyncio.current_task()
    assert task is not None
    try:
        ended = str(await work())
    except BaseException as error:  # noqa: BLE001 - compared
        kinds = (TimeoutError, ConnectionError, asyncio.CancelledError)
        ended = next(kind.__name__ for kind in kinds if isinstance(error, kind))
    return ended, asyncio.get_running_loop().time(), task.cancelling()


def nested(limit: Limit, limits: list[int], work: Work) -> Work:
    """Put limits around each other."""
    for seconds in limits:

        def within(seconds: float = seconds, inner: Work = work) -> Awaitable[Any]:
            return limit(seconds, inner)

        work = within
    return work


async def schedule(work: Work, cancels: list[int], order: str) -> tuple[str, float, int]:
    """Run `work` in a task that is cancelled at times, before or after a limit of that time."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[tuple[str, float, int]]] = []
    if order == "cancel first":
        for when in cancels:
            loop.call_at(when, lambda: tasks[0].cancel())  # noqa: PLW0108 - there is no task yet
    tasks.append(asyncio.create_task(outcome(work)))
    await asyncio.sleep(0)
    if order == "limit first":
        for when in cancels:
            loop.call_at(when, tasks[0].cancel)
    return await tasks[0]


@settings(max_examples=150, deadline=None)
@given(
    limits=st.lists(ticks, min_size=1, max_size=4),
    naps=st.lists(ticks, min_size=1, max_size=3),
    cancels=st.lists(ticks, max_size=2),
    order=st.sampled_from(["cancel first", "limit first"]),
    kind=st.sampled_from(BODIES),
)
def test_a_timeout_ends_as_that_of_asyncio_does(
    limits: list[int], naps: list[int], cancels: list[int], order: str, kind: str
) -> None:
    """Outcome, time and what is left of cancellation."""

    def run(limit: Limit) -> tuple[str, float, int]:
        work = nested(limit, limits, lambda: body(kind, naps))
        return run_virtual(schedule(work, cancels, order))

    expected = run(by_asyncio)
    assert run(by_own_timer) == expected
    shared = Kept()
    for _ in range(2):
        assert run(shared) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=25))
def test_calls_of_one_timeout_pass_each_at_its_own_time(calls: list[tuple[int, int]]) -> None:
    """However many overlap, those that take too long end at their limit, and no other."""
    limited = TimeoutPrimitive(sleep, seconds=4)

    async def one(start: int, seconds: int) -> None:
        await asyncio.sleep(start)
        if seconds > 4:
            with pytest.raises(TimeoutExceededError):
                await limited.execute(seconds)
        elif seconds < 4:
            assert await limited.execute(seconds) == seconds
        else:
            return
        assert asyncio.get_running_loop().time() == start + min(seconds, 4)

    async def main() -> None:
        await asyncio.gather(*(one(*call) for call in calls))

    run_virtual(main())
