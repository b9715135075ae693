"""The thread that redacts and writes what the traffic hands over, and the bound on what waits."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Memory", "Spool")


class Memory:
    """Counts the bytes that are held for recording, and says no when they would be too many.

    Args:
        limit: How many bytes may be held at once.
        on_full: "drop" refuses what does not fit; "wait" holds up the caller while something is on
            its way to the disk, and refuses only when nothing is.
    """

    __slots__ = ("_condition", "_held", "_leaving", "_limit", "_lock", "_wait")

    def __init__(self, limit: int, on_full: Literal["drop", "wait"]) -> None:
        self._limit = limit
        self._wait = on_full == "wait"
        self._held = 0
        self._leaving = 0
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)

    @property
    def held(self) -> int:
        """The bytes held now."""
        return self._held

    def take(self, size: int) -> bool:
        """Hold `size` bytes more; say whether they fit."""
        with self._lock:  # the condition's own: in its name it costs twice as much
            while self._held + size > self._limit:
                if not self._wait or not self._leaving:
                    return False
                self._condition.wait()
            self._held += size
            return True

    def hand_over(self, size: int) -> None:
        """Mark held bytes as on their way to the disk."""
        if self._wait:  # nobody else asks
            with self._lock:
                self._leaving += size

    def give_back(self, size: int, *, handed_over: bool = False) -> None:
        """Let go of held bytes."""
        with self._lock:
            self._held -= size
            if self._wait:
                if handed_over:
                    self._leaving -= size
                self._condition.notify_all()


class Spool:
    """Runs jobs one after the other on a thread of its own.

    Jobs wait a moment before they run, so that busy traffic wakes the thread a few dozen times a
    second, and not once for each of its exchanges.

    Args:
        name: The name of the thread.
        idle: Called after each run of jobs, when nothing waits: the place to flush.
        delay: How long the first of the jobs that wait has to wait, in seconds.
    """

    def __init__(self, name: str, idle: Callable[[], None], *, delay: float = 0.02) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle = idle
        self._delay = delay
        self._awake = False
        self._work = threading.Event()
        self._hurry = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Add a job; never blocks. A job must not raise."""
        self._jobs.append(job)
        if not self._awake:
            self._awake = True
            self._work.set()

    def flush(self, timeout: float) -> bool:
        """Wait until all jobs that are there now are done; False when the time (s) is over."""
        done = threading.Event()

        def mark() -> None:
            self._idle()
            done.set()

        self.put(mark)
        self._hurry.set()
        return done.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Do what is left, end the thread; False when the time (s) was not enough."""
        self._stopped = True
        self._hurry.set()
        self._work.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        jobs = self._jobs
        while True:
            self._work.wait()
            if not self._stopped:
                self._hurry.wait(self._delay)
            self._hurry.clear()
            self._work.clear()
            self._awake = False  # before the jobs are taken: who comes after them wakes us again
            stopped = self._stopped  # as above
            while jobs:
                jobs.popleft()()
            self._idle()
            if stopped:
                return
