"""Two agents and a message: sent, received, acknowledged.

Run it with the host of a Redis server (`python basic_usage.py localhost`), or without: then the
mailboxes live in this process, and nothing else changes.
"""

from __future__ import annotations

import asyncio
import sys
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

if TYPE_CHECKING:
    from tta_agent_coordination import MailboxCoordinator

SENDER = AgentId(type="input_processor", instance="worker-1")
RECIPIENT = AgentId(type="world_builder", instance="worker-2")


async def converse(coordinator: MailboxCoordinator) -> None:
    """Send a message, receive it, and acknowledge it."""
    message = AgentMessage(
        message_id="msg-123",
        sender=SENDER,
        recipient=RECIPIENT,
        message_type=MessageType.REQUEST,
        payload={"action": "process", "data": {"place": "harbor"}},
    )
    result = await coordinator.send_message(SENDER, RECIPIENT, message)
    print("delivered:", result.delivered)
    again = await coordinator.send_message(SENDER, RECIPIENT, message)
    print("sent again, a duplicate:", again.duplicate)

    received = await coordinator.receive(RECIPIENT, visibility_timeout=5, wait=1)
    if received is not None:
        print("received:", received.message.payload, "attempt", received.attempt)
        print("acknowledged:", await coordinator.ack(RECIPIENT, received.token))


async def main() -> None:
    """Converse over a server if one is named, or else in this process."""
    if len(sys.argv) > 1:
        async with Redis(host=sys.argv[1]) as client:
            await converse(RedisMessageCoordinator(client, key_prefix="example"))
    else:
        await converse(InMemoryMessageCoordinator())


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except MessageCoordinatorError as error:
        sys.exit(str(error))  # it says what to do, such as where no server answers
