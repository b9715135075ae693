"""What registries do alike, whatever keeps them: note what is wanted, write it, renew it, watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, Self, cast

from tta_agent_coordination.errors import (
    AgentCoordinationError,
    ConfigurationError,
    CoordinatorConnectionError,
)
from tta_agent_coordination.interfaces import AgentRegistry
from tta_agent_coordination.limits import check_seconds
from tta_agent_coordination.registries.records import (
    Registration,
    agent_of,
    check_agent_id,
    check_capabilities,
    name_of,
    str_of,
)
from tta_agent_coordination.registries.store import Intent, Terms
from tta_agent_coordination.registries.watching import follow
from tta_agent_coordination.server.names import quoted
from tta_agent_coordination.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from tta_agent_coordination.interfaces import Agent
    from tta_agent_coordination.models import AgentId
    from tta_agent_coordination.registries.records import AgentChange, AgentRecord
    from tta_agent_coordination.registries.store import RegistryStore, Snapshot

__all__ = ("StoredRegistry",)

BATCH = 100
"""So many intents, or heartbeats, go into one call; more would hold up other users of a server."""
PARTING = 1.0
"""At the end of its block a registry takes so many seconds at most to deregister its agents."""
AGAIN = 1.0
"""After a failure, the next try is at most so many seconds later."""
_log = logging.getLogger("tta_agent_coordination")


class StoredRegistry(AgentRegistry):
    """A registry over a store.

    Args:
        store: What keeps it.
        heartbeat_ttl: After so many seconds without a heartbeat an agent is not alive.
        heartbeat_interval: All own agents are renewed so often; default: a third of it.
        forget_after: A silent agent is listed for so many seconds more.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(
        self,
        store: RegistryStore,
        *,
        heartbeat_ttl: float = 30.0,
        heartbeat_interval: float | None = None,
        forget_after: float = 300.0,
    ) -> None:
        # First of all, for `__del__`.
        self._intents: deque[Intent] = deque()
        self._store = store
        ttl = check_seconds("heartbeat_ttl", heartbeat_ttl)
        interval = ttl / 3 if heartbeat_interval is None else heartbeat_interval
        self._interval = check_seconds("heartbeat_interval", interval)
        # From half of it on, a pause is taken for a stall of the server.
        if self._interval >= ttl / 2:
            raise ConfigurationError(
                f"heartbeat_interval ({interval!r}) must be less than half of heartbeat_ttl "
                f"({heartbeat_ttl!r}), or one late heartbeat would mean death"
            )
        self._terms = Terms(
            life=max(1, round(ttl * 1000)),
            forget=round(check_seconds("forget_after", forget_after, zero=True) * 1000),
        )
        self._wanted: dict[str, Registration] = {}  # by the last intent
        self._written: dict[str, Registration] = {}
        self._lock = asyncio.Lock()
        self._in_use = False
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self.heartbeat_error: Exception | None = None
        """Why the heartbeat does not get through at present; None while it does."""
        self.replaced: set[AgentId] = set()
        """Own agents that somebody else has registered or deregistered since."""

    # What is wanted.

    def register(self, agent: Agent) -> None:
        """Note that an agent is to be registered; see the class for when that is written.

        Registering an agent again makes a new incarnation of it, with its present capabilities.

        Args:
            agent: Has an `agent_id`, with an instance, and may have `capabilities`.

        Raises:
            InvalidAgentError: It has no instance, or capabilities that are no texts.
        """
        agent_id = check_agent_id(getattr(agent, "agent_id", None))
        words = check_capabilities(getattr(agent, "capabilities", ()))
        registration = Registration.of(agent_id, words)
        self._wanted[registration.name] = registration
        self.replaced.discard(agent_id)
        self._intend(Intent("+", registration))

    def deregister(self, agent_id: AgentId) -> None:
        """Note that an agent is to be deregistered.

        If this object has registered it, only that registration ends: a successor elsewhere stays.
        Otherwise, whoever is registered by that name is.

        Raises:
            InvalidAgentError: It has no instance.
        """
        own = self._wanted.pop(name_of(check_agent_id(agent_id)), None)
        if own is not None:
            self._intend(Intent("-", own))
        else:
            self._intend(Intent("!", Registration.of(agent_id)))

    def _intend(self, intent: Intent) -> None:
        self._intents.append(intent)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    # Writing it.

    async def flush(self) -> None:
        """Write what was noted, in order. What could not be written stays noted.

        Raises:
            MessageCoordinatorError: The server cannot be told; see its subclasses.
        """
        async with self._lock:
            await self._flush()

    async def _flush(self) -> None:
        while self._intents:
            batch = [self._intents[i] for i in range(min(BATCH, len(self._intents)))]
            letters = await self._store.apply(self._terms, batch)
            for intent, letter in zip(batch, letters, strict=True):
                self._intents.popleft()
                self._settled(intent, letter)

    def _settled(self, intent: Intent, letter: str) -> None:
        registration = intent.registration
        if intent.what == "+":
            if letter == "r":
                self._lose(registration)
            else:
                self._written[registration.name] = registration
        elif self._written.get(registration.name) is registration:
            del self._written[registration.name]

    async def heartbeat(self) -> None:
        """Write what was noted, and say that all own agents live.

        Inside `async with registry` this happens by itself.

        Raises:
            MessageCoordinatorError: The server cannot be told; see its subclasses.
        """
        async with self._lock:
            await self._flush()
            own = list(self._written.values())
            # Also without agents: that somebody looks tells silence from a stall.
            for start in range(0, max(1, len(own)), BATCH):
                batch = own[start : start + BATCH]
                letters = await self._store.beat(self._terms, batch)
                for registration, letter in zip(batch, letters, strict=True):
                    if letter == "u":
                        await self._revive(registration)
                    elif letter == "r":
                        self._lose(registration)

    async def _revive(self, registration: Registration) -> None:
        """Register again what the store has lost, or forgotten during a long absence."""
        letters = await self._store.apply(self._terms, [Intent("?", registration)])
        if letters == "r":
            self._lose(registration)

    def _lose(self, registration: Registration) -> None:
        """Take note that a registration is over."""
        name = registration.name
        if self._written.get(name) is registration:
            del self._written[name]
        if self._wanted.get(name) is not registration:
            return  # by this object itself; a call that is repeated hears of it, too
        del self._wanted[name]
        agent_id = agent_of(name)
        self.replaced.add(agent_id)
        _log.warning(
            "agent %s was registered or deregistered by somebody else; this process no longer "
            "speaks for it",
            str_of(agent_id),
        )

    async def __aenter__(self) -> Self:
        if self._in_use:
            raise ConfigurationError("this registry is in use by another `async with` block")
        self._in_use = True
        try:
            await self.heartbeat()
        except BaseException:
            self._in_use = False
            raise
        self._loop = asyncio.get_running_loop()
        self._keeper = asyncio.create_task(self._keep(), name="heartbeat of a registry")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        keeper, self._keeper, self._loop = self._keeper, None, None
        try:
            await end(cast("asyncio.Task[None]", keeper))
            for name in list(self._wanted):
                self.deregister(agent_of(name))
            try:
                async with asyncio.timeout(PARTING):
                    await self.flush()
            except TimeoutError:
                raise CoordinatorConnectionError(
                    f"the server has not taken the deregistrations within {PARTING} s; the agents "
                    "fall silent by themselves"
                ) from None
        except AgentCoordinationError as failed:
            if error is None:
                raise
            error.add_note(f"besides, agents could not be deregistered: {failed}")
        finally:
            # What could not be written is over with the block: the agents fall silent.
            self._in_use = False
            self._intents.clear()
            self._wanted.clear()
            self._written.clear()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            try:
                if loop.time() < due:
                    await self.flush()
                else:
                    await self.heartbeat()
                    due = loop.time() + self._interval
            except Exception as failed:  # noqa: BLE001 - without heartbeats the agents would be dead
                due = loop.time() + min(self._interval, AGAIN)
                if self.heartbeat_error is None:
                    _log.warning(
                        "the heartbeat of %d agents does not get through; it is tried again and "
                        "again, and this is said once: %s",
                        len(self._written),
                        failed,
                        exc_info=None if isinstance(failed, AgentCoordinationError) else failed,
                    )
                self.heartbeat_error = failed
            else:
                self.heartbeat_error = None

    def __del__(self) -> None:
        if self._intents:
            warnings.warn(
                f"a registry ends with {len(self._intents)} registrations or deregistrations that "
                "were never written: use `async with registry`, or await registry.flush()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    # Reading.

    async def list_registered(self) -> list[dict[str, Any]]:
        """Write what was noted, then list all agents, with their liveness.

        Returns:
            For each: `name`, `agent_id`, `status` ("alive" or "silent"), `alive`, `incarnation`,
            `capabilities`, `registered_at` and `last_heartbeat` (seconds since 1970 by the
            registry's clock). Silent ones are listed for `forget_after` seconds.

        Raises:
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        return [record.as_dict() for record in await self.agents()]

    async def agents(self) -> list[AgentRecord]:
        """Write what was noted, then return all agents in the order of their names.

        Raises:
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        await self.flush()
        return _sorted(await self._store.agents())

    async def find(self, *capabilities: str) -> list[AgentRecord]:
        """Return the agents that are alive and can do all of this.

        Raises:
            InvalidAgentError: A capability is no text of 1 to 256 characters.
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        words = [quoted(word) for word in check_capabilities(capabilities)]
        await self.flush()
        return [record for record in _sorted(await self._store.agents(words=words)) if record.alive]

    async def get(self, agent_id: AgentId) -> AgentRecord | None:
        """Return what is known about one agent, or None if it is not registered.

        Raises:
            InvalidAgentError: It has no instance.
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        name = name_of(check_agent_id(agent_id))
        await self.flush()
        records = (await self._store.agents(name=name)).records
        return records[0] if records else None

    async def watch(self) -> AsyncGenerator[AgentChange, None]:
        """Tell of all agents that are alive, as having joined, and then of every change.

        Nothing is missed between the two, nor while the server is away: then it is asked again and
        again, and what has changed in the meantime follows. Agents that die are told of when their
        time is over. Close the generator when done (`contextlib.aclosing`).

        Yields:
            The changes, in their order.

        Raises:
            MessageCoordinatorError: The server refuses; being away is no reason.
        """
        async with contextlib.aclosing(follow(self._store, self._terms.life / 2000)) as changes:
            async for change in changes:
                yield change


def _sorted(snapshot: Snapshot) -> list[AgentRecord]:
    return sorted(snapshot.records, key=lambda record: name_of(record.agent_id))
