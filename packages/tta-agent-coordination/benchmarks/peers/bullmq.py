"""bullmq: asyncio, the Python port; its scripts are those of BullMQ for node."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import BATCH, TEXT, Contender

__all__ = ("BullMQ",)

_bullmq: Any = import_module("bullmq")


class BullMQ(Contender):
    """Its queue, and its worker asked for one job at a time."""

    kind: ClassVar[str] = "one at a time"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        where = {"connection": f"redis://127.0.0.1:{port}"}
        self._queue = _bullmq.Queue("bench", where)
        self._worker = _bullmq.Worker("bench", None, where)

    async def close(self) -> None:  # noqa: D102
        await self._queue.close()
        await self._worker.close(force=True)

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._queue.add("work", {"text": TEXT}, {"removeOnComplete": True})

    async def send_batches(self, count: int) -> None:  # noqa: D102
        job = {"name": "work", "data": {"text": TEXT}, "opts": {"removeOnComplete": True}}
        for _ in range(count // BATCH):
            await self._queue.addBulk([job] * BATCH)

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            job = await self._worker.getNextJob("token")
            await job.moveToCompleted("done", "token")
