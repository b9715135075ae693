"""The contract of a registry, over every back end: in memory, fakeredis, a real server.

Two registries with one list stand for two processes.
"""

import gc
import random
import uuid
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination import AgentId
from tta_agent_coordination.errors import ConfigurationError, InvalidAgentError
from tta_agent_coordination.registries import InMemoryAgentRegistry, RedisAgentRegistry
from tta_agent_coordination.registries.base import StoredRegistry
from tta_agent_coordination.registries.records import AgentDescription
from tta_agent_coordination.testing import ManualClock

Make = Callable[..., StoredRegistry]
ONE = AgentId(type="writer", instance="1")
TWO = AgentId(type="writer", instance="2")


@pytest.fixture
def make(client: Any, clock: ManualClock) -> Make:
    """Make a registry; all of a test keep one list."""
    prefix = f"test:{uuid.uuid4().hex}"
    shared: list[InMemoryAgentRegistry] = []

    def made(**options: Any) -> StoredRegistry:
        if client is not None:
            return RedisAgentRegistry(client, prefix, _clock=clock.milliseconds, **options)
        first = shared[0] if shared else None
        shared.append(InMemoryAgentRegistry(clock=clock, shared=first, **options))
        return shared[-1]

    return made


def agent(agent_id: AgentId, *capabilities: str) -> AgentDescription:
    return AgentDescription(agent_id, capabilities)


async def alive(registry: StoredRegistry) -> dict[str, bool]:
    """Return who is listed, and whether they are alive."""
    return {entry["name"]: entry["alive"] for entry in await registry.list_registered()}


async def test_what_is_registered_is_listed_everywhere(make: Make, clock: ManualClock) -> None:
    mine, other = make(), make()
    mine.register(agent(ONE, "poems", "essays"))
    await mine.flush()
    clock.advance(3)

    assert await other.list_registered() == [
        {
            "name": "writer/1",
            "agent_id": ONE,
            "status": "alive",
            "alive": True,
            "incarnation": round((clock.now - 3) * 1000),
            "capabilities": ["essays", "poems"],
            "registered_at": clock.now - 3,
            "last_heartbeat": clock.now - 3,
        }
    ]


async def test_nothing_is_written_before_it_is_flushed(make: Make) -> None:
    mine, other = make(), make()
    mine.register(agent(ONE))

    assert await alive(other) == {}
    assert await alive(mine) == {"writer/1": True}
    mine.deregister(ONE)
    assert await alive(other) == {"writer/1": True}
    await mine.heartbeat()
    assert await alive(other) == {}


async def test_intents_are_carried_out_in_their_order(make: Make) -> None:
    registry = make()
    registry.register(agent(ONE, "a"))
    registry.register(agent(TWO))
    registry.deregister(ONE)
    registry.register(agent(ONE, "b"))
    registry.deregister(TWO)

    (found,) = await registry.agents()
    assert found.agent_id == ONE
    assert found.capabilities == {"b"}


async def test_many_are_written_in_several_calls(make: Make) -> None:
    registry = make()
    for number in range(250):
        registry.register(agent(AgentId(type="a", instance=f"{number:03d}")))

    listed = await registry.list_registered()
    await registry.heartbeat()

    assert [entry["agent_id"].instance for entry in listed] == [f"{n:03d}" for n in range(250)]


async def test_an_agent_that_is_not_heard_of_is_silent_and_later_forgotten(
    make: Make, clock: ManualClock
) -> None:
    registry, other = make(forget_after=100), make(forget_after=100)
    registry.register(agent(ONE, "poems"))
    await registry.flush()
    for _ in range(2):
        clock.advance(10)
        await other.heartbeat()
    clock.advance(9.999)
    assert await alive(other) == {"writer/1": True}

    clock.advance(0.001)
    (entry,) = await other.list_registered()
    assert (entry["alive"], entry["status"]) == (False, "silent")
    assert entry["last_heartbeat"] == clock.now - 30
    assert await other.find("poems") == []

    for _ in range(11):
        clock.advance(10)
        await other.heartbeat()
    assert await alive(other) == {}
    assert await other.get(ONE) is None


async def test_a_heartbeat_keeps_alive_and_brings_back(make: Make, clock: ManualClock) -> None:
    registry, other = make(), make()
    registry.register(agent(ONE, "poems"))
    for _ in range(10):
        await registry.heartbeat()
        clock.advance(14)
    assert await alive(other) == {"writer/1": True}

    for _ in range(3):
        clock.advance(10)
        await other.heartbeat()
    assert await alive(other) == {"writer/1": False}
    before = await other.agents()
    await registry.heartbeat()

    assert await alive(other) == {"writer/1": True}
    assert [one.incarnation for one in await other.find("poems")] == [before[0].incarnation]


async def test_an_agent_that_was_forgotten_comes_back_with_its_next_heartbeat(
    make: Make, clock: ManualClock
) -> None:
    registry, other = make(forget_after=0), make(forget_after=0)
    registry.register(agent(ONE, "poems"))
    await registry.flush()
    for _ in range(4):
        clock.advance(10)
        await other.heartbeat()
    assert await alive(other) == {}

    await registry.heartbeat()

    assert [found.agent_id for found in await other.find("poems")] == [ONE]
    assert registry.replaced == set()


async def test_who_was_forgotten_comes_back_only_if_nobody_else_has_come(
    make: Make, clock: ManualClock
) -> None:
    """Between a heartbeat that nobody knows and the new registration, another may be faster."""
    mine, other = make(forget_after=0), make(forget_after=0)
    mine.register(agent(ONE, "old"))
    await mine.flush()
    for _ in range(4):
        clock.advance(10)
        await other.heartbeat()
    store: Any = vars(mine)["_store"]
    beat = store.beat

    async def late(*arguments: Any) -> str:
        letters = await beat(*arguments)
        other.register(agent(ONE, "new"))
        await other.flush()
        return letters

    store.beat = late
    await mine.heartbeat()

    assert mine.replaced == {ONE}
    assert [found.capabilities for found in await other.agents()] == [{"new"}]


async def test_capabilities_are_found_while_they_hold(make: Make) -> None:
    registry = make()
    registry.register(agent(ONE, "poems", "a b:{c}*", "ü"))
    registry.register(agent(TWO, "poems"))

    assert [found.agent_id for found in await registry.find("poems")] == [ONE, TWO]
    assert [found.agent_id for found in await registry.find("poems", "ü")] == [ONE]
    assert [found.agent_id for found in await registry.find("a b:{c}*")] == [ONE]
    assert await registry.find("poem") == []
    assert len(await registry.find()) == 2
    registry.register(agent(ONE, "essays"))
    registry.deregister(TWO)
    assert await registry.find("poems") == []
    assert [found.capabilities for found in await registry.find("essays")] == [{"essays"}]


async def test_one_agent_can_be_asked_for(make: Make) -> None:
    registry = make()
    registry.register(agent(ONE))

    found = await registry.get(ONE)

    assert found is not None
    assert (found.agent_id, found.alive) == (ONE, True)
    assert await registry.get(TWO) is None


async def test_a_late_heartbeat_cannot_touch_a_successor(make: Make, clock: ManualClock) -> None:
    """A process that hung comes back; the agent has been registered elsewhere since."""
    old, new = make(), make()
    old.register(agent(ONE, "old"))
    await old.flush()
    (before,) = await old.agents()
    new.register(agent(ONE, "new"))
    await new.flush()
    clock.advance(14)

    await old.heartbeat()

    (found,) = await new.agents()
    assert found.incarnation > before.incarnation
    assert found.capabilities == {"new"}
    assert found.last_heartbeat == clock.now - 14
    assert (old.replaced, new.replaced) == ({ONE}, set())
    old.deregister(TWO)  # of which it knows nothing
    await old.heartbeat()
    assert await alive(new) == {"writer/1": True}


async def test_a_late_deregistration_cannot_touch_a_successor(make: Make) -> None:
    old, new = make(), make()
    old.register(agent(ONE))
    await old.flush()
    new.register(agent(ONE))
    await new.flush()

    old.deregister(ONE)
    await old.flush()

    assert await alive(new) == {"writer/1": True}


async def test_a_heartbeat_after_deregistration_does_not_bring_back(make: Make) -> None:
    """Somebody else has deregistered it."""
    mine, other = make(), make()
    mine.register(agent(ONE))
    await mine.flush()
    other.deregister(ONE)
    await other.flush()

    await mine.heartbeat()

    assert await alive(other) == {}
    assert mine.replaced == {ONE}
    mine.register(agent(ONE))
    assert await alive(mine) == {"writer/1": True}
    assert mine.replaced == set()


async def test_after_a_stall_nobody_is_dead_before_it_could_speak(
    make: Make, clock: ManualClock
) -> None:
    """Every agent has a whole time to live, also if that is shorter than the stall."""
    times: dict[str, Any] = {"heartbeat_ttl": 3, "forget_after": 5}
    living, dead, watcher = make(**times), make(**times), make(**times)
    for number in range(5):
        living.register(agent(AgentId(type="a", instance=f"{number}")))
    dead.register(agent(ONE))
    await dead.flush()
    await living.heartbeat()

    clock.advance(7)
    assert set((await alive(watcher)).values()) == {True}
    await living.heartbeat()
    for _ in range(3):
        assert await alive(watcher) == {**{f"a/{n}": True for n in range(5)}, "writer/1": True}
        clock.advance(1)
        await living.heartbeat()

    assert (await alive(watcher))["writer/1"] is False


async def test_a_stall_brings_nobody_back_and_helps_once_only(
    make: Make, clock: ManualClock
) -> None:
    """Who looks rarely must not keep the dead alive by it."""
    registry, other = make(forget_after=1000), make(forget_after=1000)
    registry.register(agent(ONE))
    await registry.flush()

    clock.advance(100)
    assert await alive(other) == {"writer/1": True}
    clock.advance(100)
    assert await alive(other) == {"writer/1": False}
    clock.advance(100)
    assert await alive(other) == {"writer/1": False}


async def test_names_may_be_any_text(make: Make) -> None:
    registry = make()
    names = ["a:b", "{x}", "ü ö", "*", "a%3Ab", "a b", "\n", "x" * 256]
    ids = [AgentId(type=kind, instance=name) for kind in names for name in names]
    for agent_id in ids:
        registry.register(agent(agent_id, agent_id.type))

    found = await registry.agents()

    assert {record.agent_id for record in found} == set(ids)
    assert len(await registry.find("a:b")) == len(names)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (AgentDescription(AgentId(type="writer")), "needs an instance"),
        (object(), "must be an AgentId"),
        (AgentDescription(ONE, "poems"), "capabilities"),
        (AgentDescription(ONE, [""]), "capabilities"),
        (AgentDescription(ONE, ["x" * 257]), "capabilities"),
        (AgentDescription(ONE, ["\ud800"]), "capabilities"),
        (AgentDescription(ONE, [f"{n}" for n in range(101)]), "capabilities"),
    ],
)
def test_a_bad_agent_is_refused_where_it_is_registered(bad: Any, said: str) -> None:
    registry = InMemoryAgentRegistry()

    with pytest.raises(InvalidAgentError, match=said):
        registry.register(bad)


def test_capabilities_that_are_no_list_are_refused() -> None:
    number: Any = 7

    with pytest.raises(InvalidAgentError, match="capabilities"):
        InMemoryAgentRegistry().register(AgentDescription(ONE, number))
    with pytest.raises(InvalidAgentError, match="needs an instance"):
        InMemoryAgentRegistry().deregister(AgentId(type="writer"))


def test_an_agent_without_capabilities_can_be_registered() -> None:
    class Bare:
        agent_id = ONE

    bare: Any = Bare()
    registry = InMemoryAgentRegistry()
    registry.register(bare)
    with pytest.warns(ResourceWarning, match="1 registrations"):  # noqa: PT031 - both end it
        del registry
        gc.collect()


@pytest.mark.parametrize(
    "options",
    [
        {"heartbeat_ttl": 0},
        {"heartbeat_ttl": float("nan")},
        {"heartbeat_interval": -1},
        {"heartbeat_interval": True},
        {"heartbeat_ttl": 10, "heartbeat_interval": 5},
        {"forget_after": -1},
    ],
)
def test_times_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match=r"heartbeat|forget"):
            InMemoryAgentRegistry(**options)
        gc.collect()


async def test_whatever_order_processes_speak_in_the_last_registration_wins(make: Make) -> None:
    rng = random.Random(7)
    registries = [make() for _ in range(4)]
    last = None
    for _ in range(40):
        last = rng.choice(registries)
        last.register(agent(ONE, f"{registries.index(last)}"))
        await last.flush()
        await rng.choice(registries).heartbeat()

    for registry in registries:
        await registry.heartbeat()
    (found,) = await registries[0].agents()

    assert last is not None
    assert found.capabilities == {f"{registries.index(last)}"}
