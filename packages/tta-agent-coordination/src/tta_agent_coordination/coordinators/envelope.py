"""The headers that travel with messages: which are ours, and which follow a request's trace.

Headers are texts beside the message that its sender does not write, such as trace context. Those
whose names begin with `tta-` belong to coordinators; receivers do not see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import InvalidMessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ANSWERS", "FAILED", "REPLY_TO", "TRACE_CONTEXT", "check_headers", "traced", "visible")

OURS = "tta-"
REPLY_TO = "tta-reply-to"
"""Where the answer to a request goes."""
ANSWERS = "tta-answers"
"""In an answer: the `message_id` of the request."""
FAILED = "tta-failed"
"""In an answer: that it is an error."""
TRACE_CONTEXT = ("traceparent", "tracestate")
"""An answer carries on with these of its request."""


def check_headers(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return a caller's headers.

    Raises:
        InvalidMessageError: One has a name that is ours.

    Example:
        >>> check_headers({"traceparent": "00-1-2-01"})
        {'traceparent': '00-1-2-01'}
    """
    if headers is None:
        return {}
    for name in cast("Mapping[object, object]", headers):
        if isinstance(name, str) and name.lower().startswith(OURS):
            raise InvalidMessageError(
                f"header {name!r:.60} begins with {OURS!r}, which only coordinators may use"
            )
    return headers


def visible(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a receiver sees."""
    return {name: value for name, value in headers.items() if not name.startswith(OURS)}


def traced(request: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return an answer's headers: those given, and the trace context of the request."""
    carried = {name: request[name] for name in TRACE_CONTEXT if name in request}
    return {**carried, **headers}
