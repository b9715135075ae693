"""What a worker does with messages, over every back end; in real time."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentFailed,
    AgentId,
    AgentMessage,
    ConfigurationError,
    FailureType,
    MessageType,
    RequestTimeout,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, sample
from tta_agent_coordination.worker import AgentWorker, WorkerState, classify, current_message

Make = Callable[..., StoredMailboxes]
ONE = AgentId(type="writer", instance="1")


def ours() -> set[asyncio.Task[Any]]:
    """Return all tasks but those that fakeredis has of its own."""
    return {task for task in asyncio.all_tasks() if "AsyncFakeSocket" not in repr(task)}


@asynccontextmanager
async def running(worker: AgentWorker) -> AsyncGenerator[AgentWorker]:
    """Run a worker during the block, and stop it at the end."""
    before = ours()
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait([task], timeout=100)
    assert task.done()
    await task
    assert ours() <= before


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; a server may be part of it."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - it may be a server
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Failures of handlers are logged; the tests look at what becomes of the messages."""
    caplog.set_level(logging.CRITICAL, "tta_agent_coordination")


async def test_messages_are_worked_on_in_order_and_acknowledged(make_real: Make) -> None:
    coordinator = make_real()
    seen: list[str] = []

    async def handle(message: AgentMessage) -> None:
        seen.append(message.message_id)

    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        await coordinator.send_many(sample(f"{n}") for n in range(20))
        await until(lambda: worker.health().done == 20)

    assert seen == [f"{n}" for n in range(20)]
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased) == (0, 0)


async def test_as_many_are_worked_on_at_a_time_as_concurrency_says(make_real: Make) -> None:
    coordinator = make_real()
    now, most = 0, 0
    all_three = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 3:
            all_three.set()
        await all_three.wait()
        await asyncio.sleep(0)
        now -= 1

    await coordinator.send_many(sample(f"{n}") for n in range(9))
    async with running(AgentWorker(coordinator, WRITER, handle, concurrency=3)) as worker:
        await until(lambda: worker.health().done == 9)

    assert most == 3


async def test_a_sync_function_runs_in_a_thread_and_knows_its_message(make_real: Make) -> None:
    """The event loop goes on meanwhile; a partial of an async function is awaited."""
    coordinator = make_real()
    seen: list[tuple[str, int]] = []

    def handle(message: AgentMessage) -> None:
        seen.append((message.message_id, current_message().attempt))

    async def later(_: str, message: AgentMessage) -> None:
        seen.append((message.message_id, current_message().attempt))

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        await until(lambda: worker.health().done == 1)
    await coordinator.send_many([sample("b")])
    async with running(AgentWorker(coordinator, WRITER, partial(later, "x"))) as worker:
        await until(lambda: worker.health().done == 1)

    assert seen == [("a", 1), ("b", 1)]


def ask(message_id: str, **payload: Any) -> AgentMessage:
    """Make a request."""
    return sample(message_id, message_type=MessageType.REQUEST, payload=payload)


async def test_what_the_handler_returns_is_the_answer(make_real: Make) -> None:
    coordinator = make_real()

    async def handle(message: AgentMessage) -> object:
        return message.payload["give"]

    async with running(AgentWorker(coordinator, WRITER, handle)):
        cases: list[tuple[Any, dict[str, Any]]] = [
            ({"a": 1}, {"a": 1}),
            (None, {}),
            (3, {"result": 3}),
            ([1], {"result": [1]}),
        ]
        for n, (give, expected) in enumerate(cases):
            answer = await coordinator.request(ask(f"{n}", give=give), timeout=100)
            assert answer.payload == expected


async def test_an_object_with_process_gets_the_payload(make_real: Make) -> None:
    coordinator = make_real()

    class Doubler:
        async def process(self, input_payload: dict[str, Any], /) -> dict[str, Any]:
            return {"n": input_payload["n"] * 2}

    async with running(AgentWorker(coordinator, ONE, Doubler())):
        answer = await coordinator.request(ask("1", n=4), timeout=100)

    assert answer.payload == {"n": 8}
    assert answer.sender == ONE


async def test_a_requester_hears_of_a_failure_at_once(make_real: Make) -> None:
    """Nothing is tried again behind its back, and nothing is left in the mailbox."""
    coordinator = make_real()

    async def handle(message: AgentMessage) -> object:
        if message.payload["bad"] == "answer":
            return {"not": object()}
        raise OSError("no paint")

    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        with pytest.raises(AgentFailed, match="OSError: no paint"):
            await coordinator.request(ask("1", bad="work"), timeout=100)
        with pytest.raises(AgentFailed, match="InvalidMessageError"):
            await coordinator.request(ask("2", bad="answer"), timeout=100)
        await until(lambda: worker.health().failed == 2)

    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.scheduled, stats.leased, stats.dead) == (0, 0, 0, 0)


async def test_work_that_nobody_waits_for_any_more_is_cancelled(make_real: Make) -> None:
    coordinator = make_real()
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        patience = 0.1
        while not begun.is_set():
            with pytest.raises(RequestTimeout):
                await coordinator.request(ask(f"{patience}"), timeout=patience)
            patience *= 10  # if it has not begun, the machine has paused for so long
        await asyncio.wait_for(cancelled.wait(), 60)
        await until(lambda: worker.health().dropped > 0)


async def test_failures_are_classified(make_real: Make) -> None:
    """PERMANENT is a dead letter at once, the others are tried again."""
    coordinator = make_real(backoff_base=0)
    tries: list[str] = []

    async def handle(message: AgentMessage) -> None:
        tries.append(message.message_id)
        if len(tries) == 1:
            raise TimeoutError("too slow")
        if message.message_id == "a":
            raise TypeError("nonsense")

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        await until(lambda: worker.health().failed == 2)

    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert (letter.failure, letter.error) == (FailureType.PERMANENT, "TypeError: nonsense")
    assert tries == ["a", "a"]


@pytest.mark.parametrize("broken", [None, "nonsense", ZeroDivisionError()])
async def test_a_broken_classifier_costs_no_message(make_real: Make, broken: Any) -> None:
    coordinator = make_real(backoff_base=0, max_attempts=2)

    def decide(_: Exception) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    async def handle(_: AgentMessage) -> None:
        raise OSError

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle, classify=decide)) as worker:
        await until(lambda: worker.health().failed == 2)

    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert letter.failure is FailureType.TRANSIENT


async def test_a_handler_that_cancels_itself_has_failed(make_real: Make) -> None:
    """Given back, its message would come again at once, for ever."""
    coordinator = make_real(backoff_base=0, max_attempts=2)

    async def handle(_: AgentMessage) -> None:
        raise asyncio.CancelledError

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle)) as worker:
        await until(lambda: worker.health().failed == 2)

    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert "cancelled from within" in (letter.error or "")


async def test_stopping_gives_back_at_once_what_was_not_begun(make_real: Make) -> None:
    """While the work in hand goes on, another receiver has the rest; then run() returns."""
    coordinator = make_real()
    begun, end = asyncio.Event(), asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        await end.wait()

    await coordinator.send_many(sample(f"{n}") for n in range(8))
    async with running(AgentWorker(coordinator, WRITER, handle, prefetch=8)) as worker:
        await begun.wait()
        worker.stop()
        others = [await coordinator.receive(WRITER, 600, wait=100) for _ in range(7)]
        assert worker.health().state is WorkerState.STOPPING
        end.set()

    assert [got.message.message_id for got in others if got] == [f"{n}" for n in range(1, 8)]
    assert {got.attempt for got in others if got} == {1}
    assert (worker.health().done, worker.health().dropped) == (1, 0)


async def test_work_that_outlasts_the_drain_timeout_is_given_back(make_real: Make) -> None:
    coordinator = make_real()
    begun = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        await asyncio.Event().wait()

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle, drain_timeout=0.05)) as worker:
        await begun.wait()

    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1
    assert worker.health().dropped == 1


async def test_stop_now_does_not_wait_for_the_work_in_hand(make_real: Make) -> None:
    coordinator = make_real()
    begun = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        await asyncio.Event().wait()

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle, drain_timeout=1000)
    async with running(worker):
        await begun.wait()
        worker.stop()
        worker.stop_now()

    assert await coordinator.receive(WRITER) is not None


async def test_a_lost_lease_cancels_the_work_on_it(make_timeless: Make) -> None:
    coordinator = make_timeless()
    begun, ended = asyncio.Event(), asyncio.Event()
    tokens: list[str] = []

    async def handle(_: AgentMessage) -> None:
        tokens.append(current_message().token)
        if begun.is_set():
            return
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await coordinator.send_many([sample("a")])
    async with running(AgentWorker(coordinator, WRITER, handle, lease=0.3)) as worker:
        await begun.wait()
        await coordinator.give_back(WRITER, tokens[0])  # as an operator could
        await asyncio.wait_for(ended.wait(), 60)
        await until(lambda: worker.health().done == 1)  # it came again

    assert worker.health().dropped == 1


async def test_health_tells_ready_busy_and_stopping(make_real: Make) -> None:
    coordinator = make_real()
    begun, end = asyncio.Event(), asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        await end.wait()

    worker = AgentWorker(coordinator, WRITER, handle)
    assert (worker.health().state, worker.health().since) == (WorkerState.STOPPING, None)
    async with running(worker):
        await until(lambda: worker.health().state is WorkerState.READY)
        await coordinator.send_many([sample("a")])
        await begun.wait()
        assert worker.health().state is WorkerState.BUSY
        assert worker.health().healthy
        end.set()
        await until(lambda: worker.health().state is WorkerState.READY)
    assert not worker.health().healthy


async def test_a_worker_that_was_stopped_before_returns_at_once(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, print)
    worker.stop()

    await asyncio.wait_for(worker.run(), 60)

    assert (await coordinator.stats(WRITER)).waiting == 1
    with pytest.raises(ConfigurationError, match="runs once"):
        await worker.run()


def test_what_kind_of_failure_an_error_is() -> None:
    kinds = {
        TimeoutError: FailureType.TIMEOUT,
        OSError: FailureType.TRANSIENT,
        RuntimeError: FailureType.TRANSIENT,
        TypeError: FailureType.PERMANENT,
        ConfigurationError: FailureType.PERMANENT,
    }

    assert {error: classify(error()) for error in kinds} == kinds
