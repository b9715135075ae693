"""Receivers that wait, over every back end; in real time, so the times are short.

Those that a busy machine must not exceed are long: a minute, where who waits and is not told looks
again after many minutes only, and ten minutes for a lease.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tta_agent_coordination import AgentId, MessagePriority
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, sample

Make = Callable[..., StoredMailboxes]
TWO = AgentId(type="writer", instance="2")


async def parked(coordinator: StoredMailboxes, count: int, agent: AgentId = WRITER) -> None:
    """Return when so many receivers wait."""
    while (await coordinator.stats(agent)).receivers < count:  # noqa: ASYNC110 - it may be a server
        await asyncio.sleep(0.002)


async def test_a_waiting_receiver_gets_the_message_as_soon_as_it_is_sent(
    make_real: Make,
) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)

    await coordinator.send_many([sample("m1")])
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert received.attempt == 1
    assert await coordinator.ack(WRITER, received.token)
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased, stats.receivers) == (0, 0, 0)


async def test_waiting_ends_after_its_time(make_real: Make) -> None:
    coordinator = make_real()
    loop = asyncio.get_running_loop()
    start = loop.time()

    received = await coordinator.receive(WRITER, wait=0.05)

    assert received is None
    assert 0.05 <= loop.time() - start < 60
    assert (await coordinator.stats(WRITER)).receivers == 0


async def test_each_waiting_receiver_gets_one_message(make_real: Make) -> None:
    coordinator = make_real()
    receivers = [asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000)) for _ in range(5)]
    await parked(coordinator, 5)

    await coordinator.send_many(sample(f"{n}") for n in range(5))
    received = await asyncio.wait_for(asyncio.gather(*receivers), 60)

    names = sorted(got.message.message_id for got in received if got is not None)
    assert names == [f"{n}" for n in range(5)]
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased) == (0, 5)


async def test_the_most_urgent_of_a_batch_goes_to_the_one_who_waits(make_real: Make) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)

    await coordinator.send_many(
        [sample("low", priority=MessagePriority.LOW), sample("high", priority=MessagePriority.HIGH)]
    )
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert received.message.message_id == "high"


@pytest.mark.parametrize("recipient", [TWO, WRITER])
async def test_an_instance_waits_for_its_own_and_for_the_shared_mailbox(
    make_real: Make, recipient: AgentId
) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(TWO, 600, wait=1000))
    await parked(coordinator, 1, TWO)

    await coordinator.send_many([sample("m1", recipient=recipient)])
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert await coordinator.ack(TWO, received.token)
    assert (await coordinator.stats(TWO)).receivers == 0
    assert (await coordinator.stats(WRITER)).receivers == 0


async def test_a_lease_that_runs_out_wakes_a_waiting_receiver(make_real: Make) -> None:
    """On an otherwise idle queue, although it was reserved after the receiver began to wait."""
    coordinator = make_real()
    loop = asyncio.get_running_loop()
    waiting = [asyncio.create_task(coordinator.receive(WRITER, 0.1, wait=1000)) for _ in range(3)]
    await parked(coordinator, 3)
    start = loop.time()

    await coordinator.send_many([sample("m1")])
    received = await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert sorted(got.attempt for got in received if got is not None) == [1, 2, 3]
    assert loop.time() - start > 0.19


async def test_a_message_in_back_off_wakes_a_waiting_receiver(make_real: Make) -> None:
    coordinator = make_real(backoff_base=0.1, backoff_jitter=0)
    await coordinator.send_many([sample("m1")])
    first = await coordinator.receive(WRITER, 600)
    assert first is not None
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)
    await coordinator.nack(WRITER, first.token)

    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert received.attempt == 2


async def test_a_scheduled_message_wakes_a_waiting_receiver(make_real: Make) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)

    at = datetime.now(UTC) + timedelta(seconds=0.1)
    await coordinator.send_many([sample("m1")], deliver_at=at)
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert datetime.now(UTC) >= at - timedelta(milliseconds=1)


async def test_what_is_given_back_redriven_or_resumed_wakes_a_waiting_receiver(
    make_real: Make,
) -> None:
    coordinator = make_real(max_attempts=1)
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 600)
    assert received is not None
    for step in ("give back", "redrive", "resume"):
        if step == "resume":
            await coordinator.give_back(WRITER, received.token)
            await coordinator.pause(WRITER)
        if step == "redrive":
            await coordinator.nack(WRITER, received.token)
        receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
        await parked(coordinator, 1)
        if step == "give back":
            await coordinator.give_back(WRITER, received.token)
        elif step == "redrive":
            await coordinator.dead_letters.redrive(WRITER)
        else:
            await coordinator.resume(WRITER)
        received = await asyncio.wait_for(receiver, 60)
        assert received is not None


async def test_a_cancelled_receiver_leaves_nothing_behind(make_real: Make) -> None:
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)

    receiver.cancel()
    await asyncio.wait([receiver])
    await coordinator.send_many([sample("m1")])

    assert receiver.cancelled()
    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1


async def test_receivers_cancelled_at_random_moments_lose_nothing(make_real: Make) -> None:
    """A message is received at once by the next one, as its first attempt: all were given back."""
    coordinator = make_real()
    chance = random.Random(4)
    sent, seen = 0, 0
    for _ in range(60):
        receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
        await asyncio.sleep(chance.random() * 0.003)
        sender = asyncio.create_task(coordinator.send_many([sample(f"{sent}")]))
        sent += 1
        await asyncio.sleep(chance.random() * 0.003)
        receiver.cancel()
        await sender
        await asyncio.wait([receiver])
        if not receiver.cancelled() and (received := receiver.result()) is not None:
            seen += 1
            await coordinator.ack(WRITER, received.token)

    rest = await coordinator.receive_many(WRITER, 1000, 600)

    assert seen + len(rest) == sent
    assert {got.attempt for got in rest} <= {1}
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.receivers) == (0, 0)


async def test_several_messages_can_be_waited_for(make_real: Make) -> None:
    """The first that comes ends the wait."""
    coordinator = make_real()
    receiver = asyncio.create_task(coordinator.receive_many(WRITER, 10, 600, wait=1000))
    await parked(coordinator, 1)

    await coordinator.send_many(sample(f"{n}") for n in range(3))
    first = await asyncio.wait_for(receiver, 60)
    rest = await coordinator.receive_many(WRITER, 10)

    assert first
    assert len(first) + len(rest) == 3


@pytest.mark.parametrize("done", ["acked", "cancelled"])
async def test_a_waiting_receiver_gets_what_waited_for_an_ordering_key(
    make_real: Make, done: str
) -> None:
    """As soon as the message before it is gone."""
    coordinator = make_real(backoff_base=600, backoff_max=600, backoff_jitter=0)
    await coordinator.send_many([sample("a"), sample("b")], ordering_key="k")
    first = await coordinator.receive(WRITER, 600)
    assert first is not None
    if done == "cancelled":
        await coordinator.nack(WRITER, first.token)
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await parked(coordinator, 1)

    if done == "acked":
        await coordinator.ack(WRITER, first.token)
    else:
        await coordinator.cancel(WRITER, "a")
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None
    assert received.message.message_id == "b"
