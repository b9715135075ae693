"""Messages to many: topics that agents subscribe to, and all agents that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import ANNOUNCE, milliseconds
from tta_agent_coordination.coordinators.envelope import check_headers
from tta_agent_coordination.coordinators.names import (
    ALL_TYPES,
    Mailbox,
    agent_of,
    instances_of,
    mailbox_of,
    subscribers_of,
    topics_of,
)
from tta_agent_coordination.coordinators.sending import Sending, check_key
from tta_agent_coordination.errors import ConfigurationError, InvalidMessageError
from tta_agent_coordination.limits import check_seconds, check_text
from tta_agent_coordination.messaging import MessageSubscription
from tta_agent_coordination.models import AgentMessage
from tta_agent_coordination.server.names import quoted, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tta_agent_coordination.messaging import MessageResult
    from tta_agent_coordination.models import AgentId

__all__ = ("Topics",)


class Topics(Sending):
    """Sends copies of a message to many agents."""

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
        """Send a copy to each agent that is subscribed to a topic.

        Each copy lies in its subscriber's mailbox, with leases, attempts and dead letters of its
        own, until that one receives it. Publishing the same message again reaches those who have
        missed it, and nobody twice (within the window of deduplication).

        Args:
            topic: Its name.
            message: What to send; each copy names its subscriber as the recipient.
            deliver_at: As for `send_message`.
            ttl: As for `send_message`.
            headers: As for `send_message`.
            ordering_key: As for `send_message`, in each mailbox apart.

        Returns:
            A receipt for each subscriber, with its `recipient`; none if nobody is subscribed.

        Raises:
            ConfigurationError: The topic is no text, or empty.
            MessageCoordinatorError: As for `send_message`; some copies may have been sent.
        """
        agents = await self._subscribers(topic)
        return await self._send_copies(agents, message, deliver_at, ttl, headers, ordering_key)

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
        """Send a copy to each instance that has received lately, or waits to.

        Args:
            message: What to send; each copy names its recipient.
            agent_type: Only to instances of this type; None is all types.
            seen_within: Only to those that asked for messages in so many seconds; they are noted
                down once a minute, so it must be 60 or more. Whoever has not asked for seven days
                is forgotten.
            deliver_at: As for `send_message`.
            ttl: As for `send_message`; useful, since an instance may never come back.
            headers: As for `send_message`.
            ordering_key: As for `send_message`, in each mailbox apart.

        Returns:
            A receipt for each instance, with its `recipient`.

        Raises:
            ConfigurationError: An option is out of range.
            MessageCoordinatorError: As for `publish`.
        """
        if check_seconds("seen_within", seen_within) < ANNOUNCE:
            raise ConfigurationError(f"seen_within must be {ANNOUNCE:g} or more, not {seen_within}")
        since = milliseconds(seen_within)
        if agent_type is None:
            types = await self._store.enrolled(ALL_TYPES, since)
        else:
            types = [quoted(agent_type)]
        agents = [
            agent_of(Mailbox(name, instance))
            for name in types
            for instance in await self._store.enrolled(instances_of(name), since)
        ]
        return await self._send_copies(agents, message, deliver_at, ttl, headers, ordering_key)

    async def _subscribers(self, topic: str) -> list[AgentId]:
        members = await self._store.enrolled(subscribers_of(check_text("topic", topic)), None)
        return [agent_of(Mailbox(*member.split(":"))) for member in members]

    async def _send_copies(
        self,
        agents: Iterable[AgentId],
        message: AgentMessage,
        deliver_at: datetime | None,
        ttl: float | None,
        headers: Mapping[str, str] | None,
        ordering_key: str | None,
    ) -> list[MessageResult]:
        if not isinstance(message, AgentMessage):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidMessageError(f"message must be an AgentMessage, not {message!r:.100}")
        copies = [message.model_copy(update={"recipient": agent}) for agent in agents]
        copies.sort(key=lambda copy: mailbox_of(copy.recipient))
        own, key = check_headers(headers), check_key(ordering_key)
        terms = self._terms(deliver_at=deliver_at, ttl=ttl)
        return await self._send_all(copies, own, terms, key)

    async def subscribe(self, agent_id: AgentId, topic: str) -> MessageSubscription:
        """Let an agent get a copy of all that is published on a topic from now on.

        It stays so until `unsubscribe`, also while the agent is away. With an id without an
        instance, the instances of the type share one copy. Subscribing twice is one subscription.

        Raises:
            ConfigurationError: The topic is no text, or empty.
            MessageCoordinatorError: The store cannot be reached, or refuses; see its subclasses.
        """
        mailbox = mailbox_of(agent_id)
        # In this order: what an agent's own list tells is never missing from the topic.
        await self._store.enroll(
            subscribers_of(check_text("topic", topic)), ":".join(mailbox), None
        )
        await self._store.enroll(topics_of(mailbox), quoted(topic), None)
        return _subscription(agent_id, topic)

    async def unsubscribe(self, subscription: MessageSubscription) -> None:
        """End a subscription; copies that are in the mailbox stay there."""
        mailbox = mailbox_of(subscription.agent_id)
        await self._store.strike(topics_of(mailbox), quoted(subscription.topic))
        await self._store.strike(subscribers_of(subscription.topic), ":".join(mailbox))

    async def subscriptions(
        self, *, topic: str | None = None, agent_id: AgentId | None = None
    ) -> list[MessageSubscription]:
        """Return the subscriptions to a topic, or those of an agent, the oldest first.

        Raises:
            ConfigurationError: Neither, or both, were given.
        """
        if topic is not None and agent_id is None:
            return [_subscription(agent, topic) for agent in await self._subscribers(topic)]
        if agent_id is not None and topic is None:
            names = await self._store.enrolled(topics_of(mailbox_of(agent_id)), None)
            return [_subscription(agent_id, unquoted(name)) for name in names]
        raise ConfigurationError("give either topic= or agent_id=")


def _subscription(agent_id: AgentId, topic: str) -> MessageSubscription:
    mailbox = mailbox_of(agent_id)
    name = f"{mailbox.type}:{mailbox.name}:{quoted(topic)}"
    return MessageSubscription(subscription_id=name, agent_id=agent_id, topic=topic)
