"""`TimeoutPrimitive` and `Timeout`: a step that takes too long is cancelled."""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.base import MISSING, Run, check_name, nested_awaitable
from tta_dev_primitives.core.context import FreshContext
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.wrapper import Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import ConfigurationError, TimeoutExceededError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction

__all__ = ("Timeout", "TimeoutOptions", "TimeoutPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")


class TimeoutOptions(TypedDict, total=False):
    """The options of a Timeout; see `TimeoutPrimitive`."""

    seconds: float | None
    timeout_seconds: float | None
    name: str | None


class TimeoutPrimitive(Wrapper[TIn, TOut]):
    """Runs a step and cancels it when it takes longer than its limit.

    The step runs in the caller's task. It is cancelled at the limit, may clean up, and is over when
    the call returns. `TimeoutExceededError` then says which limit passed; a `TimeoutError` that the
    step raises by itself comes out as it is. A step that answers the cancellation with a result has
    a result. An earlier `context.deadline` holds as well.

    A synchronous step cannot be interrupted: see `in_thread`.

    Args:
        primitive: The step: a primitive or a callable.
        seconds: The limit, more than zero; either this or `timeout_seconds` is required.
        timeout_seconds: The same under another name.
        name: Default: `timeout`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: The limit is missing, given twice, or out of range.
        TimeoutExceededError: From the call: the limit has passed.

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

    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: WorkflowPrimitive[In, Out],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: Callable[[In], Awaitable[Out]],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: Callable[[In], Out],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Awaitable[Out]],
        **options: Unpack[TimeoutOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeoutPrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Out],
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
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Timeout", streams=True),)
        if seconds is not None and timeout_seconds is not None:
            message = "seconds and timeout_seconds of Timeout are the same limit; give one of them"
            raise ConfigurationError(message)
        limit = timeout_seconds if seconds is None else seconds
        if limit is None:
            message = "Timeout needs its limit in seconds: Timeout(..., seconds=5.0)"
            raise ConfigurationError(message)
        self._seconds = check_seconds("seconds of Timeout", limit)
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The limit."""
        return (f"at most {self._seconds:g} s",)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        seconds = self._seconds
        deadline = None if context.__class__ is FreshContext else context.deadline
        if deadline is not None:
            seconds = min(seconds, deadline - asyncio.get_running_loop().time())
        if engine.listening is not None:
            return await self._observed(context, input_data, site, seconds)
        steps_own = False
        try:
            if seconds <= 0:
                raise self._expired(seconds)  # noqa: TRY301 - as if the step had run
            async with asyncio.timeout(seconds):
                try:
                    result = await self.start(context, input_data)
                    if result.__class__ is engine.stream_type:
                        await self._limited(result)
                except TimeoutError:
                    steps_own = True
                    raise
        except Exception as error:
            if steps_own or not isinstance(error, TimeoutError):
                notes.locate(error, self, 0, context)
                raise
            cause = error.__cause__ or error.__context__  # older releases of 3.11 chain it so
        else:
            if result.__class__ is CoroutineType:
                culprit = nested_awaitable(self._steps[0].name, result)
                notes.locate(culprit, self, 0, context)
                raise culprit
            return result
        expired = self._expired(seconds)
        notes.locate(expired, self, None, context)
        try:
            raise expired from cause
        finally:
            del expired, cause  # they refer to this frame

    async def _observed(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None, seconds: float
    ) -> Any:
        """Run where somebody listens."""
        steps_own = False
        with Run(self, context, site) as run:
            if seconds <= 0:
                raise self._expired(seconds)
            try:
                async with asyncio.timeout(seconds):
                    try:
                        result = run.checked(await run.call(0, input_data))
                        if result.__class__ is engine.stream_type:
                            await self._limited(result)
                    except TimeoutError:
                        steps_own = True
                        raise
                    else:
                        return result
            except TimeoutError as error:
                if steps_own:
                    raise
                cause = error.__cause__ or error.__context__  # older releases of 3.11 chain it so
            run.own()
            run.note(timed_out=True)
            try:
                raise self._expired(seconds) from cause
            finally:
                del cause  # it refers to this frame

    async def _limited(self, stream: Any) -> None:
        """Wait for a stream's first item, and limit the time to each later one."""
        await stream.prime()
        stream.limit(self._seconds, self._expired)

    def _expired(self, seconds: float) -> TimeoutExceededError:
        """Return the error for a limit of ours that has passed."""
        step = self._steps[0].name
        if seconds < self._seconds:
            message = (
                f"the deadline of the run passed before {step!r} ended; "
                f"{self.name!r} would have allowed {self._seconds:g} s"
            )
            return TimeoutExceededError(message, seconds=max(0.0, seconds))
        message = f"{step!r} did not end within the {seconds:g} s of {self.name!r}"
        return TimeoutExceededError(message, seconds=seconds)


class _Timing(Protocol):
    """What `Timeout(...)` without a step gives: it takes a primitive or a function."""

    @overload
    def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> TimeoutPrimitive[In, Out]: ...
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
