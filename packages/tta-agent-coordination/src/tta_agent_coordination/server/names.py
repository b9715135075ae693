"""How texts stand in keys: in unambiguous ASCII.

A name may be any text. In keys and tokens, everything that could be mistaken for a separator, or
for the braces that decide about a slot of a cluster, is percent-encoded, so two names never share a
key.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from tta_agent_coordination.errors import ConfigurationError

__all__ = ("check_prefix", "quoted", "root_key", "unquoted")


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
