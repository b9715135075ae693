"""Recovery: what happens when a step fails or takes too long."""

from __future__ import annotations

from tta_dev_primitives.recovery.fallback import Fallback, FallbackPrimitive
from tta_dev_primitives.recovery.retry import Retry, RetryPrimitive
from tta_dev_primitives.recovery.timeout import Timeout, TimeoutPrimitive

__all__ = (
    "Fallback",
    "FallbackPrimitive",
    "Retry",
    "RetryPrimitive",
    "Timeout",
    "TimeoutPrimitive",
)
