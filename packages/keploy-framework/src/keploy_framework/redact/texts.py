"""Secrets in text that is no JSON: assignments, header lines, forms, multipart, XML and HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from keploy_framework.redact.hints import name_starts
from keploy_framework.redact.names import AUTH_HEADERS, normal
from keploy_framework.redact.placeholders import is_placeholder
from keploy_framework.redact.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from keploy_framework.redact.names import Names

__all__ = ("assignments", "cookies", "form", "header", "markup", "multipart")

_ASSIGNMENT: Final = re.compile(
    r"(?<![\w.$-])([A-Za-z_$][\w.$-]{1,63}+)[\"'\\\]]{0,3}([ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4})"
    r"(\\?[\"'])?"
)
_BARE: Final = re.compile(r"[^\s\"'`&,;<>(){}\[\]|\\]{1,4096}+")
_LINE: Final = re.compile(r"[^\r\n\"']{1,8192}+")
_WORD: Final = re.compile(r"[A-Za-z_.]+")
_NOTHING: Final = frozenset(
    {"true", "false", "null", "none", "nil", "undefined", "string", "required", "yes", "no"}
)
_LINE_HEADERS: Final = AUTH_HEADERS | {"cookie", "setcookie"}
_CURL_USER: Final = re.compile(
    r"(?<!\S)(?:-u|--user)[ =]{1,3}[\"']?([^\s:'\"]{1,128}+):([^\s'\"]{1,256}+)"
)
_ELEMENT: Final = re.compile(
    r"<(?:[\w-]{1,32}:)?([A-Za-z_][\w.-]{0,63}+)[^<>]{0,512}+>([^<]{1,4096}+)</"
)
_INPUT: Final = re.compile(r"<(?:input|meta)\b[^<>]{0,2048}+>", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"([A-Za-z-]{1,32}+)\s{0,4}=\s{0,4}(?:\"([^\"]*+)\"|'([^']*+)')")
_PAIR: Final = re.compile(r"(?:\A|(?<=[&;]))([^&=;]{1,256}+)=([^&;]*+)")
_COOKIE: Final = re.compile(r"(?:\A|(?<=;))[ \t]*+([^=;,\s\"]{1,256}+)=([^;]*+)")
_SCHEME: Final = re.compile(r"\s*+([A-Za-z][A-Za-z0-9-]{1,40}+)\s++(\S.*+)", re.DOTALL)
_NAME: Final = re.compile(r"name=(?:\"([^\"]{0,256})\"|([^;\s]{1,256}))", re.IGNORECASE)
_TEMPLATE: Final = "{{"
_SHORT: Final = 4


def assignments(text: str, names: Names, *, separators: str = ":=") -> Iterator[Span]:
    """Yield values behind a telling name: ``password=…``, ``token: …``, ``Authorization: …``.

    Args:
        text: Any text.
        names: Which names are telling.
        separators: Which signs may stand between name and value.
    """
    done = 0
    for match in _assigned(text, names):
        name, between, quote = match.groups()
        is_line = normal(name) in _LINE_HEADERS
        if match.start() < done or not any(sign in between for sign in separators):
            continue
        at = match.end()
        if is_line:
            line = _LINE.match(text, at)
            if line and not names.allows(name):
                done = line.end()
                yield from _shifted(header(name, line[0], names), at)
        elif names.kind(name) is not None:
            value = _quoted(text, at, quote) if quote else _unquoted(text, at)
            # What was read as a value is not read as a name again: that keeps the cost linear.
            done = at + len(value)
            kind = _named(name, value, names, between if quote is None else "")
            if kind is not None:
                yield Span(at, done, kind, value)
    if "-u" in text:
        for match in _CURL_USER.finditer(text):
            if not is_placeholder(match[2]):
                yield Span(match.start(2), match.end(2), "password", match[2])


def _assigned(text: str, names: Names) -> Iterator[re.Match[str]]:
    """Yield what looks like an assignment to a name that may be a telling one, in order."""
    if names.has_own_fields:
        yield from _ASSIGNMENT.finditer(text)
        return
    for start in name_starts(text):
        match = _ASSIGNMENT.match(text, start)
        if match is not None:
            yield match


def _named(name: str, value: str, names: Names, between: str) -> str | None:
    """Return the kind of a value behind a telling name; ``between`` is "" if it had quotes."""
    if not value or value.startswith(_TEMPLATE) or is_placeholder(value):
        return None
    if between and not _telling(value, between):
        return None
    return names.field(name, value, query="=" in between)


def _quoted(text: str, at: int, quote: str) -> str:
    end = text.find(quote, at, at + 4096)
    value = text[at:end] if end > at else ""
    return "" if "\n" in value else value


def _unquoted(text: str, at: int) -> str:
    bare = _BARE.match(text, at)
    return "" if bare is None or text.startswith("(", bare.end()) else bare[0]


def _telling(value: str, between: str) -> bool:
    """Say whether a value without quotes is one, and not prose or the name of a variable."""
    if len(value) < _SHORT or value.lower() in _NOTHING:
        return False
    return between == "=" or _WORD.fullmatch(value) is None


def _shifted(spans: Iterable[Span], by: int) -> Iterator[Span]:
    for span in spans:
        yield span._replace(start=span.start + by, end=span.end + by)


def header(name: str, value: str, names: Names) -> Iterator[Span]:
    """Yield the secrets of a header that is one for secrets; a scheme and names of cookies stay."""
    plain = normal(name)
    if plain == "cookie":
        yield from cookies(value, names)
    elif plain == "setcookie":
        yield from _first(cookies(value, names), value)
    elif plain in AUTH_HEADERS:
        yield from _credentials(value)
    elif value.strip() and not is_placeholder(value.strip()):
        stripped = value.strip()
        start = value.index(stripped)
        yield Span(start, start + len(stripped), _header_kind(plain), stripped)


def _header_kind(plain: str) -> str:
    if "key" in plain:
        return "api-key"
    return "csrf-token" if "csrf" in plain or "xsrf" in plain else "token"


def _credentials(value: str) -> Iterator[Span]:
    match = _SCHEME.fullmatch(value)
    start, end, kind = 0, len(value), "authorization"
    if match:
        start, end = match.span(2)
        kind = match[1].lower()
        if kind.startswith("aws4"):
            kind = "aws-signature"
    secret = value[start:end].rstrip()
    if secret.strip() and not is_placeholder(secret.strip()) and not secret.startswith(_TEMPLATE):
        yield Span(start, start + len(secret), kind, secret)


def _first(spans: Iterable[Span], value: str) -> Iterator[Span]:
    """Yield the span of the cookie itself; its attributes come behind the first semicolon."""
    end = value.find(";")
    for span in spans:
        if end < 0 or span.start < end:
            yield span
        return


def cookies(value: str, names: Names) -> Iterator[Span]:
    """Yield the values of the cookies in a ``Cookie`` header."""
    for match in _COOKIE.finditer(value):
        secret = match[2].strip()
        if not secret or is_placeholder(secret) or names.allows(match[1]):
            continue
        if secret.startswith(_TEMPLATE):
            continue
        start = match.start(2) + match[2].index(secret)
        yield Span(start, start + len(secret), "cookie", secret.strip('"'))


def form(text: str, names: Names) -> Iterator[Span]:
    """Yield the secrets of a form body or of the query of a URL; values are percent-decoded."""
    for match in _PAIR.finditer(text):
        name, raw = match.groups()
        value = unquote_plus(raw, "latin-1") if "%" in raw or "+" in raw else raw
        if not value or is_placeholder(value) or value.startswith(_TEMPLATE):
            continue
        name = unquote_plus(name, "latin-1")
        kind = names.field(name, value, query=True)
        if kind is not None:
            yield Span(match.start(2), match.end(2), kind, value)


def multipart(
    text: str, boundary: str, names: Names, content: Callable[[str, str], Iterable[Span]]
) -> Iterator[Span]:
    """Yield the secrets of a multipart body.

    Args:
        text: The body.
        boundary: What stands between its parts, without the two dashes.
        names: Which names of parts are telling.
        content: Finds secrets in the content of a part, given its content type.
    """
    mark = "--" + boundary
    at = text.find(mark)
    while at >= 0:
        following = text.find(mark, at + len(mark))
        part_end = following if following >= 0 else len(text)
        for gap, line in (("\r\n\r\n", "\r\n"), ("\n\n", "\n")):
            head_end = text.find(gap, at, part_end)
            if head_end >= 0:
                start = head_end + len(gap)
                end = part_end - len(line) if text.endswith(line, start, part_end) else part_end
                yield from _part(text[at:head_end], text[start:end], start, names, content)
                break
        at = following


def _part(
    head: str,
    value: str,
    start: int,
    names: Names,
    content: Callable[[str, str], Iterable[Span]],
) -> Iterator[Span]:
    name = _NAME.search(head)
    kind = names.field(name[1] or name[2] or "", value, query=True) if name else None
    if kind is not None and not is_placeholder(value):
        yield Span(start, start + len(value), kind, value)
        return
    kinds = [line for line in head.splitlines() if line.lower().startswith("content-type:")]
    yield from _shifted(content(value, kinds[0][13:].strip() if kinds else "text/plain"), start)


def markup(text: str, names: Names) -> Iterator[Span]:
    """Yield the secrets of XML and HTML: elements, and the values of input fields."""
    for match in _ELEMENT.finditer(text):
        value = match[2].strip()
        kind = names.field(match[1], value) if value else None
        if kind is not None and not is_placeholder(value):
            start = match.start(2) + match[2].index(value)
            yield Span(start, start + len(value), kind, value)
    for match in _INPUT.finditer(text):
        attributes = {
            found[1].lower(): (found.start(found.lastindex or 2), found[2] or found[3] or "")
            for found in _ATTRIBUTE.finditer(match[0])
        }
        _, name = attributes.get("name", (0, ""))
        _, type_ = attributes.get("type", (0, ""))
        start, value = attributes.get("value", attributes.get("content", (0, "")))
        kind = "password" if type_.lower() == "password" else names.field(name, value)
        if value and kind is not None and not is_placeholder(value):
            yield Span(match.start() + start, match.start() + start + len(value), kind, value)
