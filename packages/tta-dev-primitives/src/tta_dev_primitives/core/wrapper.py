"""`Wrapper`: the base of primitives that put something around one step.

Most wrappers stand around one asynchronous function that takes just the input, and most runs of
them succeed. A class makes these runs cheap in its `_execute_impl(context, input_data, site=None)`:
where `self._direct` is set and nobody listens, or only the recorder does (then a composite above
has given `site`), it awaits `self._direct(input_data)` at once, and tells `site.alone` how long
that took. Only when something else than a plain result comes out, it goes the long way. Such a
class says `_alone = _execute_impl`: when it is executed by itself, the engine then leaves the
context out (None) from the second run on, and it makes one when it needs it.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from tta_dev_primitives.core.base import (
    MISSING,
    Composite,
    FunctionPrimitive,
    WorkflowPrimitive,
    as_primitive,
    path_safe,
)
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core import engine

__all__ = ("Wrapper", "called", "decorate_async", "whole_step")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)


class Wrapper(Composite[TIn, TOut]):
    """A composite with one step that matters most; its types are those of that step.

    A subclass sets `_opens_frame` itself, beside its `_execute_impl` that takes a site.
    """

    kind = "wrapper"
    _opens_frame = True
    passes_context: ClassVar[bool] = False
    """Whether this very class only hands the context on: no result of its own depends on it."""
    _bound: Callable[..., Awaitable[Any]] | None = None

    @property
    def signature(self) -> tuple[Any, Any]:
        """The types of the step inside."""
        return self._steps[0].signature

    def start(self, context: Any, input_data: Any) -> Awaitable[Any]:
        """Start the first step where nobody listens; the result is to be awaited at once."""
        direct = self._direct
        if direct is not None:
            return direct(input_data)
        return (self._bound or self._bind())(context, input_data)

    def _bind(self) -> Callable[..., Awaitable[Any]]:
        """Find what to call: the bare function where it takes just the input."""
        node = self._steps[0]
        self._direct = node.unary if isinstance(node, FunctionPrimitive) else None
        self._bound = self.calls[0]
        return self._bound

    def stand_at(self, site: engine.Site) -> None:
        """Remember the place at which further runs are counted by `_alone` (for the engine)."""
        if self._bound is None:
            self._bind()
        super().stand_at(site)

    def _copy(self) -> Any:
        copy = super()._copy()
        copy._direct = None
        copy._bound = None
        return copy


def whole_step(
    candidate: object, *, role: str, streams: bool = False
) -> WorkflowPrimitive[Any, Any]:
    """Return `candidate` as a primitive whose result is there when its call ends.

    Args:
        candidate: A primitive or a callable.
        role: What it is, for the error's text.
        streams: Whether an async generator function will do: the wrapper acts on its stream.

    Raises:
        CompositionError: It is neither, or a generator function: calling one does nothing yet, so
            there is nothing that could be repeated, timed or kept.
    """
    primitive = as_primitive(candidate, role=role)
    function: Any = getattr(primitive, "function", None)
    while isinstance(function, partial):
        function = cast("Any", function).func
    if inspect.isgeneratorfunction(function) or (
        inspect.isasyncgenfunction(function) and not streams
    ):
        message = (
            f"{role}: {primitive.name!r} is a generator function, and calling it runs nothing "
            f"yet; give a function that returns its whole result"
        )
        raise CompositionError(message)
    return primitive


def decorate_async(
    target: Any, wrap: Callable[..., Wrapper[Any, Any]], options: dict[str, Any], *, decorator: str
) -> Any:
    """Do what `Retry(...)` and `Timeout(...)` do with what they are given.

    Args:
        target: A primitive, an asynchronous function, or `MISSING`.
        wrap: The class of the wrapper.
        options: Its options; checked at once, before there is anything to wrap.
        decorator: The decorator's name, for errors.

    Returns:
        The wrapper of a primitive, the decorated function of a function, or a decorator.

    Raises:
        CompositionError: The target is neither.
        ConfigurationError: An option is out of range.
    """
    if target is MISSING:
        wrap(_nothing, **options)

        def decorator_of(given: Any) -> Any:
            return decorate_async(given, wrap, options, decorator=decorator)

        return decorator_of
    from tta_dev_primitives.core.decorated import DecoratedFunction  # noqa: PLC0415 - on demand

    decorated = isinstance(cast("object", target), DecoratedFunction)
    if isinstance(cast("object", target), WorkflowPrimitive) and not decorated:
        return wrap(target, **options)
    if not callable(cast("object", target)):
        whole_step(target, role=f"what is given to {decorator}()")
    if not is_async(target):
        name = getattr(target, "__name__", repr(target))
        message = (
            f"@{decorator} is for asynchronous functions, whose pauses do not hold up others; "
            f"{name!r} is synchronous: as a step, write {wrap.__name__}({name}, ...)"
        )
        raise CompositionError(message)
    named = {"name": path_safe(target.__name__), **options}
    calls = wrap(called(target), **named)

    def around(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return calls.execute((function, args, kwargs))

    def make_step(primitive: FunctionPrimitive[Any, Any]) -> WorkflowPrimitive[Any, Any]:
        return wrap(as_primitive(primitive.function), **named)

    return DecoratedFunction(target, around=around, make_step=make_step)


def called(function: Callable[..., Any]) -> FunctionPrimitive[Any, Any]:
    """Return a primitive whose input is a call: the function, positional and keyword arguments.

    Args:
        function: Gives its name, and says whether the calls are asynchronous.
    """
    primitive = FunctionPrimitive[Any, Any](_call, name=path_safe(function.__name__))
    primitive.is_async = is_async(function)
    return primitive


def _call(call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    return call[0](*call[1], **call[2])


async def _nothing() -> None:
    """Stand in for the step while only the options are checked."""
