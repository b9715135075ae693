"""hyx: one decorator for each kind of recovery."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import CONCURRENCY, PLENTY

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)


def _module(name: str) -> Any:
    """Import by name, since it need not be there when types are checked."""
    return importlib.import_module(f"hyx.{name}")


breakers: Any = _module("circuitbreaker")
bulkheads: Any = _module("bulkhead")
limits: Any = _module("ratelimit")
retries: Any = _module("retry")


def _retry(step: Step) -> Step:
    wrapped: Step = retries.retry(on=OSError, attempts=3)(step)
    return wrapped


def _breaker(step: Step) -> Step:
    wrapped: Step = breakers.consecutive_breaker(failure_threshold=5)(step)
    return wrapped


def _bulkhead(step: Step) -> Step:
    wrapped: Step = bulkheads.bulkhead(CONCURRENCY, 10 * CONCURRENCY)(step)
    return wrapped


def _rate_limit(step: Step) -> Step:
    wrapped: Step = limits.tokenbucket(PLENTY, 1.0)(step)
    return wrapped


SUBJECT: Guard = {
    "retry": _retry,
    "breaker": _breaker,
    "bulkhead": _bulkhead,
    "rate-limit": _rate_limit,
}
