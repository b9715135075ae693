"""Durations, counted in accumulators of our own and read when somebody scrapes.

A call pays for one dictionary look-up and one `deque.append`; buckets are found in blocks. The
number of series is bounded, because names made at run time would otherwise fill the memory of this
process and of the Prometheus server.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tta_observability_integration import names
from tta_observability_integration.outgoing import Outgoing

if TYPE_CHECKING:
    from tta_observability_integration.protocols import Redactor

__all__ = ("DurationSeries", "Durations")

_logger = logging.getLogger("tta_observability_integration")

_FOLD_AT = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationSeries:
    """One series of the histogram, as it stood when it was read."""

    labels: dict[str, str]
    """Name and type of the primitive, and `error_type` where the calls failed."""
    buckets: tuple[int, ...]
    """Cumulative counts by the bounds of `names.DURATION`, the last one for infinity."""
    total: float
    """Sum of the durations, in seconds."""


class _Series:
    __slots__ = ("counts", "labels", "pending", "total")

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.counts = [0] * (len(names.DURATION.buckets) + 1)
        self.total = 0.0
        self.pending: deque[float] = deque()

    def fold(self) -> None:
        bounds = names.DURATION.buckets
        pending = self.pending
        for _ in range(len(pending)):
            seconds = pending.popleft()
            self.counts[bisect_left(bounds, seconds)] += 1
            self.total += seconds


class Durations:
    """The durations of calls, by primitive.

    Args:
        redact: Takes secrets out of label values.
        max_series: How many series are kept apart; the calls of further ones are counted together
            under the name `_OTHER`.
    """

    def __init__(self, *, redact: Redactor, max_series: int = 1000) -> None:
        self._out = Outgoing(redact)
        self._max_series = max_series
        # Held while a user's redactor and log handlers run, which may run workflows themselves.
        self._lock = threading.RLock()
        self._series: dict[tuple[str, str, str | None], _Series] = {}
        self._shown: dict[tuple[str, ...], _Series] = {}  # by labels, which may lack a secret

    def record(self, name: str, kind: str, error_type: str | None, seconds: float) -> None:
        """Count a call.

        Args:
            name: The primitive's name.
            kind: Its type.
            error_type: The class of the error where the call failed, else None.
            seconds: How long it took.
        """
        series = self._series.get((name, kind, error_type))
        if series is None:
            series = self._add(name, kind, error_type)
        pending = series.pending
        pending.append(seconds)
        if len(pending) >= _FOLD_AT:
            with self._lock:
                series.fold()

    def _add(self, name: str, kind: str, error_type: str | None) -> _Series:
        with self._lock:
            known = self._series
            found = known.get((name, kind, error_type))
            if found is not None:
                return found
            if len(known) < self._max_series:
                found = known[name, kind, error_type] = self._of(name, kind, error_type)
                return found
            other = (names.OTHER, names.OTHER, None if error_type is None else names.OTHER)
            found = known.get(other)
            if found is not None:
                return found
            if len(known) == self._max_series:
                _logger.warning(
                    "more than %d primitives by name, type and error: the durations of further "
                    "ones, such as %r, are counted together as %r; names made from data belong "
                    "into annotate(...)",
                    self._max_series,
                    self._out.text(names.PRIMITIVE_NAME, name),
                    names.OTHER,
                )
            found = known[other] = self._of(*other)
            return found

    def _of(self, name: str, kind: str, error_type: str | None) -> _Series:
        """Return the series with these labels: a page that has one twice is refused."""
        labels = {names.PRIMITIVE_NAME: name, names.PRIMITIVE_TYPE: kind}
        if error_type is not None:
            labels[names.ERROR_TYPE] = error_type
        labels = {names.label(key): self._out.text(key, value) for key, value in labels.items()}
        return self._shown.setdefault(tuple(labels.values()), _Series(labels))

    def read(self) -> list[DurationSeries]:
        """Return every series as it stands now."""
        with self._lock:
            read: list[DurationSeries] = []
            for series in self._shown.values():
                series.fold()
                running = 0
                cumulative = [running := running + count for count in series.counts]
                read.append(
                    DurationSeries(
                        labels=series.labels, buckets=tuple(cumulative), total=series.total
                    )
                )
            return read

    def restart_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.RLock()
