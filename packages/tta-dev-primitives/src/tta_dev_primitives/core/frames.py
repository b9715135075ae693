"""Frames: where each call of a framed run stands, and what is told of it.

A frame is opened for each run of a composite (or of an outermost leaf) while an observer or our log
handler is installed: see `engine`. It is loaded when somebody listens who may want one.

This file is longer than the house rule allows because a frame, and what opens, moves and closes it,
keep one another's state.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tta_dev_primitives.core import clock, engine
from tta_dev_primitives.core.context import FreshContext, caller_of
from tta_dev_primitives.core.engine import current, hide_frame
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from contextvars import Token

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.engine import Listening, Node, Site
    from tta_dev_primitives.core.protocols import Observer, SpanContextLike
    from tta_dev_primitives.core.record import Call, Status

__all__ = (
    "BranchFrame",
    "Frame",
    "annotate",
    "begin",
    "close",
    "close_with",
    "ended_call",
    "enter",
    "leave",
    "observe",
    "pin",
    "status_of",
)

T = TypeVar("T")


class Frame:
    """A running composite (or an outermost leaf), and which of its calls is under way.

    Slots that are rarely needed stay empty until read, as in `WorkflowContext`, for a frame is
    made on the hot path.

    Attributes:
        owner: The composite.
        site: Its place.
        context: The run's context.
        parent: The frame around it; None in the outermost.
        live: The observers that are told of each call of this run.
        outermost: Nobody above records this frame's own call, so it does so itself.
        cursor: Position of the running child: an index, or, where a composite walks its children
            in order, the iterator over them, whose length hint tells the index at no cost.
        turn: Number of the running call where a composite calls a child more than once, else 0.
        started: The clock at the start, set where `outermost`.
        sequence: Process-wide number from which span ids are made.
        marks: Attributes for the records of children, by ordinal.
        attributes: Attributes for the frame's own record, where `outermost`.
        caller: In the outermost frame: the span around the run that an observer knew of, where
            the context names none.
        caller_span_id: Where `outermost` within another run: the call that executed this one,
            taken at the start, for a task that nobody awaits may outlive it.
    """

    __slots__ = (
        "attributes",
        "caller",
        "caller_span_id",
        "context",
        "cursor",
        "live",
        "marks",
        "outermost",
        "owner",
        "parent",
        "sequence",
        "site",
        "started",
        "turn",
    )

    attributes: dict[str, object]
    caller: SpanContextLike | None
    caller_span_id: int
    context: WorkflowContext
    cursor: int | Iterator[object]
    live: tuple[Observer, ...]
    marks: dict[int, dict[str, object]]
    outermost: bool
    owner: Node
    parent: Frame | None
    sequence: int
    site: Site
    started: float
    turn: int

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Fill an empty slot."""
            value = _FRAME_DEFAULTS[name]()
            setattr(self, name, value)
            return value

    @property
    def position(self) -> int:
        """Index of the child that is running."""
        cursor = self.cursor
        if isinstance(cursor, int):
            return cursor
        return len(self.owner.nodes) - int(cast("Any", cursor).__length_hint__()) - 1

    @property
    def ordinal(self) -> int:
        """Number of the running call within this frame, from 1."""
        return self.turn or self.position + 1

    @property
    def span_id(self) -> int:
        """Id of this frame's own call."""
        if self.outermost or self.parent is None:
            return _span_id(self.sequence, 0)
        return self.parent.child_span_id

    @property
    def child_span_id(self) -> int:
        """Id of the child call that is running; the frame's own when it has no children."""
        return _span_id(self.sequence, self.ordinal) if self.owner.nodes else self.span_id

    @property
    def parent_span_id(self) -> int:
        """Id of the call around this frame's own; 0 for the root of a trace."""
        if self.parent is not None:
            return self.caller_span_id if self.outermost else self.parent.span_id
        caller = self.caller or self.context.parent_span_context
        return 0 if caller is None else caller.span_id

    @property
    def trace_id(self) -> int:
        """Id of the trace: that of the enclosing run, else the context's."""
        frame = self
        while frame.parent is not None:
            frame = frame.parent
        return frame.root_trace_id

    @property
    def root_trace_id(self) -> int:
        """Id of the trace, of an outermost frame."""
        caller = self.caller
        return self.context.trace_id if caller is None else caller.trace_id

    @property
    def child_path(self) -> str:
        """Path of the child that is running; the frame's own when it has no children."""
        children = self.site.open(self.owner)
        return children[self.position].path if children else self.site.path

    def branch(self, index: int) -> Frame:
        """Return a frame for one branch that runs beside others; its position is fixed."""
        return BranchFrame(self, index)

    def mark(self, values: Mapping[str, object]) -> None:
        """Keep attributes for the record of the child that is running."""
        if self.owner.nodes:
            self.marks.setdefault(self.ordinal, {}).update(values)
        else:
            self.note(values)

    def note(self, values: Mapping[str, object]) -> None:
        """Keep attributes for the record of this frame's own call."""
        if self.outermost or self.parent is None:
            self.attributes.update(values)
        else:
            self.parent.mark(values)


class BranchFrame(Frame):
    """The frame of one branch of a fan-out: its own call is that of the trunk."""

    __slots__ = ("trunk",)

    trunk: Frame

    def __init__(self, trunk: Frame, index: int) -> None:
        self.trunk = trunk
        self.owner: Node = trunk.owner
        self.site: Site = trunk.site
        self.context: WorkflowContext = trunk.context
        self.parent: Frame | None = trunk.parent
        self.live: tuple[Observer, ...] = trunk.live
        self.outermost: bool = trunk.outermost
        self.cursor: int | Iterator[object] = index

    @property
    def span_id(self) -> int:
        """Id of the trunk's own call."""
        return self.trunk.span_id

    @property
    def parent_span_id(self) -> int:
        """Id of the call around the trunk's."""
        return self.trunk.parent_span_id

    @property
    def root_trace_id(self) -> int:
        """Id of the trace, of an outermost trunk."""
        return self.trunk.root_trace_id

    def note(self, values: Mapping[str, object]) -> None:
        """Keep attributes for the trunk's record."""
        self.trunk.note(values)


# --- span ids -----------------------------------------------------------------------------------

_sequence = itertools.count()
_id_base = int.from_bytes(os.urandom(8))
_MASK = (1 << 64) - 1
# A frame's calls are numbered within 24 bits: longer chains would share ids with a later frame.
_ORDINAL_BITS = 24


def _reseed_after_fork() -> None:
    global _id_base  # noqa: PLW0603 - one base per process, new in a forked child
    _id_base = int.from_bytes(os.urandom(8))


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_reseed_after_fork)


def _span_id(sequence: int, ordinal: int) -> int:
    """Spread a call's number over 64 bits; a bijection, so two calls never share an id.

    The mixing steps are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    z = (_id_base + ((sequence << _ORDINAL_BITS) | ordinal)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) or 1


_FRAME_DEFAULTS: dict[str, Callable[[], object]] = {
    "attributes": dict,
    "caller": lambda: None,
    "marks": dict,
    "sequence": _sequence.__next__,
    "started": float,
    "turn": int,
}

# --- opening and closing ------------------------------------------------------------------------

_new = object.__new__


def enter(owner: Node, context: WorkflowContext, state: Listening) -> Frame:
    """Open a frame for a run of `owner`; the caller makes it current and closes it."""
    frame: Frame = _new(Frame)
    frame.owner = owner
    frame.context = context
    frame.cursor = 0
    parent = frame.parent = current.get()
    if parent is None:
        frame.outermost = True
        frame.live = state.observers_of_a_run()
        frame.site = owner.site(state, owner.name)
        if state.callers:
            caller = _ask_callers(state, frame)
            if context.parent_span_context is None:
                frame.caller = caller
        return frame
    site = parent.site
    if site.state is state:
        frame.live = parent.live
        nodes = parent.owner.nodes
        if nodes:
            position = parent.position
            if nodes[position] is owner:
                frame.outermost = False
                frame.site = site.open(parent.owner)[position]
                return frame
    else:  # observers changed while the outer run was under way
        frame.live = state.observers_of_a_run()
    frame.outermost = True
    frame.caller_span_id = parent.child_span_id if frame.live else 0
    if context.__class__ is FreshContext:  # nobody gave it ids of its own: it is the same request
        context.correlation_id = parent.context.correlation_id
    frame.site = owner.site(state, f"{parent.child_path}/{owner.name}")
    if state.callers:
        caller = _ask_callers(state, frame)
        if caller is not None and caller.trace_id == parent.trace_id:
            frame.caller_span_id = caller.span_id
    return frame


def leave(token: Token[Frame | None]) -> None:
    """Make the frame current again that was so before `current.set` gave `token`."""
    try:
        current.reset(token)
    except ValueError:
        """The call is being closed unfinished, from another context, which has its own frame."""


def _ask_callers(state: Listening, frame: Frame) -> SpanContextLike | None:
    """Return the span around the run that begins, where an observer knows of one."""
    found: SpanContextLike | None = None
    for observer in state.callers:
        try:
            found = caller_of(observer.caller()) or found
        except Exception as error:  # noqa: BLE001 - no observer may change a result
            _complain(observer, frame.site.path, error)
    return found


def close(frame: Frame, error: BaseException | None = None) -> None:
    """Record the frame's own call if nobody above does; the caller has reset `current`."""
    if frame.outermost:
        site = frame.site
        end = clock.now()
        if error is None:
            site.took(end - frame.started)
        else:
            site.failed(end - frame.started, error)
        if frame.live:
            _tell_ended(
                frame,
                site,
                frame.span_id,
                frame.parent_span_id,
                frame.started,
                end,
                error,
                frame.attributes,
                1,
            )


def begin(frame: Frame) -> None:
    """Note the start of the frame's own call, and tell those who listen for starts."""
    frame.started = clock.now()
    if frame.outermost and frame.live:
        _tell_started(frame, frame.site, frame.span_id, frame.parent_span_id, frame.started, 1)


async def observe(
    frame: Frame,
    index: int,
    call: Callable[[WorkflowContext, Any], Awaitable[T]],
    context: WorkflowContext,
    input_data: object,
    attempt: int = 1,
) -> T:
    """Run one child of a composite and record it.

    Args:
        frame: The composite's frame.
        index: Which child.
        call: The child, bound.
        context: The run's context.
        input_data: The child's input.
        attempt: The number of the attempt, from 1, where a retry calls.

    Returns:
        What the child returned.
    """
    children = frame.site.children
    site = (children if children is not None else frame.site.open(frame.owner))[index]
    frame.cursor = index
    live = frame.live
    started = clock.now()
    if live:
        _tell_started(frame, site, frame.child_span_id, frame.span_id, started, attempt)
    try:
        result = await call(context, input_data)
    except BaseException as error:
        frame.cursor = index
        ended_call(frame, site, started, error, attempt)
        hide_frame(error)
        raise
    if result.__class__ is engine.stream_type:
        # The call ends when its stream does; until then the source runs in a frame of its own.
        place = _place_of(frame, index)
        stream = cast("Any", result)
        stream.within(place)
        stream.when_ended(lambda error: ended_call(place, site, started, error, attempt))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - streams are loaded late
    else:
        ended_call(frame, site, started, None, attempt)
    return result


def ended_call(
    frame: Frame, site: Site, started: float, error: BaseException | None, attempt: int
) -> None:
    """Record the child call of `frame` that is ending now."""
    end = clock.now()
    if error is None:
        site.took(end - started)
    else:
        site.failed(end - started, error)
    if frame.live:
        marks = frame.marks.pop(frame.ordinal, None)
        _tell_ended(
            frame, site, frame.child_span_id, frame.span_id, started, end, error, marks, attempt
        )


def status_of(error: BaseException | None) -> Status:
    """Return how a call that raised `error` ended."""
    if error is None:
        return "ok"
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):  # or closed unfinished
        return "cancelled"
    return "filtered" if isinstance(error, Filtered) else "error"


def _tell_started(
    frame: Frame, site: Site, span_id: int, parent_span_id: int, started: float, attempt: int
) -> None:
    starts = site.state.starts
    if not starts:
        return
    from tta_dev_primitives.core.record import Call  # noqa: PLC0415 - only once observed

    call = Call(**_facts(frame, site, span_id, parent_span_id, started, attempt))
    for observer in starts:
        _tell(observer, observer.started, call)


def _tell_ended(
    frame: Frame,
    site: Site,
    span_id: int,
    parent_span_id: int,
    started: float,
    end: float,
    error: BaseException | None,
    attributes: dict[str, object] | None,
    attempt: int,
) -> None:
    from tta_dev_primitives.core.record import Record  # noqa: PLC0415 - only once observed

    record = Record(
        **_facts(frame, site, span_id, parent_span_id, started, attempt),
        end=end,
        status=status_of(error),
        error=error,
        attributes=attributes or _NO_ATTRIBUTES,
    )
    for observer in frame.live:
        _tell(observer, observer.ended, record)


def _facts(
    frame: Frame, site: Site, span_id: int, parent_span_id: int, started: float, attempt: int
) -> dict[str, Any]:
    """Return what is known of a call when it starts; its record repeats it."""
    return {
        "name": site.name,
        "path": site.path,
        "type": site.kind,
        "start": started,
        "attempt": attempt,
        "context": frame.context,
        "trace_id": frame.trace_id,
        "span_id": span_id,
        "parent_span_id": parent_span_id,
    }


def pin(frame: Frame) -> None:
    """Fix where a frame stands, for one that lives on while its parent moves to other children."""
    parent = frame.parent
    if parent is not None:
        frame.parent = _place_of(parent, parent.position)


def _place_of(frame: Frame, index: int) -> Frame:
    """Return a frame that stands for the running call of `frame` also when that has moved on."""
    place = frame.branch(index)
    place.sequence, place.turn = frame.sequence, frame.ordinal
    return place


def close_with(frame: Frame, result: Any) -> None:
    """Close a frame whose run gave `result`; for a stream, when that has ended."""
    if result.__class__ is engine.stream_type:
        stream: Any = result
        stream.when_ended(lambda error: close(frame, error))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - streams are loaded late
    else:
        close(frame)


_NO_ATTRIBUTES: Mapping[str, object] = {}
_complained: set[type] = set()


def _tell(observer: object, method: Callable[[Any], None], news: Call) -> None:
    try:
        method(news)
    except Exception as error:  # noqa: BLE001 - no observer may change a result
        _complain(observer, news.path, error)


def _complain(observer: object, path: str, error: Exception) -> None:
    """Log what an observer raised, once per type of observer."""
    kind = type(observer)
    if kind not in _complained:
        _complained.add(kind)
        import logging  # noqa: PLC0415 - only for a broken observer

        logging.getLogger("tta_dev_primitives").warning(
            "observer %s failed on %s; its further failures are not logged",
            kind.__qualname__,
            path,
            exc_info=error,
        )


def annotate(**attributes: object) -> None:
    """Note attributes on the record of the step that is running; does nothing unobserved.

    Args:
        attributes: Low-cardinality facts, such as `model="small"`. Never put secrets in.

    Example:
        >>> from tta_dev_primitives import annotate
        >>> async def search(query: str) -> list[str]:
        ...     annotate(engine="fts5")
        ...     return [query]
    """
    frame = current.get()
    if frame is not None:
        frame.mark(attributes)
