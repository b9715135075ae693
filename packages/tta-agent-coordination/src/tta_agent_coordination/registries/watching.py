"""Following what happens in a registry, across lost connections and lost histories."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tta_agent_coordination.errors import CoordinatorConnectionError
from tta_agent_coordination.registries.records import AgentChange, ChangeKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from tta_agent_coordination.models import AgentId
    from tta_agent_coordination.registries.store import RegistryStore, Snapshot

__all__ = ("Known", "follow")

T = TypeVar("T")

WATCH = 60.0
"""A watch asks anew after so many seconds without any change."""
SOON = 0.05
LATE = 1.0


class Known:
    """What a watcher has been told of, so that it can be told what is new."""

    def __init__(self) -> None:
        self._agents: dict[AgentId, tuple[int, bool]] = {}  # incarnation, alive

    def __bool__(self) -> bool:
        return bool(self._agents)

    def note(self, change: AgentChange) -> None:
        """Take note of a change that is told."""
        if change.kind is ChangeKind.LEFT:
            self._agents.pop(change.agent_id, None)
        else:
            alive = change.kind is not ChangeKind.LOST
            self._agents[change.agent_id] = (change.incarnation, alive)

    def compare(self, snapshot: Snapshot) -> Iterator[AgentChange]:
        """Return what must have happened for the snapshot to be as it is."""
        gone = dict(self._agents)
        for record in snapshot.records:
            incarnation, alive = gone.pop(record.agent_id, (None, False))
            again = incarnation == record.incarnation
            if record.alive and not (again and alive):
                kind = ChangeKind.BACK if again else ChangeKind.JOINED
                at = record.last_heartbeat if again else record.registered_at
                capabilities = record.capabilities
            elif not record.alive and alive:
                kind, at, capabilities = ChangeKind.LOST, record.last_heartbeat, None
            else:
                self._agents[record.agent_id] = (record.incarnation, record.alive)
                continue
            change = AgentChange(
                kind=kind,
                agent_id=record.agent_id,
                incarnation=record.incarnation,
                at=at,
                capabilities=capabilities,
            )
            self.note(change)
            yield change
        latest = max((record.last_heartbeat for record in snapshot.records), default=0.0)
        for agent_id, (incarnation, alive) in gone.items():
            change = AgentChange(
                kind=ChangeKind.LEFT, agent_id=agent_id, incarnation=incarnation, at=latest
            )
            self.note(change)
            if alive:
                yield change


async def follow(store: RegistryStore, patience: float) -> AsyncGenerator[AgentChange, None]:
    """Tell of who is alive, then of every change.

    Args:
        store: Keeps the registry.
        patience: After all was lost (a server began anew without its data), agents have so many
            seconds to say that they live, before those that do not are told of as having left.
    """
    known = Known()
    snapshot = await _steady(store.agents)
    while True:
        position = snapshot.position
        for change in known.compare(snapshot):
            yield change
        while True:
            since = position
            found = await _steady(partial(store.changes, since, WATCH))
            if found.missing:
                if known and found.position.epoch != since.epoch:
                    await asyncio.sleep(patience)
                break
            position = found.position
            for change in found.changes:
                known.note(change)
                yield change
        snapshot = await _steady(store.agents)


async def _steady(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the server answers."""
    wait = SOON
    while True:
        try:
            return await ask()
        except CoordinatorConnectionError:
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
            wait = min(2 * wait, LATE)
