"""Running a workflow from synchronous code: one event loop for all calls of a thread."""

from __future__ import annotations

import asyncio
import atexit
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tta_dev_primitives.errors import NestedRunError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

__all__ = ("Bell", "awaited", "loop_of_thread")

Out = TypeVar("Out")

_local = threading.local()


def loop_of_thread(name: str) -> LoopOfThread:
    """Return what runs coroutines in this thread; the same from call to call.

    Args:
        name: Whose `run` asks, for the error.

    Raises:
        NestedRunError: An event loop runs in this thread.
    """
    if asyncio._get_running_loop() is not None:  # the asyncio sources: fast, does not raise
        message = (
            f"run() of {name!r} was called where an event loop is running; "
            f"use `await {name}.execute(...)` there"
        )
        raise NestedRunError(message)
    loop: LoopOfThread | None = getattr(_local, "loop", None)
    if loop is None or loop.is_closed():
        loop = _local.loop = LoopOfThread()
    return loop


async def awaited(awaitable: Awaitable[Out]) -> Out:
    """Make a coroutine of any awaitable, as `Runner.run` wants one."""
    return await awaitable


class Bell:
    """Wakes an event loop of the main thread at a signal, while this is entered.

    A signal that comes just before the loop begins to wait is noted by the interpreter, and heeded
    when the loop wakes: Ctrl-C would do nothing until then. So each signal is written to a socket
    that the loop reads. (asyncio does so itself on Windows, elsewhere only once somebody has called
    `loop.add_signal_handler`.)

    Args:
        loop: Which; not running.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)
        self._before = -1
        self._loop = loop
        loop.add_reader(self._heard, self._heard.recv, 4096)

    def __enter__(self) -> None:
        self._before = signal.set_wakeup_fd(self._rung.fileno(), warn_on_full_buffer=False)

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)

    def close(self) -> None:
        """Give the sockets back."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._heard)
        self._heard.close()
        self._rung.close()


class LoopOfThread:
    """The event loop of a thread's `run` calls, closed when the thread or the program ends."""

    def __init__(self) -> None:
        # By a factory: else it would be set as the thread's loop, and to unset that when the thread
        # has ended can bring a ghost of the thread into being.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._bell: Bell | None = None
        if threading.current_thread() is threading.main_thread():
            if sys.platform != "win32":
                self._bell = Bell(self._runner.get_loop())
            # While the interpreter still works: module teardown would come too late.
            atexit.register(self._close_at_exit)

    def run(self, coroutine: Coroutine[Any, Any, Out]) -> Out:
        """Run a coroutine to its end."""
        if self._bell is None:
            return self._runner.run(coroutine)
        with self._bell:
            return self._runner.run(coroutine)

    def is_closed(self) -> bool:
        """Say whether somebody has closed the loop."""
        return self._runner.get_loop().is_closed()

    def _close_at_exit(self) -> None:
        # From Python 3.12 on, no thread can be started any more, and a loop that has run jobs in
        # threads wants one to wait for them; they have ended by now, and the loop is closed anyway.
        with suppress(RuntimeError):
            self._close()

    def _close(self) -> None:
        try:
            if not self.is_closed():  # by somebody else: nothing is left to do
                self._runner.close()
        finally:
            if self._bell is not None:
                self._bell.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            with suppress(RuntimeError):  # the runner is closed already
                self._close()
