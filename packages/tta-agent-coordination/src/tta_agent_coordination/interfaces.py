"""What a coordinator, a registry and an agent are, whatever keeps their state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from tta_agent_coordination.messaging import FailureType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from tta_agent_coordination.messaging import (
        DeadLetter,
        Lease,
        MailboxStats,
        MessageResult,
        MessageSubscription,
        ReceivedMessage,
    )
    from tta_agent_coordination.models import AgentId, AgentMessage

__all__ = (
    "Agent",
    "AgentProxy",
    "AgentRegistry",
    "DeadLetters",
    "MailboxCoordinator",
    "MessageCoordinator",
)


class MessageCoordinator(ABC):
    """The least that carries messages between agents: four calls."""

    @abstractmethod
    async def send_message(
        self, sender: AgentId, recipient: AgentId, message: AgentMessage
    ) -> MessageResult:
        """Send a message to a specific agent."""

    @abstractmethod
    async def receive(
        self, agent_id: AgentId, visibility_timeout: int = 5
    ) -> ReceivedMessage | None:
        """Reserve the next available message with visibility timeout."""

    @abstractmethod
    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge successful processing."""

    @abstractmethod
    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Negative-acknowledge with retry/DLQ logic."""


class DeadLetters(ABC):
    """The messages of an agent's mailbox that are not tried any more."""

    @abstractmethod
    async def list(
        self, agent_id: AgentId, *, failure: FailureType | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return the oldest dead letters, at most `limit`; with `failure`, only of that kind."""

    @abstractmethod
    async def peek(self, agent_id: AgentId, dead_letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None if it is not there."""

    @abstractmethod
    async def redrive(
        self,
        agent_id: AgentId,
        dead_letter_ids: Iterable[str] | None = None,
        *,
        failure: FailureType | None = None,
    ) -> int:
        """Put dead letters back as new; without ids, all of them. Return how many."""

    @abstractmethod
    async def purge(
        self,
        agent_id: AgentId,
        dead_letter_ids: Iterable[str] | None = None,
        *,
        failure: FailureType | None = None,
    ) -> int:
        """Delete dead letters; without ids, all of them. Return how many."""


class MailboxCoordinator(MessageCoordinator):
    """All that the coordinators of this package do; workers and transports need one of these.

    A mailbox belongs to an `AgentId`. One without an instance is shared by all agents of its type.
    A receiver with an instance takes from its own mailbox first, then from the shared one.
    """

    @property
    @abstractmethod
    def dead_letters(self) -> DeadLetters:
        """The messages that are not tried any more."""

    @abstractmethod
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
        """Put a message into the recipient's mailbox, now or at a later time."""

    @abstractmethod
    async def send_many(
        self,
        messages: Iterable[AgentMessage],
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Send messages to their recipients; the results are in their order."""

    @abstractmethod
    async def request(
        self,
        message: AgentMessage,
        *,
        timeout: float,  # noqa: ASYNC109 - both sides know of it
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> AgentMessage:
        """Send a request, and wait for the answer."""

    @abstractmethod
    async def reply(
        self,
        request: ReceivedMessage | Lease,
        payload: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request."""

    @abstractmethod
    async def reply_error(
        self,
        request: ReceivedMessage | Lease,
        error: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request with an error, which the requester gets as AgentFailed."""

    @abstractmethod
    async def publish(
        self,
        topic: str,
        message: AgentMessage,
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Send a copy to each agent that is subscribed to a topic."""

    @abstractmethod
    async def broadcast(
        self,
        message: AgentMessage,
        *,
        agent_type: str | None = None,
        seen_within: float = 3600,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Send a copy to each instance, of a type or of all, that has received lately."""

    @abstractmethod
    async def subscribe(self, agent_id: AgentId, topic: str) -> MessageSubscription:
        """Let an agent get a copy of all that is published on a topic."""

    @abstractmethod
    async def unsubscribe(self, subscription: MessageSubscription) -> None:
        """End a subscription."""

    @abstractmethod
    async def subscriptions(
        self, *, topic: str | None = None, agent_id: AgentId | None = None
    ) -> list[MessageSubscription]:
        """Return the subscriptions to a topic, or those of an agent."""

    @abstractmethod
    def once(
        self,
        message_id: str,
        *,
        agent_id: AgentId | None = None,
        lease: float = 30,
        keep: float = 86_400,
    ) -> AbstractAsyncContextManager[bool]:
        """Tell a block whether its effect is still to happen; when it ends well, it is done."""

    @abstractmethod
    async def receive(
        self, agent_id: AgentId, visibility_timeout: float = 5, *, wait: float = 0
    ) -> ReceivedMessage | None:
        """Reserve the next message, waiting for one up to `wait` seconds."""

    @abstractmethod
    async def receive_many(
        self,
        agent_id: AgentId,
        max_messages: int,
        visibility_timeout: float = 5,
        *,
        wait: float = 0,
        ack: Sequence[str] = (),
    ) -> list[ReceivedMessage]:
        """Acknowledge `ack`, then reserve up to `max_messages`, in one round trip."""

    @abstractmethod
    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge deliveries of any agents; the results are in their order."""

    @abstractmethod
    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Let a delivery's deadline be so many seconds from now."""

    @abstractmethod
    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo a delivery: the message can be received at once, and the attempt does not count."""

    @abstractmethod
    def consume(
        self, agent_id: AgentId, *, prefetch: int = 16, lease: float = 30
    ) -> AbstractAsyncContextManager[AsyncIterator[Lease]]:
        """Receive messages as they come, with leases that renew themselves."""

    @abstractmethod
    async def cancel(self, recipient: AgentId, message_id: str) -> bool:
        """Take a message out of a mailbox, unless it is being worked on."""

    @abstractmethod
    async def reschedule(self, recipient: AgentId, message_id: str, deliver_at: datetime) -> bool:
        """Give a scheduled message another time."""

    @abstractmethod
    async def pause(self, agent_id: AgentId) -> None:
        """Let nobody receive from the mailbox; sending goes on."""

    @abstractmethod
    async def resume(self, agent_id: AgentId) -> None:
        """Undo `pause`."""

    @abstractmethod
    async def purge(self, agent_id: AgentId) -> int:
        """Delete all messages that are ready or scheduled, and return how many those were."""

    @abstractmethod
    async def stats(self, agent_id: AgentId) -> MailboxStats:
        """Count what the mailbox holds."""


class Agent(Protocol):
    """What a registry wants to know of an agent."""

    @property
    def agent_id(self) -> AgentId:
        """The agent's name; it must have an instance, or it could not be told from others."""
        ...

    @property
    def capabilities(self) -> Iterable[str]:
        """What the agent can do, in words that others can look for."""
        ...


class AgentRegistry(ABC):
    """Who is there, and who is alive."""

    @abstractmethod
    def register(self, agent: Agent) -> None:
        """Register an agent."""

    @abstractmethod
    def deregister(self, agent_id: AgentId) -> None:
        """Deregister an agent."""

    @abstractmethod
    async def list_registered(self) -> list[dict[str, Any]]:
        """List all registered agents with liveness status."""


class AgentProxy(ABC):
    """Another agent, as if it were here."""

    @abstractmethod
    async def process(self, input_payload: dict[str, Any]) -> dict[str, Any]:
        """Have the agent work on the payload, and return its answer."""
