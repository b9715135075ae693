"""Hints that a text may hold a secret: most texts give none, and are then left alone.

A hint costs a few searches for fixed text, a small part of what reading the text for secrets costs.
Hints err to one side only: a text without a hint holds no secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.names import normal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.redact.names import Names

__all__ = (
    "HINTS",
    "RUN",
    "has_names",
    "json_has_names",
    "name_starts",
    "runs",
    "unescaped_roughly",
)

HINTS: Final = (
    "assertion",
    "auth",
    "code",
    "connection",
    "cookie",
    "credential",
    "cvc",
    "cvv",
    "jwt",
    "key",
    "otp",
    "pass",
    "pwd",
    "saml",
    "secret",
    "sess",
    "sid",
    "sig",
    "token",
)
"""Each telling name has one of these in it: a text with none of them has no telling name."""

RUN: Final = 15
"""No key or token that is known by its looks alone is shorter than this many characters."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.=/+%~-]")
_IN_RUN: Final = bytes(97 if _TOKEN.match(chr(code)) else 32 for code in range(256))
_LONG_ENOUGH: Final = b"a" * RUN
# Each quote is looked at as the first of a key: what is none does no harm.
_KEYS: Final = re.compile(r'"(?=([^"]*+)"[ \t\r\n]*+:)')
_IN_NAME: Final = "".join(chr(code) for code in range(256) if re.match(r"[\w.$-]", chr(code)))
_WORD: Final = re.compile(r"[\w.$-]+")
_LONGEST_NAME: Final = 64
_SHORTEST: Final = 3
_LONGEST_GAP: Final = 8
_PER_SIGN: Final = 48  # bytes for each sign from which on it is cheaper to go from sign to sign


def runs(text: str) -> list[tuple[int, int]]:
    """Return where long runs of the letters of tokens stand: from, to.

    Example:
        >>> runs("id 3f2504e0-4f89-11d3, a word")
        [(3, 21)]
    """
    data = text.encode("latin-1", "replace").translate(_IN_RUN)
    at = data.find(_LONG_ENOUGH)
    if at < 0:
        return []
    found: list[tuple[int, int]] = []
    while at >= 0:
        end = data.find(b" ", at + RUN)
        if end < 0:
            end = len(data)
        found.append((at, end))
        at = data.find(_LONG_ENOUGH, end)
    return found


def has_names(text: str, names: Names) -> bool:
    """Say whether a telling name may stand in a text; False is certain.

    A text with escapes may spell a name in any way.

    Example:
        >>> from keploy_framework.redact.names import Names
        >>> has_names("the Api Key", Names()), has_names("a name", Names())
        (True, False)
    """
    if names.has_own_fields or "\\" in text:
        return True
    plain = normal(text)
    return any([hint in plain for hint in HINTS])  # noqa: C419 - faster so


def json_has_names(text: str, names: Names) -> bool:
    r"""Say whether a key in JSON text may be a telling name; False is certain.

    Example:
        >>> from keploy_framework.redact.names import Names
        >>> json_has_names('{"Api Key": 1}', Names()), json_has_names('{"name": 1}', Names())
        (True, False)
    """
    return not names.all_harmless(_KEYS.findall(text))


def unescaped_roughly(text: str) -> str:
    r"""Return JSON text with its common escapes undone: enough to see what may be in its strings.

    Example:
        >>> unescaped_roughly(r'"https:\/\/ada:x@host"')
        '"https://ada:x@host"'
    """
    return text.replace("\\/", "/").replace("\\n", "\n").replace("\\r", "\n").replace('\\"', '"')


def name_starts(text: str) -> Iterator[int]:
    """Yield where words begin that may be telling names before a colon or an equals sign, in order.

    Names that break a hint apart (``pass-word``) may be left out.

    Example:
        >>> list(name_starts("say: db_password=x, monkey: 1"))
        [5, 20]
    """
    if len(text.encode("latin-1", "ignore")) < len(text):  # seldom: what escapes in JSON made
        yield from [match.start() for match in _WORD.finditer(text)]
        return
    signs = text.count(":") + text.count("=")
    if signs * _PER_SIGN < len(text):
        starts = _starts_before_signs(text)
    elif signs:
        starts = _starts_at_hints(text)
    else:
        return
    before = -1
    for start in starts:
        if start > before:
            yield start
            before = start


def _starts_at_hints(text: str) -> Iterator[int]:
    """Yield where words begin that have a hint in them."""
    lowered = text.lower()
    places: list[int] = []
    for hint in HINTS:
        at = lowered.find(hint)
        while at >= 0:
            places.append(at)
            at = lowered.find(hint, at + 1)
    for place in sorted(places):
        begin = max(0, place - _LONGEST_NAME)
        yield begin + len(text[begin:place].rstrip(_IN_NAME))


def _starts_before_signs(text: str) -> Iterator[int]:
    """Yield where words begin that stand before a colon or an equals sign, and have a hint."""
    places: list[int] = []
    for sign in ":=":
        at = text.find(sign)
        while at >= 0:
            places.append(at)
            at = text.find(sign, at + 1)
    for place in sorted(places):
        begin = max(0, place - _LONGEST_NAME - _LONGEST_GAP)
        name = text[begin:place].rstrip(" \t").rstrip("\"'\\]")
        start = len(name.rstrip(_IN_NAME))
        if len(name) - start < _SHORTEST:
            continue
        lowered = name[start:].lower()
        if any([hint in lowered for hint in HINTS]):  # noqa: C419 - faster so
            yield begin + start
