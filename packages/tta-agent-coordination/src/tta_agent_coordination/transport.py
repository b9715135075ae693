"""Steps of a workflow on other machines: a request to an agent, and its answer.

An `AgentWorker` with a workflow as its handler is the other side.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from tta_agent_coordination.errors import ConfigurationError, RequestTimeout
from tta_agent_coordination.limits import check_seconds
from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority, MessageType
from tta_agent_coordination.neighbor import outgoing, seconds_left

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_agent_coordination.interfaces import MailboxCoordinator

__all__ = ("AgentTransport", "RedisAgentTransport", "RemoteStep")


class AgentTransport(Protocol):
    """Asks an agent, wherever it is, and awaits its answer."""

    async def request(
        self,
        agent: str,
        payload: Mapping[str, object],
        *,
        deadline: float | None,
        headers: Mapping[str, str],
    ) -> Mapping[str, object]:
        """Ask; cancelling the call cancels the work of the agent."""
        ...


class RedisAgentTransport:
    """Asks agents over a coordinator: `RedisMessageCoordinator`, or the one in memory.

    Args:
        coordinator: Carries requests and answers.
        sender: Who asks. Default: an agent of type `transport` with an instance of its own.
        timeout: Wait so many seconds where no deadline says otherwise.
        priority: How urgent the requests are.

    Raises:
        ConfigurationError: An option is out of range.

    Example:
        ```python
        transport = RedisAgentTransport(RedisMessageCoordinator(redis.asyncio.Redis()))
        workflow = prepare >> transport.step("writer") >> publish
        await workflow.execute({"topic": "owls"})
        ```
    """

    def __init__(
        self,
        coordinator: MailboxCoordinator,
        *,
        sender: AgentId | None = None,
        timeout: float = 60,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> None:
        if not callable(getattr(coordinator, "request", None)):
            raise ConfigurationError(
                f"coordinator must be one such as RedisMessageCoordinator, not "
                f"{coordinator!r:.100}, which has no request()"
            )
        self._coordinator = coordinator
        self._sender = sender or AgentId(type="transport", instance=uuid.uuid4().hex)
        if not isinstance(self._sender, AgentId):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"sender must be an AgentId, not {sender!r:.80}")
        self._timeout = check_seconds("timeout", timeout)
        if not isinstance(priority, MessagePriority):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"priority must be a MessagePriority, not {priority!r:.80}")
        self._priority = priority

    async def request(
        self,
        agent: str | AgentId,
        payload: Mapping[str, object],
        *,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Ask an agent, and return its answer.

        When this call is cancelled, or the deadline passes, the request is withdrawn: an agent that
        works on it is cancelled, too.

        Args:
            agent: The type of agent; one of its kind answers. An `AgentId` can name a single one.
            payload: What to ask: JSON.
            deadline: When to give up, by the running loop's `time()`. None: after `timeout`.
            headers: Texts that travel with the request, such as trace context.

        Raises:
            RequestTimeout: No answer came in time; the deadline may have passed before.
            AgentFailed: The agent answered with an error.
            InvalidMessageError: The payload is no JSON, or too large.
            MailboxFullError: Too many messages wait for the agent.
            MessageCoordinatorError: The server refuses.
        """
        recipient = _agent_of(agent)
        seconds = self._timeout
        if deadline is not None:
            seconds = deadline - asyncio.get_running_loop().time()
            if seconds <= 0:
                raise RequestTimeout(
                    f"{recipient!r:.200} was not asked: the deadline had passed before"
                )
        message = AgentMessage.create(
            MessageType.REQUEST,
            sender=self._sender,
            recipient=recipient,
            payload=payload,
            priority=self._priority,
        )
        answer = await self._coordinator.request(message, timeout=seconds, headers=headers)
        return answer.payload

    def step(self, agent: str | AgentId, *, timeout: float | None = None) -> RemoteStep:
        """Return a step of a workflow that an agent does.

        Args:
            agent: As for `request`.
            timeout: The most seconds that it may take. Default: those of this transport. An earlier
                deadline of the run holds all the same.
        """
        seconds = self._timeout if timeout is None else check_seconds("timeout", timeout)
        return RemoteStep(self, _agent_of(agent), seconds)


class RemoteStep:
    """A step of a workflow that is done by an agent: put it where a function may stand.

    It takes a mapping and gives a dict, both JSON. The run's deadline, trace context, baggage and
    correlation id go along; when the run is cancelled, so is the agent's work.

    Args:
        transport: Carries request and answer.
        agent: Who does it.
        timeout: The most seconds that it may take.

    Attributes:
        agent: Who does it.
        timeout: The most seconds that it may take.
    """

    def __init__(self, transport: RedisAgentTransport, agent: AgentId, timeout: float) -> None:
        self._transport = transport
        self.agent: AgentId = agent
        self.timeout: float = timeout
        self.__name__: str = f"remote_{agent.type}"  # workflows are drawn and traced with it

    async def __call__(self, context: Any, payload: Mapping[str, object]) -> dict[str, object]:
        """Let the agent do it.

        Args:
            context: The run's `WorkflowContext`; without the core package, anything.
            payload: What the agent is asked.

        Raises:
            MessageCoordinatorError: As for `RedisAgentTransport.request`.
        """
        left = seconds_left(context)
        seconds = self.timeout if left is None else min(self.timeout, left)
        return await self._transport.request(
            self.agent,
            payload,
            deadline=asyncio.get_running_loop().time() + seconds,
            headers=outgoing(context),
        )

    def __repr__(self) -> str:
        return f"RemoteStep({self.agent!r}, timeout={self.timeout:g})"


def _agent_of(agent: str | AgentId) -> AgentId:
    if isinstance(agent, AgentId):
        return agent
    try:
        return AgentId(type=agent)
    except ValidationError as error:
        raise ConfigurationError(
            f"agent must be a type of agents or an AgentId, not {agent!r:.100}: "
            f"{error.errors()[0]['msg']}"
        ) from None
