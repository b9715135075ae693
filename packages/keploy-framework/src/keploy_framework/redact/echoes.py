"""The ways in which a secret that was found once is spelled where it is repeated."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from keploy_framework.model import Direction
from keploy_framework.redact.hints import RUN, runs
from keploy_framework.redact.names import looks_secret
from keploy_framework.redact.placeholders import ECHOED, readable
from keploy_framework.redact.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from keploy_framework.model import Exchange, Request
    from keploy_framework.redact.placeholders import Placeholders

__all__ = ("echoed", "handed_in", "note", "returned")

_MOST: Final = 512
_WORD: Final = 12
_GROUP: Final = 4
_LONGEST: Final = 4096
_PART: Final = re.compile(r"[^=/]+")
# Either they hold no token, or one that is found by their name.
_ELSEWHERE: Final = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "authorization", "connection"),
        *("content-length", "content-type", "cookie", "host", "user-agent"),
    }
)


def note(spans: Iterable[Span], seen: dict[str, str]) -> None:
    """Remember the secrets that may be repeated elsewhere in the exchange, in all their spellings.

    Args:
        spans: What was found.
        seen: Spellings, each with the secret that it spells; more are put into it.
    """
    for span in spans:
        value = span.value
        if value in seen or "[redacted:" in value:
            continue
        _note(value, seen)
        if span.kind == "basic" and (password := _password(value)):
            _note(password, seen)


def _note(value: str, seen: dict[str, str]) -> None:
    if len(value) < ECHOED or len(seen) > _MOST or (len(value) < _WORD and value.isalpha()):
        return  # a short word stands in many texts that do not repeat it
    seen[value] = value
    for spelled in _spellings(value):
        seen.setdefault(spelled, value)


@lru_cache(maxsize=256)  # clients send the same secret with each request
def _spellings(value: str) -> tuple[str, ...]:
    """Return how a secret may be spelled where it is repeated."""
    text = readable(value)
    data = text.encode("utf-8", "surrogatepass")
    spellings = [base64.b64encode(data).decode().rstrip("="), data.decode("latin-1"), text]
    if not value.isalnum():
        for spelled in (
            quote(data, safe=""),
            quote_plus(data),
            json.dumps(text)[1:-1],
            html.escape(text),
        ):
            spellings += (spelled, spelled.encode("utf-8", "surrogatepass").decode("latin-1"))
    return tuple(dict.fromkeys(spellings))


def handed_in(exchange: Exchange, known: Placeholders) -> dict[str, str]:
    """Return the secrets of earlier exchanges that a client of the application hands in: `note`.

    What an answer handed out is chained from there, so that each use of it has to be found.
    """
    seen: dict[str, str] = {}
    if known.lengths and exchange.direction is Direction.INBOUND:
        note(returned(exchange.request, known), seen)
    return seen


def returned(request: Request, known: Placeholders) -> Iterator[Span]:
    """Yield the tokens of a request that were secrets before: clients hand them in under any name.

    Args:
        request: A request, of which URL, header lines and body are looked at.
        known: The secrets that were seen so far. Of these, only what looks made by chance is found,
            and is as long as a key: other words stand in many texts.
    """
    values = [value for name, value in request.headers if name.lower() not in _ELSEWHERE]
    for text in ("\n".join([request.url, *values]), request.body.decode("latin-1")):
        for start, end in runs(text):
            if end - start in known.lengths and text[start:end] in known:
                yield from _chance(text, start, end)
            elif end - start <= _LONGEST and ("=" in text[start:end] or "/" in text[start:end]):
                yield from _inside(text, start, end, known)


def _inside(text: str, start: int, end: int, known: Placeholders) -> Iterator[Span]:
    """Yield the tokens in a run: what separates may be a letter of the token as well."""
    parts = [(found.start(), found.end()) for found in _PART.finditer(text, start, end)]
    for begin, stop in dict.fromkeys((*parts, *((begin, end) for begin, _ in parts))):
        if stop - begin in known.lengths and text[begin:stop] in known:
            yield from _chance(text, begin, stop)


def _chance(text: str, start: int, end: int) -> Iterator[Span]:
    value = text[start:end]
    if end - start >= RUN and looks_secret(value):
        yield Span(start, end, "secret", value)


def _password(value: str) -> str:
    """Return the password of a Basic credential; "" if it has none."""
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % _GROUP))
    except (binascii.Error, ValueError):
        return ""
    return pair.decode("latin-1").partition(":")[2]


def echoed(text: str, seen: Mapping[str, str]) -> Iterator[Span]:
    """Yield where a text repeats a secret, however it is spelled there."""
    for spelled, value in seen.items():
        at = text.find(spelled)
        while at >= 0:
            yield Span(at, at + len(spelled), "secret", value)
            at = text.find(spelled, at + len(spelled))
