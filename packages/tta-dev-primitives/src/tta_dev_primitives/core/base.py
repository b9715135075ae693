"""`WorkflowPrimitive`: the thing that workflows are made of, and that a workflow is.

A primitive turns an input into an output, asynchronously, given the run's context. Composites are
primitives too, so everything that holds for a step holds for a workflow. A composite binds its
steps once (`bound`) and then calls them directly: between two steps stands nothing of ours but one
`await`. Functions become primitives wherever one is accepted, by the rules of `step`.

This file is longer than the house rule allows because operators, coercion and the base class need
one another.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from abc import ABC
from contextlib import suppress
from functools import partial
from inspect import isasyncgenfunction
from types import CoroutineType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.context import FreshContext, WorkflowContext
from tta_dev_primitives.errors import (
    CompositionError,
    ConfigurationError,
    NestedAwaitableError,
    NestedRunError,
    PathError,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Coroutine,
        Iterator,
        Sequence,
    )
    from contextvars import Token

    from tta_dev_primitives.core.graph import Description
    from tta_dev_primitives.core.parallel import FanOut
    from tta_dev_primitives.core.sequential import SequentialPrimitive
    from tta_dev_primitives.core.stream import Stream

__all__ = (
    "AnyStep",
    "Composite",
    "FunctionPrimitive",
    "WorkflowContext",
    "WorkflowPrimitive",
    "as_primitive",
    "in_thread",
    "step",
)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
Mid = TypeVar("Mid")
A = TypeVar("A")
B = TypeVar("B")

Bound: TypeAlias = "Callable[[WorkflowContext, Any], Awaitable[Any]]"
AnyStep: TypeAlias = "WorkflowPrimitive[Any, Any] | Callable[..., Any]"
"""Whatever is accepted as a step where its types are not followed."""
AsyncStep: TypeAlias = "WorkflowPrimitive[In, Out] | Callable[[In], Awaitable[Out]] | Callable[[WorkflowContext, In], Awaitable[Out]] | Callable[[], Awaitable[Out]]"  # noqa: E501 - checkers want one literal
"""A primitive, or an asynchronous function in any form of a step."""
SyncStep: TypeAlias = (
    "Callable[[In], Out] | Callable[[WorkflowContext, In], Out] | Callable[[], Out]"
)
"""A synchronous function in any form of a step; in overloads it stands after `AsyncStep`."""


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Any = _Missing()
_SITES_KEPT = 16  # places remembered per primitive; more would be one made anew for every run
_local = threading.local()


def _takes_site(implementation: Any) -> bool:
    """Whether a class's `_execute_impl` takes its place as a third argument."""
    code = getattr(implementation, "__code__", None)
    return code is not None and "site" in code.co_varnames[: code.co_argcount]


class WorkflowPrimitive(ABC, Generic[TIn, TOut]):
    """One step of a workflow, or a whole workflow: takes a `TIn`, gives a `TOut`.

    Subclass it and implement `_execute_impl`; observation, error notes, operators and the
    synchronous `run` come with it. A primitive should hold no state that changes between runs.

    Example:
        >>> import asyncio
        >>> class Length(WorkflowPrimitive[str, int]):
        ...     async def _execute_impl(self, context: WorkflowContext, input_data: str) -> int:
        ...         return len(input_data)
        >>> asyncio.run(Length().execute("four"))
        4
    """

    _name: str | None = None
    _sites: dict[str, engine.Site] | None = None
    # A wrapper that has run once and whose step takes just the input runs it by `_alone`, without
    # a context until something fails: see `core/wrapper.py`.
    _direct: Callable[[Any], Awaitable[Any]] | None = None
    _place: engine.Site | None = None
    # Composites of ours record their steps themselves: their `_execute_impl` takes a `site`.
    _opens_frame: ClassVar[bool] = False
    kind: ClassVar[str] = "leaf"
    """What a picture shows it as: leaf, sequence, parallel, choice, loop, batch or wrapper."""

    # --- names ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name in paths, records, spans and pictures.

        Default: the class name in snake case without `Primitive`.
        """
        return self._name or self.type_name

    @name.setter
    def name(self, value: str) -> None:
        self._name = check_name(value)
        self._place = None  # it has the name before

    @property
    def type_name(self) -> str:
        """The class in snake case without `Primitive`, as in `sequential`."""
        return _type_name(type(self))

    def named(self, name: str) -> Self:
        """Return a copy of this primitive under another name.

        Args:
            name: A text that is not empty and has no `/`, `[` or `]`.

        Raises:
            ConfigurationError: The name is not such a text.
        """
        copy = self._copy()
        copy._name = check_name(name)
        return copy

    def _copy(self) -> Self:
        """Return a shallow copy that remembers no places."""
        copy: Self = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy._sites = None
        copy._place = None
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled or copied: what was built, not what runs have left behind."""
        return vars(self._copy())

    # --- running ----------------------------------------------------------------------------

    @overload
    async def execute(self, context: WorkflowContext, input_data: TIn) -> TOut: ...
    @overload
    async def execute(self, input_data: TIn, /) -> TOut: ...
    @overload
    async def execute(self, *, input_data: TIn) -> TOut: ...
    def execute(
        self, context: Any = MISSING, input_data: Any = MISSING
    ) -> Coroutine[Any, Any, TOut]:
        """Run the primitive: `await p.execute(context, data)`, or `await p.execute(data)`.

        Args:
            context: The run's context. Left out, a fresh one is made.
            input_data: The input.

        Returns:
            What the primitive returns.

        Raises:
            TypeError: Two arguments in the wrong order, or none.
            Exception: Whatever a step raises, with its own type and one note that says where.
        """
        if input_data is MISSING:
            kind = context.__class__
            if kind is FreshContext or kind is WorkflowContext or context is MISSING:
                raise TypeError(missing_input(self, context))
            if self._direct is not None:
                state = engine.listening
                if state is None:
                    return self._alone(None, context, None)
                site = self._place
                if (
                    site is not None
                    and site.state is state
                    and not (state.always_framed or state.log_possible())
                ):
                    return self._alone(None, context, site)
            input_data = context
            context = FreshContext()
            context.started = clock.now()
            return self._run(context, input_data)
        try:
            if context.started is not None:  # a run within a run: the outer one owns the start
                return self._run(context, input_data)
        except AttributeError:
            if context is not MISSING:
                raise TypeError(swapped(self, context, input_data)) from None
            return self.execute(input_data)
        return self._run_owned(context, input_data)

    def _alone(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None
    ) -> Coroutine[Any, Any, TOut]:
        """Run as the outermost call, where nobody listens or only the recorder does.

        Args:
            context: None; one is made when it is needed.
            input_data: The input.
            site: This primitive's own place, prepared by `Site.stand_alone`; None unobserved.
        """
        del site
        context = FreshContext()
        context.started = clock.now()
        return self._run(context, input_data)

    async def _execute_impl(self, context: WorkflowContext, input_data: TIn) -> TOut:
        """Do the work: the one method that a subclass writes.

        Args:
            context: The run's context.
            input_data: The input.

        Returns:
            The output.
        """
        del context, input_data
        message = (
            f"{type(self).__qualname__} defines no `async def _execute_impl(self, context, "
            f"input_data)`; every primitive needs one"
        )
        raise ConfigurationError(message)

    async def _run(self, context: WorkflowContext, input_data: Any) -> TOut:
        """Run as the outermost call. Composites replace this by their `_execute_impl`."""
        state = engine.listening
        if state is not None:
            state = engine.state_for_run(state)
        call = self.bound
        result: TOut
        frame: engine.Frame | None = None
        try:
            if state is None:
                result = await call(context, input_data)
            elif not state.framed():
                result = await engine.count(self.site(state, self.name), call, context, input_data)
            else:
                frame = engine.enter(self, context, state)
                token = engine.current.set(frame)
                engine.begin(frame)
                try:
                    result = await call(context, input_data)
                finally:
                    engine.leave(token)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.name, result)  # noqa: TRY301 - what follows sees to it as to any error
        except BaseException as error:
            if isinstance(error, Exception):
                notes.locate(error, self, None, context)
            if frame is not None:
                engine.close(frame, error)
            raise
        if frame is not None:
            engine.close_with(frame, result)
        return result

    async def _run_owned(self, context: WorkflowContext, input_data: Any) -> TOut:
        """Run with a context of the caller's, which may be used again for a later run."""
        context.started = clock.now()
        try:
            return await self.execute(context, input_data)
        finally:
            context.started = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Chosen per class, so that a run costs no extra coroutine; checkers see fixed methods.
        own: Any = cls
        base: Any = WorkflowPrimitive
        implementation = cls.__dict__.get("_execute_impl")
        if implementation is not None:
            if "_opens_frame" not in cls.__dict__:
                cls._opens_frame = _takes_site(implementation)
            if "execute" not in cls.__dict__:  # of SequentialPrimitive, whose execute has the loop
                own.execute = base.execute
        own._run = own._execute_impl if cls._opens_frame else base._run

    @property
    def bound(self) -> Bound:
        """What a composite calls for this step: `execute` where a subclass wrote its own."""
        if type(self).execute is not WorkflowPrimitive.execute:  # pyright: ignore[reportUnknownMemberType] - the class itself has no type arguments
            return self.execute
        return self._execute_impl

    @property
    def opens_frame(self) -> bool:
        """Whether `bound` takes a place as a third argument (for the engine)."""
        return self._opens_frame

    @overload
    def run(self, context: WorkflowContext, input_data: TIn) -> TOut: ...
    @overload
    def run(self, input_data: TIn, /) -> TOut: ...
    @overload
    def run(self, *, input_data: TIn) -> TOut: ...
    def run(self, context: Any = MISSING, input_data: Any = MISSING) -> TOut:
        """Run the primitive from synchronous code and wait for its result.

        Each thread keeps one event loop for its calls, so that a client which a step opened in one
        call still works in the next.

        Args:
            context: The run's context. Left out, a fresh one is made.
            input_data: The input.

        Raises:
            NestedRunError: An event loop runs in this thread; there, `await p.execute(...)`.
        """
        if asyncio._get_running_loop() is not None:  # the asyncio sources: fast, does not raise
            message = (
                f"run() of {self.name!r} was called where an event loop is running; "
                f"use `await {self.name}.execute(...)` there"
            )
            raise NestedRunError(message)
        loop: _LoopOfThread | None = getattr(_local, "loop", None)
        if loop is None or loop.runner.get_loop().is_closed():
            loop = _local.loop = _LoopOfThread()
        runner = loop.runner
        return runner.run(_awaited(self.execute(context, input_data)))

    @overload
    def stream(
        self: WorkflowPrimitive[In, AsyncIterable[Mid]], context: WorkflowContext, input_data: In
    ) -> Stream[Mid]: ...
    @overload
    def stream(
        self: WorkflowPrimitive[In, AsyncIterable[Mid]], input_data: In, /
    ) -> Stream[Mid]: ...
    @overload
    def stream(
        self: WorkflowPrimitive[In, AsyncIterable[Mid]], *, input_data: In
    ) -> Stream[Mid]: ...
    @overload
    def stream(self, context: WorkflowContext, input_data: TIn) -> Stream[TOut]: ...
    @overload
    def stream(self, input_data: TIn, /) -> Stream[TOut]: ...
    @overload
    def stream(self, *, input_data: TIn) -> Stream[TOut]: ...
    def stream(self, context: Any = MISSING, input_data: Any = MISSING) -> Stream[Any]:
        """Run the primitive and hand out what its last stage yields, as it comes.

        A workflow whose last stage does not stream gives one item, its result. Nothing runs before
        the first item is asked for.

        Args:
            context: The run's context. Left out, a fresh one is made.
            input_data: The input.

        Returns:
            A stream to iterate with `async for`, best inside `async with`, so that leaving early
            closes the source at once.

        Raises:
            TypeError: Two arguments in the wrong order, or none.
        """
        from tta_dev_primitives.core.stream import Stream, as_stream  # noqa: PLC0415 - made of this class

        if input_data is MISSING:
            if context is MISSING or isinstance(context, WorkflowContext):
                raise TypeError(missing_input(self, context))
            input_data, context = context, MISSING
        elif context is not MISSING and not isinstance(context, WorkflowContext):
            raise TypeError(swapped(self, context, input_data))

        async def drive() -> AsyncIterator[Any]:
            arguments = (input_data,) if context is MISSING else (context, input_data)
            async with as_stream(await cast("Any", self.execute)(*arguments)) as items:
                async for item in items:
                    yield item

        return Stream(drive())

    # --- composing --------------------------------------------------------------------------

    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: WorkflowPrimitive[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: Callable[[Mid], Awaitable[Out]], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: Callable[[Mid], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid],
        other: Callable[[WorkflowContext, Mid], Awaitable[Out]],
        /,
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: Callable[[WorkflowContext, Mid], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: Callable[[], Awaitable[Out]], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: WorkflowPrimitive[In, Mid], other: Callable[[], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    def __rshift__(self, other: Any, /) -> Any:
        """Chain: the output of `self` is the input of `other`. The same as `then`."""
        from tta_dev_primitives.core.sequential import chain  # noqa: PLC0415 - made of this class

        return chain(self, as_primitive(other, role="right operand of >>"))

    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: Callable[[In], Awaitable[Mid]], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: Callable[[In], Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out],
        other: Callable[[WorkflowContext, In], Awaitable[Mid]],
        /,
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: Callable[[WorkflowContext, In], Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: Callable[[], Awaitable[Mid]], /
    ) -> SequentialPrimitive[object, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: Callable[[], Mid], /
    ) -> SequentialPrimitive[object, Out]: ...
    def __rrshift__(self, other: Any, /) -> Any:
        """Chain a function in front: `function >> self`."""
        from tta_dev_primitives.core.sequential import chain  # noqa: PLC0415 - made of this class

        return chain(as_primitive(other, role="left operand of >>"), self)

    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: WorkflowPrimitive[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: Callable[[Mid], Awaitable[Out]], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: Callable[[Mid], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid],
        other: Callable[[WorkflowContext, Mid], Awaitable[Out]],
        /,
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: Callable[[WorkflowContext, Mid], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: Callable[[], Awaitable[Out]], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def then(
        self: WorkflowPrimitive[In, Mid], other: Callable[[], Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    def then(self, other: Any, /) -> Any:
        """Chain, as `>>` does; type checkers follow a lambda here, but not after an operator.

        Example:
            >>> step(str.strip).then(lambda text: len(text)).run("  four ")
            4
        """
        from tta_dev_primitives.core.sequential import chain  # noqa: PLC0415 - made of this class

        return chain(self, as_primitive(other, role="argument of then()"))

    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: WorkflowPrimitive[In, B], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: Callable[[In], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: Callable[[In], B], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: Callable[[WorkflowContext, In], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: Callable[[WorkflowContext, In], B], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[In, A], other: Callable[[], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __or__(self: WorkflowPrimitive[In, A], other: Callable[[], B], /) -> FanOut[In, A | B]: ...
    def __or__(self, other: Any, /) -> Any:
        """Fan out: `self` and `other` get the same input and run at once; gives a list."""
        from tta_dev_primitives.core.parallel import fan_out  # noqa: PLC0415 - made of this class

        return fan_out(self, as_primitive(other, role="right operand of |"))

    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: Callable[[In], Awaitable[A]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: Callable[[In], A], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: Callable[[WorkflowContext, In], Awaitable[A]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: Callable[[WorkflowContext, In], A], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: Callable[[], Awaitable[A]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(self: WorkflowPrimitive[In, B], other: Callable[[], A], /) -> FanOut[In, A | B]: ...
    def __ror__(self, other: Any, /) -> Any:
        """Fan out with a function first: `function | self`."""
        from tta_dev_primitives.core.parallel import fan_out  # noqa: PLC0415 - made of this class

        return fan_out(as_primitive(other, role="left operand of |"), self)

    @overload
    def also(
        self: WorkflowPrimitive[In, A], other: WorkflowPrimitive[In, B], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def also(
        self: WorkflowPrimitive[In, A], other: Callable[[In], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def also(self: WorkflowPrimitive[In, A], other: Callable[[In], B], /) -> FanOut[In, A | B]: ...
    @overload
    def also(
        self: WorkflowPrimitive[In, A], other: Callable[[WorkflowContext, In], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def also(
        self: WorkflowPrimitive[In, A], other: Callable[[WorkflowContext, In], B], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def also(
        self: WorkflowPrimitive[In, A], other: Callable[[], Awaitable[B]], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def also(self: WorkflowPrimitive[In, A], other: Callable[[], B], /) -> FanOut[In, A | B]: ...
    def also(self, other: Any, /) -> Any:
        """Fan out, as `|` does; type checkers follow a lambda here, but not after an operator."""
        from tta_dev_primitives.core.parallel import fan_out  # noqa: PLC0415 - made of this class

        return fan_out(self, as_primitive(other, role="argument of also()"))

    # --- structure --------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[WorkflowPrimitive[Any, Any], ...]:
        """The primitives directly inside this one, in order; none for a leaf."""
        return ()

    @property
    def edges(self) -> tuple[WorkflowPrimitive[Any, Any], WorkflowPrimitive[Any, Any]]:
        """What takes the input and what gives the output: itself, except for a chain."""
        return self, self

    @property
    def segments(self) -> tuple[str, ...]:
        """The last part of each child's path, in the order of `nodes`."""
        return ()

    @property
    def children(self) -> dict[str, WorkflowPrimitive[Any, Any]]:
        """The primitives directly inside this one, by the last part of their path."""
        return dict(zip(self.segments, self.nodes, strict=True))

    def walk(self) -> Iterator[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """Yield every node with its path, this one first, parents before children."""
        stack: list[tuple[str, WorkflowPrimitive[Any, Any]]] = [(self.name, self)]
        while stack:
            path, node = stack.pop()
            yield path, node
            stack.extend(
                (f"{path}/{segment}", child)
                for segment, child in reversed(tuple(node.children.items()))
            )

    def find(self, path: str) -> WorkflowPrimitive[Any, Any]:
        """Return the node at `path`, as `walk`, error notes and records spell it.

        Raises:
            PathError: Nothing stands there; the message lists what does.
        """
        return self._descend(path)[-1][1]

    def replace(self, path: str, replacement: AnyStep) -> Self:
        """Return a copy of this workflow with another step at `path`; the original stays.

        Args:
            path: As `walk`, error notes and records spell it.
            replacement: A primitive or function; for a test, often a `MockPrimitive`. It takes
                over the name of the node it replaces unless it has one of its own.

        Raises:
            PathError: Nothing stands at the path, or it is this workflow itself.
            CompositionError: The types of the replacement cannot fit.
        """
        line = self._descend(path)
        if len(line) == 1:
            message = f"{path!r} is the workflow itself; use the replacement in its place"
            raise PathError(message)
        new = as_primitive(replacement, role=f"replacement of {path}")
        old = line[-1][1]
        if new.name != old.name and (new._name is None or isinstance(new, FunctionPrimitive)):
            new = new.named(old.name)
        for (_, parent), (segment, _) in zip(reversed(line[:-1]), reversed(line[1:]), strict=True):
            index = parent.segments.index(segment)
            nodes = (*parent.nodes[:index], new, *parent.nodes[index + 1 :])
            new = parent._with_nodes(nodes)
        return cast("Self", new)

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Self:
        """Return a copy with other children; composites define it."""
        del nodes
        message = f"{self.name!r} has no steps inside"
        raise PathError(message)

    def _descend(self, path: str) -> list[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """Return the line of (segment, node) from this workflow down to `path`."""
        first, *rest = path.split("/")
        node: WorkflowPrimitive[Any, Any] = self
        line: list[tuple[str, WorkflowPrimitive[Any, Any]]] = [(first, node)]
        if first != self.name:
            message = f"no step at {path!r}: the workflow is called {self.name!r}"
            raise PathError(message)
        for segment in rest:
            children = node.children
            if segment not in children:
                inside = ", ".join(children) or "nothing"
                at = "/".join(part for part, _ in line)
                message = f"no step {segment!r} at {path!r}: inside {at!r} stands {inside}"
                raise PathError(message)
            node = children[segment]
            line.append((segment, node))
        return line

    def site(self, state: engine.Listening, path: str) -> engine.Site:
        """Return the place of this primitive when executed at `path` (for the engine).

        Remembered from run to run. Statistics are kept under the name alone.
        """
        sites = self._sites
        if sites is None:
            sites = self._sites = {}
        found = sites.get(path)
        if found is None or found.state is not state:
            if len(sites) >= _SITES_KEPT:
                sites.clear()
            found = sites[path] = engine.Site(state, self.name, path, self.type_name, self.name)
        return found

    def stand_at(self, site: engine.Site) -> None:
        """Hear of the place at which a run by itself is counted; see `core/wrapper.py`."""

    @property
    def signature(self) -> tuple[Any, Any]:
        """The types of input and output as annotated; `typing.Any` where nothing is known."""
        from tta_dev_primitives.core.annotations import of_class  # noqa: PLC0415 - on demand

        return of_class(self)

    def describe(self) -> Description:
        """Return the structure of the workflow as data; see `tta_dev_primitives.core.graph`."""
        from tta_dev_primitives.core.graph import describe  # noqa: PLC0415 - on demand

        return describe(self)

    def draw(self, style: Literal["tree", "mermaid", "svg"] = "tree") -> str:
        """Return a picture of the workflow as text.

        Args:
            style: `tree` for a terminal, `mermaid` for Markdown, `svg` for a browser.
        """
        from tta_dev_primitives.core.graph import draw  # noqa: PLC0415 - on demand

        return draw(self, style)

    def __repr__(self) -> str:
        inside = ", ".join(self.segments[:8]) + (", …" if len(self.nodes) > 8 else "")  # noqa: PLR2004 - enough for a line
        return f"<{type(self).__name__} {self.name!r}{f': {inside}' if inside else ''}>"


class Composite(WorkflowPrimitive[TIn, TOut]):
    """A primitive with steps inside, all of them known when it is built."""

    _opens_frame = True
    _steps: tuple[WorkflowPrimitive[Any, Any], ...]
    _labels: tuple[str, ...] | None = None  # given where the steps stand under keys
    _segments: tuple[str, ...] | None = None
    _calls: tuple[Bound, ...] | None = None

    @property
    def nodes(self) -> tuple[WorkflowPrimitive[Any, Any], ...]:
        """The primitives directly inside this one, in order."""
        return self._steps

    @property
    def segments(self) -> tuple[str, ...]:
        """The key of each step where keys were given, else its name, with `[i]` on equal names."""
        found = self._segments
        if found is None:
            names = self._labels or [node.name for node in self.nodes]
            found = self._segments = _unique(names)
        return found

    @property
    def calls(self) -> tuple[Bound, ...]:
        """The steps, bound once."""
        found = self._calls
        if found is None:
            check_acyclic(self)
            found = self._calls = tuple(node.bound for node in self.nodes)
        return found

    def calls_at(self, site: engine.Site) -> tuple[Bound, ...]:
        """The steps, bound for a place: composites among them are told theirs."""
        found: tuple[Bound, ...] | None = site.pairs
        if found is None:
            found = site.pairs = tuple(
                bind_at(call, child) if node.opens_frame else call
                for call, node, child in zip(self.calls, self.nodes, site.open(self), strict=True)
            )
        return found

    def _copy(self) -> Self:
        copy = super()._copy()
        copy._segments = None
        copy._calls = None
        return copy

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Self:
        copy = self._copy()
        copy._steps = nodes
        return copy


class Run:
    """One run of a composite that calls its steps one at a time; used as a context manager.

    It sees to whoever listens, and notes on an exception which step it came out of. It adds no
    traceback entry.

    Args:
        owner: The composite.
        context: The run's context.
        site: The composite's place, where a composite above handed it down.
    """

    __slots__ = (
        "attempt",
        "context",
        "frame",
        "index",
        "outermost",
        "owner",
        "result",
        "site",
        "started",
        "token",
    )

    def __init__(
        self, owner: Composite[Any, Any], context: WorkflowContext, site: engine.Site | None
    ) -> None:
        self.owner: Composite[Any, Any] = owner
        self.context: WorkflowContext = context
        self.site: engine.Site | None = site
        self.frame: engine.Frame | None = None
        self.index: int | None = None
        self.attempt: int = 0
        self.outermost: bool = False
        self.result: Any = None

    def __enter__(self) -> Self:
        state = engine.listening
        if state is None or self.site is not None:
            return self
        state = engine.state_for_run(state)
        if state is None:
            return self
        if state.framed():
            self.frame = frame = engine.enter(self.owner, self.context, state)
            self.token: Token[engine.Frame | None] = engine.current.set(frame)
            engine.begin(frame)
        else:
            self.site = site = self.owner.site(state, self.owner.name)
            self.owner.stand_at(site)
            self.outermost = True
            self.started: float = clock.now()
        return self

    def call(self, index: int, input_data: object, *, attempt: int = 0) -> Awaitable[Any]:
        """Start step `index`; the result is to be awaited at once.

        Args:
            index: Which step.
            input_data: Its input.
            attempt: The number of the attempt, from 1, where a step may be called again.
        """
        self.index = index
        self.attempt = attempt
        frame, site = self.frame, self.site
        if frame is not None:
            frame.turn += 1
            return engine.observe(
                frame, index, self.owner.calls[index], self.context, input_data, attempt or 1
            )
        if site is not None:
            return engine.count(
                site.open(self.owner)[index],
                self.owner.calls_at(site)[index],
                self.context,
                input_data,
            )
        return self.owner.calls[index](self.context, input_data)

    def take_over(self, began: float, error: BaseException) -> None:
        """Say that the run began earlier, and that its first call has failed, not yet counted.

        Args:
            began: When, by the engine's clock.
            error: How that call ended.
        """
        self.index = 0
        site = self.site
        if site is not None:
            site.open(self.owner)[0].failed(clock.now() - began, error)
            if self.outermost:
                self.started = began

    @property
    def calls(self) -> tuple[Bound, ...]:
        """The steps, bound for where the composite stands; for those that run side by side."""
        return self.owner.calls if self.site is None else self.owner.calls_at(self.site)

    def checked(self, result: Any) -> Any:
        """Return a step's result, unless the step forgot an `await`."""
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self.owner.nodes[self.index or 0].name, result)
        self.result = result
        return result

    def own(self) -> None:
        """Say that what happens next is the composite's own doing, not a step's."""
        self.index = None

    def note(self, **attributes: object) -> None:
        """Note facts about this run on its record, such as the route that was chosen."""
        if self.frame is not None:
            self.frame.note(attributes)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        frame = self.frame
        if frame is not None:
            engine.leave(self.token)
        if isinstance(error, Exception):
            notes.locate(error, self.owner, self.index, self.context, attempt=self.attempt)
        if frame is not None:
            if error is None:
                engine.close_with(frame, self.result)
            else:
                engine.close(frame, error)
        elif self.site is not None:
            if self.outermost and error is None:
                self.site.took(clock.now() - self.started)
            elif self.outermost and error is not None:
                self.site.failed(clock.now() - self.started, error)


# --- functions as steps -------------------------------------------------------------------------

_Form: TypeAlias = Literal["input", "context, input", "context", "nothing"]


class FunctionPrimitive(WorkflowPrimitive[TIn, TOut]):
    """A function, or any callable, as a primitive. Made by `step` and wherever a step is accepted.

    Args:
        function: Synchronous or asynchronous, with 0, 1 or 2 required positional parameters.
        name: Default: the function's `__name__`.
    """

    _signature: tuple[Any, Any] | None = None

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        from tta_dev_primitives.core.functions import form_of, is_async  # noqa: PLC0415 - on demand

        self.function = function
        self._name = check_name(name) if name is not None else function_name(function)
        self.form: _Form = form_of(function)
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


def as_primitive(candidate: object, *, role: str = "step") -> WorkflowPrimitive[Any, Any]:
    """Return `candidate` as a primitive.

    Args:
        candidate: A primitive, or any callable.
        role: What it is, for the error's text: `step 2 of Sequential`.

    Raises:
        CompositionError: It is neither; or its parameters cannot be those of a step.
    """
    if isinstance(candidate, WorkflowPrimitive):
        if WorkflowPrimitive in type(candidate).__mro__:  # pyright: ignore[reportUnknownArgumentType] - as below
            return candidate  # pyright: ignore[reportUnknownVariableType] - isinstance leaves the type arguments open
        lifted: WorkflowPrimitive[Any, Any] = cast("Any", candidate).step  # a decorated function
        return lifted
    if callable(candidate):
        try:
            if isasyncgenfunction(candidate):
                from tta_dev_primitives.core.stream import StreamPrimitive  # noqa: PLC0415 - made of this class

                return StreamPrimitive[Any, Any](cast("Any", candidate))
            return FunctionPrimitive(candidate)
        except CompositionError as error:
            message = f"{role}: {error}"
            raise CompositionError(message) from None
    hint = ""
    if isinstance(candidate, CoroutineType):
        candidate.close()
        hint = "; give the function itself, without calling it"
    elif isinstance(candidate, (list, tuple, dict)):
        hint = "; to run several steps on one input use Parallel(...)"
    message = (
        f"{role} must be a primitive or a callable, not {notes.shown_value(candidate)} "  # pyright: ignore[reportUnknownArgumentType]
        f"({type(candidate).__name__}){hint}"  # pyright: ignore[reportUnknownArgumentType]
    )
    raise CompositionError(message)


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
        return asyncio.to_thread(self.__wrapped__, *args)


def check_acyclic(composite: WorkflowPrimitive[Any, Any]) -> None:
    """Check that a composite does not contain itself.

    The composites of this package cannot: they are finished when built. One whose steps can be
    added later can.

    Raises:
        CompositionError: It does; the message tells the path on which it is met again.
    """
    stack = [(node, node.name) for node in composite.nodes if node.nodes]
    seen: set[int] = set()
    while stack:
        node, path = stack.pop()
        if node is composite:
            message = (
                f"{composite.name!r} contains itself, at {composite.name}/{path}; a workflow is a "
                f"tree, and Loop repeats a step"
            )
            raise CompositionError(message)
        if id(node) not in seen:
            seen.add(id(node))
            stack += [(inner, f"{path}/{inner.name}") for inner in node.nodes if inner.nodes]


def bind_at(call: Bound, site: engine.Site) -> Bound:
    """Bind a composite's call to its place."""
    located = cast("Any", call)
    return lambda context, input_data: located(context, input_data, site)


# --- small matters ------------------------------------------------------------------------------


def check_name(name: object) -> str:
    """Return `name` if it can stand in a path.

    Raises:
        ConfigurationError: It is empty, no text, or has a `/`, `[` or `]`.
    """
    if not isinstance(name, str) or not name or not _FORBIDDEN.isdisjoint(name):
        shown = notes.shown_value(name)
        message = f"a step's name must be a text without '/', '[' and ']', not {shown}"
        raise ConfigurationError(message)
    return name


def path_safe(key: str) -> str:
    """Return a key as it stands in a path: with `/`, `[` and `]` percent-encoded (RFC 3986)."""
    return key.replace("/", "%2F").replace("[", "%5B").replace("]", "%5D")


def is_count(value: object) -> bool:
    """Whether `value` is a whole number (a bool is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_concurrency(limit: object) -> None:
    """Check a `max_concurrency`.

    Raises:
        ConfigurationError: It is neither None nor a whole number of at least 1.
    """
    if limit is not None and not (is_count(limit) and cast("int", limit) >= 1):
        shown = notes.shown_value(limit)
        message = f"max_concurrency must be at least 1, or None for no limit, not {shown}"
        raise ConfigurationError(message)


_FORBIDDEN = frozenset("/[]")


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Number the names that occur more than once among siblings."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    if len(counts) == len(names):
        return tuple(names)
    seen: dict[str, int] = {}
    unique: list[str] = []
    for name in names:
        if counts[name] == 1:
            unique.append(name)
        else:
            index = seen[name] = seen.get(name, -1) + 1
            unique.append(f"{name}[{index}]")
    return tuple(unique)


def function_name(function: object) -> str:
    """Return what a function is called, in a form that can stand in a path."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    name = getattr(function, "__name__", None) or _type_name(type(function))
    return "".join("_" if c in "/[]" else c for c in str(name).strip("<>")) or "step"


_type_names: dict[type, str] = {}


def _type_name(cls: type) -> str:
    found = _type_names.get(cls)
    if found is None:
        bare = cls.__name__.removesuffix("Primitive").lstrip("_") or cls.__name__
        found = "".join(
            f"_{c.lower()}"
            if c.isupper() and i and (not bare[i - 1].isupper() or bare[i + 1 : i + 2].islower())
            else c.lower()
            for i, c in enumerate(bare)
        )
        if len(_type_names) < 1000:  # noqa: PLR2004 - classes made at run time must not pile up
            _type_names[cls] = found
    return found


def nested_awaitable(name: str, result: object) -> NestedAwaitableError:
    """Return the error for a step whose awaited result is a coroutine, and close that."""
    inner = getattr(result, "__qualname__", type(result).__name__)
    if isinstance(result, CoroutineType):
        result.close()
    return NestedAwaitableError(
        f"step {name!r} returned the coroutine {inner!r} instead of its result; "
        f"add the missing `await` inside the step"
    )


def missing_input(primitive: WorkflowPrimitive[Any, Any], context: object) -> str:
    """Return the text of the error for a call without an input."""
    if context is MISSING:
        return f"execute() of {primitive.name!r} needs the input: execute(input_data)"
    return (
        f"execute() of {primitive.name!r} got a WorkflowContext but no input; "
        f"write execute(context, input_data), with None if the first step takes nothing"
    )


def swapped(primitive: WorkflowPrimitive[Any, Any], context: object, input_data: object) -> str:
    """Return the text of the error for a first argument that is no context."""
    if isinstance(input_data, WorkflowContext):
        return (
            f"execute() of {primitive.name!r} got its arguments in the wrong order; "
            f"the context comes first: execute(context, input_data)"
        )
    return (
        f"execute() of {primitive.name!r} got {notes.shown_value(context)} as its context; "
        f"write execute(context, input_data) with a WorkflowContext, or execute(input_data)"
    )


class _LoopOfThread:
    """The event loop of a thread's `run` calls, closed when the thread or the program ends."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        if threading.current_thread() is threading.main_thread():
            # While the interpreter still works: module teardown would come too late.
            atexit.register(self._close_at_exit)

    def _close_at_exit(self) -> None:
        # From Python 3.12 on, no thread can be started any more, and a loop that has run jobs in
        # threads wants one to wait for them; they have ended by now, and the loop is closed anyway.
        with suppress(RuntimeError):
            self._close()

    def _close(self) -> None:
        if not self.runner.get_loop().is_closed():  # by somebody else: nothing is left to do
            self.runner.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            with suppress(RuntimeError):  # the runner is closed already
                self._close()


async def _awaited(awaitable: Awaitable[Out]) -> Out:
    """Make a coroutine of any awaitable, as `Runner.run` wants one."""
    return await awaitable
