"""The options of a Retry as type checkers see them; otherwise loaded only for an error's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tta_dev_primitives.recovery.classification.classify import RetryOn
    from tta_dev_primitives.recovery.classification.hints import Hint
    from tta_dev_primitives.recovery.retries.budget import RetryBudget
    from tta_dev_primitives.recovery.retries.options import OnRetry
    from tta_dev_primitives.recovery.retries.schedules import Jitter, Schedule

__all__ = ("RetryOptions", "RetryingOptions")


class RetryingOptions(TypedDict, total=False):
    """The options of `retrying`, which a Retry has as well; see `RetryPrimitive`."""

    max_attempts: int
    backoff_factor: float
    initial_delay: float
    max_delay: float | None
    jitter: Jitter
    schedule: Schedule | None
    on: RetryOn | None
    max_elapsed: float | None
    min_attempt_time: float
    hint: Hint | None
    max_hint: float
    budget: RetryBudget | None
    on_retry: OnRetry | None
    independent: bool
    rng: random.Random | None
    name: str | None


class RetryOptions(RetryingOptions, total=False):
    """The options of a Retry; see `RetryPrimitive`."""

    until: Callable[[Any], object] | None
