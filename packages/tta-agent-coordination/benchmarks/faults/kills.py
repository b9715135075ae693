"""kill -9 of consumers that hold a message, on queues where nothing else happens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from tta_agent_coordination import RedisMessageCoordinator
from tta_agent_coordination.testing import WRITER, sample

from .processes import Crew

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Kills", "kills")

TOGETHER = 5


@dataclass(slots=True)
class Kills:
    """What became of the messages whose consumers were killed.

    Attributes:
        runs: Consumers killed.
        lost: Messages that never came again.
        doubled: Messages that came more than once after that.
        delays: Seconds from the end of the lease, by the server's clock, until somebody else had
            the message.
    """

    runs: int = 0
    lost: int = 0
    doubled: int = 0
    delays: list[float] = field(default_factory=list[float])


async def kills(port: int, runs: int, *, lease: float = 1.0) -> Kills:
    """Kill consumers, a few at a time, each with a mailbox of its own."""
    total = Kills()
    async with Redis(port=port) as client:
        for start in range(0, runs, TOGETHER):
            names = [f"k{number}" for number in range(start, min(start + TOGETHER, runs))]
            await _some(client, port, names, lease, total)
    return total


async def _some(client: Redis, port: int, names: Sequence[str], lease: float, total: Kills) -> None:
    crews = [Crew(str(port), name, lease=lease, work=600) for name in names]
    queues = [RedisMessageCoordinator(client, name, max_attempts=100) for name in names]
    try:
        members = await asyncio.gather(*(crew.hire() for crew in crews))
        for name, queue in zip(names, queues, strict=True):
            await queue.send_many([sample(name)])
        async with asyncio.timeout(120):
            await asyncio.gather(*(member.begun.wait() for member in members))
        # The successors wait before the lease ends, as the others of a type do.
        waiting = [asyncio.create_task(queue.receive(WRITER, 30, wait=120)) for queue in queues]
        await asyncio.sleep(lease / 2)
        for member in members:
            await member.kill()
        ends = [await _lease_end(client, name) for name in names]

        async def one(place: int) -> None:
            total.runs += 1
            received = await waiting[place]
            if received is None:
                total.lost += 1
                return
            total.delays.append(time.time() - ends[place])
            await queues[place].ack(WRITER, received.token)
            if await queues[place].receive(WRITER, 30) is not None:
                total.doubled += 1

        await asyncio.gather(*(one(place) for place in range(len(names))))
    finally:
        for crew in crews:
            for member in crew.members:
                await member.kill()


async def _lease_end(client: Redis, prefix: str) -> float:
    """Return when the only lease of a mailbox ends, by the server's clock."""
    plain: Any = client
    timers = await plain.zrange(f"{{{prefix}:writer}}:m:*:t", 0, 0, withscores=True)
    return float(timers[0][1]) / 1000
