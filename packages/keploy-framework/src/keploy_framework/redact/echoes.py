"""The ways in which a secret that was found once is spelled where it is repeated."""

from __future__ import annotations

import base64
import binascii
import html
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from keploy_framework.redact.placeholders import ECHOED, readable
from keploy_framework.redact.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ("echoed", "note")

_MOST: Final = 512
_WORD: Final = 12
_GROUP: Final = 4


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
    for spelled in spellings:
        seen.setdefault(spelled, value)


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
