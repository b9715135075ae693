"""How messages are taken out of mailboxes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import ANNOUNCE, milliseconds
from tta_agent_coordination.coordinators.consumer import Consumer
from tta_agent_coordination.coordinators.entries import open_body
from tta_agent_coordination.coordinators.envelope import REPLY_TO, visible
from tta_agent_coordination.coordinators.names import (
    ALL_TYPES,
    instances_of,
    mailboxes_of,
    parse_token,
)
from tta_agent_coordination.coordinators.settling import Settling
from tta_agent_coordination.coordinators.store import Order
from tta_agent_coordination.errors import ConfigurationError, InvalidMessageError
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.messaging import FailureType, ReceivedMessage
from tta_agent_coordination.metrics import EventKind
from tta_agent_coordination.tasks import parting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from tta_agent_coordination.coordinators.entries import Entry
    from tta_agent_coordination.coordinators.names import Delivery, Mailbox
    from tta_agent_coordination.coordinators.store import Taken
    from tta_agent_coordination.messaging import Lease
    from tta_agent_coordination.models import AgentId

__all__ = ("MAX_BATCH", "Receiving")

MAX_BATCH = 1000
"""So many messages may be received at once."""
FORGET = 7 * 86_400_000
"""An instance that has not received for so many ms is forgotten."""
REMEMBER = 10_000
"""Of so many instances it is known that they were noted down."""


class Receiving(Settling):
    """Receives messages."""

    async def receive(
        self, agent_id: AgentId, visibility_timeout: float = 5, *, wait: float = 0
    ) -> ReceivedMessage | None:
        """Reserve the next message: 9 before 5 before 1, the oldest first, none starves.

        Args:
            agent_id: Whose mailbox. With an instance: its own first, then the one its type shares.
            visibility_timeout: For so many seconds nobody else receives the message. When they have
                passed without `ack`, it is received again; after `max_attempts` deliveries it is a
                dead letter.
            wait: Wait so many seconds for a message if there is none; 0 returns at once.

        Returns:
            The message with its token, or None.

        Raises:
            MessageCoordinatorError: The store cannot be reached, or refuses; see its subclasses.
        """
        received = await self.receive_many(agent_id, 1, visibility_timeout, wait=wait)
        return received[0] if received else None

    async def receive_many(
        self,
        agent_id: AgentId,
        max_messages: int,
        visibility_timeout: float = 5,
        *,
        wait: float = 0,
        ack: Sequence[str] = (),
    ) -> list[ReceivedMessage]:
        """Acknowledge, then reserve messages, in one round trip.

        Args:
            agent_id: Whose mailbox.
            max_messages: So many at most, up to 1000.
            visibility_timeout: For so many seconds they are reserved.
            wait: Wait so many seconds for the first one.
            ack: Tokens of earlier messages of this agent, or of its type, that are done. A stale
                one is counted, and otherwise ignored.

        Raises:
            ValueError: A token in `ack` is of another type of agents.
            MessageCoordinatorError: As for `receive`.
        """
        received, _ = await self.take(
            agent_id, max_messages, visibility_timeout, wait=wait, ack=ack
        )
        return received

    async def take(
        self,
        agent_id: AgentId,
        max_messages: int,
        visibility_timeout: float = 5,
        *,
        wait: float = 0,
        ack: Sequence[str] = (),
    ) -> tuple[list[ReceivedMessage], list[bool]]:
        """Do as `receive_many`, and also return which of the acknowledgments were valid."""
        mailboxes = mailboxes_of(agent_id)
        acks = [_own(token, mailboxes[0].type) for token in ack]
        order = Order(
            mailboxes=mailboxes,
            want=check_count("max_messages", max_messages, most=MAX_BATCH),
            lease=max(1, milliseconds(check_seconds("visibility_timeout", visibility_timeout))),
            most=self._max_attempts,
            wait=check_seconds("wait", wait, zero=True),
            acks=acks,
        )
        if agent_id.instance is not None:
            await self._announce(mailboxes[0])
        taken = await self._store.take(order)
        self._tell_taken(agent_id, taken)
        received: list[ReceivedMessage] = []
        damaged: list[tuple[Delivery, str]] = []
        for delivery, entry in taken.entries:
            try:
                received.append(_received(delivery, entry, taken.deadline, order.lease))
            except InvalidMessageError as error:
                damaged.append((delivery, str(error)))
        try:
            for delivery, said in damaged:
                # It would fail for everybody, for ever; people may look at it among the dead
                # letters.
                await self._nack(delivery, FailureType.PERMANENT, said)
                self._tell(EventKind.DEAD, agent_id, 1)
        except BaseException:  # what can be read must not wait for the end of its lease
            async with parting():
                await self.give_back_many(agent_id, [one.token for one in received])
            raise
        return received, taken.acked

    async def _announce(self, mailbox: Mailbox) -> None:
        """Note down that an instance is there: who wants to reach all must know of it."""
        now = asyncio.get_running_loop().time()
        if now < self._announced.get(mailbox, 0.0):
            return
        if len(self._announced) >= REMEMBER:
            self._announced.clear()
        await self._store.enroll(instances_of(mailbox.type), mailbox.name, FORGET)
        await self._store.enroll(ALL_TYPES, mailbox.type, FORGET)
        self._announced[mailbox] = now + ANNOUNCE

    def consume(
        self, agent_id: AgentId, *, prefetch: int = 16, lease: float = 30
    ) -> AbstractAsyncContextManager[AsyncIterator[Lease]]:
        """Receive messages as they come, with leases that renew themselves.

        Args:
            agent_id: Whose mailbox.
            prefetch: So many messages are fetched in one round trip, together with the
                acknowledgments of earlier ones. Those not yet handed out are given back at the end.
            lease: Seconds that a message is reserved; renewed after each third of it until it is
                settled or the block ends. After a crash, others receive the message that much
                later.

        Returns:
            A context manager that gives an iterator of leases. It survives a lost connection: it
            tries again until the server answers. An acknowledgment travels with the next fetch, or
            within a twentieth of a second.
        """
        check_count("prefetch", prefetch, most=MAX_BATCH)
        check_seconds("lease", lease)
        return self._consume(agent_id, prefetch, float(lease))

    @asynccontextmanager
    async def _consume(
        self, agent_id: AgentId, prefetch: int, lease: float
    ) -> AsyncGenerator[AsyncIterator[Lease]]:
        async with Consumer(self, agent_id, prefetch=prefetch, lease=lease) as consumer:
            yield consumer

    def _tell_taken(self, agent_id: AgentId, taken: Taken) -> None:
        if self._observer is not None:
            valid = sum(taken.acked)
            self._tell(EventKind.ACKED, agent_id, valid)
            self._tell(EventKind.STALE_TOKEN, agent_id, len(taken.acked) - valid)
            self._tell(EventKind.RECEIVED, agent_id, len(taken.entries))
            self._tell(EventKind.EXPIRED, agent_id, taken.expired)
            self._tell(EventKind.DEAD, agent_id, taken.died)
            self._tell(EventKind.LEASE_EXPIRED, agent_id, taken.lost)


def _own(token: str, agent_type: str) -> Delivery:
    delivery = parse_token(token)
    if delivery is None or delivery.mailbox.type != agent_type:
        raise ConfigurationError(
            f"token {token!r:.80} is of no agent of this type; use ack_many() for tokens of others"
        )
    return delivery


def _received(delivery: Delivery, entry: Entry, deadline: int, lease: int) -> ReceivedMessage:
    message, headers = open_body(entry)
    expires = entry.expires or None
    return ReceivedMessage(
        message=message,
        token=delivery.token,
        attempt=entry.attempts,
        deadline=deadline / 1000,
        enqueued_at=entry.enqueued / 1000,
        headers={} if headers is None else visible(headers),
        last_error=entry.error,
        expires_at=None if expires is None else expires / 1000,
        time_left=None if expires is None else max(0, expires - deadline + lease) / 1000,
        reply_to=None if headers is None else headers.get(REPLY_TO),
        ordering_key=entry.key,
    )
