"""Text that stands in another text in disguise: as Base64, or percent-encoded in a parameter."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keploy_framework.redact.spans import Span

__all__ = ("Packed", "base64_texts", "percent_decoded_spans")

_SHORTEST: Final = 20
_PROBE: Final = 16
_GROUP: Final = 4
_PACKED: Final = re.compile(r"[A-Za-z0-9+/_-]{20,}+")
# Base64 in lines, as mail, YAML and JSON strings (where a line ends with an escape) wrap it.
_WRAPPED: Final = re.compile(
    r"[A-Za-z0-9+/_-]{16,}+(?:(?:\\r|\r)?(?:\\n|\n)[ \t]{0,40}"
    r"(?:[A-Za-z0-9+/_-]{4,}+|[A-Za-z0-9+/_-]{2,3}+(?==)))*+={0,2}"
)
_BREAKS: Final = re.compile(r"\\[rn]|\s+|=+\Z", re.ASCII)
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}|[\s\S]")
_NOT_TEXT: Final = bytes({*range(32), 127, *range(128, 256)} - {9, 10, 13})
_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})


class Packed(NamedTuple):
    """Where Base64 stands in a text, and what it says, as Latin-1 text."""

    start: int
    end: int
    text: str


def base64_texts(
    text: str, found: Iterable[tuple[int, int]], *, binary: bool = False
) -> Iterator[Packed]:
    r"""Yield what stands in a text as Base64, in either alphabet, wrapped or not.

    Args:
        text: Any text.
        found: Its `runs`.
        binary: Whether to open what is no text, too.

    Example:
        >>> from keploy_framework.redact.hints import runs
        >>> text = "say cGFzc3dvcmQ9aHVudGVyMg=="
        >>> [each.text for each in base64_texts(text, runs(text))]
        ['password=hunter2']
    """
    done = 0
    for first, last in found:
        if last - first < _SHORTEST or last <= done:
            continue
        for match in _PACKED.finditer(text, max(first, done), last):
            for start in _starts(text, match):
                if start < done or not (binary or _says_text(text[start : start + _PROBE])):
                    continue
                whole = _WRAPPED.match(text, start)
                if whole is None:
                    continue
                inside = _opened(_BREAKS.sub("", whole[0]))
                if inside and (binary or len(inside.translate(None, _CONTROLS)) == len(inside)):
                    done = whole.end()
                    yield Packed(start, done, inside.decode("latin-1"))
                    break


def _starts(text: str, match: re.Match[str]) -> Iterator[int]:
    """Yield where Base64 may begin: at the run, behind an escape, behind the slashes of a path."""
    start = match.start()
    escaped = start and text[start - 1] == "\\" and text[start] in "rnt"
    yield start + 1 if escaped else start
    slash = text.find("/", start, match.end() - _SHORTEST)
    while slash >= 0:
        yield slash + 1
        slash = text.find("/", slash + 1, match.end() - _SHORTEST)


def _says_text(packed: str) -> bool:
    inside = _opened(packed)
    return bool(inside) and not any(map(_NOT_TEXT.__contains__, inside))


def _opened(packed: str) -> bytes:
    packed = packed.translate({45: "+", 95: "/"})
    rest = len(packed) % _GROUP
    if rest == 1:
        packed = packed[:-1]
    elif rest:
        packed += "=" * (_GROUP - rest)
    try:
        return base64.b64decode(packed)
    except (binascii.Error, ValueError):
        return b""


def percent_decoded_spans(raw: str, start: int, inside: Iterable[Span]) -> Iterator[Span]:
    """Yield spans of a percent-decoded value where they stand in the text that it was read from.

    Args:
        raw: The value as it is written.
        start: Where that begins in the text.
        inside: Spans of what it says, one character a byte.
    """
    places: list[int] | None = None
    for span in inside:
        if places is None:
            places = [match.start() for match in _ESCAPED.finditer(raw)]
            places.append(len(raw))
        yield span._replace(
            start=start + places[span.start], end=start + places[span.end], quoted=False
        )
