"""`Permits`: the state of a bulkhead, without a lock, a loop or a clock."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ("Permits",)

W = TypeVar("W")


class Permits(Generic[W]):
    """Who may run and who waits, in strict order of arrival.

    A permit that is given back goes straight to whoever has waited longest; nobody who comes later
    can take it in between.

    Args:
        limit: The most permits that are out at once.
        max_queue: The most that wait; None for no bound.

    Example:
        >>> permits = Permits[str](1, 1)
        >>> permits.take(), permits.take(), permits.enqueue("b"), permits.enqueue("c")
        (True, False, True, False)
        >>> permits.give_back(), permits.give_back(), permits.running
        ('b', None, 0)
    """

    __slots__ = ("limit", "max_queue", "queue", "running")

    def __init__(self, limit: int, max_queue: int | None) -> None:
        self.limit: int = limit
        self.max_queue: int | None = max_queue
        self.running: int = 0
        """The permits that are out."""
        self.queue: OrderedDict[W, None] = OrderedDict()
        """Those who wait, in order; leaving from the middle costs no walk."""

    def take(self) -> bool:
        """Take a permit if one is left; one is left only if nobody waits."""
        if self.running < self.limit:
            self.running += 1
            return True
        return False

    def full(self) -> bool:
        """Whether nobody more may wait."""
        return self.max_queue is not None and len(self.queue) >= self.max_queue

    def enqueue(self, waiter: W) -> bool:
        """Let `waiter` wait; returns False where the queue is full."""
        if self.full():
            return False
        self.queue[waiter] = None
        return True

    def withdraw(self, waiter: W) -> bool:
        """Let `waiter` leave the queue; returns False where it was not in it (any more)."""
        try:
            del self.queue[waiter]
        except KeyError:
            return False
        return True

    def give_back(self) -> W | None:
        """Give a permit back; returns who has it now, or None."""
        if self.queue and self.running <= self.limit:
            return self.queue.popitem(last=False)[0]
        self.running -= 1
        return None

    def resize(self, limit: int) -> list[W]:
        """Change the limit; returns who has a permit now. Permits that are out stay out."""
        self.limit = limit
        woken: list[W] = []
        while self.queue and self.running < limit:
            self.running += 1
            woken.append(self.queue.popitem(last=False)[0])
        return woken
