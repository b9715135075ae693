"""Windows over the latest calls: how many there were, how many failed, how many were slow.

One counts calls, the other goes back in time. Both are told the time and read no clock.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ("CountWindow", "TimeWindow", "Window")

_BUCKETS = 10
_FAILED = 1
_SLOW = 2


class CountWindow:
    """The latest `size` calls.

    Args:
        size: How many calls are remembered, at least 1; one byte each.

    Example:
        >>> window = CountWindow(2)
        >>> for failed in (True, True, False):
        ...     window.add(0.0, failed=failed, slow=False)
        >>> window.calls, window.failures
        (2, 1)
    """

    __slots__ = ("_at", "_marks", "calls", "failures", "slow")

    def __init__(self, size: int) -> None:
        self._marks = bytearray(size)
        self._at = 0
        self.calls: int = 0
        """How many calls the window holds."""
        self.failures: int = 0
        """How many of them failed."""
        self.slow: int = 0
        """How many of them took long, whether they failed or not."""

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Take a call that ended now; the oldest one goes where the window is full."""
        del now
        marks, at = self._marks, self._at
        if self.calls == len(marks):
            oldest = marks[at]
            self.failures -= oldest & _FAILED
            self.slow -= (oldest & _SLOW) >> 1
        else:
            self.calls += 1
        marks[at] = (_FAILED if failed else 0) | (_SLOW if slow else 0)
        self.failures += failed
        self.slow += slow
        self._at = (at + 1) % len(marks)

    def trim(self, now: float) -> None:
        """Do nothing: calls do not grow old here."""

    def clear(self) -> None:
        """Forget all calls."""
        self._at = self.calls = self.failures = self.slow = 0


class TimeWindow:
    """The calls of the last `seconds`, forgotten in tenths: memory does not grow with the traffic.

    A call counts for at least nine tenths of the window's length and at most for all of it. A
    reading that is older than one before (two threads may read in one order and arrive in the
    other) counts as if it were that one.

    Args:
        seconds: How far back it reaches, more than zero.

    Example:
        >>> window = TimeWindow(10.0)
        >>> window.add(0.0, failed=True, slow=False)
        >>> window.add(5.0, failed=False, slow=True)
        >>> window.trim(12.0)
        >>> window.calls, window.failures, window.slow
        (1, 0, 1)
    """

    __slots__ = ("_buckets", "_latest", "_width", "calls", "failures", "slow")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._latest: int | None = None
        self._buckets: list[list[int]] = [[0, 0, 0] for _ in range(_BUCKETS)]
        self.calls: int = 0
        """How many calls the window holds."""
        self.failures: int = 0
        """How many of them failed."""
        self.slow: int = 0
        """How many of them took long, whether they failed or not."""

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Take a call that ended now."""
        bucket = self._buckets[self._advance(now) % _BUCKETS]
        bucket[0] += 1
        bucket[1] += failed
        bucket[2] += slow
        self.calls += 1
        self.failures += failed
        self.slow += slow

    def trim(self, now: float) -> None:
        """Forget the calls that are too old by now."""
        self._advance(now)

    def clear(self) -> None:
        """Forget all calls."""
        self._latest = None
        for bucket in self._buckets:
            bucket[:] = (0, 0, 0)
        self.calls = self.failures = self.slow = 0

    def _advance(self, now: float) -> int:
        """Empty the buckets whose time is over; return the number of the present one."""
        number = int(now // self._width)
        latest = self._latest
        if latest is None:
            latest = number
        for passed in range(min(number - latest, _BUCKETS)):
            bucket = self._buckets[(number - passed) % _BUCKETS]
            self.calls -= bucket[0]
            self.failures -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._latest = max(number, latest)
        return self._latest


Window: TypeAlias = "CountWindow | TimeWindow"
"""Either of them."""
