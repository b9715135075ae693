"""How a worker ends and what it insists on: with servers that refuse, signals, plain registries."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    AgentRegistry,
    AgentWorker,
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    InMemoryMessageCoordinator,
    MessageType,
)
from tta_agent_coordination.testing import WRITER, ManualClock, sample
from tta_agent_coordination.worker import WorkerState, current_message
from tta_agent_coordination.worker.signals import heeding

ONE = AgentId(type="writer", instance="1")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Failures of handlers are logged; the tests look at what becomes of the messages."""
    caplog.set_level(logging.CRITICAL, "tta_agent_coordination")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - several events may make it so
            await asyncio.sleep(0.001)


class Refusing(InMemoryMessageCoordinator):
    """A coordinator that fails at settling as it is told."""

    error: Exception | None = None

    async def reply(self, *args: Any, **options: Any) -> None:
        """Fail, or answer."""
        if self.error is not None:
            raise self.error
        await super().reply(*args, **options)

    async def give_back_many(self, *args: Any, **options: Any) -> int:
        """Fail, or give back."""
        if self.error is not None:
            raise self.error
        return await super().give_back_many(*args, **options)


async def test_an_answer_is_not_insisted_on_when_the_lease_is_lost_meanwhile() -> None:
    """While the server was away somebody else has got the message, and answers."""
    coordinator = Refusing(clock=ManualClock())
    tokens: list[str] = []

    async def handle(_: AgentMessage) -> dict[str, int]:
        tokens.append(current_message().token)
        if len(tokens) == 1:
            coordinator.error = CoordinatorConnectionError("away")
        return {"answer": len(tokens)}

    worker = AgentWorker(coordinator, WRITER, handle, lease=0.03)
    running = asyncio.create_task(worker.run())
    request = sample("m1", message_type=MessageType.REQUEST)
    asking = asyncio.create_task(coordinator.request(request, timeout=100))
    await until(lambda: bool(tokens))
    await coordinator.give_back(WRITER, tokens[0])  # as an operator could
    await until(lambda: worker.health().dropped == 1)
    coordinator.error = None
    answer = await asking
    worker.stop()
    await running

    assert answer.payload == {"answer": 2}


async def test_what_cannot_be_given_back_comes_again_by_itself() -> None:
    """The worker ends all the same."""
    coordinator = Refusing()
    begun = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        coordinator.error = CoordinatorAccessError("no rights any more")
        await asyncio.Event().wait()

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle, drain_timeout=0, lease=0.05)
    running = asyncio.create_task(worker.run())
    await begun.wait()
    worker.stop()
    await running

    received = await coordinator.receive(WRITER, wait=100)
    assert received is not None


def test_a_worker_whose_loop_is_gone_can_still_be_told_to_stop() -> None:
    """By a signal handler of others, for example, as the process ends."""
    worker = AgentWorker(InMemoryMessageCoordinator(), WRITER, print)
    worker.stop()
    asyncio.run(worker.run())
    worker.stop_now()

    assert worker.health().state is WorkerState.STOPPING


async def test_one_that_was_told_to_hurry_before_it_began_begins_nothing() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, print, drain_timeout=1000)
    worker.stop_now()
    await asyncio.wait_for(worker.run(), 60)

    assert (await coordinator.stats(WRITER)).waiting == 1


class Plain(AgentRegistry):
    """A registry with no more than the specification's three methods."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def register(self, agent: Any) -> None:
        """Take note."""
        self.heard.append(("+", agent.agent_id))

    def deregister(self, agent_id: AgentId) -> None:
        """Take note."""
        self.heard.append(("-", agent_id))

    async def list_registered(self) -> list[dict[str, Any]]:
        """Tell nothing."""
        return []


async def test_a_registry_that_writes_at_once_need_not_be_flushed() -> None:
    registry = Plain()
    worker = AgentWorker(InMemoryMessageCoordinator(), ONE, print, registry=registry)
    worker.stop()
    await worker.run()

    assert registry.heard == [("+", ONE), ("-", ONE)]


def test_signals_are_refused_outside_the_main_thread() -> None:
    async def run() -> None:
        await AgentWorker(InMemoryMessageCoordinator(), WRITER, print).run(signals=True)

    failures: list[BaseException] = []

    def other() -> None:
        try:
            asyncio.run(run())
        except ConfigurationError as error:
            failures.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(100)

    assert "main thread" in str(failures[0])


def test_the_first_signal_stops_and_the_next_hurries() -> None:
    """And afterwards the former handler is there again."""
    told: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with heeding(lambda: told.append("stop"), lambda: told.append("now")):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)

    assert told == ["stop", "now", "now"]
    assert signal.getsignal(signal.SIGTERM) is before
