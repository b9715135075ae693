"""Recovery: what happens when a step fails or takes too long, and what keeps load in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.adaptive import AdaptivePrimitive as AdaptivePrimitive
    from tta_dev_primitives.recovery.alternatives import FallbackEvent as FallbackEvent
    from tta_dev_primitives.recovery.breaker import Breaker as Breaker
    from tta_dev_primitives.recovery.breaker_config import BreakerConfig as BreakerConfig
    from tta_dev_primitives.recovery.breaker_store import BreakerStore as BreakerStore
    from tta_dev_primitives.recovery.breaker_store import MemoryBreakerStore as MemoryBreakerStore
    from tta_dev_primitives.recovery.budget import RetryBudget as RetryBudget
    from tta_dev_primitives.recovery.bulkhead import Bulkhead as Bulkhead
    from tta_dev_primitives.recovery.bulkhead import BulkheadPrimitive as BulkheadPrimitive
    from tta_dev_primitives.recovery.circuit_breaker import CircuitBreaker as CircuitBreaker
    from tta_dev_primitives.recovery.circuit_breaker import (
        CircuitBreakerPrimitive as CircuitBreakerPrimitive,
    )
    from tta_dev_primitives.recovery.classify import ErrorKind as ErrorKind
    from tta_dev_primitives.recovery.classify import classify_error as classify_error
    from tta_dev_primitives.recovery.classify import classify_with as classify_with
    from tta_dev_primitives.recovery.compensation import (
        CompensationPrimitive as CompensationPrimitive,
    )
    from tta_dev_primitives.recovery.compensation import Saga as Saga
    from tta_dev_primitives.recovery.compensation import saga_key as saga_key
    from tta_dev_primitives.recovery.concurrency_limits import AIMDLimit as AIMDLimit
    from tta_dev_primitives.recovery.concurrency_limits import GradientLimit as GradientLimit
    from tta_dev_primitives.recovery.deadline import remaining as remaining
    from tta_dev_primitives.recovery.fallback import Fallback as Fallback
    from tta_dev_primitives.recovery.fallback import FallbackPrimitive as FallbackPrimitive
    from tta_dev_primitives.recovery.gcra import Rate as Rate
    from tta_dev_primitives.recovery.hedge import Hedge as Hedge
    from tta_dev_primitives.recovery.hedge import HedgePrimitive as HedgePrimitive
    from tta_dev_primitives.recovery.hedge_budget import HedgeBudget as HedgeBudget
    from tta_dev_primitives.recovery.journal import FileJournal as FileJournal
    from tta_dev_primitives.recovery.journal import MemoryJournal as MemoryJournal
    from tta_dev_primitives.recovery.journal import SagaJournal as SagaJournal
    from tta_dev_primitives.recovery.limiter import RateLimiter as RateLimiter
    from tta_dev_primitives.recovery.percentile import Percentile as Percentile
    from tta_dev_primitives.recovery.rate_limit import RateLimitPrimitive as RateLimitPrimitive
    from tta_dev_primitives.recovery.retry import Retry as Retry
    from tta_dev_primitives.recovery.retry import RetryPrimitive as RetryPrimitive
    from tta_dev_primitives.recovery.retry_loop import retrying as retrying
    from tta_dev_primitives.recovery.saga_recovery import SagaReport as SagaReport
    from tta_dev_primitives.recovery.throttle import Throttle as Throttle
    from tta_dev_primitives.recovery.throttle import ThrottlePrimitive as ThrottlePrimitive
    from tta_dev_primitives.recovery.timeout import Timeout as Timeout
    from tta_dev_primitives.recovery.timeout import TimeoutPrimitive as TimeoutPrimitive
    from tta_dev_primitives.recovery.timeout_limit import AdaptiveLimit as AdaptiveLimit

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
    "AIMDLimit": "concurrency_limits",
    "AdaptiveLimit": "timeout_limit",
    "AdaptivePrimitive": "adaptive",
    "Breaker": "breaker",
    "BreakerConfig": "breaker_config",
    "BreakerStore": "breaker_store",
    "Bulkhead": "bulkhead",
    "BulkheadPrimitive": "bulkhead",
    "CircuitBreaker": "circuit_breaker",
    "CircuitBreakerPrimitive": "circuit_breaker",
    "CompensationPrimitive": "compensation",
    "ErrorKind": "classify",
    "Fallback": "fallback",
    "FallbackEvent": "alternatives",
    "FallbackPrimitive": "fallback",
    "FileJournal": "journal",
    "GradientLimit": "concurrency_limits",
    "Hedge": "hedge",
    "HedgeBudget": "hedge_budget",
    "HedgePrimitive": "hedge",
    "MemoryBreakerStore": "breaker_store",
    "MemoryJournal": "journal",
    "Percentile": "percentile",
    "Rate": "gcra",
    "RateLimitPrimitive": "rate_limit",
    "RateLimiter": "limiter",
    "Retry": "retry",
    "RetryBudget": "budget",
    "RetryPrimitive": "retry",
    "Saga": "compensation",
    "SagaJournal": "journal",
    "SagaReport": "saga_recovery",
    "Throttle": "throttle",
    "ThrottlePrimitive": "throttle",
    "Timeout": "timeout",
    "TimeoutPrimitive": "timeout",
    "classify_error": "classify",
    "classify_with": "classify",
    "remaining": "deadline",
    "retrying": "retry_loop",
    "saga_key": "compensation",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
