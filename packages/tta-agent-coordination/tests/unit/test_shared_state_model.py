"""The scripts of shared state against the plain state: both give the same answers."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tta_agent_coordination.sharing import InMemorySharedState, RedisSharedState, SharedState
from tta_agent_coordination.sharing.redis_state import SCRIPTS
from tta_agent_coordination.testing import ManualClock, RedisServer

PUT = {SCRIPTS["state_put"].digest}


class Both(RuleBasedStateMachine):
    """The scripts and the plain state give the same answers."""

    @staticmethod
    def connect() -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.client = self.runner.run(self.connected())
        self.model: SharedState = InMemorySharedState(clock=self.clock)
        prefix = f"test:{uuid.uuid4().hex}"
        self.scripts: SharedState = RedisSharedState(
            self.client, prefix, _clock=self.clock.milliseconds
        )
        self.versions = [0]

    async def connected(self) -> Any:
        return type(self).connect()

    def both(self, do: Callable[[SharedState], Any]) -> None:
        expected = self.runner.run(do(self.model))
        assert self.runner.run(do(self.scripts)) == expected
        if expected is not None and not isinstance(expected, bool):
            self.versions.append(expected.version)

    @rule(key=st.sampled_from("ab"), value=st.integers(), ttl=st.sampled_from([None, 1, 5]))
    def set(self, key: str, value: int, ttl: float | None) -> None:
        self.both(lambda state: state.set(key, value, ttl=ttl))

    @rule(
        key=st.sampled_from("ab"),
        value=st.integers(),
        choice=st.integers(1, 4),
        ttl=st.sampled_from([None, 1, 5]),
    )
    def compare_and_set(self, key: str, value: int, choice: int, ttl: float | None) -> None:
        expected = self.versions[-min(choice, len(self.versions))]
        self.both(lambda state: state.compare_and_set(key, value, expected, ttl=ttl))

    @rule(key=st.sampled_from("ab"), choice=st.integers(0, 3))
    def delete(self, key: str, choice: int) -> None:
        expected = None if not choice else self.versions[-min(choice, len(self.versions))]
        self.both(lambda state: state.delete(key, expected=expected))

    @rule(key=st.sampled_from("ab"))
    def get(self, key: str) -> None:
        self.both(lambda state: state.get(key))

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 4]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def teardown(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


class Late(Both):
    """Besides, copies of calls come late, to the scripts only: they change nothing.

    As any call, a copy notices that the time of a value is over, and the version that is then made
    is that moment: so both are asked at once.
    """

    resending: ClassVar[Callable[[Any, ManualClock], Any]]

    async def connected(self) -> Any:
        return type(self).resending(type(self).connect(), self.clock)

    @rule(number=st.integers(0, 9))
    def copy(self, number: int) -> None:
        self.runner.run(self.client.copy_one(number, PUT))
        for key in "ab":
            self.both(partial(SharedState.get, key=key))


@pytest.mark.parametrize("times", ["once", "twice"])
def test_the_scripts_and_the_plain_state_agree(
    redis_server: RedisServer, twice: Callable[[Any], Any], times: str
) -> None:
    """Also when every script runs twice, as when each first reply got lost."""

    def connect() -> Any:
        return twice(redis_server.client()) if times == "twice" else redis_server.client()

    machine = type("Machine", (Both,), {"connect": staticmethod(connect)})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=40))


def test_they_agree_when_copies_of_calls_come_late(
    redis_server: RedisServer, resending: type[Any]
) -> None:
    """Up to a minute later, and more than once."""
    parts = {"connect": staticmethod(redis_server.client), "resending": staticmethod(resending)}
    machine = type("Machine", (Late,), parts)
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=40))
