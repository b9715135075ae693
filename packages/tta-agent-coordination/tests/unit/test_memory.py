"""What the coordinator in one process does so that it does not grow, and wakes whom it must."""

import asyncio
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    InMemoryMessageCoordinator,
    LeaseLost,
    MessageType,
    RequestTimeout,
)
from tta_agent_coordination.coordinators import receiving
from tta_agent_coordination.coordinators.entries import Parcel
from tta_agent_coordination.coordinators.envelope import ANSWERS
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.replies import mailbox_at
from tta_agent_coordination.coordinators.store import Terms
from tta_agent_coordination.messaging import Lease
from tta_agent_coordination.testing import WRITER, ManualClock, sample

ONE = AgentId(type="writer", instance="1")


def request(name: str) -> AgentMessage:
    return sample(name, message_type=MessageType.REQUEST)


def store_of(coordinator: InMemoryMessageCoordinator) -> Any:
    return vars(coordinator)["_store"]


async def test_answers_that_nobody_waits_for_are_forgotten(clock: ManualClock) -> None:
    """An hour later, when the next answer comes."""
    coordinator = InMemoryMessageCoordinator(clock=clock)
    late = [f"?r.{number:032x}" for number in range(2)]
    for number, address in enumerate(late):
        body = b"\n" + sample("answer").to_bytes()
        parcel = Parcel(message_id=f"a{number}", level=5, body=body)
        terms = Terms(most=0, window=0, at=None, ttl=1000)
        await store_of(coordinator).send([(mailbox_at(address), parcel)], terms)
        clock.advance(3601)

    assert [mailbox.type for mailbox in store_of(coordinator)._states] == late[1:]


async def test_fences_that_hold_no_more_are_forgotten(clock: ManualClock) -> None:
    coordinator = InMemoryMessageCoordinator(clock=clock)
    for name in range(1000):
        async with coordinator.once(f"{name}", keep=10):
            pass
    clock.advance(11)
    async with coordinator.once("last"):
        pass

    assert len(store_of(coordinator)._fences) == 1


async def test_instances_beyond_what_is_remembered_are_noted_down_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receiving, "REMEMBER", 2)
    coordinator = InMemoryMessageCoordinator()
    instances = [AgentId(type="writer", instance=f"{n}") for n in range(3)]
    for instance in instances:
        await coordinator.receive(instance)

    results = await coordinator.broadcast(sample("m1"), agent_type="writer")

    assert [result.recipient for result in results] == instances
    assert list(coordinator._announced) == [mailbox_of(instances[-1])]  # pyright: ignore[reportPrivateUsage]


async def test_a_receiver_is_woken_once_by_two_mailboxes() -> None:
    """Both get something before it looks."""
    coordinator = InMemoryMessageCoordinator()
    receiver = asyncio.create_task(coordinator.receive_many(ONE, 5, 60, wait=60))
    await asyncio.sleep(0)
    await coordinator.send_many([sample("own", recipient=ONE), sample("shared")])

    received = await receiver

    assert [one.message.message_id for one in received] == ["own", "shared"]


async def test_extending_a_lost_lease_says_so(clock: ManualClock) -> None:
    coordinator = InMemoryMessageCoordinator(clock=clock)
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 5)
    assert received is not None
    clock.advance(5)
    assert await coordinator.receive(WRITER, 5) is not None

    with pytest.raises(LeaseLost, match="has run out"):
        await Lease(coordinator, WRITER, received).extend(5)


async def test_a_lease_is_given_back_once() -> None:
    """Settled, or known to be lost, there is nothing to give back."""
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 5)
    assert received is not None
    lease = Lease(coordinator, WRITER, received)
    await lease.give_back()
    await lease.give_back()

    assert (await coordinator.stats(WRITER)).waiting == 1


async def test_of_two_requests_the_impatient_one_times_out_alone() -> None:
    """While the other one reads for both."""
    coordinator = InMemoryMessageCoordinator()
    patient = asyncio.create_task(coordinator.request(request("patient"), timeout=60))
    await asyncio.sleep(0.01)

    with pytest.raises(RequestTimeout):
        await coordinator.request(request("impatient"), timeout=0.02)

    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.reply(received, {"n": 1})
    assert (await patient).payload == {"n": 1}


async def test_what_is_no_answer_is_passed_over() -> None:
    """Damaged, or to a request that nobody here has made."""
    coordinator = InMemoryMessageCoordinator()
    asking = asyncio.create_task(coordinator.request(request("q"), timeout=60))
    received = await coordinator.receive(WRITER, 60, wait=5)
    assert received is not None
    assert received.reply_to is not None
    mailbox = mailbox_at(received.reply_to)
    terms = Terms(most=0, window=0, at=None, ttl=1000)
    strange = f'{{"{ANSWERS}": "unknown"}}\n'.encode() + sample("answer").to_bytes()
    for name, body in (("damaged", b"\n{}"), ("strange", strange)):
        parcel = Parcel(message_id=name, level=5, body=body)
        await store_of(coordinator).send([(mailbox, parcel)], terms)
    await asyncio.sleep(0.01)
    await coordinator.reply(received, {"n": 1})

    assert (await asking).payload == {"n": 1}


async def test_of_what_is_worked_on_only_what_nobody_waits_for_is_withdrawn() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("m1")])
    asking = asyncio.create_task(coordinator.request(request("q"), timeout=60))
    await asyncio.sleep(0)
    received = await coordinator.receive_many(WRITER, 2, 60)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert [one.message.message_id for one in received] == ["m1", "q"]
    assert await coordinator.ack_many([one.token for one in received]) == [True, False]
