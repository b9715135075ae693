"""Running a workflow from synchronous code: one event loop for all calls of a thread."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from tta_dev_primitives.errors import NestedRunError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ("awaited", "runner_of_thread")

Out = TypeVar("Out")

_local = threading.local()


def runner_of_thread(name: str) -> asyncio.Runner:
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
    loop: _LoopOfThread | None = getattr(_local, "loop", None)
    if loop is None or loop.runner.get_loop().is_closed():
        loop = _local.loop = _LoopOfThread()
    return loop.runner


async def awaited(awaitable: Awaitable[Out]) -> Out:
    """Make a coroutine of any awaitable, as `Runner.run` wants one."""
    return await awaitable


class _LoopOfThread:
    """The event loop of a thread's `run` calls, closed when the thread or the program ends."""

    def __init__(self) -> None:
        self.runner: asyncio.Runner = asyncio.Runner()
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
