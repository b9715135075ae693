"""Sending, over every back end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    ConfigurationError,
    InvalidMessageError,
    MessageMetrics,
    RejectReason,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]
# Longer than 64 bits.
BIG = 2**80


async def test_a_message_arrives_as_it_was_sent(coordinator: StoredMailboxes) -> None:
    """Payload, headers and all fields survive; attempt and times are told."""
    sent = sample("m1", payload={"a": [1, 2.5, None, True, "ü\n\x00"], "big": BIG}, timestamp="t")

    result = await coordinator.send_message(ASKER, WRITER, sent, headers={"traceparent": "00-ü"})
    received = await coordinator.receive(WRITER)

    assert result.delivered
    assert not result.duplicate
    assert received is not None
    assert received.message == sent
    assert received.headers == {"traceparent": "00-ü"}
    assert received.attempt == 1
    assert received.last_error is None


async def test_times_are_those_of_the_mailbox(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    sent_at = clock.now
    await coordinator.send_message(ASKER, WRITER, sample("m1"))
    clock.advance(3)

    received = await coordinator.receive(WRITER, 7)

    assert received is not None
    assert received.enqueued_at == sent_at
    assert received.deadline == sent_at + 10


async def test_messages_arrive_in_the_order_of_sending(coordinator: StoredMailboxes) -> None:
    """First in, first out, in one batch and over several calls; 450 need several round trips."""
    results = await coordinator.send_many(sample(f"{n}") for n in range(450))
    await coordinator.send_message(ASKER, WRITER, sample("last"))

    received = await coordinator.receive_many(WRITER, 1000)

    assert [result.message_id for result in results] == [f"{n}" for n in range(450)]
    assert [got.message.message_id for got in received] == [*map(str, range(450)), "last"]


async def test_the_same_id_within_the_window_is_a_duplicate(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """It counts as delivered and is not added, not even after it was acknowledged."""
    await coordinator.send_message(ASKER, WRITER, sample("m1"))
    clock.advance(119)
    again = await coordinator.send_message(ASKER, WRITER, sample("m1", payload={"other": 1}))

    assert again.delivered
    assert again.duplicate
    assert (await coordinator.stats(WRITER)).waiting == 1


async def test_after_the_window_an_id_is_new(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_message(ASKER, WRITER, sample("m1"))
    clock.advance(120)

    again = await coordinator.send_message(ASKER, WRITER, sample("m1"))

    assert again.delivered
    assert (await coordinator.stats(WRITER)).waiting == (1 if again.duplicate else 2)
    assert not again.duplicate or type(coordinator).__name__ == "RedisMessageCoordinator"


async def test_a_batch_with_a_repeated_id_adds_it_once(coordinator: StoredMailboxes) -> None:
    results = await coordinator.send_many([sample("a"), sample("b"), sample("a")])

    assert results[2].duplicate
    assert (await coordinator.stats(WRITER)).waiting == 2


async def test_ids_are_known_per_mailbox(coordinator: StoredMailboxes) -> None:
    """The window of one agent says nothing about another's."""
    other = AgentId(type="writer", instance="2")
    await coordinator.send_message(ASKER, WRITER, sample("m1"))

    result = await coordinator.send_message(ASKER, other, sample("m1", recipient=other))

    assert not result.duplicate


async def test_a_full_mailbox_refuses_with_a_reason(make: Make) -> None:
    coordinator = make(max_length=2)

    results = await coordinator.send_many(sample(f"{n}") for n in range(3))

    assert [result.delivered for result in results] == [True, True, False]
    assert results[2].reason is RejectReason.MAILBOX_FULL
    assert results[2].error is not None
    assert "max_length=2" in results[2].error


async def test_what_a_full_mailbox_refused_can_be_sent_when_there_is_room(make: Make) -> None:
    """A refusal leaves no trace in the window of deduplication."""
    coordinator = make(max_length=1)
    await coordinator.send_many([sample("a"), sample("b")])
    await coordinator.receive(WRITER)

    again = await coordinator.send_message(ASKER, WRITER, sample("b"))

    assert again.delivered
    assert not again.duplicate


async def test_a_repetition_is_a_duplicate_even_when_the_mailbox_is_full(make: Make) -> None:
    coordinator = make(max_length=1)
    await coordinator.send_message(ASKER, WRITER, sample("a"))

    again = await coordinator.send_message(ASKER, WRITER, sample("a"))

    assert again.duplicate
    assert again.delivered


async def test_scheduled_messages_have_a_limit_of_their_own(make: Make, clock: ManualClock) -> None:
    coordinator = make(max_length=1)
    later = datetime.fromtimestamp(clock.now + 60, UTC)
    await coordinator.send_message(ASKER, WRITER, sample("now"))

    results = await coordinator.send_many([sample("a"), sample("b")], deliver_at=later)

    assert [result.delivered for result in results] == [True, False]


async def test_a_message_that_is_too_large_is_refused_with_both_sizes(make: Make) -> None:
    coordinator = make(max_message_bytes=500)

    results = await coordinator.send_many(
        [sample("small"), sample("large", payload={"x": "y" * 500}), sample("end")]
    )

    assert [result.delivered for result in results] == [True, False, True]
    assert results[1].reason is RejectReason.TOO_LARGE
    assert results[1].error is not None
    assert "500" in results[1].error


async def test_a_scheduled_message_waits_for_its_time(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    later = datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=60)
    await coordinator.send_message(ASKER, WRITER, sample("m1"), deliver_at=later)

    clock.advance(59.999)
    early = await coordinator.receive(WRITER)
    clock.advance(0.001)
    received = await coordinator.receive(WRITER)

    assert early is None
    assert received is not None
    assert received.attempt == 1


async def test_scheduled_messages_come_in_the_order_of_their_times(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    for name, delay in (("c", 3), ("a", 1), ("b", 2)):
        at = datetime.fromtimestamp(clock.now + delay, UTC)
        await coordinator.send_message(ASKER, WRITER, sample(name), deliver_at=at)
    clock.advance(5)

    received = await coordinator.receive_many(WRITER, 10)

    assert [got.message.message_id for got in received] == ["a", "b", "c"]


async def test_a_time_in_the_past_is_now(coordinator: StoredMailboxes) -> None:
    past = datetime(2001, 1, 1, tzinfo=UTC)
    await coordinator.send_message(ASKER, WRITER, sample("m1"), deliver_at=past)

    assert await coordinator.receive(WRITER) is not None


async def test_a_message_past_its_time_to_live_is_dropped_and_counted(
    make: Make, clock: ManualClock
) -> None:
    metrics = MessageMetrics()
    coordinator = make(metrics=metrics)
    await coordinator.send_message(ASKER, WRITER, sample("short"), ttl=5)
    await coordinator.send_message(ASKER, WRITER, sample("long"), ttl=50)
    clock.advance(5)

    received = await coordinator.receive_many(WRITER, 5)

    assert [got.message.message_id for got in received] == ["long"]
    assert (await coordinator.stats(WRITER)).expired == 1


async def test_sender_and_recipient_must_be_those_of_the_message(
    coordinator: StoredMailboxes,
) -> None:
    with pytest.raises(ValueError, match="sender is"):
        await coordinator.send_message(WRITER, WRITER, sample("m1"))
    with pytest.raises(ValueError, match="recipient is"):
        await coordinator.send_message(ASKER, ASKER, sample("m1"))

    assert (await coordinator.stats(WRITER)).waiting == 0


async def test_a_batch_with_one_bad_message_sends_none(coordinator: StoredMailboxes) -> None:
    """All are written before the first is sent."""
    bad = sample("bad")
    bad.payload["set"] = object()

    with pytest.raises(InvalidMessageError, match="'bad'"):
        await coordinator.send_many([sample("good"), bad])

    assert (await coordinator.stats(WRITER)).waiting == 0


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "5"])
async def test_a_senseless_time_to_live_is_refused(coordinator: StoredMailboxes, ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        await coordinator.send_many([sample("m1")], ttl=ttl)


async def test_a_time_without_a_zone_is_refused(coordinator: StoredMailboxes) -> None:
    """Whose noon would it be?"""
    with pytest.raises(ConfigurationError, match="time zone"):
        await coordinator.send_many([sample("m1")], deliver_at=datetime(2027, 1, 1))  # noqa: DTZ001


async def test_deliveries_are_counted(make: Make) -> None:
    metrics = MessageMetrics()
    coordinator = make(metrics=metrics, max_length=2)

    await coordinator.send_many([sample("a"), sample("a"), sample("b"), sample("c")])

    counts = metrics.snapshot()
    assert (counts["delivered_ok"], counts["delivered_error"]) == (3, 1)
    assert counts["rejected"] == 1


async def test_metrics_with_only_the_two_counters_will_do(make: Make) -> None:
    class TwoCounters:
        ok = 0
        failed = 0

        def inc_delivered_ok(self, count: int) -> None:
            self.ok += count

        def inc_delivered_error(self, count: int) -> None:
            self.failed += count

    metrics = TwoCounters()
    coordinator = make(metrics=metrics)
    await coordinator.send_many([sample("a"), sample("b")])
    await coordinator.receive(WRITER)

    assert metrics.ok == 2
