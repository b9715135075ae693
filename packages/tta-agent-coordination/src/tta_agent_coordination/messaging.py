"""What comes back from a coordinator: receipts, received messages, leases, statistics.

These are plain records. Times are seconds since 1970 by the clock of whoever keeps the mailboxes
(the server's, with Redis), so those of two receivers can be compared.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, Self

from tta_agent_coordination.errors import LeaseLost, MessageCoordinatorError
from tta_agent_coordination.tasks import parting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from types import TracebackType

    from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority

__all__ = (
    "DeadLetter",
    "FailureType",
    "Lease",
    "MailboxStats",
    "MessageResult",
    "MessageSubscription",
    "ReceivedMessage",
    "RejectReason",
    "Settler",
)


class FailureType(str, Enum):  # noqa: UP042 - like the other enums of the specification
    """Why the work on a message failed, which decides whether it is tried again."""

    TRANSIENT = "transient"
    """It may work next time: the message comes again after a back-off."""
    PERMANENT = "permanent"
    """It will never work: the message goes to the dead letters at once."""
    TIMEOUT = "timeout"
    """It took too long: as TRANSIENT, and what a lease that ran out counts as."""


class RejectReason(str, Enum):  # noqa: UP042 - like the other enums of the specification
    """Why a message was not accepted."""

    TOO_LARGE = "too large"
    MAILBOX_FULL = "mailbox full"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResult:
    """The receipt for a message.

    Attributes:
        message_id: Which message.
        delivered: Whether it is in the recipient's mailbox.
        duplicate: Whether it was there, or had passed there, before: it was not added again.
        reason: Why it was not delivered.
        error: The reason in words, with the limit that was reached.
        recipient: Whose mailbox.
    """

    message_id: str
    delivered: bool
    duplicate: bool = False
    reason: RejectReason | None = None
    error: str | None = None
    recipient: AgentId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """A message that is reserved for its receiver until a deadline.

    Attributes:
        message: The message.
        token: Stands for this delivery; `ack`, `nack` and `extend` want it.
        attempt: Which delivery of the message this is, from 1.
        deadline: When the reservation ends and others may receive the message.
        enqueued_at: When the message was accepted.
        headers: What the sender's side has added, such as trace context.
        last_error: What the last failed attempt said.
        expires_at: When the message loses its meaning, if it has a time to live: for a request,
            the moment until which the requester waits.
        time_left: Seconds from the delivery to that moment.
        reply_to: Where the answer to a request goes; None if nobody waits for one. Only `reply`
            and `reply_error` of a coordinator read it.
        ordering_key: Messages with the same key are handed out one at a time, in order.
    """

    message: AgentMessage
    token: str
    attempt: int
    deadline: float
    enqueued_at: float
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    last_error: str | None = None
    expires_at: float | None = None
    time_left: float | None = None
    reply_to: str | None = field(default=None, repr=False)
    ordering_key: str | None = None

    @property
    def wants_reply(self) -> bool:
        """Whether the sender waits for an answer."""
        return self.reply_to is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that is not tried any more.

    Attributes:
        dead_letter_id: Names it for `redrive` and `purge`: the message's id, with a suffix where
            that one is taken.
        message: The message; None where its bytes cannot be read.
        failure: Why it died.
        error: What the last attempt said.
        attempts: How often it was delivered.
        enqueued_at: When the message was accepted.
        died_at: When it was given up.
        raw: What is stored of the message: JSON, unless it cannot be read.
    """

    dead_letter_id: str
    message: AgentMessage | None
    failure: FailureType
    error: str | None
    attempts: int
    enqueued_at: float
    died_at: float
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStats:
    """What a mailbox holds at one moment.

    Attributes:
        ready: Messages that can be received now, by priority.
        scheduled: Messages that wait for a time: delayed, or in back-off.
        leased: Messages that are being worked on.
        dead: Dead letters.
        expired: Messages whose time to live passed before anybody received them, since ever.
        receivers: Receivers that wait in a blocking call.
        held: Messages that wait until an earlier one with the same ordering key is done.
        paused: Whether receiving is paused.
        oldest_age: Seconds that the oldest ready message has been there; None where none is ready.
    """

    ready: Mapping[MessagePriority, int]
    scheduled: int
    leased: int
    dead: int
    expired: int
    receivers: int
    paused: bool
    oldest_age: float | None
    held: int = 0

    @property
    def waiting(self) -> int:
        """Messages of all priorities that can be received now."""
        return sum(self.ready.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSubscription:
    """That an agent gets a copy of all that is published on a topic."""

    subscription_id: str
    agent_id: AgentId
    topic: str


class Settler(Protocol):
    """What a lease needs of its coordinator."""

    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Mark the delivery as done."""
        ...

    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Mark the delivery as failed."""
        ...

    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Let the delivery's deadline be so many seconds from now."""
        ...

    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo the delivery: the message is as if it had never been received."""
        ...


class Lease:
    """A received message, and what becomes of it.

    As a context manager it settles itself: acknowledged when the block ends, refused with the
    exception's text when the block raises, given back when the block is cancelled.

    Attributes:
        message: The message.
        token: Stands for this delivery.
        attempt: Which delivery of the message this is, from 1.
        deadline: When the reservation ends, by the mailbox's clock; moves when the lease is
            renewed.
        headers: What the sender's side has added.
        received: All that is known about the delivery.
        settled: Whether `ack`, `nack` or `give_back` was called.
        withdrawn: Whether the lease is lost because the requester does not wait any more.
        agent_id: Who received it.
    """

    __slots__ = (
        "_bell",
        "_lost",
        "_settler",
        "agent_id",
        "deadline",
        "received",
        "settled",
        "withdrawn",
    )

    def __init__(self, settler: Settler, agent_id: AgentId, received: ReceivedMessage) -> None:
        self._settler = settler
        self._lost = False
        self._bell: asyncio.Event | None = None
        self.agent_id: AgentId = agent_id
        self.received: ReceivedMessage = received
        self.deadline: float = received.deadline
        self.settled: bool = False
        self.withdrawn: bool = False

    @property
    def message(self) -> AgentMessage:
        """The message."""
        return self.received.message

    @property
    def token(self) -> str:
        """What stands for this delivery."""
        return self.received.token

    @property
    def attempt(self) -> int:
        """Which delivery of the message this is, from 1."""
        return self.received.attempt

    @property
    def headers(self) -> Mapping[str, str]:
        """What the sender's side has added."""
        return self.received.headers

    @property
    def lost(self) -> bool:
        """Whether the lease is known to belong to someone else now: stop working on it."""
        return self._lost

    @property
    def wants_reply(self) -> bool:
        """Whether the sender waits for an answer."""
        return self.received.wants_reply

    def mark_lost(self, *, withdrawn: bool = False) -> None:
        """Note that a renewal was refused; settling raises LeaseLost from now on.

        Args:
            withdrawn: Whether this is so because the requester does not wait any more.
        """
        self._lost = True
        self.withdrawn = withdrawn
        if self._bell is not None:
            self._bell.set()

    async def wait_lost(self) -> None:
        """Return when the lease is known to be lost: then the work on it should be cancelled.

        A consumer finds out when it renews: after a third of the lease at the latest, and within
        half a second when a requester has given up.
        """
        if not self._lost:
            if self._bell is None:
                self._bell = asyncio.Event()
            await self._bell.wait()

    async def ack(self) -> None:
        """Mark the message as done.

        Raises:
            LeaseLost: The lease ran out before; the message is or will be delivered again.
        """
        self.check()
        await self._settle(self._settler.ack(self.agent_id, self.token))

    async def nack(
        self, failure: FailureType = FailureType.TRANSIENT, error: str | None = None
    ) -> None:
        """Mark the message as failed: it comes again later, or goes to the dead letters.

        Args:
            failure: Why; decides whether it is tried again.
            error: In words, kept with the message (the first 2,000 characters).

        Raises:
            LeaseLost: The lease ran out before.
        """
        self.check()
        await self._settle(self._settler.nack(self.agent_id, self.token, failure, error))

    async def extend(self, seconds: float) -> None:
        """Let the deadline be so many seconds from now.

        Raises:
            LeaseLost: The lease ran out before.
        """
        self.check()
        if not await self._settler.extend(self.agent_id, self.token, seconds):
            self._lose()

    async def give_back(self) -> None:
        """Undo the delivery: others can receive the message, and this attempt does not count."""
        if not self.settled and not self._lost:
            await self._finish(self._settler.give_back(self.agent_id, self.token))

    async def _settle(self, call: Awaitable[bool]) -> None:
        if not await self._finish(call):
            self._lose()

    async def _finish(self, call: Awaitable[bool]) -> bool:
        # Before the answer is there: a renewal that crosses the call must not find the lease lost.
        self.settled = True
        try:
            return await call
        except BaseException:
            self.settled = False  # nobody knows; the call is safe to repeat
            raise

    def check(self) -> None:
        """Raise LeaseLost if the lease is settled, or known to be lost."""
        if self.settled:
            raise LeaseLost(f"message {self.message.message_id!r:.80} is settled already")
        if self._lost:
            self._lose()

    def _lose(self) -> None:
        self.mark_lost(withdrawn=self.withdrawn)
        if self.withdrawn:
            raise LeaseLost(
                f"message {self.message.message_id!r:.80} was withdrawn: nobody waits for the "
                "answer; do not publish this work's result"
            )
        raise LeaseLost(
            f"the lease of message {self.message.message_id!r:.80} (attempt {self.attempt}) has "
            "run out: another receiver may have the message; do not publish this work's result"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.settled:
            return
        if error is None:
            await self.ack()
        elif not isinstance(error, Exception):
            # Cancelled or interrupted: the work did not fail.
            async with parting():
                await self.give_back()
        elif not self._lost:
            try:
                await self.nack(FailureType.TRANSIENT, f"{type(error).__name__}: {error}")
            except LeaseLost:
                error.add_note(f"besides, the lease of {self.message.message_id!r:.80} ran out")
            except MessageCoordinatorError as unsettled:
                error.add_note(f"besides, this could not be told: {unsettled!s:.300}")
