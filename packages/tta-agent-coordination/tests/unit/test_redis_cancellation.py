"""Calls that are cancelled at random moments, and while the server stands still."""

import asyncio
import os
import random
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from tta_agent_coordination import MessageType, RedisMessageCoordinator, tasks
from tta_agent_coordination.coordinators import redis_receiver
from tta_agent_coordination.server.client import PATIENCE, answer_of, unswallowed
from tta_agent_coordination.testing import ASKER, WRITER, RedisServer, sample

if TYPE_CHECKING:
    from tta_agent_coordination import ReceivedMessage

Call = Callable[[RedisMessageCoordinator], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "receive": lambda one: one.receive(WRITER, 60),
    "wait": lambda one: one.receive(WRITER, 60, wait=30),
    "send": lambda one: one.send_message(ASKER, WRITER, sample(uuid.uuid4().hex)),
    "ack": lambda one: one.ack(WRITER, "writer:*:x.000"),
    "stats": lambda one: one.stats(WRITER),
    "request": lambda one: one.request(
        sample(uuid.uuid4().hex, message_type=MessageType.REQUEST), timeout=30
    ),
}


@pytest.mark.usefixtures("unhurried")
async def test_a_receiver_cancelled_at_1000_random_moments_loses_nothing(
    redis_server: RedisServer,
) -> None:
    """No message is lost or held back, no connection leaks."""
    client: Any = redis_server.client(socket_timeout=60)
    async with client:
        coordinator = RedisMessageCoordinator(client, f"test:{uuid.uuid4().hex}")
        chance = random.Random(7)
        sent, seen = 0, 0
        for _ in range(1000):
            receiver = asyncio.create_task(
                coordinator.receive(WRITER, 600, wait=30 if chance.random() < 0.7 else 0)
            )
            sender = asyncio.create_task(coordinator.send_many([sample(f"{sent}")]))
            sent += 1
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() * 0.001)
            receiver.cancel()
            await sender
            await asyncio.wait([receiver])
            if not receiver.cancelled() and (received := receiver.result()) is not None:
                seen += 1
                await coordinator.ack(WRITER, received.token)
        connections = len(client.connection_pool._available_connections)
        in_use = len(client.connection_pool._in_use_connections)
        rest: list[ReceivedMessage] = []
        while batch := await coordinator.receive_many(WRITER, 1000, 600):
            rest += batch
        stats = await coordinator.stats(WRITER)

    assert seen + len(rest) == sent
    assert {got.attempt for got in rest} <= {1}
    assert (stats.waiting, stats.receivers, stats.leased) == (0, 0, len(rest))
    assert in_use == 0
    assert connections <= 10


async def lateness() -> float:
    """Return by how many seconds in all the event loop was late, until this was cancelled."""
    total, running = 0.0, True
    loop = asyncio.get_running_loop()
    seen = loop.time()
    while running:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            running = False
        before, seen = seen, loop.time()
        total += max(0.0, seen - before - 0.01)
    return total


@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_call_ends_at_once_while_the_server_stands_still(
    name: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second at most, at whatever moment the cancellation comes.

    Not counted is by how much the machine itself was late meanwhile.
    """
    for module in (tasks, redis_receiver):
        assert 2 * module.PARTING < 0.5  # two things are undone at most
        monkeypatch.setattr(module, "PARTING", 0.05)
    with RedisServer(program) as server:
        client: Any = server.client(socket_timeout=1000)
        async with client:
            coordinator = RedisMessageCoordinator(client, "test")
            await CALLS["stats"](coordinator)
            calls = [asyncio.ensure_future(CALLS[name](coordinator)) for _ in range(12)]
            await asyncio.sleep(0)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                calls += [asyncio.ensure_future(CALLS[name](coordinator)) for _ in range(12)]
                loop = asyncio.get_running_loop()
                longest = 0.0
                late = asyncio.ensure_future(lateness())
                await asyncio.sleep(0)
                for place, task in enumerate(calls):
                    for _ in range(place % 12):
                        await asyncio.sleep(0)
                    start = loop.time()
                    task.cancel()
                    await asyncio.wait([task], timeout=60)
                    longest = max(longest, loop.time() - start)
                    if place == 3:  # what hangs, hangs in one of the first
                        break
                for task in calls:
                    task.cancel()
                start = loop.time()
                await asyncio.wait(calls, timeout=60)
                longest = max(longest, loop.time() - start)
                late.cancel()
            finally:
                os.kill(server.pid, signal.SIGCONT)

    assert longest - await late < 0.5
    assert all(task.done() for task in calls)


async def test_a_swallowed_cancellation_is_made_good() -> None:
    """Whether the call goes on waiting, or ends with a result."""

    async def swallow(then: float) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(then)
        return "as if nothing had been"

    for then in (0, 1000):
        task = asyncio.ensure_future(unswallowed(swallow(then)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=60)

        assert task.cancelled()


async def test_an_error_that_comes_instead_of_a_cancellation_does_not_hide_it() -> None:
    """The client has noted that it was cancelled, and complains of its connection."""

    async def complain() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    task = asyncio.ensure_future(unswallowed(complain()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=60)

    assert task.cancelled()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (AttributeError("'NoneType' object has no attribute 'write'"), RedisConnectionError),
        (AttributeError("no attribute 'spam'"), AttributeError),
        (RedisClusterException("no node"), RedisConnectionError),
        (OSError("no route"), RedisConnectionError),
    ],
)
async def test_what_a_client_says_of_a_lost_connection_is_one_error(
    error: Exception, raised: type[Exception]
) -> None:
    """A client of a cluster stumbles over a connection that another call has closed."""

    async def call() -> None:
        raise error

    with pytest.raises(raised) as seen:
        await answer_of(call())

    assert str(error) in str(seen.value)


async def test_a_time_limit_outside_still_works() -> None:
    """A repeated cancellation leaves no trace in the task's count."""

    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await unswallowed(swallow())

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_time_limit_of_the_client_is_no_cancellation() -> None:
    """Not even when it passes at the very moment at which we look for swallowed ones."""
    loop = asyncio.get_running_loop()

    async def limited() -> None:
        async with asyncio.timeout(PATIENCE - 0.0005):
            await asyncio.Event().wait()

    for _ in range(10):
        # Both timers are then due in one turn of the loop.
        loop.call_later(PATIENCE - 0.004, time.sleep, 0.008)
        with pytest.raises(TimeoutError):
            await unswallowed(limited())
