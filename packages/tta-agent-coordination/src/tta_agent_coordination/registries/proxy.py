"""`MailboxAgentProxy`: another agent, as if it were here, reached through its mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tta_agent_coordination.errors import AgentNotFound, ConfigurationError
from tta_agent_coordination.interfaces import AgentProxy
from tta_agent_coordination.limits import check_seconds
from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority, MessageType
from tta_agent_coordination.registries.records import check_agent_id, check_capabilities, str_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_agent_coordination.interfaces import MailboxCoordinator
    from tta_agent_coordination.messaging import MessageResult
    from tta_agent_coordination.registries.base import StoredRegistry

__all__ = ("MailboxAgentProxy",)


class MailboxAgentProxy(AgentProxy):
    """Sends work to a registered agent, and waits for its answer.

    Who gets it is looked up for each call: the agent of that name, or, in turn, one of those that
    can do what is asked for.

    Args:
        coordinator: Carries the messages.
        registry: Knows who is alive.
        sender: Who asks.
        agent_id: The agent to ask; or
        capability: what an agent must be able to do.
        timeout: `process` waits so many seconds for an answer.
        priority: Of the messages.

    Raises:
        ConfigurationError: Not exactly one of `agent_id` and `capability` is given, or an option is
            out of range.
        InvalidAgentError: The agent has no instance, or the capability is no text.

    Example:
        ```python
        poet = MailboxAgentProxy(coordinator, registry, sender=me, capability="poems")
        answer = await poet.process({"about": "rain"})
        ```
    """

    def __init__(
        self,
        coordinator: MailboxCoordinator,
        registry: StoredRegistry,
        *,
        sender: AgentId,
        agent_id: AgentId | None = None,
        capability: str | None = None,
        timeout: float = 30.0,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> None:
        if (agent_id is None) == (capability is None):
            raise ConfigurationError("a proxy needs either agent_id or capability")
        if not isinstance(sender, AgentId):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"sender must be an AgentId, not {sender!r:.80}")
        self._agent_id = None if agent_id is None else check_agent_id(agent_id)
        self._capability = capability
        if capability is not None:
            check_capabilities([capability])
        self._coordinator = coordinator
        self._registry = registry
        self._sender = sender
        self._timeout = check_seconds("timeout", timeout)
        if not isinstance(priority, MessagePriority):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"priority must be a MessagePriority, not {priority!r:.80}")
        self._priority = priority
        self._turn = 0

    async def process(self, input_payload: dict[str, Any]) -> dict[str, Any]:
        """Have the agent work on the payload, and return its answer.

        Raises:
            AgentNotFound: Nobody alive is called so, or can do this.
            RequestTimeout: No answer came in time.
            AgentFailed: The agent answered with an error.
            MessageCoordinatorError: The message could not be sent; see its subclasses.
        """
        message = self._message(await self.choose(), MessageType.REQUEST, input_payload)
        answer = await self._coordinator.request(message, timeout=self._timeout)
        return answer.payload

    async def send(self, payload: Mapping[str, Any]) -> MessageResult:
        """Give the payload to the agent, as an event, without waiting for any answer.

        Raises:
            AgentNotFound: Nobody alive is called so, or can do this.
            MessageCoordinatorError: The message could not be sent; see its subclasses.
        """
        message = self._message(await self.choose(), MessageType.EVENT, payload)
        return await self._coordinator.send_message(self._sender, message.recipient, message)

    async def choose(self) -> AgentId:
        """Return who would be asked now.

        Raises:
            AgentNotFound: Nobody alive is called so, or can do this.
        """
        if self._agent_id is not None:
            record = await self._registry.get(self._agent_id)
            if record is None or not record.alive:
                state = "is not registered" if record is None else "is silent"
                raise AgentNotFound(f"agent {str_of(self._agent_id)!r:.200} {state}")
            return self._agent_id
        assert self._capability is not None  # noqa: S101 - the constructor has checked it
        able = await self._registry.find(self._capability)
        if not able:
            raise AgentNotFound(f"no agent that is alive can do {self._capability!r:.200}")
        self._turn += 1
        return able[self._turn % len(able)].agent_id

    def _message(
        self, recipient: AgentId, kind: MessageType, payload: Mapping[str, Any]
    ) -> AgentMessage:
        return AgentMessage.create(
            kind,
            sender=self._sender,
            recipient=recipient,
            payload=payload,
            priority=self._priority,
        )
