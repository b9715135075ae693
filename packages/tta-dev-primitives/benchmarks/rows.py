"""Every row of the report, in the order in which it is shown."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from . import (
    chains,
    crowds,
    failures,
    fan_outs,
    hedges,
    hit_ratios,
    imports,
    lengths,
    rejections,
    retries,
    stacks,
    wrappers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .row import Row

__all__ = ("FAMILIES", "ROWS", "select")

FAMILIES = {
    "chain": "A chain of steps that do nothing",
    "fan-out": "A fan-out",
    "length": "Long chains",
    "wrapper": "A wrapper around one step, when all goes well",
    "cache": "What a cache keeps",
    "import": "Import, in a fresh interpreter with warm byte code",
    "crowd": "Many executions at the same time",
    "failure": "When a step fails",
}
"""What the first part of a row's key means."""

ROWS: tuple[Row, ...] = (
    *chains.rows(),
    *fan_outs.rows(),
    *lengths.rows(),
    *wrappers.rows(),
    *retries.rows(),
    *stacks.rows(),
    *rejections.rows(),
    *hedges.rows(),
    *hit_ratios.rows(),
    *imports.rows(),
    *crowds.rows(),
    *failures.rows(),
)


def select(patterns: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows whose key matches one of the patterns; all where there are none.

    Args:
        patterns: Keys, beginnings of keys that end before a dot, or patterns with `*`.

    Raises:
        LookupError: A pattern matches no row.
    """
    if not patterns:
        return ROWS
    for pattern in patterns:
        if not any(_fits(row.key, pattern) for row in ROWS):
            known = ", ".join(sorted({row.family for row in ROWS}))
            message = f"no row matches {pattern!r}; rows begin with {known}; --list shows all"
            raise LookupError(message)
    return tuple(row for row in ROWS if any(_fits(row.key, pattern) for pattern in patterns))


def _fits(key: str, pattern: str) -> bool:
    return key == pattern or key.startswith(f"{pattern}.") or fnmatchcase(key, pattern)
