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
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

__all__ = ("Crew",)

_EAGER = sys.version_info >= (3, 12)
_Task = asyncio.Task


class Crew:
    """Starts tasks and waits for them all.

    A task of a crew handles its own `Exception`s and tells the policy of its call; what still
    comes out of one is cancellation, or `KeyboardInterrupt` and its like.

    On Python 3.12 and newer a task begins to run when it is started and becomes a task of the loop
    only if it waits for something (`eager_start`), unless the loop has a task factory of its own.
    """

    __slots__ = (
        "_cancelling",
        "_eager",
        "_ending",
        "_fatal",
        "_loop",
        "_me",
        "_pruned",
        "stopping",
        "tasks",
    )

    def __init__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._me = me = asyncio.current_task(loop)
        self._cancelling = 0 if me is None else me.cancelling()
        self._eager = _EAGER and loop.get_task_factory() is None
        self._fatal: BaseException | None = None
        self._ending = False
        self._pruned = False
        self.stopping: bool = False
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        """Start one task.

        Args:
            work: What it does; must not let an `Exception` out.
            context: The context variables that it sees; a copy of the caller's by default.
        """
        if self._eager:
            task: asyncio.Task[None] = _Task(  # pyright: ignore[reportUnknownVariableType] - as below
                work,
                loop=self._loop,
                context=context,
                eager_start=True,  # type: ignore[call-arg, unused-ignore]  # pyright: ignore[reportCallIssue] - from Python 3.12
            )
        elif context is None:
            task = self._loop.create_task(work)
        else:  # not every task factory takes a context
            task = context.run(self._loop.create_task, work)
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
        """Let go of tasks that ended well."""
        self._pruned = True
        self.tasks[:] = [
            t for t in self.tasks if not t.done() or t.cancelled() or t.exception() is not None
        ]

    def escape(self, error: BaseException) -> None:
        """Stop, and let `drain` raise `error`: for what no policy holds back.

        A task tells it here instead of raising it, for nobody may be waiting for that very task;
        and `KeyboardInterrupt` and `SystemExit` would end the loop with its siblings running.
        """
        if self.stopping and isinstance(error, asyncio.CancelledError):
            return  # as it was asked to
        if not self._loop.is_closed():  # else it is being thrown away unfinished
            self._give_up(error)

    async def drain(self) -> None:
        """Wait until every task is done, whatever happens meanwhile.

        Raises:
            CancelledError: The caller was cancelled; or a task was, and not by `stop`.
            BaseException: What else a task let out.
        """
        await self._await_all()
        while self._pruned:  # the list became shorter under the loop, which missed some then
            self._pruned = False
            await self._await_all()
        if self._fatal is not None:
            try:
                raise self._fatal
            finally:
                self._fatal = None  # the traceback holds this frame: no reference cycle

    async def _await_all(self) -> None:
        waiter = _Waiter(self)
        for task in self.tasks:  # grows while tasks start others
            while not task.done():
                waiter.task = task
                try:
                    await waiter
                except asyncio.CancelledError as error:
                    if not self.stopping or not task.done() or self._cancelled():
                        self._give_up(error)
                except BaseException as error:  # noqa: BLE001 - raised by `drain`, once all are done
                    self._give_up(error)
                if self._fatal is None and self._cancelled():  # and the task swallowed it
                    self._give_up(asyncio.CancelledError())
            if not task.cancelled():
                escaped = task.exception()
                if escaped is not None and self._fatal is not escaped:
                    self._give_up(escaped)
                del escaped  # no reference cycle through this frame
            elif not self.stopping:
                self._give_up(asyncio.CancelledError())

    def cancel(self) -> None:
        """Cancel every task, once, also one that calls this: the caller of `drain` must end."""
        self.stopping = True
        if not self._ending:
            self._ending = True
            for task in self.tasks:
                if not task.cancelling():  # by `stop`, and is closing what it has open
                    task.cancel()

    def _cancelled(self) -> bool:
        """Whether the caller was asked to end since it made this crew."""
        return self._me is not None and self._me.cancelling() > self._cancelling

    def _give_up(self, error: BaseException) -> None:
        if self._fatal is None or isinstance(self._fatal, asyncio.CancelledError):
            self._fatal = error
        self.stop()


class _Waiter:
    """What the caller of a crew waits for: a task of it, without handing cancellation on to that.

    Awaiting a task itself would cancel this one task, and again with each further cancellation,
    while its siblings run on until it has ended. An object that asyncio takes for a future is
    asked to cancel as well, but may say no: then the caller is cancelled when the task has ended,
    and until then all tasks are ending.
    """

    __slots__ = ("_asyncio_future_blocking", "_crew", "task")

    task: asyncio.Task[None]

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._asyncio_future_blocking = False

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, for asyncio."""
        return self.task.get_loop()

    def add_done_callback(
        self, callback: Callable[[asyncio.Task[None]], object], *, context: Context | None = None
    ) -> None:
        """Wake the caller when the task is done, for asyncio."""
        self.task.add_done_callback(callback, context=context)

    def cancel(self, msg: object = None) -> bool:
        """Let all tasks end; returns that the wait for them goes on, for asyncio."""
        del msg
        self._crew.cancel()
        return False
