"""A breaker whose state a store keeps: shared by name, never in the way when the store fails."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import TYPE_CHECKING, Any, cast

import pytest

from tta_dev_primitives import StreamPrimitive
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError
from tta_dev_primitives.recovery import CircuitBreaker, CircuitBreakerPrimitive, MemoryBreakerStore
from tta_dev_primitives.testing import preserved_observers, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tta_dev_primitives.recovery import BreakerConfig, BreakerStore
    from tta_dev_primitives.recovery.breakers.records import StateChange
    from tta_dev_primitives.recovery.breakers.store import Permit


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody listens, and where an observer does."""
    with preserved_observers():
        engine.silence()
        if request.param == "observed":
            engine.add_observer(NullObserver())
        yield


class Provider:
    """Returns its input after `delay` seconds, or raises it."""

    def __init__(self) -> None:
        self.calls = 0
        self.delay = 0.0
        self.__name__ = "provider"

    async def __call__(self, value: Any) -> Any:
        self.calls += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if isinstance(value, BaseException):
            raise value
        return value


def guarded(store: Any, step: Any = None, **options: Any) -> CircuitBreakerPrimitive[Any, Any]:
    usual: dict[str, Any] = {"failure_threshold": 2, "name": "mail"}
    return CircuitBreakerPrimitive(step or Provider(), store=store, **{**usual, **options})


async def fail(*breakers: CircuitBreakerPrimitive[Any, Any]) -> None:
    for breaker in breakers:
        with pytest.raises(ConnectionError):
            await breaker.execute(ConnectionError("down"))


def test_primitives_with_one_store_and_one_name_are_one_breaker() -> None:
    """Opened by the failures of both, closed by the probe of either (case 54)."""
    store = MemoryBreakerStore()
    one, two, other = guarded(store), guarded(store), guarded(store, name="other")

    async def main() -> None:
        await fail(one, two)
        for breaker in (one, two):
            with pytest.raises(CircuitOpenError) as caught:
                await breaker.execute("x")
            assert (caught.value.name, caught.value.retry_after) == ("mail", None)
        assert await other.execute("x") == "x"
        await asyncio.sleep(60)
        assert await two.execute("x") == "x"
        assert await one.execute("x") == "x"

    run_virtual(main())


def test_a_hook_is_told_what_the_store_says() -> None:
    """Of the changes that this primitive comes to see."""
    changes: list[StateChange] = []
    breaker = guarded(MemoryBreakerStore(), on_state_change=changes.append)

    async def main() -> None:
        await fail(breaker, breaker)
        await asyncio.sleep(60)
        await breaker.execute("x")

    run_virtual(main())
    assert [change.after for change in changes] == ["open", "closed"]
    assert {change.reason for change in changes} == {"seen in the store"}


def test_a_cancelled_probe_is_given_back_to_the_store() -> None:
    """The store hears of it before the cancellation leaves (case 52)."""
    provider = Provider()
    breaker = guarded(MemoryBreakerStore(), provider)

    async def main() -> None:
        await fail(breaker, breaker)
        await asyncio.sleep(60)
        provider.delay = 100.0
        probe = asyncio.ensure_future(breaker.execute("x"))
        await asyncio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await breaker.execute("x")
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        provider.delay = 0.0
        assert await breaker.execute("x") == "x"

    run_virtual(main())


def test_slow_calls_are_told_to_the_store_as_slow() -> None:
    """The duration is the caller's, on its own clock."""
    provider = Provider()
    provider.delay = 3.0
    breaker = guarded(
        MemoryBreakerStore(),
        provider,
        slow_call_rate=1.0,
        slow_call_seconds=2.0,
        minimum_calls=2,
    )

    async def main() -> None:
        for _ in range(2):
            assert await breaker.execute("x") == "x"
        with pytest.raises(CircuitOpenError):
            await breaker.execute("x")

    run_virtual(main())


async def test_a_stream_counts_when_its_first_item_is_there() -> None:
    """Nothing could be awaited when it ends."""

    async def words(prompt: str) -> AsyncIterator[str]:
        if prompt == "down":
            message = "down"
            raise ConnectionError(message)
        for word in prompt.split():
            yield word

    breaker = guarded(MemoryBreakerStore(), StreamPrimitive(words))
    async with breaker.stream("a b") as stream:
        assert [word async for word in stream] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(ConnectionError):
            async with breaker.stream("down") as stream:
                await anext(stream)
    with pytest.raises(CircuitOpenError):
        async with breaker.stream("a b") as stream:
            await anext(stream)


# --- stores that fail -----------------------------------------------------------------------------


WORKS, HANGS = "works", "hangs"


class Broken:
    """A store that does something wrong at one of its methods, and counts how often it is asked."""

    def __init__(self, allow: Any, record: Any) -> None:
        self.answers = {"allow": allow, "record": record}
        self.asked = 0
        self.inner = MemoryBreakerStore()

    async def _do(self, method: str, *args: Any) -> Any:
        self.asked += 1
        answer = self.answers[method]
        if answer is WORKS:
            return await getattr(self.inner, method)(*args)
        if answer is HANGS:
            await asyncio.Event().wait()
        if issubclass(type(answer), Exception):  # a hostile object lets nobody ask for its class
            raise cast("Exception", answer)
        return answer

    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        permit: Permit | None = await self._do("allow", name, config)
        return permit

    async def record(self, permit: Permit, outcome: Any) -> Any:
        return await self._do("record", permit, outcome)


class Hostile:
    """An answer that cannot even be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError


WRONG: list[Any] = [
    *(ConnectionError("no route"), HANGS, True, False, 0, "yes", object(), {}),
    pytest.param(Hostile(), id="hostile"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: str(one)[:12])
@pytest.mark.parametrize("method", ["allow", "record"])
def test_a_store_that_does_not_work_is_done_without(
    method: str, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls go through as if there were no breaker: no hang, no rejection, one warning."""
    answers: dict[str, Any] = {"allow": WORKS, "record": WORKS, method: wrong}
    store = Broken(**answers)
    provider = Provider()
    breaker = guarded(store, provider, failure_threshold=1, store_timeout=0.5)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for turn in range(5):
            began = loop.time()
            with pytest.raises(ConnectionError):
                await breaker.execute(ConnectionError("the step's own"))
            assert await breaker.execute(turn) == turn
            assert loop.time() - began <= 0.5  # the store's bound, once, then it is left alone
            await asyncio.sleep(2)

    with caplog.at_level(logging.WARNING, logger="tta_dev_primitives"):
        run_virtual(main())
    assert provider.calls == 10
    assert breaker.store_failures == 5
    assert len(caplog.records) == 1
    assert "does not work" in caplog.text


def test_record_that_gives_nothing_is_rubbish(caplog: pytest.LogCaptureFixture) -> None:
    """It must tell the state; None is none."""
    breaker = guarded(Broken(WORKS, None))
    assert run_virtual(breaker.execute("x")) == "x"
    assert breaker.store_failures == 1
    caplog.clear()


def test_a_store_that_comes_back_is_used_again() -> None:
    """After a second it is asked again, and then it decides."""
    store = Broken(ConnectionError("no route"), WORKS)
    breaker = guarded(store, failure_threshold=1)

    async def main() -> None:
        await breaker.execute("x")
        asked = store.asked
        store.answers["allow"] = WORKS
        await fail(breaker)
        assert store.asked == asked  # left alone
        await asyncio.sleep(1)
        await fail(breaker)
        with pytest.raises(CircuitOpenError):
            await breaker.execute("x")

    run_virtual(main())
    assert breaker.store_failures == 1


def test_a_pause_on_another_clock_is_no_pause() -> None:
    """What failed in real time is asked again in virtual time, which begins long before it."""
    store = Broken(ConnectionError("no route"), WORKS)
    breaker = guarded(store, failure_threshold=1)
    assert asyncio.run(breaker.execute("x")) == "x"
    store.answers["allow"] = WORKS
    asked = store.asked
    assert run_virtual(breaker.execute("x")) == "x"
    assert store.asked > asked


def test_cancelling_a_call_that_waits_for_its_store_cancels_it() -> None:
    """A store that hangs hides no cancellation, before or after the step."""

    async def main() -> None:
        for answers in ((HANGS, WORKS), (WORKS, HANGS)):
            breaker = guarded(Broken(*answers), store_timeout=100.0)
            task = asyncio.ensure_future(breaker.execute("x"))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_virtual(main())


async def test_a_call_that_is_closed_halfway_awaits_nothing_more() -> None:
    """The store does not hear of it; `half_open_timeout` frees the probe."""

    async def waits(value: str) -> str:
        await asyncio.sleep(3600)
        return value

    breaker = guarded(Broken(WORKS, HANGS), waits)
    call = breaker.execute("x")
    call.send(None)
    call.close()
    assert breaker.store_failures == 0


# --- set-up ---------------------------------------------------------------------------------------


async def test_the_state_is_the_stores() -> None:
    """There is no breaker to hold in hand."""
    breaker = guarded(MemoryBreakerStore())
    with pytest.raises(ConfigurationError, match="kept by its store"):
        _ = breaker.breaker
    assert breaker.store_failures == 0


async def test_a_decorated_function_goes_by_its_own_name() -> None:
    """Its calls and its step share what the store keeps under it."""
    store: BreakerStore = MemoryBreakerStore()

    @CircuitBreaker(store=store, failure_threshold=1)
    async def fetch(url: str) -> str:
        if url == "down":
            raise ConnectionError(url)
        return url

    assert await fetch("a") == "a"
    with pytest.raises(ConnectionError):
        await fetch("down")
    with pytest.raises(CircuitOpenError, match="'fetch'"):
        await fetch.execute("a")


async def test_the_memory_store_knows_its_own_permits() -> None:
    """A permit of another store is refused."""
    with pytest.raises(ConfigurationError, match="no permit of this store"):
        await MemoryBreakerStore().record(object(), "success")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_workflow_with_a_store_can_be_pickled_if_the_store_can() -> None:
    """What is kept at hand is made anew."""
    breaker = guarded(PicklableStore(), echo, on=ConnectionError)
    again = pickle.loads(pickle.dumps(breaker))  # noqa: S301 - our own bytes
    assert await again.execute("x") == "x"
    assert again.store_failures == 0


async def echo(value: Any) -> Any:
    return value


class PicklableStore(MemoryBreakerStore):
    def __reduce__(self) -> tuple[type[PicklableStore], tuple[()]]:
        return type(self), ()
