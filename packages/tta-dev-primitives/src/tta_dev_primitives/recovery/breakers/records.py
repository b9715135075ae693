"""What a circuit breaker tells of itself: that its state changed, and how it stands.

Loaded when the first of them is made, so that importing a breaker does not pay for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.breakers.config import BreakerState

__all__ = ("BreakerStatistics", "StateChange")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A breaker has changed its state."""

    name: str
    """The breaker's name."""
    before: BreakerState
    """The state that it left."""
    after: BreakerState
    """The state that it is in."""
    at: float
    """When, in seconds on the breaker's clock."""
    reason: str
    """Why, in a few words: `5 failures in a row`, `by hand`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerStatistics:
    """How a breaker stands.

    The counts of calls are those of the window, which starts anew with each change of state; the
    totals go on until `reset()`.
    """

    name: str
    """The breaker's name."""
    state: BreakerState
    """Its state; one that is open becomes half-open with the first call after its time."""
    since: float
    """When it took on that state, in seconds on the breaker's clock."""
    retry_after: float | None
    """Seconds until it lets a call through; 0 where it does; None where that is not known."""
    consecutive_failures: int
    """Failures since the last success or change of state."""
    calls: int
    """Calls in the window; 0 without rates."""
    failures: int
    """Failed calls in the window."""
    slow_calls: int
    """Slow calls in the window."""
    probes: int
    """Probes that are under way."""
    rejected: int
    """Total of the calls that were not let through."""
    opened: int
    """How often it opened, by itself or by hand."""
    late: int
    """Total of the failures and slow calls that came after the period in which they began; they do
    not count."""

    @property
    def failure_rate(self) -> float:
        """The fraction of the window's calls that failed; 0 where there are none."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_call_rate(self) -> float:
        """The fraction of the window's calls that were slow; 0 where there are none."""
        return self.slow_calls / self.calls if self.calls else 0.0
