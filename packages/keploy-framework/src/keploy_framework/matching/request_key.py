"""What makes two requests the same: a key that can be looked up, with secrets taken out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from keploy_framework.errors import OptionError
from keploy_framework.matching.answers import decoded_body
from keploy_framework.matching.bodies import body_kind, form_fields, parts
from keploy_framework.matching.flaky_headers import FLAKY_HEADERS
from keploy_framework.matching.json_value import NotJSONError, canonical, parsed
from keploy_framework.model import header_value
from keploy_framework.redact import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.matching.json_value import JSON
    from keploy_framework.model import Headers, Request

__all__ = ("DEFAULT_MATCH_ON", "MatchOn", "RequestKey", "RequestRules")

MatchOn: TypeAlias = Literal["method", "url", "host", "path", "query", "body", "headers"]
"""A part of a request: ``url`` is scheme, host, port, path and query."""

DEFAULT_MATCH_ON: Final[tuple[MatchOn, ...]] = ("method", "url", "body")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MARK: Final = "[redacted:"
_LONG: Final = 512


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request, ready to be looked up.

    Attributes:
        key: Equal for requests that are the same but for their secrets.
        secrets: The placeholders that were taken out, in order.
    """

    key: tuple[str, ...]
    secrets: tuple[str, ...]


class RequestRules:
    """Says which parts of a request count, and makes keys of them.

    Args:
        match_on: The parts that count.
        ignored_query: Names of query parameters that do not count.
        ignored_fields: Fields of bodies that do not count, as noise files name them: ``a.b``.
        ignored_headers: Names of headers that do not count, besides `FLAKY_HEADERS`.

    Raises:
        OptionError: A part is not one of `MatchOn`, or none is given.

    Example:
        >>> from keploy_framework.model import Request
        >>> rules = RequestRules()
        >>> one = rules.key(Request("GET", "http://h:80/p?b=2&a=1"))
        >>> one == rules.key(Request("get", "http://H/p?a=1&b=2"))
        True
    """

    __slots__ = ("_fields", "_headers", "_query", "match_on")

    def __init__(
        self,
        match_on: Iterable[MatchOn] = DEFAULT_MATCH_ON,
        *,
        ignored_query: Iterable[str] = (),
        ignored_fields: Iterable[str] = (),
        ignored_headers: Iterable[str] = (),
    ) -> None:
        self.match_on: tuple[MatchOn, ...] = tuple(match_on)
        known = get_args(MatchOn)
        for part in self.match_on:
            if part not in known:
                raise OptionError(f"match_on has no {part!r:.40}; it has {', '.join(known)}")
        if not self.match_on:
            raise OptionError(f"match_on must name at least one of {', '.join(known)}")
        self._query = frozenset(ignored_query)
        self._fields = tuple(tuple(path.lower().split(".")) for path in ignored_fields)
        self._headers = FLAKY_HEADERS | {name.lower() for name in ignored_headers}

    def key(self, request: Request) -> RequestKey:
        """Return the key of a request."""
        found: list[str] = []
        parts_of = urlsplit(_readable(request.url))
        made: list[str] = []
        for part in self.match_on:
            if part == "method":
                made.append(request.method.upper())
            elif part in {"url", "host"}:
                host = parts_of.netloc.rpartition("@")[2].lower()
                host = host.removesuffix(f":{_DEFAULT_PORTS.get(parts_of.scheme.lower(), '')}")
                made.append(host if part == "host" else f"{parts_of.scheme.lower()}://{host}")
            if part in {"url", "path"}:
                made.append(parts_of.path or "/")
            if part in {"url", "query"}:
                made.append(self.query(parts_of.query))
            if part == "body":
                made.append(self.body(request))
            elif part == "headers":
                made.append(self._heads(request.headers))
        return RequestKey(tuple(_without(text, found) for text in made), tuple(found))

    def query(self, query: str) -> str:
        """Return a query whose parameters stand in the order of their names."""
        pairs = parse_qsl(query, keep_blank_values=True)
        kept = sorted((pair for pair in pairs if pair[0] not in self._query), key=lambda p: p[0])
        return "\n".join(f"{name}={value}" for name, value in kept)

    def body(self, request: Request) -> str:  # noqa: PLR0911 - one a kind of body
        """Return a body in the one spelling of its kind."""
        if request.omitted is not None:
            return f"sha256 {request.omitted.sha256}"
        if not request.body:
            return ""
        body = decoded_body(request.headers, request.body)
        content_type = header_value(request.headers, "content-type") or ""
        kind = body_kind(content_type, body)
        if kind == "json":
            try:
                value = parsed(body)
            except NotJSONError:
                return body.decode("latin-1")
            for path in self._fields:
                _drop(value, path)
            text = canonical(value)
            return f"json {text}" if text is not None else body.decode("latin-1")
        if kind == "form":
            dropped = {path[0] for path in self._fields if len(path) == 1}
            fields = sorted(form_fields(body).items())
            return "form " + "\n".join(
                f"{name}={value}"
                for name, values in fields
                for value in values
                if name.lower() not in dropped
            )
        if kind == "multipart":
            found = parts(body)
            if found is not None:
                return "multipart " + "\n".join(
                    f"{name};{file};{media};{content.decode('latin-1')}"
                    for name, file, media, content in found
                )
        return body.decode("latin-1")

    def _heads(self, headers: Headers) -> str:
        kept = sorted(
            (name.lower(), value) for name, value in headers if name.lower() not in self._headers
        )
        return "\n".join(f"{name}: {value}" for name, value in kept)


def _readable(url: str) -> str:
    """Return a URL with its placeholders in brackets, wherever they were percent-encoded."""
    if "%5Bredacted" in url or "%5bredacted" in url:
        url = unquote(url)
    # Brackets in the user info would be taken for those of an IPv6 address.
    scheme, sep, rest = url.partition("://")
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    authority = rest[:end].rpartition("@")[2]
    return f"{scheme}{sep}{authority}{rest[end:]}" if sep else url


def _without(text: str, found: list[str]) -> str:
    if _MARK in text:
        found += [match[0] for match in PLACEHOLDER.finditer(text)]
        text = PLACEHOLDER.sub("[redacted]", text)
    # A body may be long; its digest says the same in a key.
    if len(text) <= _LONG:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _drop(value: JSON, path: tuple[str, ...]) -> None:
    """Take a field out of a value, in every element of the arrays on its way."""
    waiting: list[tuple[JSON, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, list):
            waiting += [(child, depth) for child in item]
        elif isinstance(item, dict):
            for key in [key for key in item if key.lower() == path[depth]]:
                if depth + 1 == len(path):
                    del item[key]
                else:
                    waiting.append((item[key], depth + 1))
