"""Which result makes room for a new one: S3-FIFO, LRU, LFU and FIFO.

A policy is a plain object without a clock: it holds entries, is told when one is used, and names
the next to go. Whoever finds an entry counts the use on the entry itself (`uses += 1`); only LRU
and LFU want to hear of it besides (`hears`). So under S3-FIFO, the default, a hit moves nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("FIFO", "LFU", "LRU", "POLICIES", "S3FIFO", "Entry", "Eviction", "Policy")

Eviction: TypeAlias = Literal["s3-fifo", "lru", "lfu", "fifo"]
"""The names of the policies."""

_SMALL = 20  # one in so many entries; ten, as first published, is a little worse on every trace
_MOST_USES = 3  # that count for another round; two bits, as published
_DROPPED = -1  # in place of the uses that were seen: the entry waits in a queue to be cleaned away
_DEAD = 16  # left in the queues at least, before they are cleaned


class Entry:
    """A kept value and what is known of it; a policy makes it.

    Attributes:
        key: The key.
        value: The value.
        until: Until when the value is handed out with no further question, by the clock; minus
            infinity for an entry that wants a second look each time, or is gone.
        took: What it took to compute, in seconds.
        extra: What only some entries have; for the owner.
        uses: How often it was handed out.
        seen: How many of those uses the policy has taken into account; minus one in S3-FIFO, once
            the entry was taken out by `drop`.
        mark: The hash of the key, as S3-FIFO notes it.
    """

    # No `__init__`: calling one costs more than all that it would set.
    __slots__ = ("extra", "key", "mark", "seen", "took", "until", "uses", "value")

    extra: Any
    key: Hashable
    mark: int
    seen: int
    took: float
    until: float
    uses: int
    value: Any


class Policy:
    """First in, first out; the base of the others.

    Example:
        >>> policy = FIFO()
        >>> policy.put("a", 1, until=10.0, took=0.1, extra=None, room=1)
        >>> policy.put("b", 2, until=10.0, took=0.1, extra=None, room=1).key, list(policy.entries)
        ('a', ['b'])
    """

    hears: ClassVar[bool] = False
    """Whether it wants to hear of each use, through `touch`."""

    __slots__ = ("entries",)

    entries: dict[Hashable, Entry]
    """What is kept, by key."""

    def __init__(self) -> None:
        self.entries = OrderedDict()

    def put(
        self, key: Hashable, value: Any, until: float, took: float, extra: Any, room: float
    ) -> Entry | None:
        """Take in a value, so that no more than `room` are kept.

        Args:
            key: See `Entry`.
            value: As above.
            until: As above.
            took: As above.
            extra: As above.
            room: At least 1.

        Returns:
            The entry that left: the one that had the same key, else one that made room, else None.
        """
        entry = Entry()
        entry.key = key
        entry.value = value
        entry.until = until
        entry.took = took
        entry.extra = extra
        entry.uses = entry.seen = 0
        entries = self.entries
        found = entries.setdefault(key, entry)
        if found is not entry:
            self.drop(key)
            entries[key] = entry
            self._admit(entry)
            return found
        gone = self.evict() if len(entries) > room else None
        self._admit(entry)
        return gone

    def _admit(self, entry: Entry) -> None:
        """Give an entry its place, unless the order of `entries` is all that matters.

        Args:
            entry: The entry, in `entries` already.
        """

    def touch(self, entry: Entry) -> None:
        """Hear of a use; called only where `hears`."""

    def drop(self, key: Hashable) -> Entry | None:
        """Take out the entry at `key`, if there is one."""
        return self.entries.pop(key, None)

    def evict(self) -> Entry:
        """Take out the entry that is to go next.

        Raises:
            KeyError: There is none.
        """
        ordered = cast("OrderedDict[Hashable, Entry]", self.entries)
        return ordered.popitem(last=False)[1]

    def clear(self) -> None:
        """Take out all."""
        self.entries.clear()


class FIFO(Policy):
    """The oldest entry goes, however often it was used."""

    __slots__ = ()


class LRU(Policy):
    """The entry goes that was not used for the longest time."""

    hears = True
    __slots__ = ()

    def touch(self, entry: Entry) -> None:
        """Make it the last to go."""
        try:
            cast("OrderedDict[Hashable, Entry]", self.entries).move_to_end(entry.key)
        except KeyError:
            """Another thread has taken it out since it was found."""


class LFU(Policy):
    """The entry goes that was used least often; of several such, the one that came there first."""

    hears = True
    __slots__ = ("_least", "_ranks")

    def __init__(self) -> None:
        super().__init__()
        self._ranks: dict[int, OrderedDict[Hashable, Entry]] = {}
        self._least: int = 0  # a rank that is in use, or lower than all that are

    def _admit(self, entry: Entry) -> None:
        """Begin to count its uses."""
        self._least = 0
        self._ranks.setdefault(0, OrderedDict())[entry.key] = entry

    def touch(self, entry: Entry) -> None:
        """Move it one rank up."""
        if self.entries.get(entry.key) is not entry:
            return  # another thread has taken it out since it was found
        self._leave(entry)
        entry.seen += 1
        self._ranks.setdefault(entry.seen, OrderedDict())[entry.key] = entry

    def drop(self, key: Hashable) -> Entry | None:
        """Take out the entry at `key`, if there is one."""
        entry = super().drop(key)
        if entry is not None:
            self._leave(entry)
        return entry

    def evict(self) -> Entry:
        """Take out the entry that is to go next."""
        ranks = self._ranks
        if not ranks:
            raise KeyError
        if self._least not in ranks:
            self._least = min(ranks)
        entry = next(iter(ranks[self._least].values()))
        self.drop(entry.key)
        return entry

    def clear(self) -> None:
        """Take out all."""
        super().clear()
        self._ranks.clear()

    def _leave(self, entry: Entry) -> None:
        rank = self._ranks[entry.seen]
        del rank[entry.key]
        if not rank:
            del self._ranks[entry.seen]


class S3FIFO(Policy):
    """What is asked for only once goes soon; what came back stays.

    Three queues, first in, first out (Yang and others, SOSP 2023). New entries wait in a small one,
    for a twentieth of the entries. Whoever leaves it unused is forgotten, but its hash stays in a
    ghost queue; whoever was used moves to the main queue, and so does a newcomer whose hash is
    among the ghosts. In the main queue each use, up to three, is good for another round. Ghosts are
    hashes only, which keep no key and no value alive, in two generations of at most three quarters
    as many as there are entries.
    """

    __slots__ = ("_dead", "_ghosts", "_main", "_older", "_small")

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[Hashable, Entry] = {}
        self._small: deque[Entry] = deque()
        self._main: deque[Entry] = deque()
        self._ghosts: set[int] = set()
        self._older: set[int] = set()
        self._dead: int = 0  # entries in the queues that were taken out by `drop`

    def put(
        self, key: Hashable, value: Any, until: float, took: float, extra: Any, room: float
    ) -> Entry | None:
        """Take in a value: into the small queue, or into the main one if its key came back."""
        entry = Entry()  # as in the base: to share these lines costs a tenth of all this
        entry.key = key
        entry.value = value
        entry.until = until
        entry.took = took
        entry.extra = extra
        entry.uses = entry.seen = 0
        entry.mark = mark = hash(key)
        entries = self.entries
        found = entries.setdefault(key, entry)
        if found is not entry:
            self.drop(key)
            entries[key] = entry
            self._main.append(entry)
            return found
        small = self._small
        gone: Entry | None = None
        if len(entries) > room:
            if _SMALL * len(small) > room and small[0].uses == small[0].seen:
                gone = small.popleft()  # what `evict` would do, for the commonest case
                del entries[gone.key]
                ghosts = self._ghosts
                ghosts.add(gone.mark)
                if 4 * len(ghosts) > 3 * len(entries):
                    self._older = ghosts
                    self._ghosts = set()
            else:
                gone = self.evict()
        if mark in self._ghosts or mark in self._older:
            self._main.append(entry)
        else:
            small.append(entry)
        return gone

    def drop(self, key: Hashable) -> Entry | None:
        """Take out the entry at `key`, if there is one; it is not remembered."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            entry.seen = _DROPPED
            self._dead += 1
            if self._dead > _DEAD + len(self.entries):
                self._small = deque(e for e in self._small if e.seen != _DROPPED)
                self._main = deque(e for e in self._main if e.seen != _DROPPED)
                self._dead = 0
        return entry

    def evict(self) -> Entry:
        """Take out the entry that is to go next."""
        entries, small, main = self.entries, self._small, self._main
        load = len(entries)
        while True:
            if _SMALL * len(small) > load or not main:
                if not small:
                    raise KeyError
                entry = small.popleft()
                unseen = entry.uses - entry.seen
                if not unseen:
                    break
                if entry.seen == _DROPPED:
                    self._dead -= 1
                    continue
                entry.seen = entry.uses
            else:
                entry = main.popleft()
                unseen = entry.uses - entry.seen
                if not unseen:
                    break
                if entry.seen == _DROPPED:
                    self._dead -= 1
                    continue
                unseen = unseen if unseen < _MOST_USES else _MOST_USES  # noqa: FURB136 - saves a call
                entry.seen = entry.uses + 1 - unseen
            main.append(entry)
        del entries[entry.key]
        self._remember(entry.mark)
        return entry

    def _remember(self, mark: int) -> None:
        ghosts = self._ghosts
        ghosts.add(mark)
        if 4 * len(ghosts) > 3 * len(self.entries):  # three quarters make a generation
            self._older = ghosts
            self._ghosts = set()

    def clear(self) -> None:
        """Take out all, and remember nothing."""
        super().clear()
        self._small.clear()
        self._main.clear()
        self._ghosts = set()
        self._older = set()
        self._dead = 0


POLICIES: dict[str, type[Policy]] = {"s3-fifo": S3FIFO, "lru": LRU, "lfu": LFU, "fifo": FIFO}
"""The policies by name."""
