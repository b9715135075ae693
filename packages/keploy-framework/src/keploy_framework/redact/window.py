"""Redaction of bodies that are too long to be held: bytes go in, safe bytes come out, later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keploy_framework.redact.spans import edited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keploy_framework.redact.spans import Edit

__all__ = ("OVERLAP", "SlidingWindow")

OVERLAP: Final = 16 << 10
"""How many bytes are held back, and how many are looked at again: secrets are shorter."""

_STEP: Final = 256 << 10
_LONGEST: Final = 1 << 20


class SlidingWindow:
    """Redacts a body of any length in bounded memory, by patterns over overlapping windows.

    Args:
        redact: Returns the edits of a text.

    Example:
        >>> from keploy_framework.redact.spans import Edit
        >>> window = SlidingWindow(lambda text: [Edit(2, 4, "--")] if len(text) > 3 else [])
        >>> window.feed(b"ab") + window.feed(b"cdef") + window.finish()
        b'ab--ef'
    """

    __slots__ = ("_context", "_held", "_length", "_redact")

    def __init__(self, redact: Callable[[str], Sequence[Edit]]) -> None:
        self._redact = redact
        self._context = ""
        self._held: list[str] = []
        self._length = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that can no longer be part of a secret."""
        self._held.append(data.decode("latin-1"))
        self._length += len(data)
        if self._length < _STEP + OVERLAP:
            return b""
        return self._emit(last=False)

    def finish(self) -> bytes:
        """Return what is still held back; nothing is fed after this."""
        return self._emit(last=True)

    def _emit(self, *, last: bool) -> bytes:
        held = "".join(self._held)
        known = len(self._context)
        text = self._context + held
        limit = len(text) if last else len(text) - OVERLAP
        edits: list[Edit] = []
        for edit in self._redact(text):
            if edit.end <= known:
                continue
            if edit.start >= limit:
                break
            # What reaches to the end may go on: it waits, unless it has grown beyond all measure.
            if edit.end == len(text) and not last and edit.end - edit.start < _LONGEST:
                limit = max(edit.start, known)
                break
            limit = max(limit, edit.end)
            edits.append(edit._replace(start=max(edit.start, known)))
        safe = edited(text[:limit], edits)[known:]
        self._context = text[max(0, limit - OVERLAP) : limit]
        self._held = [text[limit:]]
        self._length = len(text) - limit
        return safe.encode("latin-1", "replace")
