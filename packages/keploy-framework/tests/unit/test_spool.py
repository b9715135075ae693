"""The writing thread and the bound on what waits for it: nothing is lost, nothing is held twice."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keploy_framework.recording.spool import Memory, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LIMIT = 100


def nothing() -> None:
    """Do nothing."""


def wait_for(event: threading.Event) -> None:
    """Hang until the event is set."""
    assert event.wait(60)


@pytest.fixture
def spool() -> Generator[Spool]:
    spool = Spool("test-spool", nothing, delay=0.001)
    yield spool
    spool.stop(60)


class MemoryMachine(RuleBasedStateMachine):
    """Whatever exchanges do, the bytes held are those that were taken and not given back."""

    policy: Literal["drop", "wait"] = "drop"

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(LIMIT, self.policy)
        self.open: list[int] = []
        self.leaving: list[int] = []

    @rule(size=st.integers(1, LIMIT + 10))
    def take(self, size: int) -> None:
        """What fits is held; what does not is refused."""
        fits = self.held + size <= LIMIT
        if self.policy == "wait" and not fits and self.leaving:
            return  # it would wait, which is tested below
        assert self.memory.take(size) is fits
        if fits:
            self.open.append(size)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        """What leaves is still held."""
        size = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.memory.hand_over(size)
        self.leaving.append(size)

    @precondition(lambda self: self.open)
    @rule()
    def give_up(self) -> None:
        """An exchange that is given up never leaves."""
        self.memory.give_back(self.open.pop())

    @precondition(lambda self: self.leaving)
    @rule()
    def written(self) -> None:
        """What is on the disk is held no more."""
        self.memory.give_back(self.leaving.pop(0), handed_over=True)

    @property
    def held(self) -> int:
        """What the machine knows to be held."""
        return sum(self.open) + sum(self.leaving)

    @invariant()
    def holds_what_was_taken(self) -> None:
        """Not a byte more or less, and never beyond the limit."""
        assert self.memory.held == self.held <= LIMIT


class WaitingMachine(MemoryMachine):
    """The same, where the traffic waits."""

    policy = "wait"


TestMemory = MemoryMachine.TestCase
TestWaitingMemory = WaitingMachine.TestCase


def test_who_waits_goes_on_when_there_is_room() -> None:
    """It is held up only while something is on its way to the disk."""
    memory = Memory(LIMIT, "wait")
    assert memory.take(LIMIT)
    memory.hand_over(LIMIT)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(memory.take(10)))
    waiting.start()
    memory.give_back(LIMIT - 20, handed_over=True)
    waiting.join(60)
    assert got == [True]
    assert memory.held == 30


def test_who_could_wait_for_ever_does_not_wait() -> None:
    """When nothing is on its way out, nothing will make room."""
    memory = Memory(LIMIT, "wait")
    assert memory.take(LIMIT)
    assert memory.take(1) is False


def test_who_waits_is_told_when_nothing_leaves_any_more() -> None:
    """What was on its way is written, and what is still open fills the memory."""
    memory = Memory(LIMIT, "wait")
    assert memory.take(60)
    assert memory.take(40)
    memory.hand_over(40)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(memory.take(LIMIT)))
    waiting.start()
    memory.give_back(40, handed_over=True)
    waiting.join(60)
    assert got == [False]


def test_jobs_run_in_their_order(spool: Spool) -> None:
    """One after the other, on one thread that is not ours."""
    done: list[int] = []
    threads: set[int] = set()

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            threads.add(threading.get_ident())
            done.append(number)

        return run

    for number in range(200):
        spool.put(job(number))
    assert spool.flush(60)
    assert done == list(range(200))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_flush_waits_for_what_was_there_before_it() -> None:
    """And the file is flushed, too."""
    events: list[str] = []
    spool = Spool("test-spool", lambda: events.append("idle"), delay=1000)
    spool.put(lambda: events.append("job"))
    before = time.monotonic()
    assert spool.flush(60)
    assert events[:2] == ["job", "idle"]
    assert spool.stop(60)
    assert time.monotonic() - before < 500, "neither waits for the delay"


def test_a_flush_gives_up_when_its_time_is_over(spool: Spool) -> None:
    """A disk that hangs does not hang the process."""
    release = threading.Event()
    spool.put(lambda: wait_for(release))
    assert spool.flush(0.01) is False
    assert spool.flush(0) is False
    release.set()
    assert spool.flush(60)


def test_stopping_does_what_is_left() -> None:
    """Jobs that wait are run before the thread ends."""
    done: list[int] = []
    spool = Spool("test-spool", nothing, delay=1000)
    for number in range(5):
        spool.put(partial(done.append, number))
    assert spool.stop(60)
    assert done == [0, 1, 2, 3, 4]


def test_stopping_says_when_the_time_was_not_enough() -> None:
    """What hangs is left behind."""
    release = threading.Event()
    spool = Spool("test-spool", nothing)
    spool.put(lambda: wait_for(release))
    assert spool.stop(0.01) is False
    release.set()
    assert spool.stop(60)


def test_stopping_twice_is_no_harm(spool: Spool) -> None:
    """The second finds nothing to do."""
    assert spool.stop(60)
    assert spool.stop(60)


def test_busy_traffic_wakes_the_thread_a_few_times() -> None:
    """Jobs that come close together are run together."""
    runs: list[int] = []
    spool = Spool("test-spool", lambda: runs.append(1), delay=1000)
    for _ in range(1000):
        spool.put(nothing)
    assert spool.flush(60)
    assert spool.stop(60)
    assert len(runs) <= 4


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 60))
def test_no_job_is_lost_between_threads(threads: int, jobs: int) -> None:
    """However many put at once, and whenever the thread falls asleep."""
    spool = Spool("test-spool", nothing, delay=0)
    done: list[tuple[int, int]] = []

    def putting(name: int) -> None:
        for number in range(jobs):
            spool.put(partial(done.append, (name, number)))

    workers = [threading.Thread(target=putting, args=(name,)) for name in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert spool.stop(60)
    assert len(done) == threads * jobs
    for name in range(threads):
        assert [number for who, number in done if who == name] == list(range(jobs))
