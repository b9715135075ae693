"""Shared state for one process: the same contract, without a server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tta_agent_coordination.sharing.base import SharedState
from tta_agent_coordination.sharing.store import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.sharing.store import Put

__all__ = ("InMemorySharedState", "InMemoryStateStore")

KEEP = 120_000
"""So long, in ms, the version of what is gone is known."""
NOTHING = Cell(version=0, body=None, ends=0)


class InMemoryStateStore:
    """Values in this process, for one event loop.

    Args:
        clock: Returns the time in ms.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._cells: dict[str, Cell] = {}
        self._gone: dict[str, int] = {}  # since when, oldest first; forgotten after a while
        self._bells: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def put(self, key: str, put: Put) -> tuple[bool, int, int]:
        """Put or delete; return whether it was done, the version, and when the value ends."""
        now = self._clock()
        cell = self._cell(now, key)
        there = cell.version if cell.body is not None else 0
        if put.expected is not None and put.expected != there:
            return False, there, cell.ends
        if put.body is None and cell.body is None:
            return False, cell.version, 0
        ends = 0 if put.life is None or put.body is None else now + put.life
        cell = self._change(now, key, put.body, ends)
        return True, cell.version, cell.ends

    async def look(self, key: str, known: int, wait: float) -> Cell:
        """Return what is there, waiting up to `wait` seconds for another version than is known."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            now = self._clock()
            cell = self._cell(now, key)
            left = until - loop.time()
            if left <= 0 or cell.version != known:
                return cell
            if cell.ends:
                left = min(left, (cell.ends - now) / 1000)
            bell: asyncio.Future[None] = loop.create_future()
            self._bells[key].add(bell)
            try:
                async with asyncio.timeout(left):
                    await bell
            except TimeoutError:
                pass
            finally:
                self._bells[key].discard(bell)
                if not self._bells[key]:
                    del self._bells[key]

    def _cell(self, now: int, key: str) -> Cell:
        cell = self._cells.get(key, NOTHING)
        if cell.body is not None and 0 < cell.ends <= now:
            return self._change(now, key, None, 0)
        return cell

    def _change(self, now: int, key: str, body: bytes | None, ends: int) -> Cell:
        before = self._cells.get(key, NOTHING)
        cell = Cell(version=max(before.version + 1, now), body=body, ends=ends)
        self._cells[key] = cell
        self._gone.pop(key, None)
        if body is None:
            self._gone[key] = now
            for old, since in list(itertools.islice(self._gone.items(), 2)):
                if since <= now - KEEP:
                    del self._gone[old], self._cells[old]
        for bell in self._bells.get(key, ()):
            if not bell.done():
                bell.set_result(None)
        return cell


class InMemorySharedState(SharedState):
    """Values that the agents of one process share.

    The same contract as `RedisSharedState`, for one event loop and for tests.

    Args:
        max_value_bytes: The largest value, as JSON.
        clock: Returns seconds since 1970.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(
        self, *, max_value_bytes: int = 1_048_576, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(
            InMemoryStateStore(lambda: round(clock() * 1000)), max_value_bytes=max_value_bytes
        )
