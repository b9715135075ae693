"""The observer that the workflow engine tells of every call."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tta_observability_integration.failures import capture, error_type
from tta_observability_integration.outgoing import MOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_observability_integration.live import Bridge
    from tta_observability_integration.metrics import Durations
    from tta_observability_integration.pipeline import SpanPipeline
    from tta_observability_integration.protocols import RecordLike, SpanContextLike

__all__ = ("OpenTelemetryObserver",)

_DRIFT = 50_000_000  # nanoseconds by which the wall clock may move before it is followed
_RISING = 4096  # failures that may be on their way up at once
_CARRIED = (str, int, float, list, tuple)


class OpenTelemetryObserver:
    """Turns the records of a workflow engine into spans and metrics, late.

    `initialize_observability` makes and attaches one. Made by hand, it observes any engine whose
    records have the shape of `RecordLike`.

    Args:
        spans: Where ended calls go; None for no spans.
        durations: Where durations are counted; None for no metrics.
        bridge: The link to OpenTelemetry's current span; None to begin a trace with each run.

    Example:
        >>> from tta_observability_integration.metrics import Durations
        >>> durations = Durations(redact=lambda key, value: value)
        >>> observer = OpenTelemetryObserver(durations=durations)
    """

    def __init__(
        self,
        *,
        spans: SpanPipeline | None = None,
        durations: Durations | None = None,
        bridge: Bridge | None = None,
    ) -> None:
        self._spans = spans
        self._durations = durations
        self._bridge = bridge
        self._offset = 0  # from the engine's clock to Unix time, in nanoseconds
        self._rising: dict[int, int] = {}  # the failure that came out of a call, by its caller

    def caller(self) -> SpanContextLike | None:
        """Return the OpenTelemetry span around the run that begins now, if there is one."""
        bridge = self._bridge
        return None if bridge is None else bridge.caller()

    def ended(self, record: RecordLike, /) -> None:
        """Count a call that has ended, and keep what its span needs.

        Args:
            record: The call. It is not kept, for it holds the run's data and its exception.
        """
        status = record.status
        error = record.error if status == "error" else None
        start, end = record.start, record.end
        durations = self._durations
        if durations is not None:
            kind = None if error is None else error_type(error)
            durations.record(record.name, record.type, kind, end - start)
        spans = self._spans
        if spans is None:
            return
        bridge = self._bridge
        if bridge is not None and not bridge.is_sampled(record):
            return
        context = record.context
        span_id, parent_id = record.span_id, record.parent_span_id
        failure = None
        rising = self._rising
        below = rising.pop(span_id, None) if rising else None
        if error is not None:
            failure = capture(error, arose=below != id(error))
            if parent_id:
                if len(rising) >= _RISING:  # callers in other processes never take theirs
                    rising.clear()
                rising[parent_id] = id(error)
        offset = int((record.start_unix - start) * 1e9)
        if abs(offset - self._offset) > _DRIFT:
            self._offset = offset
        else:  # the same for a call and its caller, so that one lies within the other
            offset = self._offset
        given = context.parent_span_context
        spans.offer(
            (
                record.name,
                record.type,
                record.path,
                int(start * 1e9) + offset,
                int(end * 1e9) + offset,
                record.attempt,
                status,
                context.correlation_id,
                record.trace_id,
                span_id,
                parent_id,
                given is not None and given.span_id == parent_id,
                _kept(record.attributes),
                failure,
            )
        )


def _kept(attributes: Mapping[str, object]) -> dict[str, object] | None:
    """Take what a span can carry, as it is now; the rest may hold all of the workflow's data."""
    if not attributes:
        return None
    kept: dict[str, object] = {}
    for key, value in attributes.items():
        if type(value) is list:
            kept[key] = cast("list[object]", value)[:MOST]
        elif isinstance(value, _CARRIED):
            kept[key] = value
    return kept
