"""Secrets in XML and HTML: elements, attributes, fields of forms, JSON in attributes."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.pairs import xml_pairs
from keploy_framework.redact.placeholders import is_placeholder
from keploy_framework.redact.spans import SPACE, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.redact.names import Names

__all__ = ("markup",)

_ELEMENT: Final = re.compile(
    r"<(?:[\w-]{1,32}:)?([A-Za-z_][\w.-]{0,63}+)[^<>]{0,512}+>"
    r"(?:<!\[CDATA\[([\s\S]{1,4096}?)\]\]>\s{0,16}+|([^<]{1,4096}+))</"
)
_INPUT: Final = re.compile(r"<(?:input|meta|button)\b[^<>]{0,2048}+>", re.IGNORECASE)
_AREA: Final = re.compile(r"<textarea\b([^<>]{0,2048}+)>([^<]{1,4096}+)<", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    r"([A-Za-z-]{1,32}+)\s{0,4}=\s{0,4}(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'=<>`]{1,4096}+))"
)
_QUOTE: Final = r"(?:&quot;|&#0{0,4}34;|&#[xX]0{0,4}22;)"
_ESCAPED_FIELD: Final = re.compile(
    _QUOTE + r"([\w.$-]{2,64}+)" + _QUOTE + r"\s{0,4}+:\s{0,4}+" + _QUOTE
    + r"((?:(?!&quot;|&#0{0,4}34;|&#[xX]0{0,4}22;)[^<>\"]){1,4096}+)"
)  # fmt: skip


def markup(text: str, names: Names) -> Iterator[Span]:
    """Yield the secrets of XML and HTML."""
    for match in _ELEMENT.finditer(text):
        group = match.lastindex or 2
        value = match[group].strip(SPACE)
        kind = names.field(match[1], unescape(value)) if value else None
        if kind is not None and not is_placeholder(value):
            start = match.start(group) + match[group].index(value)
            yield Span(start, start + len(value), kind, unescape(value))
    for match in _INPUT.finditer(text):
        yield from _field(match[0], match.start(), names)
    if "<textarea" in text.lower():
        for match in _AREA.finditer(text):
            name = _attributes(match[1]).get("name", (0, ""))[1]
            kind = names.field(name, match[2], sent=True)
            if kind is not None and not is_placeholder(match[2]):
                yield Span(match.start(2), match.end(2), kind, unescape(match[2]))
    if "&quot;" in text or "&#" in text:
        for match in _ESCAPED_FIELD.finditer(text):
            value = unescape(match[2])
            kind = names.field(match[1], value)
            if kind is not None and not is_placeholder(value):
                yield Span(match.start(2), match.end(2), kind, value)
    yield from xml_pairs(text, names)


def _attributes(tag: str) -> dict[str, tuple[int, str]]:
    """Return the attributes of a tag: where the value of each begins, and the value."""
    return {
        found[1].lower(): (found.start(group), found[group])
        for found in _ATTRIBUTE.finditer(tag)
        for group in (found.lastindex or 2,)
    }


def _field(tag: str, at: int, names: Names) -> Iterator[Span]:
    """Yield the value of a field of a form, or what a ``meta`` element says."""
    attributes = _attributes(tag)
    _, name = attributes.get("name", (0, ""))
    _, type_ = attributes.get("type", (0, ""))
    start, value = attributes.get("value", attributes.get("content", (0, "")))
    plain = unescape(value)
    kind = "password" if type_.lower() == "password" else names.field(name, plain, sent=True)
    if value and kind is not None and not is_placeholder(value):
        yield Span(at + start, at + start + len(value), kind, plain)
