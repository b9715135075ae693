"""`WorkflowContext`: the facts of one run, shared by all its branches.

Exempt from the house rule of frozen dataclasses, for cost: a fresh context is made for every run
that was not given one, so it must cost one `object.__new__`. Its slots stay empty until read, and
`__getattr__` (called only for an empty slot) fills them. Whoever adds a field adds it to
`__slots__`, to `__init__` and to `_DEFAULTS`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Never

from tta_dev_primitives.errors import ConfigurationError, ContextFieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tta_dev_primitives.core.protocols import SpanContextLike

__all__ = ("FreshContext", "WorkflowContext", "caller_of", "fresh_context")


def _new_correlation_id(context: WorkflowContext) -> str:
    del context
    return os.urandom(16).hex()


def _new_trace_id(context: WorkflowContext) -> int:
    parent = context.parent_span_context
    # Zero is the one invalid trace id (W3C Trace Context, section 3.2.2.3).
    return parent.trace_id if parent is not None else int.from_bytes(os.urandom(16)) or 1


def caller_of(span: SpanContextLike | None) -> SpanContextLike | None:
    """Return the span of a caller, or None if it is not valid (W3C Trace Context, 3.2.2).

    Raises:
        ConfigurationError: It is no span context.
    """
    if span is None:
        return None
    trace_id: object = getattr(span, "trace_id", None)
    span_id: object = getattr(span, "span_id", None)
    if type(trace_id) is not int or type(span_id) is not int:
        message = (
            "parent_span_context, the span of a caller, must be a span context such as "
            f"OpenTelemetry's, with ints as trace_id and span_id, not {span!r:.100}; "
            "observability.extract(headers) makes one of a traceparent header"
        )
        raise ConfigurationError(message)
    return span if 0 < trace_id < 1 << 128 and 0 < span_id < 1 << 64 else None


def _new_dict(context: WorkflowContext) -> dict[str, Any]:
    del context
    return {}


def _nothing(context: WorkflowContext) -> None:
    del context


def _zero(context: WorkflowContext) -> float:
    del context
    return 0.0


_DEFAULTS: dict[str, Callable[[WorkflowContext], object]] = {
    "correlation_id": _new_correlation_id,
    "data": _new_dict,
    "parent_span_context": _nothing,
    "workflow_id": _nothing,
    "session_id": _nothing,
    "tags": _new_dict,
    "baggage": _new_dict,
    "deadline": _nothing,
    "budget": _nothing,
    "spent": _zero,
    "trace_id": _new_trace_id,
    "started": _nothing,
}

_FIELDS = (
    "correlation_id",
    "data",
    "parent_span_context",
    "workflow_id",
    "session_id",
    "tags",
    "baggage",
    "deadline",
    "budget",
)


class WorkflowContext:
    """The facts of one run: who asked, under which ids, with what budget.

    One object per run. All branches share it; it is never copied for a branch, so what one step
    writes to `data`, a later step reads. Fields that nobody set cost nothing until they are read.

    Args:
        correlation_id: Identifies the request in logs, records and error notes. Default: 128
            random bits in hex, made when first read.
        data: The user's own facts, readable by every step.
        parent_span_context: The span of the caller, from OpenTelemetry or from a `traceparent`
            header (see `observability.extract`); the run then belongs to the caller's trace. One
            that is not valid (an id of zero, or too large) counts as None.
        workflow_id: The user's name for this kind of run.
        session_id: Groups runs of one conversation.
        tags: Low-cardinality labels for records.
        baggage: Key-value pairs that travel on with outgoing calls (W3C Baggage).
        deadline: The outer bound of the run, as a reading of the running loop's `time()`, in
            seconds. A deadline set inside the run (by a Timeout) can only be earlier.
        budget: The most that the run may spend, in the unit of the Router's `costs`; None for no
            bound.

    Raises:
        ContextFieldError: A field that does not exist was given.

    Example:
        >>> context = WorkflowContext(correlation_id="req-1", data={"user_id": "u-7"})
        >>> context.correlation_id, context.data["user_id"]
        ('req-1', 'u-7')
    """

    __slots__ = (*_DEFAULTS,)

    correlation_id: str
    """Identifies the request everywhere; never empty."""
    data: dict[str, Any]
    """The user's own facts."""
    parent_span_context: SpanContextLike | None
    """The caller's span, or None for a trace that starts here."""
    workflow_id: str | None
    """The user's name for this kind of run."""
    session_id: str | None
    """The conversation that this run belongs to."""
    tags: dict[str, str]
    """Low-cardinality labels."""
    baggage: dict[str, str]
    """What travels on with outgoing calls."""
    deadline: float | None
    """Outer bound in the running loop's seconds, or None."""
    budget: float | None
    """The most that this run may spend, or None."""
    spent: float
    """What the run has spent so far, in the unit of `budget`."""
    trace_id: int
    """128-bit id of the run's trace: the caller's, or made when first read."""
    started: float | None
    """The engine's clock when the outermost run began; None outside a run. Set by the engine."""

    def __init__(
        self,
        *,
        correlation_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        parent_span_context: SpanContextLike | None = None,
        workflow_id: str | None = None,
        session_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        baggage: Mapping[str, str] | None = None,
        deadline: float | None = None,
        budget: float | None = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise ContextFieldError(_unknown_field_message(sorted(unknown)))
        if correlation_id is not None:
            if not isinstance(correlation_id, str) or not correlation_id:  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a checker
                message = f"correlation_id must be a text that is not empty, not {correlation_id!r}"
                raise ConfigurationError(message)
            self.correlation_id = correlation_id
        if data is not None:
            self.data = _own_dict("data", data)
        if tags is not None:
            self.tags = _own_dict("tags", tags)
        if baggage is not None:
            self.baggage = _own_dict("baggage", baggage)
        if budget is not None and not budget >= 0:
            message = f"budget must be zero or more, not {budget!r}"
            raise ConfigurationError(message)
        self.parent_span_context = (
            None if parent_span_context is None else caller_of(parent_span_context)
        )
        self.workflow_id = workflow_id
        self.session_id = session_id
        self.deadline = deadline
        self.budget = budget

    if not TYPE_CHECKING:  # a checker must still flag fields that do not exist

        def __getattr__(self, name: str) -> object:
            """Fill the empty slot `name` with its default; called only while it is empty."""
            try:
                default = _DEFAULTS[name]
            except KeyError:
                raise AttributeError(_unknown_field_message([name])) from None
            value = default(self)
            setattr(self, name, value)
            return value

    def spend(self, amount: float) -> None:
        """Charge `amount` to the run, in the unit of `budget`; a Router does so for its choice.

        Args:
            amount: Zero or more. Spending may pass the budget: what is spent is spent, and the
                next choice sees that nothing is left.

        Raises:
            ConfigurationError: `amount` is negative or not a number.
        """
        if not amount >= 0:
            message = f"an amount to spend must be zero or more, not {amount!r}"
            raise ConfigurationError(message)
        self.spent += amount

    @property
    def remaining_budget(self) -> float | None:
        """What is left of the budget, never below zero; None when there is no budget."""
        budget = self.budget
        return None if budget is None else max(0.0, budget - self.spent)

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in _FIELDS
            if name in {"correlation_id", "data"} or getattr(self, name)
        )
        return f"WorkflowContext({', '.join(shown)})"


class FreshContext(WorkflowContext):
    """A context that the engine makes for a run that was given none.

    Without an `__init__` in Python, making one costs what `object()` costs.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        __init__ = object.__init__


def fresh_context(began: float) -> WorkflowContext:
    """Return a context for a run that began at `began` by the engine's clock."""
    context = FreshContext()
    context.started = began
    return context


def _own_dict(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `value` itself when it is a dict, so that the caller sees what steps write to it."""
    if isinstance(value, dict):
        return value
    try:
        return dict(value)
    except (TypeError, ValueError):
        message = f"{field} must be a mapping, not {value!r}"
        raise ConfigurationError(message) from None


def _unknown_field_message(names: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error's text

    hints: list[str] = []
    for name in names:
        close = get_close_matches(name, _FIELDS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        hints.append(f"{name!r}{hint}")
    return (
        f"WorkflowContext has no field {', '.join(hints)}. Its fields are {', '.join(_FIELDS)}; "
        f"facts of your own go into data={{...}}"
    )
