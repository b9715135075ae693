"""One breaker for several primitives, threads and event loops: exact, and by the object alone."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from tta_dev_primitives.errors import CircuitOpenError
from tta_dev_primitives.recovery import Breaker, CircuitBreakerPrimitive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.breakers.records import StateChange

THREADS = 8


async def echo(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


@pytest.fixture(autouse=True)
def loaded() -> None:
    """Go every way once, so that no thread holds up its loop for another that loads a module."""
    step = CircuitBreakerPrimitive(echo, failure_rate=1.0)

    async def main() -> None:
        for value in ("x", ConnectionError("down")):
            await asyncio.gather(step.execute(value), return_exceptions=True)

    asyncio.run(main())


def in_threads(work: Callable[[int], None]) -> None:
    """Run `work` in eight threads that start together; what one raises comes out here."""
    together = threading.Barrier(THREADS)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads get in each other's way wherever they can
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors, errors


def test_no_failure_is_lost_between_threads() -> None:
    """Eight threads times 10,000 failures (case 54)."""
    breaker = Breaker("shared", failure_threshold=10**9)
    step = CircuitBreakerPrimitive(echo, breaker=breaker)
    errors = ConnectionError("down")

    def work(number: int) -> None:
        for _ in range(10_000):
            breaker.release(breaker.acquire(), "failure")

    in_threads(work)
    assert breaker.statistics().consecutive_failures == THREADS * 10_000
    with pytest.raises(ConnectionError):
        asyncio.run(step.execute(errors))
    assert breaker.statistics().consecutive_failures == THREADS * 10_000 + 1


def test_no_failure_of_a_primitive_is_lost_between_loops() -> None:
    """The same through primitives that share the breaker; rates are exact as well (case 54)."""
    breaker = Breaker("shared", failure_rate=1.0, failure_threshold=10**9, window_calls=10**5)

    def work(number: int) -> None:
        step = CircuitBreakerPrimitive(echo, breaker=breaker)

        async def main() -> None:
            for call in range(1_000):
                if call % 4 == 0:
                    await step.execute("well")
                else:
                    with pytest.raises(ConnectionError):
                        await step.execute(ConnectionError(number))

        asyncio.run(main())

    in_threads(work)
    statistics = breaker.statistics()
    assert (statistics.calls, statistics.failures) == (THREADS * 1_000, THREADS * 750)


def test_the_threshold_is_exact_between_threads() -> None:
    """Of 80,000 failures at most the threshold count, and it opens exactly once."""
    changes: list[StateChange] = []
    breaker = Breaker("shared", failure_threshold=500, on_state_change=changes.append)
    passed: list[int] = [0] * THREADS

    def work(number: int) -> None:
        for _ in range(10_000):
            try:
                permit = breaker.acquire()
            except CircuitOpenError:
                continue
            passed[number] += 1
            breaker.release(permit, "failure")

    in_threads(work)
    statistics = breaker.statistics()
    assert [change.after for change in changes] == ["open"]
    assert sum(passed) == 500 + statistics.late  # those that were under way when it opened
    assert statistics.rejected == THREADS * 10_000 - sum(passed)


def test_probes_are_exact_between_threads() -> None:
    """Eight threads ask at once, over and over; never are more probes out than permitted."""
    now = [0.0]
    breaker = Breaker(
        "shared", half_open_max_calls=3, success_threshold=10**9, clock=lambda: now[0]
    )
    breaker.open()
    now[0] = 60.0
    out, most = Counter[str](), [0]
    lock = threading.Lock()

    def work(number: int) -> None:
        for _ in range(2_000):
            try:
                permit = breaker.acquire()
            except CircuitOpenError:
                continue
            with lock:
                out["probes"] += 1
                most[0] = max(most[0], out["probes"])
            with lock:
                out["probes"] -= 1
            breaker.release(permit, "cancelled" if number % 2 else "success")

    in_threads(work)
    assert 1 <= most[0] <= 3
    assert breaker.statistics().probes == 0
    assert [breaker.acquire() for _ in range(3)]
    with pytest.raises(CircuitOpenError):
        breaker.acquire()


def test_changes_are_told_in_order_between_threads() -> None:
    """Each change begins where the one before ended, whichever thread tells it."""
    changes: list[StateChange] = []
    breaker = Breaker("shared", on_state_change=changes.append)
    ways = (breaker.open, breaker.isolate, breaker.close, breaker.reset)

    def work(number: int) -> None:
        for turn in range(500):
            ways[(number + turn) % 4]()

    in_threads(work)
    assert changes[0].before == "closed"
    for one, next_one in pairwise(changes):
        assert one.after == next_one.before
    assert changes[-1].after == breaker.state


async def test_two_breakers_of_one_name_are_two_breakers() -> None:
    """What is shared is the object, not the name (case 54)."""
    one = CircuitBreakerPrimitive(echo, failure_threshold=1, name="mail")
    two = CircuitBreakerPrimitive(echo, failure_threshold=1, name="mail")
    one.breaker.open()
    assert await two.execute("x") == "x"


async def test_two_primitives_with_one_breaker_open_together() -> None:
    """Two models of one provider, say."""
    breaker = Breaker("provider", failure_threshold=2)
    one = CircuitBreakerPrimitive(echo, breaker=breaker, name="small")
    two = CircuitBreakerPrimitive(echo, breaker=breaker, name="large")
    for step in (one, two):
        with pytest.raises(ConnectionError):
            await step.execute(ConnectionError("down"))
    for step in (one, two):
        with pytest.raises(CircuitOpenError) as caught:
            await step.execute("x")
        assert caught.value.name == "provider"
    assert one.breaker is two.breaker is breaker


class _Crossing:
    """A configuration where whoever asks for the number of probes lets another one catch up.

    All may arrive between the question and the count only where nothing keeps them apart.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._meeting = threading.Barrier(THREADS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    @property
    def half_open_max_calls(self) -> int:
        with suppress(threading.BrokenBarrierError):
            self._meeting.wait(0.1)
        limit: int = self._config.half_open_max_calls
        return limit


def test_threads_that_ask_at_the_same_moment_get_no_more_probes_than_there_are() -> None:
    """The question whether a probe is free and the taking of it are one step."""
    now = 0.0
    breaker = Breaker(failure_threshold=1, recovery_timeout=1.0, clock=lambda: now)
    breaker.open()
    now = 2.0
    breaker.circuit.config = cast("Any", _Crossing(breaker.config))
    given: list[int] = []

    def ask(number: int) -> None:
        del number
        with suppress(CircuitOpenError):
            given.append(breaker.acquire())

    in_threads(ask)

    assert len(given) == 1
    assert breaker.statistics().rejected == THREADS - 1
