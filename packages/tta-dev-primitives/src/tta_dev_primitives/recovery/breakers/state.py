"""`Circuit`: the state machine of a circuit breaker, without a clock, a loop or a lock.

It is told the time and what happened, and says what follows. Each change of state begins a new
generation; a call carries the number of the generation in which it was let through, and what
becomes of it counts only while that generation lasts. So a call that hung through an outage can
neither open the breaker again with its late failure, nor close it with its late success.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from tta_dev_primitives.recovery.breakers.windows import CountWindow, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.breakers.config import BreakerConfig, BreakerState, CallOutcome
    from tta_dev_primitives.recovery.breakers.records import BreakerStatistics
    from tta_dev_primitives.recovery.breakers.windows import Window

__all__ = ("REJECTED", "Circuit")

REJECTED = -1
"""What is given in place of a permit; a permit is zero or more."""


class Circuit:
    """What a breaker knows, and its decisions; not for several threads at once.

    Args:
        config: When it opens, for how long, and what closes it.
        now: Seconds, on any monotonic clock.

    Example:
        >>> from tta_dev_primitives.recovery.breakers.config import BreakerConfig
        >>> circuit = Circuit(BreakerConfig(failure_threshold=1, recovery_timeout=10.0), now=0.0)
        >>> permit = circuit.admit(0.0)
        >>> circuit.settle(permit, "failure", 1.0)
        >>> circuit.state, circuit.admit(2.0) == REJECTED, circuit.wait(2.0)
        ('open', True, 9.0)
        >>> probe = circuit.admit(11.0)
        >>> circuit.settle(probe, "success", 12.0)
        >>> circuit.state
        'closed'
    """

    __slots__ = (
        "_failures",
        "_generation",
        "_late",
        "_opened",
        "_probes",
        "_readings",
        "_successes",
        "_window",
        "attentive",
        "changes",
        "config",
        "count_rejection",
        "passing",
        "shut",
        "since",
        "state",
    )

    def __init__(self, config: BreakerConfig, now: float) -> None:
        self.config: BreakerConfig = config
        self.state: BreakerState = "closed"
        """The state; one that is open becomes half-open by the first `admit` after its time."""
        self.since: float = now
        """When the state began."""
        self.passing: int = 0
        """The permit of every call while closed, else `REJECTED`: read it in place of `admit`."""
        self.attentive: bool = False
        """Whether a success has to be settled; while it does not, nothing would change."""
        self.changes: list[tuple[BreakerState, BreakerState, float, str]] = []
        """What changed and was not told yet: before, after, when, why."""
        self._generation = 0
        self.shut: float = -math.inf
        """While open: when a call is let through. Before that, every call is rejected."""
        self._failures = 0  # in a row
        self._probes = 0
        self._successes = 0  # of probes
        # One step of the interpreter each, so that threads count right without a lock. To read it
        # is to count as well, so readings are taken off again.
        self.count_rejection: Callable[[], int] = itertools.count().__next__
        """Count a call that was rejected because of `shut`."""
        self._readings = 0
        self._opened = 0
        self._late = 0
        self._window: Window | None = None
        if config.window_seconds is not None:
            self._window = TimeWindow(config.window_seconds)
        elif config.window_calls is not None:
            self._window = CountWindow(config.window_calls)
        self.attentive = self._window is not None

    def admit(self, now: float) -> int:
        """Let a call through or reject it.

        Returns:
            The permit, which must be given to `settle` once; or `REJECTED`.
        """
        state = self.state
        if now < self.shut:
            self.count_rejection()
            return REJECTED
        if state == "closed":
            return self._generation
        if state == "open":
            self._become("half_open", now, "the recovery time is over")
        elif state == "half_open" and now - self.since >= self.config.half_open_timeout:
            self._become("open", now, "no decision while half-open")
        if self.state != "half_open" or self._probes >= self.config.half_open_max_calls:
            self.count_rejection()
            return REJECTED
        self._probes += 1
        return self._generation

    def settle(self, permit: int, outcome: CallOutcome, now: float) -> None:
        """Take the result of a call that was let through.

        Args:
            permit: What `admit` gave.
            outcome: How the call ended.
            now: Seconds, on the clock of `admit`.
        """
        failed = outcome in {"failure", "slow_failure"}
        slow = outcome in {"slow", "slow_failure"}
        if permit != self._generation:
            self._late += failed or slow
            return
        if self.state == "half_open":
            self._probes -= 1
            if outcome != "cancelled":
                self._settle_probe(
                    now, well=not failed and not (slow and self.config.slow_call_rate is not None)
                )
        elif outcome != "cancelled":
            self._settle_call(now, failed=failed, slow=slow)

    def wait(self, now: float) -> float | None:
        """Return the seconds until a call is let through: 0 if it is; None if that is not known."""
        if self.state == "closed":
            return 0.0
        if self.state == "open":
            return max(0.0, self.shut - now)
        if self.state == "half_open" and self._probes < self.config.half_open_max_calls:
            return 0.0
        return None

    # --- by hand ----------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Reject calls until the recovery time is over, counted from now."""
        self._become("open", now, "by hand")

    def isolate(self, now: float) -> None:
        """Reject calls until `close` or `reset`."""
        self._become("isolated", now, "by hand")

    def close(self, now: float) -> None:
        """Let calls through and count anew."""
        self._become("closed", now, "by hand")

    def reset(self, now: float) -> None:
        """Close, and forget the totals as well."""
        self.close(now)
        self.count_rejection = itertools.count().__next__
        self._readings = self._opened = self._late = 0

    def statistics(self, name: str, now: float) -> BreakerStatistics:
        """Return how it stands.

        Args:
            name: The breaker's name.
            now: Seconds, on the clock of `admit`.
        """
        from tta_dev_primitives.recovery.breakers.records import BreakerStatistics  # noqa: PLC0415 - on demand

        window = self._window
        if window is not None:
            window.trim(now)
        rejected = self.count_rejection() - self._readings
        self._readings += 1
        return BreakerStatistics(
            name=name,
            state=self.state,
            since=self.since,
            retry_after=self.wait(now),
            consecutive_failures=self._failures,
            calls=0 if window is None else window.calls,
            failures=0 if window is None else window.failures,
            slow_calls=0 if window is None else window.slow,
            probes=self._probes,
            rejected=rejected,
            opened=self._opened,
            late=self._late,
        )

    # --- decisions --------------------------------------------------------------------------

    def _settle_probe(self, now: float, *, well: bool) -> None:
        if not well:
            self._become("open", now, "a probe failed")
            return
        self._successes += 1
        if self._successes >= self.config.success_threshold:
            self._become("closed", now, _counted(self._successes, "successful probe"))

    def _settle_call(self, now: float, *, failed: bool, slow: bool) -> None:
        config, window = self.config, self._window
        if failed:
            self._failures += 1
            self.attentive = True
        elif self._failures:
            self._failures = 0
            self.attentive = window is not None
        if window is not None:
            window.add(now, failed=failed, slow=slow)
        if config.failure_threshold is not None and self._failures >= config.failure_threshold:
            self._become("open", now, f"{_counted(self._failures, 'failure')} in a row")
            return
        if window is None or window.calls < (config.minimum_calls or 1):
            return
        for rate, count, what in (
            (config.failure_rate, window.failures, "failed"),
            (config.slow_call_rate, window.slow, "were slow"),
        ):
            if rate is not None and count / window.calls >= rate:
                self._become("open", now, f"{count} of {_counted(window.calls, 'call')} {what}")
                return

    def _become(self, state: BreakerState, now: float, reason: str) -> None:
        before = self.state
        self.passing = REJECTED  # first, for it is read without the lock
        self._generation += 1
        self._failures = self._probes = self._successes = 0
        if self._window is not None:
            self._window.clear()
        self.state = state
        self.since = now
        self.shut = now + self.config.recovery_timeout if state == "open" else -math.inf
        if state == "open":
            self._opened += 1
        self.attentive = state != "closed" or self._window is not None
        if state == "closed":
            self.passing = self._generation
        if before != state:
            self.changes.append((before, state, now, reason))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
