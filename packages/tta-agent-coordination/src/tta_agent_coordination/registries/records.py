"""What a registry tells about agents, and how it writes them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import InvalidAgentError
from tta_agent_coordination.models import AgentId
from tta_agent_coordination.server.names import quoted, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "AgentChange",
    "AgentDescription",
    "AgentRecord",
    "ChangeKind",
    "Registration",
    "agent_of",
    "check_agent_id",
    "check_capabilities",
    "name_of",
    "record_of",
)

LONGEST_CAPABILITY = 256
MOST_CAPABILITIES = 100


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """The least that can be registered: a name, and what the agent can do.

    Example:
        >>> AgentDescription(AgentId(type="writer", instance="1"), ["poems"]).capabilities
        ['poems']
    """

    agent_id: AgentId
    capabilities: Iterable[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """What a registry knows about an agent. Times are seconds since 1970 by its clock.

    Attributes:
        agent_id: The agent's name.
        incarnation: Which registration this is: each later one, of any agent, has a higher number.
        alive: Whether it has been heard of within its time to live.
        capabilities: What it can do.
        registered_at: When it was registered.
        last_heartbeat: When it was last heard of.
    """

    agent_id: AgentId
    incarnation: int
    alive: bool
    capabilities: frozenset[str]
    registered_at: float
    last_heartbeat: float

    def as_dict(self) -> dict[str, object]:
        """Return it as `list_registered` does."""
        return {
            "name": str_of(self.agent_id),
            "agent_id": self.agent_id,
            "status": "alive" if self.alive else "silent",
            "alive": self.alive,
            "incarnation": self.incarnation,
            "capabilities": sorted(self.capabilities),
            "registered_at": self.registered_at,
            "last_heartbeat": self.last_heartbeat,
        }


class ChangeKind(str, Enum):  # noqa: UP042 - like the other enums of the package
    """What has happened to an agent."""

    JOINED = "joined"
    """It was registered; also anew, with another incarnation."""
    LEFT = "left"
    """It was deregistered."""
    LOST = "lost"
    """It has not been heard of for its time to live."""
    BACK = "back"
    """It was lost, and has been heard of again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChange:
    """Something has happened to an agent.

    Attributes:
        kind: What.
        agent_id: To whom.
        incarnation: To which registration of it.
        at: When, in seconds since 1970 by the registry's clock.
        capabilities: What it can do, where it has joined or come back; else None.
    """

    kind: ChangeKind
    agent_id: AgentId
    incarnation: int
    at: float
    capabilities: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """One registration of an agent.

    Attributes:
        name: The agent, as it stands in keys.
        nonce: Tells this registration from all others, also of the same agent.
        words: What it can do, quoted and joined by spaces.
    """

    name: str
    nonce: str
    words: str = ""

    @property
    def member(self) -> str:
        """How it stands in keys: the agent, and which registration of it."""
        return f"{self.name} {self.nonce}"

    @classmethod
    def of(cls, agent_id: AgentId, capabilities: Iterable[str] = ()) -> Registration:
        """Make a new registration."""
        return cls(
            name=name_of(agent_id),
            nonce=secrets.token_urlsafe(9),
            words=" ".join(sorted(quoted(word) for word in set(capabilities))),
        )


def str_of(agent_id: AgentId) -> str:
    """Return an agent's name as a person would write it."""
    return f"{agent_id.type}/{agent_id.instance}"


@lru_cache(maxsize=16_384)
def name_of(agent_id: AgentId) -> str:
    """Return an agent's name as it stands in keys.

    Example:
        >>> name_of(AgentId(type="writer", instance="a:b"))
        'writer:a%3Ab'
    """
    return f"{quoted(agent_id.type)}:{quoted(cast('str', agent_id.instance))}"


@lru_cache(maxsize=16_384)
def agent_of(name: str) -> AgentId:
    """Return the agent that `name_of` named."""
    kind, _, instance = name.partition(":")
    return AgentId(type=unquoted(kind), instance=unquoted(instance))


def record_of(name: str, info: str, deadline: int, *, alive: bool) -> AgentRecord:
    """Return what a registry knows, from how it is written: ms to live, incarnation, and so on."""
    life, incarnation, registered, *words = info.split(" ")
    return AgentRecord(
        agent_id=agent_of(name),
        incarnation=int(incarnation),
        alive=alive,
        capabilities=frozenset(map(unquoted, words)),
        registered_at=int(registered) / 1000,
        last_heartbeat=(deadline - int(life)) / 1000,
    )


def check_agent_id(agent_id: object) -> AgentId:
    """Return the name of one agent.

    Raises:
        InvalidAgentError: It is no `AgentId`, or has no instance.
    """
    if not isinstance(agent_id, AgentId):
        raise InvalidAgentError(f"agent_id must be an AgentId, not {agent_id!r:.100}")
    if agent_id.instance is None:
        raise InvalidAgentError(
            f"{agent_id!r:.200} names all agents of a type; a registered agent needs an instance"
        )
    try:
        name_of(agent_id)
    except UnicodeEncodeError:
        raise InvalidAgentError(f"agent_id is no valid text: {agent_id!r:.200}") from None
    return agent_id


def check_capabilities(capabilities: object) -> list[str]:
    """Return what an agent can do.

    Raises:
        InvalidAgentError: It is not up to 100 texts of 1 to 256 characters each.
    """
    words: list[object] = []
    if not isinstance(capabilities, (str, bytes)):
        try:
            words = list(cast("Iterable[object]", capabilities))
        except TypeError:
            words = [None]
    else:
        words = [None]  # the letters of a text are hardly meant
    if len(words) <= MOST_CAPABILITIES and all(map(_is_capability, words)):
        return cast("list[str]", words)
    raise InvalidAgentError(
        f"capabilities must be at most {MOST_CAPABILITIES} texts of 1 to {LONGEST_CAPABILITY} "
        f"characters, not {capabilities!r:.100}"
    )


def _is_capability(word: object) -> bool:
    if not isinstance(word, str) or not 0 < len(word) <= LONGEST_CAPABILITY:
        return False
    try:
        quoted(word)
    except UnicodeEncodeError:
        return False
    return True
