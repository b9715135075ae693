"""dramatiq: synchronous, fetches 16 ahead; a lease is the heartbeat of the whole worker."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("Dramatiq",)

_dramatiq: Any = import_module("dramatiq")
_brokers: Any = import_module("dramatiq.brokers.redis")


class Dramatiq(Contender):
    """Its broker and its consumer, without the worker's threads."""

    kind: ClassVar[str] = "prefetching"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._broker = _brokers.RedisBroker(host="127.0.0.1", port=port)
        self._broker.declare_queue("bench")
        self._consumer = self._broker.consume("bench", prefetch=16, timeout=50)

    async def close(self) -> None:  # noqa: D102
        self._broker.client.close()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._broker.enqueue(
                _dramatiq.Message(
                    queue_name="bench",
                    actor_name="work",
                    args=(),
                    kwargs={"text": TEXT},
                    options={},
                )
            )

    async def take(self, count: int) -> None:  # noqa: D102
        left = count
        while left:
            found = next(self._consumer)
            if found is not None:
                self._consumer.ack(found)
                left -= 1
