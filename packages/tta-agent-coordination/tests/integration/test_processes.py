"""Breakers and registries of several processes, processes that are killed, servers that stop.

What expires, does so by a clock in a file, which the test moves for all processes; where it must be
the server's own, nothing depends on how soon.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    ChangeKind,
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    CoordinatorConnectionError,
    RedisAgentRegistry,
    RedisSharedState,
)
from tta_agent_coordination.registries import base
from tta_agent_coordination.testing import ManualClock, RedisServer

if TYPE_CHECKING:
    from tta_agent_coordination import AgentChange

# Processes are started, killed and stopped.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patient")]
ONE = AgentId(type="writer", instance="1")
CONFIG = CircuitBreakerConfig(
    failure_threshold=3,
    timeout_seconds=50,
    half_open_max_calls=1,
    success_threshold=1,
    probe_lease_seconds=30,
)
CHILD = """
import asyncio, sys
from pathlib import Path
from redis.asyncio import Redis
from tta_agent_coordination import CircuitBreaker, CircuitBreakerConfig, CircuitBreakerOpenError

async def main(port, prefix, clock):
    config = CircuitBreakerConfig(
        failure_threshold=3, timeout_seconds=50, half_open_max_calls=1, success_threshold=1,
        probe_lease_seconds=30,
    )
    loop = asyncio.get_running_loop()

    async def fail():
        raise OSError

    async def hang():
        print("hanging", flush=True)
        await asyncio.Event().wait()

    def now():
        return int(Path(clock).read_text())

    async with Redis(port=int(port), socket_timeout=60) as client:
        breaker = CircuitBreaker(client, "mail", config, prefix, store_timeout=60, _clock=now)
        print("ready", flush=True)
        while order := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            try:
                await breaker.call({"fail": fail, "hang": hang, "work": str}[order])
            except CircuitBreakerOpenError:
                print("refused", flush=True)
            except OSError:
                print("failed", flush=True)
            else:
                print("worked", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Child:
    """A Python process with a breaker of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def said(self) -> str:
        return (await asyncio.wait_for(self._out.readline(), 120)).decode().strip()

    async def close(self) -> None:
        """Let go of its pipes."""
        await self._out.read()
        self._in.close()
        with contextlib.suppress(ConnectionError):
            await self._in.wait_closed()

    async def told(self, order: str) -> str:
        self._in.write(f"{order}\n".encode())
        await self._in.drain()
        return await self.said()


@asynccontextmanager
async def children(count: int, *arguments: str) -> AsyncGenerator[list[Child], None]:
    """Run processes until the end of the block."""
    pipe = asyncio.subprocess.PIPE
    started = [
        Child(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHILD, *arguments, stdin=pipe, stdout=pipe
            )
        )
        for _ in range(count)
    ]
    try:
        for child in started:
            assert await child.said() == "ready"
        yield started
    finally:
        for child in started:
            if child.process.returncode is None:
                child.process.kill()
            await child.process.wait()
            await child.close()


async def until(check: Callable[[], Any]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(120):
        while not await check():  # noqa: ASYNC110 - it is a server
            await asyncio.sleep(0.005)


async def test_processes_share_a_breaker_and_survive_the_death_of_one(
    redis_server: RedisServer, tmp_path: Path, clock: ManualClock
) -> None:
    """One that dies with the only probe holds the others up for its lease, not for good."""
    prefix = f"test:{uuid.uuid4().hex}"
    file = tmp_path / "clock"

    def pass_time(seconds: float) -> None:
        clock.advance(seconds)
        file.write_text(str(clock.milliseconds()))

    pass_time(0)
    async with (
        redis_server.client(socket_timeout=60) as client,
        children(3, str(redis_server.port), prefix, str(file)) as (one, two, three),
    ):
        breaker = CircuitBreaker(
            client, "mail", CONFIG, prefix, store_timeout=60, _clock=clock.milliseconds
        )
        await breaker.trip()
        assert [await child.told("work") for child in (one, two, three)] == ["refused"] * 3
        await breaker.reset()

        assert [await child.told("fail") for child in (one, two, three)] == ["failed"] * 3
        assert (await breaker.get_state()).opened == 2

        pass_time(49)
        assert await one.told("hang") == "refused"
        pass_time(1)
        assert await one.told("hang") == "hanging"
        one.process.send_signal(signal.SIGKILL)
        await one.process.wait()
        standing = await breaker.get_state()
        assert (standing.state, standing.probes) == ("half_open", 1)
        with pytest.raises(CircuitBreakerOpenError, match="probes are under way"):
            await breaker.call(str)

        pass_time(29)
        assert await two.told("work") == "refused"
        pass_time(1)
        assert await two.told("work") == "worked"
        assert await three.told("work") == "worked"
        assert (await breaker.get_state()).state == "closed"


class Told:
    """What a watcher hears."""

    def __init__(self, registry: RedisAgentRegistry) -> None:
        self.changes: list[AgentChange] = []
        self.task = asyncio.create_task(self.follow(registry))

    async def follow(self, registry: RedisAgentRegistry) -> None:
        async with aclosing(registry.watch()) as changes:
            async for change in changes:
                self.changes.append(change)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def trying(server: RedisServer) -> Any:
    """A client that tries again and again, soon."""
    return server.client(retry=Retry(ConstantBackoff(0.01), 3), socket_timeout=60)


class Held:
    """A client whose calls wait until they are let go."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self.free = asyncio.Event()
        self.free.set()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await self.free.wait()
        return await self._client.execute_command(*args, **options)


async def test_a_server_that_stood_still_kills_no_agent(program: str) -> None:
    """It stops for longer than all agents' time to live."""
    with RedisServer(program) as server:
        async with trying(server) as client, trying(server) as other:
            times: dict[str, Any] = {"heartbeat_ttl": 0.8, "heartbeat_interval": 0.1}
            watcher = RedisAgentRegistry(other, **times)
            async with RedisAgentRegistry(client, **times) as registry:
                for number in range(5):
                    registry.register(AgentDescription(AgentId(type="a", instance=f"{number}")))
                await registry.flush()
                told = Told(watcher)

                async def all_told() -> bool:
                    return len(told.changes) == 5

                await until(all_told)
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(1.2)
                finally:
                    os.kill(server.pid, signal.SIGCONT)

                assert [found.alive for found in await watcher.agents()] == [True] * 5
                await registry.heartbeat()
                assert [found.alive for found in await watcher.agents()] == [True] * 5
                await told.stop()
            assert {change.kind for change in told.changes} <= {ChangeKind.JOINED, ChangeKind.LEFT}
            lost = [change for change in told.changes if change.kind is ChangeKind.LEFT]
            assert lost == []


async def test_agents_come_back_after_a_server_that_lost_everything(
    program: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By their own heartbeat; a watcher goes on watching, and is not told that they left."""
    caplog.set_level(logging.WARNING, "tta_agent_coordination")
    with RedisServer(program) as server:
        async with trying(server) as client, trying(server) as other:
            times: dict[str, Any] = {"heartbeat_ttl": 0.5, "heartbeat_interval": 0.02}
            held: Any = Held(other)
            watcher = RedisAgentRegistry(held, **times)
            async with RedisAgentRegistry(client, **times) as registry:
                registry.register(AgentDescription(ONE, ["poems"]))
                await registry.flush()
                told = Told(watcher)

                async def first() -> bool:
                    return len(told.changes) == 1

                await until(first)
                held.free.clear()  # else it might ask before the agent is back, and only then
                server.stop(kill=True)

                async def noticed() -> bool:
                    return registry.heartbeat_error is not None

                await until(noticed)
                server.start()

                async def back() -> bool:
                    return registry.heartbeat_error is None

                await until(back)
                held.free.set()
                assert [found.agent_id for found in await watcher.find("poems")] == [ONE]

                async def second() -> bool:
                    return len(told.changes) == 2

                await until(second)
                await told.stop()
            assert [change.kind for change in told.changes] == [ChangeKind.JOINED] * 2
            assert caplog.text.count("the heartbeat of 1 agents does not get through") == 1


async def test_a_watched_value_is_watched_on_after_the_server_was_away(program: str) -> None:
    with RedisServer(program) as server:
        async with trying(server) as client, trying(server) as other:
            state = RedisSharedState(client)
            await state.set("key", "before")
            async with aclosing(RedisSharedState(other).watch("key")) as entries:
                assert (await anext(entries)).value == "before"
                waiting = asyncio.ensure_future(anext(entries))
                server.stop(kill=True)
                await asyncio.sleep(0.15)  # it asks in vain
                server.start()
                gone = await asyncio.wait_for(waiting, 120)
                assert not gone.exists

                written = await state.set("key", "after")
                assert await asyncio.wait_for(anext(entries), 120) == written


async def test_a_block_ends_soon_while_the_server_is_away(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an error of its own, or a note on the one that ends it; the client goes on trying."""
    monkeypatch.setattr(base, "PARTING", 0.2)
    with RedisServer(program) as server:
        endless = Retry(ConstantBackoff(0.01), 10**6)
        async with server.client(retry=endless, socket_timeout=60) as client:
            registry = RedisAgentRegistry(client)

            with pytest.raises(CoordinatorConnectionError, match=r"within 0\.2 s"):  # noqa: PT012 - the block is what is tested
                async with registry:
                    registry.register(AgentDescription(ONE))
                    await registry.flush()
                    server.stop(kill=True)

            server.start()
            with pytest.raises(KeyError) as raised:  # noqa: PT012 - the block is what is tested
                async with registry:
                    registry.register(AgentDescription(ONE))
                    await registry.flush()
                    server.stop(kill=True)
                    raise KeyError
            assert "besides, agents could not be deregistered" in raised.value.__notes__[0]
