"""How soon a call is refused: by an open breaker, a full bulkhead, a limiter with nothing left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

from tta_dev_primitives import CircuitBreakerPrimitive
from tta_dev_primitives.errors import CircuitOpenError, RejectedError
from tta_dev_primitives.recovery import (
    Bulkhead,
    BulkheadPrimitive,
    Rate,
    RateLimiter,
    RateLimitPrimitive,
)

from .beside import beside
from .observing import MODES, observed
from .row import Row
from .subjects import passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .measure import Effort, Timed
    from .row import Measured, Peers

__all__ = ("rows",)

_Made: TypeAlias = "Callable[[], Any]"

_BUDGET = 1.2
_LONG = 1e6  # seconds that never pass
_REFUSED = "refused"
_NAME = "by hand"


def rows() -> Iterator[Row]:
    """Yield a row for each wrapper that refuses."""
    yield _row("breaker", "CircuitBreaker, open", _breaker, _OpenByHand)
    yield _row("bulkhead", "Bulkhead, full", _bulkhead, _FullByHand)
    yield _row("rate-limit", "RateLimit, used up", _rate_limit, _UsedUpByHand)


def _row(key: str, title: str, make: _Made, by_hand: _Made) -> Row:
    async def measure(effort: Effort, peers: Peers) -> Measured:
        del peers
        with observed("off"):
            floor, ours = _refused(by_hand().execute), _refused(make().execute)
            return await beside(floor, ours, effort, {}, lambda _: None)

    return Row(
        key=f"wrapper.rejection.{key}",
        title=f"{title}: a call that is refused, {MODES['off']}",
        against="the least that can refuse, written by hand",
        unit="x",
        budget=_BUDGET,
        measure=measure,
    )


def _refused(call: Timed) -> Timed:
    """Return what calls and is refused, as a caller with something else to do sees it."""

    async def run(value: int) -> str:
        try:
            await call(value)
        except (CircuitOpenError, RejectedError):
            return _REFUSED
        return "let through"

    return run


def _breaker() -> Any:
    breaker = CircuitBreakerPrimitive(passes, recovery_timeout=_LONG)
    breaker.breaker.open()
    return breaker


def _bulkhead() -> Any:
    pool = Bulkhead(1, max_queue=0)
    pool.try_acquire()
    return BulkheadPrimitive(passes, bulkhead=pool)


def _rate_limit() -> Any:
    limiter = RateLimiter(Rate(1, per=_LONG), max_wait=0)
    limiter.try_acquire()
    return RateLimitPrimitive(passes, limiter=limiter)


class _OpenByHand:
    """Refuses until its time is over, and tells how long that is."""

    def __init__(self) -> None:
        self.until = time.monotonic() + _LONG

    async def execute(self, value: int) -> int:
        left = self.until - time.monotonic()
        if left > 0:
            raise CircuitOpenError(_NAME, left)
        return await passes(value)


class _FullByHand:
    """Refuses whoever finds no place."""

    def __init__(self) -> None:
        self.running = self.limit = 1

    async def execute(self, value: int) -> int:
        if self.running >= self.limit:
            raise RejectedError(_NAME)
        return await passes(value)


class _UsedUpByHand:
    """Refuses by the generic cell rate algorithm, and tells for how long."""

    def __init__(self) -> None:
        self.interval = _LONG
        self.due = time.monotonic() + _LONG

    async def execute(self, value: int) -> int:
        now = time.monotonic()
        due = max(self.due, now) + self.interval
        wait = due - now - self.interval
        if wait > 0:
            raise RejectedError(_NAME, retry_after=wait)
        self.due = due
        return await passes(value)
