"""Secrets whose name stands beside them as a value: ``{"name": "password", "value": "x"}``.

Lists of headers, environment variables, form fields, options of a command line, settings in XML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.names import looks_secret, normal
from keploy_framework.redact.placeholders import is_placeholder
from keploy_framework.redact.spans import SPACE, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from keploy_framework.redact.names import Names

__all__ = ("json_pairs", "option_pairs", "xml_pairs")

_STRING: Final = r'"((?:[^"\\]++|\\.){0,4096}+)"'
_BETWEEN: Final = (
    r'(?:\s*+,\s*+"[^"\\]{1,64}+"\s*+:\s*+(?:"[^"\\]{0,256}+"|[A-Za-z0-9.+-]{1,20}+)){0,3}?'
    r"\s*+,\s*+"
)
_NAME: Final = r'"(?:[Nn]ame|[Kk]ey|[Ff]ield|[Hh]eader|[Pp]arameter)"\s*+:\s*+"([^"\\]{2,64}+)"'
_VALUE: Final = r'"(?:[Vv]alue|[Pp]arameter[Vv]alue)"\s*+:\s*+' + _STRING
_NAME_FIRST: Final = re.compile(_NAME + _BETWEEN + _VALUE)
_VALUE_FIRST: Final = re.compile(_VALUE + _BETWEEN + _NAME)
_TUPLE: Final = re.compile(
    r"[\[(]\s{0,40}+b?([\"'])([A-Za-z][\w-]{2,48}+)\1\s{0,40}+,\s{0,40}+b?([\"'])"
    r"((?:[^\"'\\]++|\\.){1,4096}+)\3\s{0,40}+[\])]"
)
_OPTION: Final = re.compile(
    r"(?<![\w-])--?([A-Za-z][\w-]{2,40}+)(?:[ \t]{1,4}|=)([\"']?)"
    r"([^\s\"'`$<>\[{-][^\s\"'`]{3,512}+)\2",
    re.ASCII,
)
_SETTING: Final = re.compile(
    r"<(?:add|property|param|entry|setting|variable|item|string|init-param)\b[^<>]{0,512}?"
    r"\b(?:name|key)\s{0,4}=\s{0,4}[\"']([^\"'<>]{2,64}+)[\"'][^<>]{0,512}+>",
    re.IGNORECASE,
)
_SET_TO: Final = re.compile(
    r"\bvalue\s{0,4}=\s{0,4}(?:\"([^\"<>]{1,4096}+)\"|'([^'<>]{1,4096}+)')", re.ASCII
)
_CONTENT: Final = re.compile(r"\s{0,64}+(?:<value>\s{0,64}+)?([^<\s][^<]{0,4096}+)</", re.ASCII)
_ENTRY: Final = re.compile(
    r"<(key|name|param-name)>([^<]{2,64}+)</\1>\s{0,64}+<(?:string|value|param-value)>\s{0,64}+"
    r"(?:<string>)?([^<\s][^<]{0,4096}+)<",
    re.IGNORECASE,
)


def json_pairs(
    text: str,
    names: Names,
    header: Callable[[str, str], Iterable[Span]],
) -> Iterator[Span]:
    """Yield the values that stand beside their telling name in an object or a list of two.

    Args:
        text: JSON, or what Python prints of a list of headers.
        names: Which names are telling.
        header: Finds the secrets of a header, given its name and value.
    """
    if '"' in text and ("alue" in text):
        for pattern, name, value in ((_NAME_FIRST, 1, 2), (_VALUE_FIRST, 2, 1)):
            for match in pattern.finditer(text):
                yield from _pair(match[name], match[value], match.start(value), names, header)
    for match in _TUPLE.finditer(text):
        named, held = match[2], match[4]
        if names.header(named) and (" " in held or "=" in held or looks_secret(held)):
            yield from _moved(header(named, held), match.start(4))


def _pair(
    name: str,
    value: str,
    start: int,
    names: Names,
    header: Callable[[str, str], Iterable[Span]],
) -> Iterator[Span]:
    if not value or is_placeholder(value):
        return
    if names.header(name):
        yield from _moved(header(name, value), start)
        return
    kind = names.field(name, value)
    if kind is not None:
        yield Span(start, start + len(value), kind, value)


def _moved(spans: Iterable[Span], by: int) -> Iterator[Span]:
    for span in spans:
        yield span._replace(start=span.start + by, end=span.end + by)


def option_pairs(text: str, names: Names) -> Iterator[Span]:
    """Yield what follows a telling option of a command line: ``--password x``."""
    if "-" not in text:
        return
    for match in _OPTION.finditer(text):
        value = match[3]
        known = names.kind(match[1])
        if known is None or is_placeholder(value):
            continue
        # Prose has dashes, too: without quotes, a word alone is no secret.
        if (known[1] and not value.isalpha()) or looks_secret(value):
            yield Span(match.start(3), match.end(3), known[0], value)


def xml_pairs(text: str, names: Names) -> Iterator[Span]:
    """Yield the values of settings: ``<add key="ApiKey" value="x"/>``, a plist, XML-RPC."""
    for match in _SETTING.finditer(text):
        found = _SET_TO.search(match[0])
        start = match.start()
        if found is None:
            if match[0].endswith("/>"):
                continue
            found, start = _CONTENT.match(text, match.end()), 0
        if found is not None:
            group = found.lastindex or 1
            yield from _xml(match[1], found[group], start + found.start(group), names)
    for match in _ENTRY.finditer(text):
        yield from _xml(match[2], match[3], match.start(3), names)


def _xml(name: str, value: str, start: int, names: Names) -> Iterator[Span]:
    value = value.rstrip(SPACE)
    kind = names.field(normal(name), value)
    if kind is not None and not is_placeholder(value):
        yield Span(start, start + len(value), kind, value)
