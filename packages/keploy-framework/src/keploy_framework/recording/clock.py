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

    # The functions themselves: a call of one more costs more than what it does.
    wall_ns: staticmethod[[], int] = staticmethod(time.time_ns)
    monotonic: staticmethod[[], float] = staticmethod(time.perf_counter)
