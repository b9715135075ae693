"""Half-open permits: exact, and given back on every way out of a probe."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import StreamPrimitive
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CircuitOpenError
from tta_dev_primitives.recovery import Breaker, CircuitBreakerPrimitive, TimeoutPrimitive
from tta_dev_primitives.testing import preserved_observers, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody listens, and where an observer does."""
    with preserved_observers():
        engine.silence()
        if request.param == "observed":
            engine.add_observer(NullObserver())
        yield


async def hang(value: object) -> object:
    if isinstance(value, BaseException):
        raise value
    if value == "hang":
        await asyncio.sleep(3600)
    return value


def state(breaker: CircuitBreakerPrimitive[Any, Any]) -> str:
    """Return the state as a text, which a type checker does not take for settled."""
    return breaker.breaker.state


async def half_open(breaker: CircuitBreakerPrimitive[Any, Any]) -> None:
    """Open the breaker and wait until the next call is a probe."""
    breaker.breaker.open()
    await asyncio.sleep(breaker.breaker.config.recovery_timeout)


async def holds_its_permit(breaker: CircuitBreakerPrimitive[Any, Any]) -> None:
    """Hold that one probe, and no more, may run now; it closes the breaker."""
    assert breaker.breaker.statistics().probes == 0
    probe = breaker.breaker.acquire()
    with pytest.raises(CircuitOpenError):
        breaker.breaker.acquire()
    breaker.breaker.release(probe, "success")
    assert state(breaker) == "closed"


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    """The breaker stays half-open, and the next call is the probe (case 52)."""
    breaker = CircuitBreakerPrimitive(hang)

    async def main() -> None:
        await half_open(breaker)
        for _ in range(3):
            probe = asyncio.ensure_future(breaker.execute("hang"))
            await asyncio.sleep(1)
            with pytest.raises(CircuitOpenError):
                await breaker.execute("x")
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert state(breaker) == "half_open"
        await holds_its_permit(breaker)

    run_virtual(main())


def test_a_probe_that_is_timed_out_gives_its_permit_back() -> None:
    """From outside it is cancelled; from inside its timeout is a failure (case 52)."""
    breaker = CircuitBreakerPrimitive(hang)
    inside = CircuitBreakerPrimitive(TimeoutPrimitive(hang, seconds=1.0))

    async def main() -> None:
        await half_open(breaker)
        with pytest.raises(TimeoutError):
            await TimeoutPrimitive(breaker, seconds=1.0).execute("hang")
        await holds_its_permit(breaker)
        await half_open(inside)
        with pytest.raises(TimeoutError):
            await inside.execute("hang")
        assert state(inside) == "open"
        await asyncio.sleep(60)
        await holds_its_permit(inside)

    run_virtual(main())


def test_a_probe_that_is_never_awaited_takes_no_permit() -> None:
    """A permit is taken when the call begins to run, not when it is made (case 52)."""
    breaker = CircuitBreakerPrimitive(hang)

    async def main() -> None:
        await half_open(breaker)
        forgotten = breaker.execute("x")
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del forgotten
        assert await breaker.execute("x") == "x"
        assert state(breaker) == "closed"

    run_virtual(main())


def test_a_probe_that_is_closed_or_forgotten_halfway_gives_its_permit_back() -> None:
    """A coroutine that is driven by hand and closed, or collected (case 52)."""
    breaker = CircuitBreakerPrimitive(hang)

    async def main() -> None:
        await half_open(breaker)
        closed = breaker.execute("hang")
        closed.send(None)
        assert breaker.breaker.statistics().probes == 1
        closed.close()
        assert breaker.breaker.statistics().probes == 0
        collected = breaker.execute("hang")
        collected.send(None)
        assert breaker.breaker.statistics().probes == 1
        del collected
        gc.collect()
        await holds_its_permit(breaker)

    run_virtual(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_request_to_exit_gives_the_permit_back(error: type[BaseException]) -> None:
    """It passes at once and is no failure."""
    breaker = CircuitBreakerPrimitive(hang, recovery_timeout=0.001, failure_threshold=1)
    breaker.breaker.open()

    async def main() -> None:
        await asyncio.sleep(0.01)
        await breaker.execute(error())

    with pytest.raises(error):
        asyncio.run(main())
    statistics = breaker.breaker.statistics()
    assert (statistics.state, statistics.probes) == ("half_open", 0)


def test_a_probe_that_hangs_does_not_hold_it_up_for_good() -> None:
    """After `half_open_timeout` it is open again, and its late end does not count."""
    breaker = CircuitBreakerPrimitive(hang, half_open_timeout=300.0)

    async def main() -> None:
        await half_open(breaker)
        probe = asyncio.ensure_future(breaker.execute("hang"))
        await asyncio.sleep(299)
        with pytest.raises(CircuitOpenError) as caught:
            await breaker.execute("x")
        assert caught.value.state == "half_open"
        await asyncio.sleep(1)
        with pytest.raises(CircuitOpenError) as caught:
            await breaker.execute("x")
        assert (caught.value.state, caught.value.retry_after) == ("open", 60.0)
        await asyncio.sleep(60)
        await breaker.execute("x")
        assert state(breaker) == "closed"
        assert await probe == "hang"
        assert state(breaker) == "closed"

    run_virtual(main())


def test_after_many_mixed_probes_no_permit_is_missing() -> None:
    """A thousand probes that end in every way leave all permits where they were."""
    ways: list[Any] = ["x", "hang", ValueError("does not count")]
    breaker = CircuitBreakerPrimitive(
        hang, half_open_max_calls=2, success_threshold=10_000, on=ConnectionError
    )

    async def one(number: int) -> None:
        task = asyncio.ensure_future(breaker.execute(ways[number % 3]))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    async def main() -> None:
        await half_open(breaker)
        for number in range(0, 1000, 10):
            await asyncio.gather(*(one(number + offset) for offset in range(10)))
        statistics = breaker.breaker.statistics()
        assert (statistics.state, statistics.probes) == ("half_open", 0)
        assert statistics.rejected > 0
        assert [breaker.breaker.acquire() for _ in range(2)]
        with pytest.raises(CircuitOpenError):
            breaker.breaker.acquire()

    run_virtual(main())


# --- streams --------------------------------------------------------------------------------------


class Model:
    """Streams words; it may fail at one of them."""

    def __init__(self) -> None:
        self.fail_at: int | None = None

    async def tokens(self, prompt: str) -> AsyncIterator[str]:
        for number, word in enumerate(prompt.split()):
            if number == self.fail_at:
                message = "line broke"
                raise ConnectionError(message)
            yield word


def streaming(model: Model, **options: Any) -> CircuitBreakerPrimitive[Any, Any]:
    return CircuitBreakerPrimitive(StreamPrimitive(model.tokens), **options)


async def read(breaker: CircuitBreakerPrimitive[Any, Any]) -> list[str]:
    async with breaker.stream("a b c") as stream:
        return [word async for word in stream]


@pytest.mark.parametrize("fail_at", [0, 2])
async def test_a_stream_that_breaks_is_a_failure(fail_at: int) -> None:
    """Also after its first item: while closed, a stream counts when it ends."""
    model = Model()
    breaker = streaming(model, failure_threshold=2)
    assert await read(breaker) == ["a", "b", "c"]
    model.fail_at = fail_at
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await read(breaker)
    assert state(breaker) == "open"
    with pytest.raises(CircuitOpenError):
        await read(breaker)


async def test_a_stream_that_is_left_early_is_no_failure() -> None:
    """The consumer had enough."""
    breaker = streaming(Model(), failure_threshold=1)
    async with breaker.stream("a b c") as stream:
        assert await anext(stream) == "a"
    assert breaker.breaker.statistics().consecutive_failures == 0
    assert state(breaker) == "closed"


def test_a_stream_as_a_probe_counts_when_its_first_item_is_there() -> None:
    """Its consumer may take long; nobody waits for that."""
    breaker = streaming(Model())

    async def main() -> None:
        await half_open(breaker)
        async with breaker.stream("a b c") as stream:
            assert await anext(stream) == "a"
            assert state(breaker) == "closed"
            assert await read(breaker) == ["a", "b", "c"]

    run_virtual(main())


# --- by hand --------------------------------------------------------------------------------------


def test_permits_can_be_taken_by_hand() -> None:
    """`acquire` and `release` are what the primitive uses; they await nothing."""
    now = [0.0]
    breaker = Breaker("mail", failure_threshold=1, recovery_timeout=10.0, clock=lambda: now[0])
    permit = breaker.acquire()
    breaker.release(permit, breaker.judge.outcome(ConnectionError()))
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.retry_after == 10.0
    now[0] = 10.0
    probe = breaker.acquire()
    breaker.release(probe, breaker.judge.outcome(asyncio.CancelledError()))
    assert breaker.state == "half_open"
    assert breaker.acquire(now=now[0]) == probe
    breaker.release(probe, "success", now=now[0])
    assert breaker.statistics().state == "closed"
