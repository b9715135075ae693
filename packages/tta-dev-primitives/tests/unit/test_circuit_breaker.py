"""CircuitBreaker: which calls pass, what counts, and what comes out."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.notes import path_of
from tta_dev_primitives.errors import CircuitOpenError, Filtered, NestedAwaitableError
from tta_dev_primitives.recovery import CircuitBreakerPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_dev_primitives.testing import preserved_observers, run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Provider:
    """Something to call: it does what its `mood` says, after `delay` seconds."""

    def __init__(self) -> None:
        self.mood: BaseException | None = None
        self.delay: float | None = None
        self.calls = 0
        self.__name__ = "provider"

    async def __call__(self, value: Any) -> Any:
        self.calls += 1
        if self.delay is not None:
            await asyncio.sleep(self.delay)
        if isinstance(value, BaseException):
            raise value
        if self.mood is not None:
            raise self.mood
        return value


def state(breaker: CircuitBreakerPrimitive[Any, Any]) -> str:
    """Return the state as a text, which a type checker does not take for settled."""
    return breaker.breaker.state


async def fails(breaker: CircuitBreakerPrimitive[Any, Any], times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await breaker.execute(ConnectionError("down"))


async def rejects(breaker: CircuitBreakerPrimitive[Any, Any]) -> CircuitOpenError:
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.execute("x")
    return caught.value


def guarded(provider: Any, **options: Any) -> CircuitBreakerPrimitive[Any, Any]:
    usual: dict[str, Any] = {"failure_threshold": 2, "recovery_timeout": 60.0}
    return CircuitBreakerPrimitive(provider, **{**usual, **options})


async def test_a_closed_breaker_hands_results_on() -> None:
    """Nothing about a call that works changes, whatever it returns."""
    breaker = guarded(Provider())
    for value in ("x", None, 0, False, b""):
        assert await breaker.execute(value) is value
    assert state(breaker) == "closed"


async def test_failures_in_a_row_open_it_and_the_step_is_left_alone() -> None:
    """From then on calls are rejected without a call of the step."""
    provider = Provider()
    breaker = guarded(provider)
    await fails(breaker, 2)
    await rejects(breaker)
    assert provider.calls == 2
    assert state(breaker) == "open"


async def test_a_success_between_failures_keeps_it_closed() -> None:
    """Failures must come in a row."""
    breaker = guarded(Provider())
    for _ in range(5):
        await fails(breaker)
        await breaker.execute("x")
    assert state(breaker) == "closed"


async def test_the_tripping_call_shows_its_own_error() -> None:
    """The error that opens the breaker comes out as itself (case 16)."""
    breaker = guarded(Provider())
    await fails(breaker)
    last = ConnectionError("the last straw")
    with pytest.raises(ConnectionError) as caught:
        await breaker.execute(last)
    assert caught.value is last
    assert caught.value.__context__ is None
    assert path_of(last) == "circuit_breaker/provider"
    assert state(breaker) == "open"


def test_exactly_one_probe_runs_when_the_recovery_time_is_over() -> None:
    """Of 20 callers in one tick one body runs, and 19 are rejected (case 1)."""
    provider = Provider()
    breaker = guarded(provider)

    async def main() -> None:
        await fails(breaker, 2)
        await asyncio.sleep(60)
        provider.delay, provider.calls = 1.0, 0
        results = await asyncio.gather(
            *(breaker.execute(n) for n in range(20)), return_exceptions=True
        )
        rejected = [result for result in results if isinstance(result, CircuitOpenError)]
        assert (provider.calls, len(rejected)) == (1, 19)
        assert {error.state for error in rejected} == {"half_open"}
        assert {error.retry_after for error in rejected} == {None}
        assert state(breaker) == "closed"
        assert await breaker.execute("x") == "x"

    run_virtual(main())


@pytest.mark.parametrize("permits", [1, 2, 5])
def test_half_open_max_calls_is_exact(permits: int) -> None:
    """So many probes at a time, however many callers there are."""
    provider = Provider()
    breaker = guarded(provider, half_open_max_calls=permits, success_threshold=permits)

    async def main() -> None:
        await fails(breaker, 2)
        await asyncio.sleep(60)
        provider.delay, provider.calls = 1.0, 0
        results = await asyncio.gather(
            *(breaker.execute(n) for n in range(20)), return_exceptions=True
        )
        assert provider.calls == permits
        assert sum(isinstance(result, CircuitOpenError) for result in results) == 20 - permits
        assert state(breaker) == "closed"

    run_virtual(main())


def test_success_threshold_asks_for_several_good_probes() -> None:
    """One after the other, with one permit; a failed one begins the open time anew."""
    breaker = guarded(Provider(), success_threshold=3)

    async def main() -> None:
        await fails(breaker, 2)
        await asyncio.sleep(60)
        await breaker.execute("x")
        await breaker.execute("x")
        assert state(breaker) == "half_open"
        await fails(breaker)
        assert state(breaker) == "open"
        await asyncio.sleep(59.5)
        assert (await rejects(breaker)).retry_after == pytest.approx(0.5)
        await asyncio.sleep(0.5)
        for _ in range(3):
            await breaker.execute("x")
        assert state(breaker) == "closed"

    run_virtual(main())


def test_a_late_failure_does_not_charge_the_new_period() -> None:
    """A call from before the outage fails after it; the closed breaker does not mind (case 2)."""
    provider = Provider()
    breaker = guarded(provider, failure_threshold=1)

    async def main() -> None:
        provider.delay = 100.0
        old = asyncio.ensure_future(breaker.execute(ConnectionError("late")))
        await asyncio.sleep(0)
        provider.delay = None
        await fails(breaker)
        await asyncio.sleep(60)
        await breaker.execute("x")
        assert state(breaker) == "closed"
        with pytest.raises(ConnectionError, match="late"):
            await old
        statistics = breaker.breaker.statistics()
        assert (statistics.state, statistics.consecutive_failures) == ("closed", 0)
        assert statistics.late == 1

    run_virtual(main())


def test_a_late_success_does_not_close_it() -> None:
    """A call from before the outage succeeds during it; the breaker stays open (case 25)."""
    provider = Provider()
    breaker = guarded(provider, failure_threshold=1)

    async def main() -> None:
        provider.delay = 10.0
        old = asyncio.ensure_future(breaker.execute("late"))
        await asyncio.sleep(0)
        provider.delay = None
        await fails(breaker)
        assert await old == "late"
        assert state(breaker) == "open"
        await rejects(breaker)
        await asyncio.sleep(50)
        provider.delay = 10.0
        probe = asyncio.ensure_future(breaker.execute("probe"))
        await asyncio.sleep(1)
        assert state(breaker) == "half_open"
        assert await probe == "probe"

    run_virtual(main())


async def test_cancelled_calls_are_no_failures() -> None:
    """Five cancelled calls leave a breaker with threshold 2 closed (case 15)."""
    provider = Provider()
    provider.delay = 3600.0
    breaker = guarded(provider)
    for _ in range(5):
        task = asyncio.ensure_future(breaker.execute("x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert provider.calls == 5
    statistics = breaker.breaker.statistics()
    assert (statistics.state, statistics.consecutive_failures) == ("closed", 0)


async def test_cancelled_calls_are_no_successes() -> None:
    """Failure, cancel, failure are two failures in a row (case 26)."""
    provider = Provider()
    breaker = guarded(provider)
    await fails(breaker)
    provider.delay = 3600.0
    task = asyncio.ensure_future(breaker.execute("x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    provider.delay = None
    await fails(breaker)
    assert state(breaker) == "open"


async def test_a_step_that_answers_cancellation_with_an_error_is_no_failure() -> None:
    """The task was asked to stop; what its step makes of it says nothing."""

    async def stubborn(value: str) -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            message = "closed by cancellation"
            raise ConnectionError(message) from None
        return value

    breaker = guarded(stubborn, failure_threshold=1)
    task = asyncio.ensure_future(breaker.execute("x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ConnectionError):
        await task
    assert state(breaker) == "closed"


@pytest.mark.parametrize(
    "error",
    [Filtered("held back"), TypeError("wrong code"), PermissionError("not allowed here")],
    ids=["filtered", "bug", "other class"],
)
async def test_on_says_what_counts(error: Exception) -> None:
    """What it does not match is neither failure nor success."""
    breaker = guarded(Provider(), failure_threshold=1, on=ConnectionError)
    for _ in range(3):
        with pytest.raises(type(error)):
            await breaker.execute(error)
    assert state(breaker) == "closed"


async def test_wrong_code_does_not_count_by_default() -> None:
    """A `TypeError` here is no reason to think that the provider is down."""
    breaker = guarded(Provider(), failure_threshold=1)
    with pytest.raises(TypeError):
        await breaker.execute(TypeError("wrong code"))
    with pytest.raises(Filtered):
        await breaker.execute(Filtered("held back"))
    assert state(breaker) == "closed"
    await fails(breaker)
    assert state(breaker) == "open"


async def test_a_predicate_that_fails_loses_no_error() -> None:
    """The step's own error comes out, and counts."""

    def broken(error: Exception) -> bool:
        raise KeyError(error)

    breaker = guarded(Provider(), failure_threshold=2, on=broken)
    await fails(breaker, 2)
    assert state(breaker) == "open"


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 60 s to go, a wall clock that jumps a day either way changes nothing (case 8)."""
    breaker = guarded(Provider())

    async def main() -> None:
        await fails(breaker, 2)
        for jump in (86_400.0, -86_400.0):
            real = time.time()
            monkeypatch.setattr(time, "time", lambda moved=real + jump: moved)
            assert (await rejects(breaker)).retry_after == pytest.approx(60.0)
            monkeypatch.undo()
        await asyncio.sleep(59)
        assert (await rejects(breaker)).retry_after == pytest.approx(1.0)
        await asyncio.sleep(1)
        assert await breaker.execute("x") == "x"

    run_virtual(main())


async def test_a_forgotten_await_is_a_bug_and_does_not_count() -> None:
    """A step that returns a coroutine gets an error that says so; its coroutine is closed."""

    async def inner() -> int:
        return 1

    async def forgetful(value: int) -> Any:
        return inner()

    breaker = guarded(forgetful, failure_threshold=1)
    with pytest.raises(NestedAwaitableError, match="forgetful"):
        await breaker.execute(1)
    assert state(breaker) == "closed"


def test_a_retry_around_it_comes_back_when_it_is_closed() -> None:
    """The rejection is an error like any other for the layers above."""
    provider = Provider()
    inner = guarded(provider, recovery_timeout=5.0)
    retry = RetryPrimitive(inner, max_attempts=8, initial_delay=1.0, jitter="none")

    async def main() -> None:
        await fails(inner, 2)
        async with asyncio.timeout(60):
            assert await retry.execute("x") == "x"

    run_virtual(main())


def test_a_timeout_around_it_is_no_failure_and_one_inside_is() -> None:
    """Outside, the call is cancelled; inside, the step was too slow."""
    provider = Provider()
    provider.delay = 100.0
    outside = guarded(provider, failure_threshold=1)
    inside = guarded(TimeoutPrimitive(provider, seconds=1.0), failure_threshold=1)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await TimeoutPrimitive(outside, seconds=1.0).execute("x")
        assert state(outside) == "closed"
        with pytest.raises(TimeoutError):
            await inside.execute("x")
        assert state(inside) == "open"

    run_virtual(main())
