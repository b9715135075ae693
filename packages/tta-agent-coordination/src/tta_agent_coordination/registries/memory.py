"""The registry for one process: the same contract, without a server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tta_agent_coordination.registries.base import StoredRegistry
from tta_agent_coordination.registries.state import RegistryState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_agent_coordination.registries.records import Registration
    from tta_agent_coordination.registries.store import Changes, Intent, Position, Snapshot, Terms

__all__ = ("InMemoryAgentRegistry", "InMemoryRegistryStore")


class InMemoryRegistryStore:
    """Who is registered, in this process and for one event loop.

    Args:
        clock: Returns the time in ms.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._state = RegistryState()
        self._bells: set[asyncio.Future[None]] = set()

    async def apply(self, terms: Terms, intents: Sequence[Intent]) -> str:
        """Do things in their order; return a letter for each."""
        letters = self._state.apply(self._clock(), terms, intents)
        self._ring()
        return letters

    async def beat(self, terms: Terms, registrations: Sequence[Registration]) -> str:
        """Let agents live on; return a letter for each."""
        letters = self._state.beat(self._clock(), terms, registrations)
        self._ring()
        return letters

    async def agents(self, name: str | None = None, words: Sequence[str] = ()) -> Snapshot:
        """Return one agent, or those that can do all of `words`, or all."""
        snapshot = self._state.agents(self._clock(), name, words)
        self._ring()
        return snapshot

    async def changes(self, since: Position, wait: float) -> Changes:
        """Return what has changed, waiting for it up to `wait` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            now = self._clock()
            found = self._state.changes(now, since)
            left = until - loop.time()
            if found.missing or found.changes or left <= 0:
                return found
            bell: asyncio.Future[None] = loop.create_future()
            self._bells.add(bell)
            try:
                async with asyncio.timeout(min(left, (self._state.wake(now) - now) / 1000)):
                    await bell
            except TimeoutError:
                pass
            finally:
                self._bells.discard(bell)

    def _ring(self) -> None:
        """Let all that wait look again; cheap, and never one too few."""
        for bell in self._bells:
            if not bell.done():
                bell.set_result(None)


class InMemoryAgentRegistry(StoredRegistry):
    """Who is there, and who is alive, among the agents of one process and event loop.

    The same contract as `RedisAgentRegistry`, for one process and for tests.

    Args:
        heartbeat_ttl: After so many seconds without a heartbeat an agent is not alive.
        heartbeat_interval: Inside `async with`, all own agents are renewed so often. Default: a
            third of `heartbeat_ttl`.
        forget_after: An agent that is not alive is listed as such for so many seconds more.
        shared: Another registry, to keep one list with it, as two processes on one server do.
        clock: Returns seconds since 1970.

    Raises:
        ConfigurationError: An option is out of range.

    Example:
        >>> import asyncio
        >>> from tta_agent_coordination.models import AgentId
        >>> from tta_agent_coordination.registries.records import AgentDescription
        >>> async def main() -> None:
        ...     writer = AgentDescription(AgentId(type="writer", instance="1"), ["poems"])
        ...     async with InMemoryAgentRegistry() as registry:
        ...         registry.register(writer)
        ...         for agent in await registry.find("poems"):
        ...             print(agent.agent_id, agent.alive)
        >>> asyncio.run(main())
        type='writer' instance='1' True
    """

    def __init__(
        self,
        *,
        heartbeat_ttl: float = 30.0,
        heartbeat_interval: float | None = None,
        forget_after: float = 300.0,
        shared: InMemoryAgentRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store = (
            InMemoryRegistryStore(lambda: round(clock() * 1000)) if shared is None else shared.store
        )
        self.store: InMemoryRegistryStore = store
        super().__init__(
            store,
            heartbeat_ttl=heartbeat_ttl,
            heartbeat_interval=heartbeat_interval,
            forget_after=forget_after,
        )
