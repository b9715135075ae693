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

_SMALL = 0.05  # of the load; a tenth, as first published, is a little worse on every trace
_MOST_USES = 3  # that count for another round; two bits, as published
_GENERATION = 0.75  # of the entries: how many ghosts make a generation
_DEAD = 16  # left in the queues at least, before they are cleaned


class Entry:
    """A kept value and what is known of it.

    Args:
        key: The key.
        value: The value.
        until: Until when the value is handed out with no further question, by the clock; minus
            infinity for an entry that wants a second look each time, or is gone.
        took: What it took to compute, in seconds.

    Attributes:
        uses: How often it was handed out.
        seen: How many of those uses the policy has taken into account.
        extra: What only some entries have; for the owner.
    """

    __slots__ = ("extra", "key", "mark", "seen", "took", "until", "uses", "value")

    mark: int | None
    """The hash of the key, as S3-FIFO notes it; None once the entry was taken out by `drop`."""

    def __init__(self, key: Hashable, value: Any, until: float, took: float) -> None:
        self.key: Hashable = key
        self.value: Any = value
        self.until: float = until
        self.took: float = took
        self.uses: int = 0
        self.seen: int = 0
        self.extra: Any = None


class Policy:
    """First in, first out; the base of the others.

    Example:
        >>> policy = FIFO()
        >>> policy.put(Entry("a", 1, until=10.0, took=0.1), room=1)
        >>> policy.put(Entry("b", 2, until=10.0, took=0.1), room=1).key, list(policy.entries)
        ('a', ['b'])
    """

    hears: ClassVar[bool] = False
    """Whether it wants to hear of each use, through `touch`."""

    __slots__ = ("entries",)

    entries: dict[Hashable, Entry]
    """What is kept, by key."""

    def __init__(self) -> None:
        self.entries = OrderedDict()

    def put(self, entry: Entry, room: float) -> Entry | None:
        """Take in an entry, so that no more than `room` are kept.

        Args:
            entry: The entry.
            room: At least 1.

        Returns:
            The entry that left: the one that had the same key, else one that made room, else None.
        """
        entries = self.entries
        found = entries.setdefault(entry.key, entry)
        if found is not entry:
            self.drop(entry.key)
            entries[entry.key] = entry
            self._admit(entry, back=True)
            return found
        gone = self.evict() if len(entries) > room else None
        self._admit(entry)
        return gone

    def _admit(self, entry: Entry, *, back: bool = False) -> None:
        """Give an entry its place, unless the order of `entries` is all that matters.

        Args:
            entry: The entry, in `entries` already.
            back: Whether its key was there until now, with a value that is out of date.
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

    def _admit(self, entry: Entry, *, back: bool = False) -> None:
        """Begin to count its uses."""
        del back
        entry.seen = self._least = 0
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
        self._ghosts: set[int | None] = set()
        self._older: set[int | None] = set()
        self._dead: int = 0  # entries in the queues that were taken out by `drop`

    def put(self, entry: Entry, room: float) -> Entry | None:
        """Take in an entry: into the small queue, or into the main one if its key came back."""
        entries = self.entries
        key = entry.key
        entry.mark = mark = hash(key)
        gone: Entry | None = None
        found = entries.setdefault(key, entry)
        if found is not entry:
            gone = self.drop(key)
            entries[key] = entry
            self._main.append(entry)
            return gone
        if len(entries) > room:
            small = self._small
            if len(small) > room * _SMALL and small[0].uses == 0 and small[0].mark is not None:
                gone = small.popleft()  # what `evict` would do, for the commonest case
                del entries[gone.key]
                self._remember(gone)
            else:
                gone = self.evict()
        if mark in self._ghosts or mark in self._older:
            self._main.append(entry)
        else:
            self._small.append(entry)
        return gone

    def drop(self, key: Hashable) -> Entry | None:
        """Take out the entry at `key`, if there is one; it is not remembered."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            entry.mark = None
            self._dead += 1
            if self._dead > _DEAD + len(self.entries):
                self._small = deque(e for e in self._small if e.mark is not None)
                self._main = deque(e for e in self._main if e.mark is not None)
                self._dead = 0
        return entry

    def evict(self) -> Entry:
        """Take out the entry that is to go next."""
        entries, small, main = self.entries, self._small, self._main
        bound = len(entries) * _SMALL
        while True:
            if len(small) > bound or not main:
                if not small:
                    raise KeyError
                entry = small.popleft()
                if entry.mark is None:
                    self._dead -= 1
                    continue
                if entry.uses == entry.seen:
                    break
                entry.seen = entry.uses
            else:
                entry = main.popleft()
                if entry.mark is None:
                    self._dead -= 1
                    continue
                unseen = entry.uses - entry.seen
                if not unseen:
                    break
                entry.seen = entry.uses + 1 - min(unseen, _MOST_USES)
            main.append(entry)
        del entries[entry.key]
        self._remember(entry)
        return entry

    def _remember(self, entry: Entry) -> None:
        ghosts = self._ghosts
        ghosts.add(entry.mark)
        if len(ghosts) > len(self.entries) * _GENERATION:
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
