"""How messages are put into mailboxes."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import Configured, milliseconds, moment
from tta_agent_coordination.coordinators.entries import Parcel, body_of
from tta_agent_coordination.coordinators.envelope import check_headers
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.store import Terms
from tta_agent_coordination.errors import InvalidMessageError, MessageCoordinatorError
from tta_agent_coordination.limits import check_seconds, check_text
from tta_agent_coordination.messaging import MessageResult, RejectReason
from tta_agent_coordination.metrics import EventKind
from tta_agent_coordination.models import AgentMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from tta_agent_coordination.models import AgentId

__all__ = ("Sending", "check_key")

SEND_CHUNK = 200
"""So many messages go into one call to the store; more would hold up other users of a server."""


class Sending(Configured):
    """Sends messages."""

    async def send_message(
        self,
        sender: AgentId,
        recipient: AgentId,
        message: AgentMessage,
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
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
            ordering_key: Of the messages in a mailbox with the same key, one is handed out at a
                time, in the order of sending, whatever their priorities: the next one when this one
                is acknowledged, is a dead letter, has expired or is cancelled.

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
        results = await self.send_many(
            [message], deliver_at=deliver_at, ttl=ttl, headers=headers, ordering_key=ordering_key
        )
        return results[0]

    async def send_many(
        self,
        messages: Iterable[AgentMessage],
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Send messages to their recipients, each as `send_message` would.

        All are checked before the first is sent. Neighbors for one type share a
        round trip.

        Returns:
            The receipts, in the order of the messages.
        """
        own, key = check_headers(headers), check_key(ordering_key)
        terms = self._terms(deliver_at=deliver_at, ttl=ttl)
        return await self._send_all(messages, own, terms, key)

    def _terms(
        self, *, deliver_at: datetime | None = None, ttl: float | None = None, name: str = ""
    ) -> Terms:
        return Terms(
            most=self._max_length,
            window=self._window,
            at=None if deliver_at is None else moment(deliver_at),
            ttl=None if ttl is None else max(1, milliseconds(check_seconds("ttl", ttl))),
            name=name,
        )

    async def _send_all(
        self,
        messages: Iterable[AgentMessage],
        headers: Mapping[str, str],
        terms: Terms,
        key: str | None,
    ) -> list[MessageResult]:
        outgoing = [(message, body_of(message, headers)) for message in messages]
        results: list[MessageResult] = []
        # The mailboxes of a type are in one place.
        for _, group in groupby(outgoing, key=lambda pair: pair[0].recipient.type):
            pairs = list(group)
            for start in range(0, len(pairs), SEND_CHUNK):
                results += await self._send(pairs[start : start + SEND_CHUNK], terms, key)
        return results

    async def _send(
        self, pairs: list[tuple[AgentMessage, bytes]], terms: Terms, key: str | None
    ) -> list[MessageResult]:
        fitting = [
            (
                mailbox_of(message.recipient),
                Parcel(
                    message_id=message.message_id, level=message.priority.value, body=body, key=key
                ),
            )
            for message, body in pairs
            if len(body) <= self._max_bytes
        ]
        letters = iter("")
        if fitting:
            try:
                letters = iter(await self._store.send(fitting, terms))
            except MessageCoordinatorError:
                self._refused(len(pairs))
                raise
        results = [
            _receipt(
                message,
                next(letters) if len(body) <= self._max_bytes else "l",
                len(body),
                self._max_bytes,
                self._max_length,
            )
            for message, body in pairs
        ]
        self._count(pairs, results)
        return results

    def _count(
        self, pairs: Sequence[tuple[AgentMessage, bytes]], results: Sequence[MessageResult]
    ) -> None:
        delivered = sum(result.delivered for result in results)
        self._delivered(delivered)
        self._refused(len(results) - delivered)
        if self._observer is not None:
            kinds = [
                EventKind.REJECTED
                if not result.delivered
                else EventKind.DUPLICATE
                if result.duplicate
                else EventKind.SENT
                for result in results
            ]
            told = Counter(
                (kind, message.recipient) for kind, (message, _) in zip(kinds, pairs, strict=True)
            )
            for (kind, recipient), count in told.items():
                self._tell(kind, recipient, count)


def check_key(key: str | None) -> str | None:
    """Return an ordering key, or None.

    Raises:
        ConfigurationError: It is no text, or empty.
    """
    return None if key is None else check_text("ordering_key", key)


def _receipt(
    message: AgentMessage, letter: str, size: int, most_bytes: int, most: int
) -> MessageResult:
    reason, error = None, None
    if letter == "l":
        reason = RejectReason.TOO_LARGE
        error = f"the message has {size} bytes, and max_message_bytes is {most_bytes}"
    elif letter == "f":
        reason = RejectReason.MAILBOX_FULL
        error = f"the mailbox holds max_length={most} messages; send again later"
    return MessageResult(
        message_id=message.message_id,
        recipient=message.recipient,
        delivered=reason is None,
        duplicate=letter == "d",
        reason=reason,
        error=error,
    )
