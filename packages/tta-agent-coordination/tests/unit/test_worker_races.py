"""What happens when a worker, a consumer or a registry is cancelled at the worst moment."""

import asyncio
import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    AgentMessage,
    AgentWorker,
    ConfigurationError,
    CoordinatorConnectionError,
    InMemoryAgentRegistry,
    InMemoryMessageCoordinator,
    InMemorySharedState,
    RedisMessageCoordinator,
    WorkerState,
    tasks,
)
from tta_agent_coordination.testing import WRITER, sample

ONE = AgentId(type="writer", instance="1")


async def never(_: AgentMessage) -> None:
    """Work on a message for ever."""
    await asyncio.Event().wait()


async def ticks(count: int) -> None:
    """Let everything else go on so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("moment", range(24))
async def test_a_message_that_comes_as_the_worker_is_cancelled_is_given_back(moment: int) -> None:
    """Between being received and being begun, it is nobody's else it would wait for its lease."""
    coordinator = InMemoryMessageCoordinator()
    running = asyncio.create_task(AgentWorker(coordinator, WRITER, never).run())
    await ticks(10)
    await coordinator.send_message(sample("a").sender, WRITER, sample("a"))
    await ticks(moment)
    running.cancel()
    await asyncio.wait([running])

    stats = await coordinator.stats(WRITER)
    assert (stats.leased, stats.waiting) == (0, 1)


@pytest.mark.parametrize("moment", range(24))
async def test_so_is_one_that_comes_as_it_is_stopped(moment: int) -> None:
    coordinator = InMemoryMessageCoordinator()
    worker = AgentWorker(coordinator, WRITER, never, drain_timeout=0)
    running = asyncio.create_task(worker.run())
    await ticks(10)
    await coordinator.send_message(sample("a").sender, WRITER, sample("a"))
    await ticks(moment)
    worker.stop()
    await running

    stats = await coordinator.stats(WRITER)
    assert (stats.leased, stats.waiting) == (0, 1)


@pytest.mark.parametrize("moment", range(24))
async def test_all_tasks_may_be_cancelled_at_once(moment: int) -> None:
    """As `asyncio.run` does at its end: the work may end before the worker looks at it."""
    coordinator = InMemoryMessageCoordinator()
    others = asyncio.all_tasks()
    running = asyncio.create_task(AgentWorker(coordinator, WRITER, never).run())
    await ticks(10)
    await coordinator.send_message(sample("a").sender, WRITER, sample("a"))
    await ticks(moment)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    await asyncio.wait([running])

    stats = await coordinator.stats(WRITER)
    assert (stats.leased, stats.waiting) == (0, 1)


async def test_a_consumer_that_is_cancelled_as_it_ends_leaves_no_task() -> None:
    class Slow(InMemoryMessageCoordinator):
        async def renew(self, tokens: Any, seconds: float) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)  # as a call to a server that is told to stop

    coordinator = Slow()
    await coordinator.send_message(sample("a").sender, WRITER, sample("a"))
    before = asyncio.all_tasks()
    received = asyncio.Event()

    async def consume() -> None:
        async with coordinator.consume(WRITER, lease=0.03) as leases:
            async for _ in leases:
                received.set()
                await asyncio.sleep(0.03)  # a renewal is under way
                break

    task = asyncio.create_task(consume())
    await received.wait()
    await asyncio.sleep(0.035)  # the block ends, and waits for the renewal
    task.cancel()
    await asyncio.wait([task])

    assert asyncio.all_tasks() == before


async def test_a_worker_that_is_cancelled_while_it_registers_is_deregistered() -> None:
    class Slow(InMemoryAgentRegistry):
        flushes = 0

        async def flush(self) -> None:
            await super().flush()
            self.flushes += 1
            if self.flushes == 1:
                await asyncio.Event().wait()

    registry = Slow()
    worker = AgentWorker(InMemoryMessageCoordinator(), ONE, never, registry=registry)
    running = asyncio.create_task(worker.run())
    await ticks(5)
    assert await registry.get(ONE) is not None
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()
    assert await registry.get(ONE) is None
    assert worker.health().state is WorkerState.STOPPING


async def test_a_cancelled_run_gives_everything_back(
    make_real: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "INSIST", 0.01)
    coordinator = make_real()
    begun = asyncio.Event()

    async def handle(_: AgentMessage) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):  # a handler that resists once
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    await coordinator.send_many([sample("a"), sample("b")])
    task = asyncio.create_task(AgentWorker(coordinator, WRITER, handle, prefetch=2).run())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("tta-")]
    received = await coordinator.receive_many(WRITER, 5)
    assert {got.message.message_id: got.attempt for got in received} == {"a": 1, "b": 1}


class Stuck:
    """A client whose server takes every command and answers none."""

    connection_pool = None

    async def execute_command(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


async def test_a_second_cancellation_does_not_forget_what_may_be_reserved() -> None:
    """It is given back with the next call."""
    coordinator = RedisMessageCoordinator(Stuck())
    receiving = asyncio.create_task(coordinator.receive(WRITER))
    await ticks(5)
    receiving.cancel()
    await ticks(5)  # it is giving back now
    receiving.cancel()
    await asyncio.wait([receiving])

    assert receiving.cancelled()
    store: Any = vars(coordinator)["_store"]
    assert len(store._receiver._unanswered) == 1


async def test_an_error_of_the_system_is_a_connection_error() -> None:
    class Broken(Stuck):
        async def execute_command(self, *_: Any, **__: Any) -> Any:
            raise OSError(113, "No route to host")

    with pytest.raises(CoordinatorConnectionError, match="No route to host"):
        await RedisMessageCoordinator(Broken()).receive(WRITER)


class Odd(InMemoryAgentRegistry):
    """A registry that fails in a way that nobody has thought of, once."""

    beats = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.errors: list[Exception | None] = []

    async def heartbeat(self) -> None:
        self.beats += 1
        self.errors.append(self.heartbeat_error)
        if self.beats == 2:
            raise ZeroDivisionError("odd")
        await super().heartbeat()


async def test_a_heartbeat_goes_on_after_any_error(caplog: pytest.LogCaptureFixture) -> None:
    async with Odd(heartbeat_ttl=0.03, heartbeat_interval=0.01) as registry:
        while registry.beats < 4:  # noqa: ASYNC110 - a heartbeat is no event
            await asyncio.sleep(0.001)

    assert [type(error) for error in registry.errors[:4]] == [
        *(type(None), type(None), ZeroDivisionError, type(None))
    ]

    assert "odd" in caplog.text
    assert caplog.records[0].exc_info is not None


async def test_a_registry_is_used_by_one_block_at_a_time() -> None:
    registry = InMemoryAgentRegistry()

    async def use() -> None:
        async with registry:
            await asyncio.sleep(0.01)

    results = await asyncio.gather(use(), use(), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), ConfigurationError]
    await use()  # and again, when the block has ended


async def test_a_block_that_did_not_begin_can_begin_later() -> None:
    class Away(InMemoryAgentRegistry):
        away = True

        async def heartbeat(self) -> None:
            if self.away:
                raise CoordinatorConnectionError("away")
            await super().heartbeat()

    registry = Away()
    with pytest.raises(CoordinatorConnectionError):
        async with registry:
            pass
    registry.away = False
    async with registry:
        pass


@pytest.mark.usefixtures("unhurried")
async def test_a_registry_that_is_cancelled_as_it_ends_leaves_nothing_behind() -> None:
    """No task, and no warning: with the block, what was noted is over."""

    class Slow(InMemoryAgentRegistry):
        slow = False

        async def flush(self) -> None:
            if self.slow:
                await asyncio.Event().wait()
            await super().flush()

    registry = Slow()
    before = asyncio.all_tasks()

    async def use() -> None:
        async with registry:
            registry.register(AgentDescription(ONE))
            await registry.flush()
            registry.slow = True

    task = asyncio.create_task(use())
    await asyncio.sleep(0.01)  # it is deregistering
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert asyncio.all_tasks() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.__del__()


async def test_closing_a_watch_ends_all_of_it_at_once() -> None:
    registry = InMemoryAgentRegistry()
    registry.register(AgentDescription(ONE))
    await registry.flush()
    before = asyncio.all_tasks()
    async with contextlib.aclosing(registry.watch()) as changes:
        async for change in changes:
            assert change.agent_id == ONE
            break
    assert asyncio.all_tasks() == before


async def test_a_value_is_put_whatever_was_there() -> None:
    state = InMemorySharedState()
    first = await state.set("n", 1)
    second = await state.set("n", 2)
    assert second.version > first.version
    assert await state.compare_and_set("n", 3, expected=first.version) is None
