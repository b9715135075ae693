"""The goals of the registry and of the circuit breaker: G16, G17."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    CircuitBreaker,
    CircuitBreakerOpenError,
    RedisAgentRegistry,
)

from .measure import Goal, figure

if TYPE_CHECKING:
    from .measure import Effort, Meter

__all__ = ("breaker", "registry")

BATCH = 100
CHILD = """
import asyncio, sys, time
from redis.asyncio import Redis
from tta_agent_coordination import CircuitBreaker, CircuitBreakerOpenError

async def main():
    async with Redis(port=int(sys.argv[1])) as client:
        breaker = CircuitBreaker(client, "bench", key_prefix="breaker", cache_seconds=0.1)
        await breaker.call(str)
        print("ready", flush=True)
        while True:
            try:
                await breaker.call(str)
            except CircuitBreakerOpenError:
                print(time.time(), flush=True)
                return
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


async def registry(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G16: many agents; what a heartbeat costs the server, and how long a list takes."""
    meter.empty()
    async with Redis(port=port) as client:
        many = RedisAgentRegistry(client, "many")
        for number in range(effort.agents):
            many.register(AgentDescription(AgentId(type="w", instance=f"{number}"), ()))
        await many.flush()
        some = RedisAgentRegistry(client, "many")
        for number in range(BATCH):
            some.register(AgentDescription(AgentId(type="b", instance=f"{number}"), ()))
        await some.flush()

        async def beat(count: int) -> None:
            for _ in range(count):
                await some.heartbeat()

        beats = [await meter.block(beat, 20) for _ in range(effort.rounds)]
        few = RedisAgentRegistry(client, "few")
        for number in range(1000):
            few.register(AgentDescription(AgentId(type="w", instance=f"{number}"), ("poems",)))
        await few.flush()
        times: list[float] = []

        async def listed(count: int) -> None:
            for _ in range(count):
                start = time.perf_counter()
                await few.agents()
                times.append(time.perf_counter() - start)

        lists = [await meter.block(listed, 5) for _ in range(effort.rounds)]
    meter.empty()
    return [
        Goal(
            key="G16.beat",
            title=f"heartbeat of {BATCH} among {effort.agents:,} agents: server CPU",
            sense="at most",
            budget=150,
            unit="µs",
            found=figure([one.server for one in beats]),
        ),
        Goal(
            key="G16.trips",
            title=f"heartbeat of {BATCH} agents: round trips",
            sense="at most",
            budget=1,
            unit="",
            found=figure([round(one.scripts, 1) for one in beats]),
        ),
        Goal(
            key="G16.list",
            title="list of 1,000 live agents: server CPU",
            sense="at most",
            budget=2,
            unit="ms",
            found=figure([one.server / 1000 for one in lists]),
            facts=(
                (
                    "with the reply read and made into objects "
                    f"{statistics.median(times) * 1000:.1f} ms, of which "
                    f"{statistics.median([one.client for one in lists]) / 1000:.1f} ms are the "
                    "client's processor time"
                ),
            ),
        ),
    ]


async def breaker(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G17: round trips of a closed breaker, and how soon processes agree that it is open."""
    meter.empty()
    async with Redis(port=port) as client:
        trips: dict[float, float] = {}
        for cached in (0.0, 3600.0):
            made = CircuitBreaker(client, "trips", key_prefix="breaker", cache_seconds=cached)
            await made.call(str)
            _, before = meter.counted()
            for _ in range(100):
                await made._enter()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            trips[cached] = (meter.counted()[1] - before) / 100
        late = [await _agreement(client, port) for _ in range(effort.rounds)]
    meter.empty()
    return [
        Goal(
            key="G17.cached",
            title="round trips to pass a closed breaker, with a cache",
            sense="at most",
            budget=0,
            unit="",
            found=figure([trips[3600.0]]),
        ),
        Goal(
            key="G17.asking",
            title="round trips to pass a closed breaker, without",
            sense="at most",
            budget=1,
            unit="",
            found=figure([trips[0.0]]),
        ),
        Goal(
            key="G17.agree",
            title="four processes with a cache of 100 ms: the last sees that it is open",
            sense="at most",
            budget=100,
            unit="ms",
            found=figure(late),
        ),
    ]


async def _agreement(client: Redis, port: int) -> float:
    made = CircuitBreaker(client, "bench", key_prefix="breaker")
    await made.reset()
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(port), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    try:
        for child in children:
            assert child.stdout is not None  # noqa: S101 - a pipe was asked for
            await child.stdout.readline()
        await asyncio.sleep(0.2)
        await made.trip()
        tripped = time.time()
        seen = [
            float(await asyncio.wait_for(child.stdout.readline(), 10)) - tripped
            for child in children
            if child.stdout is not None
        ]
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
            await child.wait()
    try:
        await made.call(str)
    except CircuitBreakerOpenError:
        return max(seen) * 1000
    return float("inf")
