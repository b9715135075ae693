"""How calls are observed: who listens, where a call stands, what is noted of it.

There are three ways to run. *Bare*: nobody listens, `listening` is None, composites see that with
one global read and run their plain loop. *Counted*: only the default recorder listens; each place
in a workflow has a `Site` with a bound append for durations, a chain counts all its steps with one
call, composites hand their sites down, and nothing else is built. *Framed*: an observer or our log
handler is installed; each run of a composite opens one `Frame`, kept in one ContextVar, that knows
its composite, its parent frame and which child is running, so that path, parent and span id of any
call can be told from it when somebody asks and cost nothing before. Observers that want each call
are given a `Record` when it ends, and a `Call` when it starts if they define `started`.

Rules for whoever edits this file. A frame is set per composite, never per leaf. No observer may
change a result: whatever it raises is logged once and swallowed. Cancellation is recorded and
passes on.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.context import FreshContext
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from contextvars import Token
    from typing import Protocol

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.protocols import (
        CallerObserver,
        Observer,
        SpanContextLike,
        StartObserver,
    )
    from tta_dev_primitives.core.record import Call, Status
    from tta_dev_primitives.core.stream import Stream

__all__ = (
    "Frame",
    "Listening",
    "Site",
    "add_observer",
    "annotate",
    "close",
    "close_with",
    "count",
    "current",
    "enter",
    "hide_frame",
    "install_defaults",
    "leave",
    "listening",
    "observe",
    "observers",
    "pin",
    "remove_observer",
    "silence",
    "state_for_run",
    "want_frames",
)

T = TypeVar("T")


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class SiteStats(Protocol):
        """What a recorder keeps for one place in a workflow."""

        @property
        def path(self) -> str:
            """The path under which the statistics are kept."""
            ...

        @property
        def push(self) -> Callable[[float], object]:
            """Take when a call that ended well began, minus when it ended, in seconds.

            Must be fast. It is the duration with a minus before it, for the loop of a chain has
            it so with one name less. Whoever calls it counts the call as well, by `tick` or by
            `Recorder.tick_all`.
            """
            ...

        @property
        def tick(self) -> Callable[[], object]:
            """Count a call that ended well; must be fast, and exact from any thread."""
            ...

        def failed(self, duration: float, error: BaseException) -> None:
            """Take a call that did not end well."""
            ...

    class Recorder(Protocol):
        """The default recorder: it hands out what each place feeds."""

        def stats(self, name: str, path: str, kind: str) -> SiteStats:
            """Return the statistics of a place, the same for the same name and path."""
            ...

        def tick_all(self, places: tuple[Any, ...]) -> Callable[[], object]:
            """Return what counts a call that ended well for each of `places`, as `tick` does."""
            ...

    class Node(Protocol):
        """What the engine needs to know of a primitive."""

        @property
        def name(self) -> str:
            """Its own name."""
            ...

        @property
        def type_name(self) -> str:
            """Its class in snake case."""
            ...

        @property
        def segments(self) -> tuple[str, ...]:
            """The last part of each child's path."""
            ...

        @property
        def nodes(self) -> tuple[Node, ...]:
            """The primitives directly inside it."""
            ...

        def site(self, state: Listening, path: str) -> Site:
            """Return this node's place at `path`, remembered from run to run."""
            ...


class Listening:
    """Who listens; replaced as a whole when that changes, so that a run sees one state."""

    __slots__ = (
        "always_framed",
        "callers",
        "live",
        "log",
        "log_enabled",
        "log_possible",
        "recorder",
        "starts",
    )

    def __init__(
        self,
        *,
        recorder: Recorder | None = None,
        live: tuple[Observer, ...] = (),
        log: Observer | None = None,
        log_enabled: Callable[[], bool] | None = None,
        log_possible: Callable[[], bool] | None = None,
        ambient: bool = False,
    ) -> None:
        self.always_framed: bool = ambient or bool(live)
        self.recorder: Recorder | None = recorder
        self.live: tuple[Observer, ...] = live
        self.starts: tuple[StartObserver, ...] = tuple(
            cast("StartObserver", o) for o in live if hasattr(o, "started")
        )
        self.callers: tuple[CallerObserver, ...] = tuple(
            cast("CallerObserver", o) for o in live if hasattr(o, "caller")
        )
        self.log: Observer | None = log
        self.log_enabled: Callable[[], bool] | None = log_enabled
        self.log_possible: Callable[[], bool] = log_possible or log_enabled or _never

    def framed(self) -> bool:
        """Whether a run that begins now needs frames."""
        return self.always_framed or (self.log_enabled is not None and self.log_enabled())

    def observers_of_a_run(self) -> tuple[Observer, ...]:
        """Return who is told of each call of a run that begins now."""
        if self.log is not None and self.log_enabled is not None and self.log_enabled():
            return (*self.live, self.log)
        return self.live


def _never() -> bool:
    return False


class Site:
    """A place in a workflow: its path and what is kept for it.

    A workflow that a step executes by itself has a path below that step, but its statistics are
    kept under its own name, as if it ran alone.
    """

    __slots__ = (
        "children",
        "framed_pairs",
        "kind",
        "name",
        "outermost",
        "pairs",
        "path",
        "push",
        "state",
        "stats",
        "tick",
        "well",
    )

    def __init__(
        self, state: Listening, name: str, path: str, kind: str, counted_as: str | None = None
    ) -> None:
        self.state: Listening = state
        self.name: str = name
        self.path: str = path
        self.kind: str = kind
        self.stats: SiteStats | None = (
            None if state.recorder is None else state.recorder.stats(name, counted_as or path, kind)
        )
        stats = self.stats
        self.push: Callable[[float], object] = _ignore if stats is None else stats.push
        self.tick: Callable[[], object] = _ignore if stats is None else stats.tick
        self.children: tuple[Site, ...] | None = None
        self.pairs: Any = None  # what a composite prepared for a counted run at this place
        self.framed_pairs: Any = None  # and for a framed one
        self.outermost: bool = False
        """Whether the owner counts its own calls here; else a composite above does."""
        self.well: Callable[[float], None] | None = None
        """Counts a call of a wrapper that took all the time of its step; see `stand_alone`."""

    def open(self, owner: Node) -> tuple[Site, ...]:
        """Return the places of the owner's children, made when first asked for."""
        children = self.children
        if children is None:
            counted = self.path if self.stats is None else self.stats.path
            children = self.children = tuple(
                Site(
                    self.state,
                    node.name,
                    f"{self.path}/{segment}",
                    node.type_name,
                    f"{counted}/{segment}",
                )
                for node, segment in zip(owner.nodes, owner.segments, strict=True)
            )
        return children

    def took(self, duration: float) -> None:
        """Count a call that ended well, with its duration in seconds."""
        self.tick()
        self.push(-duration)

    def failed(self, duration: float, error: BaseException) -> None:
        """Count a call that did not end well."""
        if self.stats is not None:
            self.stats.failed(duration, error)

    def stand_alone(self, owner: Node) -> Callable[[float], None]:
        """Prepare for calls of the owner that take as long as the one call of its first child.

        Returns:
            What counts both (the owner's only where it is `outermost`), given when they began.
            Kept in `well`. A function of its own, for it is called once per run.
        """
        first = self.open(owner)[0]
        push = first.push
        if self.outermost:
            own, tick = self.push, self._tick_of((first, self))

            def well(began: float) -> None:
                took = began - clock.now()
                push(took)
                own(took)
                tick()

        else:
            tick = first.tick

            def well(began: float) -> None:
                push(began - clock.now())
                tick()

        self.well = well
        return well

    def went_wrong(self, owner: Node, began: float, error: BaseException) -> None:
        """Count a call of the owner that failed with its first child; as `well`."""
        self.open(owner)[0].failed(clock.now() - began, error)
        self.ended(began, error)

    def ended(self, began: float, error: BaseException | None = None) -> None:
        """Count a call of the owner alone, unless a composite above does."""
        if self.outermost:
            took = clock.now() - began
            if error is None:
                self.took(took)
            else:
                self.failed(took, error)

    def tick_all(self, *, own: bool) -> Callable[[], object]:
        """Return what counts a run that ended well for every child, and for this place if `own`."""
        children = self.children or ()
        return self._tick_of((self, *children) if own else children)

    def _tick_of(self, sites: tuple[Site, ...]) -> Callable[[], object]:
        recorder = self.state.recorder
        if recorder is None:
            return _ignore
        return recorder.tick_all(tuple(site.stats for site in sites if site.stats is not None))


def _ignore(duration: float = 0.0) -> None:
    """Stand where no recorder listens."""


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

# --- who listens --------------------------------------------------------------------------------

current: ContextVar[Frame | None] = ContextVar("tta_dev_primitives.frame", default=None)
"""The innermost running composite, where somebody listens."""

_PENDING = Listening()
listening: Listening | None = _PENDING
"""Who listens; None when nobody does. Read once by each composite run."""


def _ask_package() -> None:
    """Let the package install its default observers, which stand in layers above this one."""
    import_module("tta_dev_primitives").install_default_observers()


_install_defaults: Callable[[], None] | None = _ask_package
_lock = threading.RLock()  # for whoever changes what stands below
_added: tuple[Observer, ...] = ()
_recorder: Recorder | None = None
_log: Observer | None = None
_log_enabled: Callable[[], bool] | None = None
_log_possible: Callable[[], bool] | None = None


_ambient: int = 0


def want_frames(wanted: bool) -> None:  # noqa: FBT001 - one switch
    """Keep frames though no observer asks for records: for ids in log lines. Calls are counted."""
    global _ambient  # noqa: PLW0603 - process-wide by design
    state_for_run(listening or _PENDING)
    with _lock:
        _ambient = max(0, _ambient + (1 if wanted else -1))
        _refresh()


def state_for_run(state: Listening) -> Listening | None:
    """Return who listens to a run that begins; installs the defaults before the first one."""
    global _install_defaults
    if state is not _PENDING:
        return state
    with _lock:  # the first runs of several threads: one installs, the others wait for it
        install, _install_defaults = _install_defaults, None
        if install is not None:
            install()
        if listening is _PENDING:
            _refresh()
    return listening


def install_defaults(
    *,
    recorder: Recorder | None = None,
    log: Observer | None = None,
    log_enabled: Callable[[], bool] | None = None,
    log_possible: Callable[[], bool] | None = None,
) -> None:
    """Put the default recorder and the log observer in place, or take them away.

    Args:
        recorder: Keeps durations by place; None for none.
        log: Told of each call of a run that began while `log_enabled()` was true.
        log_enabled: Says whether log lines are wanted; asked once per outermost run.
        log_possible: Says no only where `log_enabled` would; asked first, if it is quicker.
    """
    global _install_defaults, _recorder, _log, _log_enabled, _log_possible  # noqa: PLW0603 - process-wide
    with _lock:
        _install_defaults = None  # decided here, so the first run does not decide again
        _recorder, _log = recorder, log
        _log_enabled, _log_possible = log_enabled, log_possible
        _refresh()


def silence() -> None:
    """Take away the default recorder and the log observer; observers that were added stay."""
    install_defaults()


def add_observer(observer: Observer) -> None:
    """Tell `observer` of every call from the next run on.

    Adding is idempotent per type: a second observer of a type replaces the first, so that setting
    up twice does not report twice.
    """
    global _added  # noqa: PLW0603 - process-wide by design
    state_for_run(listening or _PENDING)  # the defaults first, so that order does not matter
    kind = type(observer)
    with _lock:
        _added = (*(o for o in _added if type(o) is not kind), observer)
        _refresh()


def remove_observer(observer: Observer) -> bool:
    """Stop telling `observer`; returns whether it was listening."""
    global _added  # noqa: PLW0603 - process-wide by design
    with _lock:
        before = _added
        _added = tuple(o for o in before if o is not observer)
        _refresh()
        return len(_added) < len(before)


def observers() -> tuple[Observer, ...]:
    """Return the observers that were added, in the order in which they are told."""
    return _added


def _refresh() -> None:
    global listening  # noqa: PLW0603 - replaced as a whole, so a run sees one state
    if _recorder is None and _log is None and not _added and not _ambient:
        listening = None
        return
    listening = Listening(
        recorder=_recorder,
        live=_added,
        log=_log,
        log_enabled=_log_enabled,
        log_possible=_log_possible,
        ambient=_ambient > 0,
    )


# --- frames -------------------------------------------------------------------------------------

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
            found = observer.caller() or found
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


def hide_frame(error: BaseException) -> None:
    """Take the entry of the calling function off a traceback: it tells the user nothing.

    To be called where the error was caught; a bare `raise` after it adds no new entry.
    """
    traceback = error.__traceback__
    if traceback is not None:
        error.with_traceback(traceback.tb_next)  # an exception may refuse to be assigned to


async def count(
    site: Site,
    call: Callable[[WorkflowContext, Any], Awaitable[T]],
    context: WorkflowContext,
    input_data: object,
) -> T:
    """Run one child of a composite where only the recorder listens."""
    started = clock.now()
    try:
        result = await call(context, input_data)
    except BaseException as error:
        site.failed(clock.now() - started, error)
        hide_frame(error)
        raise
    site.took(clock.now() - started)
    return result


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
    if result.__class__ is stream_type:
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

    call = Call(
        name=site.name,
        path=site.path,
        type=site.kind,
        start=started,
        attempt=attempt,
        context=frame.context,
        trace_id=frame.trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
    )
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
        name=site.name,
        path=site.path,
        type=site.kind,
        start=started,
        attempt=attempt,
        context=frame.context,
        trace_id=frame.trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        end=end,
        status=status_of(error),
        error=error,
        attributes=attributes or _NO_ATTRIBUTES,
    )
    for observer in frame.live:
        _tell(observer, observer.ended, record)


stream_type: type[Stream[Any]] | None = None
"""The class of streams, once that module is loaded: their calls end when they do."""


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
    if result.__class__ is stream_type:
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
