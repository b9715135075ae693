"""`Wrapper`: the base of primitives that put something around one step.

Most runs of a wrapper succeed, and all that listens to most of them is the default recorder. A
class makes these runs cheap in its `_execute_impl(context, input_data, site=None)`:

    place = site
    if place is None and engine.listening is not None:
        place = self._find_place()
        if place is None:
            return await self._observed(...)  # somebody wants frames: the long way, by a `Run`
    direct = self._direct
    result = await (
        direct(input_data) if direct is not None else self.start(context, input_data, place)
    )

and counts the call where there is a place: `(place.well or place.stand_alone(self))(began)`, or
`place.went_wrong(self, began, error)`, or `place.ended(began)` where the step was not called. Most
wrappers stand around one asynchronous function that takes just the input; that is `self._direct`,
and needs no context. So such a class says `_alone = _execute_impl`: when it is executed by itself,
the engine then leaves the context out (None) from the second run on, and it makes one when it needs
it. Where the context is None, a site that is given is the wrapper's own: a `Run` finds it by
itself, and must not be given it, or it would take it for one that a composite above counts at.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from tta_dev_primitives.core import engine
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

    def start(
        self, context: Any, input_data: Any, place: engine.Site | None = None
    ) -> Awaitable[Any]:
        """Start the first step where nobody wants frames; the result is to be awaited at once.

        Args:
            context: The run's context.
            input_data: The step's input.
            place: Where the run is counted; the caller counts the step's call as well.
        """
        bound = self._bound or self._bind()
        direct = self._direct
        if direct is not None:
            return direct(input_data)
        if place is not None:
            bound = (place.pairs or self.calls_at(place))[0]
        return bound(context, input_data)

    def _bind(self) -> Callable[..., Awaitable[Any]]:
        """Find what to call: the bare function where it takes just the input."""
        node = self._steps[0]
        self._direct = node.unary if isinstance(node, FunctionPrimitive) else None
        self._bound = self.calls[0]
        return self._bound

    def _find_place(self) -> engine.Site | None:
        """Return where a run by itself is counted; None if frames are wanted or nobody listens."""
        state = engine.listening
        if state is not None:
            state = engine.state_for_run(state)
        if state is None or state.always_framed or (state.log_possible() and state.framed()):
            return None
        place = self._place
        if place is None or place.state is not state:
            place = self.site(state, self.name)
            self.stand_at(place)
        return place

    def stand_at(self, site: engine.Site) -> None:
        """Remember the place at which further runs by itself are counted (for the engine)."""
        if self._place is not site:
            if self._bound is None:
                self._bind()
            site.outermost = True
            site.stand_alone(self)
            self._place = site

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
