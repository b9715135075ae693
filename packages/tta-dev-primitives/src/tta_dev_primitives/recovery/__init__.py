"""Recovery: what happens when a step fails or takes too long, and what keeps load in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.adaptive import AdaptivePrimitive as AdaptivePrimitive
    from tta_dev_primitives.recovery.breakers.breaker import Breaker as Breaker
    from tta_dev_primitives.recovery.breakers.config import BreakerConfig as BreakerConfig
    from tta_dev_primitives.recovery.breakers.store import BreakerStore as BreakerStore
    from tta_dev_primitives.recovery.breakers.store import MemoryBreakerStore as MemoryBreakerStore
    from tta_dev_primitives.recovery.bulkhead import Bulkhead as Bulkhead
    from tta_dev_primitives.recovery.bulkhead import BulkheadPrimitive as BulkheadPrimitive
    from tta_dev_primitives.recovery.circuit_breaker import CircuitBreaker as CircuitBreaker
    from tta_dev_primitives.recovery.circuit_breaker import (
        CircuitBreakerPrimitive as CircuitBreakerPrimitive,
    )
    from tta_dev_primitives.recovery.classification.classify import ErrorKind as ErrorKind
    from tta_dev_primitives.recovery.classification.classify import classify_error as classify_error
    from tta_dev_primitives.recovery.classification.classify import classify_with as classify_with
    from tta_dev_primitives.recovery.compensation import (
        CompensationPrimitive as CompensationPrimitive,
    )
    from tta_dev_primitives.recovery.compensation import Saga as Saga
    from tta_dev_primitives.recovery.compensation import saga_key as saga_key
    from tta_dev_primitives.recovery.deadlines.deadline import remaining as remaining
    from tta_dev_primitives.recovery.deadlines.limit import AdaptiveLimit as AdaptiveLimit
    from tta_dev_primitives.recovery.fallback import Fallback as Fallback
    from tta_dev_primitives.recovery.fallback import FallbackPrimitive as FallbackPrimitive
    from tta_dev_primitives.recovery.fallbacks.alternatives import FallbackEvent as FallbackEvent
    from tta_dev_primitives.recovery.hedge import Hedge as Hedge
    from tta_dev_primitives.recovery.hedge import HedgePrimitive as HedgePrimitive
    from tta_dev_primitives.recovery.load.concurrency import AIMDLimit as AIMDLimit
    from tta_dev_primitives.recovery.load.concurrency import GradientLimit as GradientLimit
    from tta_dev_primitives.recovery.load.gcra import Rate as Rate
    from tta_dev_primitives.recovery.load.hedge_budget import HedgeBudget as HedgeBudget
    from tta_dev_primitives.recovery.load.limiter import RateLimiter as RateLimiter
    from tta_dev_primitives.recovery.load.percentile import Percentile as Percentile
    from tta_dev_primitives.recovery.rate_limit import RateLimitPrimitive as RateLimitPrimitive
    from tta_dev_primitives.recovery.retries.budget import RetryBudget as RetryBudget
    from tta_dev_primitives.recovery.retries.loop import retrying as retrying
    from tta_dev_primitives.recovery.retry import Retry as Retry
    from tta_dev_primitives.recovery.retry import RetryPrimitive as RetryPrimitive
    from tta_dev_primitives.recovery.saga.journal import FileJournal as FileJournal
    from tta_dev_primitives.recovery.saga.journal import MemoryJournal as MemoryJournal
    from tta_dev_primitives.recovery.saga.journal import SagaJournal as SagaJournal
    from tta_dev_primitives.recovery.saga.recovery import SagaReport as SagaReport
    from tta_dev_primitives.recovery.throttle import Throttle as Throttle
    from tta_dev_primitives.recovery.throttle import ThrottlePrimitive as ThrottlePrimitive
    from tta_dev_primitives.recovery.timeout import Timeout as Timeout
    from tta_dev_primitives.recovery.timeout import TimeoutPrimitive as TimeoutPrimitive

__all__ = (
    "AIMDLimit",
    "AdaptiveLimit",
    "AdaptivePrimitive",
    "Breaker",
    "BreakerConfig",
    "BreakerStore",
    "Bulkhead",
    "BulkheadPrimitive",
    "CircuitBreaker",
    "CircuitBreakerPrimitive",
    "CompensationPrimitive",
    "ErrorKind",
    "Fallback",
    "FallbackEvent",
    "FallbackPrimitive",
    "FileJournal",
    "GradientLimit",
    "Hedge",
    "HedgeBudget",
    "HedgePrimitive",
    "MemoryBreakerStore",
    "MemoryJournal",
    "Percentile",
    "Rate",
    "RateLimitPrimitive",
    "RateLimiter",
    "Retry",
    "RetryBudget",
    "RetryPrimitive",
    "Saga",
    "SagaJournal",
    "SagaReport",
    "Throttle",
    "ThrottlePrimitive",
    "Timeout",
    "TimeoutPrimitive",
    "classify_error",
    "classify_with",
    "remaining",
    "retrying",
    "saga_key",
)

_PLACES = {
    "AIMDLimit": "load.concurrency",
    "AdaptiveLimit": "deadlines.limit",
    "AdaptivePrimitive": "adaptive",
    "Breaker": "breakers.breaker",
    "BreakerConfig": "breakers.config",
    "BreakerStore": "breakers.store",
    "Bulkhead": "bulkhead",
    "BulkheadPrimitive": "bulkhead",
    "CircuitBreaker": "circuit_breaker",
    "CircuitBreakerPrimitive": "circuit_breaker",
    "CompensationPrimitive": "compensation",
    "ErrorKind": "classification.classify",
    "Fallback": "fallback",
    "FallbackEvent": "fallbacks.alternatives",
    "FallbackPrimitive": "fallback",
    "FileJournal": "saga.journal",
    "GradientLimit": "load.concurrency",
    "Hedge": "hedge",
    "HedgeBudget": "load.hedge_budget",
    "HedgePrimitive": "hedge",
    "MemoryBreakerStore": "breakers.store",
    "MemoryJournal": "saga.journal",
    "Percentile": "load.percentile",
    "Rate": "load.gcra",
    "RateLimitPrimitive": "rate_limit",
    "RateLimiter": "load.limiter",
    "Retry": "retry",
    "RetryBudget": "retries.budget",
    "RetryPrimitive": "retry",
    "Saga": "compensation",
    "SagaJournal": "saga.journal",
    "SagaReport": "saga.recovery",
    "Throttle": "throttle",
    "ThrottlePrimitive": "throttle",
    "Timeout": "timeout",
    "TimeoutPrimitive": "timeout",
    "classify_error": "classification.classify",
    "classify_with": "classification.classify",
    "remaining": "deadlines.deadline",
    "retrying": "retries.loop",
    "saga_key": "compensation",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
