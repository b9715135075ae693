"""`SequentialPrimitive`: one step after another.

The hot path of the whole product. Its loop is written out once for nobody listening and once for
the default recorder, each for steps that take `(context, input)` and for steps that take the input
alone: an adapter around the latter costs 1.2 to 1.3 times a bare `await`, a test inside the loop
up to 1.1 times, and the budget of the whole is 1.15.
"""

# A link is made without `__init__`, and chains look into chains.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import (
    MISSING,
    NO_INPUT,
    Composite,
    as_primitive,
    bind_at,
    check_name,
    missing_input,
    nested_awaitable,
    swapped,
)
from tta_dev_primitives.core.context import FreshContext, fresh_context
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tta_dev_primitives.core.base import AnyStep, AsyncStep, SyncStep, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Sequential", "SequentialPrimitive", "chain")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
T = TypeVar("T")

_Plan: TypeAlias = "tuple[bool, tuple[Callable[..., Awaitable[Any]], ...]]"

_new: Any = object.__new__


class SequentialPrimitive(Composite[TIn, TOut]):
    """Runs steps in order; the output of one is the input of the next.

    `a >> b >> c` builds one, with its types followed by checkers. The list form takes steps that
    are collected at run time; when they do not all turn a T into a T, its output type is `object`.

    Args:
        steps: Primitives or callables, at least one.
        name: Default: `sequential`.

    Raises:
        CompositionError: No steps, something that is no step, the same composite inside itself,
            or two neighbours whose annotated types cannot fit.

    Example:
        >>> Sequential([str.strip, str.upper]).run("  hi ")
        'HI'
    """

    kind = "sequence"
    _opens_frame = True  # its `execute` takes a place
    # A chain built by operators is a link until first used: making 10,000 links is linear.
    _link: tuple[WorkflowPrimitive[Any, Any], WorkflowPrimitive[Any, Any]] | None = None
    # Its first and last step, known before it is flattened: a link is checked without a walk.
    _ends: tuple[WorkflowPrimitive[Any, Any], WorkflowPrimitive[Any, Any]] | None = None
    _plan: _Plan | None = None
    _site: engine.Site | None = None  # where it stands when executed by itself

    @overload
    def __init__(
        self: SequentialPrimitive[T, T],
        steps: Sequence[AsyncStep[T, T]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SequentialPrimitive[T, T],
        steps: Sequence[SyncStep[T, T]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SequentialPrimitive[object, object],
        steps: Sequence[AnyStep],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, steps: Any, *, name: str | None = None) -> None:
        if not isinstance(steps, Sequence) or isinstance(steps, str):
            message = f"Sequential takes a list of steps, not a {type(steps).__name__}"
            raise CompositionError(message)
        if not steps:
            message = "Sequential needs at least one step; the list is empty"
            raise CompositionError(message)
        self._name = check_name(name) if name is not None else None
        lifted = [
            as_primitive(candidate, role=f"step {number} of Sequential")
            for number, candidate in enumerate(cast("Sequence[object]", steps), 1)
        ]
        for left, right in pairwise(lifted):
            _check_fit(left, right)
        self._steps = tuple(lifted)

    @property
    def nodes(self) -> tuple[WorkflowPrimitive[Any, Any], ...]:
        """The steps, in order."""
        if self._link is not None:
            self._flatten()
        return self._steps

    def _flatten(self) -> None:
        """Turn the links into one tuple of steps, without recursion."""
        flat: list[WorkflowPrimitive[Any, Any]] = []
        stack: list[WorkflowPrimitive[Any, Any]] = [self]
        while stack:
            node = stack.pop()
            if node is self or _melts(node):
                link = cast("SequentialPrimitive[Any, Any]", node)._link
                if link is not None:
                    stack += (link[1], link[0])
                else:
                    flat += cast("SequentialPrimitive[Any, Any]", node)._steps
            else:
                flat.append(node)
        self._steps = tuple(flat)
        self._link = None

    def _copy(self) -> Any:
        if self._link is not None:
            self._flatten()
        copy = super()._copy()
        copy._ends = None
        copy._plan = None
        copy._site = None
        return copy

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Any:
        for left, right in pairwise(nodes):
            _check_fit(left, right)
        return super()._with_nodes(nodes)

    @property
    def signature(self) -> tuple[Any, Any]:
        """The input type of the first step and the output type of the last."""
        first, last = self.edges
        return first.signature[0], last.signature[1]

    @property
    def edges(self) -> tuple[WorkflowPrimitive[Any, Any], WorkflowPrimitive[Any, Any]]:
        """The step that takes the input and the one that gives the output."""
        found = self._ends
        if found is None:
            first: WorkflowPrimitive[Any, Any] = self
            last: WorkflowPrimitive[Any, Any] = self
            # Step by step: to ask each level for both ends doubles the work with every level.
            while isinstance(first, SequentialPrimitive):
                first = first._ends[0] if first._ends else first._steps[0]
            while isinstance(last, SequentialPrimitive):
                last = last._ends[1] if last._ends else last._steps[-1]
            found = self._ends = first, last
        return found

    def _prepare(self) -> _Plan:
        """Bind the steps: whether all take the input alone, and what to call."""
        nodes = self.nodes
        unary = [node.unary for node in nodes]
        plan: _Plan
        if None not in unary:
            plan = True, tuple(cast("list[Callable[..., Awaitable[Any]]]", unary))
        else:
            plan = False, self.calls
        self._plan = plan
        return plan

    @overload
    async def execute(self, context: WorkflowContext, input_data: TIn) -> TOut: ...
    @overload
    async def execute(self, input_data: TIn, /) -> TOut: ...
    @overload
    async def execute(self, *, input_data: TIn) -> TOut: ...
    async def execute(  # noqa: C901, PLR0912 - the loop of every run, written out for speed
        self, context: Any = MISSING, input_data: Any = MISSING, site: Any = None
    ) -> Any:
        """Run the steps; see `WorkflowPrimitive.execute`. The engine alone gives `site`."""
        if input_data is MISSING:
            if context.__class__ in NO_INPUT:
                raise TypeError(missing_input(self, context))
            value = context
            context = None  # made below, unless no step wants it
            began = clock.now()
        else:
            value = input_data
            began = 0.0
            try:
                if context.started is None:
                    return await self._run_owned(context, input_data)
            except AttributeError:
                if context is not MISSING:
                    raise TypeError(swapped(self, context, input_data)) from None
                return await self.execute(input_data)
        if engine.listening is not None:
            return await self._run_heard(context, value, began, site)
        unary, calls = self._plan or self._prepare()
        steps = iter(calls)
        try:
            if unary:
                for call in steps:
                    value = await call(value)
            else:
                if context is None:
                    context = FreshContext()
                    context.started = began
                for call in steps:
                    value = await call(context, value)
        except Exception as error:
            self._failed(error, context, began, _reached(calls, steps), value)
            raise
        kind = value.__class__
        if kind is CoroutineType or kind is engine.stream_type:
            self._finish(value, context or fresh_context(began))
        return value

    async def _run_heard(  # noqa: C901, PLR0912 - as above
        self, context: WorkflowContext | None, value: Any, began: float, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens: counted where that is the recorder alone, else framed."""
        outermost = site is None
        if site is None:
            state = engine.listening
            site = self._site
            if state is None or site is None or site.state is not state:
                state = engine.state_for_run(state) if state is not None else None
                if state is None:
                    return await self.execute(context or fresh_context(began), value)
                site = self._site = self.site(state, self.name)
            if state.always_framed or (state.log_possible() and state.framed()):
                return await self._run_framed(context or fresh_context(began), value, state)
        unary, pairs, tick = site.pairs or self._pairs(site, outermost)
        steps = iter(pairs)
        now = clock.now
        started = then = began or now()
        try:
            if unary:
                for call, push in steps:
                    value = await call(value)
                    push(then - (then := now()))
            else:
                if context is None:
                    context = FreshContext()
                    context.started = began
                for call, push in steps:
                    value = await call(context, value)
                    push(then - (then := now()))
        except BaseException as error:
            at = now()
            index = _reached(pairs, steps)
            children = site.open(self)
            children[index].failed(at - then, error)
            for child in children[:index]:
                child.tick()
            if outermost:
                site.failed(at - started, error)
            if isinstance(error, Exception):
                self._failed(error, context, began, index, value)
            engine.hide_frame(error)
            raise
        if outermost:
            site.push(started - then)
        tick()
        kind = value.__class__
        if kind is CoroutineType or kind is engine.stream_type:
            self._finish(value, context or fresh_context(began))
        return value

    def _finish(self, value: Any, context: WorkflowContext) -> None:
        """Take a result that is none yet: a stream, or a coroutine that somebody forgot.

        Raises:
            NestedAwaitableError: It is a coroutine.
        """
        if value.__class__ is CoroutineType:
            raise nested_awaitable(self.nodes[-1].name, value)
        self._follow(value, context)

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        return await self.execute(context, input_data)

    def _pairs(self, site: engine.Site, outermost: bool) -> Any:  # noqa: FBT001 - not public
        """Pair each step, bound for this place, with where its durations go; and what counts."""
        unary, calls = self._plan or self._prepare()
        children = site.open(self)
        if not unary:
            calls = tuple(
                bind_at(call, child) if node.opens_frame else call
                for call, node, child in zip(calls, self.nodes, children, strict=True)
            )
        pairs = tuple(zip(calls, (child.push for child in children), strict=True))
        prepared = site.pairs = unary, pairs, site.tick_all(own=outermost)
        return prepared

    async def _run_framed(  # noqa: C901, PLR0912 - one loop per way to run, written out
        self, context: WorkflowContext, value: Any, state: engine.Listening
    ) -> Any:
        """Run with a frame: somebody is told of each call, or wants to know where it stands."""
        frames = engine.frames
        frame = frames.enter(self, context, state)
        site = frame.site
        token = engine.current.set(frame)
        frames.begin(frame)
        failure: BaseException | None = None
        try:
            if frame.live:
                for index, call in enumerate(self.calls):
                    value = await frames.observe(frame, index, call, context, value)
                    if value.__class__ is CoroutineType:
                        raise nested_awaitable(self.nodes[index].name, value)  # noqa: TRY301 - what follows sees to it as to any error
            else:
                if site.framed_pairs is None:
                    pushes = [child.push for child in site.open(self)]
                    site.framed_pairs = (
                        tuple(zip(self.calls, pushes, strict=True)),
                        site.tick_all(own=False),
                    )
                pairs, tick = site.framed_pairs
                frame.cursor = steps = iter(pairs)
                now = clock.now
                then = frame.started
                try:
                    for call, push in steps:
                        value = await call(context, value)
                        push(then - (then := now()))
                except BaseException as error:
                    children = site.open(self)
                    children[frame.position].failed(now() - then, error)
                    for child in children[: frame.position]:
                        child.tick()
                    raise
                tick()
                if value.__class__ is CoroutineType:
                    raise nested_awaitable(self.nodes[-1].name, value)  # noqa: TRY301 - what follows sees to it as to any error
        except BaseException as error:
            failure = error
            if isinstance(error, Exception):
                self._failed(error, context, 0.0, frame.position, value)
            raise
        finally:
            frames.leave(token)
            if failure is not None:
                frames.close(frame, failure)
                failure = None  # the traceback holds this frame: no reference cycle
        if value.__class__ is engine.stream_type:
            self._follow(value, context)
        frames.close_with(frame, value)
        return value

    def _follow(self, stream: Any, context: WorkflowContext) -> None:
        """Note on an error that comes out of the stream later which step it came out of."""

        def ended(error: BaseException | None) -> None:
            if isinstance(error, Exception):
                notes.locate_among(error, self, context)

        stream.when_ended(ended)

    def _failed(
        self,
        error: Exception,
        context: WorkflowContext | None,
        began: float,
        index: int,
        value: Any,
    ) -> None:
        """Note where the error arose; a coroutine that was handed on is the real culprit."""
        context = context or fresh_context(began)
        if index and value.__class__ is CoroutineType:
            culprit = nested_awaitable(self.nodes[index - 1].name, value)
            notes.locate(culprit, self, index - 1, context)
            raise culprit from error
        notes.locate(error, self, index, context)


Sequential = SequentialPrimitive


def _melts(node: WorkflowPrimitive[Any, Any]) -> bool:
    """Whether a chain inside a chain dissolves: a plain one without a name of its own."""
    return type(node) is SequentialPrimitive and node._name is None


def _reached(calls: tuple[Any, ...], steps: Iterator[Any]) -> int:
    """Tell at which step an iterator over `calls` stands; free until something fails."""
    return len(calls) - int(cast("Any", steps).__length_hint__()) - 1


def chain(
    left: WorkflowPrimitive[Any, Any], right: WorkflowPrimitive[Any, Any]
) -> SequentialPrimitive[Any, Any]:
    """Link two primitives: what `>>` makes.

    Raises:
        CompositionError: Their annotated types cannot fit.
    """
    _check_fit(left, right)
    made: SequentialPrimitive[Any, Any] = _new(SequentialPrimitive)
    made._link = (left, right)
    made._ends = (left.edges[0], right.edges[1])
    return made


def _check_fit(left: WorkflowPrimitive[Any, Any], right: WorkflowPrimitive[Any, Any]) -> None:
    from tta_dev_primitives.core.annotations import check_fit  # noqa: PLC0415 - only to compose

    check_fit(left, right)
