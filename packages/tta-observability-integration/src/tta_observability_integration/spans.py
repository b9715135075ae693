"""Spans made late: the hot path keeps a tuple, the exporting thread makes the span."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tta_observability_integration import names
from tta_observability_integration.failures import Failure
from tta_observability_integration.outgoing import Outgoing

if TYPE_CHECKING:
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


class SpanFactory:
    """Turns what the hot path kept into OpenTelemetry spans.

    Args:
        resource: What the spans belong to.
        redact: Takes secrets out of every text.
    """

    def __init__(self, *, resource: Resource, redact: Redactor) -> None:
        self._out = out = Outgoing(redact)
        self._resource = Resource(out.attributes(resource.attributes), resource.schema_url)
        # Names recur in every run, the correlation id in every call of one. What may hold more
        # than an id is never kept.
        self._id = lru_cache(maxsize=2048)(out.text)
        try:
            own = version("tta-observability-integration")
        except PackageNotFoundError:
            own = None
        self._scope = InstrumentationScope(names.SCOPE, own)

    def make(self, ended: Ended) -> ReadableSpan:
        """Return the span of a call that has ended.

        Raises:
            ValueError: Its ids are none that could be sent, as those of a malformed caller.
        """
        # fmt: off
        (
            name, kind, path, start, end, attempt, status, correlation_id,
            trace_id, span_id, parent_id, remote, noted, failure,
        ) = ended
        # fmt: on
        known = self._id
        attributes = self._out.attributes(noted) if noted else {}
        attributes[names.PRIMITIVE_NAME] = shown = known(names.PRIMITIVE_NAME, name)
        attributes[names.PRIMITIVE_TYPE] = known(names.PRIMITIVE_TYPE, kind)
        attributes[names.PRIMITIVE_PATH] = known(names.PRIMITIVE_PATH, path)
        attributes[names.CORRELATION_ID] = known(names.CORRELATION_ID, correlation_id)
        attributes[names.ATTEMPT] = attempt
        outcome = _UNSET
        events: tuple[Event, ...] = ()
        if failure is not None:
            attributes[names.ERROR_TYPE] = failed = known(names.ERROR_TYPE, failure.type)
            message = self._out.text(names.EXCEPTION_MESSAGE, failure.message)
            outcome = Status(StatusCode.ERROR, f"{failed}: {message}")
            events = (self._event(failure, failed, message, end),)
        elif status != "ok":
            attributes[names.PRIMITIVE_STATUS] = status
        context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
        parent = SpanContext(trace_id, parent_id, remote, _SAMPLED) if parent_id else None
        if not (context.is_valid and (parent is None or parent.is_valid)):  # would fail its batch
            raise ValueError(f"trace {trace_id:#x}, span {span_id:#x}, parent {parent_id:#x}")
        return ReadableSpan(
            name=names.span_name(shown),
            context=context,
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

    def _event(self, failure: Failure, failed: str, message: str, at: int) -> Event:
        attributes: dict[str, AttributeValue] = {
            names.EXCEPTION_TYPE: failed,
            names.EXCEPTION_MESSAGE: message,
        }
        if failure.arose:  # the end of a long one tells where it arose
            attributes[names.EXCEPTION_STACKTRACE] = self._out.text(
                names.EXCEPTION_STACKTRACE, failure.stack(), end=True
            )
        return Event(names.EXCEPTION_EVENT, attributes, at)
