"""What a cache has done: `CacheStats`, the figures at one moment, and `Counts`, which grow.

Each call is counted once, when it ends, by what became of it: so the first nine figures add up to
the calls that have ended.
"""

from __future__ import annotations

__all__ = ("COUNTED", "CacheStats", "Counts")

OUTCOMES = (
    "hits",
    "stale_hits",
    "shared_hits",
    "error_hits",
    "waiters",
    "misses",
    "errors",
    "cancellations",
    "bypasses",
)
"""What can become of a call: each one adds to exactly one of these."""

COUNTED = (
    *OUTCOMES,
    "evictions",
    "expirations",
    "refreshes",
    "refresh_errors",
    "saved_seconds",
    "saved_cost",
    "saved_tokens",
)
"""All that only ever grows."""


class Counts:
    """Figures that grow; see `CacheStats` for their meaning."""

    __slots__ = COUNTED

    bypasses: int
    cancellations: int
    error_hits: int
    errors: int
    evictions: int
    expirations: int
    hits: int
    misses: int
    refresh_errors: int
    refreshes: int
    saved_cost: float
    saved_seconds: float
    saved_tokens: float
    shared_hits: int
    stale_hits: int
    waiters: int

    def __init__(self) -> None:
        for name in COUNTED:
            setattr(self, name, 0)


class CacheStats:
    """What a cache has done since it was made, or since its last reset; does not change.

    Each call that has ended is in exactly one of the first nine figures; `calls` is their sum.

    Args:
        figures: The figures, by name; those that are left out are zero.

    Attributes:
        hits: Calls answered with a result that was kept.
        stale_hits: Calls answered with a result that was past its time, as was asked for.
        shared_hits: Calls answered with a result from the store that other processes share.
        error_hits: Calls that raised an error that was kept.
        waiters: Calls answered by a run that another caller had begun.
        misses: Calls that ran the step and got its result.
        errors: Calls that raised what their own run, or the one they waited for, had raised.
        cancellations: Calls that were cancelled.
        bypasses: Calls whose input has no key; they ran the step and kept nothing.
        evictions: Results dropped to make room.
        expirations: Results dropped because they were too old.
        refreshes: Results that were renewed in the background.
        refresh_errors: Renewals in the background that failed.
        saved_seconds: What the hits would have taken, by the time that the kept results took.
        saved_cost: What they would have cost, by the cache's `cost=`.
        saved_tokens: The tokens they would have used, by the cache's `usage=`.
        size: Results that are kept now.
        weight: What they weigh, by the cache's `weigh=`; else as many as they are.

    Example:
        >>> CacheStats(hits=3, misses=1).hit_rate, CacheStats().hit_rate
        (0.75, 0.0)
    """

    __slots__ = (*COUNTED, "size", "weight")

    bypasses: int
    cancellations: int
    error_hits: int
    errors: int
    evictions: int
    expirations: int
    hits: int
    misses: int
    refresh_errors: int
    refreshes: int
    saved_cost: float
    saved_seconds: float
    saved_tokens: float
    shared_hits: int
    size: int
    stale_hits: int
    waiters: int
    weight: float

    def __init__(self, **figures: float) -> None:
        for name in self.__slots__:
            setattr(self, name, figures.pop(name, 0))
        if figures:
            message = f"CacheStats has no figure {', '.join(sorted(figures))}"
            raise TypeError(message)

    @property
    def calls(self) -> int:
        """Calls that have ended."""
        return sum(getattr(self, name) for name in OUTCOMES)

    @property
    def hit_rate(self) -> float:
        """Share of calls that were answered without a run of their own, from 0 to 1.

        Calls without a key, and cancelled ones, do not count; 0.0 before the first call.
        """
        answered = self.hits + self.stale_hits + self.shared_hits + self.error_hits + self.waiters
        looked_up = answered + self.misses + self.errors
        return answered / looked_up if looked_up else 0.0

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value:g}" for name in self.__slots__ if (value := getattr(self, name))
        )
        return f"CacheStats(hit_rate={self.hit_rate:.3f}{', ' if shown else ''}{shown})"
