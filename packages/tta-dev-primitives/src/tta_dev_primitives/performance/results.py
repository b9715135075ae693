"""`Results`: what a cache holds, for how long, and what was counted; decides without awaiting.

A value is fresh until its time is up. After that it may be stale for a while: `stale_ttl` lets it
be handed out while it is renewed, `stale_if_error` only when renewing fails. Then it is gone.
An error that is kept is fresh or gone.

A thread may have found an entry a moment before it goes. So it reads the value first and the time
afterwards, and whoever lets an entry go takes its time first.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.base import MISSING
from tta_dev_primitives.performance.flights import twin
from tta_dev_primitives.performance.stats import COUNTED, CacheStats, Counts
from tta_dev_primitives.performance.worth import is_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tta_dev_primitives.performance.options import Settings
    from tta_dev_primitives.performance.policies import Entry, Policy

__all__ = ("Results", "Stale")

_NEVER = -math.inf


class Stale:
    """A value that is past its time, and is to be renewed by whoever has got it."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value: Any = value


class _Extra:
    """What an entry has that wants a second look.

    Attributes:
        fresh: Until when it is fresh.
        stale: Until when it may be handed out while it is renewed.
        spare: Until when it stands in for a failure.
        error: The error that is kept instead of a value.
        weight: What it weighs.
        cost: What a hit saves.
        tokens: And how many tokens.
    """

    __slots__ = ("cost", "error", "fresh", "spare", "stale", "tokens", "weight")

    def __init__(self, fresh: float) -> None:
        self.fresh: float = fresh
        self.stale: float = fresh
        self.spare: float = fresh
        self.error: Exception | None = None
        self.weight: float = 1.0
        self.cost: float = 0.0
        self.tokens: float = 0.0


class Results:
    """The results of one cache, and its figures.

    Args:
        settings: The options of the cache.
    """

    __slots__ = (
        "_all_alike",
        "_base",
        "_complained",
        "_load",
        "_lock",
        "_policy",
        "_put_in",
        "_room",
        "_second_look",
        "_simple",
        "_ttl",
        "_weighs",
        "closed",
        "counts",
        "entries",
        "settings",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings: Settings = settings
        self._policy: Policy = settings.eviction()
        self.entries: dict[Hashable, Entry] = self._policy.entries
        self.closed: bool = False
        self.counts: Counts = Counts()
        self._base: dict[str, float] = dict.fromkeys(COUNTED, 0)
        self._load: float = 0.0
        self._lock = threading.Lock()
        self._complained: set[str] = set()
        self._put_in: Callable[[Hashable, Any, float, float, Any, float], Entry | None] = (
            self._policy.put
        )
        self._room: float = settings.max_size
        self._weighs: bool = settings.weigh is not None
        # Entries that the fastest way must not hand out by itself.
        self._second_look: bool = (
            self._policy.hears or settings.copier is not None or settings.clock is not None
        )
        # Entries have nothing but a value and a time.
        self._all_alike: bool = not (
            self._second_look
            or settings.stale_ttl
            or settings.stale_if_error
            or settings.weigh
            or settings.cost
            or settings.usage
        )
        self._simple: bool = (
            self._all_alike and not settings.jitter and settings.should_cache is is_complete
        )
        self._ttl: float = settings.ttl

    def now(self) -> float:
        """Return the reading of the cache's clock, in seconds."""
        return (self.settings.clock or clock.now)()

    # --- looking up -------------------------------------------------------------------------

    def answer(self, key: Hashable) -> Any:
        """Return the value at `key`, and count that; `Stale` around one that is to be renewed.

        Returns:
            `MISSING` where nothing is to be handed out.

        Raises:
            Exception: A copy of the error that is kept there.
        """
        entry = self.entries.get(key)
        if entry is None:
            return MISSING
        now = self.now()
        extra: _Extra | None = entry.extra
        if extra is None:
            if now < entry.until:
                entry.uses += 1
                return entry.value
            self._expire(entry)
            return MISSING
        if now < extra.fresh:
            if extra.error is not None:
                self.counts.error_hits += 1
                raise twin(extra.error)
            return self._handed_out(entry)
        if now < extra.stale and not self.closed:
            value = self._copied(entry.value)
            if value is not MISSING:
                self._saved(entry)
                return Stale(value)
        elif now >= extra.spare:
            self._expire(entry)
        return MISSING

    def _handed_out(self, entry: Entry) -> Any:
        value = self._copied(entry.value)
        if value is MISSING:
            self.drop(entry.key)
            return MISSING
        entry.uses += 1
        if self._policy.hears:
            with self._lock:
                self._policy.touch(entry)
        return value

    def spare(self, key: Hashable) -> Any:
        """Return the value that stands in for a failure at `key`, and count that; or `MISSING`."""
        entry = self.entries.get(key)
        extra: _Extra | None = None if entry is None else entry.extra
        if entry is None or extra is None or extra.error is not None or self.now() >= extra.spare:
            return MISSING
        value = self._copied(entry.value)
        if value is not MISSING:
            self._saved(entry)
        return value

    def _saved(self, entry: Entry) -> None:
        """Count a stale hit; fresh ones are counted on their entry."""
        counts, extra = self.counts, entry.extra
        counts.stale_hits += 1
        counts.saved_seconds += entry.took
        counts.saved_cost += extra.cost
        counts.saved_tokens += extra.tokens

    # --- keeping ----------------------------------------------------------------------------

    def _keep(self, key: Hashable, value: Any, began: float, most: float = math.inf) -> None:
        settings = self.settings
        now = clock.now()
        took = now - began
        ttl = min(settings.ttl, most)
        if settings.rng is not None:
            ttl *= 1 - settings.jitter * settings.rng.random()
        until = (now if settings.clock is None else settings.clock()) + ttl
        copied = self._copied(value)
        if copied is MISSING:
            return
        if self._all_alike:
            self._put(key, copied, until, took, None)
            return
        extra = _Extra(until)
        extra.stale = until + settings.stale_ttl
        extra.spare = until + max(settings.stale_ttl, settings.stale_if_error)
        if settings.cost is not None:
            extra.cost = self._number("cost", value)
        if settings.usage is not None:
            extra.tokens = self._number("usage", value)
        if settings.weigh is not None:
            extra.weight = self._number("weigh", value, default=math.nan)
            if not 0 < extra.weight <= settings.max_weight:
                self.drop(key)  # what was there is older still
                return
        self._put(key, copied, _NEVER if self._second_look else until, took, extra)

    def _keep_error(self, key: Hashable, error: Exception, seconds: float) -> None:
        kept = twin(error)
        if kept is error:
            return  # it cannot be copied, and a shared one would grow with each caller
        extra = _Extra(self.now() + seconds)
        extra.error = kept
        self._put(key, None, _NEVER, 0.0, extra)

    def _put(
        self, key: Hashable, value: Any, until: float, took: float, extra: _Extra | None
    ) -> None:
        lock = self._lock
        lock.acquire()  # twice as fast as `with`, on every miss
        try:
            if self._weighs:
                self._make_room(key, 1.0 if extra is None else extra.weight)
            gone = self._put_in(key, value, until, took, extra, self._room)
            if gone is not None:
                if gone.key != key:
                    self.counts.evictions += 1
                if gone.uses or gone.extra is not None:
                    self._let_go(gone)
                else:  # as that would do, which need not be asked for most that go
                    gone.until = _NEVER
                    gone.value = None
        finally:
            lock.release()

    def _make_room(self, key: Hashable, weight: float) -> None:
        """Let so many go that another entry with this weight fits in."""
        old = self._policy.drop(key)
        if old is not None:
            self._let_go(old)
        while self.entries and self._load + weight > self.settings.max_weight:
            self._let_go(self._policy.evict())
            self.counts.evictions += 1
        self._load += weight

    def _let_go(self, entry: Entry) -> None:
        """Count what an entry has brought, once nobody can find it any more."""
        entry.until = _NEVER  # first: a thread that has found it must not hand it out now
        extra: _Extra | None = entry.extra
        if extra is not None:
            extra.fresh = extra.stale = extra.spare = _NEVER
            if self._weighs:
                self._load -= extra.weight
        uses = entry.uses
        if uses:
            counts = self.counts
            counts.hits += uses
            counts.saved_seconds += uses * entry.took
            if extra is not None:
                counts.saved_cost += uses * extra.cost
                counts.saved_tokens += uses * extra.tokens
            entry.uses = 0
        entry.value = None  # a queue may hold the entry for a while

    def _expire(self, entry: Entry) -> None:
        with self._lock:
            if self.entries.get(entry.key) is entry:
                self._policy.drop(entry.key)
                self._let_go(entry)
                self.counts.expirations += 1

    # --- forgetting -------------------------------------------------------------------------

    def drop(self, key: Hashable) -> bool:
        """Forget what is at `key`; returns whether there was anything."""
        with self._lock:
            entry = self._policy.drop(key)
            if entry is not None:
                self._let_go(entry)
            return entry is not None

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            gone = list(self.entries.values())
            self._policy.clear()
            for entry in gone:
                self._let_go(entry)

    # --- figures ----------------------------------------------------------------------------

    def stats(self, *, reset: bool = False) -> CacheStats:
        """Return what was counted since the last reset, and reset if that is asked for.

        The counts themselves only ever grow, so that nothing is lost between reading and resetting.
        """
        with self._lock:
            counts = self.counts
            total: dict[str, float] = {name: getattr(counts, name) for name in COUNTED}
            entries = list(self.entries.values())
            for entry in entries:
                uses = entry.uses
                if uses:
                    total["hits"] += uses
                    total["saved_seconds"] += uses * entry.took
                    extra: _Extra | None = entry.extra
                    if extra is not None:
                        total["saved_cost"] += uses * extra.cost
                        total["saved_tokens"] += uses * extra.tokens
            base = self._base
            figures = {name: value - base[name] for name, value in total.items()}
            if reset:
                self._base = total
            weight = len(entries) if self.settings.weigh is None else self._load
            return CacheStats(**figures, size=len(entries), weight=weight)

    # --- functions of the user's ------------------------------------------------------------

    def _copied(self, value: Any) -> Any:
        if self.settings.copier is None:
            return value
        return self._call("copier", value, default=MISSING)

    def _number(self, option: str, value: Any, default: float = 0.0) -> float:
        number = self._call(option, value, default=default)
        if isinstance(number, (int, float)) and math.isfinite(number):
            return number
        if number is not default:
            self._complain(option, TypeError(f"{option} gave {number!r:.60}, not a number"))
        return default

    def _call(self, option: str, value: Any, default: Any) -> Any:
        """Call a function of the user's; its failure is not the call's."""
        function: Callable[[Any], Any] = getattr(self.settings, option)
        try:
            return function(value)
        except Exception as error:  # noqa: BLE001 - a function of the user's can raise anything
            self._complain(option, error)
            return default

    def _complain(self, option: str, error: Exception) -> None:
        """Log what an option's function raised, once."""
        if option in self._complained:
            return
        self._complained.add(option)
        import logging  # noqa: PLC0415 - only for a broken function

        logging.getLogger("tta_dev_primitives").warning(
            "%s of a cache failed, and the result was treated as if there were no cache; its "
            "further failures are not logged",
            "copy" if option == "copier" else option,
            exc_info=error,
        )
