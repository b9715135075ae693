"""taskiq-redis: asyncio, Streams, reads 100 ahead."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("TaskiqRedis",)

_taskiq: Any = import_module("taskiq")
_redis: Any = import_module("taskiq_redis")


class TaskiqRedis(Contender):
    """Its broker for Streams."""

    kind: ClassVar[str] = "prefetching"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._broker = _redis.RedisStreamBroker(
            f"redis://127.0.0.1:{port}", consumer_id="0", xread_block=50
        )
        await self._broker.startup()
        self._listening: Any = None
        self._number = 0

    async def close(self) -> None:  # noqa: D102
        if self._listening is not None:
            await self._listening.aclose()
        await self._broker.shutdown()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._number += 1
            task = _taskiq.TaskiqMessage(
                task_id=f"t{self._number}",
                task_name="work",
                labels={},
                args=[],
                kwargs={"text": TEXT},
            )
            await self._broker.kick(self._broker.formatter.dumps(task))

    async def take(self, count: int) -> None:  # noqa: D102
        if self._listening is None:
            self._listening = self._broker.listen()
        for _ in range(count):
            found = await anext(self._listening)
            self._broker.formatter.loads(found.data)
            await found.ack()
