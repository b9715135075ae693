"""Types of agents of one's own, and two that work together: one asks, the other answers.

A type is any text, so an enum of one's own keeps typing errors out. Run it with the host of a Redis
server (`python custom_agent_types.py localhost`), or without.
"""

from __future__ import annotations

import asyncio
import sys
from enum import Enum
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    InMemoryMessageCoordinator,
    MessageCoordinatorError,
    MessageType,
    RedisMessageCoordinator,
)
from tta_agent_coordination.transport import RedisAgentTransport
from tta_agent_coordination.worker import AgentWorker

if TYPE_CHECKING:
    from tta_agent_coordination import MailboxCoordinator


class AgentType(str, Enum):  # noqa: UP042 - works on every Python that the package supports
    """The agents of this program."""

    INPUT_PROCESSOR = "input_processor"
    WORLD_BUILDER = "world_builder"


def agent(kind: AgentType, instance: str | None = None) -> AgentId:
    """Name an agent of a known type."""
    return AgentId(type=kind.value, instance=instance)


async def converse(coordinator: MailboxCoordinator) -> None:
    """Let an input processor ask a world builder."""
    transport = RedisAgentTransport(
        coordinator, sender=agent(AgentType.INPUT_PROCESSOR, "1"), timeout=10
    )

    async def build_world(message: AgentMessage) -> dict[str, object]:
        place = message.payload["place"]
        return {"description": f"a quiet {place} at dawn"}

    async def process_input(message: AgentMessage) -> None:
        answer = await transport.request(
            AgentType.WORLD_BUILDER.value, {"place": message.payload["text"].split()[-1]}
        )
        print(f"{message.payload['text']!r} -> {answer['description']}")
        for worker in workers:
            worker.stop()

    workers = [
        AgentWorker(coordinator, agent(AgentType.WORLD_BUILDER, "1"), build_world),
        AgentWorker(coordinator, agent(AgentType.INPUT_PROCESSOR, "1"), process_input),
    ]
    player, processor = AgentId(type="player"), agent(AgentType.INPUT_PROCESSOR)
    await coordinator.send_message(
        player,
        processor,
        AgentMessage(
            message_id="input-1",
            sender=player,
            recipient=processor,
            message_type=MessageType.EVENT,
            payload={"text": "I walk to the harbor"},
        ),
    )
    await asyncio.gather(*(worker.run() for worker in workers))
    print("done:", [worker.health().done for worker in workers])


async def main() -> None:
    """Converse over a server if one is named, or else in this process."""
    if len(sys.argv) > 1:
        async with Redis(host=sys.argv[1]) as client:
            await converse(RedisMessageCoordinator(client, key_prefix="example-types"))
    else:
        await converse(InMemoryMessageCoordinator())


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except MessageCoordinatorError as error:
        sys.exit(str(error))  # it says what to do, such as where no server answers
