"""`Crew`: the tasks of one call. They are started together, and none is left when the call ends.

What `asyncio.TaskGroup` does, with the errors left to the caller: a policy decides what an error
means, `stop` cancels the rest, and `drain` returns only when every task is done. Tasks are awaited
one after the other instead of through callbacks, which saves a turn of the loop per task.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

__all__ = ("Crew",)

_EAGER = sys.version_info >= (3, 12)


class Crew:
    """Starts tasks and waits for them all.

    A task of a crew handles its own `Exception`s and tells the policy of its call; what still
    comes out of one is cancellation, or `KeyboardInterrupt` and its like.

    On Python 3.12 and newer a task begins to run when it is started and becomes a task of the loop
    only if it waits for something (`eager_start`), unless the loop has a task factory of its own.
    """

    __slots__ = ("_cancelling", "_eager", "_fatal", "_loop", "_me", "stopping", "tasks")

    def __init__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._me = me = asyncio.current_task(loop)
        self._cancelling = 0 if me is None else me.cancelling()
        self._eager = _EAGER and loop.get_task_factory() is None
        self._fatal: BaseException | None = None
        self.stopping: bool = False
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        """Start one task.

        Args:
            work: What it does; must not let an `Exception` out.
            context: The context variables that it sees; a copy of the caller's by default.
        """
        if self._eager:
            task: asyncio.Task[None] = asyncio.Task(  # pyright: ignore[reportUnknownVariableType] - as below
                work,
                loop=self._loop,
                context=context,
                eager_start=True,  # type: ignore[call-arg, unused-ignore]  # pyright: ignore[reportCallIssue] - from Python 3.12
            )
        else:
            task = self._loop.create_task(work, context=context)
        self.tasks.append(task)

    def stop(self) -> None:
        """Cancel every task but the one that calls this."""
        if self.stopping:
            return
        self.stopping = True
        caller = asyncio.current_task(self._loop)
        for task in self.tasks:
            if task is not caller:
                task.cancel()

    def prune(self) -> None:
        """Let go of tasks that ended well; the first task, which calls this, stays."""
        first, *others = self.tasks
        self.tasks[:] = [
            first,
            *(t for t in others if not t.done() or t.cancelled() or t.exception() is not None),
        ]

    async def drain(self) -> None:  # noqa: C901 - each way in which tasks end
        """Wait until every task is done, whatever happens meanwhile.

        Raises:
            CancelledError: The caller was cancelled; or a task was, and not by `stop`.
            BaseException: What else a task let out.
        """
        for task in self.tasks:  # grows while tasks start others
            while not task.done():
                try:
                    await task
                except asyncio.CancelledError as error:
                    if not self.stopping or not task.done() or self._cancelled():
                        self._give_up(error)
                except BaseException as error:  # noqa: BLE001 - raised below, once all are done
                    self._give_up(error)
                if self._fatal is None and self._cancelled():  # and the task swallowed it
                    self._give_up(asyncio.CancelledError())
            if not task.cancelled():
                escaped = task.exception()
                if escaped is not None and self._fatal is not escaped:
                    self._give_up(escaped)
            elif not self.stopping:
                self._give_up(asyncio.CancelledError())
        if self._fatal is not None:
            try:
                raise self._fatal
            finally:
                self._fatal = None  # the traceback holds this frame: no reference cycle

    def _cancelled(self) -> bool:
        """Whether the caller was asked to end since it made this crew."""
        return self._me is not None and self._me.cancelling() > self._cancelling

    def _give_up(self, error: BaseException) -> None:
        if self._fatal is None or isinstance(self._fatal, asyncio.CancelledError):
            self._fatal = error
        self.stop()
