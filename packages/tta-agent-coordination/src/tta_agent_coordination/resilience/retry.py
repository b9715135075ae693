"""`retry_with_backoff`: call again what failed, later each time."""

from __future__ import annotations

import asyncio
import inspect
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from tta_agent_coordination.errors import (
    CircuitBreakerOpenError,
    ConfigurationError,
    CoordinatorAccessError,
    ForeignKeyError,
    InvalidMessageError,
    LeaseLost,
)
from tta_agent_coordination.limits import check_count, check_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("RetryConfig", "retry_with_backoff")

P = ParamSpec("P")
T = TypeVar("T")

HOPELESS = (
    CircuitBreakerOpenError,
    ConfigurationError,
    CoordinatorAccessError,
    ForeignKeyError,
    InvalidMessageError,
    LeaseLost,
)
"""Errors of this package that are the same next time."""

LARGEST_BASE = 100
_LARGEST_EXPONENT = 64  # beyond it every wait has reached its maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How often, and after how long, to call again.

    Args:
        max_retries: Calls after the first one; 0 is none.
        base_delay: Seconds before the second call.
        max_delay: No wait is longer.
        exponential_base: How many times longer each wait is than the one before, 1 to 100.
        jitter: Whether each wait is drawn between half and all of it, so that many callers that
            failed together do not come back together.
        retry_on: Which exceptions are worth another call. Those of this package that would be the
            same again (wrong options, no rights, an open breaker, a lost lease) never are.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> config = RetryConfig(base_delay=1.0, max_delay=5.0, jitter=False)
        >>> [config.delay(retry) for retry in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5.0]
    """

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True
    retry_on: type[Exception] | tuple[type[Exception], ...] = Exception

    def __post_init__(self) -> None:
        check_count("max_retries", self.max_retries, least=0)
        check_seconds("base_delay", self.base_delay, zero=True)
        check_seconds("max_delay", self.max_delay, zero=True)
        # As seconds, so that bool, text, NaN and infinity are refused alike.
        if not 1 <= check_seconds("exponential_base", self.exponential_base) <= LARGEST_BASE:
            raise ConfigurationError(
                f"exponential_base must be from 1 to {LARGEST_BASE}, not {self.exponential_base!r}"
            )
        if not isinstance(self.jitter, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"jitter must be True or False, not {self.jitter!r:.60}")
        types: tuple[Any, ...] = (
            self.retry_on if isinstance(self.retry_on, tuple) else (self.retry_on,)
        )
        if not types or not all(isinstance(t, type) and issubclass(t, Exception) for t in types):
            raise ConfigurationError(
                "retry_on must be an exception class or a tuple of them (never CancelledError, "
                f"which is no Exception), not {self.retry_on!r:.80}"
            )

    def delay(self, retry: int, rng: random.Random | None = None) -> float:
        """Return the seconds to wait before a retry.

        Args:
            retry: Which one, from 1.
            rng: Draws the jitter.
        """
        factor = self.exponential_base ** min(retry - 1, _LARGEST_EXPONENT)
        longest = min(self.base_delay * factor, self.max_delay)
        if not self.jitter:
            return longest
        return longest * (0.5 + 0.5 * (random if rng is None else rng).random())

    def worth_it(self, error: Exception) -> bool:
        """Whether a call that failed so may work next time."""
        return isinstance(error, self.retry_on) and not isinstance(error, HOPELESS)


_USUAL = RetryConfig()


@overload
async def retry_with_backoff(
    func: Callable[P, Awaitable[T]],
    config: RetryConfig | None = None,
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T: ...
@overload
async def retry_with_backoff(
    func: Callable[P, T], config: RetryConfig | None = None, /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
async def retry_with_backoff(
    func: Callable[..., Any], config: RetryConfig | None = None, /, *args: Any, **kwargs: Any
) -> Any:
    """Call a function, async or not; where it fails, call it again after a wait that grows.

    Only what is an `Exception` is retried: cancellation, `KeyboardInterrupt` and `SystemExit` come
    out at once.

    Args:
        func: What to call; it may be called several times, so it must be safe to repeat.
        config: How often and how late. Default: three retries after about 1, 2 and 4 seconds.
        *args: Passed on.
        **kwargs: Passed on.

    Returns:
        What the first call that works returns.

    Raises:
        Exception: What the last call raised, unchanged, with a note on how often it was tried.

    Example:
        >>> import asyncio
        >>> answers = iter([ConnectionError("no route"), "hello"])
        >>> async def ask() -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> asyncio.run(retry_with_backoff(ask, RetryConfig(base_delay=0.001)))
        'hello'
    """
    if config is None:
        config = _USUAL
    elif not isinstance(config, RetryConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            f"the second argument must be a RetryConfig or None, not {config!r:.80}; what follows "
            "it is passed to the function"
        )
    attempt = 1
    while True:
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                return await result
        except Exception as error:
            if attempt > config.max_retries or not config.worth_it(error):
                if attempt > 1:
                    error.add_note(f"tried {attempt} times by retry_with_backoff")
                raise
        else:
            return result
        await asyncio.sleep(config.delay(attempt))
        attempt += 1
