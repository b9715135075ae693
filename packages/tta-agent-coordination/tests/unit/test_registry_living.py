"""Registries in real time, over every back end: the heartbeat, watching, proxies.

A real server's clock cannot be moved, so times that must pass are short.
"""

import asyncio
import gc
import uuid
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from tta_agent_coordination import AgentId
from tta_agent_coordination.errors import ConfigurationError, InvalidAgentError
from tta_agent_coordination.registries import InMemoryAgentRegistry, RedisAgentRegistry
from tta_agent_coordination.registries.base import StoredRegistry
from tta_agent_coordination.registries.records import AgentDescription, ChangeKind
from tta_agent_coordination.testing import ManualClock

if TYPE_CHECKING:
    from tta_agent_coordination.registries.records import AgentChange

Make = Callable[..., StoredRegistry]
ONE = AgentId(type="writer", instance="1")
TWO = AgentId(type="writer", instance="2")


def maker(client: Any, clock: ManualClock | None) -> Make:
    prefix = f"test:{uuid.uuid4().hex}"
    shared: list[InMemoryAgentRegistry] = []

    def made(**options: Any) -> StoredRegistry:
        if client is not None:
            now = None if clock is None else clock.milliseconds
            return RedisAgentRegistry(client, prefix, _clock=now, **options)
        if clock is not None:
            options["clock"] = clock
        shared.append(InMemoryAgentRegistry(shared=shared[0] if shared else None, **options))
        return shared[-1]

    return made


@pytest.fixture
def make(client: Any, patient: None) -> Make:
    """Make registries with one list, in real time."""
    return maker(client, None)


@pytest.fixture
def make_still(client: Any, clock: ManualClock) -> Make:
    """Make registries with one list, in the test's own time."""
    return maker(client, clock)


def agent(agent_id: AgentId, *capabilities: str) -> AgentDescription:
    return AgentDescription(agent_id, capabilities)


async def soon(check: Callable[[], Any]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 - it may be a server
            await asyncio.sleep(0.002)


class Watch:
    """What a watcher has been told."""

    def __init__(self, registry: StoredRegistry) -> None:
        self.told: asyncio.Queue[AgentChange] = asyncio.Queue()
        self.incarnations: set[int] = set()
        self.task = asyncio.create_task(self.follow(registry))

    async def follow(self, registry: StoredRegistry) -> None:
        async with aclosing(registry.watch()) as changes:
            async for change in changes:
                self.told.put_nowait(change)

    async def next(self) -> tuple[str, AgentId, int]:
        """Return what is told next; instead of incarnations, which of those told of so far."""
        change = await asyncio.wait_for(self.told.get(), 60)
        self.incarnations.add(change.incarnation)
        number = sorted(self.incarnations).index(change.incarnation) + 1
        return change.kind.value, change.agent_id, number


@pytest.fixture
async def watch() -> AsyncIterator[Callable[[StoredRegistry], Watch]]:
    """Watch a registry until the end of the test."""
    running: list[Watch] = []

    def start(registry: StoredRegistry) -> Watch:
        running.append(Watch(registry))
        return running[-1]

    yield start
    for one in running:
        one.task.cancel()
    await asyncio.gather(*(one.task for one in running), return_exceptions=True)


# The heartbeat.


async def test_inside_its_block_a_registry_writes_by_itself(make: Make) -> None:
    other = make()
    async with make() as registry:
        registry.register(agent(ONE))
        await soon(lambda: other.get(ONE))
        registry.deregister(ONE)

        async def gone() -> bool:
            return await other.get(ONE) is None

        await soon(gone)
        registry.register(agent(TWO))
    assert await other.agents() == []


async def test_the_heartbeat_renews_all_agents(make: Make) -> None:
    async with make(heartbeat_interval=0.01) as registry:
        registry.register(agent(ONE))
        registry.register(agent(TWO))
        first = {record.agent_id: record.last_heartbeat for record in await registry.agents()}

        async def renewed() -> bool:
            found = await registry.agents()
            return all(record.last_heartbeat > first[record.agent_id] for record in found)

        await soon(renewed)
        assert registry.heartbeat_error is None


async def test_what_was_registered_before_the_block_is_written_as_it_begins(make: Make) -> None:
    registry, other = make(), make()
    registry.register(agent(ONE))

    async with registry:
        assert await other.get(ONE) is not None
        with pytest.raises(ConfigurationError, match="in use"):
            await registry.__aenter__()


async def test_the_heartbeat_of_a_replaced_agent_stops(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    other = make()
    async with make(heartbeat_interval=0.005) as registry:
        registry.register(agent(ONE))
        await registry.flush()
        other.register(agent(ONE, "new"))
        await other.flush()

        async def noticed() -> bool:
            return registry.replaced == {ONE}

        await soon(noticed)
    found = await other.get(ONE)
    assert found is not None
    assert found.capabilities == {"new"}
    assert "writer/1 was registered or deregistered by somebody else" in caplog.text


async def test_the_block_ends_its_task_also_when_it_raises(make: Make) -> None:
    before = asyncio.all_tasks()
    other = make()
    with pytest.raises(KeyError):  # noqa: PT012 - the block is what is tested
        async with make() as registry:
            registry.register(agent(ONE))
            await registry.flush()
            raise KeyError

    assert asyncio.all_tasks() == before
    assert await other.agents() == []


def test_what_was_never_written_is_warned_of() -> None:
    registry = InMemoryAgentRegistry()
    registry.register(agent(ONE))
    registry.register(agent(TWO))

    with pytest.warns(ResourceWarning, match="2 registrations"):  # noqa: PT031 - both end it
        del registry
        gc.collect()


async def test_what_was_written_is_not_warned_of(make: Make) -> None:
    registry = make()
    registry.register(agent(ONE))
    await registry.flush()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del registry
        gc.collect()


async def test_another_thread_may_register(make: Make) -> None:
    other = make()
    async with make() as registry:
        await asyncio.to_thread(registry.register, agent(ONE))
        await soon(lambda: other.get(ONE))


async def test_an_agent_that_cannot_be_named_in_keys_is_refused() -> None:
    with pytest.raises(InvalidAgentError, match="no valid text"):
        InMemoryAgentRegistry().register(
            agent(AgentId.model_construct(type="a", instance="\ud800"))
        )


# Watching.


async def test_a_watcher_is_told_of_who_is_there_and_of_every_change(
    make: Make, watch: Callable[[StoredRegistry], Watch]
) -> None:
    registry = make()
    registry.register(agent(ONE, "poems"))
    await registry.flush()
    watcher = watch(make())

    assert await watcher.next() == ("joined", ONE, 1)
    registry.register(agent(TWO))
    await registry.flush()
    assert await watcher.next() == ("joined", TWO, 2)
    registry.register(agent(ONE, "essays"))
    registry.deregister(TWO)
    await registry.flush()
    change = await asyncio.wait_for(watcher.told.get(), 60)

    assert change.incarnation > max(watcher.incarnations)
    assert change.kind is ChangeKind.JOINED
    assert change.capabilities == frozenset({"essays"})
    assert await watcher.next() == ("left", TWO, 2)


async def test_a_watcher_is_told_at_once_not_after_its_next_look(
    make: Make, watch: Callable[[StoredRegistry], Watch]
) -> None:
    """With these times, it would look again after a quarter of an hour."""
    times: dict[str, Any] = {"heartbeat_ttl": 3000}
    registry = make(**times)
    watchers = [watch(make(**times)) for _ in range(3)]
    loop = asyncio.get_running_loop()
    for number in range(5):
        registry.register(agent(AgentId(type="a", instance=f"{number}")))
        start = loop.time()
        await registry.flush()
        for watcher in watchers:
            assert (await watcher.next())[0] == "joined"
        assert loop.time() - start < 60


async def test_a_watcher_is_told_of_a_death_when_it_is_due(
    make: Make, watch: Callable[[StoredRegistry], Watch]
) -> None:
    """Nobody else asks, so the watcher must look by itself; a late heartbeat is told of, too."""
    times: dict[str, Any] = {"heartbeat_ttl": 0.12, "heartbeat_interval": 0.04}
    registry = make(**times)
    registry.register(agent(ONE, "poems"))
    await registry.flush()
    watcher = watch(make(**times))

    assert await watcher.next() == ("joined", ONE, 1)
    assert await watcher.next() == ("lost", ONE, 1)
    await registry.heartbeat()
    change = await asyncio.wait_for(watcher.told.get(), 60)
    assert change.kind is ChangeKind.BACK
    assert change.capabilities == frozenset({"poems"})


async def test_a_watcher_that_stops_leaves_nothing_behind(make: Make, client: Any) -> None:
    registry = make()
    registry.register(agent(ONE))
    await registry.flush()
    for delay in (0, 0.001, 0.005, 0.02):
        watcher = Watch(registry)
        await watcher.next()
        await asyncio.sleep(delay)  # it is parked by then, or just about to be
        watcher.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watcher.task

    if client is not None:
        # Those of other tests, on the same server, are none of its business.
        before = await inboxes(client)
        registry.register(agent(TWO))
        await registry.flush()
        assert await inboxes(client) <= before


async def test_a_watcher_that_missed_too_much_is_told_what_has_become_of_it(
    make_still: Make,
) -> None:
    """More happened than is remembered; then the outcome is told, not the way."""
    registry, other = make_still(), make_still()
    registry.register(agent(ONE))
    registry.register(agent(TWO, "old"))
    await registry.flush()
    async with aclosing(other.watch()) as changes:
        assert {(await anext(changes)).agent_id for _ in range(2)} == {ONE, TWO}
        waiting = asyncio.ensure_future(anext(changes))
        waiting.cancel()
        await asyncio.wait([waiting])
    async with aclosing(other.watch()) as changes:
        assert {(await anext(changes)).agent_id for _ in range(2)} == {ONE, TWO}
        for _ in range(600):
            registry.register(agent(ONE))
            registry.deregister(ONE)
        registry.register(agent(TWO, "new"))
        await registry.flush()

        told = [await anext(changes) for _ in range(2)]

    assert sorted((one.kind.value, one.agent_id.instance) for one in told) == [
        ("joined", "2"),
        ("left", "1"),
    ]


async def inboxes(client: Any) -> set[str]:
    """Return the keys of parked watchers."""
    return {str(key) for key in await client.execute_command("KEYS", "*:o:*")}
