"""What shared state needs of whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ("Cell", "Put", "StateStore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is under a key.

    Attributes:
        version: Of the value, or of its end; 0 where nothing has been there for long.
        body: The value as JSON; None where nothing is there.
        ends: When the value ends, in ms since 1970; 0: it does not.
    """

    version: int
    body: bytes | None
    ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What is to be put under a key.

    Attributes:
        body: The value as JSON; None deletes.
        expected: The version that must be there; 0: nothing must be; None: whatever is there.
        life: After so many ms it is gone; None: it stays.
    """

    body: bytes | None
    expected: int | None = None
    life: int | None = None


class StateStore(Protocol):
    """Keeps values under keys. Every call may be repeated without harm."""

    async def put(self, key: str, put: Put) -> tuple[bool, int, int]:
        """Put or delete; return whether it was done, the version, and when the value ends."""
        ...

    async def look(self, key: str, known: int, wait: float) -> Cell:
        """Return what is there, waiting up to `wait` seconds for another version than is known."""
        ...
