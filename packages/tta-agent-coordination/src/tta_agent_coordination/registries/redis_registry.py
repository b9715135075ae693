"""The registry for agents on many machines, on a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import MessageCoordinatorError
from tta_agent_coordination.registries.base import StoredRegistry
from tta_agent_coordination.registries.records import AgentChange, ChangeKind, agent_of, record_of
from tta_agent_coordination.registries.store import Changes, Position, Snapshot
from tta_agent_coordination.server.client import check_client
from tta_agent_coordination.server.names import check_prefix, root_key, unquoted
from tta_agent_coordination.server.scripts import Scripts, load_scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_agent_coordination.registries.records import Registration
    from tta_agent_coordination.registries.store import Intent, Terms
    from tta_agent_coordination.server.client import RedisClient

__all__ = ("SCRIPTS", "RedisAgentRegistry", "RedisRegistryStore")

PARK = 10.0
"""A watcher is parked so many seconds at a time."""
PARTING = 0.25
"""A watcher that is cancelled takes so many seconds at most to say so."""

SCRIPTS = load_scripts(
    "tta_agent_coordination.registries",
    "registry_apply",
    "registry_beat",
    "registry_changes",
    "registry_list",
)


class RedisRegistryStore:
    """Who is registered, on a Redis server: each call is one script.

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
        self._root = root_key(check_prefix(prefix), "*registry").encode()

    async def apply(self, terms: Terms, intents: Sequence[Intent]) -> str:
        """Do things in their order; return a letter for each."""
        letters = await self._scripts.run(
            "registry_apply",
            self._root,
            terms.life,
            terms.forget,
            secrets.token_urlsafe(9),
            *(
                part
                for what, registration in intents
                for part in (what, registration.name, registration.nonce, registration.words)
            ),
        )
        return cast("bytes", letters).decode()

    async def beat(self, terms: Terms, registrations: Sequence[Registration]) -> str:
        """Let agents live on; return a letter for each."""
        letters = await self._scripts.run(
            "registry_beat",
            self._root,
            terms.life,
            terms.forget,
            *(one.member for one in registrations),
        )
        return cast("bytes", letters).decode()

    async def agents(self, name: str | None = None, words: Sequence[str] = ()) -> Snapshot:
        """Return one agent, or those that can do all of `words`, or all."""
        reply = await self._scripts.run(
            "registry_list", self._root, "" if name is None else name, *words
        )
        epoch, version, *rest = cast("list[bytes]", reply)
        return Snapshot(
            position=Position(epoch.decode(), int(version)),
            records=[
                record_of(
                    rest[i].decode().partition(" ")[0],
                    rest[i + 1].decode(),
                    int(float(rest[i + 2])),
                    alive=cast("int", rest[i + 3]) == 1,
                )
                for i in range(0, len(rest), 4)
            ],
        )

    async def changes(self, since: Position, wait: float) -> Changes:
        """Return what has changed, waiting for it up to `wait` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        watcher = secrets.token_urlsafe(9)
        inbox = self._root + f":o:{watcher}".encode()
        parked = False
        try:
            while True:
                park = max(0, round(min(until - loop.time(), PARK) * 1000))
                found, wake = await self._look(since, watcher, park)
                if found.missing or found.changes or park == 0:
                    break
                parked = True
                if await self._scripts.note(inbox, wake) is not None:
                    parked = False
        except asyncio.CancelledError:
            await self._part(watcher)
            raise
        if parked:
            await self._part(watcher)
        return found

    async def _look(self, since: Position, watcher: str, park: int) -> tuple[Changes, float]:
        reply = await self._scripts.run(
            "registry_changes", self._root, since.epoch, since.version, watcher, park
        )
        wake, epoch, version, missing, *texts = cast("tuple[int, bytes, bytes, int, bytes]", reply)
        found = Changes(
            position=Position(epoch.decode(), int(version)),
            missing=missing == 1,
            changes=[_change(text.decode()) for text in texts],
        )
        return found, wake / 1000

    async def _part(self, watcher: str) -> None:
        """Say that a watcher waits no more; its time ends by itself where that fails."""
        with contextlib.suppress(TimeoutError, MessageCoordinatorError):
            async with asyncio.timeout(PARTING):
                await self._scripts.run("registry_changes", self._root, "", 0, watcher, -1)


def _change(text: str) -> AgentChange:
    _, kind, name, incarnation, at, *info = text.split(" ")
    told = ChangeKind(kind)
    words = info[3:] if told in {ChangeKind.JOINED, ChangeKind.BACK} else None
    return AgentChange(
        kind=told,
        agent_id=agent_of(name),
        incarnation=int(incarnation),
        at=int(at) / 1000,
        capabilities=None if words is None else frozenset(map(unquoted, words)),
    )


class RedisAgentRegistry(StoredRegistry):
    """Who is there, and who is alive, among the agents of many machines.

    Liveness goes by the server's clock. `register` and `deregister` only note what is wanted, in
    order; `flush`, `list_registered` and the heartbeat write it. The heartbeat runs inside
    `async with registry`, and renews all agents of this object in one round trip; at the end of
    the block they are deregistered.

    Each registration is an incarnation of its agent: once another process has registered the same
    agent, or somebody has deregistered it, what the old one still sends is refused. When the
    server, or the way to it, stood still, nobody is taken for dead before it has had a whole
    `heartbeat_ttl` to say that it lives.

    Args:
        redis: A client of `redis.asyncio`. It is the caller's, and is never closed here.
        key_prefix: All keys begin with `{` and this; registries with the same one share agents,
            and should be given the same times.
        heartbeat_ttl: After so many seconds without a heartbeat an agent is not alive.
        heartbeat_interval: Inside `async with`, all own agents are renewed so often. Default: a
            third of `heartbeat_ttl`.
        forget_after: An agent that is not alive is listed as such for so many seconds more.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is no asyncio client.

    Example:
        ```python
        async with RedisAgentRegistry(redis.asyncio.Redis(), key_prefix="myapp") as registry:
            registry.register(AgentDescription(agent_id, ["poems"]))
            for agent in await registry.list_registered():
                print(agent["name"], agent["alive"])
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        key_prefix: str = "tta",
        *,
        heartbeat_ttl: float = 30.0,
        heartbeat_interval: float | None = None,
        forget_after: float = 300.0,
        _clock: Callable[[], int] | None = None,
    ) -> None:
        check_client(redis)
        super().__init__(
            RedisRegistryStore(redis, key_prefix, _clock),
            heartbeat_ttl=heartbeat_ttl,
            heartbeat_interval=heartbeat_interval,
            forget_after=forget_after,
        )
