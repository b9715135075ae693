"""Workers in processes of their own, ended by signals; servers that stand still or start again."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    ConfigurationError,
    InMemoryMessageCoordinator,
    RedisMessageCoordinator,
)
from tta_agent_coordination.testing import WRITER, RedisServer, sample
from tta_agent_coordination.worker import AgentWorker, WorkerState

pytestmark = pytest.mark.slow  # processes are started, killed and stopped
WORKER = """
    import asyncio, sys
    from redis.asyncio import Redis
    from tta_agent_coordination import AgentId, RedisMessageCoordinator, tasks
    from tta_agent_coordination.coordinators import redis_receiver
    from tta_agent_coordination.worker import AgentWorker, crew, running

    for module in (tasks, redis_receiver, crew, running):
        module.PARTING = 60  # a machine may be slow, for once

    async def handle(message):
        print("begun", message.message_id, flush=True)
        try:
            key = message.payload.get("until")
            while key and not await client.exists(key):
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            print("cancelled", message.message_id, flush=True)
            raise
        print("done", message.message_id, flush=True)

    async def main():
        coordinator = RedisMessageCoordinator(client, sys.argv[2])
        lease = float(sys.argv[3])
        worker = AgentWorker(coordinator, AgentId(type="writer"), handle, prefetch=4, lease=lease)
        print("ready", flush=True)
        await worker.run(signals=True)
        await client.aclose()
        print("ended", flush=True)

    client = Redis(port=int(sys.argv[1]), socket_timeout=60)
    asyncio.run(main())
"""


def held(prefix: str) -> dict[str, JsonValue]:
    """Return the payload of a message that is worked on until there is a key."""
    return {"until": f"{prefix}:until"}


class Worker:
    """A worker in a process of its own."""

    def __init__(self, server: RedisServer, prefix: str, lease: float = 600) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(server.port), prefix, str(lease)],
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        """Return the next line that it prints; empty when it has ended."""
        output = self.process.stdout
        assert output is not None
        async with asyncio.timeout(120):
            return (await asyncio.to_thread(output.readline)).strip()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own."""
    return uuid.uuid4().hex


@pytest.fixture
def worker(redis_server: RedisServer, prefix: str) -> Iterator[Worker]:
    """A worker process."""
    made = Worker(redis_server, prefix)
    yield made
    made.close()


@pytest.mark.usefixtures("patient")
async def test_sigterm_finishes_the_work_in_hand_and_gives_back_the_rest(
    redis_server: RedisServer, prefix: str, worker: Worker
) -> None:
    async with redis_server.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("a", payload=held(prefix)), sample("b"), sample("c")])
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.process.send_signal(signal.SIGTERM)
        rest = await coordinator.receive_many(WRITER, 5, 600, wait=60)
        if len(rest) < 2:  # one was handed to us while we waited
            rest += await coordinator.receive_many(WRITER, 5, 600, wait=60)
        await client.set(f"{prefix}:until", "told")
        lines = [await worker.line(), await worker.line()]

        assert lines == ["done a", "ended"]
        assert await asyncio.to_thread(worker.process.wait, 60) == 0
        assert {got.message.message_id: got.attempt for got in rest} == {"b": 1, "c": 1}


async def test_a_second_signal_ends_the_work_in_hand(
    redis_server: RedisServer, prefix: str, worker: Worker
) -> None:
    async with redis_server.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("a", payload=held(prefix))])
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.process.send_signal(signal.SIGINT)
        worker.process.send_signal(signal.SIGTERM)
        lines = [await worker.line(), await worker.line()]

        assert lines == ["cancelled a", "ended"]
        assert await asyncio.to_thread(worker.process.wait, 60) == 0
        received = await coordinator.receive(WRITER)
        assert received is not None
        assert received.attempt == 1


@pytest.mark.usefixtures("patient")
async def test_what_a_killed_worker_had_comes_again(redis_server: RedisServer, prefix: str) -> None:
    """When its leases have ended, and he who waits is told so: he does not look by himself."""
    worker = Worker(redis_server, prefix, lease=1)
    async with redis_server.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("a", payload=held(prefix)), sample("b")])
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.close()
        found: dict[str, int] = {}
        async with asyncio.timeout(60):
            while len(found) < 2:
                received = await coordinator.receive_many(WRITER, 5, 600, wait=1000)
                found.update({got.message.message_id: got.attempt for got in received})

        # Had it stood still for a second before it was killed, it would have had them twice.
        assert {name: attempt >= 2 for name, attempt in found.items()} == {"a": True, "b": True}


async def test_a_worker_goes_on_after_its_server_was_killed_and_started_again(
    program: str, prefix: str, tmp_path: Path
) -> None:
    """Soon after its being back; nothing is lost, with an append-only file."""
    options = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(tmp_path))
    with RedisServer(program, options) as server:
        async with server.client() as client:
            coordinator = RedisMessageCoordinator(client, prefix)
            seen: asyncio.Queue[str] = asyncio.Queue()

            async def handle(message: AgentMessage) -> None:
                seen.put_nowait(message.message_id)

            worker = AgentWorker(coordinator, WRITER, handle)
            task = asyncio.create_task(worker.run())
            await coordinator.send_many([sample("a")])
            assert await asyncio.wait_for(seen.get(), 60) == "a"

            await asyncio.to_thread(server.stop, kill=True)
            async with asyncio.timeout(60):
                while worker.health().state is not WorkerState.DEAF:  # noqa: ASYNC110 - a server
                    await asyncio.sleep(0.02)
            deaf = worker.health()
            await asyncio.to_thread(server.start)
            async with server.client() as other:
                await RedisMessageCoordinator(other, prefix).send_many([sample("b")])
            assert await asyncio.wait_for(seen.get(), 60) == "b"

            async with asyncio.timeout(60):
                while worker.health().state is WorkerState.DEAF:  # noqa: ASYNC110 - a server
                    await asyncio.sleep(0.02)
            assert deaf.since is not None
            assert not deaf.healthy
            worker.stop()
            await asyncio.wait_for(task, 60)


async def test_a_worker_goes_on_after_its_server_stood_still(program: str, prefix: str) -> None:
    with RedisServer(program) as server:
        once = Retry(NoBackoff(), 0)
        async with server.client(socket_timeout=1, retry=once) as client, server.client() as other:
            seen: asyncio.Queue[str] = asyncio.Queue()

            async def handle(message: AgentMessage) -> None:
                seen.put_nowait(message.message_id)

            worker = AgentWorker(RedisMessageCoordinator(client, prefix), WRITER, handle)
            task = asyncio.create_task(worker.run())
            await RedisMessageCoordinator(other, prefix).send_many([sample("a")])
            assert await asyncio.wait_for(seen.get(), 60) == "a"

            os.kill(server.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(60):
                    while worker.health().state is not WorkerState.DEAF:  # noqa: ASYNC110 - a server
                        await asyncio.sleep(0.02)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await RedisMessageCoordinator(other, prefix).send_many([sample("b")])
            assert await asyncio.wait_for(seen.get(), 60) == "b"

            worker.stop()
            await asyncio.wait_for(task, 60)


async def test_stopping_does_not_wait_for_a_server_that_is_silent(
    program: str, prefix: str
) -> None:
    with RedisServer(program) as server:
        once = Retry(NoBackoff(), 0)
        async with server.client(socket_timeout=1000, retry=once) as client:
            begun = asyncio.Event()

            async def handle(_: AgentMessage) -> None:
                begun.set()
                await asyncio.Event().wait()

            coordinator = RedisMessageCoordinator(client, prefix)
            await coordinator.send_many([sample("a"), sample("b")])
            worker = AgentWorker(coordinator, WRITER, handle, prefetch=2, drain_timeout=0)
            task = asyncio.create_task(worker.run())
            await begun.wait()
            os.kill(server.pid, signal.SIGSTOP)
            try:
                worker.stop()
                await asyncio.wait_for(task, 60)  # of the 1000 that the client would wait
            finally:
                os.kill(server.pid, signal.SIGCONT)


async def test_handlers_of_signals_are_put_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    worker = AgentWorker(InMemoryMessageCoordinator(), WRITER, print)
    task = asyncio.create_task(worker.run(signals=True))
    async with asyncio.timeout(60):
        while signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 60)

    assert {number: signal.getsignal(number) for number in before} == before


def test_signals_need_the_main_thread() -> None:
    found: list[BaseException] = []

    def run() -> None:
        worker = AgentWorker(InMemoryMessageCoordinator(), AgentId(type="x"), print)
        try:
            asyncio.run(worker.run(signals=True))
        except ConfigurationError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert "main thread" in str(found)
