"""Receiving and settling, over every back end."""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from tta_agent_coordination import AgentId, ConfigurationError, FailureType, MessageMetrics
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]


async def test_an_empty_mailbox_gives_nothing(coordinator: StoredMailboxes) -> None:
    assert await coordinator.receive(WRITER) is None


async def test_a_reserved_message_is_not_received_again_before_its_deadline(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("m1")])
    await coordinator.receive(WRITER, 5)

    clock.advance(4.999)
    early = await coordinator.receive(WRITER)
    clock.advance(0.001)
    again = await coordinator.receive(WRITER)

    assert early is None
    assert again is not None
    assert again.attempt == 2


async def test_many_receivers_never_share_a_message(coordinator: StoredMailboxes) -> None:
    """50 messages for 4 receivers at once are 50 deliveries."""
    await coordinator.send_many(sample(f"{n}") for n in range(50))

    async def drain() -> list[str]:
        found: list[str] = []
        while (received := await coordinator.receive(WRITER)) is not None:
            found.append(received.message.message_id)
        return found

    shares = await asyncio.gather(*(drain() for _ in range(4)))

    assert sorted(chain.from_iterable(shares), key=int) == [f"{n}" for n in range(50)]


async def test_an_acknowledged_message_is_gone(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER)
    assert received is not None

    assert await coordinator.ack(WRITER, received.token)

    clock.advance(100)
    assert await coordinator.receive(WRITER) is None


async def test_a_repeated_acknowledgment_is_as_good_as_the_first(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """For a minute, which is longer than the client library repeats a call."""
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.ack(WRITER, received.token)
    clock.advance(59)

    assert await coordinator.ack(WRITER, received.token)


async def test_a_stale_token_settles_nothing(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """Once the second receiver has the message, the first one's token is refused everywhere."""
    await coordinator.send_many([sample("m1")])
    first = await coordinator.receive(WRITER, 5)
    clock.advance(5)
    second = await coordinator.receive(WRITER, 5)
    assert first is not None
    assert second is not None

    assert not await coordinator.ack(WRITER, first.token)
    assert not await coordinator.nack(WRITER, first.token)
    assert not await coordinator.extend(WRITER, first.token, 5)
    assert not await coordinator.give_back(WRITER, first.token)
    assert await coordinator.ack(WRITER, second.token)


@pytest.mark.parametrize("token", ["", "bogus", "a:b", "writer:*:never.000", "::", "ü:*:x", "\0"])
async def test_a_token_that_never_was_is_refused(coordinator: StoredMailboxes, token: str) -> None:
    assert not await coordinator.ack(WRITER, token)
    assert not await coordinator.nack(WRITER, token)
    assert not await coordinator.extend(WRITER, token, 1)
    assert not await coordinator.give_back(WRITER, token)
    assert await coordinator.ack_many([token]) == [False]
    assert await coordinator.extend_many([token], 1) == [False]


async def test_another_agents_token_is_refused(coordinator: StoredMailboxes) -> None:
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER)
    assert received is not None

    assert not await coordinator.ack(ASKER, received.token)
    assert await coordinator.ack(WRITER, received.token)


async def test_an_extended_reservation_lasts_longer(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 5)
    assert received is not None
    clock.advance(4)

    assert await coordinator.extend(WRITER, received.token, 10)

    clock.advance(9)
    assert await coordinator.receive(WRITER) is None
    assert await coordinator.ack(WRITER, received.token)


async def test_a_reservation_can_be_cut_short(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 50)
    assert received is not None

    await coordinator.extend(WRITER, received.token, 1)
    clock.advance(1)

    assert await coordinator.receive(WRITER) is not None


async def test_acknowledging_and_receiving_go_together(coordinator: StoredMailboxes) -> None:
    """Stale and unknown tokens among the acknowledgments do no harm."""
    await coordinator.send_many(sample(f"{n}") for n in range(4))
    first = await coordinator.receive_many(WRITER, 2)

    tokens = [first[0].token, "writer:*:never.000", first[1].token]
    second, valid = await coordinator.take(WRITER, 2, ack=tokens)

    assert valid == [True, False, True]
    assert [got.message.message_id for got in second] == ["2", "3"]
    assert (await coordinator.stats(WRITER)).leased == 2


@pytest.mark.parametrize("count", [1, 2])
async def test_a_repeated_acknowledgment_is_known_though_the_lease_ended_long_ago(
    coordinator: StoredMailboxes, clock: ManualClock, count: int
) -> None:
    """For a minute, also where nobody has asked for messages since."""
    await coordinator.send_many([sample("a"), sample("b")])
    tokens = [one.token for one in await coordinator.receive_many(WRITER, count, 1)]
    clock.advance(130)

    for _ in range(2):
        assert await coordinator.ack_many([*tokens, "writer:*:none.000"]) == [True] * count + [
            False
        ]
        assert await coordinator.ack_many(tokens) == [True] * count
        clock.advance(59)
    clock.advance(2)
    assert await coordinator.ack_many(tokens) == [False] * count


@pytest.mark.parametrize("how", ["failed", "given back", "run out"])
async def test_what_has_ended_otherwise_is_never_acknowledged(
    coordinator: StoredMailboxes, clock: ManualClock, how: str
) -> None:
    """However long ago that was, and however long the lease would have lasted."""
    await coordinator.send_many([sample("a")])
    received = await coordinator.receive(WRITER, 5 if how == "run out" else 300)
    assert received is not None
    if how == "failed":
        assert await coordinator.nack(WRITER, received.token)
    elif how == "given back":
        assert await coordinator.give_back(WRITER, received.token)
    else:
        clock.advance(5)
        assert await coordinator.receive(WRITER, 1000) is not None

    for n in range(16):
        assert not await coordinator.ack(WRITER, received.token)
        clock.advance(29)
        await coordinator.send_many([sample(f"{n}")])  # others go on, and what is old is forgotten
        await coordinator.receive_many(WRITER, 9, 1000)


async def test_tokens_of_other_types_cannot_be_acknowledged_along(
    coordinator: StoredMailboxes,
) -> None:
    with pytest.raises(ConfigurationError, match="ack_many"):
        await coordinator.receive_many(WRITER, 1, ack=["asker:*:x.000"])


async def test_tokens_of_many_agents_are_acknowledged_together(
    coordinator: StoredMailboxes,
) -> None:
    other = AgentId(type="painter", instance="a b")
    await coordinator.send_many([sample("m1"), sample("m2", recipient=other)])
    one = await coordinator.receive(WRITER)
    two = await coordinator.receive(other)
    assert one is not None
    assert two is not None

    answers = await coordinator.ack_many([two.token, "nonsense", one.token, two.token])

    assert answers == [True, False, True, True]
    assert await coordinator.ack_many([]) == []


async def test_a_failed_message_comes_again_after_a_growing_back_off(
    make: Make, clock: ManualClock
) -> None:
    """1, 2 and 4 seconds, but never more than the longest."""
    coordinator = make(backoff_jitter=0, backoff_max=3, max_attempts=9)
    await coordinator.send_many([sample("m1")])
    waits: list[float] = []
    for _ in range(3):
        received = await coordinator.receive(WRITER)
        assert received is not None
        await coordinator.nack(WRITER, received.token, error="no luck")
        for wait in (1, 2, 3, 4):
            clock.advance(0.999)
            assert await coordinator.receive(WRITER) is None
            clock.advance(0.001)
            if (await coordinator.stats(WRITER)).scheduled == 0:
                break
            received = await coordinator.receive(WRITER)
            if received is not None:
                assert received.last_error == "no luck"
                await coordinator.give_back(WRITER, received.token)
                waits.append(wait)
                break

    assert waits == [1, 2, 3]


async def test_jitter_shortens_the_back_off_and_never_lengthens_it(
    make: Make, clock: ManualClock
) -> None:
    coordinator = make(backoff_base=10, backoff_jitter=0.5)
    await coordinator.send_many(sample(f"{n}") for n in range(40))
    for received in await coordinator.receive_many(WRITER, 40):
        await coordinator.nack(WRITER, received.token)

    clock.advance(4.9)
    none = await coordinator.receive_many(WRITER, 40)
    clock.advance(2.6)
    some = await coordinator.receive_many(WRITER, 40)
    clock.advance(2.5)
    rest = await coordinator.receive_many(WRITER, 40) + await coordinator.receive_many(WRITER, 40)

    assert none == []
    assert some
    assert rest
    assert len(some) + len(rest) == 40


async def test_a_failed_message_comes_before_those_that_were_sent_after_it(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many([sample("first"), sample("second")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.nack(WRITER, received.token)
    clock.advance(1)

    again = await coordinator.receive_many(WRITER, 2)

    assert [got.message.message_id for got in again] == ["first", "second"]


async def test_leases_that_run_out_come_back_in_their_order(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await coordinator.send_many(sample(f"{n}") for n in range(20))
    await coordinator.receive_many(WRITER, 15)
    clock.advance(5)

    again = await coordinator.receive_many(WRITER, 20)

    assert [got.message.message_id for got in again] == [f"{n}" for n in range(20)]


async def test_more_than_one_round_of_expired_leases_is_recovered(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """Each call moves at most 32, so that none takes long; the next ones go on."""
    await coordinator.send_many(sample(f"{n}") for n in range(100))
    await coordinator.receive_many(WRITER, 100)
    clock.advance(5)

    again = [await coordinator.receive_many(WRITER, 100) for _ in range(4)]

    assert sum(map(len, again)) == 100


async def test_a_message_given_back_is_as_if_it_had_never_been_received(
    coordinator: StoredMailboxes,
) -> None:
    await coordinator.send_many([sample("a"), sample("b"), sample("c")])
    received = await coordinator.receive_many(WRITER, 2)

    given = await coordinator.give_back_many(WRITER, [got.token for got in received])
    again = await coordinator.receive_many(WRITER, 3)

    assert given == 2
    assert [(got.message.message_id, got.attempt) for got in again] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]


async def test_an_instance_receives_its_own_messages_before_the_shared_ones(
    coordinator: StoredMailboxes,
) -> None:
    two = AgentId(type="writer", instance="2")
    three = AgentId(type="writer", instance="3")
    await coordinator.send_many([sample("shared"), sample("own", recipient=two)])

    other = await coordinator.receive_many(three, 5)
    await coordinator.give_back_many(three, [got.token for got in other])
    received = await coordinator.receive_many(two, 5)

    assert [got.message.message_id for got in other] == ["shared"]
    assert [got.message.message_id for got in received] == ["own", "shared"]
    assert await coordinator.ack_many([got.token for got in received]) == [True, True]


async def test_the_shared_mailbox_does_not_see_messages_to_an_instance(
    coordinator: StoredMailboxes,
) -> None:
    await coordinator.send_many([sample("own", recipient=AgentId(type="writer", instance="2"))])

    assert await coordinator.receive(WRITER) is None


@pytest.mark.parametrize(
    "name", ["a:b", "{x}", "}{", "*", "a b", "ü☃", "%2A", "\n", "\0", "x" * 256, ":m:*", "m"]
)
async def test_any_text_is_a_name(coordinator: StoredMailboxes, name: str) -> None:
    """As a type and as an instance; nobody else gets the message."""
    agent = AgentId(type=name, instance=name)
    await coordinator.send_many([sample("m1", recipient=agent), sample("m2")])

    received = await coordinator.receive_many(agent, 9)

    assert [got.message.message_id for got in received] == ["m1"]
    assert received[0].message.recipient == agent
    assert await coordinator.ack(agent, received[0].token)


@pytest.mark.parametrize("count", [0, -1, 1001, True, 1.5, "2", None])
async def test_a_senseless_number_of_messages_is_refused(
    coordinator: StoredMailboxes, count: Any
) -> None:
    with pytest.raises(ConfigurationError, match="max_messages"):
        await coordinator.receive_many(WRITER, count)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5", 10**400])
async def test_a_senseless_visibility_timeout_is_refused(
    coordinator: StoredMailboxes, seconds: Any
) -> None:
    with pytest.raises(ConfigurationError, match="visibility_timeout"):
        await coordinator.receive(WRITER, seconds)


async def test_all_that_happens_is_told_to_an_observer(make: Make, clock: ManualClock) -> None:
    metrics = MessageMetrics()
    coordinator = make(metrics=metrics, max_attempts=1)
    await coordinator.send_many([sample("a"), sample("b"), sample("c"), sample("a")])
    a, b, c = await coordinator.receive_many(WRITER, 3)
    await coordinator.ack(WRITER, a.token)
    await coordinator.nack(WRITER, b.token, FailureType.PERMANENT)
    await coordinator.give_back(WRITER, c.token)
    await coordinator.ack(WRITER, "stale")

    counts = metrics.snapshot()

    assert counts["sent"] == 3
    assert counts["duplicate"] == 1
    assert counts["received"] == 3
    assert counts["acked"] == 1
    assert counts["given_back"] == 1
    assert counts["stale_token"] == 1
