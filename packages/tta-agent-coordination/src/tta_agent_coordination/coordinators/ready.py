"""What can be received, and in which order: priorities that starve nobody, and ordering keys."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tta_agent_coordination.coordinators.entries import Entry

__all__ = ("LEVELS", "ReadyMessages")

LEVELS = (9, 5, 1)
TURNS = 8
"""Every so many picks that have a choice, the lowest level comes first."""


class ReadyMessages:
    """The messages of a mailbox that are ready, and those that wait for one with the same key."""

    __slots__ = ("_active", "_held", "_held_keys", "_levels", "_picks")

    def __init__(self) -> None:
        self._levels: dict[int, deque[Entry]] = {level: deque() for level in LEVELS}
        # Ordering keys of which a message is ready, leased or in back-off; what waits behind those;
        # and which of them each message waits for, by id.
        self._active: set[str] = set()
        self._held: dict[str, deque[Entry]] = {}
        self._held_keys: dict[str, str] = {}
        self._picks = 0

    @property
    def count(self) -> int:
        """So many could be received."""
        return sum(map(len, self._levels.values()))

    @property
    def behind(self) -> int:
        """So many wait for one before them."""
        return sum(map(len, self._held.values()))

    @property
    def oldest(self) -> int | None:
        """When the first of those that could be received was sent (ms)."""
        heads = (entries[0].enqueued for entries in self._levels.values() if entries)
        return min(heads, default=None)

    def at(self, level: int) -> int:
        """Return how many of a level could be received."""
        return len(self._levels[level])

    def enter(self, entry: Entry) -> None:
        """Let a message be ready, or wait until the one before it is done."""
        if entry.key is None:
            self._levels[entry.level].append(entry)
        elif entry.key in self._active:
            self._held.setdefault(entry.key, deque()).append(entry)
            self._held_keys[entry.message_id] = entry.key
        else:
            self._active.add(entry.key)
            self._levels[entry.level].append(entry)

    def put_back(self, entry: Entry) -> None:
        """Let a message that was received be the next of its level again."""
        self._levels[entry.level].appendleft(entry)

    def release(self, entry: Entry) -> None:
        """Let the next message of a key be ready, since one that was is gone."""
        if entry.key is None:
            return
        behind = self._held.get(entry.key)
        if behind:
            follower = behind.popleft()
            self._held_keys.pop(follower.message_id, None)
            self._levels[follower.level].append(follower)
            return
        self._held.pop(entry.key, None)
        self._active.discard(entry.key)

    def pick(self) -> Entry | None:
        """Take the message whose turn it is."""
        levels = [level for level in LEVELS if self._levels[level]]
        if not levels:
            return None
        if len(levels) == 1:
            return self._levels[levels[0]].popleft()
        self._picks = (self._picks + 1) % TURNS
        turn = {0: 1, TURNS // 2: 5}.get(self._picks, 9)
        return self._levels[turn if turn in levels else levels[0]].popleft()

    def remove(self, message_id: str) -> bool:
        """Remove a message, the latest one of that id."""
        behind = self._held.get(self._held_keys.get(message_id, ""), deque())
        if _remove(behind, message_id) is not None:
            del self._held_keys[message_id]
            return True
        for level in reversed(LEVELS):
            entry = _remove(self._levels[level], message_id)
            if entry is not None:
                self.release(entry)
                return True
        return False

    def clear(self, active: Iterable[str]) -> None:
        """Remove all.

        Args:
            active: Keys of which a message is still received.
        """
        for entries in self._levels.values():
            entries.clear()
        self._held.clear()
        self._held_keys.clear()
        self._active = set(active)


def _remove(entries: deque[Entry], message_id: str) -> Entry | None:
    for place in range(len(entries) - 1, -1, -1):
        entry = entries[place]
        if entry.message_id == message_id:
            del entries[place]
            return entry
    return None
