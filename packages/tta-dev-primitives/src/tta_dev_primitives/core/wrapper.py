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

A class that has next to nothing to do while all goes well goes further: its `execute` is a
coroutine itself, which does what `_execute_impl` would, and asks less. See `StandBy`, which makes
this file a little longer than the house rule allows: it is one with what it shortens.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import (
    MISSING,
    Composite,
    WorkflowPrimitive,
    as_primitive,
    nested_awaitable,
    path_safe,
)
from tta_dev_primitives.core.context import FreshContext, WorkflowContext, fresh_context
from tta_dev_primitives.core.functions import FunctionPrimitive, is_async
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.errors import RejectedError

__all__ = (
    "Failed",
    "LongWay",
    "StandBy",
    "Wrapper",
    "called",
    "decorate_async",
    "tuned",
    "whole_step",
)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
R = TypeVar("R", bound="RejectedError")

_execute: Callable[..., Coroutine[Any, Any, Any]] = WorkflowPrimitive.execute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - the class itself has no type arguments


class Wrapper(Composite[TIn, TOut]):
    """A composite with one step that matters most; its types are those of that step.

    A subclass sets `_opens_frame` itself, beside its `_execute_impl` that takes a site.
    """

    kind = "wrapper"
    _opens_frame = True
    passes_context: ClassVar[bool] = False
    """Whether this very class only hands the context on: no result of its own depends on it."""
    _bound: Callable[..., Awaitable[Any]] | None = None
    _shortcut: ClassVar[Any] = None
    """An `execute` that does what `_execute_impl` does, only sooner; for a wrapper run by itself.

    It is taken for inputs of the class `_takes`, and tells them from contexts by that.
    """
    _idle: bool = True
    """Whether the shortcut is open to runs of this very wrapper."""
    # What the shortcut reads has no defaults in the class: from Python 3.12 on, the interpreter
    # reads an attribute several times slower where the instance's own hides one of its class.
    _takes: type | None
    _gives: type | None
    """The class of what the step gave before: what has it is a result, and nothing unfinished."""
    _quick: Callable[[Any], Awaitable[Any]]
    _admit: Callable[[], float | None] | None
    """Takes what a run needs and says when that began, or None where it has to wait."""
    _heard_at: engine.Site | None

    if not TYPE_CHECKING:

        def __new__(cls, *args, **kwargs):  # noqa: ANN002, ANN003, ANN204
            """Make an instance that knows of no input yet."""
            del args, kwargs
            made = super().__new__(cls)
            made._takes = made._gives = made._admit = made._heard_at = None
            return made

    @property
    def bound(self) -> Callable[..., Awaitable[Any]]:
        """What a composite calls for this step."""
        kind = type(self)
        return self._execute_impl if kind.execute is kind._shortcut else super().bound

    def start_alone(self, context: Any, input_data: Any) -> Coroutine[Any, Any, Any]:
        """Start a run without a context that takes no shortcut, and open that if it can.

        Args:
            context: The first argument of `execute`.
            input_data: The second.

        Raises:
            TypeError: Two arguments in the wrong order, or none.
        """
        if self._idle and not isinstance(context, WorkflowContext) and context is not MISSING:
            if self._bound is None:
                self._bind()
            if self._direct is not None:
                self._quick = self._shortened(self._direct)
                self._takes = type(context)
        return _execute(self, context, input_data)

    def _shortened(self, direct: Callable[[Any], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return what the shortcut awaits: the function inside, or what does more around it."""
        return direct

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

    def _told(
        self,
        error: R,
        context: WorkflowContext | None,
        place: engine.Site | None,
        began: float,
    ) -> R:
        """Return an error that refuses a run before its step, once it is counted and noted.

        To be raised in the run's own coroutine: each frame that an error leaves costs as much as
        an await.
        """
        if place is not None:
            place.ended(began, error)
        if context is None:
            context = fresh_context(began)
        if isinstance(context, FreshContext):
            notes.defer(error, self, context)
        else:
            notes.locate(error, self, None, context)
        return error

    def _bind(self) -> Callable[..., Awaitable[Any]]:
        """Find what to call: the bare function where it takes just the input."""
        self._direct = self._steps[0].unary
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
            self._place = self._heard_at = site

    def _leave_place(self) -> None:
        super()._leave_place()
        self._heard_at = None

    def _copy(self) -> Any:
        copy = super()._copy()
        copy._direct = None
        copy._bound = None
        copy._takes = copy._gives = None
        vars(copy).pop("_quick", None)
        return copy

    async def _complete(self, result: Any) -> None:
        """See to a step's result that is none yet: wait for the first item of a stream.

        Raises:
            NestedAwaitableError: It is a coroutine.
        """
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self._steps[0].name, result)
        await result.prime()


def tuned(function: Any) -> Any:
    """Return a copy of a function for a class of its own.

    The interpreter tunes the code of a function to the class that it meets there; where several
    classes share it, they undo that for one another, which costs half an await per run.
    """
    return FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


class LongWay:
    """A run by itself that takes no shortcut: `with LongWay(...) as run: return await run`.

    A context of the caller's is in use while it lasts, and free again afterwards; the coroutine
    that awaits it leaves no entry in the traceback.

    Args:
        wrapper: What is executed.
        context: The first argument of its `execute`.
        input_data: The second.

    Raises:
        TypeError: Two arguments in the wrong order, or none.
    """

    __slots__ = ("_owned", "_run")

    def __init__(self, wrapper: Wrapper[Any, Any], context: Any, input_data: Any) -> None:
        self._owned: WorkflowContext | None = None
        if input_data is MISSING or not isinstance(context, WorkflowContext):
            self._run: Awaitable[Any] = wrapper.start_alone(context, input_data)
            return
        if context.started is None:  # else it is a run within a run
            context.started = clock.now()
            self._owned = context
        self._run = wrapper._execute_impl(context, input_data)  # pyright: ignore[reportPrivateUsage] - the base's `execute` would put one more coroutine around it

    def __enter__(self) -> Awaitable[Any]:
        return self._run

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._owned is not None:
            self._owned.started = None
        if error is not None:
            engine.hide_frame(error)


class Failed:
    """A run of a `StandBy` whose step has failed.

    Attributes:
        context: The run's context; made here where none was needed so far.
        input_data: The step's input.
        began: When the run began, by the engine's clock; None where nobody has asked.
        place: Where the run is counted; the failure is not yet.
        site: The place that a composite above handed down, for a `Run` that goes on.
    """

    __slots__ = ("began", "context", "input_data", "place", "site")

    def __init__(
        self,
        context: WorkflowContext | None,
        input_data: Any,
        began: float | None,
        place: engine.Site | None,
        site: engine.Site | None = None,
    ) -> None:
        self.context: WorkflowContext = context or fresh_context(began or 0.0)
        self.input_data: Any = input_data
        self.began: float | None = began
        self.place: engine.Site | None = place
        self.site: engine.Site | None = None if context is None else site


class StandBy(Wrapper[TIn, TOut]):
    """A wrapper that has nothing to do from the start of its step until that fails.

    Executed by itself, it mostly takes the shortcut: one coroutine, `execute` itself, around that
    of the step. That is open to inputs of the class that a run before had (`_takes`), where nobody
    listens, or only the recorder, at a place that is known (`_heard_at`). Each question costs up to
    a tenth of the whole there, so what can be known before is kept: the function to call
    (`_quick`), what lets a run in (`_admit`), the class of a result (`_gives`). All else is asked
    when it happens: a run is not let in (`_refusal`), a result is none yet (`_complete`), the step
    fails (`_after`). Any other run goes the `LongWay`, which opens the shortcut to its input's
    class.

    A subclass takes it over by `execute = _shortcut = tuned(StandBy.execute)`, and does the same in
    its `_execute_impl`, for runs inside a composite or with a context.
    """

    if not TYPE_CHECKING:  # the signatures are those of the base

        async def execute(  # noqa: ANN201 - as above
            self,
            context=MISSING,  # noqa: ANN001 - as the base has it; the input, where that stands alone
            input_data=MISSING,  # noqa: ANN001 - as above
        ):
            """Run the step; see `WorkflowPrimitive.execute`."""
            state = engine.listening
            if (
                type(context) is not self._takes
                or input_data is not MISSING
                or (
                    state is not None  # else there is no `place`, from here on
                    and (
                        (place := self._heard_at) is None
                        or place.state is not state
                        or state.log_possible()
                    )
                )
            ):
                with LongWay(self, context, input_data) as run:
                    return await run
            step, admit = self._quick, self._admit
            began = clock.now() if admit is None else admit()
            if began is None:
                place = None if state is None else place
                refused = self._refusal(place)
                if refused is not None:
                    try:
                        raise refused
                    finally:
                        del refused  # it refers to this frame
                return await self._execute_impl(None, context, place)
            try:
                result = await step(context)
                if type(result) is not self._gives and self._unfinished(result):
                    await self._complete(result)
            except BaseException as error:
                place = None if state is None else place
                more = self._after(error, Failed(None, context, began, place))
                if more is None:
                    raise
            else:
                if state is not None:
                    place.well(began)
                return result
            return await more  # out of the `except`: what it raises is no error of that one

    def _refusal(self, place: engine.Site | None) -> RejectedError | None:
        """Return the error, if a run for which `_admit` has given None must not wait either.

        Args:
            place: Where the run is counted, and so the error has been.
        """
        del place
        return None

    def _unfinished(self, result: object) -> bool:
        """Whether a result of the step is none yet; the class of one that is, is remembered."""
        kind = type(result)
        if kind in engine.unfinished:
            return True
        self._gives = kind
        return False

    def _after(self, error: BaseException, failed: Failed) -> Coroutine[Any, Any, Any] | None:
        """Decide what follows a failure of the step, from inside the `except` that caught it.

        Args:
            error: What it raised.
            failed: The run.

        Returns:
            What gives the run's result in its place, to be awaited at once; None where the error is
            to come out, noted and counted.
        """
        raise NotImplementedError


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
