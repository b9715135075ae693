"""What the default recorder counts of a wrapper and its step, however the wrapper is run."""

import asyncio
import re
from collections.abc import Callable, Generator
from types import coroutine
from typing import Any

import pytest

from tta_dev_primitives import (
    Bulkhead,
    CachePrimitive,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RateLimiter,
    RetryPrimitive,
    Sequential,
    TimeoutPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
)
from tta_dev_primitives.errors import (
    BulkheadFullError,
    CircuitOpenError,
    RateLimitedError,
    TimeoutExceededError,
)
from tta_dev_primitives.observability import metrics
from tta_dev_primitives.observability.metrics import (
    MetricsRecorder,
    enable_observability,
    get_metrics,
)
from tta_dev_primitives.recovery import (
    AdaptivePrimitive,
    BulkheadPrimitive,
    HedgePrimitive,
    Rate,
    RateLimitPrimitive,
    ThrottlePrimitive,
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
    "fallback": lambda: FallbackPrimitive(work, by_kind={"auth": spare}),
    "single": lambda: BulkheadPrimitive(work, max_concurrency=1),
    "rate": lambda: RateLimitPrimitive(work, limiter=Rate(1e9, per=1.0)),
    "adaptive": lambda: AdaptivePrimitive(work),
    "throttle": lambda: ThrottlePrimitive(work),
    "hedge": lambda: HedgePrimitive(work, delay=60.0),
    "stack": lambda: TimeoutPrimitive(
        RetryPrimitive(CircuitBreakerPrimitive(work, failure_threshold=1000), on=OSError),
        seconds=60,
    ),
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


@pytest.fixture(params=["alone", "with a context", "in a chain"])
def way(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def by_way(way: str, wrapper: WorkflowPrimitive[str, str]) -> Callable[[str], Any]:
    """Return what runs the wrapper, the first time and later, under a path that ends alike."""
    if way == "in a chain":
        return Sequential([wrapper], name="chain").execute
    if way == "with a context":
        return lambda order: wrapper.execute(WorkflowContext(), order)
    return wrapper.execute


def count_of(path: str) -> tuple[int, int, int]:
    """Return what was counted at the place whose path ends so; nothing where none was."""
    found = [count for known, count in counts().items() if f"/{known}".endswith(f"/{path}")]
    assert len(found) <= 1
    return found[0] if found else (0, 0, 0)


async def test_a_step_that_takes_too_long_is_cancelled_and_its_timeout_fails(way: str) -> None:
    """Nobody has cancelled the call itself."""
    execute = by_way(way, TimeoutPrimitive(work, seconds=0.01))

    for _ in range(3):
        assert await execute("good") == "good"
        with pytest.raises(TimeoutExceededError):
            await execute("late")

    assert count_of("timeout") == (3, 3, 0)
    assert count_of("timeout/work") == (3, 0, 3)


async def test_a_refused_call_counts_where_it_was_refused(way: str) -> None:
    """The step was never called."""
    full, empty = Bulkhead(1, max_queue=0), RateLimiter(Rate(1, per=1e6), max_wait=0)
    assert full.try_acquire()
    assert empty.try_acquire()
    broken = CircuitBreakerPrimitive(work)
    broken.breaker.isolate()
    refusing: list[tuple[WorkflowPrimitive[str, str], type[Exception]]] = [
        (BulkheadPrimitive(work, bulkhead=full), BulkheadFullError),
        (RateLimitPrimitive(work, limiter=empty), RateLimitedError),
        (broken, CircuitOpenError),
    ]
    for wrapper, refusal in refusing:
        execute = by_way(way, wrapper)
        for _ in range(3):
            with pytest.raises(refusal) as raised:
                await execute("good")
            assert f"{wrapper.name}, " in raised.value.__notes__[0]
        assert count_of(wrapper.name) == (0, 3, 0)
        assert count_of(f"{wrapper.name}/work") == (0, 0, 0)


async def test_a_call_that_waits_and_is_cancelled_counts_only_at_the_wrapper(way: str) -> None:
    """One that has waited and runs counts at both."""
    pool = Bulkhead(1)
    execute = by_way(way, BulkheadPrimitive(work, bulkhead=pool))

    for _ in range(3):
        assert await execute("good") == "good"
        assert pool.try_acquire()
        waiting = [asyncio.ensure_future(execute(order)) for order in ("good", "never")]
        await asyncio.sleep(0.001)
        waiting[1].cancel()
        pool.release()
        assert await waiting[0] == "good"
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]

    assert count_of("bulkhead") == (6, 0, 3)
    assert count_of("bulkhead/work") == (6, 0, 0)


async def test_what_a_cache_answers_by_itself_counts_only_at_the_cache(way: str) -> None:
    """Hits, and those who wait for another's run, also one who is cancelled meanwhile."""
    released = asyncio.Event()

    async def slow(order: str) -> str:
        await released.wait()
        return order

    execute = by_way(way, CachePrimitive(slow))
    first = asyncio.ensure_future(execute("x"))
    await asyncio.sleep(0.001)
    others = [asyncio.ensure_future(execute("x")) for _ in range(3)]
    await asyncio.sleep(0.001)
    others[0].cancel()
    released.set()
    assert [await task for task in (first, *others[1:])] == ["x"] * 3
    with pytest.raises(asyncio.CancelledError):
        await others[0]
    for _ in range(5):
        assert await execute("x") == "x"

    assert count_of("cache") == (8, 0, 1)
    assert count_of("cache/slow") == (1, 0, 0)


async def test_a_result_that_stands_in_for_a_failure_counts_as_a_success(way: str) -> None:
    """The step failed, the cache did not."""
    now = [0.0]
    answers = iter(["fine"])

    async def once(order: str) -> str:
        return next(answers, None) or await work(f"bad {order}")

    cache = CachePrimitive(once, ttl=1.0, stale_if_error=1e6, clock=lambda: now[0])
    execute = by_way(way, cache)

    assert await execute("x") == "fine"
    now[0] = 2.0
    assert [await execute("x") for _ in range(3)] == ["fine"] * 3

    assert count_of("cache") == (4, 0, 0)
    assert count_of("cache/once") == (1, 3, 0)


async def test_a_hedged_fallback_starts_its_alternative_on_every_run(way: str) -> None:
    """Also once it knows that its primary takes just the input."""
    fallback = FallbackPrimitive(work, fallback=spare, start_after=0.001)
    execute = by_way(way, fallback)

    assert [await execute("late") for _ in range(3)] == ["late"] * 3

    assert count_of("fallback") == (3, 0, 0)
    assert count_of("fallback/work") == (0, 0, 3)
    assert count_of("fallback/spare") == (3, 0, 0)


async def test_the_note_of_a_failure_keeps_what_the_retry_has_told(way: str) -> None:
    """Also where its first attempt was its last."""
    execute = by_way(way, RetryPrimitive(work, initial_delay=9.0, jitter="none", max_elapsed=1.0))

    for _ in range(3):
        with pytest.raises(LookupError) as raised:
            await execute("bad")
        (note,) = raised.value.__notes__
        assert "retry/work, attempt 1, after" in note
        assert "no further attempt: a pause of 9.000 s" in note


@coroutine
def parked() -> Generator[None]:
    """Wait, as whoever drives the coroutine sees it."""
    yield


async def waits(order: str) -> str:
    await parked()
    return order


@pytest.mark.parametrize(
    "wrapper",
    [
        RetryPrimitive(waits, name="closed"),
        CircuitBreakerPrimitive(waits, name="closed"),
        FallbackPrimitive(waits, fallback=spare, name="closed"),
        BulkheadPrimitive(waits, max_concurrency=1, name="closed"),
        RateLimitPrimitive(waits, limiter=Rate(1e9), name="closed"),
        CachePrimitive(waits, name="closed"),
    ],
    ids=lambda wrapper: type(wrapper).__name__,
)
async def test_a_call_that_is_closed_before_it_ends_counts_as_cancelled(
    wrapper: WorkflowPrimitive[str, str], way: str
) -> None:
    """As when an event loop is shut down: nothing has failed."""
    execute = by_way(way, wrapper)

    for _ in range(3):
        call = execute("late")
        call.send(None)
        call.close()

    assert count_of("closed") == count_of("closed/waits") == (0, 0, 3)


async def test_a_wrapper_that_gets_another_name_counts_under_it() -> None:
    """Though it has run under the one before."""
    retry = RetryPrimitive(work)
    for name in ("first", "second"):
        retry.name = name
        for _ in range(2):
            await retry.execute("good")
            await retry.execute(WorkflowContext(), "good")

    assert count_of("first") == count_of("second") == (4, 0, 0)


async def test_the_note_of_a_failure_tells_place_time_and_request_on_every_run() -> None:
    """Also where no context was made before the failure."""
    for make in WRAPPERS.values():
        wrapper = make()
        for _ in range(3):
            with pytest.raises(LookupError) as raised:
                await wrapper.execute("bad")
            (note,) = [n for n in raised.value.__notes__ if n.startswith("in workflow step")]
            first, *_ = note.splitlines()
            assert first.startswith(f"in workflow step {wrapper.name}/{wrapper.segments[0]}")
            assert re.search(r", after \d+\.\d{6} s, ", first)
            assert ", correlation id " in first
