"""The registry's scripts against the plain state: whatever is done, both give the same answers."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tta_agent_coordination import AgentId
from tta_agent_coordination.registries.memory import InMemoryRegistryStore
from tta_agent_coordination.registries.records import Registration
from tta_agent_coordination.registries.redis_registry import SCRIPTS, RedisRegistryStore
from tta_agent_coordination.registries.state import RegistryState
from tta_agent_coordination.registries.store import (
    Changes,
    Intent,
    Position,
    RegistryStore,
    Snapshot,
    Terms,
    What,
)
from tta_agent_coordination.testing import ManualClock, RedisServer

AGENTS = st.sampled_from([AgentId(type="a", instance=f"{number}") for number in range(4)])
WORDS = st.sets(st.sampled_from(["x", "y", "z"]))
TERMS = Terms(life=3000, forget=5000)
APPLY = {SCRIPTS["registry_apply"].digest}
WHAT: st.SearchStrategy[What] = st.sampled_from(["+", "+", "?", "-", "!"])


def view(found: Snapshot | Changes) -> tuple[object, ...]:
    """Return what both must have in common: all but the epoch."""
    if isinstance(found, Snapshot):
        return found.position.version, sorted(map(repr, found.records))
    return found.position.version, found.missing, list(found.changes)


class Both(RuleBasedStateMachine):
    """Does everything twice, and compares."""

    terms: ClassVar[Terms] = TERMS

    @staticmethod
    def connect() -> Any:
        """Return a client; each machine has its own."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.client = self.run(self.connected())
        self.model: RegistryStore = InMemoryRegistryStore(self.clock.milliseconds)
        self.scripts: RegistryStore = RedisRegistryStore(
            self.client, f"test:{uuid.uuid4().hex}", self.clock.milliseconds
        )
        self.known: list[Registration] = []

    async def connected(self) -> Any:
        return type(self).connect()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def both(self, do: Callable[[RegistryStore], Any]) -> Any:
        """Do the same on both; return the answer, which must be one."""
        expected = self.run(do(self.model))
        found = self.run(do(self.scripts))
        assert found == expected
        return found

    def chosen(self, number: int) -> list[Registration]:
        return [self.known[number % len(self.known)]] if self.known else []

    @rule(agent=AGENTS, words=WORDS)
    def register(self, agent: AgentId, words: set[str]) -> None:
        registration = Registration.of(agent, words)
        self.known.append(registration)
        self.both(lambda store: store.apply(self.terms, [Intent("+", registration)]))

    @rule(steps=st.lists(st.tuples(WHAT, st.integers(0, 1000)), max_size=4))
    def repeat(self, steps: list[tuple[What, int]]) -> None:
        """As clients do that hung, or lost a reply."""
        intents = [Intent(what, one) for what, n in steps for one in self.chosen(n)]
        if intents:
            answers = [
                self.run(one.apply(self.terms, intents)) for one in (self.model, self.scripts)
            ]
            # The second time, what the same call did then is over: only the outcome is the same.
            assert answers[0] == answers[1] or type(self.client).__name__ == "Twice"

    @rule(agent=AGENTS)
    def deregister_whoever_it_is(self, agent: AgentId) -> None:
        registration = Registration.of(agent)
        self.known.append(registration)
        for store in (self.model, self.scripts):
            self.run(store.apply(self.terms, [Intent("!", registration)]))

    @rule(numbers=st.lists(st.integers(0, 1000), max_size=5))
    def beat(self, numbers: list[int]) -> None:
        registrations = [one for number in numbers for one in self.chosen(number)]
        self.both(lambda store: store.beat(self.terms, registrations))

    @rule(seconds=st.sampled_from([0.1, 0.5, 1, 1.4, 1.5, 1.6, 3, 7, 20]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(words=WORDS, agent=st.none() | AGENTS)
    def look(self, words: set[str], agent: AgentId | None) -> None:
        name = None if agent is None else Registration.of(agent).name
        if name is not None:
            words = set()
        answers = [
            view(self.run(store.agents(name, sorted(words))))
            for store in (self.model, self.scripts)
        ]
        assert answers[0] == answers[1]

    @rule(back=st.integers(-1, 5))
    def changes(self, back: int) -> None:
        """What has changed in the last steps; a place in the future is unknown."""

        async def since(store: RegistryStore) -> Changes:
            position = (await store.agents()).position
            place = Position(position.epoch, max(0, position.version - back))
            return await store.changes(place, 0)

        answers = [view(self.run(since(store))) for store in (self.model, self.scripts)]
        assert answers[0] == answers[1]

    @invariant()
    def both_list_the_same(self) -> None:
        answers = [view(self.run(store.agents())) for store in (self.model, self.scripts)]
        assert answers[0] == answers[1]

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


class Late(Both):
    """Besides, copies of registrations and deregistrations come late: they change nothing.

    A copy of a heartbeat is one more, and a registration that was forgotten is made again by one of
    its own; each holds for a time to live. So neither happens here.
    """

    terms: ClassVar[Terms] = Terms(life=3000, forget=10**9)

    resending: ClassVar[Callable[[Any, ManualClock], Any]]

    async def connected(self) -> Any:
        return type(self).resending(type(self).connect(), self.clock)

    @rule(number=st.integers(0, 9))
    def copy(self, number: int) -> None:
        self.run(self.client.copy_one(number, APPLY))


def check(connect: Callable[[], Any], examples: int, steps: int, resending: Any = None) -> None:
    """Run the machine on clients that `connect` makes."""
    parts = {"connect": staticmethod(connect), "resending": staticmethod(resending)}
    base: Any = Late if resending else Both
    machine = type("Machine", (base,), parts)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps)
    )


@pytest.mark.slow
def test_the_scripts_and_the_plain_state_agree() -> None:
    """On fakeredis."""
    fakeredis: Any = pytest.importorskip("fakeredis")

    check(fakeredis.FakeAsyncRedis, 25, 40)


def test_they_agree_on_a_real_server(redis_server: RedisServer) -> None:
    check(redis_server.client, 20, 50)


def test_they_agree_when_every_script_runs_twice(
    redis_server: RedisServer, twice: Callable[[Any], Any]
) -> None:
    """As when each first reply got lost."""
    check(lambda: twice(redis_server.client()), 20, 50)


def test_they_agree_when_copies_of_calls_come_late(
    redis_server: RedisServer, resending: type[Any]
) -> None:
    """More than once, in any order."""
    check(redis_server.client, 20, 50, resending)


def test_after_a_stall_nobody_is_looked_for_before_its_time() -> None:
    """Whoever was alive when it began has a whole time to live to say so."""
    state, terms = RegistryState(), Terms(life=30_000, forget=60_000)
    state.apply(1_000_000, terms, [Intent("+", Registration.of(AgentId(type="a", instance="1")))])
    state.begin(1_025_000)  # nothing has happened for more than half a time to live

    assert state.wake(1_025_000) == 1_035_000  # a third of it later, and not at the deadline


def test_what_is_over_is_forgotten_after_an_hour() -> None:
    """So that a process which registers for ever does not grow for ever."""
    state, terms = RegistryState(), Terms(life=30_000, forget=60_000)
    old, new = (Registration.of(AgentId(type="a", instance="1")) for _ in range(2))
    state.apply(1_000_000, terms, [Intent("+", old), Intent("+", new), Intent("-", new)])

    assert state.beat(1_000_000 + 3_599_999, terms, [old]) == "r"
    assert state.beat(1_000_000 + 3_600_000, terms, [old]) == "u"
