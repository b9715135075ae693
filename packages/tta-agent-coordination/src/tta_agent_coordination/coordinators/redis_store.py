"""Mailboxes on a Redis server: each operation is one script."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from tta_agent_coordination.coordinators.entries import optional, unpack
from tta_agent_coordination.coordinators.redis_receiver import RedisReceiver, flags_of, new_request
from tta_agent_coordination.coordinators.store import Claim, Held, Nacked, Undelivered
from tta_agent_coordination.errors import ConfigurationError, NotReplicatedError
from tta_agent_coordination.messaging import MailboxStats
from tta_agent_coordination.models import MessagePriority
from tta_agent_coordination.server.client import slice_of
from tta_agent_coordination.server.names import quoted, root_key
from tta_agent_coordination.server.scripts import Scripts, load_scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_agent_coordination.coordinators.entries import Parcel
    from tta_agent_coordination.coordinators.names import Delivery, Fence, Mailbox, Roster
    from tta_agent_coordination.coordinators.store import Backoff, Order, Taken, Terms
    from tta_agent_coordination.messaging import FailureType
    from tta_agent_coordination.server.client import RedisClient

__all__ = ("SCRIPTS", "RedisMailboxStore")

SCRIPTS = load_scripts(
    "tta_agent_coordination.coordinators",
    "cancel",
    "dead_list",
    "dead_move",
    "drop",
    "extend",
    "fence",
    "give_back",
    "nack",
    "pause",
    "purge",
    "roster",
    "send",
    "settle",
    "stats",
    "take",
)


class RedisMailboxStore:
    """Mailboxes on a Redis server.

    Args:
        client: The client; never closed here.
        prefix: What all keys begin with, as it stands in keys.
        clock: Only for tests: what the server is told as the time, in ms.
        replicas: So many replicas must have what was sent.
        patience: They have so many seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        prefix: str,
        clock: Callable[[], int] | None = None,
        *,
        replicas: int = 0,
        patience: float = 1.0,
    ) -> None:
        self._scripts = Scripts(client, clock, SCRIPTS)
        self._prefix = prefix
        self._slice = slice_of(client)
        self._replicas = replicas
        if replicas and patience > self._slice:
            raise ConfigurationError(
                f"replica_timeout must be at most {self._slice:g}, since the client gives up soon "
                f"after, not {patience:g}"
            )
        if replicas and not hasattr(client, "pipeline"):
            raise ConfigurationError("min_replicas needs a client with pipelines")
        if replicas and hasattr(client, "get_node_from_key"):
            raise ConfigurationError(
                "min_replicas needs a client of one server or of Sentinel: one of a cluster does "
                "not keep two commands on one connection"
            )
        self._patience = round(patience * 1000)
        self._receiver = RedisReceiver(self._scripts, prefix)

    def _root(self, agent_type: str) -> bytes:
        return root_key(self._prefix, agent_type).encode()

    async def send(self, parcels: Sequence[tuple[Mailbox, Parcel]], terms: Terms) -> str:
        """Put messages into mailboxes, all of one type; return a letter for each."""
        root = self._root(parcels[0][0].type)
        arguments: tuple[bytes | str | int, ...] = (
            terms.most,
            terms.window,
            "" if terms.at is None else terms.at,
            "" if terms.ttl is None else terms.ttl,
            terms.name,
            *(part for pair in parcels for part in _parts(*pair)),
        )
        if not self._replicas:
            letters = await self._scripts.run("send", root, *arguments)
            return cast("bytes", letters).decode()
        letters, count = await self._scripts.run_replicated(
            "send", root, *arguments, replicas=self._replicas, patience=self._patience
        )
        if count < self._replicas:
            raise NotReplicatedError(
                f"{count} of min_replicas={self._replicas} replicas have confirmed "
                f"{len(parcels)} messages within {self._patience} ms; they may be delivered, and "
                "sending them again is safe"
            )
        return cast("bytes", letters).decode()

    async def take(self, order: Order) -> Taken:
        """Acknowledge, then reserve messages, waiting for the first if asked to."""
        return await self._receiver.take(order)

    async def ack(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Acknowledge deliveries, all of one type."""
        answers = await self._scripts.run(
            "settle",
            self._root(deliveries[0].mailbox.type),
            *chain.from_iterable((delivery.mailbox.name, delivery.key) for delivery in deliveries),
        )
        return flags_of(answers)

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

    async def extend(self, mailbox: Mailbox, keys: Sequence[str], duration: int) -> list[Held]:
        """Let deliveries of one mailbox end so many ms from now."""
        root = self._root(mailbox.type)
        answers = await self._scripts.run("extend", root, mailbox.name, duration, *keys)
        return [Held(answer - ord("0")) for answer in cast("bytes", answers)]

    async def give_back(self, mailbox: Mailbox, keys: Sequence[str]) -> int:
        """Undo deliveries of one mailbox."""
        root = self._root(mailbox.type)
        given = await self._scripts.run("give_back", root, "", 0, 1, mailbox.name, *keys)
        return cast("int", given)

    async def cancel(self, mailbox: Mailbox, message_id: str) -> bool:
        """Remove a message that is ready or scheduled."""
        levels = [str(level.value) for level in MessagePriority]
        steps = ("cancel", "held", *levels, "cancel")
        return await self._remove(mailbox, message_id, *steps)

    async def withdraw(self, mailbox: Mailbox, message_id: str, sent: str = "") -> bool:
        """Remove a message, also from who works on it; its id can be sent again."""
        levels = [str(level.value) for level in MessagePriority]
        steps = ("leased", "cancel", "held", *levels, "leased")
        return await self._remove(mailbox, message_id, *steps, forget=True, sent=sent)

    async def _remove(
        self,
        mailbox: Mailbox,
        message_id: str,
        *steps: str,
        forget: bool = False,
        sent: str = "",
    ) -> bool:
        """Search one place after the other; what moves on meanwhile is met at the end."""
        name, root, options = quoted(message_id), self._root(mailbox.type), (int(forget), sent)
        for mode in steps:
            seen = 0
            while True:
                found = cast(
                    "int",
                    await self._scripts.run(
                        "cancel", root, mailbox.name, new_request(), name, mode, seen, *options
                    ),
                )
                options = (int(forget), "")
                if found >= 0:
                    break
                seen = -found
            if found:
                return True
        return False

    async def drop(self, mailbox: Mailbox) -> None:
        """Delete all that there is of a mailbox for answers."""
        await self._scripts.run("drop", self._root(mailbox.type), mailbox.name)

    async def reschedule(self, mailbox: Mailbox, message_id: str, at: int) -> bool:
        """Move a scheduled message."""
        request, name = new_request(), quoted(message_id)
        found = await self._scripts.run(
            "cancel", self._root(mailbox.type), mailbox.name, request, name, "at", at
        )
        return bool(found == 1)

    async def pause(self, mailbox: Mailbox, *, paused: bool) -> None:
        """Stop or start receiving."""
        await self._scripts.run(
            "pause", self._root(mailbox.type), mailbox.name, new_request(), int(paused)
        )

    async def purge(self, mailbox: Mailbox) -> int:
        """Remove what is ready or scheduled."""
        total, more = 0, 1
        while more:
            request = new_request()
            count, more = await self._scripts.run(
                "purge", self._root(mailbox.type), mailbox.name, request
            )
            total += count
        return total

    async def stats(self, mailbox: Mailbox) -> MailboxStats:
        """Count."""
        counts = await self._scripts.run("stats", self._root(mailbox.type), mailbox.name)
        high, normal, low, scheduled, leased, dead, expired, receivers, paused, age, held = counts
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
            held=held,
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
            new_request(),
            "redrive" if redrive else "purge",
            *ids,
        )
        return cast("int", moved)

    async def enroll(self, roster: Roster, member: str, keep: int | None) -> None:
        """Note a member down."""
        args = ("add", member, new_request(), "" if keep is None else keep)
        await self._scripts.run("roster", self._root(roster.type), roster.name, *args)

    async def strike(self, roster: Roster, member: str) -> None:
        """Take a member off a roster."""
        args = ("remove", member, new_request())
        await self._scripts.run("roster", self._root(roster.type), roster.name, *args)

    async def enrolled(self, roster: Roster, since: int | None) -> list[str]:
        """Return the members."""
        ago = "" if since is None else since
        members = await self._scripts.run(
            "roster", self._root(roster.type), roster.name, "list", ago
        )
        return [member.decode() for member in cast("list[bytes]", members)]

    async def claim(self, fence: Fence, holder: str, lease: int) -> Claim:
        """Claim an effect for so many ms."""
        root = self._root(fence.type)
        return Claim(await self._scripts.run("fence", root, fence.name, holder, "claim", lease))

    async def conclude(self, fence: Fence, holder: str, keep: int | None) -> bool:
        """Let it be known that an effect is done, or give the claim up."""
        how = ("free", 0) if keep is None else ("done", keep)
        root = self._root(fence.type)
        return bool(await self._scripts.run("fence", root, fence.name, holder, *how))


def _parts(mailbox: Mailbox, parcel: Parcel) -> tuple[str, str, int, str, bytes]:
    return mailbox.name, quoted(parcel.message_id), parcel.level, optional(parcel.key), parcel.body


def _letters(reply: Any) -> list[Undelivered]:
    parts = cast("list[bytes]", reply)
    return [
        Undelivered(parts[i].decode(), int(float(parts[i + 1])), unpack(parts[i + 2]))
        for i in range(0, len(parts), 3)
    ]
