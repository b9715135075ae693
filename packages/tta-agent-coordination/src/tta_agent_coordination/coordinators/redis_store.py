"""Mailboxes on a Redis server: each operation is one script."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from tta_agent_coordination.coordinators.entries import optional, unpack
from tta_agent_coordination.coordinators.names import Delivery, Mailbox, quoted, root_key
from tta_agent_coordination.coordinators.scripts import Scripts
from tta_agent_coordination.coordinators.store import Nacked, Taken, Undelivered
from tta_agent_coordination.errors import CoordinatorConnectionError, MessageCoordinatorError
from tta_agent_coordination.messaging import MailboxStats
from tta_agent_coordination.models import MessagePriority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_agent_coordination.coordinators.entries import Parcel
    from tta_agent_coordination.coordinators.scripts import RedisClient
    from tta_agent_coordination.coordinators.store import Backoff, Order, Terms
    from tta_agent_coordination.messaging import FailureType

__all__ = ("RedisMailboxStore",)

PARK = 10.0
"""A receiver is parked so many seconds at a time: so long may messages go to a killed one."""
SLICE = 2.0
"""A blocking command waits at most so many seconds."""
GRACE = 3.0
"""A blocking command that is so many seconds late has lost its connection."""
PARTING = 0.25
"""Giving back after a cancellation may take so many seconds; beyond, the lease's end does it."""


class RedisMailboxStore:
    """Mailboxes on a Redis server.

    Args:
        client: The client; never closed here.
        prefix: What all keys begin with, as it stands in keys.
        clock: Only for tests: what the server is told as the time, in ms.
    """

    def __init__(
        self, client: RedisClient, prefix: str, clock: Callable[[], int] | None = None
    ) -> None:
        self._scripts = Scripts(client, clock)
        self._prefix = prefix
        self._slice = _slice_of(client)
        # Requests whose reply was lost. What they may have reserved is given back with the next
        # call.
        self._unanswered: deque[tuple[tuple[Mailbox, ...], str, int]] = deque(maxlen=100)

    def _root(self, agent_type: str) -> bytes:
        return root_key(self._prefix, agent_type).encode()

    async def send(self, mailbox: Mailbox, parcels: Sequence[Parcel], terms: Terms) -> str:
        """Put messages in; return a letter for each."""
        letters = await self._scripts.run(
            "send",
            self._root(mailbox.type),
            mailbox.name,
            terms.most,
            terms.window,
            "" if terms.at is None else terms.at,
            "" if terms.ttl is None else terms.ttl,
            *(part for parcel in parcels for part in _parts(parcel)),
        )
        return cast("bytes", letters).decode()

    async def take(self, order: Order) -> Taken:
        """Acknowledge, then reserve messages, waiting for the first if asked to."""
        if self._unanswered:
            await self._settle_unanswered()
        request = _new_request()
        try:
            if order.wait <= 0:
                return (await self._take(order, request, park=0, again=False, acks=order.acks))[0]
            return await self._wait(order, request)
        except asyncio.CancelledError:
            await self._part(order, request)
            raise
        except CoordinatorConnectionError:
            self._unanswered.append((order.mailboxes, request, order.want))
            raise

    async def _take(
        self, order: Order, request: str, *, park: int, again: bool, acks: Sequence[Delivery]
    ) -> tuple[Taken, int]:
        reply = await self._scripts.run(
            "take",
            self._root(order.mailboxes[0].type),
            request,
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
                Delivery(order.mailboxes[rest[i]], f"{request}.{rest[i + 1]:03d}"),
                unpack(rest[i + 2]),
            )
            for i in range(0, len(rest), 3)
        ]
        taken = Taken(
            acked=_flags(acked),
            deadline=int(deadline),
            entries=entries,
            expired=expired,
            died=died,
            lost=lost,
        )
        return taken, wake

    async def _wait(self, order: Order, request: str) -> Taken:
        loop = asyncio.get_running_loop()
        until = loop.time() + order.wait
        total: Taken | None = None
        while True:
            left = until - loop.time()
            park = max(0, round(min(left, PARK) * 1000))
            acks = order.acks if total is None else ()
            taken, wake = await self._take(
                order, request, park=park, again=total is not None, acks=acks
            )
            if total is not None:
                taken.acked = total.acked
                taken.expired += total.expired
                taken.died += total.died
                taken.lost += total.lost
            total = taken
            if taken.entries or park == 0:
                return taken
            if wake > 0:
                item = await self._inbox(order, request, min(left, wake / 1000))
                if item:
                    line, _, entry = item.partition(b"\n")
                    name, deadline = line.decode().split(" ")
                    mailbox = Mailbox(order.mailboxes[0].type, name)
                    taken.entries = [(Delivery(mailbox, f"{request}.000"), unpack(entry))]
                    taken.deadline = int(deadline)
                    return taken

    async def _inbox(self, order: Order, request: str, seconds: float) -> bytes | None:
        """Wait for what is put into our inbox: a message, or a note (empty) to look again."""
        loop = asyncio.get_running_loop()
        key = self._root(order.mailboxes[0].type) + f":i:{request}".encode()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            # Zero would wait for ever.
            seconds = max(0.001, min(left, self._slice))
            try:
                async with asyncio.timeout(seconds + GRACE):
                    item = await self._scripts.pop(key, round(seconds, 3))
            except TimeoutError:
                raise CoordinatorConnectionError(
                    f"the server has not answered for {seconds + GRACE:.1f} s; the call can be "
                    "repeated without harm"
                ) from None
            if item is not None:
                return item
        return None

    async def _part(self, order: Order, request: str) -> None:
        """Give back what a cancelled call may have reserved."""
        try:
            async with asyncio.timeout(PARTING):
                await self._undo(order.mailboxes, request, order.want, order.lease)
        except (TimeoutError, MessageCoordinatorError):
            self._unanswered.append((order.mailboxes, request, order.want))

    async def _undo(
        self, mailboxes: tuple[Mailbox, ...], request: str, want: int, lease: int | None
    ) -> None:
        await self._scripts.run(
            "give_back",
            self._root(mailboxes[0].type),
            "" if lease is None else lease,
            len(mailboxes),
            *(mailbox.name for mailbox in mailboxes),
            *(f"{request}.{number:03d}" for number in range(want)),
        )

    async def _settle_unanswered(self) -> None:
        while self._unanswered:
            lost = self._unanswered.popleft()
            try:
                await self._undo(*lost, None)
            except BaseException:
                self._unanswered.appendleft(lost)
                raise

    async def ack(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Acknowledge deliveries, all of one type."""
        answers = await self._scripts.run(
            "settle",
            self._root(deliveries[0].mailbox.type),
            *chain.from_iterable((delivery.mailbox.name, delivery.key) for delivery in deliveries),
        )
        return _flags(answers)

    async def nack(
        self,
        delivery: Delivery,
        failure: FailureType,
        error: str | None,
        most: int,
        backoff: Backoff,
    ) -> Nacked:
        """Mark a delivery as failed."""
        outcome = await self._scripts.run(
            "nack",
            self._root(delivery.mailbox.type),
            delivery.mailbox.name,
            delivery.key,
            failure.value,
            optional(error),
            most,
            backoff.base,
            repr(backoff.factor),
            backoff.cap,
            f"{backoff.share:.6f}",
        )
        return Nacked(cast("int", outcome))

    async def extend(self, mailbox: Mailbox, keys: Sequence[str], duration: int) -> list[bool]:
        """Let deliveries of one mailbox end so many ms from now."""
        root = self._root(mailbox.type)
        return _flags(await self._scripts.run("extend", root, mailbox.name, duration, *keys))

    async def give_back(self, mailbox: Mailbox, keys: Sequence[str]) -> int:
        """Undo deliveries of one mailbox."""
        root = self._root(mailbox.type)
        given = await self._scripts.run("give_back", root, "", 1, mailbox.name, *keys)
        return cast("int", given)

    async def cancel(self, mailbox: Mailbox, message_id: str) -> bool:
        """Remove a message that is ready or scheduled."""
        request, name = _new_request(), quoted(message_id)
        steps = ["cancel", *(str(level.value) for level in MessagePriority), "cancel"]
        for mode in steps:
            seen = 0
            while True:
                found = cast(
                    "int",
                    await self._scripts.run(
                        "cancel", self._root(mailbox.type), mailbox.name, request, name, mode, seen
                    ),
                )
                if found >= 0:
                    break
                seen = -found
            if found:
                return True
        return False

    async def reschedule(self, mailbox: Mailbox, message_id: str, at: int) -> bool:
        """Move a scheduled message."""
        request, name = _new_request(), quoted(message_id)
        found = await self._scripts.run(
            "cancel", self._root(mailbox.type), mailbox.name, request, name, "at", at
        )
        return bool(found == 1)

    async def pause(self, mailbox: Mailbox, *, paused: bool) -> None:
        """Stop or start receiving."""
        await self._scripts.run("pause", self._root(mailbox.type), mailbox.name, int(paused))

    async def purge(self, mailbox: Mailbox) -> int:
        """Remove what is ready or scheduled."""
        total, more = 0, 1
        while more:
            request = _new_request()
            count, more = await self._scripts.run(
                "purge", self._root(mailbox.type), mailbox.name, request
            )
            total += count
        return total

    async def stats(self, mailbox: Mailbox) -> MailboxStats:
        """Count."""
        counts = await self._scripts.run("stats", self._root(mailbox.type), mailbox.name)
        high, normal, low, scheduled, leased, dead, expired, receivers, paused, age = counts
        return MailboxStats(
            ready={
                MessagePriority.HIGH: high,
                MessagePriority.NORMAL: normal,
                MessagePriority.LOW: low,
            },
            scheduled=scheduled,
            leased=leased,
            dead=dead,
            expired=expired,
            receivers=receivers,
            paused=paused == 1,
            oldest_age=None if age < 0 else age / 1000,
        )

    async def dead(self, mailbox: Mailbox, skip: int, count: int) -> Sequence[Undelivered]:
        """Return dead letters, oldest first."""
        root = self._root(mailbox.type)
        return _letters(await self._scripts.run("dead_list", root, mailbox.name, skip, count))

    async def dead_one(self, mailbox: Mailbox, dead_letter_id: str) -> Undelivered | None:
        """Return one dead letter."""
        root = self._root(mailbox.type)
        reply = await self._scripts.run("dead_list", root, mailbox.name, 0, 0, dead_letter_id)
        found = _letters(reply)
        return found[0] if found else None

    async def move_dead(self, mailbox: Mailbox, ids: Sequence[str], *, redrive: bool) -> int:
        """Put dead letters back as new, or delete them."""
        moved = await self._scripts.run(
            "dead_move",
            self._root(mailbox.type),
            mailbox.name,
            _new_request(),
            "redrive" if redrive else "purge",
            *ids,
        )
        return cast("int", moved)


def _new_request() -> str:
    # In the order of time: leases that end at the same moment come back in the order of asking.
    return f"{time.time_ns():016x}{secrets.token_urlsafe(6)}"


def _parts(parcel: Parcel) -> tuple[str, int, str, bytes]:
    return quoted(parcel.message_id), parcel.level, optional(parcel.key), parcel.body


def _flags(answers: bytes) -> list[bool]:
    return [answer == ord("1") for answer in answers]


def _letters(reply: Any) -> list[Undelivered]:
    parts = cast("list[bytes]", reply)
    return [
        Undelivered(parts[i].decode(), int(float(parts[i + 1])), unpack(parts[i + 2]))
        for i in range(0, len(parts), 3)
    ]


def _slice_of(client: object) -> float:
    """Return how long a blocking command may wait before the client would give it up."""
    pool = getattr(client, "connection_pool", client)
    options = cast("dict[str, object]", getattr(pool, "connection_kwargs", {}))
    timeout = options.get("socket_timeout")
    if isinstance(timeout, (int, float)) and timeout > 0:
        return min(SLICE, timeout / 2)
    return SLICE
