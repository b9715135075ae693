"""Pausing, cancelling, moving, purging and counting, over every back end."""

from datetime import UTC, datetime

import pytest

from tta_agent_coordination import AgentId, ConfigurationError, MessagePriority
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, ManualClock, sample


async def test_a_paused_mailbox_gives_nothing_and_takes_everything(
    coordinator: StoredMailboxes,
) -> None:
    await coordinator.send_many([sample("a")])
    leased = await coordinator.receive(WRITER)
    assert leased is not None
    await coordinator.pause(WRITER)
    await coordinator.send_many([sample("b")])

    assert await coordinator.receive(WRITER) is None
    assert (await coordinator.stats(WRITER)).paused
    assert await coordinator.ack(WRITER, leased.token)

    await coordinator.resume(WRITER)
    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.message.message_id == "b"


async def test_pausing_one_mailbox_leaves_the_other_open(coordinator: StoredMailboxes) -> None:
    """An instance still receives its own messages when those of its type are paused."""
    two = AgentId(type="writer", instance="2")
    await coordinator.send_many([sample("shared"), sample("own", recipient=two)])
    await coordinator.pause(WRITER)

    received = await coordinator.receive_many(two, 5)

    assert [got.message.message_id for got in received] == ["own"]


async def test_a_ready_message_can_be_cancelled(coordinator: StoredMailboxes) -> None:
    """Wherever it is in the queue, at whatever priority; the others stay in order."""
    await coordinator.send_many(sample(f"{n}") for n in range(1200))
    await coordinator.send_many([sample("low", priority=MessagePriority.LOW)])

    assert await coordinator.cancel(WRITER, "5")
    assert await coordinator.cancel(WRITER, "low")
    assert not await coordinator.cancel(WRITER, "5")
    assert not await coordinator.cancel(WRITER, "nobody")

    received = await coordinator.receive_many(WRITER, 6)
    assert [got.message.message_id for got in received] == ["0", "1", "2", "3", "4", "6"]


async def test_a_scheduled_message_can_be_cancelled(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    at = datetime.fromtimestamp(clock.now + 10, UTC)
    await coordinator.send_many([sample("a"), sample("b")], deliver_at=at)

    assert await coordinator.cancel(WRITER, "a")

    clock.advance(10)
    received = await coordinator.receive_many(WRITER, 5)
    assert [got.message.message_id for got in received] == ["b"]


async def test_a_message_that_is_worked_on_cannot_be_cancelled(
    coordinator: StoredMailboxes,
) -> None:
    await coordinator.send_many([sample("a")])
    received = await coordinator.receive(WRITER)
    assert received is not None

    assert not await coordinator.cancel(WRITER, "a")
    assert await coordinator.ack(WRITER, received.token)


async def test_a_scheduled_message_can_be_moved(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """Earlier and later."""
    at = datetime.fromtimestamp(clock.now + 10, UTC)
    await coordinator.send_many([sample("sooner"), sample("later")], deliver_at=at)
    start = clock.now

    assert await coordinator.reschedule(WRITER, "sooner", datetime.fromtimestamp(start + 5, UTC))
    assert await coordinator.reschedule(WRITER, "later", datetime.fromtimestamp(start + 20, UTC))

    clock.advance(5)
    first = await coordinator.receive_many(WRITER, 5)
    clock.advance(14.9)
    nothing = [
        got
        for got in await coordinator.receive_many(WRITER, 5)
        if got.message.message_id == "later"
    ]
    clock.advance(0.1)
    second = await coordinator.receive_many(WRITER, 5)
    assert [got.message.message_id for got in first] == ["sooner"]
    assert nothing == []
    assert "later" in {got.message.message_id for got in second}


async def test_a_message_in_back_off_can_be_tried_at_once(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("a")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.nack(WRITER, received.token)

    assert await coordinator.reschedule(WRITER, "a", datetime.fromtimestamp(clock.now, UTC))

    again = await coordinator.receive(WRITER)
    assert again is not None
    assert again.attempt == 2


async def test_only_what_waits_can_be_moved(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("ready")])
    at = datetime.fromtimestamp(clock.now + 10, UTC)

    assert not await coordinator.reschedule(WRITER, "ready", at)
    assert not await coordinator.reschedule(WRITER, "nobody", at)
    with pytest.raises(ConfigurationError, match="time zone"):
        await coordinator.reschedule(WRITER, "ready", datetime(2027, 1, 1))  # noqa: DTZ001


async def test_purging_removes_what_waits_and_spares_what_is_worked_on(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    at = datetime.fromtimestamp(clock.now + 10, UTC)
    await coordinator.send_many([sample("worked-on")])
    received = await coordinator.receive(WRITER, 100)
    assert received is not None
    await coordinator.send_many(
        sample(f"{priority.name}-{n}", priority=priority)
        for priority in MessagePriority
        for n in range(5)
    )
    await coordinator.send_many([sample("scheduled")], deliver_at=at)

    assert await coordinator.purge(WRITER) == 16

    clock.advance(20)
    assert await coordinator.receive(WRITER) is None
    assert await coordinator.ack(WRITER, received.token)
    assert await coordinator.purge(WRITER) == 0


async def test_a_purged_mailbox_goes_on_working(coordinator: StoredMailboxes) -> None:
    await coordinator.send_many([sample("a")])
    await coordinator.purge(WRITER)
    await coordinator.send_many([sample("b")])

    received = await coordinator.receive_many(WRITER, 5)

    assert [got.message.message_id for got in received] == ["b"]


async def test_statistics_tell_what_there_is(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    at = datetime.fromtimestamp(clock.now + 100, UTC)
    await coordinator.send_many([sample("leased")])
    await coordinator.receive(WRITER, 50)
    await coordinator.send_many(
        [sample("high", priority=MessagePriority.HIGH), sample("n1"), sample("n2")]
    )
    await coordinator.send_many([sample("scheduled")], deliver_at=at)
    clock.advance(2)

    stats = await coordinator.stats(WRITER)

    assert stats.ready == {
        MessagePriority.LOW: 0,
        MessagePriority.NORMAL: 2,
        MessagePriority.HIGH: 1,
    }
    assert (stats.waiting, stats.scheduled, stats.leased, stats.dead) == (3, 1, 1, 0)
    assert stats.oldest_age == 2
    assert not stats.paused


async def test_an_unknown_mailbox_is_empty(coordinator: StoredMailboxes) -> None:
    stats = await coordinator.stats(AgentId(type="nobody"))

    assert stats.waiting == 0
    assert stats.oldest_age is None
