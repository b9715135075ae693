"""How mailboxes, rosters, fences and deliveries are called in keys and tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tta_agent_coordination.models import AgentId
from tta_agent_coordination.server.names import quoted, unquoted

__all__ = (
    "ALL_TYPES",
    "ANSWERS",
    "SHARED",
    "Delivery",
    "Fence",
    "Mailbox",
    "Roster",
    "agent_of",
    "fence_of",
    "instances_of",
    "is_passing",
    "mailbox_of",
    "mailboxes_of",
    "parse_token",
    "subscribers_of",
    "topics_of",
)

ANSWERS = "?r."
"""What the type of a mailbox for answers begins with."""
SHARED = "*"
"""The name of the mailbox that all agents of a type share; no instance is quoted like this."""


class Mailbox(NamedTuple):
    """A mailbox by its quoted names.

    Attributes:
        type: The agents' type.
        name: The instance, or `*` for the mailbox that they share.
    """

    type: str
    name: str


class Delivery(NamedTuple):
    """A delivery, which a token stands for.

    Attributes:
        mailbox: Where the message came from.
        key: Names the delivery within the mailbox.
    """

    mailbox: Mailbox
    key: str

    @property
    def token(self) -> str:
        """The delivery as the text that users hand back."""
        return f"{self.mailbox.type}:{self.mailbox.name}:{self.key}"


def is_passing(mailbox: Mailbox) -> bool:
    """Return whether a mailbox is one for answers, which goes with those who wait in it.

    No agent's type is quoted like this.
    """
    return mailbox.type.startswith(ANSWERS)


class Roster(NamedTuple):
    """A list of members.

    Attributes:
        type: Decides where it lies, as a quoted type of agents does.
        name: Names it there.
    """

    type: str
    name: str


class Fence(NamedTuple):
    """What guards an effect; its parts are like those of a roster."""

    type: str
    name: str


ALL_TYPES = Roster("?types", "i")
"""All types of which instances have received."""


def subscribers_of(topic: str) -> Roster:
    """Return the roster of a topic's subscribers."""
    return Roster(f"?t.{quoted(topic)}", "s")


def topics_of(mailbox: Mailbox) -> Roster:
    """Return the roster of the topics that an agent is subscribed to."""
    return Roster(mailbox.type, f"t:{mailbox.name}")


def instances_of(agent_type: str) -> Roster:
    """Return the roster of the instances of a type that have received."""
    return Roster(agent_type, "i")


def fence_of(message_id: str, agent_id: AgentId | None) -> Fence:
    """Return the fence of a message's effect, for one agent or for all."""
    if agent_id is None:
        return Fence(f"?o.{quoted(message_id)}", "")
    mailbox = mailbox_of(agent_id)
    return Fence(mailbox.type, f"{mailbox.name}:{quoted(message_id)}")


@lru_cache(maxsize=4096)
def mailbox_of(agent_id: AgentId) -> Mailbox:
    """Return the mailbox that messages to an agent go to.

    Example:
        >>> from tta_agent_coordination.models import AgentId
        >>> mailbox_of(AgentId(type="writer"))
        Mailbox(type='writer', name='*')
    """
    name = SHARED if agent_id.instance is None else quoted(agent_id.instance)
    return Mailbox(quoted(agent_id.type), name)


@lru_cache(maxsize=4096)
def mailboxes_of(agent_id: AgentId) -> tuple[Mailbox, ...]:
    """Return the mailboxes that an agent receives from: its own first, then the shared one."""
    own = mailbox_of(agent_id)
    return (own,) if own.name == SHARED else (own, Mailbox(own.type, SHARED))


def agent_of(mailbox: Mailbox) -> AgentId:
    """Return the agent that a mailbox belongs to.

    Example:
        >>> agent_of(Mailbox("a%20b", "*"))
        AgentId(type='a b', instance=None)
    """
    instance = None if mailbox.name == SHARED else unquoted(mailbox.name)
    return AgentId(type=unquoted(mailbox.type), instance=instance)


def parse_token(token: object) -> Delivery | None:
    """Return the delivery that a token stands for, or None if it is no token of ours.

    Example:
        >>> parse_token("writer:*:k3yR.000")
        Delivery(mailbox=Mailbox(type='writer', name='*'), key='k3yR.000')
    """
    if not isinstance(token, str) or not token.isascii():
        return None
    parts = token.split(":")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - type, name and key
        return None
    return Delivery(Mailbox(parts[0], parts[1]), parts[2])
