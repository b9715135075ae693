"""Where the secrets of a body, a URL or a header are: which reader looks at which content."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from keploy_framework.redact import json_text, tables, texts
from keploy_framework.redact.echoes import echoed
from keploy_framework.redact.embedded import base64_texts
from keploy_framework.redact.hints import json_has_names, runs, unescaped_roughly
from keploy_framework.redact.markup import markup
from keploy_framework.redact.names import looks_secret
from keploy_framework.redact.pairs import json_pairs, option_pairs
from keploy_framework.redact.placeholders import PLACEHOLDER, is_placeholder, without_placeholders
from keploy_framework.redact.spans import Span, disjoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from keploy_framework.redact.kinds import Looks
    from keploy_framework.redact.names import Names

__all__ = ("Finder", "media_type", "parameter")

_DEEPEST: Final = 3
_BOUNDARY: Final = re.compile(r"boundary=(?:\"([^\"]{1,200})\"|([^;\s]{1,200}))", re.IGNORECASE)
_CHARSET: Final = re.compile(r"charset=\"?([\w.-]{1,40})", re.IGNORECASE)
_DELTA_INDEX: Final = re.compile(r"\"index\"\s{0,4}:\s{0,4}([0-9]{1,9})")
_LINES: Final = re.compile(r"[^\r\n]++")
_JSON_START: Final = re.compile(
    r"(?:\xef\xbb\xbf)?\s{0,64}+(?:\{\s{0,64}+[\"}]|\[\s{0,64}+[\"\[{\]0-9tfn-])"
)
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_LINK_HEADERS: Final = frozenset({"content-location", "link", "location", "origin", "referer"})
_FIELD: Final = re.compile(
    r"Content-Disposition:[^\r\n]{0,512}?\bname=\"?([^\";\r\n]{1,256}+)[^\r\n]{0,512}+"
    r"(?:\r?\n[^\r\n]{1,1024}+){0,8}+\r?\n\r?\n([^\r\n]{1,4096}+)",
    re.IGNORECASE,
)
_DATA: Final = re.compile(r"(?:\A|(?<=[\r\n]))data:")
_EVENT: Final = re.compile(r"(?:data:[^\r\n]*+(?:\r\n|\r|\n)){2,}+")
_USER: Final = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*+://([^/?#@:\s]{12,512}+)@")
_STEP: Final = re.compile(r"(?=/([^/?#]{4,64})/([^/?#]{16,512}))")
_STEPS: Final = ("activat", "confirm", "invit", "magic", "reset", "token", "verif")
_LINK: Final = re.compile(
    rf"/[\w.-]{{0,48}}(?:{'|'.join(_STEPS)})[\w.-]{{0,48}}/([\w~=-]{{20,512}}+)(?![\w.~=+%-])",
    re.ASCII,
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _is_redacted(value: str) -> bool:
    """Say whether a value, which may be empty where a secret goes on, is but placeholders."""
    if is_placeholder(value):
        return True
    return value.startswith("[redacted:") and not PLACEHOLDER.sub("", value)


def _links(text: str) -> Iterator[Span]:
    """Yield the tokens in links that let in whoever has them, as those of a mail do."""
    for link in _LINK.finditer(text):
        if looks_secret(link[1]) and not _UUID.fullmatch(link[1]):
            yield Span(link.start(1), link.end(1), "token", link[1])


def _echoes(text: str, content_type: str, known_values: Mapping[str, str]) -> Iterable[Span]:
    """Return where a body repeats a secret; in JSON, a number becomes a string."""
    spans = echoed(text, known_values)
    media = media_type(content_type)
    if "json" in media or media == "text/event-stream" or _JSON_START.match(text):
        return json_text.as_values(text, spans)
    return spans


@lru_cache(maxsize=256)
def media_type(content_type: str) -> str:
    """Return the type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)
def parameter(content_type: str, name: str) -> str:
    """Return the ``boundary`` or ``charset`` of a content type; "" if it has none."""
    match = (_BOUNDARY if name == "boundary" else _CHARSET).search(content_type)
    if match is None:
        return ""
    return match[1] or (match[2] if name == "boundary" else "") or ""


class Finder:
    """Finds secrets.

    Args:
        names: Which names are those of secrets.
        looks: Which looks are those of secrets.
        allow: Values that are none, whatever their name and looks.
    """

    __slots__ = ("_allow", "_looks", "names")

    def __init__(self, names: Names, looks: Looks, allow: frozenset[str] = frozenset()) -> None:
        self.names: Names = names
        self._looks = looks
        self._allow = allow

    def body(
        self, text: str, content_type: str, known_values: Mapping[str, str] = _NONE
    ) -> list[Span]:
        """Return the secrets of a body, given as Latin-1 text, in order.

        Args:
            text: The body.
            content_type: What it says it is.
            known_values: Spellings of secrets that are known, each with the secret.
        """
        spans = [*self._by_content(text, content_type)]
        spans += _echoes(text, content_type, known_values)
        return self._settled(spans, text)

    def text(self, text: str, known_values: Mapping[str, str] = _NONE) -> list[Span]:
        """Return the secrets of a text of any kind, in order."""
        return self.body(text, "text/plain", known_values)

    def looks(
        self, text: str, content_type: str = "", known_values: Mapping[str, str] = _NONE
    ) -> list[Span]:
        """Return what a part of a text, which may begin and end anywhere, shows without the rest.

        That is what is known by its looks, by an assignment, or by the element or field of a form
        around it.
        """
        spans = [*self._disguised(text, 0), *_echoes(text, content_type, known_values)]
        spans += texts.assignments(text, self.names)
        if "<" in text:
            spans += markup(text, self.names)
        for match in _FIELD.finditer(text):
            kind = self.names.field(match[1], match[2], query=True, sent=True)
            if kind is not None:
                spans.append(Span(match.start(2), match.end(2), kind, match[2]))
        media = media_type(content_type)
        if media == "application/x-www-form-urlencoded":
            spans += texts.form(text, self.names, self._inside(0))
        elif media == "text/event-stream" or "ndjson" in media or "jsonl" in media:
            spans += self._lines(text)
        return self._settled(spans, text)

    def opened(self, text: str) -> list[Span]:
        """Return where Base64 stands that hides a secret, be it in text or not."""
        return [
            Span(packed.start, packed.end, inner[0].kind, text[packed.start : packed.end])
            for packed in base64_texts(text, runs(text), binary=True)
            if (inner := self.body(packed.text, ""))
        ]

    def url(self, url: str, known_values: Mapping[str, str] = _NONE) -> list[Span]:
        """Return the secrets of a URL: user info, query, fragment, path."""
        spans = [*self._disguised(url, 0), *echoed(url, known_values)]
        mark = url.find("?")
        for at in {mark, url.find("#", mark + 1)} - {-1}:
            for span in texts.form(url[at + 1 :], self.names, self._inside(0)):
                end = span.end + at + 1
                if (fragment := url.find("#", at + 1, end)) >= 0:
                    end = fragment
                start = span.start + at + 1
                value = span.value.partition("#")[0] if end == fragment else span.value
                spans.append(span._replace(start=start, end=end, value=value))
        path_end = mark if mark >= 0 else len(url)
        if ";" in url[:path_end]:
            spans += texts.form(url[:path_end].replace("/", ";"), self.names)
        if (user := _USER.match(url)) and looks_secret(user[1]):
            spans.append(Span(user.start(1), user.end(1), "token", user[1]))
        for step in _STEP.finditer(url, 0, path_end):
            word = step[1].lower()
            value = step[2]
            if (
                any(each in word for each in _STEPS)
                and looks_secret(value)
                and not _UUID.fullmatch(value)
            ):
                spans.append(Span(step.start(2), step.end(2), "token", value))
        return self._settled(spans, url)

    def stream(self, messages: Sequence[str]) -> list[list[Span]]:
        """Return the shares that messages of one sender have in secrets that only their sum shows.

        Args:
            messages: Texts, each of one line of JSON or without any.
        """
        text = "\n".join(messages)
        spans = disjoint(self._deltas(text), text) if '"' in text else []
        result: list[list[Span]] = []
        at = start = 0
        for message in messages:
            end = start + len(message)
            own: list[Span] = []
            while at < len(spans) and spans[at].start < end:
                span = spans[at]
                own.append(span._replace(start=span.start - start, end=span.end - start))
                at += 1
            result.append(own)
            start = end + 1
        return result

    def header(
        self,
        name: str,
        value: str,
        known_values: Mapping[str, str] = _NONE,
        *,
        possible: bool = True,
    ) -> list[Span]:
        """Return the secrets of a header; ``possible`` says whether its looks are looked at."""
        if self.names.allows(name):
            return []
        if self.names.header(name):
            return self._settled(texts.header(name, value, self.names), value)
        lowered = name.lower()
        if lowered in _LINK_HEADERS:
            return self.url(value, known_values)
        spans = [*self._disguised(value, 0)] if possible else []
        spans += echoed(value, known_values)
        if "=" in value or ":" in value:
            spans += texts.assignments(value, self.names)
        if lowered == "sec-websocket-protocol":
            spans += texts.protocols(value, self.names)
        kind = self.names.field(name, value, sent=True)
        if kind is None and lowered.startswith("x-"):
            kind = self.names.field(name[2:], value, sent=True)
        if kind is not None:
            spans.append(Span(0, len(value), kind, value))
        return self._settled(spans, value)

    def _settled(self, spans: Iterable[Span], text: str) -> list[Span]:
        found = [
            span for span in spans if span.value not in self._allow and not _is_redacted(span.value)
        ]
        return disjoint(found, text) if found else found

    def _disguised(self, text: str, depth: int) -> Iterator[Span]:
        """Yield what is known by its looks, and Base64 that hides a secret."""
        found = runs(text)
        yield from self._looks.spans(text, found)
        if depth >= _DEEPEST:
            return
        for packed in base64_texts(text, found):
            inner = self._settled(self._by_content(packed.text, "", depth + 1), packed.text)
            if inner:
                whole = text[packed.start : packed.end]
                yield Span(packed.start, packed.end, inner[0].kind, whole)

    def _inside(self, depth: int) -> Callable[[str], list[Span]]:
        return lambda value: self._string(value, depth + 1)

    def _by_content(  # noqa: C901 - one branch a kind
        self, text: str, content_type: str, depth: int = 0
    ) -> Iterator[Span]:
        media = media_type(content_type)
        yield from self._disguised(text, depth)
        if any([step in text for step in _STEPS]):  # noqa: C419 - faster so
            yield from _links(text)
        if media.startswith("multipart/"):
            boundary = parameter(content_type, "boundary")
            if boundary:
                yield from texts.multipart(
                    text, boundary, self.names, lambda part, kind: self._part(part, kind, depth)
                )
                return
        if media == "application/x-www-form-urlencoded":
            yield from texts.form(text, self.names, self._inside(depth))
            if _JSON_START.match(text):  # some clients say so of whatever they send
                yield from self._json(text, depth)
        elif media == "text/event-stream" or "ndjson" in media or "jsonl" in media:
            yield from self._lines(text)
        elif "json" in media or _JSON_START.match(text):
            yield from self._json(text, depth)
        else:
            yield from texts.assignments(text, self.names, words="yaml" in media)
            yield from option_pairs(text, self.names)
            if "<" in text:
                yield from markup(text, self.names)
            if "csv" in media or "tab-separated" in media:
                yield from tables.columns(text, self.names)
            if ("'" in text or '"' in text) and "," in text:
                yield from json_pairs(text, self.names, self._header_value)
            if '"' in text and ":" in text:
                yield from self._json_lines(text)

    def _header_value(self, name: str, value: str) -> list[Span]:
        return list(texts.header(name, value, self.names))

    def _part(self, text: str, content_type: str, depth: int) -> list[Span]:
        return list(self._by_content(text, content_type, depth)) if depth < _DEEPEST else []

    def _json(self, text: str, depth: int) -> Iterator[Span]:
        if json_has_names(text, self.names) or (
            "\\" in text and self._looks.possible(unescaped_roughly(text))
        ):
            yield from json_text.fields(
                text,
                self.names,
                (lambda inner: self._string(inner, depth + 1)),
                self._header_value,
            )
        told = without_placeholders(text)
        if "alue" in told or "uthorization" in told or "ookie" in told:
            yield from json_pairs(text, self.names, self._header_value)
        if "=" in text:
            yield from texts.assignments(text, self.names, separators="=")
        yield from texts.in_strings(text, self.names)

    def _string(self, value: str, depth: int) -> list[Span]:
        """Return the secrets of a text that was written with escapes."""
        if depth >= _DEEPEST:
            return disjoint(self._looks.spans(value), value)
        return disjoint(self._by_content(value, "", depth), value)

    def _json_lines(self, text: str) -> Iterator[Span]:
        for line in _LINES.finditer(text):
            if '"' in line[0] and ":" in line[0]:
                for span in json_text.fields(line[0], self.names):
                    yield span._replace(
                        start=span.start + line.start(), end=span.end + line.start()
                    )

    def _lines(self, text: str) -> Iterator[Span]:
        """Yield the secrets of a stream: those in one event, and those that several make up."""
        for line in _LINES.finditer(text):
            content, start = line[0], line.start()
            inside = (
                self._json(content, 1) if '"' in content else texts.assignments(content, self.names)
            )
            for span in inside:
                yield span._replace(start=span.start + start, end=span.end + start)
        if '"' in text:
            for event in _EVENT.finditer(text):
                # What an event says in several lines is one text, in which line breaks count.
                for span in self._json(_DATA.sub("     ", event[0]), 1):
                    start = event.start()
                    yield span._replace(start=span.start + start, end=span.end + start)
            yield from self._deltas(text)

    def _deltas(self, text: str) -> Iterator[Span]:
        """Yield the shares of secrets that the values of one key in several lines make up."""
        deltas: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        for line in _LINES.finditer(text):
            content, start = line[0], line.start()
            if '"' not in content:
                continue
            index = _DELTA_INDEX.search(content)
            for found in json_text.texts(content):
                deltas.setdefault((found.key, index[1] if index else ""), []).append(
                    (found.start + start, found.end + start, found.value)
                )
        for parts in deltas.values():
            if len(parts) > 1:
                yield from self._across(parts)

    def _across(self, parts: list[tuple[int, int, str]]) -> Iterator[Span]:
        """Yield the shares that parts have in a secret which only their sum shows.

        The first share has the value, the others have none: nothing stands in their place.
        """
        plain = [json_text.unescaped(raw) for _, _, raw in parts]
        whole = "".join(plain)
        spans = disjoint(self._by_content(whole, ""), whole)
        at = 0
        ends: list[int] = []
        for part in plain:
            at += len(part)
            ends.append(at)
        following = 0
        for span in spans:
            while following < len(ends) and ends[following] <= span.start:
                following += 1
            number = following
            shares: list[tuple[int, int]] = []
            while number < len(ends):
                begin = ends[number] - len(plain[number])
                if begin >= span.end:
                    break
                start, _, raw = parts[number]
                shares.append(
                    json_text.place(
                        raw,
                        start,
                        max(0, span.start - begin),
                        min(len(plain[number]), span.end - begin),
                    )
                )
                number += 1
            if len(shares) > 1:
                for order, (start, end) in enumerate(shares):
                    yield Span(start, end, span.kind, "" if order else span.value)
