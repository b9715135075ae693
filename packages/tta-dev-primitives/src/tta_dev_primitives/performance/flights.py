"""Single flight: callers of one key that arrive while its result is computed wait for that run.

The first caller computes inside its own task, so a miss costs no task. If it is cancelled, the
caller that has waited longest takes over; if all are cancelled, nothing runs on.
"""

from __future__ import annotations

import copy
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from contextvars import Token

__all__ = ("Flight", "leading", "twin")

leading: ContextVar[Flight | None] = ContextVar("tta_dev_primitives.flight", default=None)
"""The innermost run that the current code is part of."""


class Flight:
    """One run that others may wait for.

    Attributes:
        loop: The event loop of its callers.
        parent: The run inside which it was started.
        done: Whether there is an outcome: a value or an error.
        adrift: Whether it ended without an outcome, and nobody is left to compute one.
        waits_for: The runs for which this one waits, through the code inside it.
        value: The value, once done without an error.
        error: A copy of the error, once done with one.
    """

    __slots__ = ("_waiting", "adrift", "done", "error", "loop", "parent", "value", "waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.parent: Flight | None = None
        self.done: bool = False
        self.adrift: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        # Made when the first one waits; most runs are never waited for.
        self._waiting: deque[asyncio.Future[None]] | None = None
        self.waits_for: list[Flight] = []

    def begin(self) -> Token[Flight | None]:
        """Say that the current code computes the outcome; returns what ends that."""
        self.parent = leading.get()
        return leading.set(self)

    def would_wait_for_itself(self) -> bool:
        """Whether the current code is part of this run, directly or through other runs.

        Through others: this run waits for a run that waits for one that the current code is in.
        """
        mine = list(_line(leading.get()))
        if not mine:
            return False
        seen: set[int] = set()
        stack: list[Flight] = [self]
        while stack:
            flight = stack.pop()
            if any(flight is own for own in mine):
                return True
            if id(flight) not in seen:
                seen.add(id(flight))
                stack.extend(flight.waits_for)
        return False

    async def wait(self) -> bool:
        """Wait for the outcome.

        Returns:
            True when there is one; False when it is now the caller's turn to compute it.

        Raises:
            asyncio.CancelledError: The caller was cancelled; a turn it was given goes on.
        """
        mine = list(_line(leading.get()))
        for flight in mine:
            flight.waits_for.append(self)
        turn: asyncio.Future[None] = self.loop.create_future()
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and not self.done:
                self.adrift = (
                    not self.hand_over()
                )  # it was this caller's turn, but the caller is gone
            raise
        finally:
            for flight in mine:
                flight.waits_for.remove(self)
        return self.done

    def hand_over(self) -> bool:
        """Give the turn to the caller that has waited longest; False when nobody waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done() and not self.loop.is_closed():
                turn.set_result(None)
                return True
        return False

    def finish(self, value: object = None, error: Exception | None = None) -> None:
        """Give all who wait the outcome."""
        self.done = True
        self.value = value
        if self._waiting:
            self.error = None if error is None else twin(error)
            while self.hand_over():
                pass


def _line(flight: Flight | None) -> Iterator[Flight]:
    """Yield a run and those around it that are not over."""
    while flight is not None:
        if not flight.done:
            yield flight
        flight = flight.parent


def twin(error: Exception) -> Exception:
    """Return a copy of an exception without its traceback, for another caller to raise.

    An exception that cannot be copied is returned itself, its traceback reset, so that it does not
    grow with each caller.
    """
    try:
        made = copy.copy(error)
        if type(made) is not type(error) or made.args != error.args:
            made = error
    except Exception:  # noqa: BLE001 - a user's exception can fail to copy in any way
        made = error
    if made is not error:
        own = vars(made)
        if "__notes__" in own:
            own["__notes__"] = list(own["__notes__"])
        made.__cause__ = error.__cause__
        made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(None)
