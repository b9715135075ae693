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

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from tta_observability_integration.spans import Ended

__all__ = ("SpanPipeline",)

_logger = logging.getLogger("tta_observability_integration")

_EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_PATIENCE = 10  # closing gives up after so many time limits, even while spans are delivered


class SpanPipeline:
    """Takes ended calls, and exports their spans from a thread of its own.

    Args:
        make_span: Turns what was taken into a span; runs in the thread.
        make_exporter: Makes the exporter; called again in a forked child, for connections cannot
            be shared between processes.
        max_queue: How many calls wait at most; further ones are dropped and counted.
        batch: How many spans one export has at most.
        interval: Seconds between exports while little happens.
    """

    def __init__(
        self,
        make_span: Callable[[Ended], ReadableSpan],
        make_exporter: Callable[[], SpanExporter],
        *,
        max_queue: int = 65_536,
        batch: int = 512,
        interval: float = 1.0,
    ) -> None:
        self._make_span = make_span
        self._make_exporter = make_exporter
        self._max_queue = max_queue
        self._batch = batch
        self._interval = interval
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
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tta-spans", daemon=True)

    @property
    def dropped(self) -> dict[str, int]:
        """How many calls were not delivered, by reason."""
        with self._lock:
            return dict(self._dropped)

    def offer(self, ended: Ended) -> None:
        """Take a call that has ended; never waits."""
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._max_queue or self._closing:
            self._refuse()
            return
        queue.append(ended)
        if waiting >= self._wake_at and not self._wake.is_set():
            self._wake.set()

    def _refuse(self) -> None:
        if self._closing:
            self._drop(names.DROPPED_ALREADY_SHUTDOWN, 1)
        elif self._drop(names.DROPPED_QUEUE_FULL, 1) == 1:
            _logger.warning(
                "spans are made faster than they can be exported: the queue of %d is full, "
                "further ones are dropped and counted in %s",
                self._max_queue,
                names.DROPPED.prometheus,
            )

    def _drop(self, reason: str, count: int) -> int:
        with self._lock:
            self._dropped[reason] += count
            return self._dropped[reason]

    # --- the thread -------------------------------------------------------------------------

    def _work(self) -> None:
        # In this thread alone, and for as long as it lives.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        self._quiet.thread = threading.current_thread()
        queue = self._queue
        while True:
            if not self._closing:
                self._wake.wait(self._interval)
                self._wake.clear()
            last = self._closing  # read before the queue is emptied, so that nothing slips by
            while queue and not self._abandoned:
                self._export_batch()
            if last or self._abandoned:
                break
        if not self._abandoned:
            self._shut_exporter()

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
            except Exception as error:  # noqa: BLE001 - one odd record must not cost its batch
                if self._abandoned:
                    return
                self._in_flight -= 1
                self._failed(1, error)
        reason: object = "the exporter reported a failure"
        try:
            delivered = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything
            delivered, reason = False, error
        if self._abandoned:
            return
        if delivered:
            self.exported += len(spans)
            self._failing = False
        else:
            self._failed(len(spans), reason)
        self._in_flight = 0

    def _failed(self, count: int, reason: object) -> None:
        self._drop(names.DROPPED_EXPORT_FAILED, count)
        if not self._failing:
            self._failing = True
            _logger.warning(
                "spans could not be exported (%s); they are dropped and counted in %s until "
                "exporting works again",
                reason,
                names.DROPPED.prometheus,
            )

    def _shut_exporter(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception as error:  # noqa: BLE001 - as for export
            _logger.warning("the span exporter failed to shut down: %s", error)

    # --- the end ----------------------------------------------------------------------------

    def close(self, timeout: float) -> bool:
        """Deliver what waits, and end the thread.

        Args:
            timeout: Seconds without a delivery after which the rest is dropped and counted.

        Returns:
            Whether everything that waited was delivered.
        """
        self._closing = True
        self._wake.set()
        patience = time.monotonic() + _PATIENCE * timeout
        while True:
            before = self.exported
            self._thread.join(timeout)
            if not self._thread.is_alive():
                logging.getLogger(_EXPORTER_LOGGER).removeFilter(self._quiet)
                break
            if self.exported == before or time.monotonic() > patience:
                self._abandon(timeout)  # the filter stays for what the thread may still say
                break
        return not self.dropped[names.DROPPED_EXPORT_FAILED]

    def _abandon(self, timeout: float) -> None:
        with self._lock:
            self._abandoned = True
            lost = len(self._queue) + self._in_flight
            self._queue.clear()
        self._drop(names.DROPPED_EXPORT_FAILED, lost)
        if not self._failing:
            _logger.warning(
                "no span was delivered for %g s while shutting down; %d are dropped", timeout, lost
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

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line pass unless it is logged by our own thread, which is where this runs."""
        del record
        return threading.current_thread() is not self.thread
