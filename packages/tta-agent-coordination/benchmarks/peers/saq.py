"""saq: asyncio, one at a time; with the two updates of the job that its worker makes."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("Saq",)

_saq: Any = import_module("saq")


class Saq(Contender):
    """Its queue, used as its worker does."""

    kind: ClassVar[str] = "one at a time"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._queue = _saq.Queue.from_url(f"redis://127.0.0.1:{port}")
        await self._queue.connect()

    async def close(self) -> None:  # noqa: D102
        await self._queue.disconnect()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            await self._queue.enqueue("work", text=TEXT)

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            job = await self._queue.dequeue(timeout=1)
            job.attempts += 1
            await job.update(status=_saq.Status.ACTIVE)
            await job.finish(_saq.Status.COMPLETE)
