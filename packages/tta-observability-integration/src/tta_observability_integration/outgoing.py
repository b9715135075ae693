"""What leaves the process: without secrets, bounded, and such that UTF-8 and OTLP can carry it."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

    from tta_observability_integration.protocols import Redactor

__all__ = ("LONGEST", "MOST", "WITHHELD", "Outgoing")

_logger = logging.getLogger("tta_observability_integration")

LONGEST = 8192
"""Characters of one text."""
MOST = 128
"""Attributes of one span, and items of one attribute."""
WITHHELD = "[redacted]"
"""Stands for a text of which nobody could say what may be shown."""

_READ = 16 * LONGEST  # characters that are searched for secrets; searching takes time by length
_INT64 = 1 << 63
_BITS = 4096
_NUMBERS = frozenset({frozenset({bool}), frozenset({int}), frozenset({float})})


class Outgoing:
    """Takes secrets out, whatever the redactor does.

    Args:
        redact: Takes secrets out of texts. A text for which it raises, or returns anything but a
            text, is withheld.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._warned = False
        self._key = lru_cache(maxsize=2048)(self._shown_key)

    def text(self, key: str, value: str, *, end: bool = False) -> str:
        """Return what may be shown of a text, cut to `LONGEST` characters.

        Args:
            key: The name under which it is exported.
            value: The text.
            end: Keep its end rather than its beginning where it is too long.
        """
        value = str.__str__(value)  # of a subclass, which may have overridden anything
        try:
            shown = cast("object", self._redact(key, value[-_READ:] if end else value[:_READ]))
        except Exception as error:  # noqa: BLE001 - a redactor of the user's may fail at anything
            return self._withheld(key, f"raised {type(error).__name__}")
        if not isinstance(shown, str):
            return self._withheld(key, f"returned a {type(shown).__name__}, not a text")
        return _clean(shown[-LONGEST:] if end else shown[:LONGEST])

    def _withheld(self, key: str, what: str) -> str:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "redact %s for a text under the key %r, which is exported as %r, as all such "
                "texts are; it takes a key and a text and returns a text",
                what,
                _clean(key),
                WITHHELD,
            )
        return WITHHELD

    def attributes(self, noted: Mapping[str, object]) -> dict[str, AttributeValue]:
        """Return the attributes that OpenTelemetry can carry, at most `MOST`. Never raises."""
        attributes: dict[str, AttributeValue] = {}
        for key, value in noted.items():
            if len(attributes) == MOST:
                break
            try:
                kept = self._value(key, value)
                if kept is not None:
                    attributes[self._key(key)] = kept
            except Exception:  # noqa: BLE001, S112 - the value of an odd type costs itself alone
                continue
        return attributes

    def _shown_key(self, key: str) -> str:
        # Searched as a text: that a key is sensitive hides its value, not the key.
        return self.text("", key)

    def _value(self, key: str, value: object) -> AttributeValue | None:
        if isinstance(value, str):
            return self.text(key, value)
        if isinstance(value, (bool, int, float)):
            return self._number(key, value)
        if isinstance(value, (list, tuple)):
            return self._items(key, cast("list[object]", value))
        return None

    def _number(self, key: str, value: float) -> AttributeValue:
        if isinstance(value, bool):
            return value
        # In hexadecimal where Python refuses to write that many digits.
        huge = isinstance(value, int) and int(value).bit_length() > _BITS
        written = hex(int(value)) if huge else str(value)
        shown = self.text(key, written)
        if shown != written:  # a number can be a secret, too
            return shown
        if isinstance(value, int):
            return int(value) if -_INT64 <= value < _INT64 else shown
        return float(value)

    def _items(self, key: str, value: list[object] | tuple[object, ...]) -> AttributeValue | None:
        items = list(value[:MOST])
        if all(isinstance(item, str) for item in items):
            return [self.text(key, str(item)) for item in items]
        if frozenset(map(type, items)) not in _NUMBERS:  # OpenTelemetry takes no mixture
            return None
        shown = [self._number(key, cast("float", item)) for item in items]
        if len(set(map(type, shown))) > 1:  # some withheld or too long
            return [str(item) for item in shown]
        return cast("AttributeValue", shown)


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot carry: one lone surrogate would fail a whole batch or page."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
