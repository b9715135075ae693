"""Single flight: callers of one key that arrive while its result is computed wait for that run.

The first caller computes inside its own task, so a miss costs no task. If it is cancelled, the
caller that has waited longest takes over; if all are cancelled, nothing runs on. Callers may stand
in different event loops and threads: a run is shared by all who can wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Token

__all__ = ("Flight", "ThreadTurn", "Turn", "leading", "running_loop", "twin", "unlisted")

leading: ContextVar[Flight | None] = ContextVar("tta_dev_primitives.flight", default=None)
"""The innermost run that the current code is part of."""

_POLL = 0.05  # seconds between two looks at a run in another loop, which may have stopped
_lock = threading.Lock()  # for what is rare: waiting, and waking those who wait


class ThreadTurn:
    """What a thread without a loop waits for."""

    __slots__ = ("_gate", "_over")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._over = False

    def done(self) -> bool:
        """Whether the wait is over."""
        return self._over

    def set_result(self, result: None, /) -> None:
        """End the wait."""
        del result
        if not self._over:
            self._over = True
            self._gate.release()

    def wait(self, seconds: float) -> None:
        """Wait until it is this thread's turn, or for so long."""
        if self._gate.acquire(timeout=seconds):
            self._gate.release()


Turn = asyncio.Future[None] | ThreadTurn
"""What somebody waits for."""


class Flight:
    """One run that others may wait for; `Kept.take_off` begins it.

    Attributes:
        done: Whether there is an outcome: a value or an error.
        adrift: Whether it ended without an outcome, and nobody is left to compute one.
        listed: Whether it is the run for its key; False for one whose result is not kept.
        loop: The event loop of the run; None for a run of a synchronous function.
        parent: The run inside which it was started.
        waiting: Those who wait, the longest first; None while nobody does.
        waits_for: The runs for which this one waits, through the code inside it.
        value: The value, once done without an error.
        error: A copy of the error, once done with one, where somebody waits.
    """

    # No `__init__`, for to call one costs more than what it would set; and some are set when they
    # are needed, for most runs are never waited for.
    __slots__ = (
        "_far",
        "_holder",
        "adrift",
        "done",
        "error",
        "listed",
        "loop",
        "parent",
        "value",
        "waiting",
        "waits_for",
    )

    adrift: bool
    done: bool
    error: Exception | None
    listed: bool
    loop: asyncio.AbstractEventLoop | None
    parent: Flight | None
    value: Any
    waiting: deque[Turn] | None
    waits_for: list[Flight]
    _far: bool
    """Whether somebody who waits is in another loop or a thread without one."""
    _holder: Turn | None

    def begin(self) -> Token[Flight | None]:
        """Say that the current code computes the outcome; returns what ends that."""
        self.parent = leading.get()
        return leading.set(self)

    def within_reach(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Whether somebody in `loop` can wait for it: its own loop is this one, or runs."""
        mine = self.loop
        return mine is loop or mine is None or mine.is_running()

    # --- waiting ----------------------------------------------------------------------------

    def join(self, turn: Turn, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Wait for the outcome, or for the turn to compute it, through `turn`.

        Args:
            turn: A future, or a `ThreadTurn`.
            loop: The loop of the future, which is the one that runs here; else None.

        Returns:
            False where waiting would never end, for the run waits for the current code, directly or
            through other runs.
        """
        around = leading.get()
        near = loop is self.loop
        _lock.acquire()  # twice as fast as `with`, for each of a herd
        try:
            if around is not None and not self._awaited_in(tuple(_line(around))):
                return False
            waiting = self.waiting
            if waiting is None:
                self._holder = None
                self._far = False
                waiting = self.waiting = deque()
            waiting.append(turn)
            if not near:
                self._far = True
            over = self.done or self.adrift
        finally:
            _lock.release()
        if over:
            turn.set_result(None)
        elif not near and loop is not None and self.loop is not None:
            loop.call_later(_POLL, self._watch, cast("asyncio.Future[None]", turn))
        return True

    def _awaited_in(self, mine: tuple[Flight, ...]) -> bool:
        """Note that some runs wait for this one; False, and nothing is noted, in a circle."""
        if _depends(self, mine):
            return False
        for flight in mine:
            if not hasattr(flight, "waits_for"):
                flight.waits_for = []
            flight.waits_for.append(self)
        return True

    def leave(self, turn: Turn) -> bool:
        """Say that whoever had `turn` has stopped waiting.

        Returns:
            Whether it is now this one who is to compute the outcome.
        """
        mine = leading.get()
        if mine is not None:
            with _lock:
                for flight in _line(mine):
                    if self in getattr(flight, "waits_for", ()):
                        flight.waits_for.remove(self)
        return self._holder is turn and not self.done

    def _watch(self, turn: asyncio.Future[None]) -> None:
        """Look at the run in another loop now and then: it is not awaited when that has stopped."""
        if turn.done():
            return
        if self.done or self.adrift or (self.loop is not None and not self.loop.is_running()):
            turn.set_result(None)
        else:
            turn.get_loop().call_later(_POLL, self._watch, turn)

    # --- ending -----------------------------------------------------------------------------

    def hand_over(self) -> bool:
        """Give the turn to the caller that has waited longest; False when nobody waits."""
        here = running_loop()
        with _lock:
            waiting = self.waiting
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    self._holder = turn  # before it wakes, perhaps in another thread, and looks
                    if _wake(turn, here):
                        return True
                    self._holder = None
            self.adrift = True
            return False

    def finish(self, value: object = None, error: Exception | None = None) -> None:
        """Give all who wait the outcome."""
        if error is None:
            self.value = value
            self.error = None
            self.done = True
            if self.waiting is None:
                return  # one who joins now sees that it is done
        with _lock:
            waiting, self.waiting = self.waiting, None
            if error is None:
                pass
            elif waiting:
                self.error = twin(error)
                self.done = True
            else:  # who comes now runs anew: an error that is kept holds the frames it passed
                self.adrift = True
            here = running_loop()
            near = not self._far and self.loop is here if waiting else False
            for turn in waiting or ():
                if turn.done():
                    continue
                if near:
                    turn.set_result(None)  # the commonest case of `_wake`
                else:
                    _wake(turn, here)


def unlisted() -> Flight:
    """Return a run of a synchronous function that nobody can find, and so nobody waits for."""
    flight = Flight()
    flight.loop = flight.waiting = None
    flight.done = flight.adrift = flight.listed = False
    return flight


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(turn: Turn, here: asyncio.AbstractEventLoop | None) -> bool:
    """End a wait, in whichever loop it is; False where that loop does not run."""
    if isinstance(turn, ThreadTurn):
        turn.set_result(None)
        return True
    loop = turn.get_loop()
    if loop is here:
        turn.set_result(None)
        return True
    if not loop.is_running():
        return False
    try:
        loop.call_soon_threadsafe(_set, turn)
    except RuntimeError:  # closed in this moment
        return False
    return True


def _set(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _depends(flight: Flight, mine: tuple[Flight, ...]) -> bool:
    """Whether `flight` is one of mine, or waits for one, directly or through others."""
    seen: set[int] = set()
    stack = [flight]
    while stack:
        found = stack.pop()
        if any(found is own for own in mine):
            return True
        if id(found) not in seen:
            seen.add(id(found))
            stack.extend(getattr(found, "waits_for", ()))
    return False


def _line(flight: Flight | None) -> Iterator[Flight]:
    """Yield a run and those around it that are not over."""
    while flight is not None:
        if not (flight.done or flight.adrift):
            yield flight
        flight = flight.parent


def twin(error: Exception) -> Exception:
    """Return a copy of an exception without its traceback, for another caller to raise.

    An exception that cannot be copied is returned itself, its traceback reset, so that it does not
    grow with each caller.
    """
    import copy  # noqa: PLC0415 - when something failed

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
