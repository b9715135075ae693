"""Where the secrets of a body, a URL or a header are: which reader looks at which content."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from keploy_framework.redact import json_text, texts
from keploy_framework.redact.hints import json_has_names, unescaped_roughly
from keploy_framework.redact.placeholders import ECHOED, is_placeholder
from keploy_framework.redact.spans import Span, disjoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from keploy_framework.redact.kinds import Looks
    from keploy_framework.redact.names import Names

__all__ = ("Finder", "media_type", "parameter")

_DEEPEST: Final = 3
_BOUNDARY: Final = re.compile(r"boundary=(?:\"([^\"]{1,200})\"|([^;\s]{1,200}))", re.IGNORECASE)
_CHARSET: Final = re.compile(r"charset=\"?([\w.-]{1,40})", re.IGNORECASE)
_DELTA_INDEX: Final = re.compile(r"\"index\"\s{0,4}:\s{0,4}([0-9]{1,9})")
_LINES: Final = re.compile(r"[^\r\n]++")
_JSON_START: Final = re.compile(r"\s{0,64}+[\[{]")


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
        self.names = names
        self._looks = looks
        self._allow = allow

    def body(self, text: str, content_type: str, known_values: Collection[str] = ()) -> list[Span]:
        """Return the secrets of a body, given as Latin-1 text, in order."""
        spans = [*self._by_content(text, content_type), *self._seen(text, known_values)]
        return self._settled(spans, text)

    def text(self, text: str, known_values: Collection[str] = ()) -> list[Span]:
        """Return the secrets of a text of any kind, in order."""
        return self.body(text, "text/plain", known_values)

    def looks(self, text: str, known_values: Collection[str] = ()) -> list[Span]:
        """Return what is known by its looks or its assignment: for text that has no structure."""
        spans = [
            *self._looks.spans(text),
            *texts.assignments(text, self.names),
            *self._seen(text, known_values),
        ]
        return self._settled(spans, text)

    def url(self, url: str, known_values: Collection[str] = ()) -> list[Span]:
        """Return the secrets of a URL: user info, query, fragment, path."""
        spans = [*self._looks.spans(url), *self._seen(url, known_values)]
        mark = url.find("?")
        for at in {mark, url.find("#", mark + 1)} - {-1}:
            for span in texts.form(url[at + 1 :], self.names):
                end = span.end + at + 1
                if (fragment := url.find("#", at + 1, end)) >= 0:
                    end = fragment
                start = span.start + at + 1
                value = span.value.partition("#")[0]
                spans.append(span._replace(start=start, end=end, value=value))
        path_end = mark if mark >= 0 else len(url)
        if ";" in url[:path_end]:
            spans += texts.form(url[:path_end].replace("/", ";"), self.names)
        return self._settled(spans, url)

    def possible(self, text: str) -> bool:
        """Say whether something in the text may look like a secret; False is certain."""
        return self._looks.possible(text)

    def header(
        self, name: str, value: str, known_values: Collection[str] = (), *, possible: bool = True
    ) -> list[Span]:
        """Return the secrets of a header; ``possible`` says whether its looks are looked at."""
        if self.names.allows(name):
            return []
        if self.names.header(name):
            return self._settled(texts.header(name, value, self.names), value)
        lowered = name.lower()
        if lowered in {"location", "referer", "content-location", "origin", "link"}:
            return self.url(value, known_values)
        spans = [*self._looks.spans(value)] if possible else []
        spans += self._seen(value, known_values)
        kind = self.names.field(name, value)
        if kind is not None:
            spans.append(Span(0, len(value), kind, value))
        return self._settled(spans, value)

    def _settled(self, spans: Iterable[Span], text: str) -> list[Span]:
        found = [
            span
            for span in spans
            if span.value not in self._allow and not is_placeholder(span.value)
        ]
        return disjoint(found, text) if found else found

    @staticmethod
    def _seen(text: str, values: Collection[str]) -> Iterator[Span]:
        for value in values:
            if len(value) < ECHOED:
                continue
            at = text.find(value)
            while at >= 0:
                yield Span(at, at + len(value), "secret", value)
                at = text.find(value, at + len(value))

    def _by_content(self, text: str, content_type: str, depth: int = 0) -> Iterator[Span]:
        media = media_type(content_type)
        yield from self._looks.spans(text)
        if media == "multipart/form-data" or media.startswith("multipart/"):
            boundary = parameter(content_type, "boundary")
            if boundary:
                yield from texts.multipart(
                    text, boundary, self.names, lambda part, kind: self._part(part, kind, depth)
                )
                return
        if media == "application/x-www-form-urlencoded":
            yield from texts.form(text, self.names)
        elif media == "text/event-stream" or "ndjson" in media or "jsonl" in media:
            yield from self._lines(text)
        elif "json" in media or _JSON_START.match(text):
            yield from self._json(text, depth)
        else:
            yield from texts.assignments(text, self.names)
            if "<" in text:
                yield from texts.markup(text, self.names)
            if '"' in text and ":" in text:
                yield from self._json_lines(text)

    def _part(self, text: str, content_type: str, depth: int) -> list[Span]:
        return list(self._by_content(text, content_type, depth)) if depth < _DEEPEST else []

    def _json(self, text: str, depth: int) -> Iterator[Span]:
        if json_has_names(text, self.names) or (
            "\\" in text and self._looks.possible(unescaped_roughly(text))
        ):
            yield from json_text.fields(
                text, self.names, (lambda inner: self._string(inner, depth + 1))
            )
        if "=" in text:
            yield from texts.assignments(text, self.names, separators="=")

    def _string(self, value: str, depth: int) -> list[Span]:
        """Return the secrets of a string that was written with escapes."""
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
        deltas: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        for line in _LINES.finditer(text):
            content, start = line[0], line.start()
            if '"' not in content:
                for span in texts.assignments(content, self.names):
                    yield span._replace(start=span.start + start, end=span.end + start)
                continue
            inside = self._json(content, 1)
            for span in inside:
                yield span._replace(start=span.start + start, end=span.end + start)
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
