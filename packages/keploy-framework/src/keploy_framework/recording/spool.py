"""The thread that redacts and writes what the traffic hands over, and the bound on what waits."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
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

    __slots__ = ("_condition", "_held", "_leaving", "_limit", "_wait")

    def __init__(self, limit: int, on_full: Literal["drop", "wait"]) -> None:
        self._limit = limit
        self._wait = on_full == "wait"
        self._held = 0
        self._leaving = 0
        self._condition = threading.Condition(threading.Lock())

    @property
    def held(self) -> int:
        """The bytes held now."""
        return self._held

    def take(self, size: int) -> bool:
        """Hold `size` bytes more; say whether they fit."""
        with self._condition:
            while self._held + size > self._limit:
                if not self._wait or not self._leaving:
                    return False
                self._condition.wait()
            self._held += size
            return True

    def hand_over(self, size: int) -> None:
        """Mark held bytes as on their way to the disk."""
        with self._condition:
            self._leaving += size

    def give_back(self, size: int, *, handed_over: bool = False) -> None:
        """Let go of held bytes."""
        with self._condition:
            self._held -= size
            if handed_over:
                self._leaving -= size
            if self._wait:
                self._condition.notify_all()


class Spool:
    """Runs jobs one after the other on a thread of its own.

    Args:
        name: The name of the thread.
        idle: Called after each run of jobs, when nothing waits: the place to flush.
    """

    def __init__(self, name: str, idle: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = idle
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Add a job; never blocks. A job must not raise."""
        self._jobs.put(job)

    def flush(self, timeout: float) -> bool:
        """Wait until all jobs that are there now are done; False when the time (s) is over."""
        done = threading.Event()

        def mark() -> None:
            self._idle()
            done.set()

        self._jobs.put(mark)
        return done.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Do what is left, end the thread; False when the time (s) was not enough."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            while job is not None:
                job()
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
            self._idle()
            if job is None:
                return
