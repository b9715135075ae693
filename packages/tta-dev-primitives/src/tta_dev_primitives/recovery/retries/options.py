"""What a Retry can be told: its options, checked, and what its hook gets."""

from __future__ import annotations

import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tta_dev_primitives.core.base import MISSING, check_name
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.classification.classify import matcher
from tta_dev_primitives.recovery.retries.budget import RetryBudget
from tta_dev_primitives.recovery.retries.schedules import (
    check_factor,
    check_schedule,
    constant,
    exponential,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.recovery.classification.classify import RetryOn
    from tta_dev_primitives.recovery.classification.hints import Hint
    from tta_dev_primitives.recovery.retries.schedules import Jitter, Schedule

__all__ = ("OnRetry", "Policy", "RetryEvent")

_MAX_DELAY = 30.0
_MAX_HINT = 60.0


class RetryEvent:
    """What `on_retry` is told of an attempt that failed and will be followed by another.

    Attributes:
        name: The name of the Retry.
        attempt: The number of the attempt that failed, from 1.
        error: What it raised; None if it gave a result that `until` does not accept.
        result: That result; None if it raised.
        delay: The pause before the next attempt, in seconds.
        elapsed: Seconds since the Retry began.
    """

    __slots__ = ("attempt", "delay", "elapsed", "error", "name", "result")

    def __init__(
        self,
        *,
        name: str,
        attempt: int,
        error: Exception | None,
        result: object,
        delay: float,
        elapsed: float,
    ) -> None:
        self.name: str = name
        self.attempt: int = attempt
        self.error: Exception | None = error
        self.result: object = result
        self.delay: float = delay
        self.elapsed: float = elapsed

    def __repr__(self) -> str:
        what = f"result={self.result!r:.60}" if self.error is None else f"error={self.error!r:.60}"
        return (
            f"RetryEvent(name={self.name!r}, attempt={self.attempt}, {what}, "
            f"delay={self.delay:.3f}, elapsed={self.elapsed:.3f})"
        )


OnRetry: TypeAlias = "Callable[[RetryEvent], Awaitable[object] | object]"
"""A hook, synchronous or asynchronous."""


class Policy:
    """The checked options of a Retry.

    Raises:
        ConfigurationError: An option is out of range, or contradicts another.
        TypeError: There is no such option.
    """

    __slots__ = (
        "budget",
        "hint",
        "independent",
        "limit",
        "max_elapsed",
        "max_hint",
        "min_attempt_time",
        "name",
        "on",
        "on_retry",
        "retryable",
        "rng",
        "schedule",
        "until",
    )

    def __init__(
        self,
        *,
        max_attempts: int = 3,
        backoff_factor: float = MISSING,
        initial_delay: float = MISSING,
        max_delay: float | None = MISSING,
        jitter: Jitter = MISSING,
        schedule: Schedule | None = None,
        on: RetryOn | None = None,
        until: Callable[[Any], object] | None = None,
        max_elapsed: float | None = None,
        min_attempt_time: float = 0.0,
        hint: Hint | None = None,
        max_hint: float = _MAX_HINT,
        budget: RetryBudget | None = None,
        on_retry: OnRetry | None = None,
        independent: bool = False,
        rng: random.Random | None = None,
        name: str | None = None,
        **unknown: object,
    ) -> None:
        if unknown:
            raise TypeError(_unknown_message(sorted(unknown)))
        self.limit: int = check_count("max_attempts", max_attempts)
        backoff: dict[str, Any] = {
            option: value
            for option, value in (
                ("backoff_factor", backoff_factor),
                ("initial_delay", initial_delay),
                ("max_delay", max_delay),
                ("jitter", jitter),
            )
            if value is not MISSING
        }
        if schedule is None:
            self.schedule: Schedule = _backoff(**backoff)
        elif backoff:
            message = f"schedule and {', '.join(backoff)} contradict each other; give one of them"
            raise ConfigurationError(message)
        else:
            self.schedule = check_schedule("schedule", schedule)
        self.on: RetryOn | None = on
        self.retryable: Callable[[Exception], bool] = matcher(on)
        self.until: Callable[[Any], object] | None = _function("until", until)
        self.max_elapsed: float | None = (
            None if max_elapsed is None else check_seconds("max_elapsed", max_elapsed)
        )
        self.min_attempt_time: float = check_seconds(
            "min_attempt_time", min_attempt_time, zero=True
        )
        if max_elapsed is not None and self.min_attempt_time >= max_elapsed:
            message = (
                f"min_attempt_time ({min_attempt_time!r}) leaves no time for a retry within "
                f"max_elapsed ({max_elapsed!r})"
            )
            raise ConfigurationError(message)
        self.hint: Hint | None = _function("hint", hint)
        self.max_hint: float = check_seconds("max_hint", max_hint, zero=True)
        if budget is not None and not isinstance(cast("object", budget), RetryBudget):
            message = f"budget must be a RetryBudget, such as RetryBudget(), not {budget!r:.60}"
            raise ConfigurationError(message)
        self.budget: RetryBudget | None = budget
        if on_retry is not None and not callable(cast("object", on_retry)):
            message = f"on_retry must be a function of a RetryEvent, not {on_retry!r:.60}"
            raise ConfigurationError(message)
        self.on_retry: OnRetry | None = on_retry
        if not isinstance(cast("object", independent), bool):
            message = f"independent must be True or False, not {independent!r:.60}"
            raise ConfigurationError(message)
        self.independent: bool = independent
        if rng is not None:
            _check_random(rng)
        self.rng: random.Random | None = rng
        self.name: str | None = check_name(name) if name is not None else None

    @property
    def clocked(self) -> bool:
        """Whether the time of the start must be known."""
        return self.max_elapsed is not None or self.on_retry is not None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled or copied: all but the rule, which may be a function of ours."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "retryable"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.retryable = matcher(self.on)

    def accepts(self, result: object) -> bool:
        """Whether `until` is content with a result.

        Raises:
            ConfigurationError: It answered with a coroutine.
        """
        if self.until is None:
            return True
        answer = self.until(result)
        if isinstance(answer, CoroutineType):
            answer.close()
            message = "the function given as `until` returned a coroutine; it must answer at once"
            raise ConfigurationError(message)
        return bool(answer)

    async def tell(self, event: RetryEvent) -> None:
        """Tell the hook."""
        if self.on_retry is not None:
            told = self.on_retry(event)
            if hasattr(type(told), "__await__"):
                await cast("Awaitable[object]", told)


def _unknown_message(names: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error's text

    from tta_dev_primitives.recovery.retries.option_types import RetryingOptions, RetryOptions  # noqa: PLC0415 - for an error

    options = (*RetryingOptions.__annotations__, *RetryOptions.__annotations__)
    close = get_close_matches(names[0], options, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return (
        f"Retry has no option {names[0]!r}{hint}; its options are {', '.join(sorted({*options}))}"
    )


def _backoff(
    *,
    backoff_factor: float = 2.0,
    initial_delay: float = 0.5,
    max_delay: float | None = None,
    jitter: Jitter = "full",
) -> Schedule:
    """Return the schedule that the plain options mean."""
    factor = check_factor("backoff_factor", backoff_factor)
    initial = check_seconds("initial_delay", initial_delay, zero=True)
    if max_delay is None:
        maximum = max(_MAX_DELAY, initial)
    else:
        maximum = check_seconds("max_delay", max_delay, zero=True)
    if maximum < initial:
        message = f"max_delay ({maximum!r}) is less than initial_delay ({initial_delay!r})"
        raise ConfigurationError(message)
    schedule = exponential(initial, factor).capped(maximum).jittered(jitter)
    return schedule if initial else constant(0.0)  # the same, and cheaper


def _function(option: str, value: Any) -> Any:
    """Return `value` if it is None or a synchronous function.

    Raises:
        ConfigurationError: It is neither.
    """
    if value is None or (callable(value) and not inspect.iscoroutinefunction(value)):
        return value
    message = f"{option} must be a synchronous function, not {value!r:.80}"
    raise ConfigurationError(message)


def _check_random(rng: object) -> None:
    import random  # noqa: PLC0415 - only for those who have loaded it

    if not isinstance(rng, random.Random):
        message = f"rng must be a random.Random, such as random.Random(1), not {rng!r:.60}"
        raise ConfigurationError(message)
