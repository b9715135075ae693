"""How agents, messages and deliveries are called in keys and tokens: in unambiguous ASCII.

A name may be any text. In keys and tokens, everything that could be mistaken for a separator, or
for the braces that decide about a slot of a cluster, is percent-encoded, so two names never share a
key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from tta_agent_coordination.errors import ConfigurationError

if TYPE_CHECKING:
    from tta_agent_coordination.models import AgentId

__all__ = (
    "SHARED",
    "Delivery",
    "Mailbox",
    "check_prefix",
    "mailbox_of",
    "mailboxes_of",
    "parse_token",
    "quoted",
    "root_key",
    "unquoted",
)

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


def quoted(text: str) -> str:
    """Return a text as ASCII without spaces, colons, braces and stars.

    Example:
        >>> quoted("a b:{c}")
        'a%20b%3A%7Bc%7D'
    """
    return quote(text, safe="-._~@/+=,!$")


def unquoted(text: str) -> str:
    """Return what was quoted."""
    return unquote(text)


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


def root_key(prefix: str, agent_type: str) -> str:
    """Return the hash tag of all keys of a type of agents.

    Args:
        prefix: The coordinator's prefix, any text; kept readable, colons included.
        agent_type: The quoted type. It has no colon, so the last one separates the two.
    """
    return f"{{{prefix}:{agent_type}}}"


def check_prefix(prefix: object) -> str:
    """Return a key prefix as it stands in keys.

    Raises:
        ConfigurationError: It is no text, or empty.
    """
    if not isinstance(prefix, str) or not prefix:
        raise ConfigurationError(f"key_prefix must be a text that is not empty, not {prefix!r:.60}")
    return quote(prefix, safe="-._~@/+=,!$:")
