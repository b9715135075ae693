"""Priorities, over every back end: urgent first, and nobody starves."""

from itertools import pairwise

from tta_agent_coordination import MessagePriority
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, sample

LOW, NORMAL, HIGH = MessagePriority.LOW, MessagePriority.NORMAL, MessagePriority.HIGH


async def fill(coordinator: StoredMailboxes, **counts: int) -> None:
    """Send so many messages of each priority, named after it and numbered."""
    await coordinator.send_many(
        sample(f"{name}-{n}", priority=MessagePriority[name.upper()])
        for name, count in counts.items()
        for n in range(count)
    )


async def drain(coordinator: StoredMailboxes, at_once: int) -> list[MessagePriority]:
    """Receive and acknowledge everything; return the priorities in order."""
    order: list[MessagePriority] = []
    while received := await coordinator.receive_many(WRITER, at_once):
        order += [got.message.priority for got in received]
        await coordinator.ack_many([got.token for got in received])
    return order


async def test_nine_comes_before_five_and_five_before_one(coordinator: StoredMailboxes) -> None:
    await fill(coordinator, low=1, normal=1, high=1)

    assert await drain(coordinator, 1) == [HIGH, NORMAL, LOW]


async def test_a_low_message_waits_for_at_most_seven_others(coordinator: StoredMailboxes) -> None:
    """With urgent ones always there, every eighth pick is a low one."""
    await fill(coordinator, low=5, high=60)

    order = await drain(coordinator, 1)

    places = [place for place, priority in enumerate(order) if priority is LOW]
    assert places == [7, 15, 23, 31, 39]


async def test_high_keeps_three_quarters(coordinator: StoredMailboxes) -> None:
    await fill(coordinator, low=50, normal=50, high=100)

    order = (await drain(coordinator, 1))[:80]

    assert order.count(HIGH) == 60
    assert order.count(NORMAL) == 10
    assert order.count(LOW) == 10


async def test_a_batch_picks_as_single_calls_do(coordinator: StoredMailboxes) -> None:
    await fill(coordinator, low=20, normal=20, high=20)
    singles: list[MessagePriority] = []
    for _ in range(30):
        received = await coordinator.receive(WRITER)
        assert received is not None
        singles.append(received.message.priority)
    rest = await coordinator.receive_many(WRITER, 100)

    order = singles + [got.message.priority for got in rest]

    # Every eighth pick with a choice is low, every eighth normal, wherever the batch begins.
    assert order[7:48:8] == [LOW] * 6 or order.count(LOW) == 20
    assert len(order) == 60


async def test_the_order_within_a_priority_is_that_of_sending(
    coordinator: StoredMailboxes,
) -> None:
    await fill(coordinator, low=30, normal=30, high=30)

    received = await coordinator.receive_many(WRITER, 100)

    for priority in MessagePriority:
        numbers = [
            int(got.message.message_id.split("-")[1])
            for got in received
            if got.message.priority is priority
        ]
        assert all(first < second for first, second in pairwise(numbers))
        assert len(numbers) == 30
