"""Ordering keys, over every back end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    ConfigurationError,
    FailureType,
    MessagePriority,
    MessageType,
    ReceivedMessage,
    RejectReason,
    RequestTimeout,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]
KEY = "order 7: {ü}"


async def send(coordinator: StoredMailboxes, *names: str, key: str | None = KEY) -> None:
    await coordinator.send_many([sample(name) for name in names], ordering_key=key)


async def take(coordinator: StoredMailboxes, count: int = 10) -> list[ReceivedMessage]:
    return await coordinator.receive_many(WRITER, count)


def names(received: list[ReceivedMessage]) -> list[str]:
    return [got.message.message_id for got in received]


async def drain(coordinator: StoredMailboxes) -> list[str]:
    """Receive and acknowledge until nothing comes; return the ids in their order."""
    found: list[str] = []
    while received := await take(coordinator):
        found += names(received)
        await coordinator.ack_many([got.token for got in received])
    return found


async def test_messages_with_one_key_are_handed_out_one_at_a_time(
    coordinator: StoredMailboxes,
) -> None:
    """In the order of sending; the next one when the one before is acknowledged."""
    await send(coordinator, "a", "b", "c")
    for name in ("a", "b", "c"):
        received = await take(coordinator)
        assert names(received) == [name]
        assert received[0].ordering_key == KEY
        assert await take(coordinator) == []
        await coordinator.ack(WRITER, received[0].token)

    assert await take(coordinator) == []


async def test_other_keys_and_messages_without_one_go_on(coordinator: StoredMailboxes) -> None:
    await send(coordinator, "a1", "a2", key="a")
    await send(coordinator, "b1", "b2", key="b")
    await send(coordinator, "x", "y", key=None)

    assert names(await take(coordinator)) == ["a1", "b1", "x", "y"]
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased, stats.held) == (0, 4, 2)


async def test_acknowledging_along_makes_the_next_one_ready(coordinator: StoredMailboxes) -> None:
    """In the same round trip, also for many keys at once."""
    for key in ("a", "b", "c"):
        await send(coordinator, f"{key}1", f"{key}2", key=key)
    first = await take(coordinator)

    second = await coordinator.receive_many(WRITER, 10, ack=[got.token for got in first])

    assert names(first) == ["a1", "b1", "c1"]
    assert names(second) == ["a2", "b2", "c2"]


async def test_a_failed_message_holds_the_others_back_until_it_is_done(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await send(coordinator, "a", "b")
    first = await take(coordinator)
    await coordinator.nack(WRITER, first[0].token)

    assert await take(coordinator) == []
    clock.advance(1)
    again = await take(coordinator)
    assert names(again) == ["a"]
    await coordinator.ack(WRITER, again[0].token)
    assert names(await take(coordinator)) == ["b"]


async def test_a_dead_letter_holds_nobody_back(coordinator: StoredMailboxes) -> None:
    """Redriven, it comes after those that wait."""
    await send(coordinator, "a", "b", "c")
    first = await take(coordinator)
    await coordinator.nack(WRITER, first[0].token, FailureType.PERMANENT)
    await coordinator.dead_letters.redrive(WRITER)

    assert await drain(coordinator) == ["b", "c", "a"]


async def test_a_poison_message_holds_nobody_back_for_ever(make: Make, clock: ManualClock) -> None:
    coordinator = make(max_attempts=2)
    await send(coordinator, "a", "b")
    for _ in range(2):
        assert names(await take(coordinator)) == ["a"]
        clock.advance(5)

    assert names(await take(coordinator)) == ["b"]


async def test_a_lease_that_runs_out_keeps_the_order(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await send(coordinator, "a", "b")
    await take(coordinator)
    clock.advance(5)

    assert await drain(coordinator) == ["a", "b"]


async def test_given_back_it_is_still_the_first(coordinator: StoredMailboxes) -> None:
    await send(coordinator, "a", "b")
    received = await take(coordinator)
    await coordinator.give_back(WRITER, received[0].token)

    assert await drain(coordinator) == ["a", "b"]


async def test_an_expired_message_holds_nobody_back(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("a"), sample("b")], ttl=5, ordering_key=KEY)
    await send(coordinator, "c")
    clock.advance(5)

    assert await drain(coordinator) == ["c"]
    assert (await coordinator.stats(WRITER)).expired == 2


async def test_cancelling_makes_the_next_one_ready_and_what_waits_can_be_cancelled(
    coordinator: StoredMailboxes,
) -> None:
    await send(coordinator, "a", "b", "c", "d")

    assert await coordinator.cancel(WRITER, "c")
    assert await coordinator.cancel(WRITER, "a")
    assert not await coordinator.cancel(WRITER, "c")

    assert await drain(coordinator) == ["b", "d"]


async def test_cancelling_a_message_in_back_off_makes_the_next_one_ready(
    coordinator: StoredMailboxes,
) -> None:
    await send(coordinator, "a", "b")
    received = await take(coordinator)
    await coordinator.nack(WRITER, received[0].token)

    assert await coordinator.cancel(WRITER, "a")

    assert await drain(coordinator) == ["b"]


async def test_the_order_of_scheduled_messages_is_that_of_their_times(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """Until then they hold nobody back; cancelled, they leave nothing behind."""
    for name, delay in (("late", 20), ("early", 10), ("gone", 5)):
        at = datetime.fromtimestamp(clock.now + delay, UTC)
        await coordinator.send_many([sample(name)], deliver_at=at, ordering_key=KEY)
    await send(coordinator, "now")
    await coordinator.cancel(WRITER, "gone")
    received = await coordinator.receive_many(WRITER, 5, 60)
    clock.advance(30)

    assert names(received) == ["now"]
    assert await take(coordinator) == []
    await coordinator.ack(WRITER, received[0].token)
    assert await drain(coordinator) == ["early", "late"]


async def test_priorities_do_not_break_the_order(coordinator: StoredMailboxes) -> None:
    for name, priority in (("low", MessagePriority.LOW), ("high", MessagePriority.HIGH)):
        await coordinator.send_many([sample(name, priority=priority)], ordering_key=KEY)

    assert await drain(coordinator) == ["low", "high"]


async def test_purging_removes_what_waits_and_spares_what_is_worked_on(
    coordinator: StoredMailboxes,
) -> None:
    """Who works on a message still keeps those away that are sent afterwards."""
    await send(coordinator, "a", "b", "c")
    await send(coordinator, "x", "y", key="other")
    received = await take(coordinator, 1)

    assert await coordinator.purge(WRITER) == 4

    await send(coordinator, "d")
    await send(coordinator, "z", key="other")
    assert names(await take(coordinator)) == ["z"]
    await coordinator.ack(WRITER, received[0].token)
    assert names(await take(coordinator)) == ["d"]


async def test_what_is_held_back_counts_as_waiting(make: Make) -> None:
    coordinator = make(max_length=3)

    results = await coordinator.send_many([sample(f"{n}") for n in range(5)], ordering_key=KEY)

    assert [result.delivered for result in results] == [True, True, True, False, False]
    assert results[3].reason is RejectReason.MAILBOX_FULL


async def test_keys_of_one_mailbox_do_not_bind_another(coordinator: StoredMailboxes) -> None:
    one, two = (AgentId(type="writer", instance=name) for name in "12")
    await coordinator.send_many(
        [sample("a", recipient=one), sample("b", recipient=two)], ordering_key=KEY
    )

    assert names(await coordinator.receive_many(one, 5)) == ["a"]
    assert names(await coordinator.receive_many(two, 5)) == ["b"]


async def test_many_messages_of_one_key_come_in_order(coordinator: StoredMailboxes) -> None:
    """Among as many of another; and nothing of the keys is left."""
    sent = [f"{n}" for n in range(120)]
    await send(coordinator, *sent)
    await send(coordinator, *(f"x{name}" for name in sent), key="other")

    found = await drain(coordinator)

    assert [name for name in found if not name.startswith("x")] == sent
    assert (await coordinator.stats(WRITER)).held == 0


async def test_of_many_consumers_one_at_a_time_works_on_a_key(make_real: Make) -> None:
    """All of its messages are worked on in their order, none of them twice."""
    coordinator = make_real()
    sent = [f"{n}" for n in range(30)]
    await send(coordinator, *sent)
    working, seen = 0, list[str]()

    async def consume() -> None:
        nonlocal working
        async with coordinator.consume(WRITER, prefetch=4) as leases:
            async for lease in leases:
                async with lease:
                    working += 1
                    assert working == 1
                    await asyncio.sleep(0)
                    seen.append(lease.message.message_id)
                    working -= 1
                if len(seen) == len(sent):
                    finished.set()

    finished = asyncio.Event()
    tasks = [asyncio.create_task(consume()) for _ in range(3)]
    await asyncio.wait_for(finished.wait(), 100)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert seen == sent


@pytest.mark.parametrize("key", ["", 5, b"x"])
async def test_a_senseless_key_is_refused(coordinator: StoredMailboxes, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="ordering_key"):
        await coordinator.send_many([sample("a")], ordering_key=key)


async def test_a_token_given_twice_makes_one_message_ready(coordinator: StoredMailboxes) -> None:
    await send(coordinator, "a", "b", "c")
    (received,) = await take(coordinator)

    assert await coordinator.ack_many([received.token] * 3) == [True] * 3
    assert names(await take(coordinator)) == ["b"]


async def test_a_message_that_found_no_room_holds_nobody_back(make: Make) -> None:
    """Neither by its key, nor by its id: it can be sent again."""
    coordinator = make(max_length=1)
    await send(coordinator, "before", key=None)
    refused = await coordinator.send_many([sample("a")], ordering_key=KEY)
    assert refused[0].reason is RejectReason.MAILBOX_FULL
    assert await drain(coordinator) == ["before"]

    again = await coordinator.send_many([sample("a")], ordering_key=KEY)

    assert again[0].delivered
    assert not again[0].duplicate
    assert await drain(coordinator) == ["a"]


async def test_published_copies_keep_their_order_in_each_mailbox(
    coordinator: StoredMailboxes,
) -> None:
    """Of one subscriber, whatever the others have done."""
    readers = [AgentId(type="reader", instance=f"{n}") for n in range(2)]
    for reader in readers:
        await coordinator.subscribe(reader, "news")
    for n in range(2):
        await coordinator.publish("news", sample(f"{n}"), ordering_key=KEY)

    first = [await coordinator.receive_many(reader, 5) for reader in readers]
    await coordinator.ack_many([first[0][0].token])
    second = [await coordinator.receive_many(reader, 5) for reader in readers]

    assert list(map(names, first)) == [["0"], ["0"]]
    assert list(map(names, second)) == [["1"], []]


async def test_broadcast_copies_keep_their_order(coordinator: StoredMailboxes) -> None:
    reader = AgentId(type="reader", instance="1")
    await coordinator.receive(reader)
    for n in range(2):
        await coordinator.broadcast(sample(f"{n}"), agent_type="reader", ordering_key=KEY)

    assert names(await coordinator.receive_many(reader, 5)) == ["0"]


async def test_requests_of_one_key_are_worked_on_one_after_the_other(make_real: Make) -> None:
    coordinator = make_real()
    questions = [sample(f"q{n}", message_type=MessageType.REQUEST) for n in range(3)]
    asked = [
        asyncio.create_task(coordinator.request(question, timeout=100, ordering_key=KEY))
        for question in questions
    ]
    worked: list[str] = []
    for _ in questions:
        received = await coordinator.receive_many(WRITER, 5, 600, wait=100)
        worked += names(received)
        await coordinator.reply(received[0], {"to": worked[-1]})
        await coordinator.ack(WRITER, received[0].token)

    answers = [await one for one in asked]
    assert sorted(worked) == ["q0", "q1", "q2"]
    assert [answer.payload["to"] for answer in answers] == ["q0", "q1", "q2"]


async def test_a_request_that_nobody_waits_for_holds_nobody_back(make_real: Make) -> None:
    coordinator = make_real()
    question = sample("q", message_type=MessageType.REQUEST)
    with pytest.raises(RequestTimeout):
        await coordinator.request(question, timeout=0.05, ordering_key=KEY)
    await send(coordinator, "a")

    assert names(await take(coordinator)) == ["a"]


async def test_a_senseless_key_is_refused_before_anything_is_sent(
    coordinator: StoredMailboxes,
) -> None:
    question = sample("q", message_type=MessageType.REQUEST)
    odd: Any
    for odd in ("", 7):
        for call in (
            coordinator.send_many([sample("m")], ordering_key=odd),
            coordinator.publish("news", sample("m"), ordering_key=odd),
            coordinator.request(question, timeout=5, ordering_key=odd),
        ):
            with pytest.raises(ConfigurationError, match="ordering_key"):
                await call
