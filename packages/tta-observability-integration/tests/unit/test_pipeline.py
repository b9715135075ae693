"""The way of a span to its exporter; one file, for all need the same exporter that records."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import get_value
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tta_observability_integration import names
from tta_observability_integration.pipeline import SpanPipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESOURCE = Resource({})  # without one, each span would look for its own


class Recording(SpanExporter):
    """Keeps the names of spans; told to, it refuses, raises or hangs."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.refuse = False
        self.error: Exception | None = None
        self.hang = False
        self.exporting = threading.Event()
        self.released = threading.Event()
        self.shut = 0
        self.suppressed: object = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exporting.set()
        if self.hang:
            self.released.wait()
        if self.error is not None:
            raise self.error
        if self.refuse:
            return SpanExportResult.FAILURE
        self.seen += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.shut += 1
        self.released.set()


def make(ended: Any) -> ReadableSpan:
    """Make a span of whatever was offered; refuse what is marked."""
    if ended == "poison":
        raise ValueError("poison")
    return ReadableSpan(name=str(ended), resource=RESOURCE)


def pipeline(exporter: SpanExporter, **options: Any) -> SpanPipeline:
    """Return a pipeline that takes anything."""
    return SpanPipeline(make, lambda: exporter, **options)


class Looks:
    """A clock by which a tenth of a second passes between two looks, while the test lets it."""

    def __init__(self, passes: Callable[[], bool]) -> None:
        self.now = 0.0
        self._passes = passes

    def __call__(self) -> float:
        if self._passes():
            self.now += 0.1
        return self.now


def hide(key: str, value: str) -> str:
    """Stand for a redactor whose work can be seen."""
    return value.replace("hunter2", "[gone]")


def offer(to: SpanPipeline, *items: object) -> None:
    """Offer what is no record."""
    for item in items:
        to.offer(item)  # pyright: ignore[reportArgumentType]


def test_everything_offered_is_delivered_in_order() -> None:
    """Closing waits for what is on its way."""
    exporter = Recording()
    spans = pipeline(exporter)
    offer(spans, *range(10_000))

    assert spans.close(60)

    assert exporter.seen == [str(n) for n in range(10_000)]
    assert spans.exported == 10_000
    assert not any(spans.dropped.values())
    assert exporter.shut == 1


def test_what_does_not_fit_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Delivered and dropped add up to what was offered, and one line is logged."""
    exporter = Recording()
    exporter.hang = True
    spans = pipeline(exporter, max_queue=100, batch=10)
    offer(spans, *range(100))
    assert exporter.exporting.wait(60)

    offer(spans, *range(500))
    exporter.hang = False
    exporter.released.set()
    assert spans.close(60)

    assert spans.dropped[names.DROPPED_QUEUE_FULL] > 0
    assert len(exporter.seen) + spans.dropped[names.DROPPED_QUEUE_FULL] == 600
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("how", ["refuses", "raises"])
def test_what_the_exporter_does_not_take_is_counted(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line is logged however often it fails."""
    exporter = Recording()
    exporter.refuse = True
    exporter.error = OSError("no route") if how == "raises" else None
    spans = pipeline(exporter, batch=10)
    offer(spans, *range(100))

    assert not spans.close(60)

    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 100
    assert len(caplog.records) == 1


def test_one_odd_record_does_not_cost_its_batch() -> None:
    """It is counted alone."""
    exporter = Recording()
    spans = pipeline(exporter)
    offer(spans, "a", "poison", "b")

    assert not spans.close(60)

    assert exporter.seen == ["a", "b"]
    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 1


def test_an_exporter_that_hangs_delays_closing_by_the_time_limit_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it did not take is counted, and its shutdown is called, which may end the export."""
    exporter = Recording()
    exporter.hang = True
    spans = pipeline(exporter, batch=10)
    offer(spans, *range(100))

    assert not spans.close(0.05)

    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 100
    assert exporter.released.wait(60)
    assert len(caplog.records) == 1


def test_what_is_on_its_way_to_the_exporter_is_counted_as_well() -> None:
    """The rest is given up in the middle of making a batch."""
    release = threading.Event()

    def slow(item: Any) -> Any:
        if item == 6:
            release.wait(60)
        return make(item)

    spans = SpanPipeline(slow, Recording, batch=10)
    offer(spans, *range(100))
    assert not spans.close(0.05)
    release.set()

    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 100


class Slow(Recording):
    """Takes a while for each export: eight tenths of a second by its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Looks(lambda: self.clock.now < self._until)
        self._until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._until += 0.8
        while self.clock.now < self._until and not self.released.is_set():
            threading.Event().wait(0.001)
        return super().export(spans)


def test_closing_waits_longer_than_the_limit_while_spans_are_delivered() -> None:
    """The limit is for standing still."""
    exporter = Slow()
    spans = pipeline(exporter, batch=1, clock=exporter.clock)
    offer(spans, *range(3))

    assert spans.close(1.0)
    assert exporter.seen == ["0", "1", "2"]
    assert exporter.clock.now > 2


def test_closing_ends_in_the_end_even_while_spans_are_delivered() -> None:
    """After ten limits, for whoever ends a process waits no longer."""
    exporter = Slow()
    spans = pipeline(exporter, batch=1, clock=exporter.clock)
    offer(spans, *range(20))

    assert not spans.close(1.0)
    assert 11 <= spans.exported <= 13  # of 0.8 s each
    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 20 - spans.exported


def test_a_process_that_was_suspended_while_closing_loses_nothing() -> None:
    """The limit is over when it goes on, though the exporter had no time either."""
    exporter = Recording()
    exporter.hang = True

    def clock() -> float:
        times.append(times[-1] + 1000)
        if len(times) == 8:
            exporter.released.set()
        return times[-1] if len(times) < 8 else times[7]

    times = [0.0]
    spans = pipeline(exporter, clock=clock)
    offer(spans, "a")

    assert spans.close(1.0)
    assert exporter.seen == ["a"]


def test_what_comes_after_the_end_is_counted() -> None:
    """A run may end after observability was switched off."""
    spans = pipeline(Recording())
    assert spans.close(60)

    offer(spans, "late")

    assert spans.dropped[names.DROPPED_ALREADY_SHUTDOWN] == 1


def test_a_full_batch_is_exported_before_its_time() -> None:
    """A burst does not wait for the interval."""
    exporter = Recording()
    spans = pipeline(exporter, batch=10, interval=3600)
    offer(spans, *range(50))

    assert exporter.exporting.wait(60)
    assert spans.close(60)


def test_our_own_requests_are_not_traced() -> None:
    """An instrumented HTTP client would otherwise make spans of sending spans, forever."""
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # pyright: ignore[reportPrivateUsage] - what others look at

    class Looking(Recording):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.suppressed = get_value(_SUPPRESS_INSTRUMENTATION_KEY)
            return super().export(spans)

    exporter = Looking()
    spans = pipeline(exporter)
    offer(spans, "a")
    assert spans.close(60)

    assert exporter.suppressed is True
    assert get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None


def test_an_exporter_that_cannot_be_shut_down_does_no_harm() -> None:
    """Closing is no place to raise."""

    class Broken(Recording):
        def shutdown(self) -> None:
            raise RuntimeError("no")

    spans = pipeline(Broken())
    offer(spans, "a")

    assert spans.close(60)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_nothing_that_an_exporter_raises_ends_the_thread(error: BaseException) -> None:
    """What comes later is delivered; what was lost is counted."""

    class Leaving(Recording):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            if not self.exporting.is_set():
                self.exporting.set()
                raise error
            return super().export(spans)

    exporter = Leaving()
    spans = pipeline(exporter, batch=1, interval=0.01)
    offer(spans, "first")
    assert exporter.exporting.wait(60)
    offer(spans, "second")

    assert not spans.close(60)
    assert exporter.seen == ["second"]
    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 1


@pytest.mark.parametrize("answer", [None, True, 0, "SUCCESS"])
def test_an_answer_that_is_none_counts_as_a_failure(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says what was returned, and what is wanted."""

    class Garbled(Recording):
        def export(self, spans: Sequence[ReadableSpan]) -> Any:
            return answer

    spans = pipeline(Garbled(), where="the exporter Garbled")
    offer(spans, "a")

    assert not spans.close(60)
    said = caplog.records[0].getMessage()
    assert f"the exporter Garbled returned {type(answer).__name__}" in said
    assert "SpanExportResult.SUCCESS" in said


def test_the_line_about_a_failure_holds_no_secret_and_no_second_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An HTTP client's message may hold the URL with its key."""
    exporter = Recording()
    exporter.error = OSError("no route to http://h/?key=hunter2\nTraceback " + "x" * 10_000)
    spans = pipeline(exporter, redact=hide)
    offer(spans, "a")
    assert not spans.close(60)

    said = caplog.records[0].getMessage()
    assert "OSError: no route to http://h/?key=[gone] Traceback" in said
    assert len(said) < 600


def test_an_error_that_cannot_be_shown_is_told_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By its class."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    exporter = Recording()
    exporter.error = OddError()
    spans = pipeline(exporter)
    offer(spans, "a")
    assert not spans.close(60)

    assert "OddError" in caplog.records[0].getMessage()


def test_a_shutdown_that_hangs_is_not_told_as_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    """Everything was delivered."""
    release, shutting = threading.Event(), threading.Event()

    class Lingering(Recording):
        def shutdown(self) -> None:
            shutting.set()
            release.wait(60)

    spans = pipeline(Lingering(), clock=Looks(shutting.is_set))
    offer(spans, "a")

    assert spans.close(0.05)
    release.set()
    assert "did not shut down within 0.05 s" in caplog.records[0].getMessage()


def test_closing_waits_for_no_lock_of_a_workflow_that_was_interrupted() -> None:
    """A signal may arrive while a span is being refused; its handler may close, or run another."""
    exporter = Recording()
    spans = pipeline(exporter)
    offer(spans, "a")
    with spans._refusing:  # pyright: ignore[reportPrivateUsage] - where the signal arrives
        assert spans.close(60)
        offer(spans, "late")

    assert exporter.seen == ["a"]
    assert spans.dropped[names.DROPPED_ALREADY_SHUTDOWN] == 1


def test_closing_in_a_signal_handler_that_interrupted_closing_ends() -> None:
    """Nothing is delivered while the thread that closes is held up; nobody waits for himself."""
    spans = pipeline(Recording())
    with spans._lock:  # pyright: ignore[reportPrivateUsage] - where the signal arrives
        offer(spans, "a")
        assert not spans.close(0.05)

    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 1


def test_a_log_handler_that_raises_stops_no_delivery() -> None:
    """It is asked in the thread that exports."""

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise LookupError(record.getMessage())

    logger = logging.getLogger("tta_observability_integration")
    broken = Broken()
    logger.addFilter(broken)
    try:
        exporter = Recording()
        spans = pipeline(exporter, batch=1)
        offer(spans, "a", "poison", "b")
        assert not spans.close(60)
    finally:
        logger.removeFilter(broken)

    assert exporter.seen == ["a", "b"]
    assert exporter.shut == 1


def test_giving_up_twice_counts_once() -> None:
    """A signal may close what is being closed."""
    exporter = Recording()
    exporter.hang = True
    exporter.shutdown = lambda: None  # type: ignore[method-assign]
    spans = pipeline(exporter, batch=10)
    offer(spans, *range(100))

    assert not spans.close(0.05)
    assert not spans.close(0.05)
    exporter.released.set()

    assert spans.dropped[names.DROPPED_EXPORT_FAILED] == 100
