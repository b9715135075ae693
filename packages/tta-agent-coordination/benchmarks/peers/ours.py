"""Our mailboxes, through the public interface; a message is made and validated for each send."""

from __future__ import annotations

import asyncio
from itertools import count as counting
from typing import Any, ClassVar

from redis.asyncio import Redis

from tta_agent_coordination import AgentId, AgentMessage, MessageType, RedisMessageCoordinator

from .contender import BATCH, TEXT, Contender

__all__ = ("SENDER", "SHARED", "Ours", "OursBare", "OursFused", "OursIterator", "message")

SENDER = AgentId(type="bench", instance="1")
SHARED = AgentId(type="worker")
_numbers = counting()


def message(text: str = TEXT) -> AgentMessage:
    """Return a new message to the shared mailbox, 1 KB as JSON."""
    return AgentMessage(
        message_id=f"m{next(_numbers)}",
        sender=SENDER,
        recipient=SHARED,
        message_type=MessageType.EVENT,
        payload={"text": text},
    )


class Ours(Contender):
    """All at the defaults: deduplication and limits on, receiving and acknowledging two calls."""

    name = "ours"
    kind: ClassVar[str] = "ours"
    options: ClassVar[dict[str, Any]] = {}

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._client = Redis(port=port)
        self._mailboxes = RedisMessageCoordinator(self._client, "bench", **self.options)

    async def close(self) -> None:  # noqa: D102
        await self._client.aclose()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._mailboxes.send_message(SENDER, SHARED, message())

    async def send_batches(self, count: int) -> None:  # noqa: D102
        for _ in range(count // BATCH):
            await self._mailboxes.send_many([message() for _ in range(BATCH)])

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            received = await self._mailboxes.receive(SHARED, 30)
            assert received is not None  # noqa: S101 - else it would be timing something else
            await self._mailboxes.ack(SHARED, received.token)


class OursBare(Ours):
    """Without deduplication and without a limit on the mailbox's length."""

    name = "ours, no dedupe"
    options: ClassVar[dict[str, Any]] = {"dedupe_window": 0, "max_length": None}


class OursFused(Ours):
    """The acknowledgment of one message travels with the reservation of the next."""

    name = "ours, fused"

    send_batches = Contender.send_batches  # as `ours`

    async def take(self, count: int) -> None:  # noqa: D102
        done: list[str] = []
        for _ in range(count):
            (received,) = await self._mailboxes.receive_many(SHARED, 1, 30, ack=done)
            done = [received.token]
        await self._mailboxes.ack_many(done)

    async def take_batches(self, count: int) -> None:  # noqa: D102
        done: list[str] = []
        for _ in range(count // BATCH):
            received = await self._mailboxes.receive_many(SHARED, BATCH, 30, ack=done)
            done = [one.token for one in received]
        await self._mailboxes.ack_many(done)

    async def take_by_four(self, count: int) -> None:  # noqa: ARG002, D102 - until it is empty
        async def consumer() -> None:
            done: list[str] = []
            while received := await self._mailboxes.receive_many(SHARED, 1, 30, ack=done):
                done = [received[0].token]

        await asyncio.gather(*(consumer() for _ in range(4)))


class OursIterator(Ours):
    """`consume`, which fetches 16 ahead and renews their leases."""

    name = "ours, iterator"

    send_batches = Contender.send_batches  # as `ours`

    async def take(self, count: int) -> None:  # noqa: D102
        left = count
        async with self._mailboxes.consume(SHARED, prefetch=16) as leases:
            async for lease in leases:
                await lease.ack()
                left -= 1
                if not left:
                    break
