"""`Kept`: the results of a cache, and the runs that are under way; decides without awaiting."""

from __future__ import annotations

import asyncio
import sys
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.base import MISSING
from tta_dev_primitives.performance.flights import Flight, twin
from tta_dev_primitives.performance.results import Results
from tta_dev_primitives.performance.worth import PLAIN, spent_once_read

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tta_dev_primitives.performance.flights import Turn
    from tta_dev_primitives.performance.options import Settings
    from tta_dev_primitives.performance.policies import Entry
    from tta_dev_primitives.performance.store_guard import Found

__all__ = ("Kept",)


class Kept(Results):
    """The results of one cache, the runs that are under way, and the figures.

    Args:
        settings: The options of the cache.
    """

    __slots__ = ("_loop", "flights", "refreshing")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.flights: dict[Hashable, Flight] = {}
        self.refreshing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __reduce__(self) -> tuple[type[Kept], tuple[Settings]]:
        return Kept, (self.settings,)  # results of another process are none of this one

    # --- runs -------------------------------------------------------------------------------

    if sys.version_info >= (3, 12):
        running_loop = staticmethod(asyncio.get_running_loop)
    else:

        def running_loop(self) -> asyncio.AbstractEventLoop:
            """Return the loop that runs in this thread.

            Here asyncio makes a system call each time that it is asked, which can cost more than
            all the rest of a miss; so the loop that was found last is asked first.
            """
            loop: Any = self._loop
            try:
                if loop._thread_id == get_ident():  # noqa: SLF001
                    return cast("asyncio.AbstractEventLoop", loop)
            except AttributeError:
                """None yet, or a loop that is not asyncio's own."""
            found = self._loop = asyncio.get_running_loop()
            return found

    def take_off(
        self, key: Hashable, loop: asyncio.AbstractEventLoop | None, seen: Entry | None
    ) -> Flight | None:
        """Register a run.

        Args:
            key: Of what is computed.
            loop: The event loop that runs here; None for a run of a synchronous function.
            seen: The entry at `key` that did not do; None where there was none.

        Returns:
            None where another caller was faster: there is a run that can be waited for, or a newer
            entry.
        """
        flight = Flight()
        flight.loop = loop
        flight.done = flight.adrift = False
        flight.listed = True
        flight.waiting = None
        found = self.flights.setdefault(key, flight)
        if found is not flight:
            if found.within_reach(loop):
                return None
            found.listed = False
            self.flights[key] = flight  # the other one's loop has stopped
        newer = self.entries.get(key)
        if newer is not None and newer is not seen:
            self.pass_on(key, flight)
            return None
        return flight

    def gave_up(self, key: Hashable, flight: Flight, turn: Turn) -> None:
        """Say that a caller who waits through `turn` was cancelled."""
        if flight.leave(turn):
            self.pass_on(key, flight)  # it was this caller's turn
        self.counts.cancellations += 1

    def forget(self, key: Hashable, flight: Flight) -> bool:
        """Take a run off the list; False when it was not on it, as after `clear`."""
        if not flight.listed:
            return False
        flight.listed = False
        self.flights.pop(key, None)
        return True

    def pass_on(self, key: Hashable, flight: Flight) -> None:
        """Let another caller compute; nothing is left where none waits."""
        if not flight.hand_over():
            self.forget(key, flight)

    def landed(self, key: Hashable, flight: Flight, result: Any, began: float) -> bool:
        """Keep the result of a run, if it is to be kept, and give it to all who wait.

        Returns:
            Whether it is one to be kept elsewhere, too.
        """
        plain = type(result) in PLAIN
        if not plain and spent_once_read(result):
            self.pass_on(key, flight)
            return False
        kept = flight.listed
        if flight.listed:
            if plain and self._simple:
                now = clock.now()
                self._put(key, result, now + self._ttl, now - began, None)
            elif self._call("should_cache", result, default=False):
                self._keep(key, result, began)
            else:
                kept = False
            flight.listed = False
            self.flights.pop(key, None)
        flight.value = result  # as `finish` would say, which most runs need not be asked
        flight.error = None
        flight.done = True
        if flight.waiting is not None:
            flight.finish(result)
        return kept

    def received(self, key: Hashable, flight: Flight, found: Found, began: float) -> None:
        """Keep what another process has computed for the time it has left, and hand it on."""
        if flight.listed:
            self._keep(key, found.value, began, found.ttl)
            flight.listed = False
            self.flights.pop(key, None)
        flight.finish(found.value)
        self.counts.shared_hits += 1
        self._spared(found.value)

    def failed(self, key: Hashable, flight: Flight, error: Exception) -> Any:
        """Give a failure to all who wait, or the value that stands in for it.

        Returns:
            That value; `MISSING` where there is none, and the error is to be raised.
        """
        value = self.spare(key) if self.settings.stale_if_error else MISSING
        if value is not MISSING:
            self.forget(key, flight)
            flight.finish(value)
            return value
        self.counts.errors += 1
        self._fell(key, flight, error)
        return MISSING

    def refresh_failed(self, key: Hashable, flight: Flight, error: Exception) -> None:
        """Count a failure in the background; the value that was there stays."""
        self.counts.refresh_errors += 1
        if key in self.entries:
            self.forget(key, flight)
            flight.finish(error=error)
        else:
            self._fell(key, flight, error)

    def _fell(self, key: Hashable, flight: Flight, error: Exception) -> None:
        if self.forget(key, flight) and self.settings.errors:
            errors = self.settings.errors
            seconds = next((errors[kind] for kind in type(error).__mro__ if kind in errors), None)
            if seconds is not None:
                self._keep_error(key, error, seconds)
        flight.finish(error=error)

    def outcome(self, flight: Flight) -> Any:
        """Return or raise what another caller's run came to, and count that."""
        error = flight.error
        counts = self.counts
        if error is None:
            value = flight.value
            if self._all_alike:
                counts.waiters += 1
                return value
            if self.settings.copier is not None:
                copied = self._copied(value)
                value = value if copied is MISSING else copied
            counts.waiters += 1
            self._spared(value)
            return value
        counts.errors += 1
        try:
            raise twin(error)
        finally:
            del flight, error  # they refer to what refers to this frame

    def _spared(self, value: Any) -> None:
        """Count what a call would have cost that another one has paid for."""
        if self.settings.cost is not None:
            self.counts.saved_cost += self._number("cost", value)
        if self.settings.usage is not None:
            self.counts.saved_tokens += self._number("usage", value)

    # --- forgetting -------------------------------------------------------------------------

    def drop(self, key: Hashable) -> bool:
        """Forget what is at `key`; a run that is under way is not kept. Whether there was any."""
        with self._lock:
            running = self.flights.pop(key, None)
            if running is not None:
                running.listed = False
        return super().drop(key) or running is not None

    def clear(self) -> None:
        """Forget all; runs that are under way reach their callers but are not kept."""
        with self._lock:
            for running in list(self.flights.values()):
                running.listed = False
            self.flights.clear()
        super().clear()
