"""OpenTelemetry and workflows in one trace, in both directions, while they run.

A run that begins inside an OpenTelemetry span becomes its child (`Bridge.caller`). A library that
opens a span inside a step becomes the step's child: where a run begins, the current OpenTelemetry
context is replaced by one that looks up, when it is asked for the current span, which step is
running. Nothing is attached per step, and nothing has to be detached: outside a run the context
answers as the one beneath it, so that an async generator that ends elsewhere does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_observability_integration.protocols import PlaceLike, RecordLike

__all__ = ("Bridge", "LiveContext")

# The key under which OpenTelemetry keeps the current span has no public name.
_SPAN_KEY = next(iter(set_span_in_context(INVALID_SPAN, Context())))
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_REMEMBERED = 10_000  # traces in flight that a caller chose not to sample


class Bridge:
    """Tells the engine in which OpenTelemetry span a run begins, and OpenTelemetry in which step.

    Args:
        running: Returns the place in a workflow where the current task is, or None.
    """

    def __init__(self, running: Callable[[], PlaceLike | None]) -> None:
        self.running = running
        self.open = True
        self._unsampled: dict[int, None] = {}

    def caller(self) -> SpanContext | None:
        """Return the OpenTelemetry span around the run that begins, and make its steps visible."""
        context = get_current()
        if not (isinstance(context, LiveContext) and context.bridge is self):
            attach(LiveContext(context, self, self.running()))
        found = get_current_span(context).get_span_context()
        if not found.is_valid:
            return None
        if not found.trace_flags.sampled:
            self._remember(found.trace_id)
        return found

    def _remember(self, trace_id: int) -> None:
        unsampled = self._unsampled
        unsampled[trace_id] = None
        if len(unsampled) > _REMEMBERED:
            for oldest in list(unsampled)[: _REMEMBERED // 2]:
                unsampled.pop(oldest, None)

    def is_sampled(self, call: RecordLike | PlaceLike) -> bool:
        """Return whether the caller of the call's run wants the trace; a run without one does."""
        if self._unsampled and call.trace_id in self._unsampled:
            return False
        given = call.context.parent_span_context
        return given is None or bool(given.trace_flags & 1) or given.trace_id != call.trace_id


class LiveContext(Context):
    """An OpenTelemetry context whose current span is that of the step which is running.

    Args:
        base: The context that it stands for.
        bridge: Knows the step.
        beneath: Where the task was when this was made; there, `base` holds the current span.
    """

    def __init__(self, base: Context, bridge: Bridge, beneath: PlaceLike | None) -> None:
        super().__init__(base)
        self.bridge = bridge
        self._beneath = beneath

    def _step(self) -> NonRecordingSpan | None:
        bridge = self.bridge
        place = bridge.running() if bridge.open else None
        if place is None or place is self._beneath:
            return None
        flags = _SAMPLED if bridge.is_sampled(place) else _UNSAMPLED
        return NonRecordingSpan(
            SpanContext(place.trace_id, place.child_span_id, is_remote=False, trace_flags=flags)
        )

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value; the current span where that is asked for."""
        if key == _SPAN_KEY:
            step = self._step()
            if step is not None:
                return step
        return super().get(key, default)

    def __getitem__(self, key: str) -> object:
        found = self.get(key, self)
        if found is self:
            raise KeyError(key)
        return found

    def copy(self) -> dict[str, object]:
        """Return the values as they are now; what OpenTelemetry derives contexts from."""
        values = dict(self)
        step = self._step()
        if step is not None:
            values[_SPAN_KEY] = step
        return values
