"""PyRSMQ: synchronous; a message has a time of invisibility for each receipt."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, ClassVar

from .contender import TEXT, Contender

__all__ = ("Rsmq",)

_rsmq: Any = import_module("rsmq")


class Rsmq(Contender):
    """Its three calls."""

    kind: ClassVar[str] = "one at a time"

    async def open(self, port: int) -> None:  # noqa: D102 - as the base says, here and below
        self._queue = _rsmq.RedisSMQ(host="127.0.0.1", port=port, qname="bench")
        self._queue.createQueue().vt(30).execute()

    async def close(self) -> None:  # noqa: D102
        self._queue.client.close()

    async def send(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            self._queue.sendMessage().message(json.dumps({"text": TEXT})).execute()

    async def take(self, count: int) -> None:  # noqa: D102
        for _ in range(count):
            found = self._queue.receiveMessage().execute()
            json.loads(found["message"])
            self._queue.deleteMessage(id=found["id"]).execute()
