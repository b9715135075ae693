"""Secrets in JSON text, found without parsing it into values: what is not one stays byte for byte.

The text need not be whole or valid: it is read as the tokens that it begins with, in one pass.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from keploy_framework.redact.hints import has_names
from keploy_framework.redact.names import looks_secret, normal
from keploy_framework.redact.placeholders import is_placeholder
from keploy_framework.redact.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from keploy_framework.redact.names import Names

__all__ = ("Text", "as_values", "fields", "place", "texts", "unescaped")

# An unterminated string reaches to the end: each character is read once, whatever the text is.
_STRING: Final = r'"((?:[^"\\]++|\\[\s\S])*+)(?:"|\\?\Z)'
_TOKEN: Final = re.compile(_STRING + r"([ \t\r\n]*+:[ \t\r\n]*+)?")
_BRACKETS: Final = re.compile(_STRING + r"|[\[\]{}]")
_NUMBER: Final = re.compile(r"-?[0-9][0-9.eE+-]*+")
_NUMBERS: Final = re.compile(_STRING + r"|(" + _NUMBER.pattern + ")")
_OF_NUMBERS: Final = re.compile(r"[0-9.eE+-]+")
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[\s\S]|\Z)|[^\\]++")
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HEX: Final = 16
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHORT: Final = 4
_COOKIES: Final = frozenset({"cookie", "setcookie"})
_VALUES: Final = frozenset({"current", "new", "old", "plain", "plaintext", "raw", "value"})
_ABOUT: Final = (
    "arn", "at", "date", "format", "href", "id", "name", "ref", "time", "type", "uri", "url",
    "version",
)  # fmt: skip
_UNICODE_ESCAPE: Final = 6


class Text(NamedTuple):
    """The value of a string in JSON text: its key, where its inside stands, and what it says."""

    key: str
    start: int
    end: int
    value: str


class _Decoded(NamedTuple):
    value: str
    starts: list[int]
    """Where each run of the value begins in the value."""
    places: list[tuple[int, bool]]
    """Where each run begins in the raw text, and whether it is one escape."""

    def place(self, at: int, *, end: bool) -> int:
        """Return the raw place of an offset in the value; at its ``end``, behind an escape."""
        if end:
            return self.place(at - 1, end=False) + self._width(at - 1)
        run = bisect_right(self.starts, at) - 1
        raw, escape = self.places[run]
        return raw if escape else raw + at - self.starts[run]

    def _width(self, at: int) -> int:
        run = bisect_right(self.starts, at) - 1
        raw, escape = self.places[run]
        if not escape:
            return 1
        following = self.places[run + 1][0] if run + 1 < len(self.places) else None
        return (following - raw) if following is not None else _UNICODE_ESCAPE


def _decoded(raw: str) -> _Decoded:
    values: list[str] = []
    starts: list[int] = []
    places: list[tuple[int, bool]] = []
    length = 0
    for match in _ESCAPE.finditer(raw):
        run = match[0]
        starts.append(length)
        escape = run[0] == "\\"
        places.append((match.start(), escape))
        if escape:
            run = _escaped(run)
        values.append(run)
        length += len(run)
    starts.append(length)
    places.append((len(raw), False))
    return _Decoded("".join(values), starts, places)


def _escaped(escape: str) -> str:
    if len(escape) == _UNICODE_ESCAPE:
        return chr(int(escape[2:], _HEX))
    return _PLAIN.get(escape[1:], escape[1:] or "\\")


def place(raw: str, at: int, start: int, end: int) -> tuple[int, int]:
    r"""Return where a part of a string's value stands in a text.

    Args:
        raw: The inside of the string, as it is written.
        at: Where that begins in the text.
        start: Where the part begins in the value.
        end: Where it ends; more than `start`.

    Example:
        >>> place(r"\u0041BC", 10, 1, 3)
        (16, 18)
    """
    if "\\" not in raw:
        return at + start, at + end
    decoded = _decoded(raw)
    return at + decoded.place(start, end=False), at + decoded.place(end, end=True)


def unescaped(raw: str) -> str:
    r"""Return what the inside of a JSON string says.

    Example:
        >>> unescaped(r"a\"b")
        'a"b'
    """
    return _decoded(raw).value if "\\" in raw else raw


def fields(  # noqa: C901, PLR0912 - one pass, one branch for each thing that a string can be
    text: str,
    names: Names,
    inside: Callable[[str], Iterable[Span]] | None = None,
    header: Callable[[str, str], Iterable[Span]] | None = None,
) -> Iterator[Span]:
    """Yield the secrets that JSON text holds in fields with a telling name.

    Args:
        text: JSON, or lines of it.
        names: Which names are telling.
        inside: Finds secrets in strings with escapes: JSON in a string, or a PEM block. Strings
            without escapes are their own text, they are searched with the text as a whole.
        header: Finds secrets in the value of a header that is known by its name, to tell them from
            schemes and names of cookies. None takes the whole value.
    """
    if not has_names(text, names):
        return
    key = ""
    value_at = -1
    zone_end = -1
    zone = ""
    for match in _TOKEN.finditer(text):
        raw = match[1]
        start, end = match.span(1)
        if match[2] is not None:
            key, value_at = unescaped(raw), match.end()
            known = names.kind(key)
            if known is None or value_at >= len(text):
                continue
            opening = text[value_at]
            if opening in "[{":
                if known[1] and value_at >= zone_end:
                    zone, zone_end = known[0], _closing(text, value_at)
            elif opening != '"' and known[1] and (number := _NUMBER.match(text, value_at)):
                yield Span(number.start(), number.end(), known[0], number[0], quoted=True)
            continue
        value = unescaped(raw)
        is_field = match.start() == value_at
        named = names.field(key, value) if is_field else None
        if named is None and match.start() < zone_end and _in_zone(key if is_field else "", value):
            named = zone
        if named is None and is_field and "=" in value and normal(key) in _COOKIES:
            named = "cookie"
        if named is not None and value and not is_placeholder(value):
            if header is not None and is_field and "\\" not in raw and names.header(key):
                for span in header(key, value):
                    yield span._replace(start=span.start + start, end=span.end + start)
            else:
                yield Span(start, end, named, value)
        elif inside is not None and "\\" in raw:
            for span in inside(value):
                first, last = place(raw, start, span.start, span.end)
                yield span._replace(start=first, end=min(end, last), quoted=False)


def _in_zone(key: str, value: str) -> bool:
    """Say whether a string somewhere below a telling name is a secret.

    Below such a name stand secrets, but also what is said of them: ids, dates, schemas, errors.
    """
    if any(mark in value for mark in " \t\r\n/") or _UUID.fullmatch(value) or _DATE.match(value):
        return False
    if not key or normal(key) in _VALUES:
        return len(value) >= _SHORT and any(map(str.isdigit, value))
    return looks_secret(value) and not normal(key).endswith(_ABOUT)


def texts(text: str) -> Iterator[Text]:
    """Yield every value of JSON text that is a string."""
    key = ""
    value_at = -1
    for match in _TOKEN.finditer(text):
        if match[2] is not None:
            key, value_at = match[1], match.end()
        elif match.start() == value_at:
            yield Text(key, match.start(1), match.end(1), match[1])


def _closing(text: str, at: int) -> int:
    """Return where the array or object that opens at ``at`` ends."""
    depth = 0
    for match in _BRACKETS.finditer(text, at):
        mark = match[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if not depth:
                return match.end()
    return len(text)


def as_values(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Yield spans so that what is put in their places leaves JSON valid.

    A number outside of strings needs quotes; a part of a longer one is no repetition, and stays.

    Example:
        >>> found = [Span(6, 14, "secret", "12345678"), Span(17, 25, "secret", "12345678")]
        >>> [(each.start, each.quoted) for each in as_values('{"a": 12345678, 0123456789}', found)]
        [(6, True)]
    """
    numbers: list[tuple[int, int]] | None = None
    for span in spans:
        if _OF_NUMBERS.fullmatch(text, span.start, span.end):
            if numbers is None:
                numbers = [found.span(2) for found in _NUMBERS.finditer(text) if found[2]]
            place = bisect_right(numbers, (span.start, len(text))) - 1
            if place >= 0 and span.start < numbers[place][1]:
                if numbers[place] == (span.start, span.end):
                    yield span._replace(quoted=True)
                continue
        yield span
