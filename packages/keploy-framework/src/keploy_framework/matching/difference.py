"""One way in which an answer or a request is not what was recorded, in the words of noise files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ("Difference", "DifferenceKind", "Excuses", "Plain")

Plain: TypeAlias = (
    "bool | int | float | Decimal | str | bytes | list[Plain] | dict[str, Plain] | None"
)
"""A value as it is shown: a number keeps its text, so it is an int or a Decimal."""

DifferenceKind: TypeAlias = Literal["missing", "added", "type", "value", "order", "length"]
"""What is different: a part is missing or added, has another type or value, the elements of an
array stand in another order, or there are more or fewer of them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        path: Where, as a noise file says it: ``body.items.stock``, ``header.Location``, ``status``.
            It has no array index.
        kind: What is different.
        expected: What was recorded; None where it is missing.
        actual: What came; None where it is missing.
        place: Where exactly, for people: ``body.items[2].stock``, ``body, line 3``.
        asserted: The assertion of the test case that does not hold, such as ``status_code_in``;
            "" for a difference from the recorded answer.
    """

    path: str
    kind: DifferenceKind
    expected: Plain
    actual: Plain
    place: str = ""
    asserted: str = ""

    def __str__(self) -> str:
        """Return one line: the place, what is different, and both values, cut short."""
        where = self.place or self.path
        if self.kind == "missing":
            return f"{where}: missing, was {_short(self.expected)}"
        if self.kind == "added":
            return f"{where}: added, {_short(self.actual)}"
        if self.kind == "length":
            return f"{where}: {_short(self.expected)} elements became {_short(self.actual)}"
        if self.kind == "order":
            return f"{where}: the same elements in another order"
        return f"{where}: {_short(self.expected)} became {_short(self.actual)}"


class Excuses(Protocol):
    """Says which differences are noise; `keploy_framework.noise` has the rules that do."""

    def __call__(self, difference: Difference, /) -> bool:
        """Say whether the difference does not count."""
        ...


_SHOWN = 80


def _short(value: Plain) -> str:
    if isinstance(value, (list, dict)):
        what = "elements" if isinstance(value, list) else "keys"
        return f"{'an array' if isinstance(value, list) else 'an object'} of {len(value)} {what}"
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, (str, bytes)):
        text = repr(value)
    else:
        text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
