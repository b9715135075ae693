"""Streams: values that arrive piece by piece, passed through a chain without being collected.

A stage that streams is a primitive whose output is a `Stream`; a stage that takes a stream is one
whose input is an async iterable. They are joined with `>>` like any others, so types are followed
and nothing in the engine is special. A stream is lazy: its source runs while somebody asks for the
next item, in that task, and holds no task of its own. Closing the last stage closes all stages
down to the source, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from tta_dev_primitives.core import engine, frames, notes
from tta_dev_primitives.core.base import (
    MISSING,
    Composite,
    WorkflowPrimitive,
    as_primitive,
    check_name,
    is_count,
)
from tta_dev_primitives.core.functions import form_of, function_name
from tta_dev_primitives.errors import CompositionError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.functions import Form

__all__ = (
    "Aggregate",
    "AggregatePrimitive",
    "Buffer",
    "BufferPrimitive",
    "Map",
    "MapPrimitive",
    "Stream",
    "StreamPrimitive",
    "as_stream",
    "close_source",
)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
R = TypeVar("R")


class Stream(AsyncIterator[T_co], Generic[T_co]):
    """Items that arrive one by one; what a streaming stage gives.

    Iterate it once, with `async for`. Close it when you stop before its end: use it as an async
    context manager, or call `aclose`. A stream that ended, failed or was cancelled is closed.

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives import StreamPrimitive
        >>> async def count(limit: int):
        ...     for number in range(limit):
        ...         yield number
        >>> async def main() -> list[int]:
        ...     async with StreamPrimitive(count).stream(3) as numbers:
        ...         return [number async for number in numbers]
        >>> asyncio.run(main())
        [0, 1, 2]
    """

    __slots__ = (
        "_before",
        "_context",
        "_ended",
        "_first",
        "_frame",
        "_limit",
        "_on_end",
        "_primed",
        "_reading",
        "_source",
        "_stage",
    )

    def __init__(
        self,
        source: AsyncIterator[T_co],
        *,
        before: object = None,
        stage: WorkflowPrimitive[Any, Any] | None = None,
        context: WorkflowContext | None = None,
    ) -> None:
        self._source = source
        self._before = before  # the stream that this stage reads
        self._stage = stage
        self._context = context
        self._frame: frames.Frame | None = None
        self._on_end: list[Callable[[BaseException | None], object]] = []
        self._ended = False
        self._primed = False
        self._reading = False
        self._first: Any = None
        self._limit: tuple[float, Callable[[float], Exception]] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        if self._primed:
            self._primed = False
            first = self._first
            self._first = None
            return cast("T_co", first)
        if self._ended:
            raise StopAsyncIteration
        self._read_by_nobody()
        self._reading = True
        frame = self._frame
        # Set around one step and reset before the item is handed out: a variable that stayed set
        # across a yield would leak into the consumer.
        token = None if frame is None else engine.current.set(frame)
        try:
            if self._limit is not None:
                return await self._next_within(*self._limit)
            return await self._source.__anext__()
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            # A generator has ended by this; another iterator, or one that was cut short, has not.
            with suppress(Exception):
                await close_source(self._source)
            self._end(error)
            raise
        finally:
            self._reading = False
            if token is not None:
                frames.leave(token)

    def _read_by_nobody(self) -> None:
        if self._reading:
            message = (
                "this stream is being read by another task; a stream has one reader, and is "
                "closed by cancelling that or when it has stopped"
            )
            raise RuntimeError(message)

    async def _next_within(self, seconds: float, expired: Callable[[float], Exception]) -> T_co:
        """Read the next item, or close the source when it does not come in time."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._source.__anext__()
        except TimeoutError:
            if not limit.expired():  # the source's own
                raise
        raise expired(seconds)

    def limit(self, seconds: float, expired: Callable[[float], Exception]) -> None:
        """Let no item take longer (for a Timeout).

        Args:
            seconds: From one item asked for to its coming.
            expired: Makes the error for an item that did not come, from the limit.
        """
        if self._limit is None or seconds < self._limit[0]:
            self._limit = (seconds, expired)

    async def prime(self) -> Self:
        """Wait for the first item and keep it for the next read; an empty stream just ends.

        What retries, falls back or sets a deadline does so until the first item: after it, the
        consumer has seen part of the result.
        """
        if not self._primed and not self._ended:
            try:
                self._first = await self.__anext__()
            except StopAsyncIteration:
                return self
            self._primed = True
        return self

    async def collect(self) -> list[T_co]:
        """Read the rest and return it as a list."""
        return [item async for item in self]

    async def aclose(self) -> None:
        """Close the stream and everything before it; does nothing when it has ended.

        Raises:
            RuntimeError: Another task is reading it.
        """
        if self._ended:
            self._primed = False
            return
        self._read_by_nobody()
        self._primed = False
        try:
            try:
                await close_source(self._source)
            finally:
                # A generator that never started has no `finally` to run: it is done from here too.
                await close_source(self._before)
        finally:
            self._end(None)

    def __del__(self) -> None:
        """End the records of a stream that was dropped; the loop closes its generator."""
        self._end(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def when_ended(self, callback: Callable[[BaseException | None], object]) -> None:
        """Call `callback` with the error, or None, when the stream has ended (for the engine)."""
        if self._ended:
            callback(None)
        else:
            self._on_end.append(callback)

    def within(self, frame: frames.Frame) -> None:
        """Let the source see `frame` as the running call (for the engine)."""
        self._frame = frame

    def _end(self, error: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            if (
                isinstance(error, Exception)
                and self._stage is not None
                and self._context is not None
                and notes.path_of(error) is None
            ):
                notes.locate(error, self._stage, None, self._context)
            for callback in self._on_end:
                callback(error)
            self._on_end.clear()


async def close_source(source: object) -> None:
    """Close an async iterator, if it is one that can be closed."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


def as_stream(value: object) -> Stream[Any]:
    """Return a stream of `value`: its items if it is an async iterable, else itself alone."""
    if isinstance(value, Stream):
        return cast("Stream[object]", value)
    if isinstance(value, AsyncIterable):
        source = cast("AsyncIterable[object]", value)
        return Stream(source.__aiter__(), before=source)
    return Stream(_alone(value))


async def _alone(value: object) -> AsyncIterator[object]:
    yield value


def _given(value: object, reader: str) -> AsyncIterator[Any]:
    """Return the iterator of a stream that a stage was given."""
    if not isinstance(value, AsyncIterable):
        message = (
            f"{reader!r} takes a stream, but was given {notes.shown_value(value)} "
            f"({type(value).__name__}); "
            f"put a StreamPrimitive before it"
        )
        raise TypeError(message)
    return cast("AsyncIterable[object]", value).__aiter__()


class StreamPrimitive(WorkflowPrimitive[TIn, Stream[T_co]]):
    """An asynchronous generator function as a stage that streams.

    A generator function stands for one wherever a step is accepted.

    Args:
        source: An async generator function with the parameters of a step, such as one that yields
            the tokens of a model's answer.
        name: Default: the function's `__name__`.

    Raises:
        CompositionError: It cannot be called, or its parameters are not a step's.
        TypeError: From the call: what it returned is no async iterator.

    Example:
        >>> from tta_dev_primitives import Aggregate, Map
        >>> async def letters(word: str):
        ...     for letter in word:
        ...         yield letter
        >>> shout = StreamPrimitive(letters) >> Map(str.upper) >> Aggregate("".join)
        >>> shout.run("abc")
        'ABC'
    """

    kind = "stream"

    @overload
    def __init__(
        self: StreamPrimitive[I, T],
        source: Callable[[I], AsyncIterator[T]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: StreamPrimitive[I, T],
        source: Callable[[WorkflowContext, I], AsyncIterator[T]],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, source: Any, *, name: str | None = None) -> None:
        if not callable(source):
            message = f"StreamPrimitive takes an async generator function, not {source!r:.60}"
            raise CompositionError(message)
        self.function = source
        self.form: Form = form_of(source)
        self._name = check_name(name) if name is not None else function_name(source)

    @property
    def type_name(self) -> str:
        """`stream`."""
        return "stream"

    @property
    def signature(self) -> tuple[Any, Any]:
        """The annotated input type; the output is a `Stream`."""
        from tta_dev_primitives.core.annotations import of_function  # noqa: PLC0415 - on demand

        return of_function(self.function, self.form)[0], Stream

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Stream[T_co]:
        form = self.form
        if form == "input":
            source = self.function(input_data)
        elif form == "context, input":
            source = self.function(context, input_data)
        elif form == "context":
            source = self.function(context)
        else:
            source = self.function()
        if not isinstance(source, AsyncIterator):
            message = (
                f"{self.name!r} was to stream, but returned {notes.shown_value(source)}; "
                f"give StreamPrimitive a function with `async def` and `yield`"
            )
            raise TypeError(message)
        return Stream(cast("AsyncIterator[T_co]", source), stage=self, context=context)


class MapPrimitive(Composite[TIn, TOut]):
    """Runs a step for each item of a stream, in order, as the items are asked for.

    For several items at the same time there is `Batch`.

    Args:
        step: Takes one item.
        name: Default: `map`.

    Raises:
        CompositionError: The step is no step.
        TypeError: From the call: the input is no async iterable.
    """

    kind = "stream"

    @overload
    def __init__(
        self: MapPrimitive[AsyncIterable[T], Stream[U]],
        step: WorkflowPrimitive[T, U],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MapPrimitive[AsyncIterable[T], Stream[U]],
        step: Callable[[T], Awaitable[U]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MapPrimitive[AsyncIterable[T], Stream[U]],
        step: Callable[[T], U],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, step: Any, *, name: str | None = None) -> None:
        self._steps = (as_primitive(step, role="step of Map"),)
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """What the step is run for."""
        return ("each item",)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        items = _given(input_data, self.name)
        state = engine.listening
        frame = None
        if state is not None and site is None:
            state = engine.state_for_run(state)
            if state is not None and state.framed():
                frame = frames.enter(self, context, state)
                frames.pin(frame)
                frames.begin(frame)
            elif state is not None:
                site = self.site(state, self.name)
        stream: Stream[Any] = Stream(
            self._each(items, context, frame, site), before=items, stage=self, context=context
        )
        if frame is not None and frame.outermost:
            owned = frame
            stream.when_ended(lambda error: frames.close(owned, error))
        return stream

    async def _each(
        self,
        items: AsyncIterator[Any],
        context: WorkflowContext,
        frame: frames.Frame | None,
        site: engine.Site | None,
    ) -> AsyncIterator[Any]:
        call = self.calls[0] if site is None else self.calls_at(site)[0]
        try:
            async for item in items:
                try:
                    if frame is not None:
                        frame.turn += 1
                        token = engine.current.set(frame)
                        try:
                            result = await frames.observe(frame, 0, call, context, item)
                        finally:
                            frames.leave(token)
                    elif site is not None:
                        place = site.open(self)[0]
                        result = await engine.count(place, call, context, item)
                    else:
                        result = await call(context, item)
                except Exception as error:
                    notes.locate(error, self, 0, context)
                    raise
                yield result
        finally:
            await close_source(items)


class BufferPrimitive(WorkflowPrimitive[AsyncIterable[T], Stream[list[T]]]):
    """Hands out the items of a stream in lists of `size`, the last one shorter.

    Args:
        size: At least 1.
        name: Default: `buffer`.

    Raises:
        ConfigurationError: The size is out of range.
        TypeError: From the call: the input is no async iterable.
    """

    kind = "stream"

    def __init__(self, size: int, *, name: str | None = None) -> None:
        if not is_count(size) or size < 1:
            message = f"the size of Buffer must be at least 1, not {size!r}"
            raise ConfigurationError(message)
        self._size = size
        self._name = check_name(name) if name is not None else None

    async def _execute_impl(
        self, context: WorkflowContext, input_data: AsyncIterable[T]
    ) -> Stream[list[T]]:
        items = _given(input_data, self.name)
        return Stream(self._lists(items), before=items, stage=self, context=context)

    async def _lists(self, items: AsyncIterator[T]) -> AsyncIterator[list[T]]:
        held: list[T] = []
        try:
            async for item in items:
                held.append(item)
                if len(held) == self._size:
                    yield held
                    held = []
            if held:
                yield held
        finally:
            await close_source(items)


class AggregatePrimitive(WorkflowPrimitive[TIn, TOut]):
    """Makes one value of all the items of a stream.

    Args:
        function: Takes the list of items; or, with `initial`, the value so far and one item, which
            needs no memory for the items. Synchronous.
        initial: The value before the first item.
        name: Default: `aggregate`.

    Raises:
        CompositionError: The function cannot be called.
        TypeError: From the call: the input is no async iterable.

    Example:
        >>> from tta_dev_primitives import StreamPrimitive
        >>> async def numbers(limit: int):
        ...     for number in range(limit):
        ...         yield number
        >>> (StreamPrimitive(numbers) >> Aggregate(lambda a, b: a + b, initial=0)).run(4)
        6
    """

    kind = "stream"

    @overload
    def __init__(
        self: AggregatePrimitive[AsyncIterable[T], R],
        function: Callable[[list[T]], R],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: AggregatePrimitive[AsyncIterable[T], R],
        function: Callable[[R, T], R],
        *,
        initial: R,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, function: Any, *, initial: Any = MISSING, name: str | None = None) -> None:
        if not callable(function):
            message = f"Aggregate takes a function, not {function!r:.60}"
            raise CompositionError(message)
        self._function = function
        self._initial = initial
        self._name = check_name(name) if name is not None else None

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:  # noqa: ARG002 - the signature of every primitive
        items = _given(input_data, self.name)
        try:
            if self._initial is MISSING:
                return self._function([item async for item in items])
            value = self._initial
            async for item in items:
                value = self._function(value, item)
            return value
        finally:
            await close_source(items)


Map = MapPrimitive
Buffer = BufferPrimitive
Aggregate = AggregatePrimitive

engine.stream_type = Stream
engine.unfinished.add(Stream)
