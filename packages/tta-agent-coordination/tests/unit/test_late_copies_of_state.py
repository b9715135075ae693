"""Copies, come late, of calls about shared values, registries, breakers, caches: no harm is done.

A client that has waited too long sends a call once more, and a server may come to the first copy
last, up to a minute later, when the client has had its answer and made other calls.
"""

from typing import Any

import pytest

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    CircuitBreaker,
    CircuitBreakerConfig,
    RedisAgentRegistry,
    RedisSharedState,
)
from tta_agent_coordination.resilience.breaking import BreakerTerms, SharedBreaker
from tta_agent_coordination.stores import RedisCacheStore
from tta_agent_coordination.testing import ManualClock

ONE = AgentId(type="writer", instance="1")
TERMS = BreakerTerms(
    threshold=2, open_for=10_000, probes=1, successes=2, half_open_for=60_000, lease=60_000
)

pytestmark = pytest.mark.parametrize("client", ["fakeredis", "redis"], indirect=True)


@pytest.fixture
def state(late: Any, clock: ManualClock, prefix: str) -> RedisSharedState:
    return RedisSharedState(late, prefix, _clock=clock.milliseconds)


@pytest.fixture
def registry(late: Any, clock: ManualClock, prefix: str) -> RedisAgentRegistry:
    return RedisAgentRegistry(late, prefix, _clock=clock.milliseconds)


@pytest.fixture
def breaker(late: Any, clock: ManualClock, prefix: str) -> SharedBreaker:
    """A breaker of which a test tells each call by itself."""
    return SharedBreaker(late, prefix, "mail", TERMS, clock=clock.milliseconds)


# Shared values.


async def test_a_value_that_was_put_later_stays(state: RedisSharedState, late: Any) -> None:
    """However many were put since."""
    calls = await late.sent(state.set("key", "old"))
    for number in range(100):
        await state.set("key", number)

    await late.copy(*calls)

    entry = await state.get("key")
    assert entry is not None
    assert entry.value == 99


async def test_a_value_that_was_deleted_stays_so(state: RedisSharedState, late: Any) -> None:
    calls = await late.sent(state.set("key", 1))
    calls += await late.sent(state.compare_and_set("other", 1, expected=0))
    await state.delete("key")
    await state.delete("other")

    await late.copy(*calls)

    assert await state.get("key") is None
    assert await state.get("other") is None


async def test_whoever_was_refused_does_not_lead_later(state: RedisSharedState, late: Any) -> None:
    """It has been told so, and would never step back."""
    await state.compare_and_set("leader", "ann", expected=0)
    calls = await late.sent(state.compare_and_set("leader", "bob", expected=0))
    await state.delete("leader")

    await late.copy(*calls)

    assert await state.get("leader") is None


async def test_what_was_refused_for_a_version_that_was_none_yet_is_not_done_later(
    state: RedisSharedState, late: Any
) -> None:
    """That of another key, by mistake; here the key gets the same one."""
    other = await state.set("other", 1)
    calls = await late.sent(state.compare_and_set("key", "wrong", other.version))
    entry = await state.set("key", "right")
    assert entry.version == other.version

    await late.copy(*calls)

    assert await state.get("key") == entry


async def test_a_deletion_that_found_nothing_deletes_nothing_later(
    state: RedisSharedState, late: Any
) -> None:
    calls = await late.sent(state.delete("key"))
    await state.set("key", 1)

    await late.copy(*calls)

    assert await state.get("key") is not None


# Registries.


async def test_who_was_deregistered_stays_so(registry: RedisAgentRegistry, late: Any) -> None:
    registry.register(AgentDescription(ONE))
    calls = await late.sent(registry.flush())
    calls += await late.sent(registry.heartbeat())
    registry.deregister(ONE)
    await registry.flush()

    await late.copy(*calls)

    assert await registry.list_registered() == []


async def test_who_registered_again_stays_so(
    registry: RedisAgentRegistry, late: Any, clock: ManualClock, prefix: str
) -> None:
    """By whomever it was deregistered before, or registered."""
    calls: list[Any] = []
    other = RedisAgentRegistry(late, prefix, _clock=clock.milliseconds)
    for one in (registry, other):
        one.register(AgentDescription(ONE, ["old"]))
        calls += await late.sent(one.flush())
        registry.deregister(ONE)
        calls += await late.sent(registry.flush())
    registry.register(AgentDescription(ONE, ["new"]))
    await registry.flush()

    await late.copy(*calls)

    assert [one["capabilities"] for one in await other.list_registered()] == [["new"]]
    await registry.heartbeat()
    assert registry.replaced == set()


# Breakers.


async def test_a_result_counts_once(breaker: SharedBreaker, late: Any) -> None:
    """A failure counted again would open the breaker; a success, end a row of failures."""
    first, second, third = [(await breaker.allow()).leave for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    calls = await late.sent(breaker.record(first.generation, first.token, "failure"))
    await late.copy(*calls)
    assert (await breaker.look()).state == "closed"

    calls = await late.sent(breaker.record(second.generation, second.token, "success"))
    await breaker.record(third.generation, third.token, "failure")
    await late.copy(*calls)
    assert (await breaker.look()).failures == 1


@pytest.mark.parametrize("tripped", [True, False])
async def test_a_breaker_stays_as_it_was_set_last(
    late: Any,
    clock: ManualClock,
    prefix: str,
    tripped: bool,  # noqa: FBT001 - a parameter
) -> None:
    config = CircuitBreakerConfig()
    made = CircuitBreaker(late, "mail", config, prefix, _clock=clock.milliseconds)
    first, last = (made.reset, made.trip) if tripped else (made.trip, made.reset)
    calls = await late.sent(first())
    await last()

    await late.copy(*calls)

    assert (await made.get_state()).state == ("open" if tripped else "closed")


@pytest.mark.parametrize("outcome", ["success", "failure", "cancelled"])
async def test_who_asked_for_leave_and_told_the_result_takes_no_place_of_a_probe(
    breaker: SharedBreaker, late: Any, clock: ManualClock, outcome: Any
) -> None:
    """Nobody would give it back, and no call pass until its lease had run out."""
    calls: list[Any] = []

    async def told(what: Any) -> None:
        leave = (await breaker.allow()).leave
        assert leave is not None
        await breaker.record(leave.generation, leave.token, what)

    for what in ("success", "failure", "failure"):
        calls += await late.sent(told(what))
    clock.advance(10)
    calls += await late.sent(told(outcome))
    if outcome == "failure":
        clock.advance(10)

    await late.copy(*calls)

    assert (await breaker.allow()).leave is not None


# Caches.


@pytest.mark.parametrize("ttl", [None, 60])
async def test_a_cached_value_that_was_replaced_or_deleted_does_not_come_back(
    late: Any, prefix: str, ttl: float | None
) -> None:
    cache = RedisCacheStore(late, prefix)
    calls = await late.sent(cache.set("a", b"old", ttl))
    calls += await late.sent(cache.set("b", b"old", ttl))
    await cache.set("a", b"new", ttl)
    await cache.delete("b")

    await late.copy(*calls)

    assert await cache.get("a") == b"new"
    assert await cache.get("b") is None
