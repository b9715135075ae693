"""Bulkhead and rate limiter under any order of calls, ends, cancellations and time."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import BulkheadFullError
from tta_dev_primitives.recovery import Bulkhead, BulkheadPrimitive, Rate, RateLimiter
from tta_dev_primitives.recovery.load.gcra import Gate, Meter
from tta_dev_primitives.recovery.load.permits import Permits
from tta_dev_primitives.testing import VirtualTimeLoop

STEPS = settings(max_examples=60, stateful_step_count=40, deadline=None)
SECONDS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 4.0])


class Calls(RuleBasedStateMachine):
    """Calls in virtual time; rules that do not let time pass happen in one pass of the loop."""

    def __init__(self) -> None:
        super().__init__()
        engine.silence()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.loop = self.runner.get_loop()
        self.tasks: list[asyncio.Task[None]] = []
        self.started: list[int] = []
        self.inside: set[int] = set()
        self.settled = True

    def start(self, call: Any) -> None:
        self.tasks.append(self.loop.create_task(call))
        self.settled = False

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel any call, wherever it is."""
        data.draw(st.sampled_from(self.tasks)).cancel()
        self.settled = False

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Let the loop run."""

        async def passes() -> None:
            await asyncio.sleep(seconds)
            for _ in range(8):
                await asyncio.sleep(0)

        self.runner.run(passes())
        self.settled = True

    @rule()
    def one_pass(self) -> None:
        """Let the loop run once, so that what was begun is half done."""
        self.runner.run(asyncio.sleep(0))
        self.settled = False

    @invariant()
    def first_come_first_served(self) -> None:
        """Nobody who came later started earlier."""
        assert self.started == sorted(self.started)

    def finish(self) -> None:
        async def ends() -> None:
            if self.tasks:
                await asyncio.wait(self.tasks)

        self.runner.run(ends())

    def teardown(self) -> None:
        self.runner.close()


class BulkheadCalls(Calls):
    """Three permits and a queue of four."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Bulkhead(3, max_queue=4, queue_timeout=3.0)
        self.limited = BulkheadPrimitive(self._inside, bulkhead=self.pool)

    async def _inside(self, job: tuple[int, float]) -> None:
        number, seconds = job
        self.started.append(number)
        self.inside.add(number)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside.discard(number)

    async def _call(self, number: int, seconds: float) -> None:
        with suppress(BulkheadFullError):
            await self.limited.execute((number, seconds))

    @rule(seconds=SECONDS)
    def call(self, seconds: float) -> None:
        """Start a call."""
        self.start(self._call(len(self.tasks), seconds))

    @rule(limit=st.integers(1, 5))
    def resize(self, limit: int) -> None:
        """Change the limit."""
        for _ in range(2):
            self.time_passes(4.0)  # until those have ended that a higher limit let in
        self.pool.resize(limit)
        self.settled = False

    @invariant()
    def no_more_run_than_there_are_permits(self) -> None:
        """Neither inside nor on their way."""
        assert len(self.inside) <= self.pool.running <= self.pool.max_concurrency
        assert self.pool.waiting <= 4

    @invariant()
    def no_permit_lies_idle(self) -> None:
        """Once the loop has done what it had to, whoever waits does so for want of a permit."""
        if self.settled:
            assert len(self.inside) == self.pool.running
            assert not self.pool.waiting or self.pool.running == self.pool.max_concurrency

    def teardown(self) -> None:
        self.finish()
        assert (self.pool.running, self.pool.waiting, len(self.inside)) == (0, 0, 0)
        super().teardown()


class LimiterCalls(Calls):
    """One request a second, and two tokens a second."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = Rate(60, burst=3)
        self.tokens = Rate(120, burst=10, unit="tokens")
        self.limiter = RateLimiter(self.requests, self.tokens)
        self.log: list[tuple[float, float]] = []

    async def _call(self, number: int, cost: float, actual: float | None) -> None:
        async with self.limiter.reserve(cost) as grant:
            self.started.append(number)
            self.log.append((self.loop.time(), cost if actual is None else min(cost, actual)))
            if actual is not None:
                await asyncio.sleep(0.5)
                grant.settle(min(cost, actual))

    @rule(cost=st.integers(0, 10), actual=st.none() | st.integers(0, 10))
    def call(self, cost: int, actual: int | None) -> None:
        """Start a call that may turn out cheaper than was thought."""
        self.start(self._call(len(self.tasks), cost, actual))

    @invariant()
    def no_span_of_time_sees_more_than_its_rate(self) -> None:
        """Of requests and of tokens, over any span that begins and ends with a call."""
        for (i, (begin, _)), (j, (end, _)) in itertools.combinations(enumerate(self.log), 2):
            calls = self.log[i : j + 1]
            assert len(calls) <= 3 + (end - begin) + 1e-6
            # What was reserved and not used counts until it is settled; a cancelled call keeps it.
            assert sum(used for _, used in calls) <= 10 + 2 * (end - begin) + 1e-6

    @invariant()
    def who_waits_has_a_reason(self) -> None:
        """The first in the queue could not start earlier."""
        meter = self.limiter._meter  # pyright: ignore[reportPrivateUsage]
        if self.settled and meter.queue:
            start = meter.next_at(self.loop.time())
            assert start is not None
            assert start > self.loop.time()

    def teardown(self) -> None:
        self.finish()
        meter = self.limiter._meter  # pyright: ignore[reportPrivateUsage]
        assert not meter.queue
        assert not any(gate.open for gate in meter.gates)
        super().teardown()


TestBulkheadCalls = BulkheadCalls.TestCase
TestBulkheadCalls.settings = STEPS
TestLimiterCalls = LimiterCalls.TestCase
TestLimiterCalls.settings = STEPS


class PermitMoves(RuleBasedStateMachine):
    """`Permits` beside a model of it in two lists."""

    def __init__(self) -> None:
        super().__init__()
        self.permits: Permits[int] = Permits(2, 3)
        self.limit, self.out, self.line, self.next = 2, 0, list[int](), itertools.count()

    @rule()
    def take_or_wait(self) -> None:
        """As a call does."""
        if self.permits.take():
            assert self.out < self.limit
            assert not self.line
            self.out += 1
            return
        number = next(self.next)
        assert self.permits.enqueue(number) == (len(self.line) < 3)
        if len(self.line) < 3:
            self.line.append(number)

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Leave from anywhere in the queue, once."""
        number = data.draw(st.sampled_from(self.line))
        self.line.remove(number)
        assert self.permits.withdraw(number)
        assert not self.permits.withdraw(number)

    @precondition(lambda self: self.out)
    @rule()
    def give_back(self) -> None:
        """To the first in line, unless there are too many permits out."""
        heir = self.permits.give_back()
        if self.line and self.out <= self.limit:
            assert heir == self.line.pop(0)
        else:
            assert heir is None
            self.out -= 1

    @rule(limit=st.integers(1, 4))
    def resize(self, limit: int) -> None:
        """Wake the first in line, as many as there is room for."""
        room = max(0, min(len(self.line), limit - self.out))
        assert self.permits.resize(limit) == self.line[:room]
        self.limit = limit
        self.out += room
        del self.line[:room]

    @invariant()
    def agrees(self) -> None:
        """In everything that can be seen."""
        assert (self.permits.running, list(self.permits.queue)) == (self.out, self.line)


TestPermitMoves = PermitMoves.TestCase


PAUSES = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 30.0])
PASSED = st.tuples(PAUSES, st.integers(0, 8), st.integers(0, 8))


@given(
    calls=st.lists(PASSED, min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_a_call_that_was_settled_might_as_well_have_cost_that_from_the_start(
    calls: list[tuple[float, int, int]], order: Any
) -> None:
    """Whatever passed in between, and in whichever order it is settled: no gift and no loss."""
    real, ideal = Gate(Rate(60, burst=100)), Gate(Rate(60, burst=100))
    now = 0.0
    still_open: list[tuple[object, int, int]] = []
    for pause, reserved, used in calls:
        now += pause
        call, actual = object(), min(used, reserved)
        real.pass_at(now, reserved)
        real.open[call] = -float("inf")
        ideal.pass_at(now, actual)
        still_open.append((call, reserved, actual))
    order.shuffle(still_open)
    for call, reserved, actual in still_open:
        real.correct(call, reserved, actual)
    assert max(real.tat, now) == pytest.approx(max(ideal.tat, now))


@given(st.lists(st.tuples(PAUSES, st.integers(1, 5)), min_size=1, max_size=20))
def test_what_is_planned_is_what_happens(calls: list[tuple[float, int]]) -> None:
    """The start that a waiting call is told is kept to, if nothing else happens."""
    meter: Meter[int] = Meter([Gate(Rate(60, burst=5, unit="tokens"))])
    now, told, seen = 0.0, dict[int, float](), dict[int, float]()

    def until(end: float) -> None:
        at = now
        while (start := meter.next_at(at)) is not None and start <= end:
            at = start
            waiter = meter.due(at)
            assert waiter is not None
            seen[waiter] = at
            meter.close(waiter)

    for number, (pause, cost) in enumerate(calls):
        until(now + pause)
        now += pause
        planned = meter.plan(now, (cost,))
        if meter.take(now, (cost,)):
            assert planned == now
        else:
            told[number] = planned
            assert meter.join(now, number, (cost,)) == planned
    until(float("inf"))
    assert seen == pytest.approx(told)
