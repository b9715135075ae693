"""Retry: what is tried again, when, and what comes out in the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.parallel import ParallelPrimitive
from tta_dev_primitives.errors import ConfigurationError, Filtered
from tta_dev_primitives.recovery import RetryPrimitive
from tta_dev_primitives.testing import preserved_observers, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tta_dev_primitives.core.record import Record


class Observer:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def ended(self, record: Record, /) -> None:
        self.records.append(record)


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    with preserved_observers():
        engine.silence()
        observer = Observer()
        if request.param == "observed":
            engine.add_observer(observer)
        yield observer.records


class Flaky:
    """Fails as often as it is told, then returns its input."""

    def __init__(self, failures: int, error: Callable[[], BaseException] = ConnectionError) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0
        self.times: list[float] = []

    async def __call__(self, value: object) -> object:
        self.calls += 1
        self.times.append(asyncio.get_running_loop().time())
        if self.calls <= self.failures:
            raise self.error()
        return value


def always(error: Exception) -> bool:
    return True


def says_no(error: Exception) -> bool:
    return "no" in str(error)


def does_not_say_no(error: Exception) -> bool:
    return "no" not in str(error)


def quick(step: Any, **options: Any) -> RetryPrimitive[Any, Any]:
    options.setdefault("initial_delay", 0)
    return RetryPrimitive(step, **options)


async def test_a_step_that_recovers_gives_its_result() -> None:
    """Two failures and a success are three calls and one result."""
    step = Flaky(2)
    assert await quick(step).execute("x") == "x"
    assert step.calls == 3


async def test_max_attempts_counts_calls() -> None:
    """`max_attempts=3` is three calls, not one and three more."""
    step = Flaky(99)
    with pytest.raises(ConnectionError):
        await quick(step, max_attempts=3).execute("x")
    assert step.calls == 3


async def test_the_last_exception_itself_comes_out_and_names_its_attempt() -> None:
    """No wrapper around it; the note has the path and the attempt."""
    errors = [ConnectionError(str(n)) for n in range(3)]
    step = Flaky(3, iter(errors).__next__)
    with pytest.raises(ConnectionError) as caught:
        await quick(step).execute("x")
    assert caught.value is errors[2]
    assert caught.value.__context__ is None
    (note,) = caught.value.__notes__
    assert "retry/flaky, attempt 3" in note
    assert not hasattr(errors[0], "__notes__") or not errors[0].__notes__


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError,
        GeneratorExit,
        lambda: Filtered("held back"),
        lambda: BaseExceptionGroup("g", [ConnectionError(), asyncio.CancelledError()]),
        lambda: ExceptionGroup("g", [ConnectionError(), Filtered("held back")]),
    ],
    ids=["cancelled", "closed", "filtered", "group with cancelled", "group with filtered"],
)
@pytest.mark.parametrize("on", [BaseException, always], ids=["class", "function"])
async def test_control_flow_is_never_retried(error: Callable[[], BaseException], on: Any) -> None:
    """Whatever `on` says, cancellation and `Filtered` pass after one call."""
    step = Flaky(99, error)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - the kind is the parameter
        await quick(step, on=on).execute("x")
    assert step.calls == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_request_to_exit_is_never_retried(error: type[BaseException]) -> None:
    """Ctrl-C ends a run at once."""
    step = Flaky(99, error)
    with pytest.raises(error):
        asyncio.run(quick(step, on=BaseException).execute("x"))
    assert step.calls == 1


@pytest.mark.parametrize(
    "error", [TypeError, NameError, AttributeError, AssertionError, ImportError, ConfigurationError]
)
async def test_wrong_code_is_not_retried_by_default(error: type[Exception]) -> None:
    """What the same call would raise again is raised at once."""
    step = Flaky(99, error)
    with pytest.raises(error):
        await quick(step).execute("x")
    assert step.calls == 1


@pytest.mark.parametrize(
    ("on", "calls"),
    [
        (ConnectionError, 3),
        (BrokenPipeError, 1),
        ((BrokenPipeError, ConnectionError), 3),
        (does_not_say_no, 1),
        (says_no, 3),
    ],
    ids=["class", "other class", "classes", "function says no", "function says yes"],
)
async def test_on_says_what_is_retried(on: Any, calls: int) -> None:
    """A class, several, or a function."""
    step = Flaky(99, lambda: ConnectionError("no"))
    with pytest.raises(ConnectionError):
        await quick(step, on=on).execute("x")
    assert step.calls == calls


@pytest.mark.parametrize(
    ("leaves", "on", "calls"),
    [
        ([ConnectionError(), TimeoutError()], None, 3),
        ([ConnectionError(), TypeError()], None, 1),
        ([ConnectionError(), ExceptionGroup("inner", [TypeError()])], None, 1),
        ([ConnectionError(), ValueError()], ConnectionError, 1),
        ([ConnectionError(), BrokenPipeError()], ConnectionError, 3),
        ([TypeError()], ExceptionGroup, 3),
    ],
    ids=["all", "one lasting", "one lasting deep", "one other", "all of a kind", "the group"],
)
async def test_a_group_is_retried_if_all_in_it_are(
    leaves: list[Exception], on: Any, calls: int
) -> None:
    """One exception that is not worth it is enough to stop."""
    step = Flaky(99, lambda: ExceptionGroup("several", leaves))
    with pytest.raises(ExceptionGroup):
        await quick(step, on=on).execute("x")
    assert step.calls == calls


async def test_a_predicate_that_fails_keeps_the_original_as_context() -> None:
    """Neither error is lost."""

    def broken(error: Exception) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await quick(Flaky(99), on=broken).execute("x")
    assert isinstance(caught.value.__context__, ConnectionError)


async def test_a_cancelled_task_is_not_retried_though_its_step_says_otherwise() -> None:
    """A step that answers cancellation with an error of its own runs once."""
    calls = 0

    async def converts(value: int) -> int:
        nonlocal calls
        calls += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None
        return value

    task = asyncio.create_task(quick(converts).execute(1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ConnectionError):
        await task
    assert calls == 1


def test_pauses_grow_in_virtual_time_and_none_follows_the_last_attempt() -> None:
    """An hour of pauses takes no time, and ends with the last attempt."""
    step = Flaky(99)

    async def main() -> float:
        retry = RetryPrimitive(
            step, max_attempts=4, initial_delay=600, max_delay=2400, jitter="none"
        )
        with pytest.raises(ConnectionError):
            await retry.execute("x")
        return asyncio.get_running_loop().time()

    end = run_virtual(main())
    assert [b - a for a, b in zip(step.times, step.times[1:], strict=False)] == [600, 1200, 2400]
    assert end == step.times[-1]


def test_cancelling_a_pause_ends_the_retry() -> None:
    """Nobody waits for a pause that has lost its purpose."""
    step = Flaky(99)

    async def main() -> None:
        task = asyncio.create_task(RetryPrimitive(step, initial_delay=60).execute("x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert step.calls == 1


def test_a_pause_that_would_reach_the_deadline_is_not_begun() -> None:
    """The failure comes out now, not after a useless sleep."""
    step = Flaky(99)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        context = WorkflowContext(deadline=began + 5)
        with pytest.raises(ConnectionError):
            await RetryPrimitive(step, initial_delay=10, jitter="none").execute(context, "x")
        assert loop.time() == began

    run_virtual(main())
    assert step.calls == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_nested_retries_share_the_attempts_of_the_outermost(depth: int) -> None:
    """Three layers of three attempts are three calls, not 27."""
    step = Flaky(99)
    retry: Any = step
    for _ in range(depth):
        retry = quick(retry, max_attempts=3)
    with pytest.raises(ConnectionError):
        await retry.execute("x")
    assert step.calls == 3


async def test_parallel_branches_share_the_attempts_too() -> None:
    """The pool follows into tasks."""
    a, b = Flaky(99), Flaky(99)
    retry = quick(ParallelPrimitive([quick(a), quick(b)], on_error="collect"), max_attempts=4)
    await retry.execute("x")
    assert a.calls + b.calls == 2 + 3


async def test_an_independent_retry_keeps_its_own_attempts() -> None:
    """`independent=True` multiplies on purpose, and leaves the others their pool."""
    step, other = Flaky(99), Flaky(99)
    inner = quick(step, max_attempts=3, independent=True)
    with pytest.raises(ConnectionError):
        await quick(inner, max_attempts=2).execute("x")
    assert step.calls == 6
    with pytest.raises(ConnectionError):
        await quick(quick(quick(other), independent=True, max_attempts=2)).execute("x")
    assert other.calls == 6


async def test_a_retry_hidden_in_a_function_does_not_multiply_either() -> None:
    """It keeps its own attempts the first time, then shares."""
    step = Flaky(99)
    inner = quick(step)

    async def hides(value: object) -> object:
        return await inner.execute(value)

    with pytest.raises(ConnectionError):
        await quick(hides).execute("x")
    assert step.calls <= 3 + 2


async def test_a_task_that_outlives_a_run_does_not_draw_on_its_pool() -> None:
    """A background task has all attempts of its own Retry."""
    step = Flaky(2)
    gate = asyncio.Event()
    tasks: list[asyncio.Task[object]] = []

    async def later() -> object:
        await gate.wait()
        return await quick(step).execute("x")

    failing = Flaky(99)

    async def starts(value: object) -> object:
        if failing.calls == 1:
            tasks.append(asyncio.create_task(later()))
        return await failing(value)

    with pytest.raises(ConnectionError):
        await quick(starts).execute("x")
    gate.set()
    assert await tasks[0] == "x"


async def test_failed_frames_are_freed_without_the_collector() -> None:
    """No cycle holds what a failed attempt held."""

    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    async def fails(value: object) -> object:
        big = Big()
        held.append(weakref.ref(big))
        raise ConnectionError

    engine.silence()
    for observer in engine.observers():
        engine.remove_observer(observer)
    retry = quick(fails)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ConnectionError):
            await retry.execute("x")
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()


async def test_each_attempt_has_a_record(listening: list[Record]) -> None:
    """An observer sees every attempt with its number, and the retry with their count."""
    await quick(Flaky(2)).execute("x")
    if not listening:
        return
    seen = [(r.path, r.attempt, r.status) for r in listening]
    assert seen == [
        ("retry/flaky", 1, "error"),
        ("retry/flaky", 2, "error"),
        ("retry/flaky", 3, "ok"),
        ("retry", 1, "ok"),
    ]
    assert listening[-1].attributes["attempts"] == 3
