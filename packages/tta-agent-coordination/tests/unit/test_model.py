"""The scripts against the plain state: whatever is done, both give the same answers.

Every step runs on the in-memory coordinator and on the scripts, and the answers are compared. The
scripts run on fakeredis, and, with fewer examples, on a real server, once and twice per call, and
with copies of calls that come late.
"""

import asyncio
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tta_agent_coordination import (
    AgentId,
    FailureType,
    InMemoryMessageCoordinator,
    LeaseLost,
    MessagePriority,
    ReceivedMessage,
    RedisMessageCoordinator,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.redis_store import SCRIPTS
from tta_agent_coordination.testing import ManualClock, RedisServer, sample

SHARED = AgentId(type="writer")
ONE = AgentId(type="writer", instance="1")
AGENTS = st.sampled_from([SHARED, SHARED, ONE])
NAMES = st.sampled_from([f"m{n}" for n in range(12)])
KEYS = st.sampled_from([None, None, "k1", "k1", "k2: {x}"])
OPTIONS: dict[str, Any] = {
    "max_attempts": 3,
    "max_length": 12,
    "dedupe_window": 30,
    "backoff_jitter": 0.5,
}
SEND = SCRIPTS["send"].digest
LATE = {
    SCRIPTS[name].digest
    for name in (
        *("cancel", "dead_move", "give_back", "nack", "pause", "purge", "roster", "send", "settle"),
    )
}
"""What changes something once. A copy of the others reserves for a time once more, or reads."""


def view(received: ReceivedMessage) -> tuple[object, ...]:
    """Return all that two deliveries of the same message have in common."""
    return (
        received.message,
        received.attempt,
        received.deadline,
        received.enqueued_at,
        received.last_error,
        received.expires_at,
        received.time_left,
        received.ordering_key,
    )


class Both(RuleBasedStateMachine):
    """Does everything twice, and compares."""

    steps: ClassVar[int] = 0
    """How many the machines of a class have made."""
    options: ClassVar[dict[str, Any]] = OPTIONS

    @staticmethod
    def connect() -> Any:
        """Return a client; each machine has its own."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.tokens: list[tuple[str, str]] = []
        self.client = self.run(self.connected())
        self.model: StoredMailboxes = InMemoryMessageCoordinator(
            clock=self.clock, rng=random.Random(1), **self.options
        )
        self.scripts: StoredMailboxes = RedisMessageCoordinator(
            self.client,
            f"test:{uuid.uuid4().hex}",
            _clock=self.clock.milliseconds,
            rng=random.Random(1),
            **self.options,
        )

    async def connected(self) -> Any:
        return type(self).connect()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def both(self, do: Callable[[StoredMailboxes], Any]) -> Any:
        """Do the same on both; return the answer, which must be one."""
        expected = self.run(do(self.model))
        found = self.run(do(self.scripts))
        assert found == expected
        return found

    def token(self, choice: int) -> tuple[str, str]:
        return self.tokens[choice % len(self.tokens)] if self.tokens else ("a:b:c", "a:b:c")

    def settle(self, choice: int, do: Callable[[StoredMailboxes, str], Any]) -> None:
        """Do the same with the token of one delivery, whose texts differ."""
        ours, theirs = self.token(choice)
        expected = self.run(do(self.model, ours))
        assert self.run(do(self.scripts, theirs)) == expected

    @rule(
        names=st.lists(NAMES, min_size=1, max_size=5),
        to=AGENTS,
        priority=st.sampled_from(MessagePriority),
        delay=st.sampled_from([None, None, None, -5, 3, 40]),
        ttl=st.sampled_from([None, None, None, 1, 20]),
        key=KEYS,
    )
    def send(
        self,
        names: list[str],
        to: AgentId,
        priority: MessagePriority,
        delay: int | None,
        ttl: int | None,
        key: str | None,
    ) -> None:
        at = None if delay is None else datetime.fromtimestamp(self.clock.now + delay, UTC)
        messages = [sample(name, recipient=to, priority=priority) for name in names]
        self.both(lambda one: one.send_many(messages, deliver_at=at, ttl=ttl, ordering_key=key))

    @rule(
        agent=AGENTS, count=st.integers(1, 6), lease=st.sampled_from([1, 5, 30]), ack=st.integers()
    )
    def receive(self, agent: AgentId, count: int, lease: int, ack: int) -> None:
        ours, theirs = self.token(ack)
        acks = [] if ack % 2 or ours == "a:b:c" else [(ours, theirs)]
        expected = self.run(self.model.take(agent, count, lease, ack=[pair[0] for pair in acks]))
        found = self.run(self.scripts.take(agent, count, lease, ack=[pair[1] for pair in acks]))
        assert list(map(view, found[0])) == list(map(view, expected[0]))
        assert found[1] == expected[1]
        self.tokens += [
            (one.token, other.token) for one, other in zip(expected[0], found[0], strict=True)
        ]

    @rule(choice=st.integers(0, 50), agent=AGENTS)
    def ack(self, choice: int, agent: AgentId) -> None:
        self.settle(choice, lambda one, token: one.ack(agent, token))

    @rule(choices=st.lists(st.integers(0, 50), max_size=4))
    def ack_many(self, choices: list[int]) -> None:
        """Of one delivery or more, any of them again and again."""
        pairs = [self.token(choice) for choice in choices]
        expected = self.run(self.model.ack_many([ours for ours, _ in pairs]))
        assert self.run(self.scripts.ack_many([theirs for _, theirs in pairs])) == expected

    @rule(choices=st.lists(st.integers(0, 50), max_size=4))
    def give_back_many(self, choices: list[int]) -> None:
        """Of those that an instance may have received."""
        pairs = [self.token(choice) for choice in choices]
        expected = self.run(self.model.give_back_many(ONE, [ours for ours, _ in pairs]))
        assert (
            self.run(self.scripts.give_back_many(ONE, [theirs for _, theirs in pairs])) == expected
        )

    @rule(choice=st.integers(0, 50), failure=st.sampled_from(FailureType))
    def nack(self, choice: int, failure: FailureType) -> None:
        self.settle(choice, lambda one, token: one.nack(ONE, token, failure, "text"))

    @rule(choice=st.integers(0, 50), seconds=st.sampled_from([0.5, 10]))
    def extend(self, choice: int, seconds: float) -> None:
        self.settle(choice, lambda one, token: one.extend(ONE, token, seconds))

    @rule(choice=st.integers(0, 50))
    def give_back(self, choice: int) -> None:
        self.settle(choice, lambda one, token: one.give_back(ONE, token))

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 5, 31, 130]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(agent=AGENTS, name=NAMES)
    def cancel(self, agent: AgentId, name: str) -> None:
        self.both(lambda one: one.cancel(agent, name))

    @rule(agent=AGENTS, name=NAMES)
    def withdraw(self, agent: AgentId, name: str) -> None:
        """What a requester does that waits no more."""
        self.both(lambda one: one._store.withdraw(mailbox_of(agent), name))  # pyright: ignore[reportPrivateUsage]

    @rule(choice=st.integers(0, 50), seconds=st.sampled_from([0.5, 10]))
    def renew(self, choice: int, seconds: float) -> None:
        self.settle(choice, lambda one, token: one.renew([token], seconds))

    @rule(agent=AGENTS, topic=st.sampled_from(["t1", "t2"]), join=st.booleans())
    def subscribe(self, agent: AgentId, topic: str, join: bool) -> None:  # noqa: FBT001 - a drawn value
        subscription = self.both(lambda one: one.subscribe(agent, topic))
        if not join:
            self.both(lambda one: one.unsubscribe(subscription))
        self.both(lambda one: one.subscriptions(topic=topic))
        self.both(lambda one: one.subscriptions(agent_id=agent))

    @rule(topic=st.sampled_from(["t1", "t2", None]), name=NAMES, key=KEYS)
    def publish(self, topic: str | None, name: str, key: str | None) -> None:
        """None is a broadcast."""
        self.both(
            lambda one: (
                one.broadcast(sample(name), seen_within=100, ordering_key=key)
                if topic is None
                else one.publish(topic, sample(name), ordering_key=key)
            )
        )

    @rule(name=NAMES, ends=st.sampled_from(["well", "badly", "never"]))
    def once(self, name: str, ends: str) -> None:
        self.both(lambda one: self.enter(one, name, ends))

    @staticmethod
    async def enter(one: StoredMailboxes, name: str, ends: str) -> object:
        """Return what a block is told, or that it could not be entered."""
        block = one.once(name, lease=5, keep=100)
        try:
            first = await block.__aenter__()
        except LeaseLost:
            return None
        if ends == "badly":
            with suppress(RuntimeError):
                await block.__aexit__(RuntimeError, RuntimeError(), None)
        elif ends == "well":
            await block.__aexit__(None, None, None)
        return first

    @rule(agent=AGENTS, name=NAMES, delay=st.sampled_from([-1, 2, 50]))
    def reschedule(self, agent: AgentId, name: str, delay: int) -> None:
        at = datetime.fromtimestamp(self.clock.now + delay, UTC)
        self.both(lambda one: one.reschedule(agent, name, at))

    @rule(agent=AGENTS, paused=st.booleans())
    def pause(self, agent: AgentId, paused: bool) -> None:  # noqa: FBT001 - a drawn value
        self.both(lambda one: one.pause(agent) if paused else one.resume(agent))

    @rule(agent=AGENTS, one_in=st.integers(0, 9))
    def purge(self, agent: AgentId, one_in: int) -> None:
        if one_in == 0:
            self.both(lambda one: one.purge(agent))

    @rule(agent=AGENTS, failure=st.sampled_from([None, *FailureType]), redrive=st.booleans())
    def dead(self, agent: AgentId, failure: FailureType | None, redrive: bool) -> None:  # noqa: FBT001 - as above
        self.both(lambda one: one.dead_letters.list(agent))
        self.both(
            lambda one: (
                one.dead_letters.redrive(agent, failure=failure)
                if redrive
                else one.dead_letters.purge(agent, ["m1", "m2"], failure=failure)
            )
        )

    @invariant()
    def both_hold_the_same(self) -> None:
        type(self).steps += 1
        self.both(lambda one: one.stats(SHARED))
        self.both(lambda one: one.stats(ONE))

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


class Late(Both):
    """Besides, copies of calls come late, to the scripts only: they change nothing.

    A window shorter than the minute in which copies come is left out, and so is a limit: what it
    has refused, a copy may bring in. Of what is withdrawn here, nobody says how it was sent.
    """

    options: ClassVar[dict[str, Any]] = {**OPTIONS, "max_length": None, "dedupe_window": 60}
    resending: ClassVar[Callable[[Any, ManualClock], Any]]

    async def connected(self) -> Any:
        return type(self).resending(type(self).connect(), self.clock)

    @rule(number=st.integers(0, 9))
    def copy(self, number: int) -> None:
        self.run(self.client.copy_one(number, LATE))

    @rule(agent=AGENTS, name=NAMES)
    def withdraw(self, agent: AgentId, name: str) -> None:
        super().withdraw(agent, name)
        self.client.calls = [call for call in self.client.calls if call[1][1] != SEND]


def check(
    connect: Callable[[], Any],
    examples: int,
    steps: int,
    *,
    part: int | None = None,
    resending: Any = None,
) -> int:
    """Run the machine on clients that `connect` makes; return how many steps it made.

    With the number of a part, they are the same ones each time, and others in each part.
    """
    base: Any = Late if resending else Both
    parts = {"connect": staticmethod(connect), "resending": staticmethod(resending)}
    machine: type[Both] = type("Machine", (base,), parts)
    if part is not None:
        machine = seed(part)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=part is not None,
        ),
    )
    return machine.steps


@pytest.mark.slow
def test_the_scripts_and_the_plain_state_agree() -> None:
    """On fakeredis."""
    fakeredis: Any = pytest.importorskip("fakeredis")

    check(fakeredis.FakeAsyncRedis, 25, 50)


def test_they_agree_on_a_real_server(redis_server: RedisServer) -> None:
    check(redis_server.client, 15, 50)


def test_they_agree_when_every_script_runs_twice(
    redis_server: RedisServer, twice: Callable[[Any], Any]
) -> None:
    """As when each first reply got lost."""
    check(lambda: twice(redis_server.client()), 15, 50)


def test_they_agree_when_copies_of_calls_come_late(
    redis_server: RedisServer, resending: type[Any]
) -> None:
    """Up to a minute later, and more than once."""
    check(redis_server.client, 25, 50, resending=resending)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("server", ["fakeredis", "redis"])
def test_ten_thousand_steps_end_alike(server: str, part: int, redis_server: RedisServer) -> None:
    """The same steps on both kinds of server: each agrees with the plain state."""
    fakeredis: Any = pytest.importorskip("fakeredis")
    connect = fakeredis.FakeAsyncRedis if server == "fakeredis" else redis_server.client

    assert check(connect, 25, 50, part=part) >= 1000
