"""What the default recorder counts of a wrapper and its step, however the wrapper is run."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tta_dev_primitives import (
    Bulkhead,
    CachePrimitive,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    Sequential,
    TimeoutPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
)
from tta_dev_primitives.observability import metrics
from tta_dev_primitives.observability.metrics import (
    MetricsRecorder,
    enable_observability,
    get_metrics,
)


@pytest.fixture(autouse=True)
def default_observers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state in which a program runs, with nothing counted yet."""
    monkeypatch.setattr(metrics, "_recorder", MetricsRecorder())
    enable_observability()


async def work(order: str) -> str:
    """Do as the order says; `late` never ends by itself."""
    if order.startswith("bad"):
        raise LookupError(order)
    if order.startswith("late"):
        await asyncio.Event().wait()
    return order


async def spare(order: str) -> str:
    return order


WRAPPERS: dict[str, Callable[[], WorkflowPrimitive[str, str]]] = {
    "retry": lambda: RetryPrimitive(work, max_attempts=2, initial_delay=0, on=OSError),
    "breaker": lambda: CircuitBreakerPrimitive(work, failure_threshold=1000),
    "timeout": lambda: TimeoutPrimitive(work, seconds=60),
    "bulkhead": lambda: Bulkhead(max_concurrency=5)(RetryPrimitive(work, on=OSError, name="in")),
    "cache": lambda: CachePrimitive(work),
}


async def run_all(execute: Callable[[str], Any], *, rounds: int) -> None:
    """Run each round a call that ends well, one that fails and one that is cancelled."""
    for number in range(rounds):
        await execute(f"good {number}")
        with pytest.raises(LookupError):
            await execute(f"bad {number}")
        task = asyncio.ensure_future(execute(f"late {number}"))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def counts() -> dict[str, tuple[int, int, int]]:
    return {one.path: (one.successful, one.failed, one.cancelled) for one in get_metrics()}


@pytest.mark.parametrize("kind", WRAPPERS)
async def test_every_call_of_a_wrapper_run_by_itself_counts_once_at_each_place(kind: str) -> None:
    """The first run finds what is to be called; the later ones, which are leaner, count alike."""
    wrapper = WRAPPERS[kind]()

    await run_all(wrapper.execute, rounds=4)

    assert set(counts().values()) == {(4, 4, 4)}
    assert set(counts()) >= {wrapper.name, f"{wrapper.name}/{wrapper.segments[0]}"}


@pytest.mark.parametrize("kind", WRAPPERS)
async def test_every_call_of_a_wrapper_in_a_chain_counts_once_at_each_place(kind: str) -> None:
    """The chain counts the wrapper, and the wrapper its step."""
    wrapper = WRAPPERS[kind]()
    chain = Sequential([wrapper], name="chain")

    await run_all(chain.execute, rounds=4)

    found = counts()
    assert set(found.values()) == {(4, 4, 4)}
    assert f"chain/{wrapper.name}/{wrapper.segments[0]}" in found


@pytest.mark.parametrize("kind", WRAPPERS)
async def test_a_context_of_the_callers_changes_no_count(kind: str) -> None:
    """It takes another way in."""
    wrapper = WRAPPERS[kind]()

    await run_all(lambda order: wrapper.execute(WorkflowContext(), order), rounds=3)

    assert set(counts().values()) == {(3, 3, 3)}


@pytest.mark.parametrize("prefix", ["", "chain/"], ids=["alone", "in a chain"])
async def test_a_retried_failure_counts_at_the_step_and_not_at_the_retry(prefix: str) -> None:
    """Each attempt is a call of the step."""
    answers = iter([OSError(), "a", OSError(), "b", "c"])

    async def ask(question: str) -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return f"{question}: {answer}"

    retry = RetryPrimitive(ask, initial_delay=0)
    workflow = Sequential([retry], name="chain") if prefix else retry

    assert [await workflow.execute("q") for _ in range(3)] == ["q: a", "q: b", "q: c"]

    assert counts()[f"{prefix}retry"] == (3, 0, 0)
    assert counts()[f"{prefix}retry/ask"] == (3, 2, 0)


@pytest.mark.parametrize("prefix", ["", "chain/"], ids=["alone", "in a chain"])
async def test_a_fallback_counts_each_step_by_what_became_of_it(prefix: str) -> None:
    """The fallback itself ended well."""
    fallback = FallbackPrimitive(work, fallback=spare)
    workflow = Sequential([fallback], name="chain") if prefix else fallback

    for _ in range(3):
        assert await workflow.execute("bad") == "bad"
        assert await workflow.execute("good") == "good"

    assert counts()[f"{prefix}fallback"] == (6, 0, 0)
    assert counts()[f"{prefix}fallback/work"] == (3, 3, 0)
    assert counts()[f"{prefix}fallback/spare"] == (3, 0, 0)


async def test_the_note_of_a_failure_tells_place_time_and_request_on_every_run() -> None:
    """Also where no context was made before the failure."""
    for make in WRAPPERS.values():
        wrapper = make()
        for _ in range(3):
            with pytest.raises(LookupError) as raised:
                await wrapper.execute("bad")
            (note,) = raised.value.__notes__
            first, *_ = note.splitlines()
            assert first.startswith(f"in workflow step {wrapper.name}/{wrapper.segments[0]}")
            assert ", after 0." in first
            assert ", correlation id " in first
