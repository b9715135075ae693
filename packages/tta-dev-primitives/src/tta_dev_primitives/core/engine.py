"""How calls are observed: who listens, and where a call is counted.

There are three ways to run. *Bare*: nobody listens, `listening` is None, composites see that with
one global read and run their plain loop. *Counted*: only the default recorder listens; each place
in a workflow has a `Site` with a bound append for durations, a chain counts all its steps with one
call, composites hand their sites down, and nothing else is built. *Framed*: an observer or our log
handler is installed; each run of a composite opens one `Frame`, kept in one ContextVar, that knows
its composite, its parent frame and which child is running, so that path, parent and span id of any
call can be told from it when somebody asks and cost nothing before: see `frames`. Observers that
want each call are given a `Record` when it ends, and a `Call` when it starts if they define
`started`.

Rules for whoever edits this file or `frames`. A frame is set per composite, never per leaf. No
observer may change a result: whatever it raises is logged once and swallowed. Cancellation is
recorded and passes on.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from importlib import import_module
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tta_dev_primitives.core import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from tta_dev_primitives.core import frames as frames  # noqa: PLC0414 - a `Listening` loads it
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.frames import Frame
    from tta_dev_primitives.core.protocols import CallerObserver, Observer, StartObserver
    from tta_dev_primitives.core.stream import Stream

__all__ = (
    "Listening",
    "Site",
    "add_observer",
    "count",
    "current",
    "hide_frame",
    "install_defaults",
    "listening",
    "observers",
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
        if self.always_framed or log_enabled is not None:
            globals()["frames"] = import_module("tta_dev_primitives.core.frames")

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


stream_type: type[Stream[Any]] | None = None
"""The class of streams, once that module is loaded: their calls end when they do."""
unfinished: set[type] = {CoroutineType}
"""The classes of results that are none yet: coroutines, which nobody awaited, and streams."""
