"""The fence around effects that must not happen twice, over every back end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination import AgentId, ConfigurationError, LeaseLost
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]
NAME = "m1: {ü} *"


async def enter(coordinator: StoredMailboxes, **options: Any) -> bool:
    """Return what a block is told that does nothing and ends well."""
    async with coordinator.once(NAME, **options) as first:
        return first


async def fail_inside(coordinator: StoredMailboxes) -> None:
    async with coordinator.once(NAME):
        raise RuntimeError("no luck")


async def test_an_effect_happens_once(coordinator: StoredMailboxes) -> None:
    assert [await enter(coordinator) for _ in range(3)] == [True, False, False]


async def test_each_agent_may_have_a_fence_of_its_own(coordinator: StoredMailboxes) -> None:
    """For the copies of one message on a topic."""
    other = AgentId(type="writer", instance="m1")
    agents = [None, WRITER, other]

    assert [await enter(coordinator, agent_id=agent) for agent in agents] == [True] * 3
    assert [await enter(coordinator, agent_id=agent) for agent in agents] == [False] * 3


async def test_an_effect_that_failed_may_be_tried_again(coordinator: StoredMailboxes) -> None:
    with pytest.raises(RuntimeError, match="no luck"):
        await fail_inside(coordinator)

    assert await enter(coordinator)
    assert not await enter(coordinator)


async def test_nobody_enters_while_another_is_at_it(coordinator: StoredMailboxes) -> None:
    async with coordinator.once(NAME) as first:
        with pytest.raises(LeaseLost, match="under way"):
            await enter(coordinator)

    assert first
    assert not await enter(coordinator)


async def test_the_effect_of_a_dead_process_may_be_tried_again(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """After its lease; and should that one be alive after all, it hears of it."""
    dead = coordinator.once(NAME, lease=10)
    assert await dead.__aenter__()
    clock.advance(10)

    assert await enter(coordinator)
    with pytest.raises(LeaseLost, match="lease=10 s"):
        await dead.__aexit__(None, None, None)


async def test_a_block_that_took_too_long_is_done_if_nobody_else_has_entered(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    async with coordinator.once(NAME, lease=1):
        clock.advance(5)

    assert not await enter(coordinator)


async def test_what_is_done_is_known_for_a_while(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    assert await enter(coordinator, keep=100)
    clock.advance(99.9)
    assert not await enter(coordinator, keep=100)
    clock.advance(0.1)
    assert await enter(coordinator, keep=100)


async def test_of_many_at_once_one_acts(coordinator: StoredMailboxes) -> None:
    acted = 0

    async def act() -> None:
        nonlocal acted
        async with coordinator.once(NAME) as first:
            await asyncio.sleep(0)
            acted += first

    results = await asyncio.gather(*(act() for _ in range(20)), return_exceptions=True)

    assert acted == 1
    assert {type(result) for result in results} <= {type(None), LeaseLost}


async def test_a_cancelled_block_lets_the_next_one_try(coordinator: StoredMailboxes) -> None:
    entered = asyncio.Event()

    async def act() -> None:
        async with coordinator.once(NAME):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(act())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert await enter(coordinator)


async def test_a_message_that_comes_twice_has_one_effect(
    coordinator: StoredMailboxes, clock: ManualClock
) -> None:
    """The first receiver did the work and died before it acknowledged."""
    await coordinator.send_many([sample("m1")])
    effects: list[str] = []
    for _ in range(2):
        received = await coordinator.receive(WRITER, 5)
        assert received is not None
        async with coordinator.once(received.message.message_id) as first:
            if first:
                effects.append(received.message.message_id)
        clock.advance(5)

    assert effects == ["m1"]


async def test_old_fences_are_forgotten(make: Make, clock: ManualClock) -> None:
    coordinator = make()
    for n in range(40):
        async with coordinator.once(f"{n}", keep=1):
            pass
    clock.advance(2)

    async with coordinator.once("7") as first:
        assert first


@pytest.mark.parametrize("name", ["", None, 5])
async def test_a_senseless_name_is_refused(coordinator: StoredMailboxes, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="message_id"):
        coordinator.once(name)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5", None])
async def test_senseless_times_are_refused(coordinator: StoredMailboxes, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="lease"):
        coordinator.once("x", lease=seconds)
    with pytest.raises(ConfigurationError, match="keep"):
        coordinator.once("x", keep=seconds)
