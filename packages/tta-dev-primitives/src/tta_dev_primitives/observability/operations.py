"""A decorated function as an observed call: the common part of the decorators of this package.

A call opens a frame where somebody listens, so it has its own record, in its place below whatever
called it, and what it calls stands below it. As a step of a workflow it is recorded by the workflow
like any other step, once.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from tta_dev_primitives.core import clock, engine, frames
from tta_dev_primitives.core.base import WorkflowPrimitive, check_name
from tta_dev_primitives.core.context import FreshContext, WorkflowContext
from tta_dev_primitives.core.decorated import DecoratedFunction
from tta_dev_primitives.core.functions import FunctionPrimitive, is_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextvars import Token

__all__ = ("OperationPrimitive", "operation", "trace_operation")

P = ParamSpec("P")
R = TypeVar("R")


class OperationPrimitive(FunctionPrimitive[Any, Any]):
    """A decorated function as a step; see `trace_operation` and `track_metrics`.

    Args:
        function: The function as written.
        name: Default: the function's name.
        attributes: Noted on every record.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(function, name=name)
        self.attributes: dict[str, object] = dict(attributes or {})

    @property
    def bound(self) -> Any:
        """What a composite calls: the function itself, if there is nothing to note."""
        return self._execute_impl if self.attributes else super().bound

    @property
    def unary(self) -> Callable[[Any], Awaitable[Any]] | None:
        """The function itself if it takes just the input and there is nothing to note."""
        return None if self.attributes else super().unary

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        if self.attributes:
            frames.annotate(**self.attributes)
        return await super()._execute_impl(context, input_data)


class _Operation(WorkflowPrimitive[Any, Any]):
    """The node that stands for the calls of one function; what happens on such a call."""

    def __init__(self, name: str, attributes: dict[str, object]) -> None:
        self._name = name
        self.attributes = attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.attributes)

    def make_step(self, step: FunctionPrimitive[Any, Any]) -> OperationPrimitive:
        """Return the nominal primitive."""
        return OperationPrimitive(step.function, name=self.name, attributes=self.attributes)

    async def call_async(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call an asynchronous function, observed."""
        state = engine.listening
        if state is not None:
            state = engine.state_for_run(state)
        if state is None:
            return await function(*args, **kwargs)
        call = _Call(self, state, args)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return result

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a synchronous function, observed."""
        state = engine.listening
        if state is not None:
            state = engine.state_for_run(state)
        if state is None:
            return function(*args, **kwargs)
        call = _Call(self, state, args)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return result


class _Call:
    """One call that is observed."""

    __slots__ = ("_frame", "_site", "_started", "_token")

    _frame: frames.Frame
    _token: Token[frames.Frame | None]

    def __init__(self, node: _Operation, state: engine.Listening, args: tuple[Any, ...]) -> None:
        if not state.framed():
            self._site: engine.Site | None = node.site(state, node.name)
            self._started = clock.now()
            return
        self._site = None
        self._frame = frame = frames.enter(node, _context(args), state)
        self._token = engine.current.set(frame)
        frames.begin(frame)
        if node.attributes:
            frame.note(node.attributes)

    def end(self, error: BaseException | None) -> None:
        """Record the call."""
        site = self._site
        if site is None:
            # A coroutine that nobody finished is closed by the garbage collector, in a context of
            # another's, where there is nothing to take back.
            with suppress(ValueError):
                engine.current.reset(self._token)
            frames.close(self._frame, error)
        elif error is None:
            site.took(clock.now() - self._started)
        else:
            site.failed(clock.now() - self._started, error)


def _context(args: tuple[Any, ...]) -> WorkflowContext:
    """Return the context of the enclosing run, else one among the arguments, else a fresh one."""
    frame = engine.current.get()
    if frame is not None:
        return frame.context
    if args and isinstance(args[0], WorkflowContext):
        return args[0]
    return FreshContext()


def operation(
    function: Callable[P, R], name: str | None, attributes: Mapping[str, object] | None = None
) -> DecoratedFunction[P, R]:
    """Return `function` as an observed operation.

    Args:
        function: Synchronous or asynchronous, with any parameters.
        name: In paths, records and metrics. Default: the function's name.
        attributes: Noted on every record.

    Raises:
        ConfigurationError: The name cannot stand in a path.
        CompositionError: The function cannot be decorated; see `DecoratedFunction`.
    """
    chosen = check_name(name if name is not None else _name_of(function))
    node = _Operation(chosen, dict(attributes or {}))
    around = node.call_async if is_async(function) else node.call
    return DecoratedFunction(function, around=around, make_step=node.make_step)


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return str(name).strip("<>")


@overload
def trace_operation(function: Callable[P, R], /) -> DecoratedFunction[P, R]: ...
@overload
def trace_operation(
    *, span_name: str | None = None
) -> Callable[[Callable[P, R]], DecoratedFunction[P, R]]: ...
def trace_operation(function: Any = None, /, *, span_name: str | None = None) -> Any:
    """Make each call of a function a span, below whatever calls it. With or without parentheses.

    The function is called as before, its exceptions pass unchanged, and it is a step as well. What
    it calls (workflows, other operations, outgoing requests with `inject`) stands below its span.

    Args:
        function: Synchronous or asynchronous, with any parameters.
        span_name: Default: the function's name.

    Raises:
        ConfigurationError: The name cannot stand in a path.
        CompositionError: The function is a generator.

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives.observability.tracing import collect_records
        >>> @trace_operation(span_name="data_processing")
        ... async def process(text: str, *, times: int = 1) -> str:
        ...     return text * times
        >>> with collect_records() as records:
        ...     print(asyncio.run(process("ab", times=2)))
        abab
        >>> [record.path for record in records]
        ['data_processing']
    """
    if function is not None:
        return operation(function, span_name)
    return partial(operation, name=span_name)
