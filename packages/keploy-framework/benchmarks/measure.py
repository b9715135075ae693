"""Interleaved timing, and what one row of the report is.

Each round times baseline, subject, baseline, and keeps the ratio of the subject to the mean of its
neighbors: what slows the machine slows all three.
"""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ("FULL", "QUICK", "Effort", "Figure", "Outcome", "exactly", "figure", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is run for a figure: rounds, calls in a timing, interactions of a cassette."""

    rounds: int
    calls: int
    many: int


FULL = Effort(rounds=11, calls=200, many=10_000)
"""What the page shows."""
QUICK = Effort(rounds=5, calls=90, many=1_000)
"""A first look: the medians are there, the quartiles are wide."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, with the quartiles around it."""

    median: float
    low: float
    high: float


def figure(values: Sequence[float]) -> Figure:
    """Return the median and the quartiles of some values, two at least."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, low, high)


def exactly(value: float) -> Figure:
    """Return a figure that was counted, not timed."""
    return Figure(value, value, value)


def ratio(rounds: int, baseline: Callable[[], float], subject: Callable[[], float]) -> Figure:
    """Return what the subject takes in units of the baseline.

    Args:
        rounds: How often both are timed.
        baseline: Runs, and returns its seconds.
        subject: The same.
    """
    subject()  # warms up
    found: list[float] = []
    for _ in range(rounds):
        gc.collect()
        before = baseline()
        timed = subject()
        found.append(2 * timed / (before + baseline()))
    return figure(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row of the report.

    Attributes:
        key: Names it on the command line: family, then what tells it from its neighbors.
        title: What is measured.
        against: What the figure is a ratio to, or what it counts.
        unit: Stands behind the figure.
        budget: The most, or the least, that the median may be; None where none is set.
        least: Whether the budget is the least.
        ours: The figure; None if it could not be measured, and `facts` says why.
        peers: The same of peers, by name; a text says why there is none.
        facts: What was seen besides.
    """

    key: str
    title: str
    against: str
    unit: str
    budget: float | None
    least: bool = False
    ours: Figure | None
    peers: Mapping[str, Figure | str] = field(default_factory=dict[str, "Figure | str"])
    facts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Literal["met", "missed", "no budget", "not measured"]:
        """Whether the median keeps to the budget, to the two decimals that are shown."""
        if self.ours is None:
            return "not measured"
        if self.budget is None:
            return "no budget"
        median = round(self.ours.median, 2)
        return (
            "met" if (median >= self.budget if self.least else median <= self.budget) else "missed"
        )
