"""Working on while something fails: a circuit breaker that processes share, and retries."""

from __future__ import annotations

from tta_agent_coordination.resilience.circuit_breaker import CircuitBreaker, CircuitBreakerConfig
from tta_agent_coordination.resilience.retry import RetryConfig, retry_with_backoff

__all__ = ("CircuitBreaker", "CircuitBreakerConfig", "RetryConfig", "retry_with_backoff")
