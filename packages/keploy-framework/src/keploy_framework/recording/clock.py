"""Time for recorders: when an exchange began, and how far apart its pieces came."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ("Clock", "SystemClock")


class Clock(Protocol):
    """Tells the time twice: for people, and for measuring."""

    def wall_ns(self) -> int:
        """Return the nanoseconds since the epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backward."""
        ...


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    def wall_ns(self) -> int:
        """Return the nanoseconds since the epoch (UTC)."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds that never go backward."""
        return time.perf_counter()
