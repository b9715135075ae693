"""A worker's options, its registry, how it notices a silent server, and what it cannot survive."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    InMemoryMessageCoordinator,
    MessageType,
)
from tta_agent_coordination.registries import InMemoryAgentRegistry
from tta_agent_coordination.testing import ASKER, WRITER, sample
from tta_agent_coordination.worker import AgentWorker, WorkerState, current_message
from tta_agent_coordination.worker.handlers import payload_of
from tta_agent_coordination.worker.health import GRACE, PARK, Ear

ONE = AgentId(type="writer", instance="1")


async def handle(_: AgentMessage) -> None:
    """Do nothing."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - several events may make it so
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"prefetch": 1001},
        {"lease": float("nan")},
        {"lease": -1},
        {"drain_timeout": float("inf")},
        {"classify": "permanent"},
        {"handler": None},
        {"handler": AgentMessage},
        {"coordinator": object()},
        {"agent_id": "writer"},
        {"registry": InMemoryAgentRegistry()},
    ],
    # By hand: the text of an object holds its address, and processes would not agree on it.
    ids=[
        "no concurrency",
        "concurrency True",
        "prefetch 1001",
        "lease nan",
        "lease -1",
        "drain_timeout inf",
        "classify text",
        "no handler",
        "handler type",
        "coordinator object",
        "agent_id text",
        "registry without an instance",
    ],
)
async def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "coordinator": InMemoryMessageCoordinator(),
        "agent_id": WRITER,
        "handler": handle,
        **options,
    }

    with pytest.raises(ConfigurationError, match=next(iter(options)).replace("registry", "agent_")):
        AgentWorker(**given)


async def test_the_agent_is_registered_while_the_worker_runs() -> None:
    registry = InMemoryAgentRegistry()
    coordinator = InMemoryMessageCoordinator()
    worker = AgentWorker(coordinator, ONE, handle, registry=registry, capabilities=["poems"])
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.health().state is WorkerState.READY)
    await coordinator.send_message(ASKER, ONE, sample("m1", recipient=ONE))
    await until(lambda: worker.health().done == 1)

    (agent,) = await registry.list_registered()
    worker.stop()
    await task

    assert (agent["agent_id"], agent["alive"], agent["capabilities"]) == (ONE, True, ["poems"])
    assert await registry.list_registered() == []


class Unreachable(InMemoryAgentRegistry):
    """A registry whose server is away."""

    async def flush(self) -> None:
        """Fail."""
        self._intents.clear()
        raise CoordinatorConnectionError("away")


async def test_a_registry_that_is_away_does_not_keep_it_from_working() -> None:
    coordinator = InMemoryMessageCoordinator()
    worker = AgentWorker(coordinator, ONE, handle, registry=Unreachable())
    task = asyncio.create_task(worker.run())
    await coordinator.send_message(ASKER, ONE, sample("m1", recipient=ONE))
    await until(lambda: worker.health().done == 1)
    worker.stop()
    await task


class Fake(InMemoryMessageCoordinator):
    """A coordinator that fails as it is told."""

    error: Exception | None = None

    async def take(self, *args: Any, **options: Any) -> Any:
        """Fail, or receive."""
        if self.error is not None:
            raise self.error
        return await super().take(*args, **options)

    async def nack(self, *args: Any, **options: Any) -> bool:
        """Fail, or settle."""
        if self.error is not None:
            raise self.error
        return await super().nack(*args, **options)


async def test_what_the_server_refuses_ends_the_worker() -> None:
    """Waiting would not help; the error says what to do."""
    coordinator = Fake()
    coordinator.error = CoordinatorAccessError("no rights")

    with pytest.raises(CoordinatorAccessError):
        await asyncio.wait_for(AgentWorker(coordinator, WRITER, handle).run(), 60)


async def test_a_message_that_cannot_be_settled_ends_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "tta_agent_coordination")
    coordinator = Fake()

    async def fail(_: AgentMessage) -> None:
        coordinator.error = CoordinatorAccessError("no rights any more")
        raise OSError

    await coordinator.send_many([sample("m1")])
    with pytest.raises(CoordinatorAccessError):
        await asyncio.wait_for(AgentWorker(coordinator, WRITER, fail).run(), 60)

    coordinator.error = None
    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1


async def test_settling_goes_on_until_the_server_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """The work is not done again for it."""
    caplog.set_level(logging.CRITICAL, "tta_agent_coordination")
    coordinator = Fake(backoff_base=1000)
    times = 0

    async def fail(_: AgentMessage) -> None:
        nonlocal times
        times += 1
        coordinator.error = CoordinatorConnectionError("away")
        raise OSError("no paint")

    await coordinator.send_many([sample("m1")])
    worker = AgentWorker(coordinator, WRITER, fail)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.health().state is WorkerState.DEAF)
    coordinator.error = None
    await until(lambda: worker.health().failed == 1)
    worker.stop()
    await task

    assert times == 1
    assert (await coordinator.stats(WRITER)).scheduled == 1


async def test_a_requester_that_died_is_not_worked_for_longer_than_it_would_have_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coordinator = InMemoryMessageCoordinator()
    worker = AgentWorker(coordinator, WRITER, lambda _: asyncio.Event().wait())
    task = asyncio.create_task(worker.run())
    patience = 0.1
    while True:
        request = sample(f"m{patience}", message_type=MessageType.REQUEST)
        asking = asyncio.create_task(coordinator.request(request, timeout=patience))
        while worker.health().working == 0 and not asking.done():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        if not asking.done():
            break
        patience *= 10  # the machine has paused for so long
    monkeypatch.setattr(coordinator, "_withdraw", _nothing)  # as one that was killed
    await asyncio.wait([asking])
    await until(lambda: worker.health().dropped > 0)
    worker.stop()
    await task

    assert isinstance(asking.exception(), TimeoutError)


async def _nothing(*_: object) -> None:
    pass


class SpeechlessError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StopIteration(), "RuntimeError: the handler raised StopIteration"),
        (SpeechlessError(), "SpeechlessError"),
        (ExceptionGroup("two", [OSError()]), "ExceptionGroup: two (1 sub-exception)"),
    ],
)
async def test_whatever_a_sync_handler_raises_is_a_failure_of_its_message(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "tta_agent_coordination")
    coordinator = InMemoryMessageCoordinator(max_attempts=1)

    def fail(_: AgentMessage) -> None:
        raise error

    await coordinator.send_many([sample("m1")])
    worker = AgentWorker(coordinator, WRITER, fail)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.health().failed == 1)
    worker.stop()
    await task

    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert letter.error == said


async def test_a_sync_handler_that_does_not_end_holds_nothing_up() -> None:
    """Its thread cannot be ended; its message is given back, and its result is not wanted."""
    coordinator = InMemoryMessageCoordinator()
    begun, end = threading.Event(), threading.Event()

    def slow(_: AgentMessage) -> None:
        begun.set()
        end.wait(150)

    await coordinator.send_many([sample("m1")])
    worker = AgentWorker(coordinator, WRITER, slow, drain_timeout=0)
    task = asyncio.create_task(worker.run())
    await asyncio.to_thread(begun.wait, 100)
    worker.stop()
    await asyncio.wait_for(task, 60)
    end.set()
    await until(lambda: all(one.name != "tta-agent-handler" for one in threading.enumerate()))
    await asyncio.sleep(0)  # the thread has told, and nobody listens

    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1


def test_a_handler_that_ends_the_process_does_so() -> None:
    """And its message is given back first."""
    coordinator = InMemoryMessageCoordinator()

    async def leave(_: AgentMessage) -> None:
        raise SystemExit(7)

    async def main() -> None:
        await coordinator.send_many([sample("m1")])
        await AgentWorker(coordinator, WRITER, leave).run()

    with pytest.raises(SystemExit, match="7"):
        asyncio.run(main())

    received = asyncio.run(coordinator.receive(WRITER))
    assert received is not None
    assert received.attempt == 1


def test_the_current_message_is_known_in_handlers_only() -> None:
    with pytest.raises(LookupError, match="outside the handler"):
        current_message()


def test_a_model_is_written_as_the_payload() -> None:
    assert payload_of(ONE) == {"type": "writer", "instance": "1"}


class Clock:
    """Monotonic seconds, moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


async def test_a_late_answer_is_silence_until_another_one_comes() -> None:
    clock = Clock()
    ear = Ear(InMemoryMessageCoordinator(), clock, lambda: None)
    waiting = asyncio.create_task(ear.take(WRITER, 1, wait=1000))
    await asyncio.sleep(0)
    clock.now += PARK + GRACE - 0.1
    before = ear.deaf
    clock.now += 0.2
    late = ear.deaf
    await ear.extend(WRITER, "writer:*:x", 5)
    heard = ear.deaf
    waiting.cancel()
    await asyncio.wait([waiting])

    assert (before, late, heard) == (False, True, False)
    assert ear.heard == clock.now


async def test_a_lost_connection_is_silence_until_an_answer_comes() -> None:
    coordinator = Fake()
    ear = Ear(coordinator, Clock(), lambda: None)
    coordinator.error = CoordinatorConnectionError("away")
    with pytest.raises(CoordinatorConnectionError):
        await ear.take(WRITER, 1)
    lost = ear.deaf
    coordinator.error = None
    await ear.take(WRITER, 1)

    assert (lost, ear.deaf) == (True, False)
