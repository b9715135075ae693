"""`RetryPrimitive` and `Retry`: another attempt after a failure, with growing, random pauses.

What to do after a failure is decided by `Attempts`, an object without a clock, a loop or a sleep;
the primitive acts on its decisions.
"""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar
from types import CoroutineType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.base import MISSING, Run, check_name, nested_awaitable
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.wrapper import Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.classify import asked_to_stop, is_failure, matcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.classify import RetryOn

__all__ = ("Attempts", "Backoff", "Jitter", "Retry", "RetryOptions", "RetryPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")

Jitter: TypeAlias = Literal["full", "equal", "none"]

_JITTERS = ("full", "equal", "none")
_MAX_DELAY = 30.0
_OVER = -1
# The retries that are left to a run and all Retries inside it; a cell, since tasks share it.
_pool: ContextVar[list[int] | None] = ContextVar("tta_dev_primitives.retries", default=None)


class RetryOptions(TypedDict, total=False):
    """The options of a Retry; see `RetryPrimitive`."""

    max_attempts: int
    backoff_factor: float
    initial_delay: float
    max_delay: float | None
    jitter: Jitter
    on: RetryOn | None
    independent: bool
    rng: random.Random | None
    name: str | None


class Backoff:
    """How long to wait after each failed attempt: exponential, capped, with jitter.

    Args:
        factor: Each pause can be this many times as long as the one before; at least 1.
        initial: The bound of the first pause, in seconds; zero for no pauses.
        maximum: No bound grows beyond this, in seconds. Default: 30, or `initial` where that is
            longer.
        jitter: `full` draws from zero to the bound, `equal` from half the bound to the bound,
            `none` waits for the bound itself.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> backoff = Backoff(factor=2.0, initial=0.5, maximum=5.0, jitter="none")
        >>> [backoff.delay(attempt, random.Random(1)) for attempt in (1, 2, 3, 4, 5, 5000)]
        [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    """

    __slots__ = ("factor", "initial", "jitter", "maximum")

    def __init__(
        self,
        *,
        factor: float = 2.0,
        initial: float = 0.5,
        maximum: float | None = None,
        jitter: Jitter = "full",
    ) -> None:
        self.factor: float = check_seconds("backoff_factor", factor)
        if self.factor < 1:
            message = f"backoff_factor must be at least 1, not {factor!r}"
            raise ConfigurationError(message)
        self.initial: float = check_seconds("initial_delay", initial, zero=True)
        self.maximum: float = (
            max(_MAX_DELAY, self.initial)
            if maximum is None
            else check_seconds("max_delay", maximum, zero=True)
        )
        if self.maximum < self.initial:
            message = f"max_delay ({maximum!r}) is less than initial_delay ({initial!r})"
            raise ConfigurationError(message)
        if jitter not in _JITTERS:
            message = f"jitter must be 'full', 'equal' or 'none', not {jitter!r}"
            raise ConfigurationError(message)
        self.jitter: Jitter = jitter

    def bound(self, attempt: int) -> float:
        """Return the longest pause after failed attempt number `attempt` (from 1), in seconds."""
        try:
            return min(self.initial * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            return self.maximum if self.initial else 0.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Return the pause after failed attempt number `attempt` (from 1), in seconds."""
        bound = self.bound(attempt)
        if self.jitter == "none":
            return bound
        if self.jitter == "equal":
            return bound / 2 + rng.uniform(0, bound / 2)
        return rng.uniform(0, bound)


class Attempts:
    """What one Retry has tried in one run, and what it does after the next failure.

    Args:
        backoff: How long to wait.
        limit: The most attempts, the first one included.
        retryable: Says whether an exception is worth another attempt.
        rng: Where jitter comes from.
        pool: A cell with the retries that the outermost Retry leaves to all Retries inside it;
            one is taken for each that is granted.
        deadline: No pause may reach it; on the clock of `now`.

    Example:
        >>> attempts = Attempts(Backoff(jitter="none"), limit=3)
        >>> attempts.failed(0.0, OSError()), attempts.failed(1.0, OSError())
        (0.5, 1.0)
        >>> attempts.failed(3.0, OSError()) is None
        True
    """

    __slots__ = ("_backoff", "_deadline", "_limit", "_pool", "_retryable", "_rng", "number")

    def __init__(
        self,
        backoff: Backoff,
        *,
        limit: int,
        retryable: Callable[[Exception], bool] | None = None,
        rng: random.Random | None = None,
        pool: list[int] | None = None,
        deadline: float | None = None,
    ) -> None:
        self._backoff = backoff
        self._limit = limit
        self._retryable = retryable or matcher(None)
        self._rng = rng or _random
        self._pool = [limit - 1] if pool is None else pool
        self._deadline = deadline
        self.number: int = 1
        """The number of the attempt that runs or has just failed, from 1."""

    def failed(self, now: float, error: BaseException) -> float | None:
        """Decide what follows the failure of the running attempt.

        Args:
            now: Seconds, on any monotonic clock.
            error: What the attempt raised.

        Returns:
            The seconds to wait before the next attempt, or None to let `error` out.
        """
        if not is_failure(error) or self.number >= self._limit or self._pool[0] <= 0:
            return None
        if not self._retryable(cast("Exception", error)):
            return None
        delay = self._backoff.delay(self.number, self._rng)
        if self._deadline is not None and now + delay >= self._deadline:
            return None
        self._pool[0] -= 1
        self.number += 1
        return delay


_random = random.Random()  # noqa: S311 - jitter is no secret


class RetryPrimitive(Wrapper[TIn, TOut]):
    """Runs a step again when it fails, up to `max_attempts` times, with pauses between.

    When no attempt is left, the last exception itself comes out; its note names the attempt.
    Cancellation, `KeyboardInterrupt`, `SystemExit`, `GeneratorExit` and `Filtered` always pass at
    once, and so does every failure of a task that has been cancelled. A pause that would reach
    `context.deadline` is not begun.

    Retries inside a Retry, however deep, share the retries of the outermost one, so that layers do
    not multiply calls; `independent=True` takes one out of this. (A Retry that stands inside the
    body of a function, where a workflow cannot see it, shares from the second attempt on.)

    A step that streams is retried until its first item is there; after that, the consumer has seen
    part of the result.

    Args:
        primitive: The step: a primitive or a callable.
        max_attempts: The most calls, the first one included. Default: 3.
        backoff_factor: Each pause can be this many times as long as the one before. Default: 2.0.
        initial_delay: The longest first pause, in seconds; zero for no pauses. Default: 0.5.
        max_delay: The longest pause, in seconds. Default: 30, or `initial_delay` where that is
            longer.
        jitter: `full` (default) draws each pause from zero to its bound, `equal` from half the
            bound up, `none` takes the bound.
        on: What is retried: an exception class, a tuple of them, or a function that gets the
            exception and answers at once. A group of exceptions is retried if all in it are.
            Default: every `Exception` but `TypeError`, `NameError`, `AttributeError`,
            `AssertionError`, `ImportError` and wrong set-ups of this package, which do not pass.
        independent: Whether it counts by itself when it stands inside another Retry.
        rng: Where jitter comes from; `random.Random(1)` makes pauses repeatable.
        name: Default: `retry`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range.

    Example:
        >>> from tta_dev_primitives.core.base import step
        >>> answers = iter([OSError("reset"), "fine"])
        >>> def ask(question: str) -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError):
        ...         raise answer
        ...     return answer
        >>> RetryPrimitive(ask, initial_delay=0.001).run("how is it?")
        'fine'
    """

    _opens_frame = True
    passes_context = True
    _encloses: bool | None = None

    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: WorkflowPrimitive[In, Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: Callable[[In], Awaitable[Out]],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: Callable[[In], Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Awaitable[Out]],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        max_attempts: int = 3,
        backoff_factor: float = 2.0,
        initial_delay: float = 0.5,
        max_delay: float | None = None,
        jitter: Jitter = "full",
        on: RetryOn | None = None,
        independent: bool = False,
        rng: random.Random | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Retry", streams=True),)
        self._limit = check_count("max_attempts", max_attempts)
        self._backoff = Backoff(
            factor=backoff_factor, initial=initial_delay, maximum=max_delay, jitter=jitter
        )
        self._retryable = matcher(on)
        self._independent = independent
        self._rng = rng
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How often the step runs at most."""
        return (f"at most {self._limit} attempts",)

    async def _execute_impl(  # noqa: C901 - written out for speed
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        pool = outer = _pool.get()
        if outer is None or outer[0] < 0 or self._independent:
            pool = None
            encloses = self._encloses
            if encloses or (encloses is None and self._look_inside()):
                pool = self._open_pool()
        attempts: Attempts | None = None
        try:
            if engine.listening is not None:
                pool = pool or self._open_pool()
                return await self._observed(context, input_data, site, pool)
            while True:
                try:
                    direct = self._direct
                    result = await (
                        direct(input_data)
                        if direct is not None
                        else self.start(context, input_data)
                    )
                    if result.__class__ is CoroutineType:
                        raise nested_awaitable(self._steps[0].name, result)  # noqa: TRY301 - a failure of the step
                    if result.__class__ is engine.stream_type:
                        await result.prime()
                except Exception as error:
                    if attempts is None:
                        pool = pool or self._open_pool()
                        attempts = self._attempts(context, pool)
                    number = attempts.number
                    delay = _decide(attempts, error)
                    if delay is None:
                        notes.locate(error, self, 0, context, attempt=number)
                        raise
                    notes.forget(error)
                else:
                    return result
                await asyncio.sleep(delay)
        finally:
            if pool is not outer:
                _close_pool(pool, outer)

    async def _observed(
        self,
        context: WorkflowContext,
        input_data: Any,
        site: engine.Site | None,
        pool: list[int],
    ) -> Any:
        """Run where somebody listens."""
        attempts = self._attempts(context, pool)
        with Run(self, context, site) as run:
            while True:
                number = attempts.number
                try:
                    result = run.checked(await run.call(0, input_data, attempt=number))
                    if result.__class__ is engine.stream_type:
                        await result.prime()
                except Exception as error:
                    delay = _decide(attempts, error)
                    if delay is None:
                        run.note(attempts=number)
                        raise
                    notes.forget(error)
                else:
                    run.note(attempts=number)
                    return result
                await asyncio.sleep(delay)

    def _look_inside(self) -> bool:
        """Whether there is a Retry inside, which must then find a pool from the first attempt.

        One that a function's body calls is seen by nobody: it finds the pool from the second
        attempt on. Setting a context variable before each first attempt would cost as much as
        three awaits.
        """
        found = any(isinstance(node, RetryPrimitive) for _, node in self._steps[0].walk())
        self._encloses = found
        return found

    def _open_pool(self) -> list[int]:
        pool = [self._limit - 1]
        _pool.set(pool)
        return pool

    def _copy(self) -> Any:
        copy = super()._copy()
        copy._encloses = None  # noqa: SLF001 - a copy of this very class
        return copy

    def _attempts(self, context: WorkflowContext, pool: list[int]) -> Attempts:
        return Attempts(
            self._backoff,
            limit=self._limit,
            retryable=self._retryable,
            rng=self._rng,
            pool=pool,
            deadline=context.deadline,
        )


def _close_pool(pool: list[int] | None, outer: list[int] | None) -> None:
    """End the run's pool: a task that outlives the run must not draw on it."""
    if pool is not None:
        pool[0] = _OVER
        if outer is not None:
            _pool.set(outer)


def _decide(attempts: Attempts, error: Exception) -> float | None:
    if asked_to_stop():
        return None
    return attempts.failed(asyncio.get_running_loop().time(), error)


class _Retrying(Protocol):
    """What `Retry(...)` without a step gives: it takes a primitive or a function."""

    @overload
    def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> RetryPrimitive[In, Out]: ...
    @overload
    def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...


@overload
def Retry(
    primitive: WorkflowPrimitive[In, Out], /, **options: Unpack[RetryOptions]
) -> RetryPrimitive[In, Out]: ...
@overload
def Retry(
    primitive: Callable[P, C], /, **options: Unpack[RetryOptions]
) -> DecoratedFunction[P, C]: ...
@overload
def Retry(**options: Unpack[RetryOptions]) -> _Retrying: ...
def Retry(primitive: Any = MISSING, /, **options: Unpack[RetryOptions]) -> Any:  # noqa: N802
    """Retry a primitive, or decorate an asynchronous function with retries.

    Args:
        primitive: A primitive gives a `RetryPrimitive`; an asynchronous function gives a function
            with the same signature that is a primitive as well. Left out, `Retry(...)` is a
            decorator; `@Retry` alone is `@Retry()`.
        options: Those of `RetryPrimitive`.

    Raises:
        CompositionError: What is given is neither.
        ConfigurationError: An option is out of range.

    Example:
        >>> @Retry(max_attempts=3, backoff_factor=2.0)
        ... async def fetch(url: str) -> str:
        ...     return f"the page at {url}"
        >>> import asyncio
        >>> asyncio.run(fetch("example.org"))
        'the page at example.org'
    """
    return decorate_async(primitive, RetryPrimitive, dict(options), decorator="Retry")
