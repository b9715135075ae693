"""What stands where a secret stood: ``[redacted:<kind>:<ordinal>]``."""

from __future__ import annotations

import re
import threading

__all__ = ("ECHOED", "PLACEHOLDER", "Placeholders", "is_placeholder", "readable")

PLACEHOLDER = re.compile(r"\[redacted:([a-z0-9-]{1,40}+):([0-9]{1,10}+)\]")
"""A placeholder in a text; its groups are the kind and the ordinal."""

_ONLY = re.compile(
    r"(?:\[redacted:[a-z0-9-]{1,40}+:[0-9]{1,10}+\]"
    r"|%5[Bb]redacted(?::|%3[Aa])[a-z0-9-]{1,40}+(?::|%3[Aa])[0-9]{1,10}+%5[Dd])"
)

ECHOED = 8
"""From which length on a value that was found once is also found elsewhere, by itself."""


def is_placeholder(value: str) -> bool:
    """Say whether the value is a placeholder, and nothing else; a percent-encoded one counts.

    Example:
        >>> is_placeholder("[redacted:bearer:1]"), is_placeholder("Bearer [redacted:bearer:1]")
        (True, False)
    """
    return _ONLY.fullmatch(value) is not None


def readable(value: str) -> str:
    r"""Return a value of Latin-1 text as the UTF-8 that it mostly is.

    Example:
        >>> readable("gr\xc3\xbcn")
        'grün'
    """
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


class Placeholders:
    """Gives each secret its placeholder, the same one each time; it lives in memory only.

    A value keeps the kind under which it was seen first, so that a token that was handed out in a
    body and came back in a header has one placeholder. Any thread may ask.

    Example:
        >>> placeholders = Placeholders()
        >>> placeholders.of("bearer", "one"), placeholders.of("token", "one")
        ('[redacted:bearer:1]', '[redacted:bearer:1]')
        >>> placeholders.of("bearer", "two")
        '[redacted:bearer:2]'
    """

    __slots__ = ("_counts", "_known", "_lock")

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, kind: str, value: str) -> str:
        """Return the placeholder of a value; one that is a placeholder already stays."""
        known = self._known.get(value)
        if known is not None:
            return known
        if is_placeholder(value):
            return value
        with self._lock:
            ordinal = self._counts.get(kind, 0) + 1
            known = self._known.setdefault(value, f"[redacted:{kind}:{ordinal}]")
            if known == f"[redacted:{kind}:{ordinal}]":
                self._counts[kind] = ordinal
        return known

    def __len__(self) -> int:
        """How many different secrets were seen."""
        return len(self._known)
