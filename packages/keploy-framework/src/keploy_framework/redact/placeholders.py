"""What stands where a secret stood: ``[redacted:<kind>:<ordinal>]``."""

from __future__ import annotations

import re
import threading

__all__ = (
    "ECHOED",
    "PLACEHOLDER",
    "Placeholders",
    "highest_ordinal",
    "is_placeholder",
    "readable",
    "without_placeholders",
)

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


def without_placeholders(text: str) -> str:
    """Return a text with a space for each placeholder, whose kind would be taken for a name in it.

    Example:
        >>> without_placeholders("a: [redacted:api-key:1], b: 2")
        'a:  , b: 2'
    """
    return PLACEHOLDER.sub(" ", text) if "[redacted:" in text else text


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


def highest_ordinal(text: str) -> int:
    """Return the highest ordinal among the placeholders of a text; 0 if it has none.

    Example:
        >>> highest_ordinal("[redacted:token:2], [redacted:bearer:11]")
        11
    """
    return max((int(found[2]) for found in PLACEHOLDER.finditer(text)), default=0)


class Placeholders:
    """Gives each secret its placeholder, the same one each time; it lives in memory only.

    A value keeps the kind under which it was seen first, so that a token that was handed out in a
    body and came back in a header has one placeholder. Any thread may ask.

    Attributes:
        lengths: The lengths of the secrets that were seen.

    Example:
        >>> placeholders = Placeholders()
        >>> placeholders.of("bearer", "one"), placeholders.of("token", "one")
        ('[redacted:bearer:1]', '[redacted:bearer:1]')
        >>> placeholders.of("bearer", "two")
        '[redacted:bearer:2]'
    """

    __slots__ = ("_counts", "_floor", "_known", "_lock", "lengths")

    def __init__(self) -> None:
        self.lengths: set[int] = set()
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._floor = 0
        self._lock = threading.Lock()

    def start_at(self, ordinal: int) -> None:
        """Give no ordinal up to this one any more: others have given them."""
        with self._lock:
            self._floor = max(self._floor, ordinal)

    def of(self, kind: str, value: str) -> str:
        """Return the placeholder of a value; one that is a placeholder already stays."""
        known = self._known.get(value)
        if known is not None:
            return known
        if is_placeholder(value):
            return value
        with self._lock:
            ordinal = max(self._counts.get(kind, 0), self._floor) + 1
            known = self._known.setdefault(value, f"[redacted:{kind}:{ordinal}]")
            self.lengths.add(len(value))
            if known == f"[redacted:{kind}:{ordinal}]":
                self._counts[kind] = ordinal
        return known

    def __contains__(self, value: str) -> bool:
        """Whether this secret was seen before."""
        return value in self._known

    def __len__(self) -> int:
        """How many different secrets were seen."""
        return len(self._known)
