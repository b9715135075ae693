"""Copies, come late, of calls about mailboxes, topics, effects and requests: they change nothing.

A client that has waited too long sends a call once more, and a server may come to the first copy
last, up to a minute later, when the client has had its answer and made other calls. Receiving is
the subject of a file of its own.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    FailureType,
    LeaseLost,
    MessageType,
    RedisMessageCoordinator,
    RequestTimeout,
)
from tta_agent_coordination.coordinators.entries import Parcel, body_of
from tta_agent_coordination.coordinators.names import fence_of, mailbox_of
from tta_agent_coordination.coordinators.store import Claim, Terms
from tta_agent_coordination.testing import WRITER, ManualClock, sample

pytestmark = [
    pytest.mark.parametrize("client", ["fakeredis", "redis"], indirect=True),
    pytest.mark.usefixtures("unhurried"),
]


@pytest.fixture
def queue(late: Any, clock: ManualClock, prefix: str) -> RedisMessageCoordinator:
    return RedisMessageCoordinator(late, prefix, backoff_jitter=0, _clock=clock.milliseconds)


async def names(queue: RedisMessageCoordinator) -> list[str]:
    """Return what can be received."""
    return [one.message.message_id for one in await queue.receive_many(WRITER, 100, 60)]


# Looking after mailboxes.


async def test_a_mailbox_stays_resumed(queue: RedisMessageCoordinator, late: Any) -> None:
    calls = await late.sent(queue.pause(WRITER))
    await queue.resume(WRITER)

    await late.copy(*calls)

    assert not (await queue.stats(WRITER)).paused


async def test_a_mailbox_stays_paused(queue: RedisMessageCoordinator, late: Any) -> None:
    await queue.pause(WRITER)
    calls = await late.sent(queue.resume(WRITER))
    await queue.pause(WRITER)

    await late.copy(*calls)

    assert (await queue.stats(WRITER)).paused


@pytest.mark.parametrize("at", [None, 30])
async def test_a_message_that_came_after_its_cancellation_is_there(
    queue: RedisMessageCoordinator, late: Any, clock: ManualClock, at: int | None
) -> None:
    """Which has found nothing, and said so."""
    calls = await late.sent(queue.cancel(WRITER, "m1"))
    due = None if at is None else datetime.fromtimestamp(clock.now + at, UTC)
    await queue.send_many([sample("m1")], deliver_at=due)

    await late.copy(*calls)

    clock.advance(31)
    assert await names(queue) == ["m1"]


async def test_a_scheduled_message_stays_where_it_was_moved_last(
    queue: RedisMessageCoordinator, late: Any, clock: ManualClock
) -> None:
    """Also by a call that had found nothing when it came first."""
    soon, far = (datetime.fromtimestamp(clock.now + delay, UTC) for delay in (5, 40))
    calls = await late.sent(queue.reschedule(WRITER, "m1", far))
    await queue.send_many([sample("m1")], deliver_at=far)
    calls += await late.sent(queue.reschedule(WRITER, "m1", far))
    await queue.reschedule(WRITER, "m1", soon)

    await late.copy(*calls)

    clock.advance(6)
    assert await names(queue) == ["m1"]


async def test_what_came_after_a_purge_or_a_redrive_stays(
    queue: RedisMessageCoordinator, late: Any
) -> None:
    await queue.send_many([sample("m1")])
    received = await queue.receive(WRITER)
    assert received is not None
    await queue.nack(WRITER, received.token, FailureType.PERMANENT)
    calls = await late.sent(queue.purge(WRITER))
    calls += await late.sent(queue.dead_letters.purge(WRITER, ["m2"]))
    calls += await late.sent(queue.dead_letters.redrive(WRITER))
    again = await queue.receive(WRITER)
    assert again is not None
    await queue.nack(WRITER, again.token, FailureType.PERMANENT)
    await queue.send_many([sample("m2")])

    await late.copy(*calls)

    assert await names(queue) == ["m2"]
    assert (await queue.stats(WRITER)).dead == 1


# Topics.


async def test_an_unsubscribed_agent_stays_so(queue: RedisMessageCoordinator, late: Any) -> None:
    """Else its mailbox would fill, for ever."""
    calls = await late.sent(queue.subscribe(WRITER, "news"))
    (subscription,) = await queue.subscriptions(agent_id=WRITER)
    await queue.unsubscribe(subscription)

    await late.copy(*calls)

    assert await queue.subscriptions(agent_id=WRITER) == []
    assert await queue.publish("news", sample("m1")) == []


async def test_an_agent_that_subscribed_again_stays_so(
    queue: RedisMessageCoordinator, late: Any
) -> None:
    """Else it would miss all that is published."""
    subscription = await queue.subscribe(WRITER, "news")
    calls = await late.sent(queue.unsubscribe(subscription))
    await queue.subscribe(WRITER, "news")

    await late.copy(*calls)

    assert await queue.subscriptions(agent_id=WRITER) == [subscription]
    assert len(await queue.publish("news", sample("m1"))) == 1


# Effects.


async def enter(queue: RedisMessageCoordinator, lease: float = 3600) -> AsyncExitStack:
    """Return a block in which an effect is under way."""
    block = AsyncExitStack()
    await block.enter_async_context(queue.once("effect", lease=lease))
    return block


async def fail(block: AsyncExitStack) -> None:
    """Let an effect fail."""
    with pytest.raises(ZeroDivisionError):
        async with block:
            raise ZeroDivisionError


async def is_open(queue: RedisMessageCoordinator) -> bool:
    """Return whether the next one may act."""
    async with queue.once("effect") as first:
        return first


@pytest.mark.parametrize("others", [0, 1])
async def test_an_effect_that_failed_may_be_tried_again_at_once(
    queue: RedisMessageCoordinator, late: Any, others: int
) -> None:
    """Nobody would give up what is claimed late; also when others have tried since."""
    block = await enter(queue)
    calls = [call for _, call in late.calls]
    await fail(block)
    for _ in range(others):
        await fail(await enter(queue))

    await late.copy(*calls)

    assert await is_open(queue)


async def test_whoever_found_an_effect_under_way_does_not_claim_it_later(
    queue: RedisMessageCoordinator, late: Any
) -> None:
    first = await enter(queue)
    before = len(late.calls)
    with pytest.raises(LeaseLost):
        await enter(queue)
    calls = late.calls[before:]
    await fail(first)

    await late.copy(*(call for _, call in calls))

    assert await is_open(queue)


async def test_whoever_took_too_long_over_an_effect_does_not_claim_it_later(
    queue: RedisMessageCoordinator, late: Any, clock: ManualClock
) -> None:
    """And then let it be known as done, which it is not: another one has begun it, and failed."""
    slow = await enter(queue, lease=5)
    clock.advance(6)
    other = await enter(queue)
    with pytest.raises(LeaseLost):
        await slow.aclose()
    calls = [call for _, call in late.calls]
    await fail(other)

    await late.copy(*calls)

    assert await is_open(queue)


async def test_a_claim_that_comes_after_it_was_given_up_is_none(
    queue: RedisMessageCoordinator,
) -> None:
    """Its caller was cancelled while the server stood still."""
    store, fence = queue._store, fence_of("effect", None)  # pyright: ignore[reportPrivateUsage]
    assert not await store.conclude(fence, "gone", None)

    assert await store.claim(fence, "gone", 3_600_000) is Claim.BUSY

    assert await is_open(queue)


# Requests.


def about(name: str, late: Any) -> list[Any]:
    """Return the calls that name a message."""
    return [call for _, call in late.calls if name in map(str, call)]


async def test_a_withdrawn_request_is_not_sent_again(
    queue: RedisMessageCoordinator, late: Any
) -> None:
    """Nobody waits for its answer, though the id may be asked again."""
    question = sample("q1", message_type=MessageType.REQUEST)
    with pytest.raises(RequestTimeout):
        await queue.request(question, timeout=0.05)
    calls = about("q1", late)

    await late.copy(*calls)

    assert await names(queue) == []


async def test_a_request_that_comes_after_its_withdrawal_is_not_put_in(
    queue: RedisMessageCoordinator,
) -> None:
    """Its time was over while the server stood still."""
    store, mailbox = queue._store, mailbox_of(WRITER)  # pyright: ignore[reportPrivateUsage]
    parcel = Parcel(message_id="q1", level=5, body=body_of(sample("q1"), {}))
    terms = Terms(most=10, window=20, at=None, ttl=None, name="call")
    assert not await store.withdraw(mailbox, "q1", "call")

    await store.send([(mailbox, parcel)], terms)

    assert await names(queue) == []


@pytest.mark.parametrize("worked_on", [False, True])
async def test_a_request_that_is_asked_again_is_there_once(
    late: Any,
    clock: ManualClock,
    prefix: str,
    worked_on: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Whatever comes late of the first time: its sending, or its withdrawal, even if in vain."""
    queue = RedisMessageCoordinator(late, prefix, dedupe_window=20, _clock=clock.milliseconds)
    question = sample("q1", message_type=MessageType.REQUEST)
    other = sample("q2", message_type=MessageType.REQUEST, recipient=AgentId(type="other"))
    # All requests that are under way share one place for their answers.
    meanwhile = asyncio.create_task(queue.request(other, timeout=1000))
    first = asyncio.create_task(queue.request(question, timeout=1000))
    if worked_on:
        received = await queue.receive(WRITER, wait=100)
        assert received is not None
        assert await queue.ack(WRITER, received.token)
        clock.advance(30)  # so that its id has left the window
    while not worked_on and (await queue.stats(WRITER)).waiting == 0:  # noqa: ASYNC110 - a server
        await asyncio.sleep(0.002)
    first.cancel()
    await asyncio.wait([first])
    calls = about("q1", late)
    again = asyncio.create_task(queue.request(question, timeout=1000))
    found = await queue.receive(WRITER, 60, wait=100)
    assert found is not None

    await late.copy(*calls)

    assert await names(queue) == []
    assert await queue.ack(WRITER, found.token)
    for task in (again, meanwhile):
        task.cancel()
    await asyncio.wait([again, meanwhile])
