"""What registries, watches, shared state and breakers do while their server is away.

Each test has a server of its own, and clients that do not try again by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    CircuitBreaker,
    CoordinatorConnectionError,
    ForeignKeyError,
    MessageType,
    RedisAgentRegistry,
    RedisMessageCoordinator,
    RedisSharedState,
)
from tta_agent_coordination.registries import base
from tta_agent_coordination.registries.records import ChangeKind
from tta_agent_coordination.server import scripts
from tta_agent_coordination.sharing import base as sharing_base
from tta_agent_coordination.testing import WRITER, RedisServer, sample

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from tta_agent_coordination.registries.records import AgentChange
    from tta_agent_coordination.sharing import StateEntry

ONE = AgentId(type="writer", instance="1")


@pytest.fixture
def server(program: str) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer(program) as made:
        yield made


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Any]:
    """A client that tells at once that its server is away."""
    async with server.client(retry=Retry(NoBackoff(), 0), socket_timeout=30) as made:
        yield made


@contextlib.contextmanager
def standing_still(server: RedisServer) -> Generator[None]:
    """Let a server take connections and commands, and answer none."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - it depends on a server
            await asyncio.sleep(0.005)


async def test_a_watcher_outlives_a_server_that_comes_back_empty(
    server: RedisServer, client: Any
) -> None:
    """Who says in time that it lives has joined anew; who does not has left."""
    long: dict[str, Any] = {"heartbeat_ttl": 600, "heartbeat_interval": 0.1}
    registry, other = RedisAgentRegistry(client, **long), RedisAgentRegistry(client, **long)
    watcher = RedisAgentRegistry(client, heartbeat_ttl=0.6)  # so long it waits for who lives
    gone = AgentId(type="writer", instance="2")
    changes: list[AgentChange] = []

    async def watch() -> None:
        async with contextlib.aclosing(watcher.watch()) as seen:
            async for change in seen:
                changes.append(change)  # noqa: PERF401 - the test reads them meanwhile

    def told() -> set[tuple[ChangeKind, AgentId]]:
        return {(change.kind, change.agent_id) for change in changes[2:]}

    other.register(AgentDescription(gone))
    await other.flush()
    async with registry:
        registry.register(AgentDescription(ONE))
        await registry.flush()
        watching = asyncio.create_task(watch())
        await until(lambda: len(changes) == 2)
        server.stop(kill=True)
        await asyncio.sleep(0.2)  # a look of the watcher, and a heartbeat, fail
        server.start()
        await until(lambda: told() >= {(ChangeKind.JOINED, ONE), (ChangeKind.LEFT, gone)})
        watching.cancel()
        await asyncio.wait([watching])


async def test_heartbeats_that_fail_are_told_of_once(
    server: RedisServer, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    registry = RedisAgentRegistry(client, heartbeat_ttl=600, heartbeat_interval=0.02)
    async with registry:
        registry.register(AgentDescription(ONE))
        await registry.flush()
        server.stop(kill=True)
        await until(lambda: registry.heartbeat_error is not None)
        first = registry.heartbeat_error
        await until(lambda: registry.heartbeat_error is not first)
        server.start()
        await until(lambda: registry.heartbeat_error is None)

    said = [one for one in caplog.records if "does not get through" in one.message]
    assert len(said) == 1


@pytest.mark.parametrize("raises", [False, True])
async def test_a_block_ends_in_time_though_nothing_can_be_deregistered(
    server: RedisServer, client: Any, monkeypatch: pytest.MonkeyPatch, *, raises: bool
) -> None:
    """An error of the block itself is not hidden by that."""
    monkeypatch.setattr(base, "PARTING", 0.1)

    async def use(stack: contextlib.ExitStack) -> None:
        async with RedisAgentRegistry(client) as registry:
            registry.register(AgentDescription(ONE))
            await registry.flush()
            stack.enter_context(standing_still(server))
            if raises:
                raise ZeroDivisionError

    with contextlib.ExitStack() as stack:
        if raises:
            with pytest.raises(ZeroDivisionError) as raised:
                await use(stack)
            assert "could not be deregistered" in raised.value.__notes__[0]
        else:
            with pytest.raises(CoordinatorConnectionError, match=r"within 0\.1 s"):
                await use(stack)


async def test_a_watched_value_is_told_of_when_the_server_is_back(
    server: RedisServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That what was gone is now forgotten as well is no news."""
    monkeypatch.setattr(sharing_base, "LATE", 0.05)
    state = RedisSharedState(client, "p")
    seen: list[StateEntry] = []

    async def watch(entries: AsyncGenerator[StateEntry, None]) -> None:
        async with contextlib.aclosing(entries):
            async for entry in entries:
                seen.append(entry)  # noqa: PERF401 - as above

    await state.set("key", 1)
    await state.delete("key")
    watching = asyncio.create_task(watch(state.watch("key")))
    await until(lambda: seen)
    server.stop(kill=True)
    await asyncio.sleep(0.2)  # asking fails, and fails again
    server.start()
    while not await client.keys("*:w"):  # noqa: ASYNC110 - until it has asked anew, and waits
        await asyncio.sleep(0.005)
    await state.set("key", 2)
    await until(lambda: len(seen) == 2)
    watching.cancel()
    await asyncio.wait([watching])

    assert [(entry.exists, entry.value) for entry in seen] == [(False, None), (True, 2)]


async def test_calls_that_fail_together_are_complained_of_once(
    server: RedisServer, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them go through."""
    breaker = CircuitBreaker(client, "mail")
    server.stop()

    assert await asyncio.gather(*(breaker.call(lambda: 1) for _ in range(3))) == [1, 1, 1]
    assert breaker.store_failures == 3
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


async def test_a_wait_that_is_not_answered_in_time_has_lost_its_server(
    server: RedisServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "GRACE", 0.05)
    running = scripts.Scripts(client, None, {})
    with (
        standing_still(server),
        pytest.raises(CoordinatorConnectionError, match=r"not answered for 0\.1 s"),
    ):
        await running.pop(b"{p:x}:i:1", 0.05)


async def test_an_inbox_that_another_program_has_written_to_is_named(
    redis_server: RedisServer,
) -> None:
    key = f"{{{uuid.uuid4().hex}:x}}:i:1".encode()
    client: Any = redis_server.client()
    async with client:
        await client.set(key, "theirs")
        with pytest.raises(ForeignKeyError, match="key_prefix"):
            await scripts.Scripts(client, None, {}).pop(key, 0.05)


async def test_a_refused_send_that_was_to_be_replicated_says_why(
    redis_server: RedisServer,
) -> None:
    prefix = uuid.uuid4().hex
    client: Any = redis_server.client()
    async with client:
        coordinator = RedisMessageCoordinator(client, prefix, min_replicas=1, replica_timeout=0.02)
        await RedisMessageCoordinator(client, prefix).send_many([sample("m1")])
        for key in await client.keys(f"*{prefix}*"):
            await client.delete(key)
            await client.xadd(key, {"theirs": "1"})
        with pytest.raises(ForeignKeyError, match="key_prefix"):
            await coordinator.send_many([sample("m2")])


async def test_a_server_that_is_away_is_told_to_whoever_asks(prefix: str) -> None:
    client: Any = Redis(port=1, retry=Retry(NoBackoff(), 0))
    async with client:
        coordinator = RedisMessageCoordinator(client, prefix)
        with pytest.raises(CoordinatorConnectionError, match="repeated"):
            await coordinator.request(sample("q1", message_type=MessageType.REQUEST), timeout=100)


async def test_a_cluster_that_is_away_is_a_connection_error(prefix: str) -> None:
    client = RedisCluster(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    with pytest.raises(CoordinatorConnectionError, match="repeated"):
        await RedisMessageCoordinator(client, prefix).receive(WRITER)
    await client.aclose()
