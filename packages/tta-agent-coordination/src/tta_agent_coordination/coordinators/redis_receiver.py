"""Receiving from mailboxes on a Redis server: taking, being parked, and giving back what got lost.

A reply can get lost, and a call be cancelled, after messages were reserved for it. Both are undone:
by giving back what the request may have reserved, at once or with the next call.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from tta_agent_coordination.coordinators.entries import unpack
from tta_agent_coordination.coordinators.names import Delivery, Mailbox
from tta_agent_coordination.coordinators.store import Taken
from tta_agent_coordination.errors import CoordinatorConnectionError, MessageCoordinatorError
from tta_agent_coordination.server.names import root_key
from tta_agent_coordination.tasks import PARTING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.coordinators.store import Order
    from tta_agent_coordination.server.scripts import Scripts

__all__ = ("RedisReceiver", "flags_of", "new_request")

PARK = 10.0
"""A receiver is parked so many seconds at a time: so long may messages go to a killed one."""


OVER = -2
"""What a server says in place of a time to wait: the request was served before, by a copy of which
the client has not heard, and what it was served with has been settled or has run out."""


class _Request:
    """What a receiver asks for, under a name by which the server knows a repetition."""

    __slots__ = ("name", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.name = new_request()


class RedisReceiver:
    """Takes messages out of mailboxes on a Redis server.

    Args:
        scripts: Those of the mailboxes, on a client.
        prefix: What all keys begin with, as it stands in keys.
    """

    def __init__(self, scripts: Scripts, prefix: str) -> None:
        self._scripts = scripts
        self._prefix = prefix
        # Requests whose reply was lost. What they may have reserved, or are still handed, is given
        # back with the next call.
        self._unanswered: deque[_Request] = deque(maxlen=100)

    def _root(self, agent_type: str) -> bytes:
        return root_key(self._prefix, agent_type).encode()

    async def take(self, order: Order) -> Taken:
        """Acknowledge, then reserve messages, waiting for the first if asked to."""
        if self._unanswered:
            await self._settle_unanswered()
        request = _Request(order)
        try:
            return await self._wait(request)
        except asyncio.CancelledError:
            await self._part(request)
            raise
        except CoordinatorConnectionError:
            self._unanswered.append(request)
            raise

    async def _take(
        self, request: _Request, *, park: int, again: bool, acks: Sequence[Delivery]
    ) -> tuple[Taken, int]:
        order = request.order
        reply = await self._scripts.run(
            "take",
            self._root(order.mailboxes[0].type),
            request.name,
            order.want,
            order.lease,
            order.most,
            park,
            int(again),
            len(order.mailboxes),
            *(mailbox.name for mailbox in order.mailboxes),
            *chain.from_iterable((delivery.mailbox.name, delivery.key) for delivery in acks),
        )
        acked, deadline, wake, expired, died, lost, *rest = cast("list[Any]", reply)
        entries = [
            (
                Delivery(order.mailboxes[rest[i]], f"{request.name}.{rest[i + 1]:03d}"),
                unpack(rest[i + 2]),
            )
            for i in range(0, len(rest), 3)
        ]
        taken = Taken(
            acked=flags_of(acked),
            deadline=int(deadline),
            entries=entries,
            expired=expired,
            died=died,
            lost=lost,
        )
        return taken, wake

    async def _wait(self, request: _Request) -> Taken:
        loop = asyncio.get_running_loop()
        order = request.order
        until = loop.time() + order.wait
        own = order.mailboxes[0].type
        total: Taken | None = None
        again = False
        while True:
            left = until - loop.time()
            park = max(0, round(min(left, PARK) * 1000))
            acks = order.acks if total is None else ()
            taken, wake = await self._take(request, park=park, again=again, acks=acks)
            if total is not None:
                taken.acked = total.acked
                taken.expired += total.expired
                taken.died += total.died
                taken.lost += total.lost
            total = taken
            again = wake != OVER
            if not again:
                request.name = new_request()
            elif taken.entries or park == 0:
                return taken
            elif wake > 0:
                # A sender puts the message itself there, or a note (empty) to look again.
                inbox = self._root(own) + f":i:{request.name}".encode()
                item = await self._scripts.note(inbox, min(left, wake / 1000))
                if item:
                    line, _, entry = item.partition(b"\n")
                    name, deadline = line.decode().split(" ")
                    delivery = Delivery(Mailbox(own, name), f"{request.name}.000")
                    taken.entries = [(delivery, unpack(entry))]
                    taken.deadline = int(deadline)
                    return taken

    async def _part(self, request: _Request) -> None:
        """Give back what a cancelled call may have reserved."""
        try:
            async with asyncio.timeout(PARTING):
                await self._undo(request)
        except (TimeoutError, MessageCoordinatorError, asyncio.CancelledError) as error:
            self._unanswered.append(request)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _undo(self, request: _Request, *, lost: bool = False) -> None:
        order = request.order
        await self._scripts.run(
            "give_back",
            self._root(order.mailboxes[0].type),
            order.lease,
            int(lost),
            len(order.mailboxes),
            *(mailbox.name for mailbox in order.mailboxes),
            *(f"{request.name}.{number:03d}" for number in range(order.want)),
        )

    async def _settle_unanswered(self) -> None:
        while self._unanswered:
            request = self._unanswered.popleft()
            try:
                await self._undo(request, lost=True)
            except BaseException:
                self._unanswered.appendleft(request)
                raise


def new_request() -> str:
    """Return a name for a call, by which the server knows it again when it is repeated."""
    # In the order of time: leases that end at the same moment come back in the order of asking.
    return f"{time.time_ns():016x}{secrets.token_urlsafe(6)}"


def flags_of(answers: bytes) -> list[bool]:
    """Return the answers that a script gives as ones and zeros."""
    return [answer == ord("1") for answer in answers]
