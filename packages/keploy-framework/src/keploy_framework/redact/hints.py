"""Hints that a text may hold a secret: most texts give none, and are then left alone.

A hint costs a few searches for fixed text, a small part of what reading the text for secrets costs.
Hints err to one side only: a text without a hint holds no secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.redact.names import Names

__all__ = ("RUN", "STEMS", "json_has_names", "name_starts", "runs", "unescaped_roughly")

RUN: Final = 15
"""No key or token that is known by its looks alone is shorter than this many characters."""

STEMS: Final = (
    "assertion",
    "auth",
    "code",
    "connectionstring",
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
"""One of these stands in every name that `Names` knows, as `normal` spells it."""

_BYTE_STEMS: Final = tuple(stem.encode() for stem in STEMS)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.=-]")
_IN_RUN: Final = bytes(97 if _TOKEN.match(chr(code)) else 32 for code in range(256))
_LONG_ENOUGH: Final = b"a" * RUN
_LOWER: Final = bytes(range(256)).lower()
_SEPARATORS: Final = b"-_. \t[]$:\\"
_IN_NAME: Final = "".join(chr(code) for code in range(256) if re.match(r"[\w.$-]", chr(code)))
_LONGEST_NAME: Final = 64


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


def json_has_names(text: str, names: Names) -> bool:
    r"""Say whether a key in JSON text may be a telling name; False is certain.

    Example:
        >>> from keploy_framework.redact.names import Names
        >>> json_has_names('{"Api Key": 1}', Names()), json_has_names('{"name": 1}', Names())
        (True, False)
    """
    if names.has_own_fields or "\\u" in text or "\\t" in text:
        return True
    bare = text.encode("latin-1", "replace").translate(_LOWER, _SEPARATORS)
    return any([stem in bare for stem in _BYTE_STEMS])  # noqa: C419 - faster so


def unescaped_roughly(text: str) -> str:
    r"""Return JSON text with its common escapes undone: enough to see what may be in its strings.

    Example:
        >>> unescaped_roughly(r'"https:\/\/ada:x@host"')
        '"https://ada:x@host"'
    """
    return text.replace("\\/", "/").replace("\\n", "\n").replace("\\r", "\n").replace('\\"', '"')


def name_starts(text: str) -> Iterator[int]:
    """Yield where words begin that may be telling names, in order.

    Names that break a stem apart (``pass-word``) are not found so.

    Example:
        >>> list(name_starts("say: db_password=x, monkey"))
        [5, 20]
    """
    lowered = text.lower()
    places: list[int] = []
    for stem in STEMS:
        at = lowered.find(stem)
        while at >= 0:
            places.append(at)
            at = lowered.find(stem, at + 1)
    if len(lowered) != len(text):  # a letter that is two in lower case: places do not fit
        yield from range(len(text))
        return
    before = -1
    for place in sorted(places):
        begin = max(0, place - _LONGEST_NAME)
        start = begin + len(text[begin:place].rstrip(_IN_NAME))
        if start > before:
            yield start
            before = start
