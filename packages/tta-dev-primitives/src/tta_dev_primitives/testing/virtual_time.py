"""An event loop whose time does not pass but jumps: an hour of sleeps takes milliseconds.

The loop does everything that is ready, and when nothing is, it moves its clock to the next timer.
`asyncio.sleep`, `asyncio.timeout`, `wait_for` and whatever else reads the loop's time follow, and
the engine's own clock too, so that records and error notes tell virtual seconds. The order of
events is that of real time, without its jitter.

Three things happen in real time, whatever the clock says, and the loop waits for them:

- A job in an executor (`asyncio.to_thread`, `in_thread`): time stands still until it has ended.
- Open sockets, pipes and subprocesses: before each jump the loop gives them `io_wait` seconds to
  show something. A peer that needs longer is overtaken by the next timer.
- Threads that were started by other means since the loop was made: they may call back into the
  loop, so they are treated as sockets are.

Where nothing can happen any more, `DeadlockError` says which tasks wait and where, instead of a
test that hangs.

For whoever edits this file: time moves in `_pass_time` and nowhere else.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from tta_dev_primitives.core import clock
from tta_dev_primitives.errors import ConfigurationError, NestedRunError, TTAError
from tta_dev_primitives.testing.leaks import describe_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from contextvars import Context

__all__ = ("DeadlockError", "RealTimeLimitError", "VirtualTimeLoop", "run_virtual")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SPINS = 256  # passes without a pause between two looks at the processor clock
_RESOLUTION = 1e-9  # asyncio's own notion of "due", in seconds


class DeadlockError(TTAError, RuntimeError):
    """Every task waits, and nothing is left that could wake one."""


class RealTimeLimitError(TTAError, RuntimeError):
    """A run in virtual time took too many real seconds."""


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do where an ordinary selector would block."""

    idle: Callable[[float | None], list[tuple[selectors.SelectorKey, int]]]
    """Called when nothing is ready, with the seconds to the next timer."""
    busy: Callable[[], None]
    """Called on a pass on which callbacks are ready."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None or timeout > 0:
                return self.idle(timeout)
            self.busy()
        return events

    def block(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events in real time."""
        return super().select(seconds)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer when nothing else is left to do.

    The class is its own factory: `asyncio.Runner(loop_factory=VirtualTimeLoop)`, or with anyio's
    pytest plugin a backend of `("asyncio", {"loop_factory": VirtualTimeLoop})`. Loops of other
    threads keep real time.

    Args:
        start: The loop's first reading, in seconds. Default: 0.
        autojump: Jump by itself. False: time moves only by `advance`.
        io_wait: Real seconds to wait for open sockets before a jump. Default: 0.05.
        real_limit: Most real seconds that one run may spend computing or waiting; time in a
            blocking call, such as a debugger's prompt, does not count. None: no bound.
            Default: 60.

    Raises:
        ConfigurationError: A number is negative or not finite.

    Example:
        >>> import asyncio
        >>> async def main() -> float:
        ...     await asyncio.sleep(3600)
        ...     return asyncio.get_running_loop().time()
        >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        ...     runner.run(main())
        3600.0
    """

    def __init__(
        self,
        *,
        start: float = 0.0,
        autojump: bool = True,
        io_wait: float = 0.05,
        real_limit: float | None = 60.0,
    ) -> None:
        self._now = start
        self._autojump = autojump
        self._io_wait = io_wait
        self._real_limit = math.inf if real_limit is None else real_limit
        self._jobs: dict[asyncio.Future[Any], str] = {}
        self._advances: list[tuple[float, asyncio.Future[None]]] = []
        self._closers = 0  # shutdowns of the executor, which wait for a thread of their own
        # Threads that are known not to call back into this loop, or to be counted as jobs.
        self._known_threads = weakref.WeakSet(threading.enumerate())
        self._passes = 0
        self._began = 0.0
        self._waited = 0.0
        self._events = _Selector()
        self._events.idle = self._pass_time
        self._events.busy = self._spin
        super().__init__(self._events)
        self._own_files = len(self._events.get_map())
        for option, value in (("start", start), ("io_wait", io_wait), ("real_limit", real_limit)):
            if value is not None and not 0 <= value < math.inf:
                self.close()  # not before: asyncio's `__del__` wants a loop that is complete
                message = f"{option} must be a number of seconds, zero or more, not {value!r}"
                raise ConfigurationError(message)
        self._due_within()
        _opened(self)

    # --- time -------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Move time forward and return when all that falls due until then has happened.

        Timers run one after the other, each at its own time, and whatever they wake runs until it
        waits again. Nothing later than the new time has happened then.

        Args:
            seconds: How far, zero or more. Zero lets everything that is ready happen.

        Raises:
            ConfigurationError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            message = f"time can be advanced by zero or more seconds, not by {seconds!r}"
            raise ConfigurationError(message)
        arrived: asyncio.Future[None] = self.create_future()
        entry = (self._now + seconds, arrived)
        self._advances.append(entry)
        try:
            await arrived
        finally:
            if entry in self._advances:
                self._advances.remove(entry)

    def _pass_time(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Nothing is ready: wait in real time for what needs it, else move the clock.

        Args:
            timeout: Seconds to the next timer (asyncio says a day where it is further); None
                where there is no timer.
        """
        self._check_limit()
        if self._jobs or self._closers:
            return self._block(self._real_limit - self._spent())
        outside = len(self._events.get_map()) > self._own_files or self._has_strange_threads()
        timer = math.inf if timeout is None else self._now + timeout
        horizon = min((target for target, _ in self._advances), default=math.inf)
        target = min(horizon, timer) if self._autojump or self._advances else math.inf
        if outside:
            patient = target == math.inf
            events = self._block(self._real_limit - self._spent() if patient else self._io_wait)
            if events or patient:
                return events
        if target == math.inf:
            raise DeadlockError(self._why_nothing_happens(timer))
        self._now = target
        self._due_within()
        if horizon < timer:
            for entry in [entry for entry in self._advances if entry[0] == horizon]:
                self._advances.remove(entry)
                if not entry[1].done():
                    entry[1].set_result(None)
        return []

    def _due_within(self) -> None:
        """Keep the resolution above the float's: beyond 97 days a nanosecond is lost in it."""
        self._clock_resolution = max(_RESOLUTION, math.ulp(self._now))

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time; a time that never comes keeps nothing alive.

        Raises:
            ValueError: `when` is not a number.
        """
        if when == math.inf:  # `sleep(inf)`; in the queue it would hide a deadlock
            return asyncio.TimerHandle(when, callback, args, self, context)
        if math.isnan(when):
            message = "a timer cannot be set for NaN"
            raise ValueError(message)
        return super().call_at(when, callback, *args, context=context)

    # --- real time --------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until `stop` is called; the real-time limit starts anew."""
        self._passes = 0
        self._waited = 0.0
        self._began = time.thread_time()
        super().run_forever()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function in an executor; time stands still until it has ended."""

        def job(*args: *Ts) -> T:  # to know the executor's threads from strange ones
            self._known_threads.add(threading.current_thread())
            return func(*args)

        in_thread = executor is None or isinstance(executor, ThreadPoolExecutor)
        future = super().run_in_executor(executor, job if in_thread else func, *args)
        self._jobs[future] = _name_of(func, args)
        future.add_done_callback(self._jobs.pop)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own
        """Wait for the default executor's threads; `real_limit` bounds the wait."""
        del timeout  # would be virtual seconds
        self._closers += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._closers -= 1

    def close(self) -> None:
        """Close the loop; the engine's clock is the real one again."""
        if not self.is_closed():
            _closed(self)
        super().close()

    def _has_strange_threads(self) -> bool:
        known = self._known_threads
        return any(thread not in known for thread in threading.enumerate())

    def _block(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.perf_counter()
        # A bound of days overflows in the operating system's call; the loop comes back anyway.
        events = self._events.block(max(0.0, min(seconds, 3600.0)))
        self._waited += time.perf_counter() - began
        return events

    def _spent(self) -> float:
        return self._waited + time.thread_time() - self._began

    def _spin(self) -> None:
        """Count a pass on which something was ready; endless ones are a loop without a wait."""
        self._passes += 1
        if not self._passes % _SPINS:
            self._check_limit()

    def _check_limit(self) -> None:
        if self._spent() < self._real_limit:
            return
        jobs = "".join(f"\n  in an executor: {name}" for name in self._jobs.values())
        message = (
            f"a run in virtual time spent its {self._real_limit:g} real seconds; it stands at "
            f"{self._now:g} virtual seconds (raise real_limit= if it is meant to take so "
            f"long):{jobs}\n{self._tasks()}"
        )
        raise RealTimeLimitError(message)

    def _why_nothing_happens(self, timer: float) -> str:
        if timer == math.inf:
            reason = "there is no timer, no socket and no thread that could wake one"
        else:
            reason = f"the next timer is at {timer:g} s and time moves only by advance()"
        return f"every task waits at {self._now:g} virtual seconds, and {reason}:\n{self._tasks()}"

    def _tasks(self) -> str:
        return describe_tasks(asyncio.all_tasks(self)) or "  (there is no task at all)"


def run_virtual(
    main: Coroutine[Any, Any, T],
    *,
    start: float = 0.0,
    io_wait: float = 0.05,
    real_limit: float | None = 60.0,
) -> T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` does in real time.

    Args:
        main: The coroutine.
        start: The first reading of the loop's clock, in seconds. Default: 0.
        io_wait: Real seconds to wait for open sockets before a jump. Default: 0.05.
        real_limit: Most real seconds that the run may take; None: no bound. Default: 60.

    Returns:
        What the coroutine returns.

    Raises:
        DeadlockError: Nothing can ever happen again; the message names the tasks that wait.
        RealTimeLimitError: The run took more than `real_limit`.
        NestedRunError: An event loop runs in this thread already.

    Example:
        >>> import asyncio
        >>> async def patient() -> str:
        ...     async with asyncio.timeout(3600):
        ...         await asyncio.sleep(3599)
        ...     return "in time"
        >>> run_virtual(patient())
        'in time'
    """
    if _running() is not None:
        main.close()
        message = "run_virtual() was called where an event loop is running; await the coroutine"
        raise NestedRunError(message)

    def loop() -> VirtualTimeLoop:
        return VirtualTimeLoop(start=start, io_wait=io_wait, real_limit=real_limit)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


# --- the engine's clock -------------------------------------------------------------------------

_lock = threading.Lock()
_open: dict[int, list[VirtualTimeLoop]] = {}  # by thread, the newest last
_real: Callable[[], float] = time.perf_counter


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _reading() -> float:
    """Return the time of the running loop; between runs, that of this thread's open loop."""
    loop = _running()
    if loop is None:
        loops = _open.get(threading.get_ident())
        loop = loops[-1] if loops else None
    return loop.time() if isinstance(loop, VirtualTimeLoop) else _real()


def _opened(loop: VirtualTimeLoop) -> None:
    global _real  # noqa: PLW0603 - what the engine read before, given back when the last one closes
    with _lock:
        if not _open:
            _real = clock.now
            clock.replace(_reading)
        _open.setdefault(threading.get_ident(), []).append(loop)


def _closed(loop: VirtualTimeLoop) -> None:
    with _lock:
        for thread, loops in list(_open.items()):
            if loop in loops:  # a loop may be closed by another thread than the one that made it
                loops.remove(loop)
                if not loops:
                    del _open[thread]
        if not _open and clock.now is _reading:
            clock.replace(_real)


def _name_of(function: Callable[..., object], args: tuple[object, ...]) -> str:
    """Name a job; `to_thread` hands over `partial(context.run, function, ...)`."""
    inner = (*getattr(function, "args", ()), *args)
    if hasattr(function, "func"):
        function = getattr(function, "func")  # noqa: B009 - not every callable has one
    if getattr(function, "__name__", "") == "run" and inner and callable(inner[0]):
        function = inner[0]
    return getattr(function, "__qualname__", None) or repr(function)
