"""The cases that other retry libraries get wrong, each named after its number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompositionError, TimeoutExceededError
from tta_dev_primitives.recovery import Retry, RetryPrimitive, TimeoutPrimitive
from tta_dev_primitives.recovery.deadlines.deadline import remaining
from tta_dev_primitives.recovery.retries.schedules import constant, listed
from tta_dev_primitives.testing import VirtualTimeLoop, run_virtual
from tta_dev_primitives.testing.retrying import quick_retries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> None:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "observed":
        engine.add_observer(NullObserver())


class Flaky:
    """Fails as often as it is told, then returns its input."""

    def __init__(
        self, failures: int, error: Callable[[], BaseException] = ConnectionError, took: float = 0
    ) -> None:
        self.failures = failures
        self.error = error
        self.took = took
        self.times: list[float] = []

    async def __call__(self, value: object) -> object:
        self.times.append(asyncio.get_running_loop().time())
        if self.took:
            await asyncio.sleep(self.took)
        if self.calls <= self.failures:
            raise self.error()
        return value

    @property
    def calls(self) -> int:
        return len(self.times)


def anything_but_value_errors(error: Exception) -> bool:
    return not isinstance(error, ValueError)


@pytest.mark.parametrize("on", [BaseException, anything_but_value_errors])
async def test_a_cancelled_attempt_is_the_only_one(on: Any) -> None:
    """The task ends cancelled, whatever the predicate says (case 3)."""
    calls = 0

    async def hangs(value: object) -> object:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()
        return value

    task = asyncio.create_task(RetryPrimitive(hangs, on=on, max_attempts=9).execute("x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert calls == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_request_to_exit_is_the_only_attempt(error: type[BaseException]) -> None:
    """Also with the widest predicate (case 3)."""
    step = Flaky(99, error)
    with pytest.raises(error):
        asyncio.run(RetryPrimitive(step, on=BaseException).execute("x"))
    assert step.calls == 1


def test_generator_functions_are_refused_or_retried_until_the_first_item() -> None:
    """Never a wrapper that does nothing (case 12)."""

    async def tokens(failing: list[int]) -> AsyncIterator[str]:
        failing[0] -= 1
        if failing[0] >= 0:
            raise ConnectionError
        yield "a"

    def items(x: int) -> Iterator[int]:
        yield x

    with pytest.raises(CompositionError):
        Retry(max_attempts=2)(tokens)  # type: ignore[call-overload, type-var, unused-ignore]  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(CompositionError):
        RetryPrimitive(items)

    async def main() -> list[str]:
        async with RetryPrimitive(tokens).stream([2]) as stream:
            return [item async for item in stream]

    assert run_virtual(main()) == ["a"]


async def test_the_last_exception_itself_comes_out() -> None:
    """Not one of ours in its place; the history is in its note (case 19)."""
    errors = [ConnectionError(str(n)) for n in range(3)]
    with pytest.raises(ConnectionError) as caught:
        await RetryPrimitive(Flaky(3, iter(errors).__next__), initial_delay=0).execute("x")
    assert caught.value is errors[2]
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "attempt 1: ConnectionError" in caught.value.__notes__[0]


def test_a_pause_that_would_pass_max_elapsed_is_not_begun() -> None:
    """It gives up now (case 28)."""
    step = Flaky(99)

    async def main() -> float:
        retry = RetryPrimitive(step, max_elapsed=0.1, schedule=constant(0.5))
        with pytest.raises(ConnectionError):
            await retry.execute("x")
        return asyncio.get_running_loop().time()

    assert (run_virtual(main()), step.calls) == (0, 1)


def test_max_elapsed_counts_attempts_and_pauses() -> None:
    """From the start of the Retry to the start of its last attempt (case 28)."""
    step = Flaky(99, took=2)

    async def main() -> float:
        await asyncio.sleep(100)
        retry = RetryPrimitive(step, max_attempts=99, max_elapsed=10, schedule=constant(1))
        with pytest.raises(ConnectionError):
            await retry.execute("x")
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 100 + 11
    assert step.times == [100, 103, 106, 109]


def test_attempts_are_calls_and_none_is_followed_by_a_useless_pause() -> None:
    """Three calls, two pauses (cases 29, 30)."""
    step = Flaky(99)

    async def main() -> float:
        with pytest.raises(ConnectionError):
            await RetryPrimitive(step, max_attempts=3, schedule=constant(7)).execute("x")
        return asyncio.get_running_loop().time()

    assert (run_virtual(main()), step.calls) == (14, 3)


async def test_a_cause_that_leads_back_to_its_error_ends() -> None:
    """`raise e from e`, and two that cause each other (case 35)."""

    def circular() -> Exception:
        one, two = ConnectionError("one"), ConnectionError("two")
        one.__cause__, two.__cause__ = two, one
        return one

    def itself() -> Exception:
        error = ConnectionError("itself")
        error.__cause__ = error
        return error

    for make in (circular, itself):
        step = Flaky(2, make)
        assert await RetryPrimitive(step, initial_delay=0).execute("x") == "x"


async def test_three_nested_layers_are_three_calls() -> None:
    """Not 27 (case 39)."""
    step = Flaky(99)
    retry: Any = step
    for _ in range(3):
        retry = RetryPrimitive(retry, initial_delay=0)
    with pytest.raises(ConnectionError):
        await retry.execute("x")
    assert step.calls == 3


@pytest.mark.parametrize(
    ("errors", "calls"),
    [
        ((ConnectionError,), 3),
        ((ConnectionError, TypeError), 1),
        ((asyncio.CancelledError, ConnectionError), 1),
    ],
    ids=["all retryable", "one fatal", "one cancelled"],
)
@pytest.mark.parametrize("nested", [False, True])
async def test_a_group_is_retried_if_all_its_leaves_are(
    errors: tuple[type[BaseException], ...],
    calls: int,
    nested: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """As a TaskGroup raises them; cancellation in a group is no leaf (case 45)."""

    def group() -> BaseException:
        made = BaseExceptionGroup("inner", [error() for error in errors])
        return BaseExceptionGroup("outer", [ConnectionError(), made]) if nested else made

    step = Flaky(99, group)
    with pytest.raises(BaseExceptionGroup):
        await RetryPrimitive(step, initial_delay=0).execute("x")
    assert step.calls == calls


async def test_a_function_that_calls_itself_keeps_its_attempts_apart() -> None:
    """Each level has its own number, and the levels share the retries (case 46)."""
    calls: list[int] = []

    @Retry(max_attempts=3, initial_delay=0)
    async def count_down(n: int) -> int:
        calls.append(n)
        if calls.count(n) == 1 and n:
            raise ConnectionError(n)
        return 0 if n == 0 else 1 + await count_down(n - 1)

    assert await count_down(2) == 2
    assert calls == [2, 2, 1, 1, 0]


async def test_one_retry_serves_many_calls_at_once() -> None:
    """No call sees the attempts of another (case 46)."""
    failed: set[object] = set()

    async def once(value: object) -> object:
        await asyncio.sleep(0)
        if value not in failed:
            failed.add(value)
            raise ConnectionError
        return value

    retry = RetryPrimitive(once, max_attempts=2, initial_delay=0)
    assert await asyncio.gather(*map(retry.execute, range(100))) == list(range(100))


def test_one_deadline_shrinks_through_the_whole_stack() -> None:
    """A retry begins no attempt with less than its floor left (case 49)."""
    left: list[float | None] = []

    async def fails(value: object) -> object:
        left.append(remaining())
        await asyncio.sleep(2)
        raise ConnectionError

    retry = RetryPrimitive(fails, max_attempts=9, schedule=constant(1), min_attempt_time=3)

    async def main() -> float:
        with pytest.raises(ConnectionError) as caught:
            await TimeoutPrimitive(retry, seconds=10).execute("x")
        assert not isinstance(caught.value, TimeoutExceededError)
        assert "2.000 s that are left" in caught.value.__notes__[0]
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 8
    assert left == [10, 7, 4]


def test_the_deadline_of_the_context_counts_as_well() -> None:
    """The earlier one holds (case 49)."""
    step = Flaky(99, took=1)

    async def main() -> None:
        context = WorkflowContext(deadline=5.5)
        retry = RetryPrimitive(step, max_attempts=9, schedule=constant(1))
        with pytest.raises(ConnectionError):
            await TimeoutPrimitive(retry, seconds=100).execute(context, "x")

    run_virtual(main())
    assert step.times == [0, 2, 4]


def test_an_hour_of_pauses_is_a_few_turns_of_the_loop() -> None:
    """In virtual time nothing sleeps: one jump for each pause."""
    turns = 0

    class Counting(VirtualTimeLoop):
        def _run_once(self) -> None:
            nonlocal turns
            turns += 1
            super()._run_once()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    step = Flaky(60)

    async def main() -> float:
        await RetryPrimitive(step, max_attempts=61, schedule=constant(60)).execute("x")
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=Counting) as runner:
        assert runner.run(main()) == 3_600
    assert turns < 4 * 60


# --- in a test of somebody else's -----------------------------------------------------------------


async def test_retries_can_be_made_quick() -> None:
    """No pause, in real time; what is retried does not change."""
    step = Flaky(2)
    retry = RetryPrimitive(step, schedule=listed(3_600))
    with quick_retries():
        assert await retry.execute("x") == "x"
    assert step.calls == 3


async def test_retries_can_be_made_fewer_and_are_as_before_afterwards() -> None:
    """Blocks can be nested."""
    retry = RetryPrimitive(Flaky(99), max_attempts=5, initial_delay=0)

    async def calls() -> int:
        step = Flaky(99)
        with pytest.raises(ConnectionError):
            await retry.replace("retry/flaky", step).execute("x")
        return step.calls

    with quick_retries(attempts=2):
        assert await calls() == 2
        with quick_retries(attempts=1, pauses=True):
            assert await calls() == 1
        with quick_retries(attempts=50):
            assert await calls() == 5
        assert await calls() == 2
    assert await calls() == 5
