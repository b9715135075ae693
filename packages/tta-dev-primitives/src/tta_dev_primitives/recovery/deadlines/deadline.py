"""Deadlines within a run: how they nest, how one passes, and `remaining()`.

A limit opens a `Scope` in the caller's own task. When its time comes, the task is cancelled as
`asyncio.timeout` does it, and the scope tells on its way out whether the `CancelledError` is its
own. Scopes with the same number of seconds pass in the order in which they were opened, so a
`Lane` keeps them in that order behind one timer: opening a scope and closing it in time touches
the event loop's schedule only when the lane was empty and its timer is not set.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Lane", "Scope", "current", "open_until", "remaining", "running_task")

_REAL_TIME = ("asyncio.", "uvloop")  # where the event loops come from that an idle timer is safe on


class Scope:
    """One limit that is in force. Made by `Lane.open` or `open_until`, ended by `close`.

    Attributes:
        when: When it passes, on the loop's clock.
        expired: Whether it has passed while it was open, so that its task was cancelled.
        task: The task that it cancels; None once it is closed.
        cancelling: How many cancellations of the task there were when it was opened.
        loop: The task's event loop.
        outer: The scope around it.
        lane: Where it waits for its time; None where it has a timer of its own.
        timer: Its own timer.
    """

    __slots__ = ("cancelling", "expired", "lane", "loop", "outer", "task", "timer", "when")

    cancelling: int
    expired: bool
    lane: Lane | None
    loop: asyncio.AbstractEventLoop
    outer: Scope | None
    task: asyncio.Task[object] | None
    timer: asyncio.TimerHandle
    when: float

    def expire(self) -> None:
        """Cancel the task, for the time has come."""
        if self.task is not None:
            self.expired = True
            self.task.cancel()

    def close(self, token: Token[Scope | None]) -> bool:
        """End the scope, once, in its task; take back the cancellation if it expired.

        Args:
            token: What `current.set` gave for it.

        Returns:
            Whether it expired and nobody else has cancelled the task: only then is a
            `CancelledError` that is under way its own.
        """
        task, self.task = self.task, None
        lane = self.lane
        if lane is None:
            self.timer.cancel()
        else:
            if not self.expired:
                del lane.scopes[self]
            if lane.tidy:
                lane.settle()
        try:
            current.reset(token)
        except ValueError:
            """The call is being closed unfinished, from another context."""
        return self.expired and task is not None and task.uncancel() <= self.cancelling


current: ContextVar[Scope | None] = ContextVar("tta_dev_primitives.deadline", default=None)
"""The innermost scope; it may be closed, where a task has outlived it."""

_new = object.__new__


class Lane:
    """Scopes of one length on one event loop, in the order in which they pass.

    Args:
        loop: The event loop.
        seconds: The length of a scope.
    """

    __slots__ = ("_due", "_timer", "loop", "scopes", "seconds", "tidy")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.seconds: float = seconds
        self.scopes: dict[Scope, None] = {}
        # Whether an empty lane takes its timer back at once: the first time, since there may be no
        # second one; and always on a loop with a clock of its own, which a timer could move.
        self.tidy: bool = True
        self._timer: asyncio.TimerHandle | None = None
        self._due: float = 0.0

    def open(self) -> Scope:
        """Open a scope for the running task; the caller makes it `current`.

        Raises:
            RuntimeError: No task is running.
        """
        scope: Scope = _new(Scope)
        scope.lane = self
        loop = scope.loop = self.loop
        task = scope.task = asyncio.current_task(loop) or running_task()
        scope.cancelling = task.cancelling()
        scope.expired = False
        when = scope.when = loop.time() + self.seconds
        scope.outer = current.get()
        self.scopes[scope] = None
        if self._timer is None:
            self._set(when)
        return scope

    def _set(self, when: float) -> None:
        self._due = when
        self._timer = self.loop.call_at(when, self._pass)

    def _pass(self) -> None:
        """Let the scopes pass whose time has come."""
        now = max(self._due, self.loop.time())
        self._timer = None
        scopes = self.scopes
        while scopes:
            scope = next(iter(scopes))
            if scope.when > now:
                self._set(scope.when)
                return
            del scopes[scope]
            scope.expire()

    def settle(self) -> None:
        """Take the timer back if the lane is empty; to be called after a close in a tidy lane."""
        if not self.scopes and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.tidy = not type(self.loop).__module__.startswith(_REAL_TIME)


def open_until(loop: asyncio.AbstractEventLoop, when: float) -> Scope:
    """Open a scope with a timer of its own, for limits whose length is not always the same.

    Args:
        loop: The running event loop.
        when: When it passes, on the loop's clock.

    Raises:
        RuntimeError: No task is running.
    """
    scope: Scope = _new(Scope)
    scope.lane = None
    scope.loop = loop
    scope.task = running_task()
    scope.cancelling = scope.task.cancelling()
    scope.expired = False
    scope.when = when
    scope.outer = current.get()
    scope.timer = loop.call_at(when, scope.expire)
    return scope


def running_task() -> asyncio.Task[object]:
    """Return the running task.

    Raises:
        RuntimeError: There is none: a coroutine is driven by hand.
    """
    task = asyncio.current_task()
    if task is None:
        message = "a Timeout must run inside a task, which it can cancel"
        raise RuntimeError(message)
    return task


def remaining(context: WorkflowContext | None = None) -> float | None:
    """Return how many seconds are left until the earliest deadline that is in force.

    That is the earliest of all Timeouts around the caller, in whatever task or function they
    began, and of the run's own `context.deadline`, where a Timeout or the argument tells it. For
    whoever passes a limit on, such as to a client's `timeout=`, or does not begin what it could
    not finish.

    Args:
        context: The run's context: needed only where its `deadline` may be in force and no
            Timeout is around.

    Returns:
        Seconds, zero once the deadline has passed; None where there is none.

    Raises:
        RuntimeError: Only the context has a deadline, and no event loop runs in this thread.

    Example:
        >>> from tta_dev_primitives.recovery.timeout import TimeoutPrimitive
        >>> async def ask(question: str) -> bool:
        ...     left = remaining()
        ...     return left is not None and 4 < left <= 5
        >>> TimeoutPrimitive(ask, seconds=5).run("how long?")
        True
        >>> remaining() is None
        True
    """
    when = None if context is None else context.deadline
    loop: asyncio.AbstractEventLoop | None = None
    scope = current.get()
    while scope is not None:
        if scope.task is not None:
            loop = scope.loop
            if when is None or scope.when < when:
                when = scope.when
        scope = scope.outer
    if when is None:
        return None
    return max(0.0, when - (loop or asyncio.get_running_loop()).time())
