"""A consumer in a process of its own, which may be killed at any moment.

It prints a line for each message that it has worked on, before it acknowledges it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel

from tta_agent_coordination import LeaseLost, MessageCoordinatorError, RedisMessageCoordinator
from tta_agent_coordination.testing import WRITER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ("connected", "consume", "main")


@asynccontextmanager
async def connected(where: str) -> AsyncGenerator[Redis]:
    """Connect.

    Args:
        where: A port, or `sentinel:` and the port of a Sentinel whose master is called `master`.
    """
    if not where.startswith("sentinel:"):
        async with Redis(port=int(where)) as client:
            yield client
        return
    port = int(where.removeprefix("sentinel:"))
    untyped: Any = Sentinel
    sentinel = untyped([("127.0.0.1", port)], sentinel_kwargs={"socket_timeout": 0.5})
    found: Redis = sentinel.master_for("master")
    try:
        yield found
    finally:
        await found.aclose()
        for one in sentinel.sentinels:
            await one.aclose()


async def consume(where: str, prefix: str, lease: float, work: float) -> None:
    """Work on messages until killed; each takes `work` seconds."""
    async with connected(where) as client:
        queue = RedisMessageCoordinator(client, prefix, max_attempts=100)
        print("ready", flush=True)
        while True:
            try:
                async with queue.consume(WRITER, prefetch=4, lease=lease) as leases:
                    async for one in leases:
                        print("begun", one.message.message_id, flush=True)
                        await asyncio.sleep(work)
                        print("done", one.message.message_id, one.attempt, time.time(), flush=True)
                        try:
                            await one.ack()
                        except LeaseLost:
                            print("stale", one.message.message_id, flush=True)
            except MessageCoordinatorError as error:
                print("error", type(error).__name__, flush=True)
                await asyncio.sleep(0.1)


def main() -> None:
    """Run as `python -m benchmarks.faults.consumer WHERE PREFIX LEASE WORK`."""
    where, prefix, lease, work = sys.argv[1:]
    asyncio.run(consume(where, prefix, float(lease), float(work)))


if __name__ == "__main__":
    main()
