"""W3C Trace Context and W3C Baggage: a run's identity in the headers of its calls.

`extract` makes a context from the headers of an incoming request, `inject` writes the running
step's identity into those of an outgoing one. What does not fit the specifications is left out,
as they ask, and never raises.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability.redaction import is_sensitive_key, scrub_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from tta_dev_primitives.core.protocols import SpanContextLike

__all__ = (
    "SpanContext",
    "current_span_context",
    "extract",
    "format_baggage",
    "format_traceparent",
    "inject",
    "parse_baggage",
    "parse_traceparent",
)

Headers: TypeAlias = "Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]"

_SAMPLED = 1
_KNOWN_FLAGS = 3  # sampled and random (Trace Context level 2); others must be sent as zero
_LENGTH = 55  # of version 00
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_MAX_TRACE_STATE = 512  # characters that have to be passed on (Trace Context, 3.3.1.5)
_MAX_MEMBERS = 64  # W3C Baggage, 3.3.2: what every platform passes on
_MAX_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanContext:
    """The identity of a span, as W3C Trace Context carries it.

    Raises:
        ConfigurationError: An id is zero or too large, or the flags are no byte.
    """

    trace_id: int
    """128-bit id of the trace, not zero."""
    span_id: int
    """64-bit id of the span, not zero."""
    trace_flags: int = _SAMPLED
    """Bit 0 says that the trace is recorded."""
    trace_state: str = ""
    """What vendors added, passed on as it came."""

    def __post_init__(self) -> None:
        for field, bits in (("trace_id", 128), ("span_id", 64)):
            value = getattr(self, field)
            if not 0 < value < 1 << bits:
                raise ConfigurationError(
                    f"{field} must be a number of {bits} bits that is not zero, not {value!r}"
                )
        if not 0 <= self.trace_flags <= 0xFF:  # noqa: PLR2004 - one byte
            raise ConfigurationError(f"trace_flags must be one byte, not {self.trace_flags!r}")


def parse_traceparent(value: str) -> SpanContext | None:
    """Return what a `traceparent` header says, or None if it is not valid.

    Args:
        value: The header. Blanks around it are allowed, as HTTP allows them.

    Example:
        >>> found = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        >>> f"{found.span_id:016x}" if found else None
        'b7ad6b7169203331'
    """
    text = value.strip(" \t")
    found = _TRACEPARENT.match(text)
    if found is None:
        return None
    version = found["version"]
    if version == "ff" or (version == "00" and len(text) != _LENGTH):
        return None
    if len(text) > _LENGTH and text[_LENGTH] != "-":
        return None
    trace_id, span_id = int(found["trace"], 16), int(found["span"], 16)
    if not trace_id or not span_id:
        return None
    return SpanContext(trace_id=trace_id, span_id=span_id, trace_flags=int(found["flags"], 16))


def format_traceparent(span: SpanContextLike) -> str:
    """Return the `traceparent` header for a span.

    Example:
        >>> format_traceparent(SpanContext(trace_id=1, span_id=2))
        '00-00000000000000000000000000000001-0000000000000002-01'
    """
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags) & _KNOWN_FLAGS:02x}"


_KEY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
# What a value may hold as it is; `%` itself is encoded.
_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"


def parse_baggage(value: str) -> dict[str, str]:
    """Return the members of a `baggage` header; those that are not valid are left out.

    At most 64 members of together 8,192 bytes are read. Properties of members are dropped.
    """
    members: dict[str, str] = {}
    if len(value) > _MAX_BYTES:
        value = value[:_MAX_BYTES].rpartition(",")[0]
    for member in value.split(","):
        key, equals, rest = member.partition("=")
        text = rest.partition(";")[0].strip(" \t")
        key = key.strip(" \t")
        if not equals or _KEY.fullmatch(key) is None or _VALUE.fullmatch(text) is None:
            continue
        if len(members) >= _MAX_MEMBERS and key not in members:
            break
        members[key] = unquote(text)
    return members


def format_baggage(members: Mapping[str, str]) -> str:
    """Return a `baggage` header.

    Left out: members whose key is no token, whose key or value looks like a secret, and those
    that would exceed 64 members or 8,192 bytes.
    """
    parts: list[str] = []
    size = -1
    for key, value in members.items():
        text = str(value)
        if _KEY.fullmatch(key) is None or is_sensitive_key(key) or scrub_text(text) != text:
            continue
        part = f"{key}={quote(text, safe=_SAFE, errors='replace')}"
        if len(parts) >= _MAX_MEMBERS or size + len(part) + 1 > _MAX_BYTES:
            continue
        size += len(part) + 1
        parts.append(part)
    return ",".join(parts)


def extract(headers: Headers, **context_fields: Any) -> WorkflowContext:
    """Make a context from the headers of a request: the run joins the caller's trace.

    Args:
        headers: Names in any case. A mapping, or pairs as ASGI gives them.
        context_fields: Fields of `WorkflowContext`. Members of `baggage=` replace the caller's.

    Raises:
        ContextFieldError: No such field.

    Example:
        >>> context = extract({"Baggage": "tenant=acme"}, correlation_id="req-7")
        >>> context.baggage
        {'tenant': 'acme'}
    """
    found = _wanted(headers)
    parents = found["traceparent"]
    # Two of them are as good as none (Trace Context, 3.2).
    parent = parse_traceparent(parents[0]) if len(parents) == 1 else None
    if parent is not None and found["tracestate"]:
        state = ",".join(found["tracestate"])
        if len(state) <= _MAX_TRACE_STATE and state.isascii() and state.isprintable():
            parent = SpanContext(
                trace_id=parent.trace_id,
                span_id=parent.span_id,
                trace_flags=parent.trace_flags,
                trace_state=state,
            )
    baggage = {**parse_baggage(",".join(found["baggage"])), **context_fields.pop("baggage", {})}
    if parent is not None:
        context_fields.setdefault("parent_span_context", parent)
    return WorkflowContext(baggage=baggage, **context_fields)


def _wanted(headers: Headers) -> dict[str, list[str]]:
    """Return the values of the headers that concern us, whatever the case of their names."""
    found: dict[str, list[str]] = {"traceparent": [], "tracestate": [], "baggage": []}
    given: Any = headers
    pairs: Iterable[tuple[object, object]] = given.items() if hasattr(given, "items") else given
    for name, value in pairs:
        values = found.get(_text(name).lower())
        if values is not None:
            values.append(_text(value))
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def current_span_context() -> SpanContext | None:
    """Return the identity of the step that is running; None where nobody observes it."""
    frame = engine.current.get()
    if frame is None:
        return None
    remote = frame.context.parent_span_context
    return SpanContext(
        trace_id=frame.trace_id,
        span_id=frame.child_span_id,
        trace_flags=_SAMPLED if remote is None else int(remote.trace_flags),
        trace_state=_trace_state(remote),
    )


def _trace_state(remote: SpanContextLike | None) -> str:
    state = getattr(remote, "trace_state", "")
    if isinstance(state, str):
        return state
    to_header = getattr(state, "to_header", None)  # OpenTelemetry's TraceState
    return str(to_header()) if to_header is not None else ""


def inject(headers: MutableMapping[str, str], context: WorkflowContext | None = None) -> None:
    """Write `traceparent`, `tracestate` and `baggage` of the running step into `headers`.

    Where nobody observes the run, its steps have no ids of their own: the call then goes on under
    the caller's span, or under a new one of the context's trace.

    Args:
        headers: What the request will be sent with; changed in place.
        context: The run's context. Needed only where nobody observes the run; without it, nothing
            is written there.
    """
    span = current_span_context()
    frame = engine.current.get()
    if frame is not None:
        context = frame.context
    if context is None:
        return
    if span is None:
        remote = context.parent_span_context
        span = SpanContext(
            trace_id=context.trace_id,
            span_id=remote.span_id if remote is not None else random.getrandbits(64) or 1,
            trace_flags=_SAMPLED if remote is None else int(remote.trace_flags),
            trace_state=_trace_state(remote),
        )
    headers["traceparent"] = format_traceparent(span)
    if span.trace_state:
        headers["tracestate"] = span.trace_state
    baggage = format_baggage(context.baggage)
    if baggage:
        headers["baggage"] = baggage
