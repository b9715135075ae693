"""Places in a text that hold a secret, and putting something else there.

Bodies are handled as Latin-1 text, one character a byte, so that a place in the text is a place in
the bytes, whatever they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = (
    "SPACE",
    "Edit",
    "Span",
    "bare_text",
    "cut",
    "decoded",
    "disjoint",
    "edited",
    "moved",
)

SPACE: Final = " \t\n\r\f\v"
"""What may be cut off at the ends of a text. A byte that Python takes for space in Latin-1, such as
0xA0, may be the last of a character in UTF-8."""


class Span(NamedTuple):
    """A secret: where it stands, of which kind it is, and its value without any escapes.

    The value is empty where a secret goes on that began elsewhere: nothing takes its place.
    ``quoted`` says that what replaces it needs quotes, because it was a number.
    """

    start: int
    end: int
    kind: str
    value: str
    quoted: bool = False


class Edit(NamedTuple):
    """Put ``text`` in the place of what stands from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def bare_text(text: str) -> str:
    """Return text as Latin-1 text, one character a byte, as the finder reads it."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def decoded(data: bytes) -> str:
    """Return the text that edited bytes are."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # a secret ended within a letter
        return data.decode("utf-8", "replace")


def disjoint(spans: Iterable[Span], text: str) -> list[Span]:
    """Return the spans in order, without overlaps: a span that reaches into another joins it."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.end <= span.start:
            continue
        if found and span.start < found[-1].end:
            last = found[-1]
            if span.end > last.end:
                found[-1] = last._replace(end=span.end, value=text[last.start : span.end])
        else:
            found.append(span)
    return found


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return the text after edits that are in order and do not overlap."""
    if not edits:
        return text
    parts: list[str] = []
    at = 0
    for edit in edits:
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    parts.append(text[at:])
    return "".join(parts)


def moved(offsets: Sequence[int], edits: Sequence[Edit]) -> list[int]:
    """Return where rising offsets of the old text stand in the edited text.

    An offset inside an edited place keeps its share of the way through it.

    Example:
        >>> moved([2, 5, 9], [Edit(4, 6, "xxxx")])
        [2, 6, 11]
    """
    result: list[int] = []
    grown = 0
    at = 0
    for offset in offsets:
        while at < len(edits) and edits[at].end <= offset:
            grown += len(edits[at].text) - (edits[at].end - edits[at].start)
            at += 1
        if at < len(edits) and edits[at].start < offset:
            start, end, text = edits[at]
            result.append(start + grown + (offset - start) * len(text) // (end - start))
        else:
            result.append(offset + grown)
    return result


def cut(
    pieces: Sequence[bytes], redact: Callable[[str], Sequence[Edit]]
) -> tuple[list[bytes], bool]:
    """Edit pieces as the one text that they are together; their number stays.

    Returns:
        The pieces after it, and whether anything was changed.
    """
    text = b"".join(pieces).decode("latin-1")
    edits = redact(text)
    if not edits:
        return list(pieces), False
    ends: list[int] = []
    end = 0
    for piece in pieces:
        end += len(piece)
        ends.append(end)
    whole = edited(text, edits).encode("latin-1", "replace")
    result: list[bytes] = []
    start = 0
    for end in _kept_apart(moved(ends, edits), pieces, len(whole)):
        result.append(whole[start:end])
        start = end
    return result, True


def _kept_apart(ends: list[int], pieces: Sequence[bytes], length: int) -> list[int]:
    """Move the ends of pieces so that none that had a byte is left without: it would end a body.

    Only where a text has become shorter than it had pieces, the last ones are empty.
    """
    owed = min(sum(map(bool, pieces)), length)
    start = 0
    for number, piece in enumerate(pieces):
        least = start
        if piece:
            owed = max(owed - 1, 0)
            least = min(start + 1, length)
        ends[number] = start = max(least, min(ends[number], length - owed))
    return ends
