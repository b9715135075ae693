"""The tasks of a worker: one for each message, which nothing outlives and nothing confuses."""

import asyncio
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    AgentWorker,
    InMemoryMessageCoordinator,
    tasks,
)
from tta_agent_coordination.coordinators import consumer as consumers
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.store import Held
from tta_agent_coordination.testing import WRITER, ManualClock, sample
from tta_agent_coordination.worker import WorkerState, current_message

Make = Callable[..., StoredMailboxes]
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


async def work_off(
    coordinator: StoredMailboxes,
    handle: Callable[[AgentMessage], Awaitable[object]],
    messages: int,
    **options: Any,
) -> AgentWorker:
    """Let a worker work on so many messages, and end."""
    seen = 0

    async def count(message: AgentMessage) -> object:
        nonlocal seen
        seen += 1
        if seen == messages:
            worker.stop()
        return await handle(message)

    await coordinator.send_many(sample(f"{n}") for n in range(messages))
    worker = AgentWorker(coordinator, WRITER, count, **options)
    await worker.run()
    return worker


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_message_has_a_context_of_its_own(concurrency: int) -> None:
    """What a handler sets there, such as fields for its log lines, is not seen by the next one."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    user.set("the program")
    seen: list[str] = []

    async def handle(message: AgentMessage) -> None:
        seen.append(user.get())
        user.set(message.message_id)
        await asyncio.sleep(0)

    worker = await work_off(InMemoryMessageCoordinator(), handle, 9, concurrency=concurrency)

    assert worker.health().done == 9
    assert seen == ["the program"] * 9
    with pytest.raises(LookupError):
        current_message()


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_message_costs_one_task(concurrency: int) -> None:
    """It works, settles, and fetches the next one; two more keep the leases and await the end."""
    before = asyncio.all_tasks()
    workers: set[asyncio.Task[Any] | None] = set()
    most = 0

    async def handle(_: AgentMessage) -> None:
        nonlocal most
        workers.add(asyncio.current_task())
        await asyncio.sleep(0)
        most = max(most, len(asyncio.all_tasks() - before))

    await work_off(InMemoryMessageCoordinator(), handle, 100, concurrency=concurrency)

    assert len(workers) == 100
    assert most <= concurrency + 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
@pytest.mark.parametrize(("concurrency", "prefetch"), [(1, 1), (1, 50), (4, 50), (100, 50)])
async def test_it_works_with_eager_tasks_as_well(concurrency: int, prefetch: int) -> None:
    """Which would run within their own creation."""

    async def handle(message: AgentMessage) -> None:
        if message.message_id.endswith("7"):
            await asyncio.sleep(0)

    loop: Any = asyncio.get_running_loop()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    options = {"concurrency": concurrency, "prefetch": prefetch}
    async with asyncio.timeout(100):
        worker = await work_off(InMemoryMessageCoordinator(), handle, 200, **options)
    loop.set_task_factory(None)

    assert worker.health().done == 200


async def test_an_acknowledgment_travels_with_the_next_fetch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a message costs one round trip."""
    monkeypatch.setattr(consumers, "FLUSH", 1000.0)  # however slow the machine is
    calls: list[str] = []

    class Counted(InMemoryMessageCoordinator):
        async def take(self, *args: Any, **options: Any) -> Any:
            calls.append("take")
            return await super().take(*args, **options)

        async def ack_many(self, *args: Any, **options: Any) -> Any:
            calls.append("ack")
            return await super().ack_many(*args, **options)

    async def handle(_: AgentMessage) -> None:
        await asyncio.sleep(0)

    await work_off(Counted(), handle, 50, lease=3000)

    assert calls.count("take") <= 51
    assert calls.count("ack") <= 2  # the last one, and the first


@pytest.mark.parametrize("resists", [False, True])
async def test_a_handler_that_cancels_its_own_task_has_failed(*, resists: bool) -> None:
    """Given back, its message would come again at once, for ever."""
    coordinator = InMemoryMessageCoordinator(backoff_base=0, max_attempts=2)

    async def handle(_: AgentMessage) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not resists:
                raise

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.health().failed == 2)
    worker.stop()
    await running

    (letter,) = await coordinator.dead_letters.list(WRITER)
    assert "cancelled from within" in (letter.error or "")
    assert worker.health().dropped == 0


async def test_a_worker_whose_fetching_is_cancelled_by_others_fetches_on() -> None:
    coordinator = InMemoryMessageCoordinator()
    before = asyncio.all_tasks()
    handled = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        handled.set()

    worker = AgentWorker(coordinator, WRITER, handle)
    running = asyncio.create_task(worker.run())
    for rest in (0, 0.01):  # before its first step, and while it waits
        await asyncio.sleep(rest)
        for task in asyncio.all_tasks() - before - {running}:
            if task.get_name() == "tta-agent-work":
                task.cancel()
    await coordinator.send_many([sample("a")])
    await asyncio.wait_for(handled.wait(), 60)
    worker.stop()
    await running


async def test_another_task_may_have_taken_over_the_fetching_meanwhile() -> None:
    """Then the one that was cancelled need not be replaced."""
    coordinator = InMemoryMessageCoordinator()
    begun, end = asyncio.Event(), asyncio.Event()
    before = asyncio.all_tasks()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        await end.wait()

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle, concurrency=2)
    running = asyncio.create_task(worker.run())
    await begun.wait()

    def fetching() -> list[asyncio.Task[Any]]:
        work = (one for one in asyncio.all_tasks() - before if one.get_name() == "tta-agent-work")
        return [one for one in work if "_fetch" in repr(one)]

    await until(lambda: bool(fetching()))
    for _ in range(20):
        await asyncio.sleep(0)  # it waits by then
    (task,) = fetching()
    task.cancel()
    end.set()  # in the same step: the other one has done its work, and fetches
    await asyncio.wait([task])
    await coordinator.send_many([sample("b")])
    await until(lambda: worker.health().done == 2)
    assert worker.health().state is WorkerState.READY
    worker.stop()
    await running


async def test_a_handler_that_outlives_the_loss_of_its_lease_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And whatever it returns or raises then is of no use."""
    monkeypatch.setattr(tasks, "INSIST", 0.01)
    coordinator = InMemoryMessageCoordinator(clock=ManualClock())
    begun = asyncio.Event()
    cancellations = 0

    async def handle(_: AgentMessage) -> None:
        nonlocal cancellations
        if begun.is_set():
            return
        token = current_message().token
        begun.set()
        await coordinator.give_back(WRITER, token)  # as an operator could
        while cancellations < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations += 1
        raise OSError("too late")

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle, lease=0.03)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.health().done == 1)  # it came again
    worker.stop()
    await running

    assert cancellations == 3
    health = worker.health()
    assert (health.done, health.failed, health.dropped) == (1, 0, 1)


async def test_work_that_outlasts_its_lease_goes_on_with_a_renewed_one(
    clock: ManualClock,
) -> None:
    renewed = asyncio.Event()

    class Renewing(InMemoryMessageCoordinator):
        async def renew(self, tokens: Sequence[str], seconds: float) -> list[Held]:
            renewed.set()
            return await super().renew(tokens, seconds)

    async def handle(_: AgentMessage) -> None:
        for _turn in range(4):
            renewed.clear()
            clock.advance(0.02)
            await renewed.wait()
            await asyncio.sleep(0)

    coordinator = Renewing(clock=clock)
    worker = await work_off(coordinator, handle, 1, lease=0.03)

    assert (worker.health().done, worker.health().dropped) == (1, 0)
    assert (await coordinator.stats(WRITER)).waiting == 0


async def test_only_the_work_whose_lease_is_lost_is_cancelled() -> None:
    coordinator = InMemoryMessageCoordinator(clock=ManualClock())
    tokens: dict[str, str] = {}
    end = asyncio.Event()

    async def handle(message: AgentMessage) -> None:
        tokens[message.message_id] = current_message().token
        await end.wait()

    await coordinator.send_many([sample("a"), sample("b")])
    worker = AgentWorker(coordinator, WRITER, handle, concurrency=2, lease=0.03)
    running = asyncio.create_task(worker.run())
    await until(lambda: len(tokens) == 2)
    await coordinator.give_back(WRITER, tokens["a"])  # as an operator could
    await until(lambda: worker.health().dropped == 1)
    end.set()
    await until(lambda: worker.health().done == 2)
    worker.stop()
    await running

    assert worker.health().dropped == 1


async def test_what_a_handler_returns_after_its_worker_was_cancelled_is_not_wanted() -> None:
    """Its message is given back, as it was told."""
    coordinator = InMemoryMessageCoordinator()
    begun = asyncio.Event()

    async def handle(_: AgentMessage) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    await coordinator.send_many([sample("a")])
    worker = AgentWorker(coordinator, WRITER, handle, drain_timeout=0)
    running = asyncio.create_task(worker.run())
    await begun.wait()
    worker.stop()
    await running

    assert (await coordinator.stats(WRITER)).waiting == 1
    assert worker.health().dropped == 1
