"""A pattern for texts that are the same but for numbers, times and tokens in them.

Where a page says how long a query took, or a tag is made of a file's number, time and length, most
of the text can still be asserted: the pattern holds it to the letter, and lets vary what varies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("alternatives", "text_pattern")

_LONGEST: Final = 8192
_UUID: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK: Final = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
_SHAPES: Final = (
    _UUID,
    f"{_DAY},? [0-9]{{1,2}} {_MONTH} [0-9]{{4}} {_CLOCK}(?: (?:GMT|UTC|[+-][0-9]{{4}}))?",
    f"{_DAY} {_MONTH} [ 0-9][0-9] {_CLOCK} [0-9]{{4}}",
    f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?",
    _CLOCK,
)
_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_TOKENS: Final = re.compile(
    "|".join(
        [*(f"(?<![0-9A-Za-z])(?:{shape})(?![0-9A-Za-z])" for shape in _SHAPES), r"[0-9]+\.[0-9]+",
         "[0-9]+(?=[a-zµ]{0,2}(?![0-9A-Za-z]))", "[0-9A-Za-z]+", "(?s:.)"]
    )
)  # fmt: skip
_TOKEN_LENGTH: Final = 6
_NAMED: Final = re.compile(r"\(\?P<tta_[a-z0-9_]+>")


def text_pattern(values: Sequence[str]) -> str | None:
    r"""Return a pattern, without anchors, that fits all values and holds what they share.

    Args:
        values: What stood at one place in several runs.

    Returns:
        The pattern; None if the values differ in their words, or share nothing.

    Example:
        >>> text_pattern(["took 1.25 ms", "took 17.0 ms"])
        'took\\ [0-9]+(?:\\.[0-9]+)?\\ ms'
        >>> text_pattern(["in stock", "sold out"]) is None
        True
    """
    if max(map(len, values)) > _LONGEST:
        return None
    runs = [_TOKENS.findall(value) for value in values]
    if len(set(map(len, runs))) != 1:
        return None
    made: list[str] = []
    same = ""
    shared = 0
    for column in zip(*runs, strict=True):
        if len(set(column)) == 1:
            same += column[0]
            shared += 1
            continue
        part = _part(column)
        if part is None:
            return None
        made += [re.escape(same), part]
        same = ""
    return "".join([*made, re.escape(same)]) if shared else None


def _part(values: Sequence[str]) -> str | None:
    """Return the pattern of a part that varies."""
    for shape in (*_SHAPES, _NUMBER):
        if all(re.fullmatch(shape, value) for value in values):
            return shape
    lengths = [len(value) for value in values]
    if min(lengths) < _TOKEN_LENGTH or not all(map(str.isalnum, values)):
        return None
    if not any(any(map(str.isdigit, value)) for value in values):
        return None
    return f"[0-9A-Za-z]{{{min(lengths)},{max(lengths)}}}"


def alternatives(patterns: Sequence[str]) -> str:
    """Return one pattern that fits what one of several fits, without the groups that name kinds."""
    bare = [_NAMED.sub("(?:", pattern).removeprefix("^").removesuffix("$") for pattern in patterns]
    return f"^(?P<tta_text>{'|'.join(dict.fromkeys(bare))})$"
