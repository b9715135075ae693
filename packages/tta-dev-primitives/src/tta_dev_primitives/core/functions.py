"""Functions as steps: how a callable is called as one, and the primitive that stands for it."""

from __future__ import annotations

import inspect
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core.base import (
    WorkflowPrimitive,
    as_primitive,
    check_name,
    nested_awaitable,
    snake_case,
)
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core.base import Bound

__all__ = (
    "Chooser",
    "Form",
    "FunctionPrimitive",
    "form_of",
    "function_name",
    "in_thread",
    "is_async",
    "step",
    "streams",
)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")

Form: TypeAlias = Literal["input", "context, input", "context", "nothing"]

_CONTEXT_NAMES = frozenset({"context", "ctx", "workflow_context"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(call)


def streams(function: object) -> bool:
    """Whether calling `function` gives an asynchronous generator."""
    return inspect.isasyncgenfunction(function)


def form_of(function: Callable[..., Any]) -> Form:
    """Tell which arguments `function` wants; the rules stand in `step`.

    Raises:
        CompositionError: It wants more than a step can give, or `(data, context)`.
    """
    try:
        parameters = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a C function or class without a signature
        return "input"
    shown = getattr(function, "__qualname__", repr(function))
    keyword_only = [
        p.name
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
    ]
    if keyword_only:
        message = (
            f"{shown!r} needs the keyword argument {', '.join(keyword_only)}, which a step is not "
            f"given; bind it with functools.partial"
        )
        raise CompositionError(message)
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    required = [p for p in positional if p.default is inspect.Parameter.empty]
    if len(required) == 1:
        return "context" if _is_context(required[0]) else "input"
    if len(required) == 2:  # noqa: PLR2004 - the context and the input
        first, second = required
        if _is_context(second) and not _is_context(first):
            message = (
                f"{shown!r} takes ({first.name}, {second.name}); a step with two parameters takes "
                f"the context first: ({second.name}, {first.name})"
            )
            raise CompositionError(message)
        return "context, input"
    if required:
        message = (
            f"{shown!r} needs {len(required)} arguments ({', '.join(p.name for p in required)}); "
            f"a step gets the input, or the context and the input"
        )
        raise CompositionError(message)
    takes_any = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return "input" if positional or takes_any else "nothing"


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return parameter.name in _CONTEXT_NAMES
    if isinstance(annotation, str):
        return annotation.strip("'\"").rpartition(".")[2] == "WorkflowContext"
    return annotation is WorkflowContext


def function_name(function: object) -> str:
    """Return what a function is called, in a form that can stand in a path."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    name = getattr(function, "__name__", None) or snake_case(type(function))
    return "".join("_" if c in "/[]" else c for c in str(name).strip("<>")) or "step"


class FunctionPrimitive(WorkflowPrimitive[TIn, TOut]):
    """A function, or any callable, as a primitive. Made by `step` and wherever a step is accepted.

    Args:
        function: Synchronous or asynchronous, with 0, 1 or 2 required positional parameters.
        name: Default: the function's `__name__`.
    """

    _signature: tuple[Any, Any] | None = None

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        self._name = check_name(name) if name is not None else function_name(function)
        self.form: Form = form_of(function)
        self.is_async: bool = is_async(function)

    @property
    def bound(self) -> Bound:
        """What a composite calls: the function itself where its form allows."""
        function, form = self.function, self.form
        if self.is_async:
            if form == "context, input":
                return function
            if form == "input":
                return lambda _, input_data: function(input_data)
            if form == "context":
                return lambda context, _: function(context)
            return lambda _context, _input_data: function()
        return self._execute_impl

    @property
    def unary(self) -> Callable[[Any], Awaitable[Any]] | None:
        """The function itself if it is asynchronous and takes just the input, else None."""
        return self.function if self.is_async and self.form == "input" else None

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        form = self.form
        result: Any
        if form == "input":
            result = self.function(input_data)
        elif form == "context, input":
            result = self.function(context, input_data)
        elif form == "context":
            result = self.function(context)
        else:
            result = self.function()
        if hasattr(type(result), "__await__"):  # pyright: ignore[reportUnknownArgumentType] - the class of an Any
            result = await result
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.name, result)
        return result

    @property
    def signature(self) -> tuple[Any, Any]:
        """The types of input and output as annotated on the function."""
        found = self._signature
        if found is None:
            from tta_dev_primitives.core.annotations import of_function  # noqa: PLC0415 - on demand

            found = self._signature = of_function(self.function, self.form)
        return found


class Chooser:
    """A condition or selector: called by the rules of a step, but not a step itself.

    Args:
        function: Synchronous or asynchronous, with the parameters of a step; or a primitive.
        role: What it is, for an error's text.

    Raises:
        CompositionError: It cannot be called as a step is.
    """

    __slots__ = ("bound", "name", "primitive")

    def __init__(self, function: object, *, role: str) -> None:
        lifted = as_primitive(function, role=role)
        self.name: str = lifted.name
        self.primitive: WorkflowPrimitive[Any, Any] = lifted  # for its annotations
        self.bound: Bound = lifted.bound

    def __call__(self, context: WorkflowContext, input_data: object) -> Awaitable[Any]:
        """Return what it says, to be awaited."""
        return self.bound(context, input_data)

    def __reduce__(self) -> tuple[Callable[..., Chooser], tuple[object]]:
        return partial(Chooser, role="choice"), (self.primitive,)  # `bound` may be a lambda


@overload
def step(
    function: WorkflowPrimitive[In, Out], /, *, name: str | None = None
) -> WorkflowPrimitive[In, Out]: ...
@overload
def step(
    function: Callable[[In], Awaitable[Out]], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
@overload
def step(
    function: Callable[[In], Out], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
@overload
def step(
    function: Callable[[WorkflowContext, In], Awaitable[Out]], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
@overload
def step(
    function: Callable[[WorkflowContext, In], Out], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
@overload
def step(
    function: Callable[[], Awaitable[Out]], /, *, name: str | None = None
) -> FunctionPrimitive[object, Out]: ...
@overload
def step(
    function: Callable[[], Out], /, *, name: str | None = None
) -> FunctionPrimitive[object, Out]: ...
def step(function: Any, /, *, name: str | None = None) -> Any:
    """Make a primitive of a function; also as a decorator.

    Only required positional parameters count. One is the input. Two are the context and the
    input, in this order. None: the function is called without arguments, or with the input where
    it accepts one (`max`, `print`) or tells nothing about its parameters (`int`). A lone parameter
    annotated `WorkflowContext` gets the context.

    Synchronous functions run inline, so a slow one holds up the event loop: see `in_thread`.

    Args:
        function: Synchronous or asynchronous.
        name: Default: the function's `__name__`.

    Raises:
        CompositionError: Its parameters cannot be those of a step.

    Example:
        >>> @step
        ... async def shout(text: str) -> str:
        ...     return text.upper()
        >>> (shout >> len).run("hello")
        5
    """
    made = as_primitive(function, role="argument of step()")
    return made if name is None else made.named(name)


@overload
def in_thread(
    function: Callable[[WorkflowContext, In], Out], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
@overload
def in_thread(
    function: Callable[[In], Out], /, *, name: str | None = None
) -> FunctionPrimitive[In, Out]: ...
def in_thread(function: Callable[..., Any], /, *, name: str | None = None) -> Any:
    """Make a primitive that runs a synchronous function in a thread of the loop's executor.

    Context variables are there, so logs and nested workflows are observed in their place. A
    cancelled call returns at once; the thread finishes the function by itself, since Python cannot
    interrupt it.

    Args:
        function: Synchronous, with the parameters of a step.
        name: Default: the function's `__name__`.

    Raises:
        CompositionError: The function is asynchronous, or its parameters are not those of a step.
    """
    inner = FunctionPrimitive[Any, Any](function, name=name)
    if inner.is_async:
        message = f"in_thread takes a synchronous function; {inner.name!r} is asynchronous"
        raise CompositionError(message)
    inner.function = _Threaded(function)
    inner.is_async = True
    return inner


class _Threaded:
    """Calls a function in a thread, with the caller's context variables."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __call__(self, *args: Any) -> Awaitable[Any]:
        import asyncio  # noqa: PLC0415 - who calls this has loaded it; composing needs none of it

        return asyncio.to_thread(self.__wrapped__, *args)
