"""What a registry needs of whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.registries.records import AgentChange, AgentRecord, Registration

__all__ = ("Changes", "Intent", "Position", "RegistryStore", "Snapshot", "Terms", "What")

What: TypeAlias = Literal["+", "?", "-", "!"]
"""`+` register. `?` register again, unless somebody else has or it is over. `-` deregister this
registration. `!` deregister whoever has the name, once."""


class Intent(NamedTuple):
    """One thing to do to a registry."""

    what: What
    registration: Registration


class Position(NamedTuple):
    """A place in the history of a registry.

    Attributes:
        epoch: Which history; a new one begins where all was lost.
        version: The number of the last change.
    """

    epoch: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long agents live, in ms.

    Attributes:
        life: After so long without a heartbeat an agent is silent.
        forget: After so long in silence it is forgotten.
    """

    life: int
    forget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All agents, and when that was."""

    position: Position
    records: Sequence[AgentRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has changed.

    Attributes:
        position: Where the history stands after them.
        missing: Whether there were more than are known: take a snapshot.
        changes: What has changed.
    """

    position: Position
    missing: bool = False
    changes: Sequence[AgentChange] = field(default_factory=tuple)


class RegistryStore(Protocol):
    """Keeps who is registered. Every call may be repeated without harm."""

    async def apply(self, terms: Terms, intents: Sequence[Intent]) -> str:
        """Do things in their order; a letter for each: `k` done, `n` nothing there, `r` refused."""
        ...

    async def beat(self, terms: Terms, registrations: Sequence[Registration]) -> str:
        """Let agents live on; a letter for each: `k` done, `u` unknown, `r` another's now."""
        ...

    async def agents(self, name: str | None = None, words: Sequence[str] = ()) -> Snapshot:
        """Return one agent, or those that can do all of `words`, or all."""
        ...

    async def changes(self, since: Position, wait: float) -> Changes:
        """Return what has changed, waiting for it up to `wait` seconds."""
        ...
