"""Receivers on a server whose connection breaks: nothing goes to those who are gone."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tta_agent_coordination import (
    AgentId,
    CoordinatorConnectionError,
    RedisMessageCoordinator,
    ServerFullError,
)
from tta_agent_coordination.testing import WRITER, RedisServer, sample

ONE = AgentId(type="writer", instance="1")

pytestmark = pytest.mark.usefixtures("patient")


class Breaking:
    """A client that breaks the connection at some commands, before or after they are done."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self.before: set[str] = set()
        self.after: set[str] = set()
        self.waiting = asyncio.Event()
        self.silent = False
        self.asked = asyncio.Event()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, if the connection holds."""
        if args[0] in self.before:
            raise RedisConnectionError("broken")
        if self.silent:
            self.asked.set()
            await asyncio.Event().wait()
        if args[0] == "BLPOP":
            self.waiting.set()
        reply = await self._client.execute_command(*args, **options)
        if args[0] in self.after:
            raise RedisConnectionError("broken")
        return reply


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Breaking]:
    """A client of the real server."""
    async with redis_server.client(socket_timeout=60) as made:
        yield Breaking(made)


@pytest.fixture
def coordinator(client: Breaking) -> RedisMessageCoordinator:
    """A coordinator whose connection may break."""
    return RedisMessageCoordinator(client, f"test:{uuid.uuid4().hex}")


@pytest.mark.parametrize("agent", [WRITER, ONE])
async def test_a_receiver_whose_connection_broke_is_handed_nothing_any_more(
    coordinator: RedisMessageCoordinator, client: Breaking, agent: AgentId
) -> None:
    """As soon as it asks again; else the message would wait for the end of a lease."""
    client.before = {"BLPOP"}
    with pytest.raises(CoordinatorConnectionError):
        await coordinator.receive(agent, 600, wait=1000)
    client.before = set()

    receiver = asyncio.create_task(coordinator.receive(agent, 600, wait=1000))
    await client.waiting.wait()
    await coordinator.send_many([sample("m1")])

    received = await receiver
    assert received is not None
    assert received.attempt == 1


async def test_what_a_lost_reply_has_reserved_is_given_back_when_the_server_is_there_again(
    coordinator: RedisMessageCoordinator, client: Breaking
) -> None:
    """Not before: as long as it is away, receiving fails."""
    await coordinator.send_many([sample("m1")])
    await coordinator.stats(WRITER)
    client.after = {"EVALSHA", "EVAL"}
    with pytest.raises(CoordinatorConnectionError):
        await coordinator.receive(WRITER, 600)
    client.before, client.after = client.after, set()
    for _ in range(2):
        with pytest.raises(CoordinatorConnectionError):
            await coordinator.receive(WRITER, 600)
    client.before = set()

    received = await coordinator.receive(WRITER, 600)

    assert received is not None
    assert received.attempt == 1


async def test_what_was_handed_over_as_the_connection_broke_is_given_back(
    coordinator: RedisMessageCoordinator, client: Breaking
) -> None:
    """The message had come, but nobody heard of it."""
    client.after = {"BLPOP"}
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await client.waiting.wait()
    await coordinator.send_many([sample("m1")])
    with pytest.raises(CoordinatorConnectionError):
        await receiver
    client.after = set()

    received = await coordinator.receive(WRITER, 600)

    assert received is not None
    assert received.attempt == 1


async def test_who_is_cancelled_twice_ends_at_once(
    coordinator: RedisMessageCoordinator, client: Breaking
) -> None:
    """What could not be undone then is undone with the next call, not waited for a minute."""
    receiver = asyncio.create_task(coordinator.receive(WRITER, 600, wait=1000))
    await client.waiting.wait()
    client.silent = True
    receiver.cancel()
    await client.asked.wait()
    receiver.cancel()
    await asyncio.wait([receiver], timeout=30)
    assert receiver.cancelled()
    client.silent = False
    await coordinator.send_many([sample("m1")])

    received = await coordinator.receive(WRITER, 600)

    assert received is not None
    assert received.attempt == 1


@pytest.fixture
async def full(program: str) -> AsyncIterator[Breaking]:
    """A client of a server that was full before it had heard of anybody."""
    with RedisServer(program) as server:
        made: Any = server.client(socket_timeout=60)
        async with made:
            await RedisMessageCoordinator(made, "test").send_many([sample("m1")])
            await made.config_set("maxmemory", "1")
            yield Breaking(made)


async def test_a_full_server_can_be_drained_after_a_lost_reply(full: Breaking) -> None:
    """What the reply had reserved is given back, though noting that down takes memory."""
    coordinator = RedisMessageCoordinator(full, "test")
    full.after = {"EVALSHA", "EVAL"}
    with pytest.raises(CoordinatorConnectionError):
        await coordinator.receive(WRITER, 600)
    full.after = set()

    received = await coordinator.receive(WRITER, 600)

    assert received is not None
    assert received.attempt == 1


async def test_a_full_server_can_be_drained_by_an_instance(full: Breaking) -> None:
    """Of which it has never heard; and effects are still guarded."""
    coordinator = RedisMessageCoordinator(full, "test")

    received = await coordinator.receive(ONE, 600)

    assert received is not None
    async with coordinator.once(received.message.message_id) as first:
        assert first
    async with coordinator.once(received.message.message_id) as second:
        assert not second
    assert await coordinator.ack(ONE, received.token)


async def test_one_can_wait_for_messages_of_a_full_server(full: Breaking) -> None:
    """Until there is room for them."""
    coordinator = RedisMessageCoordinator(full, "test")
    assert await coordinator.receive(ONE, 600) is not None

    assert await coordinator.receive(ONE, 60, wait=0.05) is None
    with pytest.raises(ServerFullError):
        await coordinator.send_many([sample("m2")])


async def test_a_repeated_take_from_a_full_server_has_the_same_answer(
    full: Breaking, twice: Callable[[Any], Any]
) -> None:
    coordinator = RedisMessageCoordinator(twice(full), "test")

    received = await coordinator.receive(WRITER, 600)

    assert received is not None
    assert await coordinator.ack(WRITER, received.token)
