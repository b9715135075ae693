"""Plain commands of redis-py: what one would write without a library."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from redis.asyncio import Redis

from .contender import BATCH, TEXT, Contender

__all__ = ("RawList", "RawStream")

KEY, BUSY, GROUP = "bench:q", "bench:busy", "group"
BODY = TEXT.ljust(1024, "y").encode()


class RawList(Contender):
    """LPUSH, LMOVE to a list of what is under way, LREM. It has no leases, and no priorities."""

    name = "raw list"
    kind: ClassVar[str] = "raw"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._client: Any = Redis(port=port)

    async def close(self) -> None:  # noqa: D102
        await self._client.aclose()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._client.lpush(KEY, BODY)

    async def send_batches(self, count: int) -> None:  # noqa: D102
        for _ in range(count // BATCH):
            await self._client.lpush(KEY, *[BODY] * BATCH)

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            body = await self._client.lmove(KEY, BUSY, "RIGHT", "LEFT")
            await self._client.lrem(BUSY, 1, body)


class RawStream(Contender):
    """XADD, XREADGROUP, XACK and XDEL."""

    name = "raw stream"
    kind: ClassVar[str] = "raw"

    async def open(self, port: int) -> None:  # noqa: D102
        self._client: Any = Redis(port=port)
        await self._client.xgroup_create(KEY, GROUP, "0", mkstream=True)

    async def close(self) -> None:  # noqa: D102
        await self._client.aclose()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._client.xadd(KEY, {b"m": BODY})

    async def send_batches(self, count: int) -> None:  # noqa: D102
        for _ in range(count // BATCH):
            pipeline = self._client.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.xadd(KEY, {b"m": BODY})
            await pipeline.execute()

    async def _take(self, consumer: str, want: int) -> int:
        reply = await self._client.xreadgroup(GROUP, consumer, {KEY: ">"}, count=want)
        ids = [entry[0] for entry in reply[0][1]] if reply else []
        if ids:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.xack(KEY, GROUP, *ids)
            pipeline.xdel(KEY, *ids)
            await pipeline.execute()
        return len(ids)

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._take("one", 1)

    async def take_batches(self, count: int) -> None:  # noqa: D102
        for _ in range(count // BATCH):
            await self._take("one", BATCH)

    async def take_by_four(self, count: int) -> None:  # noqa: ARG002, D102 - until it is empty
        async def consumer(name: str) -> None:
            while await self._take(name, 1):
                pass

        await asyncio.gather(*(consumer(name) for name in "abcd"))
