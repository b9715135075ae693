"""`Crew`: the tasks of a worker, one for each message, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from tta_agent_coordination.errors import AgentCoordinationError
from tta_agent_coordination.tasks import end
from tta_agent_coordination.worker.health import Stopping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_agent_coordination.coordinators.consumer import BatchCoordinator, Consumer
    from tta_agent_coordination.messaging import Lease
    from tta_agent_coordination.models import AgentId
    from tta_agent_coordination.worker.desk import Desk

__all__ = ("Crew",)

FIRST = asyncio.FIRST_COMPLETED
PARTING = 0.25
"""Giving back may take so many seconds; beyond, the end of the leases does it."""


class Crew:
    """Fetches messages and has each worked on in a task of its own.

    The task that has settled a message fetches the next one, in the same step, so that the
    acknowledgment travels along; the next message has a new task, so that what a handler sets in
    its context is not seen by the next one. One task fetches at a time, while there is room.

    Args:
        coordinator: Takes back what is not worked on.
        agent_id: Who works.
        desk: Works on a message.
        concurrency: So many messages are worked on at a time.
        stop: Called when the server refuses; it would refuse what comes next as well.

    Attributes:
        working: The messages that are worked on, by task.
        error: What the server has refused.
    """

    def __init__(
        self,
        coordinator: BatchCoordinator,
        agent_id: AgentId,
        desk: Desk,
        *,
        concurrency: int,
        stop: Callable[[], None],
    ) -> None:
        self._coordinator = coordinator
        self._agent_id = agent_id
        self._desk = desk
        self._concurrency = concurrency
        self._stop = stop
        self._context = contextvars.Context()
        self._fetching: asyncio.Task[None] | None = None
        self._ending = False
        self._orphans: list[Lease] = []  # not begun, or not settled: to be given back
        self.working: dict[asyncio.Task[None], Lease] = {}
        self.error: Exception | None = None

    def begin(self, consumer: Consumer) -> None:
        """Fetch messages, and have them worked on, until told to end."""
        self._context = contextvars.copy_context()
        self._go_on(consumer)

    def _go_on(self, consumer: Consumer) -> None:
        """See to it that somebody fetches, if there is room."""
        room = len(self.working) < self._concurrency
        if room and self._fetching is None and not self._ending and self.error is None:
            self._fetching = self._start(consumer, self._fetch(consumer))

    def _start(self, consumer: Consumer, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # Not by the loop's factory, which may be one of eager tasks: one that runs within its own
        # creation is not known yet as the one that works, or fetches.
        context = self._context.copy()
        task = asyncio.Task(work, name="tta-agent-work", context=context)
        task.add_done_callback(partial(self._ended, consumer))
        return task

    async def _fetch(self, consumer: Consumer) -> None:
        try:
            while not self._ending and len(self.working) < self._concurrency:
                self._have_done(consumer, await anext(consumer), self._desk.work)
        finally:
            self._fetching = None

    def _have_done(
        self, consumer: Consumer, lease: Lease, work: Callable[[Lease], Awaitable[None]]
    ) -> None:
        self.working[self._start(consumer, self._turn(consumer, lease, work))] = lease

    async def _turn(
        self, consumer: Consumer, lease: Lease, work: Callable[[Lease], Awaitable[None]]
    ) -> None:
        await work(lease)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.working.pop(task, None)
        if self._fetching is None:
            self._fetching = task
            await self._fetch(consumer)

    def _ended(self, consumer: Consumer, task: asyncio.Task[None]) -> None:
        lease = self.working.pop(task, None)
        if self._fetching is task:  # cancelled before its first step
            self._fetching = None
        if task.cancelled() and lease is not None and not self._ending:
            # Neither by us nor by a worker's end: the handler has done it, or somebody outside.
            self._have_done(consumer, lease, self._desk.fail_cancelled)
            return
        if lease is not None and not lease.settled and not lease.lost:
            self._orphans.append(lease)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.error = self.error or error
            self._stop()
        self._go_on(consumer)  # as it did by itself, unless it was cancelled

    # The end.

    async def leave(self, consumer: Consumer, seconds: float, hurry: asyncio.Event) -> None:
        """Fetch no more, give back what was not begun, and let the work in hand end.

        Args:
            consumer: It has been closed: it gives what it has fetched ahead, and then raises.
            seconds: The work in hand may take so long; then it is cancelled, and given back.
            hurry: Cancel it at once when this is set.
        """
        self._ending = True
        try:
            if self._fetching is not None:
                await end(self._fetching)
            await self._give_back_unbegun(consumer)
            await self._finish(seconds, hurry)
        finally:
            await self._abandon()

    async def _give_back_unbegun(self, consumer: Consumer) -> None:
        while True:
            try:
                self._orphans.append(await anext(consumer))
            except (Stopping, AgentCoordinationError):
                break  # nothing more was fetched ahead
        await self._give_back_orphans()

    async def _give_back_orphans(self) -> None:
        tokens = [lease.token for lease in self._orphans if not (lease.settled or lease.lost)]
        self._orphans.clear()
        if not tokens:
            return
        try:
            async with asyncio.timeout(PARTING):
                await self._coordinator.give_back_many(self._agent_id, tokens)
        except (TimeoutError, AgentCoordinationError):
            pass  # their leases end by themselves

    async def _finish(self, seconds: float, hurry: asyncio.Event) -> None:
        """Let the work in hand end by itself, for a time."""
        hurrying = asyncio.ensure_future(hurry.wait())
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            while self.working and not hurrying.done() and (left := until - loop.time()) > 0:
                await asyncio.wait({hurrying, *self.working}, timeout=left, return_when=FIRST)
        finally:
            hurrying.cancel()

    async def _abandon(self) -> None:
        """Cancel the work in hand, and see it end."""
        try:
            await end(*self.working)
        finally:
            # Until each has told whether its message is to be given back: a step of the loop later.
            while self.working:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            await self._give_back_orphans()
