"""The stores under the core package's own conformance suites."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tta_agent_coordination.stores import RedisBreakerStore, RedisCacheStore
from tta_agent_coordination.testing import ManualClock, RedisServer

pytest.importorskip(
    "tta_dev_primitives.testing", reason="tta-dev-primitives is not installed: nothing to fit into"
)

from tta_dev_primitives.core.protocols import CacheStore
from tta_dev_primitives.errors import CircuitOpenError
from tta_dev_primitives.performance import CachePrimitive
from tta_dev_primitives.recovery import (
    BreakerConfig,
    BreakerStore,
    CircuitBreakerPrimitive,
    MemoryBreakerStore,
)
from tta_dev_primitives.testing import BreakerStoreConformance, CacheStoreContract


def fake() -> Any:
    """Return a client of a fakeredis of its own."""
    return pytest.importorskip("fakeredis").FakeAsyncRedis()


class OnBoth:
    """Runs a suite on fakeredis and on a real server."""

    connect: Callable[[], Any]

    @pytest.fixture(autouse=True, params=["fakeredis", "redis", "redis-twice"])
    def _connected(
        self, request: pytest.FixtureRequest, redis_server: RedisServer, twice: Callable[[Any], Any]
    ) -> None:
        clients: dict[str, Callable[[], Any]] = {
            "fakeredis": fake,
            "redis": partial(redis_server.client, socket_timeout=60),
            "redis-twice": lambda: twice(redis_server.client(socket_timeout=60)),
        }
        self.connect = clients[request.param]


class TestRedisBreakerStore(OnBoth, BreakerStoreConformance):
    """`RedisBreakerStore` is a `BreakerStore`."""

    async def make_store(self) -> BreakerStore:
        self.client = self.connect()
        self.clock = ManualClock()
        name = f"test:{uuid.uuid4().hex}"
        return RedisBreakerStore(self.client, name, _clock=self.clock.milliseconds)

    async def close_store(self, store: BreakerStore) -> None:
        await self.client.aclose()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class Stretched:
    """A client by which values live a thousand times as long: the test may pause meanwhile."""

    times = 1000

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def execute_command(self, name: str, *args: Any, **options: Any) -> Any:
        """Send a command; the only script is told the time to live, in ms, before the value."""
        if name in {"EVALSHA", "EVAL"} and args[-2]:
            args = (*args[:-2], args[-2] * self.times, args[-1])
        return await self._client.execute_command(name, *args, **options)


class TestRedisCacheStore(OnBoth, CacheStoreContract):
    """`RedisCacheStore` is a `CacheStore`."""

    def open_store(self) -> AbstractAsyncContextManager[CacheStore]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[CacheStore, None]:
        self.client = Stretched(self.connect())
        self.prefix = f"test:{uuid.uuid4().hex}"
        try:
            yield RedisCacheStore(self.client, self.prefix)
        finally:
            await self.client.aclose()

    async def pass_time(self, seconds: float) -> None:
        """Move the ends of all keys instead of the server's clock."""
        run = self.client.execute_command
        for key in await run("KEYS", f"{{{self.prefix}:*"):
            left = await run("PTTL", key)
            if left >= 0:
                await run("PEXPIRE", key, left - round(seconds * 1000 * Stretched.times))

    def run(self, main: Any, /) -> Any:
        return asyncio.run(main)


Outcome = Literal["success", "slow", "failure", "slow_failure", "cancelled"]
CONFIGS = [
    BreakerConfig(failure_threshold=3, recovery_timeout=10, half_open_timeout=20),
    BreakerConfig(
        failure_threshold=2,
        recovery_timeout=5,
        half_open_max_calls=2,
        success_threshold=3,
        half_open_timeout=9,
    ),
    BreakerConfig(failure_rate=0.5, window_calls=6, minimum_calls=4, recovery_timeout=7),
    BreakerConfig(
        failure_rate=0.6,
        slow_call_rate=0.4,
        slow_call_seconds=1,
        window_seconds=10,
        minimum_calls=3,
        recovery_timeout=4,
        half_open_timeout=6,
    ),
]


class Same(RuleBasedStateMachine):
    """The scripts and the core's own breaker decide alike, whatever happens."""

    @staticmethod
    def connect() -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.client = self.run(self.connected())
        prefix = f"test:{uuid.uuid4().hex}"
        self.model = MemoryBreakerStore(self.clock)
        self.store = RedisBreakerStore(self.client, prefix, _clock=self.clock.milliseconds)
        self.permits: list[tuple[Any, Any]] = []
        self.said: dict[str, Outcome] = {}

    async def connected(self) -> Any:
        return type(self).connect()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @rule(config=st.sampled_from(CONFIGS))
    def allow(self, config: BreakerConfig) -> None:
        ours = self.run(self.store.allow("x", config))
        theirs = self.run(self.model.allow("x", config))
        assert (ours is None) == (theirs is None)
        if ours is not None:
            self.permits.append((ours, theirs))

    @rule(
        choice=st.integers(0, 10**6),
        outcome=st.sampled_from(
            ["success", "slow", "failure", "failure", "slow_failure", "cancelled"]
        ),
    )
    def record(self, choice: int, outcome: Outcome) -> None:
        if self.permits:
            # The latest are the likeliest to matter; now and then one that is settled already,
            # by a client that got no answer and says the same again.
            ours, theirs = self.permits[-1 - choice % min(6, len(self.permits))]
            outcome = self.said.setdefault(ours.token, outcome)
            state = self.run(self.store.record(ours, outcome))
            assert state == self.run(self.model.record(theirs, outcome))

    @rule(seconds=st.sampled_from([0.25, 1.0, 1.0, 3.0, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


def same(connect: Callable[[], Any], examples: int) -> None:
    machine = type("Machine", (Same,), {"connect": staticmethod(connect)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=60)
    )


BEFORE: tuple[Outcome, ...] = (
    *("success", "success", "failure", "success", "success", "success", "failure"),
    *("success", "failure"),
)


async def test_the_oldest_calls_leave_a_window_as_the_core_does() -> None:
    """Of the last four calls, half have failed; the good ones before count no more."""
    config = BreakerConfig(failure_rate=0.5, window_calls=4, minimum_calls=4, recovery_timeout=7)
    client = fake()
    states: list[tuple[str, ...]] = []
    stores: list[BreakerStore] = [RedisBreakerStore(client, "test"), MemoryBreakerStore()]
    for store in stores:
        seen: list[str] = []
        for outcome in BEFORE:
            permit = await store.allow("x", config)
            assert permit is not None
            seen.append(str(await store.record(permit, outcome)))
        states.append(tuple(seen))
    await client.aclose()

    assert states[0] == states[1]
    assert len(set(states[0])) == 2  # closed, and open at the last one
    assert states[0].index(states[0][-1]) == 8


def test_the_scripts_decide_as_the_core_does() -> None:
    """On fakeredis."""
    same(fake, 30)


def test_they_do_so_on_a_real_server(redis_server: RedisServer) -> None:
    same(partial(redis_server.client, socket_timeout=60), 40)


def test_they_do_so_when_every_script_runs_twice(
    redis_server: RedisServer, twice: Callable[[Any], Any]
) -> None:
    """As when each first reply got lost."""
    same(lambda: twice(redis_server.client(socket_timeout=60)), 40)


async def test_steps_of_two_processes_share_a_breaker(redis_server: RedisServer) -> None:
    async with redis_server.client(socket_timeout=60) as client:
        prefix = f"test:{uuid.uuid4().hex}"

        def fail(question: str) -> str:
            raise ConnectionError(question)

        one, other = (
            CircuitBreakerPrimitive(
                fail,
                name="mail",
                store=RedisBreakerStore(client, prefix),
                store_timeout=60,
                failure_threshold=2,
            )
            for _ in range(2)
        )
        for step in (one, other):
            with pytest.raises(ConnectionError):
                await step.execute("how is it?")

        for step in (one, other):
            with pytest.raises(CircuitOpenError):
                await step.execute("how is it?")


async def test_steps_of_two_processes_share_a_cache_and_outlive_its_server(program: str) -> None:
    with RedisServer(program) as server:
        async with server.client() as client:
            calls: list[str] = []

            def ask(question: str) -> str:
                calls.append(question)
                return question.upper()

            store = RedisCacheStore(client)
            options: dict[str, Any] = {"namespace": "answers:v1", "store": store}
            one, other = (CachePrimitive(ask, **options) for _ in range(2))

            assert await one.execute("a") == await other.execute("a") == "A"
            assert calls == ["a"]
            server.stop(kill=True)
            assert await other.execute("b") == "B"
