"""What every `MetricsProtocol` must hold, as a test class to inherit from.

    class TestMyMetrics(MetricsContract[MyMetrics]):
        def make_metrics(self) -> MyMetrics:
            return MyMetrics()

        def read_counts(self, metrics: MyMetrics) -> dict[str, int]:
            return metrics.counts

What it counts is first told by the checks, and then by mailboxes at work. Metrics that are also a
`QueueObserver` are told of events, and must count those by their kind.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from tta_agent_coordination.coordinators.memory import InMemoryMessageCoordinator
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.metrics import EventKind, MetricsProtocol, QueueEvent, QueueObserver
from tta_agent_coordination.models import AgentId
from tta_agent_coordination.testing.samples import WRITER, ManualClock, sample

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("MetricsContract",)

M = TypeVar("M", bound=MetricsProtocol)

_OK, _ERROR = "delivered_ok", "delivered_error"
_KINDS = tuple(kind.value for kind in EventKind)
_LARGE = 2**40
_TYPES = 3000
_THREADS, _TURNS = 8, 500
_BATCH, _BATCHES = 50, 20
_SLOWEST = 0.001  # seconds that a call may take: a query of a server on the same machine


class MetricsContract(ABC, Generic[M]):
    """Checks an implementation of `MetricsProtocol`, and of `QueueObserver` where it is one."""

    @abstractmethod
    def make_metrics(self) -> M:
        """Return metrics that have counted nothing yet, set up as they are in use."""

    @abstractmethod
    def read_counts(self, metrics: M) -> Mapping[str, int] | None:
        """Return what was counted: `delivered_ok`, `delivered_error`, and `EventKind` by value.

        What was never counted may be left out. None is for metrics that keep no counts at all.
        """

    def test_nothing_is_counted_at_first(self) -> None:
        """Reading does not count either."""
        metrics = self.make_metrics()
        self._compare(metrics, {})
        self._compare(metrics, {})

    def test_counts_add_up(self) -> None:
        """Each by itself, whatever the size."""
        metrics = self.make_metrics()
        expected = dict.fromkeys((_OK, _ERROR, *_KINDS), 0)
        for count in (1, 2, _LARGE):
            for place, name in enumerate(expected):
                self._tell(metrics, name, count + place)
                expected[name] += count + place
        self._compare(metrics, expected)

    def test_zero_is_allowed(self) -> None:
        """And changes nothing."""
        metrics = self.make_metrics()
        for name in (_OK, _ERROR, *_KINDS):
            self._tell(metrics, name, 0)
        self._compare(metrics, {})
        self._tell(metrics, _OK, 3)
        self._tell(metrics, _OK, 0)
        self._compare(metrics, {_OK: 3})

    def test_every_agent_is_counted(self) -> None:
        """Whatever its name, and however many there are: what is bounded counts the rest, too."""
        metrics = self.make_metrics()
        names = ["writer", "a b", 'a"b\n\\', "ä😀", "\0", "x" * 256, "_OTHER"]
        names += [f"made-from-data-{number}" for number in range(_TYPES)]
        for name in names:
            self._tell(metrics, EventKind.SENT.value, 1, AgentId(type=name))
            self._tell(metrics, EventKind.SENT.value, 1, AgentId(type=name, instance="1"))
        self._compare(metrics, {EventKind.SENT.value: 2 * len(names)})

    def test_threads_lose_nothing(self) -> None:
        """Coordinators of several threads may share metrics, which are read meanwhile."""
        metrics = self.make_metrics()
        failures: list[Exception] = []

        def work() -> None:
            try:
                for turn in range(_TURNS):
                    for name in (_OK, _ERROR, EventKind.ACKED.value):
                        self._tell(metrics, name, 1, AgentId(type=f"agent-{turn % 7}"))
            except Exception as error:  # noqa: BLE001 - failed below, where the test sees it
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.read_counts(metrics)
            threads[0].join(0.001)
        for thread in threads:
            thread.join()
        _hold(not failures, f"in a thread: {failures[:1]!r}")
        total = _THREADS * _TURNS
        self._compare(metrics, {_OK: total, _ERROR: total, EventKind.ACKED.value: total})

    def test_a_call_returns_at_once(self) -> None:
        """It is made in the event loop, between two messages: no server may be asked."""
        metrics = self.make_metrics()
        for name in (_OK, _ERROR, EventKind.SENT.value):
            fastest = min(self._time(metrics, name) for _ in range(_BATCHES))
            _hold(
                fastest < _SLOWEST,
                f"a call that counts {name!r} takes {fastest * 1000:.1f} ms; count in memory, and "
                "send the counts from elsewhere",
            )

    def test_the_counts_are_those_of_the_mailboxes_work(self) -> None:
        """Sent, refused, received, settled in each way, expired."""
        metrics = self.make_metrics()
        asyncio.run(_work(metrics))
        self._compare(
            metrics,
            {
                _OK: 6,
                _ERROR: 1,
                "sent": 5,
                "duplicate": 1,
                "rejected": 1,
                "received": 7,
                "acked": 2,
                "retried": 1,
                "dead": 2,
                "expired": 1,
                "lease_expired": 1,
                "stale_token": 1,
                "given_back": 1,
            },
        )

    def _tell(self, metrics: M, name: str, count: int, agent_id: AgentId = WRITER) -> None:
        told: object = None
        if name == _OK:
            told = cast("object", metrics.inc_delivered_ok(count))
        elif name == _ERROR:
            told = cast("object", metrics.inc_delivered_error(count))
        elif (observer := _observer(metrics)) is not None:
            event = QueueEvent(kind=EventKind(name), agent_id=agent_id, count=count)
            told = cast("object", observer.on_event(event))
        if asyncio.iscoroutine(told):
            told.close()
        _hold(told is None, f"a call that counts {name!r} returned {told!r:.60}; nobody awaits it")

    def _time(self, metrics: M, name: str) -> float:
        began = time.perf_counter()
        for _ in range(_BATCH):
            self._tell(metrics, name, 1)
        return (time.perf_counter() - began) / _BATCH

    def _compare(self, metrics: M, expected: Mapping[str, int]) -> None:
        counts = self.read_counts(metrics)
        if counts is None:
            return
        names = [_OK, _ERROR, *(_KINDS if _observer(metrics) else ())]
        wrong = [
            f"{name} is {counts.get(name, 0)}, not {expected.get(name, 0)}"
            for name in names
            if counts.get(name, 0) != expected.get(name, 0)
        ]
        _hold(not wrong, "; ".join(wrong))


def _observer(metrics: object) -> QueueObserver | None:
    return metrics if isinstance(metrics, QueueObserver) else None


async def _work(metrics: MetricsProtocol) -> None:
    """Let everything happen to messages that is counted."""
    clock = ManualClock()
    coordinator = InMemoryMessageCoordinator(
        metrics, max_attempts=2, max_length=4, backoff_jitter=0, clock=clock
    )
    await coordinator.send_many([sample(name) for name in ("a", "a", "b", "c", "d", "e")])
    a, b, c, d = await coordinator.receive_many(WRITER, 4)
    await coordinator.ack(WRITER, a.token)
    await coordinator.ack(WRITER, "of nothing")
    await coordinator.nack(WRITER, b.token)
    await coordinator.nack(WRITER, c.token, FailureType.PERMANENT)
    await coordinator.give_back(WRITER, d.token)
    clock.advance(2)  # the back-off of b
    again = {one.message.message_id: one for one in await coordinator.receive_many(WRITER, 2, 5)}
    await coordinator.nack(WRITER, again["b"].token)
    clock.advance(6)  # the lease of d
    late = await coordinator.receive_many(WRITER, 1)
    await coordinator.ack_many([one.token for one in late])
    await coordinator.send_many([sample("f")], ttl=5)
    clock.advance(6)
    _hold(await coordinator.receive(WRITER) is None, "a message has outlived its time")


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Fail with a message; a bare `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(otherwise)
