"""What requests, fences and sending for sure do on a server only: keys, replicas, lost replies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from tta_agent_coordination import (
    AgentId,
    ConfigurationError,
    CoordinatorConnectionError,
    FailureType,
    InvalidMessageError,
    MessageMetrics,
    MessageType,
    NotReplicatedError,
    RedisMessageCoordinator,
    RequestTimeout,
    tasks,
)
from tta_agent_coordination.server import client as server_client
from tta_agent_coordination.testing import WRITER, LocalCluster, ManualClock, RedisServer, sample

QUESTION = sample("q1", message_type=MessageType.REQUEST)

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of the real server."""
    made: Any = redis_server.client()
    yield made
    await made.aclose()


async def keys(client: Any, prefix: str) -> set[str]:
    """Return all keys of a prefix that are for answers."""
    return {key.decode() async for key in client.scan_iter(f"{{{prefix}:?r.*", count=1000)}


async def test_no_mailbox_for_answers_is_left(client: Any, prefix: str) -> None:
    """Answered, timed out or cancelled; one alone or many at once."""
    coordinator = RedisMessageCoordinator(client, prefix)

    async def answer() -> None:
        async with coordinator.consume(WRITER) as leases:
            async for lease in leases:
                async with lease:
                    await coordinator.reply(lease, {})

    server = asyncio.create_task(answer())
    await coordinator.request(QUESTION, timeout=100)
    await asyncio.gather(
        *(
            coordinator.request(sample(f"{n}", message_type=MessageType.REQUEST), timeout=100)
            for n in range(20)
        )
    )
    server.cancel()
    await asyncio.wait([server])
    with pytest.raises(RequestTimeout):
        await coordinator.request(QUESTION, timeout=0.02)
    cancelled = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.wait([cancelled])

    assert await keys(client, prefix) == set()


async def test_an_answer_that_comes_too_late_does_not_stay_for_ever(
    client: Any, prefix: str
) -> None:
    coordinator = RedisMessageCoordinator(client, prefix)
    asking = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    asking.cancel()
    await asyncio.wait([asking])

    await coordinator.reply(received, {})

    left = await keys(client, prefix)
    assert left
    assert all([0 < await client.pttl(key) <= 3_720_000 for key in left])


async def test_everything_about_a_request_under_way_has_a_time_to_live(
    client: Any, prefix: str
) -> None:
    """Its process may die at any moment."""
    coordinator = RedisMessageCoordinator(client, prefix)
    asking = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    while not (waiting := await keys(client, prefix)):  # noqa: ASYNC110 - on the server
        await asyncio.sleep(0.002)

    assert all([await client.pttl(key) > 0 for key in waiting])
    asking.cancel()
    await asyncio.wait([asking])


async def test_requests_wait_on_one_connection(redis_server: RedisServer, prefix: str) -> None:
    """However many of them."""
    client: Any = redis_server.client(client_name=prefix)
    async with client:
        coordinator = RedisMessageCoordinator(client, prefix)
        asking = [
            asyncio.create_task(
                coordinator.request(sample(f"{n}", message_type=MessageType.REQUEST), timeout=100)
            )
            for n in range(30)
        ]
        while (await coordinator.stats(WRITER)).waiting < 30:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)
        mine: list[str] = []
        while "blpop" not in mine:
            mine = [one["cmd"] for one in await client.client_list() if one["name"] == prefix]

        assert mine.count("blpop") == 1
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


async def test_a_forged_place_for_an_answer_is_refused(client: Any, prefix: str) -> None:
    """A request cannot make its answerer write anywhere else."""
    coordinator = RedisMessageCoordinator(client, prefix)
    asking = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    assert received.reply_to is not None
    asking.cancel()
    await asyncio.wait([asking])
    for forged in ("writer", "*", "?r.x", "?types", f"{received.reply_to}x", ""):
        fake = type(received)(
            message=received.message,
            token=received.token,
            attempt=1,
            deadline=received.deadline,
            enqueued_at=0,
            reply_to=forged,
        )
        with pytest.raises(InvalidMessageError, match="no place"):
            await coordinator.reply(fake, {})


async def test_a_request_survives_a_restart_of_the_server(prefix: str, program: str) -> None:
    """Whoever waits for an answer waits on."""
    with RedisServer(program, ("--appendonly", "yes", "--appendfsync", "always")) as server:
        client: Any = server.client(retry=Retry(NoBackoff(), 0), socket_timeout=60)
        async with client:
            metrics = MessageMetrics()
            coordinator = RedisMessageCoordinator(client, prefix, metrics=metrics)
            asking = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
            received = await coordinator.receive(WRITER, 600, wait=100)
            assert received is not None
            # It can come before its sender knows that it was sent.
            while not metrics.delivered_ok:  # noqa: ASYNC110 - counts are no events
                await asyncio.sleep(0.001)
            await asyncio.to_thread(server.stop, kill=True)
            await asyncio.to_thread(server.start)
            for _ in range(100):
                try:
                    await coordinator.reply(received, {"n": 1})
                    break
                except CoordinatorConnectionError:
                    continue
            answer = await asking

    assert answer.payload == {"n": 1}


async def test_a_request_that_is_not_sent_in_time_is_a_timeout(
    prefix: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stands still: nobody has answered, and nobody is asked any more."""
    monkeypatch.setattr(tasks, "PARTING", 0.02)
    with RedisServer(program) as server:
        client: Any = server.client(retry=Retry(NoBackoff(), 0), socket_timeout=60)
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix)
            await coordinator.stats(WRITER)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(RequestTimeout, match="has not answered"):
                    await coordinator.request(QUESTION, timeout=0.05)
            finally:
                os.kill(server.pid, signal.SIGCONT)


async def test_a_fence_leaves_nothing_for_ever(client: Any, prefix: str) -> None:
    coordinator = RedisMessageCoordinator(client, prefix)
    async with coordinator.once("m1", keep=10):
        pass
    async with coordinator.once("m2", agent_id=WRITER, keep=10):
        pass

    found = [key async for key in client.scan_iter(f"{{{prefix}:*", count=1000)]
    assert len(found) == 2
    assert all([0 < await client.pttl(key) <= 130_000 for key in found])


class Losing:
    """A client that loses the replies of takes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self.losing = True

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = await self._client.execute_command(*args, **options)
        if self.losing and args[0] in {"EVALSHA", "EVAL"} and isinstance(reply, list):
            raise RedisConnectionError("the reply was lost")
        return reply


async def lose_replies(
    coordinator: RedisMessageCoordinator, clock: ManualClock, count: int
) -> None:
    for _ in range(count):
        with pytest.raises(CoordinatorConnectionError):
            await coordinator.receive(WRITER, 5)
        clock.advance(5)


async def test_lost_replies_whose_leases_ran_out_do_not_count(
    client: Any, prefix: str, clock: ManualClock
) -> None:
    """The message is tried as often as ever afterwards, and then it is a dead letter."""
    losing = Losing(client)
    options: Any = {"_clock": clock.milliseconds, "max_attempts": 2}
    coordinator = RedisMessageCoordinator(losing, prefix, **options)
    await coordinator.send_many([sample("m1")])
    await lose_replies(coordinator, clock, 5)
    losing.losing = False

    deliveries = 0
    while (received := await coordinator.receive(WRITER, 5)) is not None:
        deliveries += 1
        assert received.message.message_id == "m1"
        clock.advance(5)

    assert deliveries in {1, 2}
    assert len(await coordinator.dead_letters.list(WRITER)) == 1


async def test_lost_replies_do_not_make_a_failure_the_last(
    client: Any, prefix: str, clock: ManualClock
) -> None:
    losing = Losing(client)
    options: Any = {"_clock": clock.milliseconds, "max_attempts": 3, "backoff_base": 0}
    coordinator = RedisMessageCoordinator(losing, prefix, **options)
    await coordinator.send_many([sample("m1")])
    await lose_replies(coordinator, clock, 2)
    losing.losing = False

    for _ in range(2):
        received = await coordinator.receive(WRITER, 5)
        assert received is not None
        await coordinator.nack(WRITER, received.token)
    assert await coordinator.dead_letters.list(WRITER) == []

    received = await coordinator.receive(WRITER, 5)
    assert received is not None
    await coordinator.nack(WRITER, received.token, FailureType.TIMEOUT)
    assert len(await coordinator.dead_letters.list(WRITER)) == 1
    await coordinator.dead_letters.redrive(WRITER)
    received = await coordinator.receive(WRITER, 5)
    assert received is not None
    assert received.attempt == 1


async def test_leases_that_run_out_on_those_who_heard_do_count(
    client: Any, prefix: str, clock: ManualClock
) -> None:
    options: Any = {"_clock": clock.milliseconds, "max_attempts": 2}
    coordinator = RedisMessageCoordinator(client, prefix, **options)
    await coordinator.send_many([sample("m1")])
    for _ in range(2):
        assert await coordinator.receive(WRITER, 5) is not None
        clock.advance(5)

    assert await coordinator.receive(WRITER, 5) is None
    assert len(await coordinator.dead_letters.list(WRITER)) == 1


async def test_a_send_without_its_replicas_is_not_confirmed(client: Any, prefix: str) -> None:
    """It is safe to repeat: the message is there once."""
    coordinator = RedisMessageCoordinator(client, prefix, min_replicas=1, replica_timeout=0.02)

    for _ in range(2):
        with pytest.raises(NotReplicatedError, match="0 of min_replicas=1"):
            await coordinator.send_many([sample("m1")])
    await client.script_flush()
    with pytest.raises(NotReplicatedError):
        await coordinator.send_many([sample("m1")])

    assert len(await coordinator.receive_many(WRITER, 5)) == 1


async def test_a_send_with_its_replicas_is_confirmed(
    prefix: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_client, "SLICE", 60.0)
    quick = ("--repl-diskless-sync-delay", "0")
    with (
        RedisServer(program, quick) as server,
        RedisServer(program, (*quick, "--replicaof", "127.0.0.1", f"{server.port}")) as replica,
    ):
        client: Any = server.client(socket_timeout=120)
        other: Any = replica.client()
        async with client, other:
            while (await other.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            coordinator = RedisMessageCoordinator(
                client, prefix, min_replicas=1, replica_timeout=60
            )
            results = await coordinator.send_many(sample(f"{n}") for n in range(5))
            length = await other.llen(f"{{{prefix}:writer}}:m:*:r5")
            again = await coordinator.send_many([sample("0")])

    assert all(result.delivered for result in results)
    assert length == 5
    assert again[0].duplicate


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_replicas": -1}, "min_replicas"),
        ({"min_replicas": True}, "min_replicas"),
        ({"min_replicas": 1, "replica_timeout": 0}, "replica_timeout"),
        ({"min_replicas": 1, "replica_timeout": 60}, "at most"),
    ],
)
async def test_senseless_demands_on_replicas_are_refused(
    client: Any, prefix: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RedisMessageCoordinator(client, prefix, **options)


async def test_a_client_that_cannot_wait_for_replicas_is_refused(client: Any, prefix: str) -> None:
    class Plain:
        connection_pool = client.connection_pool

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            raise NotImplementedError

    class OfCluster(Plain):
        def pipeline(self, *, transaction: bool) -> Any:
            raise NotImplementedError

        def get_node_from_key(self, key: str) -> Any:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match="pipelines"):
        RedisMessageCoordinator(Plain(), prefix, min_replicas=1)
    with pytest.raises(ConfigurationError, match="cluster"):
        RedisMessageCoordinator(OfCluster(), prefix, min_replicas=1)


async def test_the_first_calls_on_a_cluster_may_come_all_at_once(prefix: str, program: str) -> None:
    """Requests, topics and fences work across its slots, from the first moment on."""
    with LocalCluster(program) as cluster:
        client: Any = cluster.client()
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix)
            agents = [AgentId(type=f"t{n}", instance="1") for n in range(6)]
            asking = asyncio.create_task(coordinator.request(QUESTION, timeout=100))
            await asyncio.gather(*(coordinator.subscribe(agent, "news") for agent in agents))
            received = await coordinator.receive(WRITER, 600, wait=100)
            assert received is not None
            await coordinator.reply(received, {"n": 1})
            answer = await asking
            results = await coordinator.publish("news", sample("m1"))
            copies = [await coordinator.receive(agent) for agent in agents]
            everyone = await coordinator.broadcast(sample("m2"))
            async with coordinator.once("m1") as first:
                pass

    assert answer.payload == {"n": 1}
    assert len(results) == len(everyone) == 6
    assert None not in copies
    assert first
