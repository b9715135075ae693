"""What coordinators do alike, whatever keeps their mailboxes: check, write, read, count.

The file is long because it is one class: the whole contract, each call with its documentation.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.consumer import Consumer
from tta_agent_coordination.coordinators.dead_letters import StoredDeadLetters
from tta_agent_coordination.coordinators.entries import Parcel, body_of, cut_error, open_body
from tta_agent_coordination.coordinators.names import mailbox_of, mailboxes_of, parse_token
from tta_agent_coordination.coordinators.store import Backoff, Nacked, Order, Terms
from tta_agent_coordination.errors import (
    ConfigurationError,
    InvalidMessageError,
    MessageCoordinatorError,
)
from tta_agent_coordination.interfaces import MailboxCoordinator
from tta_agent_coordination.limits import check_count, check_fraction, check_seconds
from tta_agent_coordination.messaging import (
    FailureType,
    MessageResult,
    ReceivedMessage,
    RejectReason,
)
from tta_agent_coordination.metrics import EventKind, NullMetrics, QueueEvent, QueueObserver
from tta_agent_coordination.models import AgentMessage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tta_agent_coordination.coordinators.entries import Entry
    from tta_agent_coordination.coordinators.names import Delivery, Mailbox
    from tta_agent_coordination.coordinators.store import MailboxStore, Taken
    from tta_agent_coordination.messaging import Lease, MailboxStats
    from tta_agent_coordination.metrics import MetricsProtocol
    from tta_agent_coordination.models import AgentId

__all__ = ("MAX_BATCH", "StoredMailboxes")

MAX_BATCH = 1000
"""So many messages may be received at once."""
SEND_CHUNK = 200
"""So many messages go into one call to the store; more would hold up other users of a server."""


class StoredMailboxes(MailboxCoordinator):
    """A coordinator over a store of mailboxes.

    Args:
        store: What keeps the mailboxes.
        metrics: Counts deliveries; if it also has `on_event`, it hears of everything else.
        max_attempts: After so many deliveries without success a message is a dead letter.
        max_length: So many messages may be ready in a mailbox, and so many scheduled; None is any
            number.
        max_message_bytes: The largest message, as JSON.
        dedupe_window: For so many seconds a mailbox knows the ids it has seen; 0 turns this off,
            and a message may then be sent twice when the connection breaks.
        backoff_base: Seconds that a failed message waits after its first delivery.
        backoff_factor: How many times longer after each further one; at least 1.
        backoff_max: Never longer than so many seconds.
        backoff_jitter: Up to this share of the wait is left out, at random, 0 to 1.
        rng: Draws the jitter; give a seeded one to repeat a run.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(
        self,
        store: MailboxStore,
        *,
        metrics: MetricsProtocol | None = None,
        max_attempts: int = 4,
        max_length: int | None = 100_000,
        max_message_bytes: int = 1_048_576,
        dedupe_window: float = 120.0,
        backoff_base: float = 1.0,
        backoff_factor: float = 2.0,
        backoff_max: float = 30.0,
        backoff_jitter: float = 0.5,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self.metrics: MetricsProtocol = NullMetrics() if metrics is None else metrics
        self._observer = self.metrics if isinstance(self.metrics, QueueObserver) else None
        self._max_attempts = check_count("max_attempts", max_attempts)
        self._max_length = 0 if max_length is None else check_count("max_length", max_length)
        self._max_bytes = check_count("max_message_bytes", max_message_bytes)
        self._window = _ms(check_seconds("dedupe_window", dedupe_window, zero=True))
        self._backoff_base = _ms(check_seconds("backoff_base", backoff_base, zero=True))
        self._backoff_factor = check_seconds("backoff_factor", backoff_factor)
        if self._backoff_factor < 1:
            raise ConfigurationError(f"backoff_factor must be 1 or more, not {backoff_factor!r}")
        self._backoff_cap = _ms(check_seconds("backoff_max", backoff_max, zero=True))
        self._jitter = check_fraction("backoff_jitter", backoff_jitter)
        self._random = random.Random() if rng is None else rng  # noqa: S311 - no secret
        self._dead_letters = StoredDeadLetters(store)

    @property
    def dead_letters(self) -> StoredDeadLetters:
        """The messages that are not tried any more: list, peek, redrive, purge."""
        return self._dead_letters

    # Sending.

    async def send_message(
        self,
        sender: AgentId,
        recipient: AgentId,
        message: AgentMessage,
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> MessageResult:
        """Put a message into the recipient's mailbox.

        Args:
            sender: Must be the message's sender.
            recipient: Must be the message's recipient.
            message: What to send. The same `message_id` again, within the window, is a duplicate
                and is not added, so a call that failed can be repeated without harm.
            deliver_at: Nobody receives it before (a time with its zone, by the store's clock).
            ttl: If nobody has received it after so many seconds, it is dropped and counted.
            headers: Texts that travel with it, such as trace context.

        Returns:
            A receipt: `delivered=False` with a `reason` if the message is larger than
            `max_message_bytes` or the mailbox holds `max_length` messages.

        Raises:
            ValueError: Sender or recipient differ from the message's.
            InvalidMessageError: The message cannot be written as JSON.
            MessageCoordinatorError: The store cannot be reached, or refuses; see its subclasses.
        """
        if not isinstance(message, AgentMessage):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidMessageError(f"message must be an AgentMessage, not {message!r:.100}")
        if sender != message.sender:
            raise InvalidMessageError(
                f"sender is {sender!r:.200}, but the message says {message.sender!r:.200}"
            )
        if recipient != message.recipient:
            raise InvalidMessageError(
                f"recipient is {recipient!r:.200}, but the message says {message.recipient!r:.200}"
            )
        results = await self.send_many([message], deliver_at=deliver_at, ttl=ttl, headers=headers)
        return results[0]

    async def send_many(
        self,
        messages: Iterable[AgentMessage],
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[MessageResult]:
        """Send messages to their recipients, each as `send_message` would.

        All are checked before the first is sent. Neighbors with one recipient share a round trip.

        Returns:
            The receipts, in the order of the messages.
        """
        terms = Terms(
            most=self._max_length,
            window=self._window,
            at=None if deliver_at is None else _moment(deliver_at),
            ttl=None if ttl is None else max(1, _ms(check_seconds("ttl", ttl))),
        )
        outgoing = [(message, body_of(message, headers)) for message in messages]
        results: list[MessageResult] = []
        for recipient, group in groupby(outgoing, key=lambda pair: pair[0].recipient):
            pairs = list(group)
            for start in range(0, len(pairs), SEND_CHUNK):
                results += await self._send(recipient, pairs[start : start + SEND_CHUNK], terms)
        return results

    async def _send(
        self, recipient: AgentId, pairs: list[tuple[AgentMessage, bytes]], terms: Terms
    ) -> list[MessageResult]:
        fitting = [
            Parcel(message_id=message.message_id, level=message.priority.value, body=body)
            for message, body in pairs
            if len(body) <= self._max_bytes
        ]
        letters = iter("")
        if fitting:
            try:
                letters = iter(await self._store.send(mailbox_of(recipient), fitting, terms))
            except MessageCoordinatorError:
                self.metrics.inc_delivered_error(len(pairs))
                raise
        results = [
            _receipt(
                message.message_id,
                next(letters) if len(body) <= self._max_bytes else "l",
                len(body),
                self._max_bytes,
                self._max_length,
            )
            for message, body in pairs
        ]
        delivered = sum(result.delivered for result in results)
        duplicates = sum(result.duplicate for result in results)
        rejected = len(results) - delivered
        if delivered:
            self.metrics.inc_delivered_ok(delivered)
        if rejected:
            self.metrics.inc_delivered_error(rejected)
        self._tell(EventKind.SENT, recipient, delivered - duplicates)
        self._tell(EventKind.DUPLICATE, recipient, duplicates)
        self._tell(EventKind.REJECTED, recipient, rejected)
        return results

    # Receiving.

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
            lease=max(1, _ms(check_seconds("visibility_timeout", visibility_timeout))),
            most=self._max_attempts,
            wait=check_seconds("wait", wait, zero=True),
            acks=acks,
        )
        taken = await self._store.take(order)
        self._tell_taken(agent_id, taken)
        received: list[ReceivedMessage] = []
        for delivery, entry in taken.entries:
            try:
                received.append(_received(delivery, entry, taken.deadline))
            except InvalidMessageError as error:
                # It would fail for everybody, for ever; people may look at it among the dead
                # letters.
                await self._nack(delivery, FailureType.PERMANENT, str(error))
                self._tell(EventKind.DEAD, agent_id, 1)
        return received, taken.acked

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

    # Settling.

    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge a message: it is done and gone.

        Returns:
            Whether the token was valid: True also when it was acknowledged shortly before; False
            when the reservation has run out (the message is received again) or the token is not of
            this agent.
        """
        delivery = _valid(agent_id, token)
        valid = delivery is not None and (await self._store.ack([delivery]))[0]
        self._tell(EventKind.ACKED if valid else EventKind.STALE_TOKEN, agent_id, 1)
        return valid

    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge messages of any agents; those of one type share a round trip.

        Returns:
            For each token, in order, what `ack` would have returned.
        """
        answers = [False] * len(tokens)
        groups: dict[str, list[tuple[int, Delivery]]] = {}
        for place, token in enumerate(tokens):
            delivery = parse_token(token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox.type, []).append((place, delivery))
        for group in groups.values():
            valid = await self._store.ack([delivery for _, delivery in group])
            for (place, _), answer in zip(group, valid, strict=True):
                answers[place] = answer
        return answers

    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Say that the work on a message failed.

        Args:
            agent_id: Who received it.
            token: The token of the delivery.
            failure: TRANSIENT and TIMEOUT: it comes again after a back-off, unless this was its
                last attempt. PERMANENT: it is a dead letter at once.
            error: What happened; the first 2,000 characters are kept.

        Returns:
            Whether the token was valid.
        """
        failure = FailureType(failure)
        delivery = _valid(agent_id, token)
        outcome = Nacked.STALE
        if delivery is not None:
            outcome = await self._nack(delivery, failure, cut_error(error))
        kinds = {
            Nacked.STALE: EventKind.STALE_TOKEN,
            Nacked.RETRIED: EventKind.RETRIED,
            Nacked.DIED: EventKind.DEAD,
        }
        self._tell(kinds[outcome], agent_id, 1)
        return outcome is not Nacked.STALE

    async def _nack(self, delivery: Delivery, failure: FailureType, error: str | None) -> Nacked:
        backoff = Backoff(
            base=self._backoff_base,
            factor=self._backoff_factor,
            cap=self._backoff_cap,
            share=1 - self._jitter * self._random.random(),
        )
        return await self._store.nack(delivery, failure, error, self._max_attempts, backoff)

    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Let a reservation end so many seconds from now.

        Returns:
            Whether the token was valid.
        """
        duration = max(1, _ms(check_seconds("seconds", seconds)))
        delivery = _valid(agent_id, token)
        if delivery is None:
            return False
        return (await self._store.extend(delivery.mailbox, [delivery.key], duration))[0]

    async def extend_many(self, tokens: Sequence[str], seconds: float) -> list[bool]:
        """Let reservations end so many seconds from now, with one round trip per mailbox."""
        duration = max(1, _ms(check_seconds("seconds", seconds)))
        answers = [False] * len(tokens)
        groups: dict[Mailbox, list[tuple[int, str]]] = {}
        for place, token in enumerate(tokens):
            delivery = parse_token(token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox, []).append((place, delivery.key))
        for mailbox, group in groups.items():
            valid = await self._store.extend(mailbox, [key for _, key in group], duration)
            for (place, _), answer in zip(group, valid, strict=True):
                answers[place] = answer
        return answers

    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo a delivery: the message is the next of its queue, and the attempt is not counted.

        Returns:
            Whether the message was still reserved.
        """
        delivery = _valid(agent_id, token)
        if delivery is None:
            return False
        given = await self._store.give_back(delivery.mailbox, [delivery.key]) == 1
        self._tell(EventKind.GIVEN_BACK if given else EventKind.STALE_TOKEN, agent_id, 1)
        return given

    async def give_back_many(self, agent_id: AgentId, tokens: Sequence[str]) -> int:
        """Undo deliveries, with one round trip per mailbox; return how many were reserved."""
        groups: dict[Mailbox, list[str]] = {}
        for token in tokens:
            delivery = _valid(agent_id, token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox, []).append(delivery.key)
        given = sum([await self._store.give_back(box, keys) for box, keys in groups.items()])
        self._tell(EventKind.GIVEN_BACK, agent_id, given)
        return given

    # Looking after a mailbox.

    async def cancel(self, recipient: AgentId, message_id: str) -> bool:
        """Take a message out of a mailbox, unless somebody works on it.

        A scheduled message is found at once; for one that is ready, the mailbox is searched. Its id
        stays in the window of deduplication.

        Returns:
            Whether it was there.
        """
        return await self._store.cancel(mailbox_of(recipient), message_id)

    async def reschedule(self, recipient: AgentId, message_id: str, deliver_at: datetime) -> bool:
        """Give a message that waits for its time, or for its next attempt, another time.

        Returns:
            Whether it was there.
        """
        return await self._store.reschedule(mailbox_of(recipient), message_id, _moment(deliver_at))

    async def pause(self, agent_id: AgentId) -> None:
        """Let nobody receive from the mailbox until `resume`; sending and settling go on."""
        await self._store.pause(mailbox_of(agent_id), paused=True)

    async def resume(self, agent_id: AgentId) -> None:
        """Let messages be received again."""
        await self._store.pause(mailbox_of(agent_id), paused=False)

    async def purge(self, agent_id: AgentId) -> int:
        """Delete all messages that are ready or scheduled; those being worked on stay.

        Returns:
            How many were deleted.
        """
        return await self._store.purge(mailbox_of(agent_id))

    async def stats(self, agent_id: AgentId) -> MailboxStats:
        """Count what the mailbox of exactly this id holds."""
        return await self._store.stats(mailbox_of(agent_id))

    # Counting.

    def _tell(self, kind: EventKind, agent_id: AgentId, count: int) -> None:
        if self._observer is not None and count:
            self._observer.on_event(QueueEvent(kind=kind, agent_id=agent_id, count=count))

    def _tell_taken(self, agent_id: AgentId, taken: Taken) -> None:
        if self._observer is not None:
            valid = sum(taken.acked)
            self._tell(EventKind.ACKED, agent_id, valid)
            self._tell(EventKind.STALE_TOKEN, agent_id, len(taken.acked) - valid)
            self._tell(EventKind.RECEIVED, agent_id, len(taken.entries))
            self._tell(EventKind.EXPIRED, agent_id, taken.expired)
            self._tell(EventKind.DEAD, agent_id, taken.died)
            self._tell(EventKind.LEASE_EXPIRED, agent_id, taken.lost)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _moment(when: object) -> int:
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise ConfigurationError(
            f"deliver_at must be a datetime with a time zone, not {when!r:.60}; "
            "for example datetime.now(UTC) + timedelta(minutes=5)"
        )
    return max(0, round(when.timestamp() * 1000))


def _valid(agent_id: AgentId, token: object) -> Delivery | None:
    delivery = parse_token(token)
    return delivery if delivery is not None and delivery.mailbox in mailboxes_of(agent_id) else None


def _own(token: str, agent_type: str) -> Delivery:
    delivery = parse_token(token)
    if delivery is None or delivery.mailbox.type != agent_type:
        raise ConfigurationError(
            f"token {token!r:.80} is of no agent of this type; use ack_many() for tokens of others"
        )
    return delivery


def _received(delivery: Delivery, entry: Entry, deadline: int) -> ReceivedMessage:
    message, headers = open_body(entry)
    return ReceivedMessage(
        message=message,
        token=delivery.token,
        attempt=entry.attempts,
        deadline=deadline / 1000,
        enqueued_at=entry.enqueued / 1000,
        headers={} if headers is None else headers,
        last_error=entry.error,
    )


def _receipt(message_id: str, letter: str, size: int, most_bytes: int, most: int) -> MessageResult:
    if letter == "l":
        return MessageResult(
            message_id=message_id,
            delivered=False,
            reason=RejectReason.TOO_LARGE,
            error=f"the message has {size} bytes, and max_message_bytes is {most_bytes}",
        )
    if letter == "f":
        return MessageResult(
            message_id=message_id,
            delivered=False,
            reason=RejectReason.MAILBOX_FULL,
            error=f"the mailbox holds max_length={most} messages; send again later",
        )
    return MessageResult(message_id=message_id, delivered=True, duplicate=letter == "d")
