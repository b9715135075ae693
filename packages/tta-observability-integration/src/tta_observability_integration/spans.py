"""Spans made late: the hot path keeps a tuple, the exporting thread makes the span."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tta_observability_integration import names
from tta_observability_integration.failures import Failure

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.util.types import AttributeValue

    from tta_observability_integration.protocols import Redactor

__all__ = ("Ended", "SpanFactory")

# fmt: off
Ended: TypeAlias = tuple[
    str, str, str, int, int, int, str, str, int, int, int, bool,
    Mapping[str, object] | None, Failure | None,
]
# fmt: on
"""A call that has ended: name, type, path, start and end in Unix nanoseconds, attempt, status,
correlation id, trace id, span id, parent span id (0: none), whether that parent is remote,
attributes, failure. A plain tuple, for it is made in the workflow's own time."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_INTERNAL = SpanKind.INTERNAL
_UNSET = Status(StatusCode.UNSET)
_LONGEST = 8192  # characters of one attribute
_INT64 = 1 << 63


class SpanFactory:
    """Turns what the hot path kept into OpenTelemetry spans.

    Args:
        resource: What the spans belong to.
        redact: Takes secrets out of every text.
    """

    def __init__(self, *, resource: Resource, redact: Redactor) -> None:
        self._resource = resource
        self._redact = redact
        # Names recur in every run, the correlation id in every call of one. What may hold more
        # than an id is never kept.
        self._id = lru_cache(maxsize=2048)(self._text)
        try:
            own = version("tta-observability-integration")
        except PackageNotFoundError:
            own = None
        self._scope = InstrumentationScope(names.SCOPE, own)

    def make(self, ended: Ended) -> ReadableSpan:
        """Return the span of a call that has ended."""
        # fmt: off
        (
            name, kind, path, start, end, attempt, status, correlation_id,
            trace_id, span_id, parent_id, remote, noted, failure,
        ) = ended
        # fmt: on
        known = self._id
        attributes: dict[str, AttributeValue] = {}
        if noted:
            for key, value in noted.items():
                kept = self._value(key, value)
                if kept is not None:
                    attributes[_clean(key)] = kept
        attributes[names.PRIMITIVE_NAME] = shown = known(names.PRIMITIVE_NAME, name)
        attributes[names.PRIMITIVE_TYPE] = known(names.PRIMITIVE_TYPE, kind)
        attributes[names.PRIMITIVE_PATH] = known(names.PRIMITIVE_PATH, path)
        attributes[names.CORRELATION_ID] = known(names.CORRELATION_ID, correlation_id)
        attributes[names.ATTEMPT] = attempt
        outcome = _UNSET
        events: tuple[Event, ...] = ()
        if failure is not None:
            message = self._text(names.EXCEPTION_MESSAGE, failure.message)
            attributes[names.ERROR_TYPE] = failure.type
            outcome = Status(StatusCode.ERROR, f"{failure.type}: {message}")
            events = (self._event(failure, message, end),)
        elif status != "ok":
            attributes[names.PRIMITIVE_STATUS] = status
        parent = None
        if parent_id:
            parent = SpanContext(trace_id, parent_id, remote, _SAMPLED)
        return ReadableSpan(
            name=names.span_name(shown),
            context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            events=events,
            kind=_INTERNAL,
            status=outcome,
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )

    def _event(self, failure: Failure, message: str, at: int) -> Event:
        attributes: dict[str, AttributeValue] = {
            names.EXCEPTION_TYPE: failure.type,
            names.EXCEPTION_MESSAGE: message,
        }
        if failure.arose:
            attributes[names.EXCEPTION_STACKTRACE] = self._text(
                names.EXCEPTION_STACKTRACE, failure.stack()
            )
        return Event(names.EXCEPTION_EVENT, attributes, at)

    def _text(self, key: str, value: str) -> str:
        return _clean(self._redact(key, value)[:_LONGEST])

    def _value(self, key: str, value: object) -> AttributeValue | None:
        """Return a value as OpenTelemetry takes it; None for what it cannot carry."""
        if isinstance(value, str):
            return self._text(key, value)
        if isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            return int(value) if -_INT64 <= value < _INT64 else str(value)
        if isinstance(value, (list, tuple)):
            items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType] - each is looked at
            if all(isinstance(item, str) for item in items):
                return [self._text(key, str(item)) for item in items]
        return None


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot carry: one lone surrogate would fail a whole batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
