"""`TimeoutPrimitive` and `Timeout`: a step that takes too long is cancelled.

How a deadline passes and what nested ones have to do with one another is in `deadline`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import MISSING, check_name, nested_awaitable
from tta_dev_primitives.core.context import FreshContext, fresh_context
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import ConfigurationError, TimeoutExceededError
from tta_dev_primitives.recovery.deadlines.deadline import Lane, current, open_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.breakers.config import CallOutcome
    from tta_dev_primitives.recovery.deadlines.limit import AdaptiveLimit

__all__ = ("Timeout", "TimeoutBreaker", "TimeoutOptions", "TimeoutPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")


class _Judge(Protocol):
    """Says how a call ended."""

    def outcome(self, error: BaseException | None, seconds: float = ..., /) -> CallOutcome:
        """Return how a call ended that raised `error`, or nothing, after that many seconds."""
        ...


class TimeoutBreaker(Protocol):
    """What a Timeout needs of a circuit breaker; `Breaker` is one."""

    @property
    def judge(self) -> _Judge:
        """Says how a call ended."""
        ...

    def acquire(self) -> int:
        """Return a permit for one call, or raise if the call must not be made."""
        ...

    def release(self, permit: int, outcome: CallOutcome, /) -> None:
        """Take a permit back, and count how its call ended."""
        ...


class TimeoutOptions(TypedDict, total=False):
    """The options of a Timeout; see `TimeoutPrimitive`."""

    seconds: float | None
    timeout_seconds: float | None
    adaptive: AdaptiveLimit | None
    breaker: TimeoutBreaker | None
    name: str | None


class TimeoutPrimitive(Wrapper[TIn, TOut]):
    """Runs a step and cancels it when it takes longer than its limit.

    The step runs in the caller's task. It is cancelled at the limit, may clean up, and is over when
    the call returns. `TimeoutExceededError` then says which limit passed; a `TimeoutError` that the
    step raises by itself comes out as it is. A step that answers the cancellation with a result has
    a result. A cancellation from outside wins over a limit that passes at the same time.

    Timeouts nest: the one whose limit passes first reports, and an earlier `context.deadline`
    holds as well. `remaining()` tells what is left of the earliest, anywhere inside.

    A step that streams is limited until its first item, and from each item to the next. A
    synchronous step cannot be interrupted: see `in_thread`.

    Args:
        primitive: The step: a primitive or a callable.
        seconds: The limit, more than zero; this, `timeout_seconds` or `adaptive` is required.
        timeout_seconds: The same under another name.
        adaptive: A limit that follows the durations of the latest calls, as
            `AdaptiveLimit(0.99, factor=1.5, maximum=30.0)`.
        breaker: A circuit breaker, such as a `Breaker`. While it is open, calls are rejected
            before the step begins; how each call ends is counted, and a limit that passes is a
            failure.
        name: Default: `timeout`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: The limit is missing, given twice, or out of range.
        TimeoutExceededError: From the call: the limit has passed.
        CircuitOpenError: From the call: the breaker has rejected it.

    Example:
        >>> import asyncio
        >>> async def slow(seconds: float) -> str:
        ...     await asyncio.sleep(seconds)
        ...     return "done"
        >>> TimeoutPrimitive(slow, seconds=5.0).run(0.001)
        'done'
    """

    _opens_frame = True
    passes_context = True
    _lane: Lane | None = None

    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        seconds: float | None = None,
        timeout_seconds: float | None = None,
        adaptive: AdaptiveLimit | None = None,
        breaker: TimeoutBreaker | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Timeout", streams=True),)
        if seconds is not None and timeout_seconds is not None:
            message = "seconds and timeout_seconds of Timeout are the same limit; give one of them"
            raise ConfigurationError(message)
        limit = timeout_seconds if seconds is None else seconds
        if adaptive is not None:
            limit = _longest(adaptive, limit)
        self._adaptive = adaptive
        if limit is None:
            message = "Timeout needs its limit in seconds: Timeout(..., seconds=5.0)"
            raise ConfigurationError(message)
        self._seconds = check_seconds("seconds of Timeout", limit)
        self._breaker = None if breaker is None else _checked_breaker(breaker)
        self._plain = adaptive is None and breaker is None
        self._name = check_name(name) if name is not None else None

    @property
    def limit(self) -> float:
        """The limit that is in force now, in seconds."""
        return self._seconds if self._adaptive is None else self._adaptive.seconds

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The limit, or the longest one."""
        return (f"at most {self._seconds:g} s",)

    def _copy(self) -> Any:
        copy = super()._copy()
        copy._lane = None  # noqa: SLF001 - a copy of this very class
        return copy

    async def _execute_impl(  # noqa: C901, PLR0912 - written out for speed
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                return await self._observed(context, input_data, site)
        if not self._plain:
            return await self._observed(context, input_data, site)
        began = clock.now() if context is None or place is not None else 0.0
        loop = asyncio.get_running_loop()
        lane = self._lane
        if lane is None or lane.loop is not loop:
            lane = self._lane = Lane(loop, self._seconds)
        if context is not None and context.__class__ is not FreshContext:
            deadline = context.deadline
            if deadline is not None and deadline < loop.time() + self._seconds:
                return await self._observed(context, input_data, site)
        scope = lane.open()
        token = current.set(scope)
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self._steps[0].name, result)  # noqa: TRY301 - a failure of the step
            if result.__class__ is engine.stream_type:
                await self._limited(result, self._seconds)
        except BaseException as error:
            if not scope.close(token) or not isinstance(error, asyncio.CancelledError):
                if place is not None:
                    place.went_wrong(self, began, error)
                if isinstance(error, Exception):
                    notes.locate(error, self, 0, context or fresh_context(began))
                raise
            cause = error
        else:
            scope.close(token)
            if place is not None:
                (place.well or place.stand_alone(self))(began)
            return result
        expired = self._expired(self._seconds, self._seconds)
        if place is not None:  # the step was cancelled, but the Timeout was not
            place.open(self)[0].failed(clock.now() - began, cause)
            place.ended(began, expired)
        notes.locate(expired, self, None, context or fresh_context(began))
        try:
            raise expired from cause
        finally:
            del expired, cause  # they refer to this frame

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl

    async def _observed(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody wants frames, or with more than a limit."""
        if context is None:
            context, site = fresh_context(clock.now()), None
        breaker = self._breaker
        with Run(self, context, site) as run:
            if breaker is None:
                return await self._in_time(run, context.deadline, input_data)
            permit = breaker.acquire()
            began = clock.now()
            try:
                result = await self._in_time(run, context.deadline, input_data)
            except BaseException as error:
                breaker.release(permit, breaker.judge.outcome(error, clock.now() - began))
                raise
            breaker.release(permit, breaker.judge.outcome(None, clock.now() - began))
            return result

    async def _in_time(self, run: Run, deadline: float | None, input_data: Any) -> Any:
        """Run the step within the limit and the run's deadline."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit = self.limit
        when, seconds = began + limit, limit
        if deadline is not None and deadline < when:
            when, seconds = deadline, deadline - began
            if seconds <= 0:
                raise self._expired(seconds, limit)
        scope = open_until(loop, when)
        token = current.set(scope)
        try:
            result = run.checked(await run.call(0, input_data))
            if result.__class__ is engine.stream_type:
                await self._limited(result, limit)
        except BaseException as error:
            if not scope.close(token) or not isinstance(error, asyncio.CancelledError):
                raise
            cause = error
        else:
            scope.close(token)
            if self._adaptive is not None:
                self._adaptive.observe(loop.time() - began)
                run.note(limit=limit)
            return result
        if self._adaptive is not None and seconds >= limit:
            self._adaptive.observe(limit)
        run.own()
        run.note(timed_out=True)
        try:
            raise self._expired(seconds, limit) from cause
        finally:
            del cause  # it refers to this frame

    async def _limited(self, stream: Any, limit: float) -> None:
        """Wait for a stream's first item, and limit the time to each later one."""
        await stream.prime()
        stream.limit(limit, partial(self._expired, limit=limit))

    def _expired(self, seconds: float, limit: float) -> TimeoutExceededError:
        """Return the error for a limit of ours that has passed."""
        step = self._steps[0].name
        if seconds < limit:
            message = (
                f"the deadline of the run passed before {step!r} ended; "
                f"{self.name!r} would have allowed {limit:g} s"
            )
            return TimeoutExceededError(message, seconds=max(0.0, seconds))
        message = f"{step!r} did not end within the {seconds:g} s of {self.name!r}"
        return TimeoutExceededError(message, seconds=seconds)


def _longest(adaptive: object, limit: object) -> float:
    """Return the maximum of an adaptive limit.

    Raises:
        ConfigurationError: It is none, or a fixed limit is given too.
    """
    from tta_dev_primitives.recovery.deadlines.limit import AdaptiveLimit  # noqa: PLC0415 - rarely wanted

    if not isinstance(adaptive, AdaptiveLimit):
        shown = notes.shown_value(adaptive)
        message = f"adaptive of Timeout is an AdaptiveLimit(0.99, maximum=30.0), not {shown}"
        raise ConfigurationError(message)
    if limit is not None:
        message = "adaptive and seconds of Timeout are both given; the first has its own maximum"
        raise ConfigurationError(message)
    return adaptive.maximum


def _checked_breaker(breaker: TimeoutBreaker) -> TimeoutBreaker:
    """Return what is given as `breaker`.

    Raises:
        ConfigurationError: It has not what a breaker has.
    """
    if isinstance(breaker, type) or not all(
        hasattr(breaker, name) for name in ("acquire", "release", "judge")
    ):
        message = (
            f"breaker of Timeout is a Breaker, with acquire(), release() and judge, not "
            f"{notes.shown_value(breaker)}"
        )
        raise ConfigurationError(message)
    return breaker


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Timing(Protocol):
        """What `Timeout(...)` without a step gives: it takes a primitive or a function."""

        @overload
        def __call__(
            self, primitive: WorkflowPrimitive[In, Out], /
        ) -> TimeoutPrimitive[In, Out]: ...
        @overload
        def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...


@overload
def Timeout(
    primitive: WorkflowPrimitive[In, Out], /, **options: Unpack[TimeoutOptions]
) -> TimeoutPrimitive[In, Out]: ...
@overload
def Timeout(
    primitive: Callable[P, C], /, **options: Unpack[TimeoutOptions]
) -> DecoratedFunction[P, C]: ...
@overload
def Timeout(**options: Unpack[TimeoutOptions]) -> _Timing: ...
def Timeout(primitive: Any = MISSING, /, **options: Unpack[TimeoutOptions]) -> Any:  # noqa: N802
    """Limit the time of a primitive, or decorate an asynchronous function with a limit.

    Args:
        primitive: A primitive gives a `TimeoutPrimitive`; an asynchronous function gives a function
            with the same signature that is a primitive as well. Left out, `Timeout(...)` is a
            decorator.
        options: Those of `TimeoutPrimitive`.

    Raises:
        CompositionError: What is given is neither.
        ConfigurationError: The limit is missing, given twice, or out of range.

    Example:
        >>> @Timeout(seconds=5.0)
        ... async def fetch(url: str) -> str:
        ...     return f"the page at {url}"
        >>> import asyncio
        >>> asyncio.run(fetch("example.org"))
        'the page at example.org'
    """
    return decorate_async(primitive, TimeoutPrimitive, dict(options), decorator="Timeout")
