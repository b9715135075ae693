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
    from tta_agent_coordination import AgentId, RedisMessageCoordinator
    from tta_agent_coordination.worker import AgentWorker

    async def handle(message):
        print("begun", message.message_id, flush=True)
        try:
            await asyncio.sleep(float(message.payload.get("seconds", 0)))
        except asyncio.CancelledError:
            print("cancelled", message.message_id, flush=True)
            raise
        print("done", message.message_id, flush=True)

    async def main():
        async with Redis(port=int(sys.argv[1])) as client:
            coordinator = RedisMessageCoordinator(client, sys.argv[2])
            worker = AgentWorker(coordinator, AgentId(type="writer"), handle, prefetch=4, lease=1)
            print("ready", flush=True)
            await worker.run(signals=True)
            print("ended", flush=True)

    asyncio.run(main())
"""


class Worker:
    """A worker in a process of its own."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(server.port), prefix],
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        """Return the next line that it prints; empty when it has ended."""
        output = self.process.stdout
        assert output is not None
        async with asyncio.timeout(20):
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


async def test_sigterm_finishes_the_work_in_hand_and_gives_back_the_rest(
    redis_server: RedisServer, prefix: str, worker: Worker
) -> None:
    async with redis_server.client() as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many(
            [sample("a", payload={"seconds": 0.4}), sample("b"), sample("c")]
        )
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.process.send_signal(signal.SIGTERM)
        rest = await coordinator.receive_many(WRITER, 5, 30, wait=5)
        lines = [await worker.line(), await worker.line()]

        assert lines == ["done a", "ended"]
        assert await asyncio.to_thread(worker.process.wait, 10) == 0
        assert {got.message.message_id: got.attempt for got in rest} == {"b": 1, "c": 1}


async def test_a_second_signal_ends_the_work_in_hand(
    redis_server: RedisServer, prefix: str, worker: Worker
) -> None:
    async with redis_server.client() as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("a", payload={"seconds": 100})])
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.05)  # two signals at once are one
        worker.process.send_signal(signal.SIGTERM)
        lines = [await worker.line(), await worker.line()]

        assert lines == ["cancelled a", "ended"]
        assert await asyncio.to_thread(worker.process.wait, 10) == 0
        received = await coordinator.receive(WRITER, wait=0.2)
        assert received is not None
        assert received.attempt == 1


async def test_what_a_killed_worker_had_comes_again(
    redis_server: RedisServer, prefix: str, worker: Worker
) -> None:
    """When its leases have ended: a second, and a quarter."""
    async with redis_server.client() as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("a", payload={"seconds": 100}), sample("b")])
        assert [await worker.line(), await worker.line()] == ["ready", "begun a"]

        worker.process.kill()
        worker.process.wait()
        found: dict[str, int] = {}
        async with asyncio.timeout(1 + 0.25 + 1):  # and a second for a busy machine
            while len(found) < 2:
                received = await coordinator.receive_many(WRITER, 5, 30, wait=5)
                found.update({got.message.message_id: got.attempt for got in received})

        assert found == {"a": 2, "b": 2}


async def test_a_worker_goes_on_after_its_server_was_killed_and_started_again(
    program: str, prefix: str, tmp_path: Path
) -> None:
    """Within a second of its being back; nothing is lost, with an append-only file."""
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
            assert await asyncio.wait_for(seen.get(), 5) == "a"

            await asyncio.to_thread(server.stop, kill=True)
            async with asyncio.timeout(20):
                while worker.health().state is not WorkerState.DEAF:  # noqa: ASYNC110 - a server
                    await asyncio.sleep(0.02)
            deaf = worker.health()
            await asyncio.to_thread(server.start)
            async with server.client() as other:
                await RedisMessageCoordinator(other, prefix).send_many([sample("b")])
            assert await asyncio.wait_for(seen.get(), 2) == "b"

            assert worker.health().state is not WorkerState.DEAF
            assert deaf.since is not None
            assert not deaf.healthy
            worker.stop()
            await asyncio.wait_for(task, 5)


async def test_a_worker_goes_on_after_its_server_stood_still(program: str, prefix: str) -> None:
    with RedisServer(program) as server:
        async with server.client(socket_timeout=1) as client:
            coordinator = RedisMessageCoordinator(client, prefix)
            seen: asyncio.Queue[str] = asyncio.Queue()

            async def handle(message: AgentMessage) -> None:
                seen.put_nowait(message.message_id)

            worker = AgentWorker(coordinator, WRITER, handle)
            task = asyncio.create_task(worker.run())
            await coordinator.send_many([sample("a")])
            assert await asyncio.wait_for(seen.get(), 5) == "a"

            os.kill(server.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(20):
                    while worker.health().state is not WorkerState.DEAF:  # noqa: ASYNC110 - a server
                        await asyncio.sleep(0.02)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            async with server.client() as other:
                await RedisMessageCoordinator(other, prefix).send_many([sample("b")])
            assert await asyncio.wait_for(seen.get(), 2) == "b"

            worker.stop()
            await asyncio.wait_for(task, 5)


async def test_stopping_does_not_wait_for_a_server_that_is_silent(
    program: str, prefix: str
) -> None:
    with RedisServer(program) as server:
        async with server.client() as client:
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
                await asyncio.wait_for(task, 3)
            finally:
                os.kill(server.pid, signal.SIGCONT)


async def test_handlers_of_signals_are_put_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    worker = AgentWorker(InMemoryMessageCoordinator(), WRITER, print)
    task = asyncio.create_task(worker.run(signals=True))
    await asyncio.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]

    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)

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
