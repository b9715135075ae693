"""Values in answers and requests: which an answer introduced, and where a later one is used.

An id or a token that an answer made up is another one in each replay. What is looked at are single
values: fields of JSON, header values, cookies, segments of paths, parameters, and placeholders of
secrets wherever they stand.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from keploy_framework.matching import NotJSONError, body_kind, decoded_body, parsed
from keploy_framework.matching.bodies import events, form_fields
from keploy_framework.matching.json_value import Number, Repeated
from keploy_framework.matching.xml_walk import xml_tree
from keploy_framework.model import header_value
from keploy_framework.redact import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.matching.json_value import JSON
    from keploy_framework.model import Exchange, Headers, Request

__all__ = ("Seen", "answer_values", "collection_of", "is_id_name", "is_strong", "request_values")

_STRONG: Final = 8
_LONG: Final = 40  # no word is as long
_LONGEST: Final = 512
_MOST: Final = 2_000
_ID_NAME: Final = re.compile(
    r"(?:^|[a-z0-9_-])(?:id|uuid|guid|key|token|code|slug|number|ref|etag|cursor)$", re.IGNORECASE
)
_ID_END: Final = re.compile(
    r"[_-]?(?:id|uuid|guid|key|token|code|slug|number|ref|etag|cursor)$", re.IGNORECASE
)
_SEPARATORS: Final = re.compile(r"[\s,;=&?\"'<>()]+")
_AT_CHANCE: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9._~+/=:-]+")
_HALF: Final = re.compile(r"[\ud800-\udfff]")  # of a surrogate pair: no request can carry it
_PLAIN_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        "server",
        "transfer-encoding",
        "user-agent",
        "vary",
    }
)


class Seen(NamedTuple):
    """A value and its place.

    Attributes:
        value: The value as text.
        place: How it is found again: the kind of place, then what leads to it.
        name: The name of its field, header or parameter; that of its collection in a path.
    """

    value: str
    place: tuple[str | int, ...]
    name: str


def is_strong(value: str) -> bool:
    """Say whether a value is so much its own that the same text elsewhere is the same thing.

    >>> is_strong("9f86d081884c"), is_strong("17"), is_strong("checkout")
    (True, False, False)
    """
    if PLACEHOLDER.fullmatch(value):
        return True
    if _LONG <= len(value) <= _LONGEST and value.isalnum():
        return True
    return _STRONG <= len(value) <= _LONGEST and _AT_CHANCE.fullmatch(value) is not None


def is_id_name(name: str) -> bool:
    """Say whether a field of this name holds what later requests call a thing by.

    >>> is_id_name("id"), is_id_name("orderId"), is_id_name("user_id"), is_id_name("count")
    (True, True, True, False)
    """
    return _ID_NAME.search(name) is not None


def collection_of(name: str) -> str:
    """Return what an id belongs to, in the singular: of `users` as of `user_id`.

    >>> collection_of("users"), collection_of("userId"), collection_of("entries")
    ('user', 'user', 'entry')
    """
    stem = _ID_END.sub("", name).lower()
    if stem.endswith("ies"):
        return f"{stem[:-3]}y"
    return stem[:-1] if stem.endswith("s") and not stem.endswith("ss") else stem


def answer_values(exchange: Exchange) -> Iterator[Seen]:
    """Yield the values of an answer, at most some thousands."""
    response = exchange.response
    if response is None:
        return
    for place, name, value in _header_values(response.headers):
        if name == "location":
            yield from _path_values(value, "location", *place)
        yield Seen(value, place, name)
        for number, token in enumerate(_SEPARATORS.split(value)):
            if token != value:  # as a lock between angles, or a tag in quotes
                yield Seen(token, (*place, "part", number), name)
    if response.omitted is not None:
        return
    yield from _body_values(response.headers, response.body)


def _body_values(headers: Headers, raw: bytes) -> Iterator[Seen]:
    body = decoded_body(headers, raw)
    kind = body_kind(header_value(headers, "content-type") or "", body)
    if kind == "json":
        yield from _json_values(body, ())
    elif kind == "xml":
        yield from _xml_values(body)
    elif kind == "form":
        for name, values in form_fields(body).items():
            yield from (Seen(value, ("form", name), name) for value in values)
    elif kind == "sse":
        yield from _event_values(body)
    elif b"[redacted:" in body:
        text = body.decode("utf-8", "replace")
        for number, found in enumerate(PLACEHOLDER.finditer(text)):
            yield Seen(found[0], ("text", number), "")


def request_values(request: Request) -> Iterator[Seen]:
    """Yield the values of a request."""
    yield from _path_values(request.url, "path")
    for name, value in parse_qsl(_bare_query(request.url), keep_blank_values=True):
        yield Seen(value, ("query", name), name)
    for place, name, value in _header_values(request.headers):
        yield Seen(value, place, name)
        for token in _SEPARATORS.split(value):
            if token != value:
                yield Seen(token, place, name)
    if not request.body or request.omitted is not None:
        return
    yield from _body_values(request.headers, request.body)


def _event_values(body: bytes) -> Iterator[Seen]:
    for number, fields in enumerate(events(body)[:_MOST]):
        for name, value in fields:
            if name == "data" and value[:1] in {"{", "["}:
                yield from _json_values(value.encode(), ("event", number))


def _bare_query(url: str) -> str:
    # Brackets of placeholders are no part of an address to `urlsplit`, wherever they stand.
    return url.partition("#")[0].partition("?")[2]


def _path_values(url: str, *place: str | int) -> Iterator[Seen]:
    rest = url.partition("://")[2] or url
    path = rest.partition("?")[0].partition("#")[0]
    segments = path.split("/")
    for number, segment in enumerate(segments[1:], 1):
        if segment:
            before = segments[number - 1] if number > 1 else ""
            yield Seen(unquote(segment), (*place, "segment", number), collection_of(before))


def _header_values(headers: Headers) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield place, name and value; cookies one by one."""
    counts: dict[str, int] = {}
    for name, value in headers:
        lower = name.lower()
        number = counts[lower] = counts.get(lower, -1) + 1
        if lower in _PLAIN_HEADERS:
            continue
        if lower == "set-cookie":
            cookie, _, content = value.partition(";")[0].partition("=")
            yield ("cookie", cookie.strip()), cookie.strip(), content.strip().strip('"')
        elif lower == "cookie":
            for pair in value.split(";"):
                cookie, _, content = pair.partition("=")
                yield ("cookie", cookie.strip()), cookie.strip(), content.strip().strip('"')
        else:
            yield ("header", lower, number), lower, value


def _xml_values(body: bytes) -> Iterator[Seen]:
    root = xml_tree(body)
    if root is None:
        return
    for number, element in enumerate(islice(root.iter(), _MOST)):
        name = str(element.tag).rpartition("}")[2]
        value = (element.text or "").strip()
        if value and len(value) <= _LONGEST:
            yield Seen(value, ("xml", number, name), name)
        for key, said in element.attrib.items():
            if len(said) <= _LONGEST:
                yield Seen(said, ("xml", number, name, key), key.rpartition("}")[2])


def _json_values(body: bytes, before: tuple[str | int, ...]) -> Iterator[Seen]:
    try:
        tree = parsed(body)
    except NotJSONError:
        return
    waiting: list[tuple[JSON, tuple[str | int, ...], str]] = [(tree, (*before, "json"), "")]
    count = 0
    while waiting and count < _MOST:
        value, place, name = waiting.pop()
        if isinstance(value, dict):
            pairs = reversed(list(value.items()))
            waiting += [(item, (*place, key), key) for key, item in pairs]
        elif isinstance(value, Number):
            count += 1
            yield Seen(value.text, place, name)
        elif isinstance(value, str):
            count += 1
            if len(value) <= _LONGEST and not _HALF.search(value):
                yield Seen(value, place, name)
        elif isinstance(value, list):
            numbered = list(enumerate(value))[:_MOST]
            waiting += [(item, (*place, number), name) for number, item in reversed(numbered)]
        elif isinstance(value, Repeated):
            continue
