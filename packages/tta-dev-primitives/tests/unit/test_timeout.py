"""Timeout: what takes too long is cancelled, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import CompositionError, ConfigurationError, TimeoutExceededError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import RetryPrimitive, Timeout, TimeoutPrimitive
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


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


def test_a_step_in_time_gives_its_result() -> None:
    """The limit costs nothing when it is kept."""
    assert run_virtual(TimeoutPrimitive(slow, seconds=5.0).execute(4.9)) == "done"


def test_a_step_that_takes_too_long_is_cancelled_at_the_limit() -> None:
    """At the limit exactly, with an error that has the limit and is a `TimeoutError`."""

    async def main() -> float:
        with pytest.raises(TimeoutError) as caught:
            await TimeoutPrimitive(slow, timeout_seconds=5.0).execute(60)
        assert isinstance(caught.value, TimeoutExceededError)
        assert caught.value.seconds == 5.0
        assert "'slow'" in str(caught.value)
        assert "5 s" in str(caught.value)
        (note,) = caught.value.__notes__
        assert "in workflow step timeout," in note
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 5.0


def test_the_error_of_an_expiry_shows_where_the_step_hung() -> None:
    """Its cause is the cancellation, whose traceback leads into the step."""

    async def main() -> None:
        with pytest.raises(TimeoutExceededError) as caught:
            await TimeoutPrimitive(slow, seconds=1).execute(60)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)

    run_virtual(main())


def test_cleanup_is_over_when_the_call_returns() -> None:
    """The step may clean up, also with awaits; nothing runs on."""
    cleaned: list[float] = []

    async def tidy(value: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            cleaned.append(asyncio.get_running_loop().time())
        return value

    async def main() -> None:
        with pytest.raises(TimeoutExceededError):
            await TimeoutPrimitive(tidy, seconds=1).execute(1)
        assert cleaned == [3.0]
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


async def test_a_timeout_error_of_the_step_comes_out_as_itself() -> None:
    """The same object, not ours, with the step's path."""
    own = TimeoutError("the socket's")

    async def fails(value: int) -> int:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await TimeoutPrimitive(fails, seconds=5).execute(1)
    assert caught.value is own
    assert "timeout/fails" in own.__notes__[0]


def test_a_timeout_error_raised_in_answer_to_our_cancellation_is_the_steps() -> None:
    """Late, but its own."""

    async def answers(value: int) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TimeoutError("mine") from None
        return value

    async def main() -> None:
        with pytest.raises(TimeoutError, match="mine") as caught:
            await TimeoutPrimitive(answers, seconds=1).execute(1)
        assert not isinstance(caught.value, TimeoutExceededError)

    run_virtual(main())


def test_a_step_that_answers_cancellation_with_a_result_has_a_result() -> None:
    """And the task is not left cancelled."""

    async def stubborn(value: int) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return value
        return -1

    async def main() -> None:
        assert await TimeoutPrimitive(stubborn, seconds=1).execute(7) == 7
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run_virtual(main())


@pytest.mark.parametrize("first", ["cancel", "expiry"])
def test_cancellation_from_outside_in_the_same_pass_wins(first: str) -> None:
    """In either order: `CancelledError`, and the task stays cancelled."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Any]
        if first == "cancel":
            loop.call_at(1.0, lambda: task.cancel())  # noqa: PLW0108 - there is no task yet
        task = asyncio.create_task(TimeoutPrimitive(slow, seconds=1).execute(60))
        await asyncio.sleep(0)
        if first == "expiry":
            loop.call_at(1.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_virtual(main())


@pytest.mark.parametrize(
    ("inner", "outer", "path", "limit"),
    [(1, 5, "outer/inner,", 1), (5, 1, "outer,", 1), (2, 2, "outer", 2)],
)
def test_of_nested_limits_exactly_one_reports(
    inner: float, outer: float, path: str, limit: float
) -> None:
    """The one that passed first; the others let its error through."""

    async def main() -> None:
        both = TimeoutPrimitive(
            TimeoutPrimitive(slow, seconds=inner, name="inner"), seconds=outer, name="outer"
        )
        with pytest.raises(TimeoutExceededError) as caught:
            await both.execute(60)
        assert caught.value.seconds == limit
        (note,) = caught.value.__notes__
        assert path in note
        assert asyncio.get_running_loop().time() == limit

    run_virtual(main())


@pytest.mark.parametrize("passed", [False, True])
def test_an_earlier_deadline_of_the_run_holds(passed: bool) -> None:  # noqa: FBT001 - a parameter
    """Whichever comes first; after it, the step is not even begun."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(10)
        context = WorkflowContext(deadline=9 if passed else 12)
        with pytest.raises(TimeoutExceededError, match="deadline of the run"):
            await TimeoutPrimitive(slow, seconds=5).execute(context, 60)
        assert loop.time() == (10 if passed else 12)

    run_virtual(main())


def test_a_retry_around_a_timeout_tries_again() -> None:
    """Our expiry is worth another attempt."""
    waits = iter([60.0, 60.0, 0.5])

    async def improving(value: int) -> int:
        await asyncio.sleep(next(waits))
        return value

    retry = RetryPrimitive(TimeoutPrimitive(improving, seconds=1), initial_delay=0)
    assert run_virtual(retry.execute(3)) == 3


async def test_the_step_runs_in_the_callers_task_and_context() -> None:
    """Context variables that it sets are seen afterwards."""
    tasks: list[object] = []

    async def looks(value: int) -> int:
        tasks.append(asyncio.current_task())
        return value

    await TimeoutPrimitive(looks, seconds=1).execute(1)
    assert tasks == [asyncio.current_task()]


async def test_the_decorator_of_the_specification() -> None:
    """`@Timeout(seconds=5.0)` on a function without parameters."""

    @Timeout(seconds=5.0)
    async def task() -> str:
        return "done"

    assert await task() == "done"
    assert await (task >> str.upper).execute(None) == "DONE"


def test_with_a_primitive_timeout_is_the_wrapper() -> None:
    """The second form of the one name."""
    assert isinstance(Timeout(TimeoutPrimitive(slow, seconds=1), seconds=2), TimeoutPrimitive)


NAN = float("nan")


@pytest.mark.parametrize("value", [0, -1, NAN, float("inf"), True, "5", 10**400])
@pytest.mark.parametrize("option", ["seconds", "timeout_seconds"])
def test_a_limit_that_is_no_limit_is_refused(option: str, value: object) -> None:
    """When built, not when run."""
    bad: Any = {option: value}
    with pytest.raises(ConfigurationError, match="seconds"):
        TimeoutPrimitive(slow, **bad)


def test_no_limit_and_two_limits_are_refused() -> None:
    """One of the two names, once; a bare `@Timeout` has none."""
    with pytest.raises(ConfigurationError, match="needs its limit"):
        TimeoutPrimitive(slow)
    with pytest.raises(ConfigurationError, match="needs its limit"):
        Timeout(slow)
    with pytest.raises(ConfigurationError, match="one of them"):
        TimeoutPrimitive(slow, seconds=1, timeout_seconds=1)
    with pytest.raises(CompositionError, match="synchronous"):
        Timeout(seconds=1)(len)  # type: ignore[type-var]  # pyright: ignore[reportCallIssue, reportArgumentType]
