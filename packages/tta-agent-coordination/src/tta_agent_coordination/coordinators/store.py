"""What keeps mailboxes: the few operations that a coordinator is made of.

There are two: scripts on a Redis server, and plain state in this process. Everything else (checks,
tokens, reading and writing messages, counting) is the same for both and stands in `base`.

Times are milliseconds: points in time since 1970 by the store's clock, durations where the name
says so. Deliveries are named by their key within a mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.coordinators.entries import Entry, Parcel
    from tta_agent_coordination.coordinators.names import Delivery, Fence, Mailbox, Roster
    from tta_agent_coordination.messaging import FailureType, MailboxStats

__all__ = (
    "Backoff",
    "Claim",
    "Held",
    "MailboxStore",
    "Nacked",
    "Order",
    "Taken",
    "Terms",
    "Undelivered",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which terms messages are accepted.

    Attributes:
        most: So many may be ready at once, and so many scheduled; 0 is any number.
        window: For so long an id is known again (ms); 0 is not at all.
        at: When they become ready; None is now.
        ttl: For so long they may be received (ms); None is for ever.
        name: Tells this call from all others, so that `withdraw` can undo also a copy of it that a
            server comes to later; empty where nobody will.
    """

    most: int
    window: int
    at: int | None
    ttl: int | None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a receiver asks for.

    Attributes:
        mailboxes: Where to look, first to last; all of one type.
        want: So many messages at most, 1 to 1000.
        lease: For so long they are reserved (ms).
        most: After so many deliveries a message is given up.
        wait: For so long the receiver waits for the first (seconds, real ones).
        acks: Deliveries of the same type to acknowledge before.
    """

    mailboxes: tuple[Mailbox, ...]
    want: int
    lease: int
    most: int
    wait: float
    acks: Sequence[Delivery]


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a receiver gets.

    Attributes:
        acked: For each acknowledgment, whether it was valid.
        deadline: When the reservations end.
        entries: What was reserved.
        expired: So many messages had passed their time to live, and are gone.
        died: So many messages were given up.
        lost: So many leases had run out.
    """

    acked: list[bool]
    deadline: int
    entries: list[tuple[Delivery, Entry]]
    expired: int = 0
    died: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a failed message waits.

    Attributes:
        base: After the first delivery (ms).
        factor: How many times longer after each further one.
        cap: Never longer than this (ms).
        share: So much of it is waited, 0 to 1: the sender of the nack draws it.
    """

    base: int
    factor: float
    cap: int
    share: float

    def after(self, attempts: int) -> int:
        """Return how long to wait after so many deliveries (ms)."""
        try:
            delay = self.base * self.factor ** min(attempts - 1, 1000)
        except OverflowError:
            delay = float(self.cap)
        return int(min(delay, self.cap) * self.share)


class Nacked(IntEnum):
    """What became of a nack."""

    STALE = 0
    RETRIED = 1
    DIED = 2


class Held(IntEnum):
    """Whether a delivery still holds."""

    LOST = 0
    HELD = 1
    WITHDRAWN = 2


class Claim(IntEnum):
    """What became of a claim to an effect."""

    DONE = 0
    MINE = 1
    BUSY = 2


class Undelivered(NamedTuple):
    """A dead letter as it is kept."""

    dead_letter_id: str
    died: int
    entry: Entry


class MailboxStore(Protocol):
    """Keeps mailboxes. Each call is one atomic step, and harmless when the client repeats it.

    Also when a server comes to a copy of it up to a minute late, after other calls: at the most,
    what is still reserved is so for longer.
    """

    async def send(self, parcels: Sequence[tuple[Mailbox, Parcel]], terms: Terms) -> str:
        """Put messages into mailboxes, all of one type; return a letter for each.

        q ready, w waiting for its time, h handed to a waiting receiver, d duplicate, f mailbox
        full.
        """
        ...

    async def take(self, order: Order) -> Taken:
        """Acknowledge, then reserve messages, waiting for the first if asked to."""
        ...

    async def ack(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Acknowledge deliveries, all of one type."""
        ...

    async def nack(
        self,
        delivery: Delivery,
        failure: FailureType,
        error: str | None,
        most: int,
        backoff: Backoff,
    ) -> Nacked:
        """Mark a delivery as failed; after `most` deliveries the message is given up."""
        ...

    async def extend(self, mailbox: Mailbox, keys: Sequence[str], duration: int) -> list[Held]:
        """Let deliveries of one mailbox end so many ms from now."""
        ...

    async def give_back(self, mailbox: Mailbox, keys: Sequence[str]) -> int:
        """Undo deliveries of one mailbox; return how many are undone, now or shortly before."""
        ...

    async def cancel(self, mailbox: Mailbox, message_id: str) -> bool:
        """Remove a message that is ready or scheduled."""
        ...

    async def withdraw(self, mailbox: Mailbox, message_id: str, sent: str = "") -> bool:
        """Remove a message, also from who works on it; its id can be sent again.

        What the call named `sent` has not put there yet, it will not.
        """
        ...

    async def drop(self, mailbox: Mailbox) -> None:
        """Delete all that there is of a mailbox for answers."""
        ...

    async def reschedule(self, mailbox: Mailbox, message_id: str, at: int) -> bool:
        """Move a scheduled message."""
        ...

    async def pause(self, mailbox: Mailbox, *, paused: bool) -> None:
        """Stop or start receiving."""
        ...

    async def purge(self, mailbox: Mailbox) -> int:
        """Remove what is ready or scheduled; return how many."""
        ...

    async def stats(self, mailbox: Mailbox) -> MailboxStats:
        """Count."""
        ...

    async def dead(self, mailbox: Mailbox, skip: int, count: int) -> Sequence[Undelivered]:
        """Return dead letters, oldest first."""
        ...

    async def dead_one(self, mailbox: Mailbox, dead_letter_id: str) -> Undelivered | None:
        """Return one dead letter."""
        ...

    async def move_dead(self, mailbox: Mailbox, ids: Sequence[str], *, redrive: bool) -> int:
        """Put dead letters back as new, or delete them; return how many were there."""
        ...

    async def enroll(self, roster: Roster, member: str, keep: int | None) -> None:
        """Note a member down; forget those that were not noted down for so many ms."""
        ...

    async def strike(self, roster: Roster, member: str) -> None:
        """Take a member off a roster."""
        ...

    async def enrolled(self, roster: Roster, since: int | None) -> list[str]:
        """Return the members, or those noted down in the last so many ms; the oldest first."""
        ...

    async def claim(self, fence: Fence, holder: str, lease: int) -> Claim:
        """Claim an effect for so many ms."""
        ...

    async def conclude(self, fence: Fence, holder: str, keep: int | None) -> bool:
        """Let it be known for so many ms that an effect is done; None gives the claim up.

        Returns whether the claim was still the holder's.
        """
        ...
