"""The breaker's state machine, held against a model that does the obvious thing; and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tta_dev_primitives.recovery import BreakerConfig
from tta_dev_primitives.recovery.breakers.state import REJECTED, Circuit
from tta_dev_primitives.recovery.breakers.windows import CountWindow, TimeWindow

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.breakers.config import BreakerState, CallOutcome

OUTCOMES: list[CallOutcome] = ["success", "slow", "failure", "slow_failure", "cancelled"]


class Model:
    """The same breaker, written for the eye: it keeps every call of the period in a list."""

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self.state: BreakerState = "closed"
        self.period = 0
        self.since = 0.0
        self.history: list[CallOutcome] = []  # that count, of this period
        self.running: list[int] = []  # probes, by number
        self.opened = 0
        self.rejected = 0

    def go(self, state: BreakerState, now: float) -> None:
        self.state, self.since = state, now
        self.period += 1
        self.history, self.running = [], []
        self.opened += state == "open"

    def admits(self, now: float, number: int) -> bool:
        if self.state == "open" and now >= self.since + self.config.recovery_timeout:
            self.go("half_open", now)
        elif self.state == "half_open" and now - self.since >= self.config.half_open_timeout:
            self.go("open", now)
        if self.state == "half_open" and len(self.running) < self.config.half_open_max_calls:
            self.running.append(number)
            return True
        self.rejected += self.state != "closed"
        return self.state == "closed"

    def ends(self, number: int, period: int, outcome: CallOutcome, now: float) -> None:
        if period != self.period:
            return
        if self.state == "half_open":
            self.running.remove(number)
        if outcome == "cancelled":
            return
        self.history.append(outcome)
        if self.state == "half_open":
            slow_is_bad = self.config.slow_call_rate is not None
            if outcome in {"failure", "slow_failure"} or (slow_is_bad and outcome == "slow"):
                self.go("open", now)
            elif len(self.history) == self.config.success_threshold:
                self.go("closed", now)
        elif self.trips():
            self.go("open", now)

    def trips(self) -> bool:
        config = self.config
        threshold = config.failure_threshold
        if threshold is not None and len(self.history) >= threshold:
            row = self.history[-threshold:]
            if all(outcome in {"failure", "slow_failure"} for outcome in row):
                return True
        if config.window_calls is None:
            return False
        window = self.history[-config.window_calls :]
        if len(window) < (config.minimum_calls or 1):
            return False
        failed = sum(outcome in {"failure", "slow_failure"} for outcome in window)
        slow = sum(outcome in {"slow", "slow_failure"} for outcome in window)
        return any(
            rate is not None and count / len(window) >= rate
            for rate, count in ((config.failure_rate, failed), (config.slow_call_rate, slow))
        )


class BreakerMachine(RuleBasedStateMachine):
    """Calls that start, end in any order and way, late ones included, and hands that interfere."""

    @initialize(
        threshold=st.none() | st.integers(1, 4),
        failure_rate=st.none() | st.sampled_from([0.25, 0.5, 1.0]),
        slow_rate=st.none() | st.sampled_from([0.5, 1.0]),
        window=st.integers(1, 6),
        permits=st.integers(1, 3),
        successes=st.integers(1, 3),
        half_open_timeout=st.sampled_from([5.0, 300.0]),
    )
    def begin(
        self,
        threshold: int | None,
        failure_rate: float | None,
        slow_rate: float | None,
        window: int,
        permits: int,
        successes: int,
        half_open_timeout: float,
    ) -> None:
        rated = failure_rate is not None or slow_rate is not None
        config = BreakerConfig(
            failure_threshold=threshold,
            failure_rate=failure_rate,
            slow_call_rate=slow_rate,
            slow_call_seconds=None if slow_rate is None else 1.0,
            window_calls=window if rated else None,
            minimum_calls=max(1, window // 2) if rated else None,
            recovery_timeout=10.0,
            half_open_max_calls=permits,
            success_threshold=successes,
            half_open_timeout=half_open_timeout,
        )
        self.now = 0.0
        self.circuit = Circuit(config, 0.0)
        self.model = Model(config)
        self.calls: dict[int, tuple[int, int]] = {}  # number: permit, period of the model
        self.started = 0
        self.seen: BreakerState = "closed"

    @rule()
    def call(self) -> None:
        number = self.started = self.started + 1
        quick = self.circuit.passing
        permit = self.circuit.admit(self.now)
        assert quick in (REJECTED, permit), "what is read without a lock says the same"
        assert (permit != REJECTED) == self.model.admits(self.now, number)
        if permit != REJECTED:
            self.calls[number] = permit, self.model.period

    @precondition(lambda self: bool(getattr(self, "calls", None)))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def end(self, data: st.DataObject, outcome: CallOutcome) -> None:
        number = data.draw(st.sampled_from(sorted(self.calls)))
        permit, period = self.calls.pop(number)
        if outcome == "success" and not self.circuit.attentive:
            before = self.circuit.statistics("x", self.now)
            self.circuit.settle(permit, outcome, self.now)
            after = self.circuit.statistics("x", self.now)
            assert before == after, "a success that need not be told changes nothing"
        else:
            self.circuit.settle(permit, outcome, self.now)
        self.model.ends(number, period, outcome, self.now)

    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6))
    def burst(self, outcomes: list[CallOutcome]) -> None:
        """Several calls, one after the other."""
        for outcome in outcomes:
            self.call()
            if self.started in self.calls:
                permit, period = self.calls.pop(self.started)
                self.circuit.settle(permit, outcome, self.now)
                self.model.ends(self.started, period, outcome, self.now)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(way=st.sampled_from(["open", "isolated", "closed"]))
    def by_hand(self, way: BreakerState) -> None:
        hand = {"open": self.circuit.open, "isolated": self.circuit.isolate}
        hand.get(way, self.circuit.close)(self.now)
        self.model.go(way, self.now)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "circuit"):
            return
        circuit, model = self.circuit, self.model
        statistics = circuit.statistics("x", self.now)
        assert circuit.state == model.state
        assert statistics.opened == model.opened
        assert statistics.rejected == model.rejected
        assert statistics.probes == len(model.running) <= circuit.config.half_open_max_calls
        assert (circuit.passing != REJECTED) == (circuit.state == "closed")
        assert (circuit.shut > self.now) == (
            circuit.state == "open" and statistics.retry_after != 0.0
        )

    @invariant()
    def tells_a_chain_of_changes(self) -> None:
        """Each change begins where the one before ended."""
        if hasattr(self, "circuit"):
            for before, after, _, reason in self.circuit.changes:
                assert before == self.seen != after
                assert reason
                self.seen = after
            self.circuit.changes.clear()
            assert self.seen == self.circuit.state


BreakerMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase

CALLS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)


@given(size=st.integers(1, 12), calls=CALLS, cleared=st.integers(0, 60))
def test_a_count_window_holds_the_latest_calls(
    size: int, calls: list[tuple[bool, bool]], cleared: int
) -> None:
    """Its counts are those of a list that is cut to its size."""
    window = CountWindow(size)
    kept: list[tuple[bool, bool]] = []
    for number, (failed, slow) in enumerate(calls):
        if number == cleared:
            window.clear()
            kept = []
        window.add(0.0, failed=failed, slow=slow)
        kept = [*kept, (failed, slow)][-size:]
        assert window.calls == len(kept)
        assert window.failures == sum(one for one, _ in kept)
        assert window.slow == sum(one for _, one in kept)


@given(
    seconds=st.floats(0.1, 100.0),
    steps=st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans(), st.booleans()), max_size=60),
)
def test_a_time_window_forgets_in_tenths(
    seconds: float, steps: list[tuple[float, bool, bool]]
) -> None:
    """What is younger than nine tenths is there, what is older than the whole is not."""
    window = TimeWindow(seconds)
    now, past = 0.0, list[tuple[float, bool, bool]]()
    for step, failed, slow in steps:
        now += step
        window.add(now, failed=failed, slow=slow)
        past.append((now, failed, slow))
        young = [one for one in past if now - one[0] < seconds * 0.9 * (1 - 1e-9)]
        there = [one for one in past if now - one[0] <= seconds * (1 + 1e-9)]
        for count, index in ((window.failures, 1), (window.slow, 2)):
            assert sum(bool(one[index]) for one in young) <= count
            assert count <= sum(bool(one[index]) for one in there)
        assert len(young) <= window.calls <= len(there)
    window.trim(now + seconds * 1.01)
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_a_time_window_takes_a_reading_that_is_older_than_the_last() -> None:
    """Threads may read the clock in one order and arrive in the other; nothing is lost."""
    window = TimeWindow(10.0)
    window.add(100.0, failed=True, slow=False)
    window.add(99.0, failed=True, slow=False)
    window.add(100.5, failed=True, slow=False)
    assert (window.calls, window.failures) == (3, 3)
    window.trim(200.0)
    assert window.calls == 0
