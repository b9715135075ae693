"""The consumer's care for its leases: what is lost, what fails, and how it ends.

Over plain state, of which one operation at a time is made to hang, or to fail.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tta_agent_coordination import (
    CoordinatorConnectionError,
    ForeignKeyError,
    InMemoryMessageCoordinator,
    MessageMetrics,
)
from tta_agent_coordination.coordinators import consumer as consumers
from tta_agent_coordination.coordinators.consumer import Consumer
from tta_agent_coordination.coordinators.store import Held
from tta_agent_coordination.testing import WRITER, ManualClock, sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Troubled(InMemoryMessageCoordinator):
    """Raises what it is told to, as often as it is told to."""

    def __init__(self) -> None:
        # No lease ends by itself, though a machine may pause.
        super().__init__(MessageMetrics(), clock=ManualClock())
        self.troubles: dict[str, list[Exception]] = {}
        self._over: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.resisting = asyncio.Event()
        self.resist = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    def _trouble(self, name: str) -> None:
        waiting = self.troubles.get(name)
        if waiting:
            error = waiting.pop()
            if not waiting:
                self._over[name].set()
            raise error

    async def over(self, name: str) -> None:
        """Return when all troubles of an operation have happened."""
        await self._over[name].wait()

    async def take(self, *args: Any, **options: Any) -> Any:
        """Receive, or raise."""
        self._trouble("take")
        return await super().take(*args, **options)

    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge, or raise; or outlast a cancellation."""
        self._trouble("ack_many")
        if self.resist:
            self.resist = False
            self.resisting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            for _ in range(5):
                await asyncio.sleep(0)
        return await super().ack_many(tokens)

    async def renew(self, tokens: Sequence[str], seconds: float) -> list[Held]:
        """Renew, or raise."""
        self._trouble("renew")
        answers = await super().renew(tokens, seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return answers


@pytest.fixture
async def coordinator() -> Troubled:
    """One with three messages."""
    made = Troubled()
    await made.send_many(sample(name) for name in "abc")
    return made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(consumers, "AGAIN", 0.001)


async def left(coordinator: Troubled) -> tuple[int, int]:
    """Return how many are ready, and how many are leased."""
    stats = await coordinator.stats(WRITER)
    return stats.waiting, stats.leased


async def test_a_lost_connection_is_outlived(coordinator: Troubled) -> None:
    """While fetching, renewing and acknowledging; what was done is acknowledged later."""
    coordinator.troubles = {
        name: [CoordinatorConnectionError("away") for _ in range(2)]
        for name in ("take", "ack_many", "renew")
    }
    seen: list[str] = []
    async with coordinator.consume(WRITER, prefetch=2, lease=0.06) as leases:
        async for lease in leases:
            seen.append(lease.message.message_id)
            await coordinator.over("renew")
            await lease.ack()
            await coordinator.over("ack_many")
            if len(seen) == 3:
                break

    assert seen == ["a", "b", "c"]
    assert await left(coordinator) == (0, 0)
    assert coordinator.troubles == {"take": [], "ack_many": [], "renew": []}


async def test_other_errors_are_raised_where_the_next_message_is_asked_for(
    coordinator: Troubled,
) -> None:
    """And what was done before is acknowledged all the same."""
    async with coordinator.consume(WRITER, prefetch=1) as leases:
        await (await anext(leases)).ack()
        coordinator.troubles["take"] = [ForeignKeyError("foreign")]
        with pytest.raises(ForeignKeyError):
            await anext(leases)

    assert await left(coordinator) == (2, 0)


async def test_what_is_settled_during_a_renewal_is_held_no_longer(coordinator: Troubled) -> None:
    """The answer about it comes late, and changes nothing."""
    settled = asyncio.Event()
    async with coordinator.consume(WRITER, prefetch=1, lease=0.06) as leases:
        lease = await anext(leases)

        async def settle() -> None:
            await lease.ack()
            settled.set()

        coordinator.meanwhile = settle
        await settled.wait()

    assert not lease.lost
    assert await left(coordinator) == (2, 0)


async def test_a_refusal_does_not_end_the_renewals(coordinator: Troubled) -> None:
    """It may pass; if it lasts, asking for the next message raises it."""
    coordinator.troubles["renew"] = [ForeignKeyError("foreign")]
    async with coordinator.consume(WRITER, prefetch=1, lease=0.06) as leases:
        lease = await anext(leases)
        await coordinator.over("renew")
        renewed = asyncio.Event()

        async def note() -> None:
            renewed.set()

        coordinator.meanwhile = note
        await asyncio.wait_for(renewed.wait(), 60)
        await lease.ack()

    assert await left(coordinator) == (2, 0)


@pytest.mark.parametrize("where", ["fetch", "end"])
async def test_a_broken_coordinator_is_noticed(coordinator: Troubled, where: str) -> None:
    """Without renewals, leases would silently run out."""
    coordinator.troubles["renew"] = [ZeroDivisionError()]

    async def consume() -> None:
        async with coordinator.consume(WRITER, prefetch=1, lease=0.03) as leases:
            await anext(leases)
            await coordinator.over("renew")
            if where == "fetch":
                await anext(leases)

    with pytest.raises(ZeroDivisionError):
        await consume()


async def test_a_block_that_fails_raises_its_own_error(coordinator: Troubled) -> None:
    """Though the coordinator is broken, too."""
    coordinator.troubles["renew"] = [ZeroDivisionError()]

    async def consume() -> None:
        async with coordinator.consume(WRITER, prefetch=1, lease=0.03) as leases:
            await anext(leases)
            await coordinator.over("renew")
            raise KeyError

    with pytest.raises(KeyError):
        await consume()


async def test_what_was_lost_before_it_was_handed_out_is_passed_over(
    coordinator: Troubled,
) -> None:
    """Somebody else has settled it; a renewal shows that."""
    async with Consumer(coordinator, WRITER, prefetch=3, lease=0.06) as leases:
        first = await anext(leases)
        (second, _) = leases._ahead  # pyright: ignore[reportPrivateUsage]
        assert await coordinator.ack(WRITER, second.token)
        await second.wait_lost()
        third = await anext(leases)

        assert [first.message.message_id, third.message.message_id] == ["a", "c"]


async def test_a_lease_can_be_settled_after_its_consumer_has_ended(coordinator: Troubled) -> None:
    """It is not renewed any more, but may still hold."""
    async with coordinator.consume(WRITER, prefetch=1) as leases:
        lease = await anext(leases)
    assert await left(coordinator) == (2, 1)

    await lease.ack()

    assert await left(coordinator) == (2, 0)


async def test_at_the_end_nothing_waits_for_a_server_that_is_away(coordinator: Troubled) -> None:
    """What is done and could not be acknowledged comes again when its lease ends."""
    coordinator.troubles["ack_many"] = [CoordinatorConnectionError("away") for _ in range(9)]
    async with coordinator.consume(WRITER, prefetch=1) as leases:
        await (await anext(leases)).ack()

    assert await left(coordinator) == (2, 1)


async def test_who_is_cancelled_while_ending_gives_back_what_it_has(coordinator: Troubled) -> None:
    """Twice cancelled: first the work, then what ends it."""
    coordinator.resist = True

    async def consume() -> None:
        async with coordinator.consume(WRITER, prefetch=3) as leases:
            await (await anext(leases)).ack()
            await coordinator.resisting.wait()

    task = asyncio.create_task(consume())
    await coordinator.resisting.wait()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await left(coordinator) == (2, 0)


async def test_acknowledgments_that_travel_by_themselves_are_counted(
    coordinator: Troubled,
) -> None:
    """As those that travel with a fetch."""
    received = await coordinator.receive_many(WRITER, 2, 60)
    await coordinator.ack_many([*(one.token for one in received), "writer:*:unknown.000"])

    metrics: Any = coordinator.metrics
    assert {name: metrics.snapshot()[name] for name in ("acked", "stale_token")} == {
        "acked": 2,
        "stale_token": 1,
    }
