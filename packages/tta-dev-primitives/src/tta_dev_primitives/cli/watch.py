"""What a run did, gathered as it goes: for the live tree, the summary and the trace file."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tta_dev_primitives.cli.data import as_json
from tta_dev_primitives.cli.problems import UsageProblem, one_line
from tta_dev_primitives.core import clock, engine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tta_dev_primitives.core.record import Call, Record, Status

__all__ = ("Place", "TraceFile", "Watch", "watching")


class Place:
    """What is known of one step: its state now, and its calls so far."""

    __slots__ = (
        "attempt",
        "calls",
        "failed",
        "path",
        "retries",
        "running",
        "seconds",
        "since",
        "status",
        "type",
    )

    def __init__(self, path: str, kind: str) -> None:
        self.path: str = path
        self.type: str = kind
        self.calls: int = 0
        self.failed: int = 0
        self.retries: int = 0
        self.running: int = 0
        self.seconds: float = 0.0
        self.since: float = 0.0
        self.attempt: int = 1
        self.status: Status | None = None

    def facts(self) -> dict[str, Any]:
        """Return what a machine is told of the step."""
        return {
            "path": self.path,
            "type": self.type,
            "status": self.status,
            "calls": self.calls,
            "failed": self.failed,
            "retries": self.retries,
            "seconds": self.seconds,
        }


class Watch:
    """An observer that keeps one `Place` per path; told from any thread."""

    def __init__(self, trace: TraceFile | None = None) -> None:
        self.places: dict[str, Place] = {}
        self.lock: threading.Lock = threading.Lock()
        self._trace = trace

    def started(self, call: Call, /) -> None:
        """Note that a step is running."""
        with self.lock:
            place = self._place(call)
            place.running += 1
            place.since = call.start
            place.attempt = call.attempt

    def ended(self, record: Record, /) -> None:
        """Note how a step ended."""
        with self.lock:
            place = self._place(record)
            place.running = max(0, place.running - 1)
            place.calls += 1
            place.seconds += record.duration
            place.status = record.status
            place.attempt = record.attempt
            place.failed += record.status == "error"
            place.retries += record.attempt > 1
        if self._trace is not None:
            self._trace.write(_line_of(record))

    def _place(self, call: Call) -> Place:
        place = self.places.get(call.path)
        if place is None:
            place = self.places[call.path] = Place(call.path, call.type)
        return place

    def cut_off(self) -> list[str]:
        """Return the paths of the innermost steps that were cancelled last."""
        paths = [path for path, place in self.places.items() if place.status == "cancelled"]
        outer = {path.rpartition("/")[0] for path in paths}
        return [path for path in paths if path not in outer]


@contextmanager
def watching(watch: Watch) -> Generator[None]:
    """Let `watch` observe the runs in between."""
    engine.add_observer(watch)
    try:
        yield
    finally:
        engine.remove_observer(watch)


class TraceFile:
    """Records as JSON lines, written by a thread, so that a slow disk never holds up a step.

    Args:
        path: The file; what it held is replaced.

    Raises:
        UsageProblem: It cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            message = f"--trace {path}: {error.strerror or error}"
            raise UsageProblem(message) from None
        self._path = path
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="tta-trace", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Hand over a line."""
        self._lines.put(line)

    def close(self) -> str | None:
        """Write what is left; returns what went wrong, or None."""
        self._lines.put(None)
        self._thread.join()
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error
        if self._error is None:
            return None
        return f"the trace in {self._path} is not complete: {one_line(self._error)}"

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._error is None:
                try:
                    self._file.write(f"{line}\n")
                except OSError as error:
                    self._error = error


def _line_of(record: Record) -> str:
    attributes = {
        name: value if as_json(value) is not None else str(value)
        for name, value in record.attributes.items()
    }
    return json.dumps(
        {
            "path": record.path,
            "name": record.name,
            "type": record.type,
            "status": record.status,
            "attempt": record.attempt,
            "start": clock.unix_time(record.start),
            "duration": record.duration,
            "error": None if record.error is None else one_line(record.error),
            "attributes": attributes,
            "correlation_id": record.correlation_id,
            "trace_id": f"{record.trace_id:032x}",
            "span_id": f"{record.span_id:016x}",
            "parent_span_id": f"{record.parent_span_id:016x}" if record.parent_span_id else None,
        },
        ensure_ascii=False,
        default=str,
    )
