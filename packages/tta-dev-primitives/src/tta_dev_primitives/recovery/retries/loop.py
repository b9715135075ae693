"""`retrying`: the attempts of a Retry as a loop over a block of code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, Unpack

from tta_dev_primitives.core import clock, notes
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.classification.classify import asked_to_stop
from tta_dev_primitives.recovery.retries.attempts import Attempts
from tta_dev_primitives.recovery.retries.options import Policy, RetryEvent
from tta_dev_primitives.recovery.retries.sharing import close_pool, open_pool, outer_pool, time_left

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Literal

    from tta_dev_primitives.recovery.retries.option_types import RetryingOptions
    from tta_dev_primitives.recovery.retries.sharing import Pool

__all__ = ("Attempt", "Retrying", "retrying")


def retrying(**options: Unpack[RetryingOptions]) -> Retrying:
    """Return the attempts of a Retry, to be looped over where a function would be in the way.

    Every attempt is a `with` block. One that ends well ends the loop; one that fails is followed by
    a pause and the next, by the rules of `RetryPrimitive`; the last failure comes out of its block
    as itself. Retries inside the block share its attempts.

    Args:
        options: Those of `RetryPrimitive`, but `until`: a block has no result.

    Raises:
        ConfigurationError: An option is out of range, or contradicts another.

    Example:
        >>> import asyncio
        >>> answers = iter([OSError("reset"), "fine"])
        >>> async def ask() -> str:
        ...     async for attempt in retrying(max_attempts=3, initial_delay=0.001):
        ...         with attempt:
        ...             answer = next(answers)
        ...             if isinstance(answer, OSError):
        ...                 raise answer
        ...     return f"{answer}, at attempt {attempt.number}"
        >>> asyncio.run(ask())
        'fine, at attempt 2'
    """
    return Retrying(**options)


class Retrying:
    """What `retrying` returns; each loop over it starts with a first attempt.

    Raises:
        ConfigurationError: An option is out of range, or contradicts another.
    """

    __slots__ = ("_policy",)

    def __init__(self, **options: Unpack[RetryingOptions]) -> None:
        if "until" in options:
            message = "retrying() has no result that `until` could be asked about; raise instead"
            raise ConfigurationError(message)
        self._policy = Policy(**options)

    def __aiter__(self) -> _Loop:
        return _Loop(self._policy)


class _Loop:
    """One loop over the attempts."""

    __slots__ = ("_attempts", "_policy", "_running")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        shared = None if policy.independent else outer_pool()
        self._attempts = Attempts(policy, started=clock.now(), pool=shared)
        self._running: Attempt | None = None

    def __aiter__(self) -> _Loop:
        return self

    async def __anext__(self) -> Attempt:
        ended = self._running
        if ended is not None:
            await self._follow(ended)
        self._running = attempt = Attempt(self._policy, self._attempts)
        return attempt

    async def _follow(self, ended: Attempt) -> None:
        """Wait for the time of the next attempt, if there is one.

        Raises:
            StopAsyncIteration: The attempt ended well.
            ConfigurationError: It has no `with` block.
        """
        if ended.state != "ended":
            message = "each attempt of retrying() is a block of its own: write `with attempt:`"
            raise ConfigurationError(message)
        delay, error = ended.delay, ended.error
        ended.error = None  # its traceback leads to the frame that holds the attempt
        if delay is None:
            raise StopAsyncIteration
        attempts = self._attempts
        try:
            if error is not None:
                await self._tell(ended.number, error, delay)
            await asyncio.sleep(delay)
        except BaseException:
            attempts.unused()
            raise
        finally:
            del error  # as above

    async def _tell(self, number: int, error: Exception, delay: float) -> None:
        """Tell the hook; what that raises has `error` as its context."""
        event = RetryEvent(
            name=self._policy.name or "retrying",
            attempt=number,
            error=error,
            result=None,
            delay=delay,
            elapsed=clock.now() - self._attempts.started,
        )
        try:
            await self._policy.tell(event)
        except Exception as own:
            if own.__context__ is None and own is not error:
                own.__context__ = error
            raise
        finally:
            del error, event  # as above


class Attempt:
    """One attempt of `retrying`: a context manager around what is tried.

    Attributes:
        number: Its number, from 1.
    """

    __slots__ = ("_attempts", "_outer", "_policy", "delay", "error", "number", "state")

    def __init__(self, policy: Policy, attempts: Attempts) -> None:
        self._policy = policy
        self._attempts = attempts
        self._outer: Pool | None = None
        self.number: int = attempts.number
        self.state: Literal["new", "running", "ended"] = "new"
        self.delay: float | None = None
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        if self.state != "new":
            message = f"attempt {self.number} is over; each `with` block needs its own"
            raise ConfigurationError(message)
        self.state = "running"
        self._outer = open_pool(self._attempts.pool)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.state = "ended"
        attempts = self._attempts
        if error is None and self._policy.budget is not None:
            self._policy.budget.earn()
        try:
            if isinstance(error, Exception):
                self._judge(error)
        finally:
            left = attempts.pool[0]
            close_pool(attempts.pool, self._outer)
            if self.delay is not None:
                attempts.pool[0] = left  # the next attempt draws on it
        if self.delay is None:
            return False
        if self._policy.on_retry is not None and isinstance(error, Exception):
            self.error = error
        return True

    def _judge(self, error: Exception) -> None:
        attempts = self._attempts
        if not asked_to_stop():
            self.delay = attempts.failed(clock.now(), error, time_left(None))
        history = attempts.history(attempts.started)
        if self.delay is None and history:
            notes.remark(error, f"attempt {self.number} of retrying{history}")
