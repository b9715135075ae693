"""Sending from synchronous code."""

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from tta_agent_coordination import (
    AgentId,
    ConfigurationError,
    InMemoryMessageCoordinator,
    InvalidMessageError,
    NotReplicatedError,
    RedisMessageCoordinator,
    ServerRefusedError,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.sync import SyncSender
from tta_agent_coordination.testing import ASKER, WRITER, RedisServer, sample


async def check(sender: SyncSender, coordinator: StoredMailboxes) -> None:
    """Send in every way, within a running loop, and receive."""
    await coordinator.subscribe(AgentId(type="reader"), "news")
    one = sender.send_message(ASKER, WRITER, sample("m1"), headers={"h": "1"})
    again = sender.send_message(ASKER, WRITER, sample("m1"))
    many = sender.send_many([sample("m2"), sample("m3")], ordering_key="k", ttl=60)
    copies = sender.publish("news", sample("m4"))

    received = await coordinator.receive_many(WRITER, 5)

    assert one.delivered
    assert again.duplicate
    assert [result.delivered for result in many] == [True, True]
    assert [result.recipient for result in copies] == [AgentId(type="reader")]
    assert [got.message.message_id for got in received] == ["m1", "m2"]
    assert received[0].headers == {"h": "1"}


async def test_within_a_running_loop_in_memory() -> None:
    coordinator = InMemoryMessageCoordinator()

    await check(SyncSender(coordinator), coordinator)


async def test_within_a_running_loop_on_a_server(redis_server: RedisServer, prefix: str) -> None:
    client: Any = redis_server.client()
    with redis.Redis(port=redis_server.port) as plain:
        async with client:
            await check(SyncSender(plain, prefix), RedisMessageCoordinator(client, prefix))


async def test_in_memory_a_waiting_receiver_is_woken() -> None:
    coordinator = InMemoryMessageCoordinator()
    receiver = asyncio.create_task(coordinator.receive(WRITER, wait=1000))
    await asyncio.sleep(0)

    asyncio.get_running_loop().call_soon(
        SyncSender(coordinator).send_message, ASKER, WRITER, sample("m1")
    )
    received = await asyncio.wait_for(receiver, 60)

    assert received is not None


def test_without_a_loop_and_from_many_threads(redis_server: RedisServer, prefix: str) -> None:
    with redis.Redis(port=redis_server.port) as plain:
        sender = SyncSender(plain, prefix)

        def send(number: int) -> None:
            for n in range(20):
                sender.send_message(ASKER, WRITER, sample(f"{number}-{n}"))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def count() -> int:
        client: Any = redis_server.client()
        async with client:
            return len(await RedisMessageCoordinator(client, prefix).receive_many(WRITER, 100))

    assert asyncio.run(count()) == 80


def test_errors_are_those_of_a_coordinator(redis_server: RedisServer, prefix: str) -> None:
    with redis.Redis(port=redis_server.port) as plain:
        with pytest.raises(InvalidMessageError, match="sender"):
            SyncSender(plain, prefix).send_message(WRITER, WRITER, sample("m1"))
        with pytest.raises(NotReplicatedError):
            SyncSender(plain, prefix, min_replicas=1, replica_timeout=0.02).send_many([sample("m")])
        plain.function_flush()
        with pytest.raises(ServerRefusedError):
            SyncSender(Refusing(plain), prefix).send_many([sample("m")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Refusing:
    """A client whose server refuses."""

    def __init__(self, client: Any) -> None:
        self.connection_pool = client.connection_pool

    def execute_command(self, *_: Any, **__: Any) -> Any:
        raise redis.ResponseError("no")


@pytest.mark.parametrize("client", [None, "redis://x", redis.asyncio.Redis(), object()])
def test_what_is_no_client_for_synchronous_code_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="synchronous"):
        SyncSender(client)
