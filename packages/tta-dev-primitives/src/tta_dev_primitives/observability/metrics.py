"""What the default recorder counts: calls, failures and durations by place in a workflow.

The recorder is on from the first run. A call costs one clock reading and one append to a bounded
window; the steps of a chain are counted together, with one call per run. The rest is worked out
when somebody reads. Every place is keyed by name and path, with a bound on their number, so that
names made at run time cannot fill the memory.

The file is longer than most: counting and reading belong together, and half of it is docstrings.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.frozen import Frozen
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tta_dev_primitives.core.decorated import DecoratedFunction

__all__ = (
    "MetricsRecorder",
    "PlaceStats",
    "PrimitiveMetrics",
    "disable_observability",
    "enable_observability",
    "get_metrics",
    "install",
    "metrics_table",
    "reset_metrics",
    "track_metrics",
)

P = ParamSpec("P")
R = TypeVar("R")

MAX_PLACES = 1000
"""How many places are kept apart; the calls of further ones are counted together as `other`."""
WINDOW = 1024
"""How many durations of a place are kept for its percentiles."""
MAX_ERROR_TYPES = 32
"""How many exception classes of a place are kept apart."""
OTHER = "other"
OTHER_ERROR = "_OTHER"  # the fallback value of `error.type` in OpenTelemetry's conventions

_logger = logging.getLogger("tta_dev_primitives")


class PrimitiveMetrics(Frozen):
    """The counts and durations of one place, as they stood when they were read.

    Durations are those of calls that succeeded, in seconds, so that quick failures do not make a
    step look fast. Where no call has succeeded, they are NaN (None in `to_dict`).

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives import step
        >>> from tta_dev_primitives.observability import get_metrics, reset_metrics
        >>> reset_metrics()
        >>> _ = asyncio.run(step(str.upper).execute("hi"))
        >>> metrics = get_metrics("upper")
        >>> metrics.total, metrics.success_rate
        (1, 1.0)
    """

    __slots__ = (
        "cancelled",
        "error_counts",
        "failed",
        "filtered",
        "max",
        "mean",
        "min",
        "name",
        "p50",
        "p90",
        "p95",
        "p99",
        "path",
        "success_rate",
        "successful",
        "total",
        "type",
    )

    name: str
    """The primitive's own name."""
    path: str
    """Where it stands in its workflow; the name again where several places are put together."""
    type: str
    """The class of the primitive in snake case, `operation` for a decorated function."""
    total: int
    """Calls that have ended: the sum of the four counts that follow."""
    successful: int
    """Calls that returned."""
    failed: int
    """Calls that raised."""
    cancelled: int
    """Calls that were cancelled from outside; not failures."""
    filtered: int
    """Calls that ended with `Filtered`; not failures."""
    success_rate: float
    """From 0 to 1, of the calls that either succeeded or failed; NaN where there are none."""
    mean: float
    """Mean duration in the window of the last 1,024 successful calls."""
    min: float
    """Shortest duration in the window."""
    max: float
    """Longest duration in the window."""
    p50: float
    """Median duration in the window."""
    p90: float
    """90th percentile in the window, interpolated between neighbors; likewise those below."""
    p95: float
    """95th percentile in the window."""
    p99: float
    """99th percentile in the window."""
    error_counts: Mapping[str, int]
    """Failures by the name of the exception's class; `_OTHER` beyond 32 of them."""

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain data that JSON can hold; unknown durations are None."""
        plain: dict[str, object] = {}
        for name in self.record_fields:
            value = getattr(self, name)
            if isinstance(value, float) and math.isnan(value):
                value = None
            plain[name] = dict(self.error_counts) if name == "error_counts" else value
        return plain


class Counter:
    """A count from zero that loses nothing between threads. `tick` is one call into C."""

    __slots__ = ("_lock", "_readings", "tick")

    def __init__(self) -> None:
        self.tick: Callable[[], object] = count().__next__
        self._lock = threading.Lock()
        self._readings = 0

    def read(self) -> int:
        """Return how often `tick` was called; each reading is a tick that is not counted."""
        with self._lock:
            value = cast("int", self.tick()) - self._readings
            self._readings += 1
        return value


class PlaceStats:
    """What is kept for one place; fits `core.engine.SiteStats`. Safe to use from any thread.

    Attributes:
        name: The primitive's own name.
        path: Where it stands.
        kind: Its class in snake case.
        counters: All that counts this place's calls: its own counter, and one for each chain in
            which it stands.
    """

    __slots__ = (
        "_cancelled",
        "_errors",
        "_failed",
        "_filtered",
        "_lock",
        "_window",
        "counters",
        "kind",
        "name",
        "path",
    )

    def __init__(self, name: str, path: str, kind: str) -> None:
        self.name: str = name
        self.path: str = path
        self.kind: str = kind
        self._lock = threading.Lock()
        self.counters: list[Counter] = [Counter()]
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._failed = 0
        self._cancelled = 0
        self._filtered = 0
        self._errors: dict[str, int] = {}

    @property
    def push(self) -> Callable[[float], object]:
        """Take the negative duration of a call that ended well; the append of the window.

        Whoever calls it ticks a counter as well.
        """
        return self._window.append

    @property
    def tick(self) -> Callable[[], object]:
        """Count a call that ended well."""
        return self.counters[0].tick

    def failed(self, duration: float, error: BaseException) -> None:
        """Take a call that did not end well; its duration is not kept."""
        del duration
        with self._lock:
            if isinstance(error, (asyncio.CancelledError, GeneratorExit)):  # or closed unfinished
                self._cancelled += 1
            elif isinstance(error, Filtered):
                self._filtered += 1
            else:
                self._failed += 1
                kind = type(error).__name__
                if kind not in self._errors and len(self._errors) >= MAX_ERROR_TYPES:
                    kind = OTHER_ERROR
                self._errors[kind] = self._errors.get(kind, 0) + 1

    def tally(self) -> Tally:
        """Return the counts as they stand now."""
        with self._lock:
            return Tally(
                successful=sum(counter.read() for counter in tuple(self.counters)),
                failed=self._failed,
                cancelled=self._cancelled,
                filtered=self._filtered,
                window=tuple([-negative for negative in self._window.copy()]),
                errors=dict(self._errors),
            )


class Tally(Frozen):
    """The raw counts of one place at one moment."""

    __slots__ = ("cancelled", "errors", "failed", "filtered", "successful", "window")

    successful: int
    failed: int
    cancelled: int
    filtered: int
    window: tuple[float, ...]
    errors: Mapping[str, int]


class MetricsRecorder:
    """Keeps the statistics of every place; fits `core.engine.Recorder`.

    Args:
        max_places: How many places are kept apart. Calls at further places are counted together
            under the path `other`, and one warning is logged. So many different chains, too, are
            counted with one call per run; further ones count their steps one by one.
    """

    def __init__(self, *, max_places: int = MAX_PLACES) -> None:
        self._max_places = max_places
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str], PlaceStats] = {}
        self._other: PlaceStats | None = None
        self._chains: dict[tuple[PlaceStats, ...], Counter] = {}

    def stats(self, name: str, path: str, kind: str) -> PlaceStats:
        """Return the statistics of a place, the same for the same name and path."""
        key = name, path
        found = self._places.get(key)
        if found is None:
            found = self._add(key, kind)
        return found

    def tick_all(self, places: tuple[PlaceStats, ...]) -> Callable[[], object]:
        """Return what counts a call that ended well for each of `places`.

        The same for the same places, so that workflows built anew for each request share it.
        """
        with self._lock:
            found = self._chains.get(places)
            if found is None:
                if len(self._chains) >= self._max_places:
                    return partial(_tick_each, tuple(place.tick for place in places))
                found = self._chains[places] = Counter()
                for place in places:
                    place.counters.append(found)
        return found.tick

    def _add(self, key: tuple[str, str], kind: str) -> PlaceStats:
        with self._lock:
            found = self._places.get(key)
            if found is not None:
                return found
            if len(self._places) < self._max_places:
                added = self._places[key] = PlaceStats(*key, kind)
                return added
            if self._other is not None:
                return self._other
            other = self._other = PlaceStats(OTHER, OTHER, OTHER)
        _logger.warning(
            "metrics are kept apart for %d places; the calls of further ones, from %r on, are "
            "counted together as %r. Are names made from data?",
            self._max_places,
            key[1],
            OTHER,
        )
        return other

    def read(self, path_or_name: str | None = None) -> tuple[PrimitiveMetrics, ...]:
        """Return the metrics of all places that have ended a call, by path.

        Args:
            path_or_name: Only those at this path or, where there are none, of this name.
        """
        with self._lock:
            places = list(self._places.values())
            if self._other is not None:
                places.append(self._other)
        if path_or_name is not None:
            at_path = [place for place in places if place.path == path_or_name]
            places = at_path or [place for place in places if place.name == path_or_name]
        made = (_metrics(place.name, place.path, place.kind, (place.tally(),)) for place in places)
        return tuple(sorted((one for one in made if one.total), key=lambda one: one.path))

    def read_one(self, path_or_name: str) -> PrimitiveMetrics | None:
        """Return the metrics at a path, or those of all places of a name put together."""
        with self._lock:
            places = list(self._places.values())
            if self._other is not None:
                places.append(self._other)
        at_path = [place for place in places if place.path == path_or_name]
        found = at_path or [place for place in places if place.name == path_or_name]
        if not found:
            return None
        made = _metrics(
            found[0].name, path_or_name, found[0].kind, [place.tally() for place in found]
        )
        return made if made.total else None


def _tick_each(ticks: tuple[Callable[[], object], ...]) -> None:
    for tick in ticks:
        tick()


def _metrics(name: str, path: str, kind: str, tallies: Iterable[Tally]) -> PrimitiveMetrics:
    """Put the counts of one or more places together."""
    tallies = tuple(tallies)
    successful = sum(tally.successful for tally in tallies)
    failed = sum(tally.failed for tally in tallies)
    cancelled = sum(tally.cancelled for tally in tallies)
    filtered = sum(tally.filtered for tally in tallies)
    errors: dict[str, int] = {}
    for tally in tallies:
        for error, times in tally.errors.items():
            errors[error] = errors.get(error, 0) + times
    window = sorted(duration for tally in tallies for duration in tally.window)
    judged = successful + failed
    return PrimitiveMetrics(
        name=name,
        path=path,
        type=kind,
        total=judged + cancelled + filtered,
        successful=successful,
        failed=failed,
        cancelled=cancelled,
        filtered=filtered,
        success_rate=successful / judged if judged else math.nan,
        mean=math.fsum(window) / len(window) if window else math.nan,
        min=window[0] if window else math.nan,
        max=window[-1] if window else math.nan,
        p50=_percentile(window, 0.50),
        p90=_percentile(window, 0.90),
        p95=_percentile(window, 0.95),
        p99=_percentile(window, 0.99),
        error_counts=errors,
    )


def _percentile(ordered: list[float], fraction: float) -> float:
    """Return a percentile of sorted values, interpolated linearly between neighbors."""
    if not ordered:
        return math.nan
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return min(high, low + (high - low) * (position - below))  # rounding must not pass `high`


# --- the default recorder -----------------------------------------------------------------------

_recorder = MetricsRecorder()
_VARIABLE = "TTA_OBSERVABILITY"


def install() -> None:
    """Put the default observers in place, unless the environment says no.

    Called by the package when a workflow first runs. `TTA_OBSERVABILITY=off` leaves everything
    out; `on` or nothing installs the recorder and the log observer; any other value is treated as
    `on`, with one warning.
    """
    value = os.environ.get(_VARIABLE, "on").strip().lower()
    if value == "off":
        engine.silence()
        return
    if value not in {"on", ""}:
        _logger.warning(
            "%s must be 'on' or 'off', not %r; observability stays on", _VARIABLE, value[:40]
        )
    _put_in_place()


def enable_observability() -> None:
    """Count calls and write log lines from the next run on, whatever the environment says.

    That is the state in which a program starts, so it is needed only after
    `disable_observability` or `TTA_OBSERVABILITY=off`. What was counted before is still there.
    """
    _put_in_place()


def disable_observability() -> None:
    """Stop counting calls and writing log lines; observers that were added by hand stay."""
    engine.silence()


def _put_in_place() -> None:
    from tta_dev_primitives.observability.logging import LogObserver  # noqa: PLC0415 - on the first run

    log = LogObserver()
    engine.install_defaults(
        recorder=_recorder, log=log, log_enabled=log.enabled, log_possible=log.possible
    )


@overload
def get_metrics() -> tuple[PrimitiveMetrics, ...]: ...
@overload
def get_metrics(path_or_name: str) -> PrimitiveMetrics | None: ...
def get_metrics(
    path_or_name: str | None = None,
) -> tuple[PrimitiveMetrics, ...] | PrimitiveMetrics | None:
    """Return what was counted: all places, or one.

    Args:
        path_or_name: A path such as `sequential/fetch[1]`; or a name, whose places are put
            together. Default: every place that has ended a call, by path.

    Returns:
        A tuple of all, or the one that was asked for: None if nothing of the kind has ended yet.
    """
    return _recorder.read() if path_or_name is None else _recorder.read_one(path_or_name)


def reset_metrics() -> None:
    """Count from zero. Calls that are under way are no longer counted when they end."""
    global _recorder
    old, _recorder = _recorder, MetricsRecorder()
    state = engine.listening
    if state is not None and cast("object", state.recorder) is old:
        engine.install_defaults(
            recorder=_recorder,
            log=state.log,
            log_enabled=state.log_enabled,
            log_possible=state.log_possible,
        )


def metrics_table(path_or_name: str | None = None) -> str:
    """Return what was counted as a text table, one line per place, durations in milliseconds.

    Args:
        path_or_name: Only the places at this path or of this name. Default: all.
    """
    head = ("path", "calls", "ok %", "mean ms", "p50 ms", "p95 ms", "p99 ms", "errors")
    rows = [
        (
            one.path,
            str(one.total),
            _shown(one.success_rate * 100, 1),
            *(_shown(seconds * 1000, 3) for seconds in (one.mean, one.p50, one.p95, one.p99)),
            ", ".join(f"{kind} {count}" for kind, count in sorted(one.error_counts.items())),
        )
        for one in _recorder.read(path_or_name)
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    numbers = range(1, len(head) - 1)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def _shown(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


# --- functions ----------------------------------------------------------------------------------


@overload
def track_metrics(function: Callable[P, R], /) -> DecoratedFunction[P, R]: ...
@overload
def track_metrics(
    *, name: str | None = None
) -> Callable[[Callable[P, R]], DecoratedFunction[P, R]]: ...
def track_metrics(function: Any = None, /, *, name: str | None = None) -> Any:
    """Count the calls of a function and time them, under a name. With or without parentheses.

    The function is called as before, its exceptions pass unchanged, and it is a step as well. Its
    metrics stand beside those of primitives, with the type `operation`; observers are told of its
    calls too, so it appears in traces.

    Args:
        function: Synchronous or asynchronous, with any parameters.
        name: Under which `get_metrics` finds it. Default: the function's name.

    Raises:
        ConfigurationError: The name cannot stand in a path.
        CompositionError: The function is a generator.

    Example:
        >>> import asyncio
        >>> @track_metrics(name="api_latency")
        ... async def call_api(path: str) -> int:
        ...     return len(path)
        >>> asyncio.run(call_api("/v1"))
        3
        >>> metrics = get_metrics("api_latency")
        >>> metrics.successful if metrics else None
        1
    """
    from tta_dev_primitives.observability.operations import operation  # noqa: PLC0415 - on demand

    if function is not None:
        return operation(function, name)
    return partial(operation, name=name)
