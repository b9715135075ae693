"""Dead letters, over every back end."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from tta_agent_coordination import ConfigurationError, FailureType
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]


async def kill(
    coordinator: StoredMailboxes, name: str, failure: FailureType = FailureType.PERMANENT
) -> None:
    """Send a message and let it die."""
    await coordinator.send_many([sample(name)])
    received = await coordinator.receive(WRITER)
    assert received is not None
    assert await coordinator.nack(WRITER, received.token, failure, f"error of {name}")


async def test_a_permanent_failure_makes_a_dead_letter(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    await kill(coordinator, "m1")

    (letter,) = await coordinator.dead_letters.list(WRITER)

    assert letter.dead_letter_id == "m1"
    assert letter.message == sample("m1")
    assert letter.failure is FailureType.PERMANENT
    assert letter.error == "error of m1"
    assert letter.attempts == 1
    assert letter.died_at == clock.now
    assert await coordinator.receive(WRITER) is None


async def test_the_last_attempt_makes_a_dead_letter(make: Make, clock: ManualClock) -> None:
    coordinator = make(max_attempts=3)
    await coordinator.send_many([sample("m1")])
    for _ in range(3):
        clock.advance(60)
        received = await coordinator.receive(WRITER)
        assert received is not None
        await coordinator.nack(WRITER, received.token, FailureType.TIMEOUT, "slow")
    clock.advance(60)

    (letter,) = await coordinator.dead_letters.list(WRITER)

    assert letter.attempts == 3
    assert letter.failure is FailureType.TIMEOUT
    assert await coordinator.receive(WRITER) is None


async def test_a_message_that_kills_its_receivers_becomes_a_dead_letter(
    make: Make, clock: ManualClock
) -> None:
    """Leases that just run out count as well."""
    coordinator = make(max_attempts=2)
    await coordinator.send_many([sample("poison")])
    attempts = 0
    for _ in range(5):
        attempts += await coordinator.receive(WRITER, 1) is not None
        clock.advance(1)

    (letter,) = await coordinator.dead_letters.list(WRITER)

    assert attempts == 2
    assert letter.failure is FailureType.TIMEOUT
    assert letter.error == "the lease ran out"


async def test_deliveries_that_were_given_back_do_not_count(make: Make) -> None:
    coordinator = make(max_attempts=1)
    await coordinator.send_many([sample("m1")])
    for _ in range(5):
        received = await coordinator.receive(WRITER)
        assert received is not None
        await coordinator.give_back(WRITER, received.token)

    assert await coordinator.dead_letters.list(WRITER) == []


async def test_a_redriven_message_is_as_new(coordinator: StoredMailboxes) -> None:
    await kill(coordinator, "m1")

    assert await coordinator.dead_letters.redrive(WRITER) == 1

    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1
    assert received.last_error is None
    assert await coordinator.dead_letters.list(WRITER) == []


async def test_dead_letters_can_be_chosen_by_id_and_by_failure(make: Make) -> None:
    coordinator = make(max_attempts=1)
    await kill(coordinator, "a")
    await kill(coordinator, "b", FailureType.TRANSIENT)
    await kill(coordinator, "c", FailureType.TIMEOUT)
    letters = coordinator.dead_letters

    transient = await letters.list(WRITER, failure=FailureType.TRANSIENT)

    assert [letter.dead_letter_id for letter in transient] == ["b"]
    assert await letters.purge(WRITER, ["a", "c", "x"], failure=FailureType.TIMEOUT) == 1
    assert await letters.redrive(WRITER, ["a", "nobody"]) == 1
    assert await letters.purge(WRITER, failure=FailureType.PERMANENT) == 0
    assert [letter.dead_letter_id for letter in await letters.list(WRITER)] == ["b"]
    assert await letters.purge(WRITER) == 1


async def test_one_dead_letter_can_be_looked_at(coordinator: StoredMailboxes) -> None:
    await kill(coordinator, "m 1:ü")

    letter = await coordinator.dead_letters.peek(WRITER, "m 1:ü")

    assert letter is not None
    assert letter.message == sample("m 1:ü")
    assert await coordinator.dead_letters.peek(WRITER, "other") is None


async def test_two_dead_letters_of_one_id_are_both_kept(make: Make) -> None:
    coordinator = make(dedupe_window=0)
    await kill(coordinator, "m1")
    await kill(coordinator, "m1")

    names = [letter.dead_letter_id for letter in await coordinator.dead_letters.list(WRITER)]

    assert sorted(names) == ["m1", "m1~2"]


async def test_long_lists_are_read_in_chunks(coordinator: StoredMailboxes) -> None:
    await coordinator.send_many(sample(f"{n:03}") for n in range(250))
    for received in await coordinator.receive_many(WRITER, 250):
        await coordinator.nack(WRITER, received.token, FailureType.PERMANENT)
    letters = coordinator.dead_letters

    assert len(await letters.list(WRITER, limit=220)) == 220
    assert len(await letters.list(WRITER, limit=1000)) == 250
    assert await letters.redrive(WRITER) == 250


async def test_a_long_error_is_cut(coordinator: StoredMailboxes) -> None:
    """The start is kept; what is no Unicode is replaced."""
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.nack(WRITER, received.token, FailureType.PERMANENT, "\ud800ü" * 5000)

    (letter,) = await coordinator.dead_letters.list(WRITER)

    assert letter.error == "?ü" * 1000


async def test_an_error_that_is_no_text_is_refused(coordinator: StoredMailboxes) -> None:
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER)
    assert received is not None

    with pytest.raises(ConfigurationError, match="error must be a text"):
        await coordinator.nack(WRITER, received.token, error=cast("Any", 5))


async def test_dead_letters_of_others_are_not_seen(coordinator: StoredMailboxes) -> None:
    await kill(coordinator, "m1")

    assert await coordinator.dead_letters.list(ASKER) == []
