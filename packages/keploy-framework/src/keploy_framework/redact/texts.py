"""Secrets in text that is no JSON: assignments, header lines, cookies, forms, multipart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from keploy_framework.redact.embedded import percent_decoded_spans
from keploy_framework.redact.hints import name_starts
from keploy_framework.redact.names import AUTH_HEADERS, NOTHING, normal
from keploy_framework.redact.placeholders import PLACEHOLDER, is_placeholder, without_placeholders
from keploy_framework.redact.spans import SPACE, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from keploy_framework.redact.names import Names

__all__ = ("assignments", "cookies", "form", "header", "in_strings", "multipart", "protocols")

_ASSIGNMENT: Final = re.compile(
    r"(?<![\w.$-])([\w$][\w.$-]{1,63}+)[\"'\\\]]{0,3}([ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4})"
    r"(\\?[\"'])?"
)
_BARE: Final = re.compile(r"[^\s\"'`&,;<>(){}\[\]|\\]{1,4096}+", re.ASCII)
_LINE: Final = re.compile(r"[^\r\n\"']{1,8192}+")
_LINE_IN_STRING: Final = re.compile(r"[^\r\n\"'\\]{1,8192}+")
_QUOTED_HINTS: Final = (':\\"', ': \\"', ":'", ": '")
_NAME_HINTS: Final = (
    *("uthorization:", "ookie:", "assword:", "ecret:"),
    *("-Key:", "-key:", "-Token:", "-token:"),
)
_LAST_LETTERS: Final = frozenset(hint[-2] for hint in _NAME_HINTS)
# One pass that shows whether any of these may be there costs less than a search for each of them.
_BEFORE_COLON: Final = bytes(
    58 if code == ord(":") else 97 if chr(code) in _LAST_LETTERS else 32 for code in range(256)
)
_WORD: Final = re.compile(r"[A-Za-z_.]+")
_LINE_HEADERS: Final = AUTH_HEADERS | {"cookie", "setcookie"}
_CURL_USER: Final = re.compile(
    r"(?<!\S)(?:-u|--user)[ =]{1,3}[\"']?([^\s:'\"]{1,128}+):([^\s'\"]{1,256}+)", re.ASCII
)
_PAIR: Final = re.compile(r"(?:\A|(?<=[&;]))([^&=;]{1,256}+)=([^&;]*+)")
_COOKIE: Final = re.compile(r"(?:\A|(?<=;))[ \t]*+(?:([^=;,\s\"]{0,256}+)=)?+([^;]*+)", re.ASCII)
_NEXT_COOKIE: Final = re.compile(r",(?=[ \t]*+[^=;,\s\"]{1,256}+=)", re.ASCII)
_PROTOCOL: Final = re.compile(r"[^,\s]++", re.ASCII)
_KUBERNETES: Final = "base64url.bearer.authorization.k8s.io."
_CREDENTIAL_NAMES: Final = frozenset({"auth", "authentication", "authorization", "bearer", "jwt"})
_SCHEME: Final = re.compile(r"\s*+([A-Za-z][A-Za-z0-9-]{1,40}+)\s++(\S.*+)", re.DOTALL | re.ASCII)
_SCHEMES: Final = frozenset(
    {
        *("apikey", "aws", "aws4-ecdsa-p256-sha256", "aws4-hmac-sha256", "basic", "bearer"),
        *("digest", "dpop", "gnap", "googlelogin", "hawk", "hmac", "jwt", "mac", "negotiate"),
        *("ntlm", "oauth", "privatetoken", "scram-sha-1", "scram-sha-256", "sharedkey"),
        *("sharedkeylite", "signature", "token", "vapid"),
    }
)
_NAME: Final = re.compile(r"name=(?:\"([^\"]{0,256})\"|([^;\s]{1,256}))", re.IGNORECASE)
_TEMPLATE: Final = "{{"
_SHORT: Final = 4


def assignments(
    text: str, names: Names, *, separators: str = ":=", words: bool = False
) -> Iterator[Span]:
    """Yield values behind a telling name: ``password=…``, ``token: …``, ``Authorization: …``.

    Args:
        text: Any text.
        names: Which names are telling.
        separators: Which signs may stand between name and value.
        words: Whether a word without quotes is a value, as in YAML; in prose it is not.
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
            if line and not names.allows(name) and not _is_prose(name, line[0]):
                done = line.end()
                yield from _shifted(header(name, line[0], names), at)
        elif names.kind(name) is not None:
            value = _quoted(text, at, quote) if quote else _unquoted(text, at)
            # What was read as a value is not read as a name again: that keeps the cost linear.
            done = at + len(value)
            told = "=" if words and value.lower() not in NOTHING else between
            kind = _named(name, value, names, told if quote is None else "")
            if kind is not None:
                yield Span(at, done, kind, value)
    if "-u" in text:
        for match in _CURL_USER.finditer(text):
            if not is_placeholder(match[2]):
                yield Span(match.start(2), match.end(2), "password", match[2])


def in_strings(text: str, names: Names) -> Iterator[Span]:
    """Yield what is assigned inside the strings of JSON: in GraphQL, messages, lists of headers."""
    if not _hinted_in_strings(text):
        return
    done = 0
    for match in _assigned(text, names):
        name, between, quote = match.groups()
        # A quote right behind the name is that of a key, unless it has an escape.
        if match.start() < done or text[match.end(1)] == '"' or ":" not in between or quote == '"':
            continue
        at = match.end()
        if normal(name) in _LINE_HEADERS:
            line = _LINE_IN_STRING.match(text, at)
            if line and not names.allows(name) and not _is_prose(name, line[0]):
                done = line.end()
                yield from _shifted(header(name, line[0], names), at)
        elif names.kind(name) is not None:
            value = _quoted(text, at, quote) if quote else _unquoted(text, at)
            done = at + len(value)
            kind = _named(name, value, names, between if quote is None else "")
            if kind is not None:
                yield Span(at, done, kind, value)


def _hinted_in_strings(text: str) -> bool:
    """Say whether something may be assigned inside the strings of JSON; False is certain."""
    text = without_placeholders(text)
    if ("\\" in text or "'" in text) and any([hint in text for hint in _QUOTED_HINTS]):  # noqa: C419 - faster so
        return True
    ends = text.encode("latin-1", "replace").translate(_BEFORE_COLON)
    return b"a:" in ends and any([hint in text for hint in _NAME_HINTS])  # noqa: C419 - as above


def _is_prose(name: str, line: str) -> bool:
    """Say whether what stands behind the name of a header is a sentence: ``see the docs``."""
    if normal(name) not in AUTH_HEADERS:
        return "=" not in line
    scheme = _SCHEME.fullmatch(line)
    if scheme is None or scheme[1].lower() in _SCHEMES:
        return False
    return " " in scheme[2].strip(SPACE)


def _assigned(text: str, names: Names) -> Iterator[re.Match[str]]:
    """Yield what looks like an assignment to a name that may be a telling one, in order."""
    found: Iterable[re.Match[str] | None] = (
        _ASSIGNMENT.finditer(text)
        if names.has_own_fields
        else (_ASSIGNMENT.match(text, start) for start in name_starts(text))
    )
    for match in found:
        # The kind of a placeholder is no name.
        if match is not None and not text.endswith("redacted:", 0, match.start()):
            yield match


def _named(name: str, value: str, names: Names, between: str) -> str | None:
    """Return the kind of a value behind a telling name; ``between`` is "" if it had quotes."""
    if not value.strip("\\'\"") or value.startswith(_TEMPLATE) or is_placeholder(value):
        return None  # a shell writes one quote as four signs
    if between and (not _telling(value, between) or normal(value) == normal(name)):
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
    if len(value) < _SHORT or value.lower() in NOTHING:
        return False
    return between == "=" or _WORD.fullmatch(value) is None


def _shifted(spans: Iterable[Span], by: int) -> Iterator[Span]:
    for span in spans:
        yield Span(span.start + by, span.end + by, span.kind, span.value, span.quoted)


def header(name: str, value: str, names: Names) -> Iterator[Span]:
    """Yield the secrets of a header that is one for secrets; a scheme and names of cookies stay."""
    plain = normal(name)
    if plain == "cookie":
        yield from cookies(value, names)
    elif plain == "setcookie":
        yield from _set_cookies(value, names)
    elif plain in AUTH_HEADERS:
        yield from _credentials(value)
    elif (stripped := value.strip(SPACE)) and not is_placeholder(stripped):
        start = value.index(stripped)
        yield Span(start, start + len(stripped), _header_kind(plain), stripped)


def _header_kind(plain: str) -> str:
    if "key" in plain:
        return "api-key"
    return "csrf-token" if "csrf" in plain or "xsrf" in plain else "token"


def _credentials(value: str) -> Iterator[Span]:
    match = _SCHEME.fullmatch(value)
    start, end, kind = 0, len(value), "authorization"
    # What is no scheme that may be one, such as half of a password, does not stay.
    if match and (match[1].isalpha() or match[1].lower() in _SCHEMES):
        start, end = match.span(2)
        kind = match[1].lower()
        if kind.startswith("aws4"):
            kind = "aws-signature"
    secret = value[start:end].rstrip(SPACE)
    # Of placeholders alone, it has been here before.
    if PLACEHOLDER.sub("", secret).strip(SPACE) and not secret.startswith(_TEMPLATE):
        yield Span(start, start + len(secret), kind, secret)


def _set_cookies(value: str, names: Names) -> Iterator[Span]:
    """Yield the values of cookies that are set; what follows a semicolon are attributes.

    Some clients hand several of these headers over as one, with commas between them.
    """
    at = 0
    while at <= len(value):
        following = _NEXT_COOKIE.search(value, at)
        end = following.start() if following else len(value)
        semicolon = value.find(";", at, end)
        yield from _shifted(cookies(value[at : semicolon if semicolon >= 0 else end], names), at)
        at = end + 1


def cookies(value: str, names: Names) -> Iterator[Span]:
    """Yield the values of the cookies in a ``Cookie`` header; one without a name is a value."""
    for match in _COOKIE.finditer(value):
        secret = match[2].strip(SPACE)
        if not secret or is_placeholder(secret) or (match[1] and names.allows(match[1])):
            continue
        if secret.startswith(_TEMPLATE) or (not match[1] and "[redacted:" in secret):
            continue
        start = match.start(2) + match[2].index(secret)
        yield Span(start, start + len(secret), "cookie", secret.strip('"') or secret)


def protocols(value: str, names: Names) -> Iterator[Span]:
    """Yield the tokens that clients without headers of their own hand over as subprotocols."""
    before = ""
    for match in _PROTOCOL.finditer(value):
        item, start = match[0], match.start()
        if item.startswith(_KUBERNETES):
            start += len(_KUBERNETES)
            item = item[len(_KUBERNETES) :]
        elif not (
            normal(before) in _CREDENTIAL_NAMES or (before and names.kind(before) is not None)
        ):
            before = item
            continue
        before = ""
        if item and not is_placeholder(item):
            yield Span(start, match.end(), "token", item)


def form(
    text: str, names: Names, inside: Callable[[str], Iterable[Span]] | None = None
) -> Iterator[Span]:
    """Yield the secrets of a form body or of the query of a URL; values are percent-decoded.

    Args:
        text: The form.
        names: Which names are telling.
        inside: Finds secrets in values under other names: a URL, or JSON.
    """
    for match in _PAIR.finditer(text):
        name, raw = match.groups()
        value = unquote_plus(raw, "latin-1") if "%" in raw or "+" in raw else raw
        if not value or is_placeholder(value) or value.startswith(_TEMPLATE):
            continue
        name = unquote_plus(name, "latin-1")
        kind = names.field(name, value, query=True, sent=True)
        if kind is not None:
            yield Span(match.start(2), match.end(2), kind, value)
        elif inside is not None and "%" in raw:
            yield from percent_decoded_spans(raw, match.start(2), inside(value))


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
    name = _NAME.search(head) if "ame=" in head.lower() else None
    if name is None and len(value) < _SHORT:
        return
    kind = names.field(name[1] or name[2] or "", value, query=True, sent=True) if name else None
    if kind is not None and not is_placeholder(value):
        yield Span(start, start + len(value), kind, value)
        return
    kinds = [line for line in head.splitlines() if line.lower().startswith("content-type:")]
    yield from _shifted(content(value, kinds[0][13:].strip() if kinds else "text/plain"), start)
