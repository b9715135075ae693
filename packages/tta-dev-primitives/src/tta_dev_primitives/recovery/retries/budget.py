"""`RetryBudget`: a bound on retries over all calls, so that an outage does not multiply them."""

from __future__ import annotations

from threading import Lock
from typing import cast

from tta_dev_primitives.core.base import is_count
from tta_dev_primitives.errors import ConfigurationError

__all__ = ("RetryBudget",)

_UNIT = 1_000_000  # one retry; kept as whole millionths, so that ten tenths are one


class RetryBudget:
    """Retries that calls earn by succeeding, and spend by failing.

    There are `floor` retries at first. Each call that succeeds in the end earns `ratio` of one,
    until `capacity` are saved; each retry takes one. When none is left, a failure comes out without
    a retry, until calls succeed again. So over any time there are at most `capacity` plus `ratio`
    for each success retries: with everything failing, calls are hardly multiplied at all. A first
    attempt is never stopped.

    Nothing is spent by a call that is cancelled in its first attempt or in a pause (a retry that
    has begun counts, whatever becomes of it), or by an attempt that a circuit breaker, bulkhead or
    limiter of this package rejects.

    One budget can serve any number of Retries, in any number of threads and event loops; those
    that call the same service should share one. Counting is exact, to a millionth of a retry. A
    copy, or one that was pickled, is a new budget.

    Args:
        ratio: Retries that each success earns; more than 0, at most 1. Default: 0.1.
        floor: Retries that are there before anything has succeeded; at least 1. Default: 10.
        capacity: The most retries that are saved; at least `floor`. Default: 100, or `floor` where
            that is more.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> budget = RetryBudget(ratio=0.5, floor=1)
        >>> budget.take(), budget.take()
        (True, False)
        >>> budget.earn(), budget.earn(), budget.take()
        (None, None, True)
    """

    __slots__ = ("_full", "_lock", "_saved", "_share", "capacity", "floor", "ratio")

    def __init__(self, *, ratio: float = 0.1, floor: int = 10, capacity: int | None = None) -> None:
        given = cast("object", ratio)
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < ratio <= 1:
            message = f"ratio must be a fraction, more than 0 and at most 1, not {ratio!r:.60}"
            raise ConfigurationError(message)
        if not is_count(floor) or floor < 1:
            message = f"floor must be a whole number of at least 1, not {floor!r:.60}"
            raise ConfigurationError(message)
        if capacity is None:
            capacity = max(_CAPACITY, floor)
        elif not is_count(capacity) or capacity < floor:
            message = (
                f"capacity must be a whole number of at least floor ({floor}), not {capacity!r:.60}"
            )
            raise ConfigurationError(message)
        self.ratio: float = ratio
        self.floor: int = floor
        self.capacity: int = capacity
        self._share = max(1, round(ratio * _UNIT))
        self._full = capacity * _UNIT
        self._saved = floor * _UNIT
        self._lock = Lock()

    @property
    def left(self) -> float:
        """How many retries are left now."""
        return self._saved / _UNIT

    def take(self) -> bool:
        """Take one retry; returns whether there was one."""
        with self._lock:
            if self._saved < _UNIT:
                return False
            self._saved -= _UNIT
            return True

    def give_back(self) -> None:
        """Give back a retry that was taken and not made."""
        with self._lock:
            self._saved = min(self._saved + _UNIT, self._full)

    def earn(self) -> None:
        """Count a call that succeeded."""
        # Read without the lock: a success at a full budget changes nothing, so if a retry is taken
        # at this moment, the success just came before it.
        if self._saved < self._full:
            with self._lock:
                self._saved = min(self._saved + self._share, self._full)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.ratio, self.floor, self.capacity)

    def __repr__(self) -> str:
        return (
            f"RetryBudget(ratio={self.ratio!r}, floor={self.floor}, capacity={self.capacity}, "
            f"left={self.left:g})"
        )


_CAPACITY = 100


def _rebuild(ratio: float, floor: int, capacity: int) -> RetryBudget:
    return RetryBudget(ratio=ratio, floor=floor, capacity=capacity)
