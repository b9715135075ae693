"""Chaining: what an answer of the replay made up goes into the requests that used the recorded one.

`chained` finds, once and before anything is replayed, which answer introduced which value that
later requests use. A `Chain` then takes the new values from the answers as they come, and puts
them into the requests. A request in which nothing has changed stays as it was, to the byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from keploy_framework.matching import body_kind, decoded_body
from keploy_framework.model import header_value
from keploy_framework.noise.kinds import text_of
from keploy_framework.redact import PLACEHOLDER
from keploy_framework.replay.values import (
    answer_values,
    collection_of,
    is_id_name,
    is_strong,
    request_values,
)
from keploy_framework.storage.bodies import compress, decompress
from keploy_framework.storage.headers import with_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keploy_framework.matching import Difference
    from keploy_framework.model import Exchange, Headers, Request
    from keploy_framework.replay.values import Seen

__all__ = ("Chain", "Links", "Use", "chained")

_ANY: Final = ""
_AROUND: Final = 24


@dataclass(frozen=True, slots=True)
class Use:
    """A value that a request takes from an earlier answer.

    Attributes:
        value: As it was recorded.
        owner: What it belongs to, for a value too short to be found by itself; "" for others.
        source: The number of the case whose answer introduced it; None for a secret that nobody
            introduced, and that only the caller knows.
    """

    value: str
    owner: str
    source: int | None


@dataclass(slots=True)
class Links:
    """What one case has to do with the others.

    Attributes:
        uses: What its request takes from earlier answers.
        gives: What later requests take from its answer: each use, and where it stands there.
    """

    uses: tuple[Use, ...] = ()
    gives: dict[Use, tuple[str | int, ...]] = field(
        default_factory=dict["Use", tuple[str | int, ...]]
    )

    @property
    def needs(self) -> frozenset[int]:
        """The numbers of the cases that have to be answered before this one is asked."""
        return frozenset(use.source for use in self.uses if use.source is not None)


def chained(exchanges: Sequence[Exchange | None]) -> list[Links]:
    """Return the links of the cases of one set, which are given in their order."""
    finder = _Finder(len(exchanges))
    for number, exchange in enumerate(exchanges):
        if exchange is not None:
            finder.asked(number, exchange)
            finder.answered(number, exchange)
    return finder.links


class _Finder:
    """Goes through the cases in their order, and remembers which answer introduced what."""

    def __init__(self, count: int) -> None:
        self.links = [Links() for _ in range(count)]
        self._strong: dict[str, tuple[int, Seen]] = {}
        self._weak: dict[tuple[str, str], tuple[int, Seen]] = {}
        # What clients brought along: no answer introduced it.
        self._own: set[tuple[str, str]] = set()

    def asked(self, number: int, exchange: Exchange) -> None:
        """Find what a request takes from earlier answers."""
        uses: dict[Use, None] = {}
        for seen in request_values(exchange.request):
            found = self._source(seen)
            if found is not None:
                source, origin, owner = found
                use = Use(seen.value, owner, source)
                uses[use] = None
                self.links[source].gives[use] = origin.place
                continue
            secrets = [match[0] for match in PLACEHOLDER.finditer(seen.value)]
            for secret in secrets:
                known = self._strong.get(secret)
                use = Use(secret, _ANY, known[0] if known is not None else None)
                uses[use] = None
                if known is not None:
                    self.links[known[0]].gives[use] = known[1].place
            if not secrets:
                owner = "" if is_strong(seen.value) else _owner(seen)
                self._own.add((owner or _ANY, seen.value))
        self.links[number].uses = tuple(uses)

    def answered(self, number: int, exchange: Exchange) -> None:
        """Remember what an answer introduces."""
        about = _collection(exchange.request)
        for seen in answer_values(exchange):
            if is_strong(seen.value):
                if (_ANY, seen.value) not in self._own:
                    self._strong.setdefault(seen.value, (number, seen))
            elif secrets := [match[0] for match in PLACEHOLDER.finditer(seen.value)]:
                for secret in secrets:
                    self._strong.setdefault(secret, (number, seen))
            elif "segment" in seen.place:
                if any(map(str.isdigit, seen.value)):
                    self._introduce(seen.name, number, seen)
            elif is_id_name(seen.name) and seen.value:
                self._introduce(collection_of(seen.name) or about, number, seen)

    def _introduce(self, owner: str, number: int, seen: Seen) -> None:
        if owner and (owner, seen.value) not in self._own:
            self._weak.setdefault((owner, seen.value), (number, seen))

    def _source(self, seen: Seen) -> tuple[int, Seen, str] | None:
        """Return the case whose answer introduced a value, the value there, and its owner."""
        if seen.value in self._strong:
            return (*self._strong[seen.value], _ANY)
        if not self._weak or is_strong(seen.value):
            return None
        owner = _owner(seen)
        found = self._weak.get((owner, seen.value))
        return None if found is None else (*found, owner)


def _owner(seen: Seen) -> str:
    """Return what a value of a request belongs to, if it is an id by its place; else ""."""
    if seen.place[0] == "path":
        return seen.name
    if seen.place[0] in {"query", "json", "form"} and is_id_name(seen.name):
        return collection_of(seen.name)
    return ""


def _collection(request: Request) -> str:
    """Return what a request is about: the last segment of its path that is no id."""
    path = (request.url.partition("://")[2] or request.url).partition("?")[0]
    words = [part for part in path.split("/")[1:] if part and not any(map(str.isdigit, part))]
    return collection_of(words[-1]) if words else ""


class Chain:
    """The values of one replay. Usable from any thread: each value is set once.

    Args:
        secrets: Values for placeholders that no answer introduces, such as the client's own token.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        self._values: dict[tuple[int, str, str], str] = {}

    def take(self, number: int, links: Links, recorded: Exchange, actual: Exchange) -> None:
        """Take the values out of an answer that later requests use."""
        if not links.gives or actual.response is None:
            return
        came = {seen.place: seen.value for seen in answer_values(actual)}
        was = {seen.place: seen.value for seen in answer_values(recorded)}
        for use, place in links.gives.items():
            if place[0] == "text":
                new = _from_text(use.value, recorded, actual)
            else:
                new = _captured(use.value, was.get(place, ""), came.get(place))
            if new is not None:
                self._values[(number, use.owner, use.value)] = new

    def request(self, links: Links, request: Request) -> Request:
        """Return the request as it is sent now; itself if nothing of it changes."""
        changed = self._changed(links)
        if not changed:
            return request
        url = request.url
        headers: Headers = request.headers
        body, coding = request.body, header_value(request.headers, "content-encoding") or ""
        plain = decompress(body, coding) if coding and body else body
        for use, new in changed:
            if use.owner:
                url = _weak_in_url(url, use, new)
                if plain:
                    plain = _weak_in_body(plain, use, new)
                continue
            spelled = quote(new, safe="")
            url = url.replace(use.value, spelled).replace(quote(use.value, safe=""), spelled)
            headers = tuple((name, value.replace(use.value, new)) for name, value in headers)
            if plain:
                plain = _in_body(plain, header_value(headers, "content-type") or "", use.value, new)
        if plain is not None and plain != body:
            packed = compress(plain, coding) if coding else plain
            body = body if packed is None else packed
        if len(body) != len(request.body) and header_value(headers, "content-length") is not None:
            headers = with_value(headers, "Content-Length", str(len(body)))
        return replace(request, url=url, headers=headers, body=body)

    def follows(self, links: Links) -> Callable[[Difference], bool] | None:
        """Return what says of a difference that it only follows from the values of this replay."""
        changed = self._changed(links)
        if not changed:
            return None

        def explained(difference: Difference) -> bool:
            if difference.kind != "value":
                return False
            old, new = text_of(difference.expected), text_of(difference.actual)
            if old is None or new is None:
                return False
            for use, value in changed:
                if not use.owner:
                    old = old.replace(use.value, value)
                elif old == use.value:
                    last = difference.path.rpartition(".")[2]
                    old = value if is_id_name(last) else old
                else:
                    old = re.sub(rf"(?<=/){re.escape(use.value)}(?=[/?#]|$)", _literal(value), old)
            return old == new

        return explained

    def missing(self, links: Links) -> tuple[str, ...]:
        """Return the placeholders in a request for which no value is known."""
        return tuple(
            use.value
            for use in links.uses
            if PLACEHOLDER.fullmatch(use.value) and self._value(use) is None
        )

    def _value(self, use: Use) -> str | None:
        if use.source is not None:
            found = self._values.get((use.source, use.owner, use.value))
            if found is not None:
                return found
        return self._secrets.get(use.value)

    def _changed(self, links: Links) -> list[tuple[Use, str]]:
        if not links.uses:
            return []
        pairs = [(use, self._value(use)) for use in links.uses]
        # Longest first: a value may be part of another one.
        return sorted(
            ((use, new) for use, new in pairs if new is not None and new != use.value),
            key=lambda pair: -len(pair[0].value),
        )


def _in_body(body: bytes, content_type: str, value: str, new: str) -> bytes:
    """Put a value into a body as its kind wants it to be written."""
    kind = body_kind(content_type, body)
    if kind == "form":
        new = quote(new, safe="")
        body = body.replace(quote(value, safe="").encode(), new.encode())
    elif kind in {"json", "ndjson"}:
        new = json.dumps(new, ensure_ascii=False)[1:-1]
    elif kind == "xml":
        new = escape(new)
    return body.replace(value.encode(), new.encode())


def _literal(value: str) -> Callable[[re.Match[str]], str]:
    return lambda _: value


def _weak_in_url(url: str, use: Use, new: str) -> str:
    value, spelled = re.escape(use.value), quote(new, safe="")
    path, mark, query = url.partition("?")

    def segment(match: re.Match[str]) -> str:
        return match[1] + (spelled if collection_of(match[2]) == use.owner else match[3])

    def parameter(match: re.Match[str]) -> str:
        same = is_id_name(match[2]) and collection_of(match[2]) == use.owner
        return match[1] + (spelled if same else match[3])

    path = re.sub(rf"(/([^/]+)/)({value})(?=/|$)", segment, path)
    return path + mark + re.sub(rf"((?:^|(?<=&))([^=&]+)=)({value})(?=&|$)", parameter, query)


def _weak_in_body(body: bytes, use: Use, new: str) -> bytes:
    value = re.escape(use.value.encode())

    def written(match: re.Match[bytes]) -> bytes:
        name = match[2].decode("utf-8", "replace")
        same = is_id_name(name) and collection_of(name) == use.owner
        return match[1] + (new.encode() if same else match[3])

    body = re.sub(rb'("([^"\\]{1,100})"\s*:\s*"?)(' + value + rb')(?="?\s*[,}\]])', written, body)
    return re.sub(rb"((?:^|(?<=&))([^=&\s\"]{1,100})=)(" + value + rb")(?=&|$)", written, body)


def _captured(value: str, was: str, came: str | None) -> str | None:
    """Return what stands where a value stood."""
    if came is None:
        return None
    if was == value or not was:
        return came
    before, found, after = was.partition(value)
    if not found or not came.startswith(before):
        return None
    # Other placeholders may follow: what stands between is the same in both.
    after = after[: match.start()] if (match := PLACEHOLDER.search(after)) else after
    rest = came[len(before) :]
    if not after:
        return rest
    end = rest.find(after)
    return rest[:end] if end >= 0 else None


def _from_text(value: str, recorded: Exchange, actual: Exchange) -> str | None:
    """Return what stands in a text where a placeholder stood: between the same words."""
    if recorded.response is None or actual.response is None:
        return None
    old = decoded_body(recorded.response.headers, recorded.response.body).decode("utf-8", "replace")
    new = decoded_body(actual.response.headers, actual.response.body).decode("utf-8", "replace")
    at = old.find(value)
    if at < 0:
        return None
    before = PLACEHOLDER.split(old[max(0, at - 4 * _AROUND) : at])[-1][-_AROUND:]
    behind = PLACEHOLDER.split(old[at + len(value) : at + len(value) + _AROUND])[0]
    start = new.find(before)
    if not before or start < 0:
        return None
    start += len(before)
    end = new.find(behind[:1], start) if behind else len(new)
    return new[start:end] if end > start else None
