"""What happens to messages when agents fail: tried again, given up, looked at, sent again.

Run it with the host of a Redis server (`python fault_tolerance.py localhost`), or without.
"""

from __future__ import annotations

import asyncio
import logging
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
from tta_agent_coordination.worker import AgentWorker, current_message

if TYPE_CHECKING:
    from tta_agent_coordination import MailboxCoordinator

SENDER = AgentId(type="planner")
PAINTER = AgentId(type="painter", instance="1")


def task(message_id: str) -> AgentMessage:
    """Make a message to the painter."""
    return AgentMessage(
        message_id=message_id,
        sender=SENDER,
        recipient=PAINTER,
        message_type=MessageType.EVENT,
        payload={"wall": message_id},
    )


async def suffer(coordinator: MailboxCoordinator) -> None:
    """Meet a failure that passes, one that stays, and a worker that dies at work."""
    await coordinator.send_many([task("shaky"), task("impossible")])

    # A worker that dies: it takes a message and is never heard of again.
    received = await coordinator.receive(PAINTER, visibility_timeout=0.2)
    print("taken and dropped:", received.message.message_id if received else None)

    async def paint(message: AgentMessage) -> None:
        attempt = current_message().attempt
        if message.message_id == "impossible":
            raise TypeError("that is no wall")  # will never work: a dead letter at once
        if attempt <= 2:  # noqa: PLR2004 - the first attempt was the dead worker's
            print(f"{message.message_id}, attempt {attempt}: the ladder falls over")
            raise OSError("the ladder fell over")  # may work next time: tried again
        print(f"{message.message_id}, attempt {attempt}: painted")
        worker.stop()

    worker = AgentWorker(coordinator, PAINTER, paint)
    await worker.run()

    for letter in await coordinator.dead_letters.list(PAINTER):
        print(f"dead: {letter.dead_letter_id}, {letter.failure.value}: {letter.error}")
    print("redriven:", await coordinator.dead_letters.redrive(PAINTER))

    async def paint_anything(message: AgentMessage) -> None:
        print(f"{message.message_id}: painted after all")
        better.stop()

    better = AgentWorker(coordinator, PAINTER, paint_anything)
    await better.run()


async def main() -> None:
    """Suffer on a server if one is named, or else in this process."""
    logging.getLogger("tta_agent_coordination").setLevel(logging.ERROR)  # failures are expected
    if len(sys.argv) > 1:
        async with Redis(host=sys.argv[1]) as client:
            await suffer(RedisMessageCoordinator(client, "example-faults", backoff_base=0.05))
    else:
        await suffer(InMemoryMessageCoordinator(backoff_base=0.05))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except MessageCoordinatorError as error:
        sys.exit(str(error))  # it says what to do, such as where no server answers
