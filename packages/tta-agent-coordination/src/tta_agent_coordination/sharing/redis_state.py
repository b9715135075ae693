"""Shared state for agents on many machines, on a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import MessageCoordinatorError
from tta_agent_coordination.server.client import check_client
from tta_agent_coordination.server.names import check_prefix, quoted
from tta_agent_coordination.server.scripts import Scripts, load_scripts
from tta_agent_coordination.sharing.base import SharedState
from tta_agent_coordination.sharing.store import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.server.client import RedisClient
    from tta_agent_coordination.sharing.store import Put

__all__ = ("SCRIPTS", "RedisSharedState", "RedisStateStore")

PARK = 10.0
"""A watcher is parked so many seconds at a time."""
PARTING = 0.25
"""A watcher that is cancelled takes so many seconds at most to say so."""

SCRIPTS = load_scripts("tta_agent_coordination.sharing", "state_look", "state_put")


class RedisStateStore:
    """Values on a Redis server: each call is one script.

    Args:
        client: The client; never closed here.
        prefix: What all keys begin with, any text.
        clock: Only for tests: what the server is told as the time, in ms.
    """

    def __init__(
        self, client: RedisClient, prefix: str, clock: Callable[[], int] | None = None
    ) -> None:
        self._scripts = Scripts(client, clock, SCRIPTS)
        # No type of agents is quoted with a star, so these keys are nobody else's.
        self._head = f"{{{check_prefix(prefix)}:*state:"

    def _key(self, key: str) -> bytes:
        return f"{self._head}{quoted(key)}}}".encode()

    async def put(self, key: str, put: Put) -> tuple[bool, int, int]:
        """Put or delete; return whether it was done, the version, and when the value ends."""
        reply = await self._scripts.run(
            "state_put",
            self._key(key),
            secrets.token_urlsafe(9),
            "" if put.expected is None else put.expected,
            "" if put.life is None else put.life,
            "delete" if put.body is None else "put",
            b"" if put.body is None else put.body,
        )
        done, version, ends = cast("tuple[int, bytes, bytes]", reply)
        return done == 1, int(version), int(ends)

    async def look(self, key: str, known: int, wait: float) -> Cell:
        """Return what is there, waiting up to `wait` seconds for another version than is known."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        name, watcher = self._key(key), secrets.token_urlsafe(9)
        inbox = name + f":o:{watcher}".encode()
        parked = False
        try:
            while True:
                park = max(0, round(min(until - loop.time(), PARK) * 1000))
                reply = await self._scripts.run("state_look", name, known, watcher, park)
                wake, version, ends, *body = cast("tuple[int, bytes, bytes, bytes]", reply)
                if wake == 0:
                    break
                parked = True
                if await self._scripts.note(inbox, wake / 1000) is not None:
                    parked = False
        except asyncio.CancelledError:
            await self._part(name, watcher)
            raise
        if parked:
            await self._part(name, watcher)
        return Cell(version=int(version), body=bytes(body[0]) if body else None, ends=int(ends))

    async def _part(self, name: bytes, watcher: str) -> None:
        """Say that a watcher waits no more; its time ends by itself where that fails."""
        with contextlib.suppress(TimeoutError, MessageCoordinatorError):
            async with asyncio.timeout(PARTING):
                await self._scripts.run("state_look", name, 0, watcher, -1)


class RedisSharedState(SharedState):
    """Values that agents on many machines share: JSON under text keys, with versions.

    Each call is one script, so a value is read, compared and written at once; a call that is
    repeated, as the client library does by itself, is done once. Watching does not poll. Each key
    has a slot of its own, so a cluster spreads them.

    Args:
        redis: A client of `redis.asyncio`. It is the caller's, and is never closed here.
        key_prefix: All keys begin with `{` and this.
        max_value_bytes: The largest value, as JSON.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is no asyncio client.

    Example:
        ```python
        state = RedisSharedState(redis.asyncio.Redis(), key_prefix="myapp")
        leader = await state.compare_and_set("leader", "worker-2", expected=0, ttl=30)
        async for entry in state.watch("leader"):
            print(entry.value if entry.exists else "nobody leads")
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        key_prefix: str = "tta",
        *,
        max_value_bytes: int = 1_048_576,
        _clock: Callable[[], int] | None = None,
    ) -> None:
        check_client(redis)
        super().__init__(
            RedisStateStore(redis, key_prefix, _clock), max_value_bytes=max_value_bytes
        )
