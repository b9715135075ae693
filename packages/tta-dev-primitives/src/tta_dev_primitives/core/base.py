"""`WorkflowPrimitive`: the thing that workflows are made of, and that a workflow is.

A primitive turns an input into an output, asynchronously, given the run's context. Composites are
primitives too, so everything that holds for a step holds for a workflow. A composite binds its
steps once (`bound`) and then calls them directly: between two steps stands nothing of ours but one
`await`. Functions become primitives wherever one is accepted, by the rules of `step`.

This file is longer than the house rule allows because operators, coercion and the base class need
one another. It loads no `asyncio`: composing needs none, and an import costs a third without.
"""

from __future__ import annotations

from abc import ABC
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

    from tta_dev_primitives.core.graph import Description
    from tta_dev_primitives.core.parallel import FanOut
    from tta_dev_primitives.core.sequential import SequentialPrimitive
    from tta_dev_primitives.core.stream import Stream

__all__ = (
    "AnyStep",
    "AsyncStep",
    "Composite",
    "SyncStep",
    "WorkflowContext",
    "WorkflowPrimitive",
    "as_primitive",
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
AsyncTaking: TypeAlias = "WorkflowPrimitive[In, Out] | Callable[[In], Awaitable[Out]] | Callable[[WorkflowContext, In], Awaitable[Out]]"  # noqa: E501 - checkers want one literal
"""A primitive, or an asynchronous function that takes the input."""
SyncTaking: TypeAlias = "Callable[[In], Out] | Callable[[WorkflowContext, In], Out]"
"""A synchronous function that takes the input; in overloads it stands after `AsyncTaking`."""
AsyncStep: TypeAlias = "AsyncTaking[In, Out] | Callable[[], Awaitable[Out]]"
"""A primitive, or an asynchronous function in any form of a step."""
SyncStep: TypeAlias = "SyncTaking[In, Out] | Callable[[], Out]"
"""A synchronous function in any form of a step; in overloads it stands after `AsyncStep`."""


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Any = _Missing()
NO_INPUT = frozenset({FreshContext, WorkflowContext, _Missing})
"""The classes of what stands alone in a call that forgot its input."""
_SITES_KEPT = 16  # places remembered per primitive; more would be one made anew for every run


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
        self._leave_place()  # it has the name before

    @property
    def type_name(self) -> str:
        """The class in snake case without `Primitive`, as in `sequential`."""
        return snake_case(type(self))

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
        copy._leave_place()
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
            if context.__class__ in NO_INPUT:
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
            if state is not None and state.framed():
                return await self._run_in_frame(context, input_data, state)
        call = self._body
        result: TOut
        try:
            if state is None:
                result = await call(context, input_data)
            else:
                result = await engine.count(self.site(state, self.name), call, context, input_data)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.name, result)  # noqa: TRY301 - what follows sees to it as to any error
        except Exception as error:
            notes.locate(error, self, None, context)
            raise
        return result

    async def _run_in_frame(
        self, context: WorkflowContext, input_data: Any, state: engine.Listening
    ) -> TOut:
        """Run as the outermost call where somebody is told of it."""
        frames = engine.frames
        frame = frames.enter(self, context, state)
        token = engine.current.set(frame)
        frames.begin(frame)
        result: TOut
        try:
            try:
                result = await self._body(context, input_data)
            finally:
                frames.leave(token)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.name, result)  # noqa: TRY301 - what follows sees to it as to any error
        except BaseException as error:
            if isinstance(error, Exception):
                notes.locate(error, self, None, context)
            frames.close(frame, error)
            raise
        frames.close_with(frame, result)
        return result

    async def _run_owned(self, context: WorkflowContext, input_data: Any) -> TOut:
        """Run with a context of the caller's, which may be used again for a later run."""
        context.started = clock.now()
        try:
            return await self._run(context, input_data)
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
            # Those of a class above, which run its own implementation without asking for this one.
            if "execute" not in cls.__dict__:
                own.execute = base.execute
            if "_alone" not in cls.__dict__:
                own._alone = base._alone
        own._run = own._execute_impl if cls._opens_frame else base._run

    @property
    def bound(self) -> Bound:
        """What a composite calls for this step: `execute` where a subclass wrote its own."""
        if type(self).execute is not WorkflowPrimitive.execute:  # pyright: ignore[reportUnknownMemberType] - the class itself has no type arguments
            return self.execute
        return self._execute_impl

    @property
    def unary(self) -> Callable[[Any], Awaitable[Any]] | None:
        """What a composite may call with the input alone; None where the context is wanted."""
        return None

    @property
    def _body(self) -> Bound:
        """What does the work: never an `execute` of a subclass, for that has led here."""
        if type(self).execute is not WorkflowPrimitive.execute:  # pyright: ignore[reportUnknownMemberType] - as above
            return self._execute_impl
        return self.bound

    @property
    def opens_frame(self) -> bool:
        """Whether `bound` takes a place as a third argument (for the engine)."""
        return self._opens_frame and _takes_site(self.bound)

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
        from tta_dev_primitives.core.blocking import awaited, loop_of_thread  # noqa: PLC0415 - loads asyncio

        return loop_of_thread(self.name).run(awaited(self.execute(context, input_data)))

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
        """Chain: the output of `self` is the input of `other`.

        `then` is the same; type checkers follow a lambda there, but not after an operator.

        Example:
            >>> from tta_dev_primitives import step
            >>> step(str.strip).then(lambda text: len(text)).run("  four ")
            4
        """
        from tta_dev_primitives.core.sequential import chain  # noqa: PLC0415 - made of this class

        return chain(self, as_primitive(other, role="right operand of >>, or argument of then(),"))

    then = __rshift__
    """The same as `>>`; type checkers follow a lambda here, but not after an operator."""

    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: AsyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: WorkflowPrimitive[Mid, Out], other: SyncTaking[In, Mid], /
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
        """Fan out: `self` and `other` get the same input and run at once; gives a list.

        `also` is the same; type checkers follow a lambda there, but not after an operator.
        """
        from tta_dev_primitives.core.parallel import fan_out  # noqa: PLC0415 - made of this class

        return fan_out(self, as_primitive(other, role="right operand of |, or argument of also(),"))

    also = __or__
    """The same as `|`; type checkers follow a lambda here, but not after an operator."""

    @overload
    def __ror__(
        self: WorkflowPrimitive[In, B], other: AsyncStep[In, A], /
    ) -> FanOut[In, A | B]: ...
    @overload
    def __ror__(self: WorkflowPrimitive[In, B], other: SyncStep[In, A], /) -> FanOut[In, A | B]: ...
    def __ror__(self, other: Any, /) -> Any:
        """Fan out with a function first: `function | self`."""
        from tta_dev_primitives.core.parallel import fan_out  # noqa: PLC0415 - made of this class

        return fan_out(as_primitive(other, role="left operand of |"), self)

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
        from tta_dev_primitives.core.functions import FunctionPrimitive  # noqa: PLC0415 - made of this class

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

    def _leave_place(self) -> None:
        """Forget that place."""
        self._place = None

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
            from tta_dev_primitives.core.functions import FunctionPrimitive, streams  # noqa: PLC0415 - made of this class

            if streams(candidate):
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


_snake_names: dict[type, str] = {}


def snake_case(cls: type) -> str:
    """Return the name of a class in snake case without `Primitive`."""
    found = _snake_names.get(cls)
    if found is None:
        bare = cls.__name__.removesuffix("Primitive").lstrip("_") or cls.__name__
        found = "".join(
            f"_{c.lower()}"
            if c.isupper() and i and (not bare[i - 1].isupper() or bare[i + 1 : i + 2].islower())
            else c.lower()
            for i, c in enumerate(bare)
        )
        if len(_snake_names) < 1000:  # noqa: PLR2004 - classes made at run time must not pile up
            _snake_names[cls] = found
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
