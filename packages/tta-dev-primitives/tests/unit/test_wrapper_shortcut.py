"""A wrapper that has run before runs sooner, and in all else as the first time."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import (
    CachePrimitive,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    Sequential,
    TimeoutPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    add_observer,
)
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import as_primitive
from tta_dev_primitives.errors import NestedAwaitableError
from tta_dev_primitives.observability.metrics import get_metrics
from tta_dev_primitives.recovery import Rate, RateLimitPrimitive, RetryBudget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tta_dev_primitives.core.record import Record

PLENTY = Rate(1e9, per=1.0)
WRAPPERS: dict[str, Callable[[Any], WorkflowPrimitive[Any, Any]]] = {
    "retry": lambda step: RetryPrimitive(step, max_attempts=2, initial_delay=0),
    "guarded": lambda step: RetryPrimitive(step, max_elapsed=9, initial_delay=0, name="retry"),
    "budgeted": lambda step: RetryPrimitive(
        step, budget=RetryBudget(), max_attempts=2, initial_delay=0, name="retry"
    ),
    "fallback": lambda step: FallbackPrimitive(step, value="spare"),
    "circuit_breaker": CircuitBreakerPrimitive,
    "windowed": lambda step: CircuitBreakerPrimitive(
        step, window_calls=10, failure_rate=1.0, name="circuit_breaker"
    ),
    "rate_limit": lambda step: RateLimitPrimitive(step, limiter=PLENTY),
    "timeout": lambda step: TimeoutPrimitive(step, seconds=60),
    "cache": CachePrimitive,
}
each = pytest.mark.parametrize("kind", WRAPPERS)


pytestmark = pytest.mark.usefixtures("mode")


async def echo(value: Any) -> Any:
    return value


async def warmed(kind: str, step: Any = echo) -> WorkflowPrimitive[Any, Any]:
    wrapper = WRAPPERS[kind](step)
    for _ in range(4):
        assert await wrapper.execute("warm") == "warm"
    return wrapper


@each
async def test_inputs_of_any_class_pass_in_any_order(kind: str) -> None:
    """None and falsehoods as well."""
    wrapper = await warmed(kind)
    for value in ("a", 1, None, "b", True, 0, (), "c", 1.5, None, None, b""):
        assert await wrapper.execute(value) is value
        assert await wrapper.execute(input_data=value) is value
        assert await wrapper.execute(WorkflowContext(), value) is value


@each
async def test_a_context_without_an_input_stays_an_error(kind: str) -> None:
    """So do no arguments, and two in the wrong order: nothing is taken for something else."""
    wrapper = await warmed(kind)
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((), "needs the input"),
        ((WorkflowContext(),), "no input"),
        (("warm", WorkflowContext()), "wrong order"),
        (("warm", "data"), "as its context"),
        ((None, "data"), "as its context"),
    ]
    for _ in range(3):
        for arguments, said in wrong:
            with pytest.raises(TypeError, match=said):
                await wrapper.execute(*arguments)
        assert await wrapper.execute("fine") == "fine"


@each
async def test_a_context_of_the_callers_is_free_again_after_each_run(kind: str) -> None:
    """Whether it ended well or not; one that is in use is not touched."""

    async def step(value: Any) -> Any:
        if value == "bad":
            raise TypeError(value)
        return value

    wrapper, context = await warmed(kind, step), WorkflowContext(correlation_id="mine")
    for value in ("good", "bad", "good"):
        if value == "bad" and kind != "fallback":
            with pytest.raises(TypeError) as raised:
                await wrapper.execute(context, value)
            assert "correlation id mine" in raised.value.__notes__[0]
        else:
            await wrapper.execute(context, value)
        assert context.started is None

    async def inside(context: WorkflowContext, value: Any) -> Any:
        began = context.started
        assert began is not None
        assert await wrapper.execute(context, value) == value
        assert context.started == began
        return value

    assert await Sequential([inside]).execute(context, "x") == "x"


@each
async def test_results_of_any_class_come_in_any_order(kind: str) -> None:
    """A wrapper remembers of one class at most that it is one of results; and never in a copy."""

    class Local:
        """Cannot be pickled by name."""

    wrapper = await warmed(kind)
    values: tuple[object, ...] = ("a", 1, None, "b", 2, Local(), 3, Local(), (), [], "c")
    for value in values:
        for _ in range(2):
            assert await wrapper.execute(value) is value
    assert await wrapper.execute(last := Local()) is last
    for made in (copy.copy(wrapper), pickle.loads(pickle.dumps(wrapper))):  # noqa: S301 - our own bytes
        assert await made.execute(last) is last


@each
async def test_a_forgotten_await_is_told_on_every_run(kind: str) -> None:
    """Once the wrapper knows its step as one that gives results."""

    async def step(value: Any) -> Any:
        return echo(value) if value == "lazy" else value

    wrapper = await warmed(kind, step)
    for _ in range(3):
        if kind == "fallback":
            assert await wrapper.execute("lazy") == "spare"
            continue
        with pytest.raises(NestedAwaitableError):
            await wrapper.execute("lazy")


@each
async def test_a_stream_comes_through_on_every_run(kind: str) -> None:
    """From a function that mostly gives plain results."""
    source: Any = None

    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def step(value: Any) -> Any:
        return value if value == "warm" else await source.execute(value)

    source = as_primitive(numbers)
    wrapper = await warmed(kind, step)
    for _ in range(3):
        assert [item async for item in wrapper.stream(3)] == [0, 1, 2]


@each
async def test_a_failure_is_told_alike_on_every_run(kind: str) -> None:
    """The same frames, and one note of the same form."""

    async def step(value: Any) -> Any:
        if value == "bad":
            raise TypeError(value)
        return value

    wrapper, told = WRAPPERS[kind](step), set[tuple[str, ...]]()
    if kind == "fallback":
        wrapper = FallbackPrimitive(step, by_kind={"auth": echo})
    for _ in range(5):
        with pytest.raises(TypeError) as raised:
            await wrapper.execute("bad")
        note = raised.value.__notes__[0]
        assert note.startswith(f"in workflow step {wrapper.name}/step")
        frames = traceback.extract_tb(raised.value.__traceback__)
        assert frames[-1].name == "step"
        assert len(frames) <= 4
        told.add((note.partition(" s, ")[0].rpartition(" ")[0],))
        assert await wrapper.execute("good") == "good"
    assert len(told) == 1


@each
async def test_a_wrapper_that_has_run_is_copied_and_pickled(kind: str) -> None:
    """The copy finds out anew what it calls."""
    wrapper = await warmed(kind)
    for made in (copy.copy(wrapper), copy.deepcopy(wrapper), pickle.loads(pickle.dumps(wrapper))):  # noqa: S301 - our own bytes
        for _ in range(3):
            assert await made.execute("x") == "x"
    other = wrapper.replace(f"{wrapper.name}/echo", str.upper)
    for _ in range(3):
        assert await other.execute("x") == "X"
        assert await wrapper.execute("x") == "x"


@each
async def test_who_begins_to_listen_hears_of_the_next_run(kind: str) -> None:
    """And no longer when it has stopped; so do log lines."""
    wrapper = await warmed(kind)
    heard: list[str] = []

    class Hears:
        def ended(self, record: Record) -> None:
            heard.append(record.path)

    observer = Hears()
    add_observer(observer)
    for word in ("one", "two"):
        await wrapper.execute(word)
    assert heard == [f"{wrapper.name}/echo", wrapper.name] * 2
    engine.remove_observer(observer)
    await wrapper.execute("three")
    assert len(heard) == 4


@each
async def test_a_log_level_holds_from_the_next_run(
    kind: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the wrapper remembers of the runs before."""
    wrapper = await warmed(kind)
    logger = "tta_dev_primitives.workflow"
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger):
            await wrapper.execute("warm")
        assert ("run ended" in caplog.text) == (mode == "recorder")
        caplog.clear()
        await wrapper.execute("warm")
        assert "run ended" not in caplog.text


@each
async def test_a_run_counts_under_the_name_that_the_wrapper_has(kind: str, mode: str) -> None:
    """Also when it has run under another."""
    wrapper = await warmed(kind)
    wrapper.name = f"renamed-{kind}-{mode}"
    for _ in range(3):
        await wrapper.execute("warm")
    found = get_metrics(wrapper.name)
    assert (0 if found is None else found.total) == (3 if mode == "recorder" else 0)


async def test_a_budget_earns_with_each_success_and_each_stream_that_begins() -> None:
    """Neither with a failure nor with a forgotten await."""
    budget = RetryBudget(ratio=0.5, floor=1, capacity=100)

    async def step(value: Any) -> Any:
        if value == "bad":
            raise TypeError
        return echo(value) if value == "lazy" else value

    retry = RetryPrimitive(step, budget=budget)
    for expected in (1.5, 2.0, 2.5, 3.0, 3.5):
        await retry.execute("good")
        for wrong in ("bad", "lazy"):
            with pytest.raises(TypeError):
                await retry.execute(wrong)
        assert budget.left == expected


class Leaf(WorkflowPrimitive[Any, Any]):
    """One that writes both."""

    entered = runs = 0

    async def execute(self, *arguments: Any) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - as a careless author would
        self.entered += 1
        return await super().execute(*arguments)

    async def _execute_impl(self, context: Any, input_data: Any) -> Any:
        self.runs += 1
        return input_data


class Counting(RetryPrimitive[Any, Any]):
    """Counts its runs, by the method that subclasses write."""

    runs = 0

    async def _execute_impl(self, context: Any, input_data: Any, site: Any = None) -> Any:
        self.runs += 1
        return await super()._execute_impl(context, input_data, site)


class Entered(RetryPrimitive[Any, Any]):
    """Counts how often it is executed."""

    entered = 0

    async def execute(self, *arguments: Any) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - as a careless author would
        self.entered += 1
        return await super().execute(*arguments)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a chain"])
async def test_what_a_subclass_writes_is_run_every_time(*, alone: bool) -> None:
    """Its implementation as well as its `execute`, with a context and without, and once per run."""
    counting, entered, leaf = Counting(echo), Entered(echo), Leaf()
    for wrapper in (counting, entered, leaf):
        execute: Any = wrapper.execute if alone else Sequential([wrapper]).execute
        for _ in range(4):
            assert await execute("x") == "x"
            assert await execute(WorkflowContext(), "x") == "x"
    assert (counting.runs, entered.entered, leaf.entered, leaf.runs) == (8, 8, 8, 8)


async def test_a_hooks_error_has_the_steps_error_as_its_context() -> None:
    """Its note names the Retry, not the step; whoever listens."""

    async def fails(value: Any) -> Any:
        raise OSError(value)

    def hook(event: object) -> None:
        raise LookupError(event)

    retry = RetryPrimitive(fails, initial_delay=0, on_retry=hook)
    execute: Any = retry.execute
    for arguments in (("x",), (WorkflowContext(), "x")):
        for _ in range(3):
            with pytest.raises(LookupError) as raised:
                await execute(*arguments)
            assert isinstance(raised.value.__context__, OSError)
            (note,) = raised.value.__notes__
            assert note.startswith("in workflow step retry, ")


@each
async def test_a_cancelled_run_ends_as_cancelled(kind: str) -> None:
    """Its step is not run again, and nothing replaces it."""
    calls = 0

    async def step(value: Any) -> Any:
        nonlocal calls
        calls += 1
        if value == "wait":
            await asyncio.Event().wait()
        return value

    wrapper = await warmed(kind, step)
    for _ in range(3):
        before = calls
        task = asyncio.ensure_future(wrapper.execute("wait"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls == before + 1
