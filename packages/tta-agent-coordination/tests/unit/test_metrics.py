"""What a coordinator does with a metrics object, whatever that object does."""

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from tta_agent_coordination import (
    ConfigurationError,
    CoordinatorConnectionError,
    FailureType,
    InMemoryMessageCoordinator,
    MessageMetrics,
    MessageType,
    NullMetrics,
    QueueEvent,
)
from tta_agent_coordination.testing import WRITER, ManualClock, MetricsContract, sample


class TestNullMetrics(MetricsContract[NullMetrics]):
    """It counts nothing, and is in nobody's way."""

    def make_metrics(self) -> NullMetrics:
        return NullMetrics()

    def read_counts(self, metrics: NullMetrics) -> None:
        assert not vars(metrics)


class TestMessageMetrics(MetricsContract[MessageMetrics]):
    """It counts in memory."""

    def make_metrics(self) -> MessageMetrics:
        return MessageMetrics()

    def read_counts(self, metrics: MessageMetrics) -> dict[str, int]:
        return dict(metrics.snapshot())


class Unfit(MessageMetrics):
    """What an implementation may get wrong, one at a time."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    def inc_delivered_ok(self, count: int) -> Any:
        main = threading.current_thread() is threading.main_thread()
        if self._fault == "fails in threads" and not main:
            raise RuntimeError("no event loop in this thread")
        if self._fault == "waits":
            time.sleep(0.0012)
        super().inc_delivered_ok(1 if self._fault == "counts calls" else count)
        return self._later() if self._fault == "is async" else None

    async def _later(self) -> None:
        raise AssertionError("nobody awaits it")


class UnfitContract(MetricsContract[MessageMetrics]):
    """Not collected: its checks are called below."""

    __test__ = False

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def make_metrics(self) -> MessageMetrics:
        return Unfit(self._fault)

    def read_counts(self, metrics: MessageMetrics) -> dict[str, int]:
        return dict(metrics.snapshot())


@pytest.mark.parametrize(
    ("fault", "check", "told"),
    [
        ("fails in threads", "test_threads_lose_nothing", "in a thread: .*no event loop"),
        ("waits", "test_a_call_returns_at_once", "takes .* ms; count in memory"),
        ("counts calls", "test_counts_add_up", "delivered_ok is 3, not"),
        ("is async", "test_zero_is_allowed", "returned <coroutine .*nobody awaits it"),
    ],
)
def test_the_contract_tells_what_an_implementation_gets_wrong(
    fault: str, check: str, told: str
) -> None:
    """In the words of who has to mend it."""
    with pytest.raises(AssertionError, match=told):
        getattr(UnfitContract(fault), check)()


class Broken:
    """Metrics whose server is away."""

    def __init__(self, error: type[BaseException] = ConnectionResetError) -> None:
        self.error = error
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        raise self.error("the server of the metrics is away")

    def inc_delivered_ok(self, count: int) -> None:
        self._fail()

    def inc_delivered_error(self, count: int) -> None:
        self._fail()

    def on_event(self, event: QueueEvent) -> None:
        self._fail()


async def test_metrics_that_raise_change_nothing_of_what_is_done_with_messages() -> None:
    """A message that was sent would be sent again, and one that was received would be lost."""
    metrics, clock = Broken(), ManualClock()
    coordinator = InMemoryMessageCoordinator(
        metrics, max_attempts=2, max_length=5, backoff_jitter=0, clock=clock
    )

    sent = await coordinator.send_many([sample(name) for name in "abcdeaf"])
    a, b, c, d, e = await coordinator.receive_many(WRITER, 5)
    assert [one.delivered for one in sent] == [*[True] * 6, False]
    assert await coordinator.ack(WRITER, a.token)
    assert await coordinator.ack_many([b.token, "stale"]) == [True, False]
    assert await coordinator.nack(WRITER, c.token)
    assert await coordinator.nack(WRITER, d.token, FailureType.PERMANENT)
    assert await coordinator.give_back(WRITER, e.token)
    clock.advance(2)
    again = await coordinator.receive_many(WRITER, 5)

    assert {one.message.message_id for one in again} == {"c", "e"}
    assert await coordinator.give_back_many(WRITER, [one.token for one in again]) == 2
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.dead) == (2, 1)
    assert metrics.calls > 10


async def test_an_answer_reaches_its_requester_whatever_the_metrics_do() -> None:
    """Its worker would else be told that it could not answer."""
    coordinator = InMemoryMessageCoordinator(Broken())
    question = sample("q", message_type=MessageType.REQUEST)
    asking = asyncio.create_task(coordinator.request(question, timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None

    await coordinator.reply(received, {"answer": 42})

    assert (await asking).payload == {"answer": 42}


async def test_metrics_that_raise_hide_no_error_of_the_server() -> None:
    """What the caller has to know is that nothing was sent."""
    coordinator = InMemoryMessageCoordinator(Broken())
    store: Any = vars(coordinator)["_store"]

    async def away(*_: Any) -> str:
        raise CoordinatorConnectionError("the server is away")

    store.send = away
    with pytest.raises(CoordinatorConnectionError, match="the server is away"):
        await coordinator.send_many([sample("a")])


async def test_one_line_of_the_log_tells_of_metrics_that_raise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With what they raised, and where; a line per message would fill the disk."""
    coordinator = InMemoryMessageCoordinator(Broken())

    for number in range(10):
        await coordinator.send_many([sample(str(number))])

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "inc_delivered_ok(1) of Broken raised ConnectionResetError" in record.getMessage()
    assert record.exc_info is not None


async def test_an_interrupt_that_comes_while_counting_is_not_swallowed() -> None:
    """Ctrl-C ends the program wherever it comes."""
    coordinator = InMemoryMessageCoordinator(Broken(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        await coordinator.send_many([sample("a")])


@pytest.mark.parametrize("wrong", ["statsd", 0, object(), MessageMetrics])
def test_what_cannot_count_is_refused_when_it_is_given(wrong: Any) -> None:
    """A class is a common slip: its methods are there, and fail at each message."""
    with pytest.raises(ConfigurationError, match=r"metrics must .*inc_delivered_ok"):
        InMemoryMessageCoordinator(metrics=wrong)
