"""What a contender can be asked to do."""

from __future__ import annotations

from typing import ClassVar

__all__ = ("BATCH", "TEXT", "Contender")

BATCH = 100
"""Messages per batch."""
TEXT = "x" * 840
"""The content; with names and times, the JSON of one of our messages has 1 KB."""


class Contender:
    """Sends and receives messages through one server.

    A class that leaves out a method cannot do that: its place in the table stays empty.

    Attributes:
        name: As the table shows it.
        kind: `raw`, `ours`, `one at a time`, `prefetching` (both at least once), or
            `at most once`.
    """

    name: str = ""
    kind: ClassVar[str] = ""

    async def open(self, port: int) -> None:
        """Connect, and make the queue."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of all connections."""
        raise NotImplementedError

    async def send(self, count: int) -> None:
        """Send so many messages of 1 KB, each in a call of its own."""
        raise NotImplementedError

    async def send_batches(self, count: int) -> None:
        """Send so many messages, in batches of 100."""
        raise NotImplementedError

    async def take(self, count: int) -> None:
        """Receive and acknowledge so many messages, one after the other."""
        raise NotImplementedError

    async def take_batches(self, count: int) -> None:
        """Receive and acknowledge so many messages, in batches of 100."""
        raise NotImplementedError

    async def take_by_four(self, count: int) -> None:
        """Receive and acknowledge so many messages with four consumers at once."""
        raise NotImplementedError

    def can(self, phase: str) -> bool:
        """Whether it has a method of this name."""
        return getattr(type(self), phase) is not getattr(Contender, phase)
