"""kombu: synchronous, the transport of Celery."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("Kombu",)

_kombu: Any = import_module("kombu")


class Kombu(Contender):
    """Its simple queue."""

    kind: ClassVar[str] = "one at a time"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._connection = _kombu.Connection(f"redis://127.0.0.1:{port}/0")
        self._queue = self._connection.SimpleQueue("bench")

    async def close(self) -> None:  # noqa: D102
        self._queue.close()
        self._connection.release()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._queue.put({"text": TEXT})

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._queue.get(timeout=2).ack()
