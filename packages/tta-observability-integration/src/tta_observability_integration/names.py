"""Every name that leaves this package: spans, attributes, metrics, labels and reasons.

OpenTelemetry names are given; those of Prometheus follow from them by the rules of the Prometheus
compatibility document (dots become underscores, the unit and `_total` are appended), so that a
dashboard made for one export fits the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = (
    "AGENT_DELIVERED",
    "AGENT_EVENTS",
    "AGENT_METRICS",
    "AGENT_REFUSED",
    "AGENT_TYPE",
    "ATTEMPT",
    "CORRELATION_ID",
    "DROPPED",
    "DROPPED_ALREADY_SHUTDOWN",
    "DROPPED_EXPORT_FAILED",
    "DROPPED_QUEUE_FULL",
    "DROP_REASONS",
    "DURATION",
    "ERROR_TYPE",
    "EXCEPTION_EVENT",
    "EXCEPTION_MESSAGE",
    "EXCEPTION_STACKTRACE",
    "EXCEPTION_TYPE",
    "KIND",
    "OTHER",
    "PRIMITIVE_NAME",
    "PRIMITIVE_PATH",
    "PRIMITIVE_STATUS",
    "PRIMITIVE_TYPE",
    "SCOPE",
    "SERVICE_NAME",
    "SIGNAL",
    "SIGNAL_SPANS",
    "Metric",
    "label",
    "span_name",
)

SCOPE = "tta_observability_integration"
"""Name of the instrumentation scope of every span."""

# --- attributes ---------------------------------------------------------------------------------

PRIMITIVE_NAME = "tta.primitive.name"
PRIMITIVE_TYPE = "tta.primitive.type"
PRIMITIVE_PATH = "tta.primitive.path"
PRIMITIVE_STATUS = "tta.primitive.status"
"""`cancelled` or `filtered`; absent where the span status says it all."""
CORRELATION_ID = "tta.correlation_id"
ATTEMPT = "tta.attempt"
SIGNAL = "tta.signal"
ERROR_TYPE = "error.type"
SERVICE_NAME = "service.name"
AGENT_TYPE = "agent.type"
KIND = "kind"
"""What happened to a message of an agent: the `EventKind` of `tta_agent_coordination`."""

EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

# --- values -------------------------------------------------------------------------------------

SIGNAL_SPANS = "spans"
DROPPED_QUEUE_FULL = "queue_full"
DROPPED_EXPORT_FAILED = "export_failed"
DROPPED_ALREADY_SHUTDOWN = "already_shutdown"
DROP_REASONS = (DROPPED_QUEUE_FULL, DROPPED_EXPORT_FAILED, DROPPED_ALREADY_SHUTDOWN)
"""The values of `error.type` on what was dropped; those of OpenTelemetry's own SDK metrics."""
OTHER = "_OTHER"
"""Stands for whatever a bounded set of values has no more room for."""


# --- metrics ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric: its OpenTelemetry name, and what Prometheus calls it."""

    name: str
    """The OpenTelemetry name, without unit."""
    kind: Literal["counter", "histogram"]
    """The kind of instrument."""
    unit: str
    """The unit in UCUM: `s`, or what is counted in braces."""
    description: str
    """One sentence, shown as help."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in the unit, without infinity."""

    @property
    def prometheus(self) -> str:
        """The name on a Prometheus page."""
        suffix = "_seconds" if self.unit == "s" else ""
        total = "_total" if self.kind == "counter" else ""
        return f"{label(self.name)}{suffix}{total}"


DURATION = Metric(
    name="tta.primitive.duration",
    kind="histogram",
    unit="s",
    description="Duration of the calls of a primitive.",
    # A cache hit takes microseconds, a model call minutes.
    buckets=(
        *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    ),
)
DROPPED = Metric(
    name="tta.telemetry.dropped",
    kind="counter",
    unit="{item}",
    description="Telemetry that was made but not delivered, by signal and reason.",
)
AGENT_DELIVERED = Metric(
    name="tta.agent.messages.delivered",
    kind="counter",
    unit="{message}",
    description="Messages of agents that are in their mailbox.",
)
AGENT_REFUSED = Metric(
    name="tta.agent.messages.refused",
    kind="counter",
    unit="{message}",
    description="Messages of agents that were refused or could not be written.",
)
AGENT_EVENTS = Metric(
    name="tta.agent.events",
    kind="counter",
    unit="{message}",
    description="What happened to messages of agents, by kind and type of agent.",
)
AGENT_METRICS = (AGENT_DELIVERED, AGENT_REFUSED, AGENT_EVENTS)


def label(attribute: str) -> str:
    """Return the Prometheus label of an attribute.

    Example:
        >>> label(PRIMITIVE_NAME)
        'tta_primitive_name'
    """
    return attribute.replace(".", "_")


def span_name(primitive: str) -> str:
    """Return the name of the spans of a primitive.

    Example:
        >>> span_name("summarize")
        'summarize.execute'
    """
    return f"{primitive}.execute"
