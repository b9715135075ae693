"""The way of a span from the hot path to its exporter: a bounded queue and one thread.

The workflow's own time pays for one `deque.append`. Nothing is lost silently: what does not fit,
what the exporter refuses and what comes after the end is counted by reason. Closing waits as long
as spans keep being delivered, and not longer than its time limit where they do not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] - the only way to keep instrumented HTTP clients from tracing our own exports
    attach,
    set_value,
)
from opentelemetry.sdk.trace.export import SpanExportResult

from tta_observability_integration import names
from tta_observability_integration.failures import capture
from tta_observability_integration.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from tta_observability_integration.protocols import Redactor
    from tta_observability_integration.spans import Ended

__all__ = ("SpanPipeline",)

_logger = logging.getLogger("tta_observability_integration")

_EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_LINE = 300  # characters of a reason in a log line
_GLANCE = 0.002  # seconds between two looks whether the thread has ended
_PATIENCE = 10  # closing gives up after so many time limits, even while spans are delivered
_LOOKS = 10  # and after so many looks at least in which nothing was delivered


class _Patience:
    """How long closing goes on: while spans are delivered, and a time limit when none is.

    What passes between two looks counts for a part of the limit at most. A process that was
    suspended, or got no processor, finds the limit over when it goes on, though nothing could have
    been delivered meanwhile.

    Args:
        timeout: Seconds without a delivery.
        now: The time, in seconds.
        delivered: How many spans were delivered so far.
    """

    __slots__ = ("_delivered", "_last", "_spent", "_standing", "_timeout")

    def __init__(self, timeout: float, now: float, delivered: int) -> None:
        self._timeout = timeout
        self._last = now
        self._delivered = delivered
        self._standing = self._spent = 0.0

    def is_over(self, now: float, delivered: int) -> bool:
        """Look again; return whether to give up."""
        passed = min(now - self._last, self._timeout / _LOOKS)
        self._last = now
        self._spent += passed
        self._standing = self._standing + passed if delivered == self._delivered else 0.0
        self._delivered = delivered
        return self._standing > self._timeout or self._spent > _PATIENCE * self._timeout


class SpanPipeline:
    """Takes ended calls, and exports their spans from a thread of its own.

    Args:
        make_span: Turns what was taken into a span; runs in the thread.
        make_exporter: Makes the exporter; called again in a forked child, for connections cannot
            be shared between processes.
        max_queue: How many calls wait at most; further ones are dropped and counted.
        batch: How many spans one export has at most.
        interval: Seconds between exports while little happens.
        where: Where the spans go, for log lines.
        redact: Takes secrets out of log lines about an exporter; default: nothing is taken out.
        clock: The time by which closing loses its patience, in seconds.
    """

    def __init__(
        self,
        make_span: Callable[[Ended], ReadableSpan],
        make_exporter: Callable[[], SpanExporter],
        *,
        max_queue: int = 65_536,
        batch: int = 512,
        interval: float = 1.0,
        where: str = "the exporter",
        redact: Redactor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_span = make_span
        self._make_exporter = make_exporter
        self._max_queue = max_queue
        self._batch = batch
        self._interval = interval
        self._where = where
        self._clock = clock
        self._text = Outgoing(redact or (lambda _key, text: text)).text
        self._wake_at = min(4 * batch, max_queue)
        self._begin(make_exporter())
        self._quiet = _OneLine()
        logging.getLogger(_EXPORTER_LOGGER).addFilter(self._quiet)
        self._thread.start()

    def _begin(self, exporter: SpanExporter) -> None:
        self.exported: int = 0
        """How many spans the exporter has taken."""
        self._exporter = exporter
        self._queue: deque[Ended] = deque()
        self._dropped: dict[str, int] = dict.fromkeys(names.DROP_REASONS, 0)
        self._in_flight = 0
        self._failing = False
        self._closing = False
        self._abandoned = False
        self._ended = False
        # A signal may interrupt a workflow or the closing anywhere, and its handler may close or
        # run a workflow: so closing needs no lock of the hot path, no thread waits for a lock that
        # it holds, and waking is one step (an Event holds a lock of its own).
        self._refusing = threading.RLock()
        self._lock = threading.RLock()
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._thread = threading.Thread(target=self._work, name="tta-spans", daemon=True)

    @property
    def dropped(self) -> dict[str, int]:
        """How many calls were not delivered, by reason."""
        return self._dropped.copy()

    def offer(self, ended: Ended) -> None:
        """Take a call that has ended; never waits."""
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._max_queue or self._closing:
            self._refuse()
            return
        queue.append(ended)
        if waiting >= self._wake_at and self._asleep.locked():
            self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # woken already
            self._asleep.release()

    def _refuse(self) -> None:
        reason = names.DROPPED_ALREADY_SHUTDOWN if self._closing else names.DROPPED_QUEUE_FULL
        with self._refusing:
            self._dropped[reason] += 1
            first = self._dropped[reason] == 1
        if first and not self._closing:
            _logger.warning(
                "spans are made faster than %s takes them: the queue of %d is full, further ones "
                "are dropped and counted in %s",
                self._where,
                self._max_queue,
                names.DROPPED.prometheus,
            )

    # --- the thread -------------------------------------------------------------------------

    def _work(self) -> None:
        # In this thread alone, and for as long as it lives.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        self._quiet.thread = threading.current_thread()
        queue = self._queue
        last = False
        while not (last or self._abandoned):
            if not self._closing:
                self._asleep.acquire(timeout=self._interval)
            last = self._closing  # read before the queue is emptied, so that nothing slips by
            while queue and not self._abandoned:
                with suppress(Exception):  # a log handler of the user's; what failed is counted
                    self._export_batch()
        if not self._abandoned:
            with suppress(Exception):
                self._shut_exporter()
        self._ended = True

    def _export_batch(self) -> None:
        queue = self._queue
        spans: list[ReadableSpan] = []
        for _ in range(self._batch):
            with self._lock:  # each is in the queue or in flight when the rest is given up
                if not queue:
                    break
                ended = queue.popleft()
                self._in_flight += 1
            try:
                spans.append(self._make_span(ended))
            except BaseException as error:  # noqa: BLE001 - one odd record must not cost its batch
                self._failed(1, "of a call no span could be made", error)
        if not spans or self._abandoned:
            return
        try:
            result: object = self._exporter.export(spans)
        except BaseException as error:  # noqa: BLE001 - whatever it raises must not end this thread
            self._failed(len(spans), f"{self._where} failed", error)
            return
        if result is SpanExportResult.SUCCESS:
            self._delivered(len(spans))
        elif result is SpanExportResult.FAILURE:
            self._failed(len(spans), f"{self._where} refused", self._quiet.last)
        else:
            self._failed(
                len(spans),
                f"{self._where} returned {type(result).__name__}",
                "SpanExportResult.SUCCESS is what says that they were taken",
            )

    def _delivered(self, count: int) -> None:
        with self._lock:
            if not self._abandoned:
                self._in_flight -= count
                self.exported += count
                self._failing = False

    def _failed(self, count: int, what: str, reason: object) -> None:
        with self._lock:
            if self._abandoned:  # counted when they were given up
                return
            self._in_flight -= count
            self._dropped[names.DROPPED_EXPORT_FAILED] += count
            known, self._failing = self._failing, True
        if not known:
            _logger.warning(
                "spans could not be exported: %s (%s); they are dropped and counted in %s until "
                "exporting works again",
                what,
                self._said(reason),
                names.DROPPED.prometheus,
            )

    def _said(self, reason: object) -> str:
        """Return a reason in one line, without secrets."""
        said = reason
        if isinstance(reason, BaseException):
            failure = capture(reason, arose=False)
            said = f"{failure.type}: {failure.message}"
        return " ".join(self._text(names.EXCEPTION_MESSAGE, str(said)).split())[:_LINE]

    def _shut_exporter(self) -> None:
        try:
            self._exporter.shutdown()
        except BaseException as error:  # noqa: BLE001 - as for export
            _logger.warning("%s failed to shut down (%s)", self._where, self._said(error))

    # --- the end ----------------------------------------------------------------------------

    def close(self, timeout: float) -> bool:
        """Deliver what waits, and end the thread.

        Args:
            timeout: Seconds without a delivery after which the rest is dropped and counted. Time in
                which the process stood still counts little.

        Returns:
            Whether everything that waited was delivered.
        """
        self._closing = True
        self._wake()
        patience = _Patience(timeout, self._clock(), self.exported)
        # Looked at again and again: who waits by `join` may hold what others wait for when a signal
        # interrupts him, and its handler may be what closes.
        while not self._ended:
            time.sleep(_GLANCE)
            if patience.is_over(self._clock(), self.exported):
                self._abandon(timeout)  # the filter stays for what the thread may still say
                break
        else:
            self._thread.join(_GLANCE)
            logging.getLogger(_EXPORTER_LOGGER).removeFilter(self._quiet)
        return not self._dropped[names.DROPPED_EXPORT_FAILED]

    def _abandon(self, timeout: float) -> None:
        with self._lock:
            lost = len(self._queue) + self._in_flight
            again, self._abandoned = self._abandoned, True
            self._queue.clear()
            self._in_flight = 0
            self._dropped[names.DROPPED_EXPORT_FAILED] += lost
        if again:
            return
        if not lost:
            _logger.warning("%s did not shut down within %g s", self._where, timeout)
        elif not self._failing:
            _logger.warning(
                "%s took no span for %g s while shutting down; %d are dropped",
                self._where,
                timeout,
                lost,
            )
        # It may hang, and it may be what ends the export that hangs. While the interpreter ends, no
        # thread can be started; then the hanging one ends with it.
        with suppress(RuntimeError):
            threading.Thread(target=self._shut_exporter, daemon=True).start()

    def restart_after_fork(self) -> None:
        """Begin anew in a forked child: what waits belongs to the parent, which exports it."""
        self._begin(self._make_exporter())
        self._thread.start()


class _OneLine(logging.Filter):
    """Keeps the exporter's own lines about our spans away: we write one where it writes four."""

    def __init__(self) -> None:
        super().__init__()
        self.thread: threading.Thread | None = None
        self.last = "it does not say why"

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line pass unless it is logged by our own thread, which is where this runs."""
        if threading.current_thread() is not self.thread:
            return True
        with suppress(Exception):
            self.last = record.getMessage()
        return False
