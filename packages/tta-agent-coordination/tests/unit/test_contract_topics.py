"""Topics and broadcasts, over every back end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    ConfigurationError,
    InvalidMessageError,
    MessageResult,
    RejectReason,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]
ONE = AgentId(type="writer", instance="1")
TWO = AgentId(type="writer", instance="2")
PAINTER = AgentId(type="paint er:{x}", instance="a:b *")
TOPIC = "news: {all} ü"


def reached(results: list[MessageResult]) -> set[AgentId | None]:
    """Return who got a new copy."""
    return {result.recipient for result in results if result.delivered and not result.duplicate}


async def names(coordinator: StoredMailboxes, agent: AgentId) -> list[str]:
    """Receive and acknowledge all; return the ids."""
    received = await coordinator.receive_many(agent, 100)
    assert {got.message.recipient for got in received} <= {agent}
    await coordinator.ack_many([got.token for got in received])
    return [got.message.message_id for got in received]


async def test_each_subscriber_gets_a_copy(coordinator: StoredMailboxes) -> None:
    """Instances, a type as a whole, and names with anything in them; others get none."""
    for agent in (ONE, PAINTER, AgentId(type="group")):
        await coordinator.subscribe(agent, TOPIC)

    results = await coordinator.publish(TOPIC, sample("m1"))

    assert reached(results) == {ONE, PAINTER, AgentId(type="group")}
    assert await names(coordinator, ONE) == ["m1"]
    assert await names(coordinator, PAINTER) == ["m1"]
    assert await names(coordinator, AgentId(type="group")) == ["m1"]
    assert await names(coordinator, TWO) == []
    assert await names(coordinator, WRITER) == []


async def test_a_copy_waits_for_its_subscriber(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """However long that one is away; it gets what was published meanwhile, in order."""
    await coordinator.subscribe(ONE, TOPIC)
    for n in range(3):
        await coordinator.publish(TOPIC, sample(f"{n}"))
        clock.advance(86_400)

    assert await names(coordinator, ONE) == ["0", "1", "2"]


async def test_copies_fail_and_die_apart(coordinator: StoredMailboxes) -> None:
    """What one subscriber does with its copy is of no matter to the others."""
    await coordinator.subscribe(ONE, TOPIC)
    await coordinator.subscribe(TWO, TOPIC)
    await coordinator.publish(TOPIC, sample("m1"))
    received = await coordinator.receive(ONE)
    assert received is not None
    await coordinator.nack(ONE, received.token)

    assert (await coordinator.stats(ONE)).scheduled == 1
    assert await names(coordinator, TWO) == ["m1"]


async def test_publishing_again_reaches_only_those_who_missed_it(
    coordinator: StoredMailboxes,
) -> None:
    await coordinator.subscribe(ONE, TOPIC)
    await coordinator.publish(TOPIC, sample("m1"))
    await coordinator.subscribe(TWO, TOPIC)

    results = await coordinator.publish(TOPIC, sample("m1"))

    assert reached(results) == {TWO}
    assert all(result.delivered for result in results)
    assert await names(coordinator, ONE) == ["m1"]


async def test_a_full_mailbox_does_not_stop_the_other_copies(make: Make) -> None:
    coordinator = make(max_length=1)
    await coordinator.subscribe(ONE, TOPIC)
    await coordinator.subscribe(TWO, TOPIC)
    await coordinator.send_many([sample("m0", recipient=ONE)])

    results = await coordinator.publish(TOPIC, sample("m1"))

    assert reached(results) == {TWO}
    assert {
        result.recipient for result in results if result.reason is RejectReason.MAILBOX_FULL
    } == {ONE}


async def test_a_topic_without_subscribers_takes_everything(coordinator: StoredMailboxes) -> None:
    assert await coordinator.publish(TOPIC, sample("m1")) == []


async def test_who_has_unsubscribed_gets_nothing_more(coordinator: StoredMailboxes) -> None:
    """What is in the mailbox stays; unsubscribing twice is no error."""
    subscription = await coordinator.subscribe(ONE, TOPIC)
    await coordinator.publish(TOPIC, sample("before"))
    await coordinator.unsubscribe(subscription)
    await coordinator.unsubscribe(subscription)

    assert await coordinator.publish(TOPIC, sample("after")) == []
    assert await names(coordinator, ONE) == ["before"]


async def test_subscriptions_can_be_listed(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """By topic and by agent; subscribing twice is one."""
    first = await coordinator.subscribe(PAINTER, TOPIC)
    clock.advance(1)
    await coordinator.subscribe(ONE, TOPIC)
    clock.advance(1)
    other = await coordinator.subscribe(ONE, "other")
    again = await coordinator.subscribe(ONE, TOPIC)

    assert (first.agent_id, first.topic) == (PAINTER, TOPIC)
    assert await coordinator.subscriptions(topic=TOPIC) == [first, again]
    assert set(await coordinator.subscriptions(agent_id=ONE)) == {again, other}
    assert await coordinator.subscriptions(agent_id=TWO) == []
    assert len({first.subscription_id, again.subscription_id, other.subscription_id}) == 3
    await coordinator.unsubscribe(again)
    assert await coordinator.subscriptions(agent_id=ONE) == [other]


async def test_copies_may_come_later_and_end(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.subscribe(ONE, TOPIC)
    at = datetime.fromtimestamp(clock.now + 10, UTC)
    await coordinator.publish(TOPIC, sample("later"), deliver_at=at, headers={"h": "1"})
    await coordinator.publish(TOPIC, sample("ends"), ttl=5)

    clock.advance(10)
    received = await coordinator.receive_many(ONE, 5)

    assert [(got.message.message_id, got.headers) for got in received] == [("later", {"h": "1"})]


async def test_many_subscribers_get_their_copies(coordinator: StoredMailboxes) -> None:
    """More than fit into one call, of several types."""
    agents = [AgentId(type=f"t{n % 3}", instance=f"{n}") for n in range(450)]
    for agent in agents:
        await coordinator.subscribe(agent, TOPIC)

    results = await coordinator.publish(TOPIC, sample("m1"))

    assert reached(results) == set(agents)
    assert await names(coordinator, agents[-1]) == ["m1"]


@pytest.mark.parametrize("topic", ["", None, 5, b"x"])
async def test_a_senseless_topic_is_refused(coordinator: StoredMailboxes, topic: Any) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        await coordinator.subscribe(ONE, topic)
    with pytest.raises(ConfigurationError, match="topic"):
        await coordinator.publish(topic, sample("m1"))


async def test_what_cannot_be_published_is_refused(coordinator: StoredMailboxes) -> None:
    wrong: Any = {}
    with pytest.raises(InvalidMessageError, match="AgentMessage"):
        await coordinator.publish(TOPIC, wrong)
    with pytest.raises(ConfigurationError, match="either"):
        await coordinator.subscriptions()
    with pytest.raises(ConfigurationError, match="either"):
        await coordinator.subscriptions(topic=TOPIC, agent_id=ONE)


async def test_a_broadcast_reaches_the_instances_of_a_type_that_have_received(
    coordinator: StoredMailboxes,
) -> None:
    for agent in (ONE, TWO, PAINTER, WRITER):
        await coordinator.receive(agent)

    results = await coordinator.broadcast(sample("m1"), agent_type="writer")

    assert reached(results) == {ONE, TWO}
    assert await names(coordinator, ONE) == ["m1"]
    assert await names(coordinator, PAINTER) == []
    assert await coordinator.broadcast(sample("m2"), agent_type="nobody") == []


async def test_a_broadcast_to_all_reaches_every_type(coordinator: StoredMailboxes) -> None:
    for agent in (ONE, PAINTER, ASKER):
        await coordinator.receive(agent)

    results = await coordinator.broadcast(sample("m1"))

    assert reached(results) == {ONE, PAINTER, ASKER}


async def test_who_has_not_received_for_long_is_not_reached(make: Make, clock: ManualClock) -> None:
    await make().receive(ONE)
    clock.advance(100)
    coordinator = make()
    await coordinator.receive(TWO)

    if await make().broadcast(sample("m0"), seen_within=200):  # those in memory do not share
        assert reached(await coordinator.broadcast(sample("m1"), seen_within=101)) == {ONE, TWO}
    assert reached(await coordinator.broadcast(sample("m2"), seen_within=60)) == {TWO}
    with pytest.raises(ConfigurationError, match="60"):
        await coordinator.broadcast(sample("m3"), seen_within=5)


async def test_who_waits_to_receive_is_reached(make_real: Make) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(ONE, 600, wait=1000))
    while (await coordinator.stats(ONE)).receivers == 0:  # noqa: ASYNC110 - it may be a server
        await asyncio.sleep(0.002)

    await coordinator.broadcast(sample("m1"))
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert received.message.recipient == ONE


async def test_one_send_serves_many_instances_of_a_type(coordinator: StoredMailboxes) -> None:
    """Their messages stay apart and in order, whatever mixture is sent."""
    recipients = [ONE, TWO, TWO, WRITER, ONE, TWO, ONE, ONE]
    results = await coordinator.send_many(
        sample(f"{n}", recipient=agent) for n, agent in enumerate(recipients)
    )

    assert [result.recipient for result in results] == recipients
    assert [result.message_id for result in results] == [f"{n}" for n in range(8)]
    assert await names(coordinator, WRITER) == ["3"]
    assert await names(coordinator, ONE) == ["0", "4", "6", "7"]
    assert await names(coordinator, TWO) == ["1", "2", "5"]
