"""Observability of the core: metrics, structured logs and traces, without a dependency.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.observability.log_formats import (
        ConsoleFormatter,
        CorrelationFilter,
        JsonFormatter,
    )
    from tta_dev_primitives.observability.logging import (
        LogObserver,
        StructuredLogger,
        configure_logging,
        get_logger,
        unconfigure_logging,
    )
    from tta_dev_primitives.observability.metrics import (
        MetricsRecorder,
        PrimitiveMetrics,
        disable_observability,
        enable_observability,
        get_metrics,
        metrics_table,
        reset_metrics,
        track_metrics,
    )
    from tta_dev_primitives.observability.propagation import (
        SpanContext,
        current_span_context,
        extract,
        format_baggage,
        format_traceparent,
        inject,
        parse_baggage,
        parse_traceparent,
    )
    from tta_dev_primitives.observability.redaction import (
        REDACTED,
        is_sensitive_key,
        scrub,
        scrub_text,
    )
    from tta_dev_primitives.observability.tracing import (
        SpanNode,
        SpanTree,
        TreeObserver,
        collect_records,
        render_tree,
        trace_operation,
    )

__all__ = (
    "REDACTED",
    "ConsoleFormatter",
    "CorrelationFilter",
    "JsonFormatter",
    "LogObserver",
    "MetricsRecorder",
    "PrimitiveMetrics",
    "SpanContext",
    "SpanNode",
    "SpanTree",
    "StructuredLogger",
    "TreeObserver",
    "collect_records",
    "configure_logging",
    "current_span_context",
    "disable_observability",
    "enable_observability",
    "extract",
    "format_baggage",
    "format_traceparent",
    "get_logger",
    "get_metrics",
    "inject",
    "is_sensitive_key",
    "metrics_table",
    "parse_baggage",
    "parse_traceparent",
    "render_tree",
    "reset_metrics",
    "scrub",
    "scrub_text",
    "trace_operation",
    "track_metrics",
    "unconfigure_logging",
)

_PLACES = {
    "ConsoleFormatter": "log_formats",
    "CorrelationFilter": "log_formats",
    "JsonFormatter": "log_formats",
    "LogObserver": "logging",
    "MetricsRecorder": "metrics",
    "PrimitiveMetrics": "metrics",
    "REDACTED": "redaction",
    "SpanContext": "propagation",
    "SpanNode": "tracing",
    "SpanTree": "tracing",
    "StructuredLogger": "logging",
    "TreeObserver": "tracing",
    "collect_records": "tracing",
    "configure_logging": "logging",
    "current_span_context": "propagation",
    "disable_observability": "metrics",
    "enable_observability": "metrics",
    "extract": "propagation",
    "format_baggage": "propagation",
    "format_traceparent": "propagation",
    "get_logger": "logging",
    "get_metrics": "metrics",
    "inject": "propagation",
    "is_sensitive_key": "redaction",
    "metrics_table": "metrics",
    "parse_baggage": "propagation",
    "parse_traceparent": "propagation",
    "render_tree": "tracing",
    "reset_metrics": "metrics",
    "scrub": "redaction",
    "scrub_text": "redaction",
    "trace_operation": "operations",
    "track_metrics": "metrics",
    "unconfigure_logging": "logging",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
