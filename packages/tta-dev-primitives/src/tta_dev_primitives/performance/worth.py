"""Which results are worth keeping: whole ones.

An answer that was cut off, refused or is empty would be served again and again; a stream or an
iterator would be empty the second time. What does not look like a model's answer is taken as whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ("PLAIN", "is_complete", "spent_once_read")

PLAIN = frozenset({str, int, float, bool, type(None), bytes, complex, tuple, set, frozenset})
"""Classes whose values are never a model's answer, nor spent once read."""
_REASONS = ("finish_reason", "stop_reason")
_WHOLE = frozenset(
    {"stop", "end_turn", "tool_calls", "tool_use", "function_call", "stop_sequence", "completed"}
)
_CUT_SHORT = frozenset({"incomplete", "failed", "cancelled", "in_progress", "queued"})
_BODIES = ("content", "text", "output_text", "message")
_CALLS = ("tool_calls", "function_call")
_ONCE = ("__next__", "__anext__", "__await__", "__aiter__")
_MISSING: Any = object()


def spent_once_read(result: object) -> bool:
    """Whether only the first reader would get anything: an iterator, a stream, an awaitable."""
    kind = type(result)
    return any([hasattr(kind, name) for name in _ONCE])  # noqa: C419 - a third of the cost


def is_complete(result: object) -> bool:
    """Whether a result may be kept, as far as one can see: the default of `should_cache`.

    A mapping or an object with a `finish_reason` or `stop_reason`, also in its `choices`, is a
    model's answer. It is kept when it stopped by itself (`stop`, `end_turn`, `tool_calls`, …), and
    says something or calls a tool. Without a reason (None), its stream was cut half-way. Other
    reasons, such as `length`, `max_tokens`, `content_filter` and `refusal`, are not kept. Neither
    is what has a `refusal` or the status `incomplete` or `failed`.

    Args:
        result: What the step returned.

    Example:
        >>> is_complete({"content": "Paris", "finish_reason": "stop"})
        True
        >>> is_complete({"content": "Par", "finish_reason": "length"})
        False
        >>> is_complete({"content": ""}), is_complete("")
        (True, True)
    """
    if type(result) in PLAIN:
        return True
    choices = _part(result, "choices")
    if isinstance(choices, (list, tuple)):
        listed = cast("list[object]", choices)
        return bool(listed) and all(map(_choice_is_complete, listed))
    status = _part(result, "status")
    if isinstance(status, str) and status in _CUT_SHORT and _part(result, "output") is not _MISSING:
        return False
    return _choice_is_complete(result)


def _choice_is_complete(answer: object) -> bool:
    reasons = [r for name in _REASONS if (r := _part(answer, name)) is not _MISSING]
    if not reasons:
        return True
    reason = next((r for r in reasons if r is not None), None)
    text = getattr(reason, "value", reason)  # some clients have an enum
    if not isinstance(text, str) or text.lower() not in _WHOLE:
        return False
    message = _part(answer, "message")
    parts = [answer] if message is _MISSING else [answer, message]
    if any(_part(part, "refusal") not in {_MISSING, None, ""} for part in parts):
        return False
    said = [
        value
        for part in parts
        for name in (*_BODIES, *_CALLS)
        if name != "message" and (value := _part(part, name)) is not _MISSING
    ]
    return not said or any(said)


def _part(whole: object, name: str) -> Any:
    """Return what a mapping or an object has under `name`, or `_MISSING`."""
    if isinstance(whole, Mapping):
        return cast("Mapping[str, object]", whole).get(name, _MISSING)
    return getattr(whole, name, _MISSING)
