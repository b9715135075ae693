"""huey: synchronous, one pop; what a killed process held is lost, so it is only a ceiling."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("Huey",)

_huey: Any = import_module("huey")


class Huey(Contender):
    """Its queue, without its consumer's threads."""

    kind: ClassVar[str] = "at most once"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._queue = _huey.RedisHuey("bench", host="127.0.0.1", port=port, results=False)

        def work(text: str) -> None:
            """Do nothing."""

        self._task = self._queue.task()(work)

    async def close(self) -> None:  # noqa: D102
        self._queue.storage.conn.close()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._queue.enqueue(self._task.s(TEXT))

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._queue.dequeue()
