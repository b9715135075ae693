"""What a row of the report is, before and after it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .measure import Effort, Figure
    from .peers import Guard, Peer, Role

__all__ = (
    "Guards",
    "Measured",
    "Outcome",
    "Peers",
    "Row",
    "Verdict",
    "WrongResultError",
    "verdict",
)

Peers: TypeAlias = "Mapping[str, Peer | str]"
"""Peers by name; a text instead of a peer says why it cannot be measured."""
Guards: TypeAlias = "Mapping[str, Guard | str]"
"""The same for rows with a role."""
Verdict: TypeAlias = Literal["met", "missed", "no budget", "not measured"]


class WrongResultError(Exception):
    """What is to be timed does not return what the baseline returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one row gave."""

    ours: Figure | None
    """None: it could not be measured; `facts` says why."""
    peers: Mapping[str, Figure | str] = field(default_factory=dict[str, "Figure | str"])
    """By name; a text says why there is no figure."""
    facts: tuple[str, ...] = ()
    """What was seen besides the figure."""
    broken: str | None = None
    """A condition that was not held; the budget is then missed, whatever the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that is measured.

    Attributes:
        key: Names it on the command line: family, then what tells it from its neighbors.
        title: What is measured.
        against: What the figure is a ratio to, or what it counts.
        unit: Stands behind the figure: `x` of the baseline, `ms`, `MB`, …
        budget: The most that the median may be; None where none is set.
        measure: Measures it.
        with_peers: Whether peers can stand in this row.
        role: What its peers wrap a step with; None where they are workflows.
    """

    key: str
    title: str
    against: str
    unit: str
    budget: float | None
    measure: Callable[[Effort, Any], Awaitable[Measured]]
    """Takes `Peers`, or `Guards` where the row has a role."""
    with_peers: bool = False
    role: Role | None = None

    @property
    def family(self) -> str:
        """The first part of the key."""
        return self.key.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row and what it gave."""

    row: Row
    measured: Measured


def verdict(outcome: Outcome) -> Verdict:
    """Say whether the median keeps to the budget, to the two decimals that are shown."""
    ours, budget = outcome.measured.ours, outcome.row.budget
    if ours is None:
        return "not measured"
    if outcome.measured.broken is not None:
        return "missed"
    if budget is None:
        return "no budget"
    return "met" if round(ours.median, 2) <= budget else "missed"
