"""Deadlines: how they pass, nest, and tell what is left of them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import Parallel
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.functions import in_thread, step
from tta_dev_primitives.errors import ConfigurationError, TimeoutExceededError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import TimeoutPrimitive
from tta_dev_primitives.recovery.deadlines.deadline import remaining
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield
    else:
        with collect_records():
            yield


async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


# --- the cases ----------------------------------------------------------------------------------

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


async def test_the_caller_sees_what_the_body_sets__case_17() -> None:
    """Same task, same context (case 17)."""
    before = asyncio.current_task()

    async def sets(value: str) -> bool:
        SEEN.set(value)
        return asyncio.current_task() is before

    assert await TimeoutPrimitive(sets, seconds=5).execute("the trace")
    assert SEEN.get() == "the trace"


def test_an_expiry_is_a_timeout_error__case_18() -> None:
    """`except TimeoutError` catches it (case 18)."""
    with pytest.raises(TimeoutError):
        run_virtual(TimeoutPrimitive(sleep, seconds=1).execute(2))


@pytest.mark.parametrize("first", ["cancel", "expiry"])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_cancel_from_outside_in_the_same_tick_wins__case_31(first: str, depth: int) -> None:
    """In either order, and the task stays cancelled while it cleans up (case 31)."""
    counts: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Any]
        if first == "cancel":
            loop.call_at(1.0, lambda: task.cancel())  # noqa: PLW0108 - there is no task yet
        nested: Any = sleep
        for _ in range(depth):
            nested = TimeoutPrimitive(nested, seconds=1)

        async def caller() -> None:
            try:
                await nested.execute(60)
            finally:
                counts.append(cancelling())

        task = asyncio.create_task(caller())
        await asyncio.sleep(0)
        if first == "expiry":
            loop.call_at(1.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert counts == [1]


async def test_the_bodys_own_timeout_error_is_the_same_object__case_32() -> None:
    """It can be told from ours (case 32)."""
    own = TimeoutError("of the socket")

    async def fails(value: int) -> int:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await TimeoutPrimitive(TimeoutPrimitive(fails, seconds=5), seconds=6).execute(1)
    assert caught.value is own
    assert not isinstance(caught.value, TimeoutExceededError)
    assert cancelling() == 0


@pytest.mark.parametrize(
    ("inner", "outer", "reporter"), [(1, 5, "inner"), (5, 1, "outer"), (2, 2, "outer")]
)
def test_of_nested_timeouts_exactly_one_reports__case_47(
    inner: float, outer: float, reporter: str
) -> None:
    """The others pass its error, or the cancellation, through unchanged (case 47)."""
    passed: list[str] = []

    async def main() -> None:
        async def between(seconds: float) -> float:
            try:
                return await TimeoutPrimitive(sleep, seconds=inner, name="inner").execute(seconds)
            except BaseException as error:
                passed.append(type(error).__name__)
                raise

        with pytest.raises(TimeoutExceededError, match=f"of {reporter!r}"):
            await TimeoutPrimitive(between, seconds=outer, name="outer").execute(60)
        assert asyncio.get_running_loop().time() == min(inner, outer)
        assert cancelling() == 0

    run_virtual(main())
    assert passed == ["TimeoutExceededError" if reporter == "inner" else "CancelledError"]


@pytest.mark.parametrize("value", [0, -1.0, None, float("inf"), float("nan")])
def test_what_is_no_limit_is_refused__case_47(value: float | None) -> None:
    """Zero, negative, None, infinite: when it is built (case 47)."""
    with pytest.raises(ConfigurationError, match=r"seconds of Timeout|needs its limit"):
        TimeoutPrimitive(sleep, seconds=value)


@pytest.mark.parametrize(
    ("deadline", "ends"), [(0.0, 0.0), (-7.0, 0.0), (2.0, 2.0), (float("inf"), 5.0)]
)
def test_the_deadline_of_the_run_may_lie_anywhere__case_47(deadline: float, ends: float) -> None:
    """One that has passed lets no step begin; an infinite one is none (case 47)."""
    begun: list[float] = []

    async def begins(seconds: float) -> float:
        begun.append(seconds)
        return await sleep(seconds)

    async def main() -> None:
        context = WorkflowContext(deadline=deadline)
        with pytest.raises(TimeoutExceededError):
            await TimeoutPrimitive(begins, seconds=5).execute(context, 60)
        assert asyncio.get_running_loop().time() == ends

    run_virtual(main())
    assert begun == ([60] if ends else [])


@pytest.mark.parametrize("answer", ["result", "error"])
def test_a_body_that_swallows_the_cancel_has_what_it_gives__case_48(answer: str) -> None:
    """Late, a result or an error of its own; the task is not left cancelled (case 48)."""

    async def stubborn(value: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
        if value == "error":
            raise ConnectionError
        return value

    async def main() -> None:
        limited = TimeoutPrimitive(stubborn, seconds=1)
        if answer == "error":
            with pytest.raises(ConnectionError):
                await limited.execute(answer)
        else:
            assert await limited.execute(answer) == "result"
        assert cancelling() == 0
        assert asyncio.get_running_loop().time() == 4
        await asyncio.sleep(1)  # no cancellation is left to be delivered

    run_virtual(main())


def test_one_deadline_shrinks_through_the_whole_stack__case_49() -> None:
    """In the body, in a nested primitive, in branches and in a thread (case 49)."""
    seen: list[float | None] = []

    def note(value: float) -> float:
        seen.append(remaining())
        return value

    async def branch(value: float) -> float:
        await asyncio.sleep(1)
        return note(value)

    async def body(value: float) -> float:
        note(value)
        await asyncio.sleep(2)
        note(value)
        await TimeoutPrimitive(branch, seconds=60).execute(value)
        await TimeoutPrimitive(note, seconds=3).execute(value)
        await Parallel([step(branch), in_thread(note)]).execute(value)
        return note(value)

    async def main() -> None:
        note(0)
        await TimeoutPrimitive(body, seconds=10).execute(0)
        note(0)
        context = WorkflowContext(deadline=asyncio.get_running_loop().time() + 4)
        assert remaining(context) == 4
        await TimeoutPrimitive(note, seconds=10).execute(context, 0)

    run_virtual(main())
    assert seen == [None, 10, 8, 7, 3, 7, 6, 6, None, 4]
