"""The corners of the scripts: calls that run twice, what cannot be read, what is due all at once.

Over fakeredis, without a server; `lua_lines.py` beside this folder tells which lines no test runs.
"""

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    CircuitBreaker,
    CoordinatorConnectionError,
    FailureType,
    MessageCoordinatorError,
    MessagePriority,
    RedisAgentRegistry,
    RedisMessageCoordinator,
)
from tta_agent_coordination.resilience.breaking import BreakerTerms, SharedBreaker
from tta_agent_coordination.testing import WRITER, ManualClock, sample

fakeredis: Any = pytest.importorskip("fakeredis")
ONE = AgentId(type="writer", instance="1")
MAILBOX = "{test:writer}:m:*"


@pytest.fixture
async def client() -> AsyncIterator[Any]:
    """A client of a server of its own."""
    made = fakeredis.FakeAsyncRedis()
    yield made
    await made.aclose()


@pytest.fixture
def make(client: Any, clock: ManualClock) -> Callable[..., RedisMessageCoordinator]:
    """Make a coordinator, by default over that server, in the test's own time."""

    def made(over: Any = client, **options: Any) -> RedisMessageCoordinator:
        options = {"backoff_jitter": 0, **options}
        return RedisMessageCoordinator(over, "test", _clock=clock.milliseconds, **options)

    return made


class Losing:
    """A client that loses the reply of the first script."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self._lost = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and lose what it returns."""
        reply = await self._client.execute_command(*args, **options)
        if self._lost:
            return reply
        self._lost = True
        raise RedisConnectionError("lost")


async def names(coordinator: RedisMessageCoordinator, agent: AgentId, most: int) -> list[str]:
    """Return what an agent receives at once."""
    received = await coordinator.receive_many(agent, most, 60)
    return [one.message.message_id for one in received]


@pytest.mark.parametrize("agent", [WRITER, ONE])
async def test_a_repeated_take_returns_the_same_leases(
    make: Callable[..., RedisMessageCoordinator],
    client: Any,
    twice: Callable[[Any], Any],
    agent: AgentId,
) -> None:
    """The reply of the first got lost; of one mailbox, and of two, all priorities mixed."""
    plain, repeated = make(), make(twice(client))
    priorities = [MessagePriority.LOW, MessagePriority.HIGH, MessagePriority.NORMAL]
    await plain.send_many(
        sample(f"{n}", priority=priorities[n % 3], recipient=WRITER) for n in range(9)
    )

    received = await repeated.receive_many(agent, 4, 60)
    rest = await plain.receive_many(WRITER, 9, 60)

    assert len({one.token for one in received}) == 4
    assert [one.attempt for one in received] == [1] * 4
    found = {one.message.message_id for one in (*received, *rest)}
    assert found == {f"{n}" for n in range(9)}
    assert await plain.ack_many([one.token for one in received]) == [True] * 4


async def test_a_repeated_take_of_what_is_now_another_list(
    make: Callable[..., RedisMessageCoordinator], client: Any, twice: Callable[[Any], Any]
) -> None:
    """Between the two, what the second would take is put back where it was, in its order."""
    plain, repeated = make(), make(twice(client))
    await plain.send_many(sample(f"{n}") for n in range(6))

    received = await repeated.receive_many(WRITER, 2, 60)

    assert [one.message.message_id for one in received] == ["0", "1"]
    assert await names(plain, WRITER, 9) == ["2", "3", "4", "5"]


async def test_a_repeated_purge_tells_the_same(
    make: Callable[..., RedisMessageCoordinator], client: Any, twice: Callable[[Any], Any]
) -> None:
    repeated = make(twice(client))
    await repeated.send_many(sample(f"{n}") for n in range(3))

    assert await repeated.purge(WRITER) == 3


async def test_a_delivery_that_nobody_heard_of_does_not_count(
    make: Callable[..., RedisMessageCoordinator], client: Any, clock: ManualClock
) -> None:
    """Not even when others have had the message since."""
    other, losing = make(max_attempts=2), make(Losing(client), max_attempts=2)
    await other.send_many([sample("m1")])
    with pytest.raises(CoordinatorConnectionError):
        await losing.receive(WRITER, 1)
    clock.advance(2)
    second = await other.receive(WRITER, 1)
    assert second is not None
    assert second.attempt == 2

    assert await losing.receive(WRITER, 1) is None
    clock.advance(2)
    third = await losing.receive(WRITER, 1)

    assert third is not None
    assert third.message == second.message
    assert third.attempt == 2
    assert (await other.stats(WRITER)).dead == 0


async def test_nor_does_it_when_another_delivery_fails(
    make: Callable[..., RedisMessageCoordinator], client: Any, clock: ManualClock
) -> None:
    """A message that would be given up is tried once more, unchanged."""
    other, losing = make(max_attempts=2), make(Losing(client), max_attempts=2)
    await other.send_many([sample("m1", payload={"n": 1})])
    with pytest.raises(CoordinatorConnectionError):
        await losing.receive(WRITER, 1)
    clock.advance(2)
    second = await other.receive(WRITER, 60)
    assert second is not None
    assert await losing.receive(WRITER, 1) is None

    assert await other.nack(WRITER, second.token, FailureType.TRANSIENT, "busy")
    clock.advance(60)
    third = await other.receive(WRITER)

    assert third is not None
    assert (third.message, third.attempt, third.last_error) == (second.message, 2, "busy")


async def test_what_cannot_be_read_becomes_a_dead_letter(
    make: Callable[..., RedisMessageCoordinator], client: Any
) -> None:
    coordinator = make()
    await coordinator.send_many([sample("m1")])
    await client.lpush(f"{MAILBOX}:r5", b"\xff\x00")

    assert await names(coordinator, WRITER, 5) == ["m1"]
    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert letter.message is None
    assert letter.failure is FailureType.PERMANENT


async def test_two_messages_of_one_id_can_wait_for_their_time(
    make: Callable[..., RedisMessageCoordinator], clock: ManualClock
) -> None:
    """One is scheduled, the other failed and waits to be tried again."""
    coordinator = make(dedupe_window=0, backoff_base=5)
    await coordinator.send_many([sample("m1", payload={"n": 1})])
    received = await coordinator.receive(WRITER)
    assert received is not None
    at = datetime.fromtimestamp(clock.now + 3, UTC)
    await coordinator.send_many([sample("m1", payload={"n": 2})], deliver_at=at)

    assert await coordinator.nack(WRITER, received.token)
    assert (await coordinator.stats(WRITER)).scheduled == 2
    clock.advance(10)

    both = await coordinator.receive_many(WRITER, 5)
    assert sorted(one.message.payload["n"] for one in both) == [1, 2]


async def test_more_is_due_than_is_taken(
    make: Callable[..., RedisMessageCoordinator], clock: ManualClock
) -> None:
    """Three leases have run out; who takes one leaves two for others, in their order."""
    coordinator = make()
    await coordinator.send_many(sample(f"{n}") for n in range(3))
    await coordinator.receive_many(WRITER, 3, 1)
    clock.advance(2)

    assert await names(coordinator, WRITER, 1) == ["0"]
    assert await names(coordinator, ONE, 5) == ["1", "2"]


async def test_many_expired_messages_do_not_hold_up_the_server(
    make: Callable[..., RedisMessageCoordinator], clock: ManualClock
) -> None:
    """A call drops a hundred at most; a receiver that waits goes on by itself."""
    coordinator = make()
    await coordinator.send_many((sample(f"{n}") for n in range(150)), ttl=1)
    await coordinator.send_many([sample("alive")])
    clock.advance(2)

    received = await coordinator.receive(WRITER, 60, wait=100)

    assert received is not None
    assert received.message.message_id == "alive"
    assert (await coordinator.stats(WRITER)).expired == 150


async def test_a_breaker_goes_by_the_clock_of_its_server(client: Any) -> None:
    breaker = CircuitBreaker(client, uuid.uuid4().hex)

    await breaker.trip()

    assert (await breaker.get_state()).state == "open"


async def test_a_window_of_time_forgets_the_calls_that_are_older(
    client: Any, clock: ManualClock
) -> None:
    terms = BreakerTerms(
        threshold=None,
        failure_rate=0.5,
        window=10_000,
        minimum=2,
        open_for=1000,
        probes=1,
        successes=1,
        half_open_for=1000,
        lease=1000,
    )
    breaker = SharedBreaker(client, "p", "mail", terms, clock=clock.milliseconds)

    async def call(outcome: Literal["success", "failure"]) -> str:
        leave = (await breaker.allow()).leave
        assert leave is not None
        return (await breaker.record(leave.generation, leave.token, outcome))[0]

    assert await call("failure") == "closed"  # one call is too few to judge by
    clock.advance(11)
    assert await call("failure") == "closed"  # and the first one is over
    clock.advance(5)
    assert await call("failure") == "open"


async def test_what_cannot_be_read_when_its_time_comes_becomes_a_dead_letter(
    make: Callable[..., RedisMessageCoordinator], client: Any, clock: ManualClock
) -> None:
    coordinator = make()
    at = datetime.fromtimestamp(clock.now + 3, UTC)
    await coordinator.send_many([sample("m1"), sample("m2")], deliver_at=at)
    await client.hset(f"{MAILBOX}:y", "m1", b"\xff\x00")
    clock.advance(5)

    assert await names(coordinator, WRITER, 5) == ["m2"]
    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert letter.message is None


async def test_a_repeated_take_leaves_what_came_meanwhile_to_others(
    make: Callable[..., RedisMessageCoordinator], client: Any
) -> None:
    """The reply got lost, more was sent, and the client asked again by itself."""
    plain = make()

    class Late:
        connection_pool = client.connection_pool

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            await client.execute_command(*args, **options)
            await plain.send_many(sample(f"late {n}") for n in range(3))
            return await client.execute_command(*args, **options)

    await plain.send_many([sample("first")])
    await names(plain, ONE, 1)  # so that the server knows the script
    await plain.send_many([sample("a"), sample("b")])

    received = await make(Late()).receive_many(WRITER, 4, 60)

    assert [one.message.message_id for one in received] == ["a", "b"]
    assert await names(plain, WRITER, 9) == ["late 0", "late 1", "late 2"]
    assert (await plain.stats(WRITER)).leased == 6


async def test_a_repeated_deregistration_tells_the_same(
    client: Any, clock: ManualClock, twice: Callable[[Any], Any]
) -> None:
    """By who registered the agent, and by another one."""
    one = RedisAgentRegistry(client, "test", _clock=clock.milliseconds)
    other = RedisAgentRegistry(twice(client), "test", _clock=clock.milliseconds)
    one.register(AgentDescription(ONE, ()))
    await one.flush()

    other.deregister(ONE)
    await other.flush()

    assert await other.agents() == []


async def test_a_foreign_type_under_a_key_loses_nothing(
    make: Callable[..., RedisMessageCoordinator], client: Any
) -> None:
    """What was refused can be sent again, and what could not be leased is still there."""
    coordinator = make()
    await client.set(f"{MAILBOX}:r5", "foreign")
    with pytest.raises(MessageCoordinatorError):
        await coordinator.send_many([sample("m1"), sample("m2")])
    await client.delete(f"{MAILBOX}:r5")
    results = await coordinator.send_many([sample("m1"), sample("m2")])
    await client.set(f"{MAILBOX}:h", "foreign")
    with pytest.raises(MessageCoordinatorError):
        await coordinator.receive_many(WRITER, 2)
    await client.delete(f"{MAILBOX}:h")

    assert not any(result.duplicate for result in results)
    assert await names(coordinator, WRITER, 5) == ["m1", "m2"]


async def test_what_is_leased_is_received_though_the_next_mailbox_is_foreign(
    make: Callable[..., RedisMessageCoordinator], client: Any
) -> None:
    """An instance gets its own; the call after tells what is wrong with the shared ones."""
    coordinator = make()
    await coordinator.send_many([sample("own", recipient=ONE), sample("shared")])
    await client.set(f"{MAILBOX}:t", "foreign")

    assert await names(coordinator, ONE, 5) == ["own"]
    with pytest.raises(MessageCoordinatorError):
        await coordinator.receive(ONE)
    await client.delete(f"{MAILBOX}:t")

    assert await names(coordinator, ONE, 5) == ["shared"]
