"""The context carries the facts of one run; a field that it does not have is an error."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tta_dev_primitives import Parallel, WorkflowContext, step
from tta_dev_primitives.errors import ConfigurationError, ContextFieldError


def test_fields_that_were_given_are_kept() -> None:
    """As the specification writes them."""
    context = WorkflowContext(
        correlation_id="req-abc-123", data={"user_id": "user-789", "priority": "high"}
    )
    assert context.correlation_id == "req-abc-123"
    assert context.data == {"user_id": "user-789", "priority": "high"}
    assert (context.parent_span_context, context.workflow_id, context.deadline) == (None,) * 3


def test_ids_are_made_when_first_read_and_stay() -> None:
    """Different for every context."""
    one, two = WorkflowContext(), WorkflowContext()
    assert one.correlation_id == one.correlation_id != two.correlation_id
    assert len(one.correlation_id) == 32
    assert 0 < one.trace_id < 2**128
    assert one.trace_id == one.trace_id != two.trace_id


def test_the_trace_is_the_callers_where_there_is_one() -> None:
    """So that spans of two services join."""
    remote: Any = SimpleNamespace(trace_id=0xABC, span_id=0xDEF, trace_flags=1)
    assert WorkflowContext(parent_span_context=remote).trace_id == 0xABC


@pytest.mark.parametrize(
    ("trace_id", "span_id"), [(0, 1), (1, 0), (1 << 128, 1), (1, 1 << 64), (1, -1)]
)
def test_a_caller_without_a_valid_span_is_none(trace_id: int, span_id: int) -> None:
    """As OpenTelemetry gives one where no span is open (W3C Trace Context, 3.2.2)."""
    remote: Any = SimpleNamespace(trace_id=trace_id, span_id=span_id, trace_flags=0)
    context = WorkflowContext(parent_span_context=remote)
    assert context.parent_span_context is None
    assert context.trace_id > 1


@pytest.mark.parametrize(
    "wrong",
    [
        "00-rubbish",
        SimpleNamespace(trace_id="abc", span_id=1, trace_flags=1),
        SimpleNamespace(trace_id=True, span_id=1, trace_flags=1),
        SimpleNamespace(trace_id=1),
    ],
    ids=repr,
)
def test_a_caller_that_is_no_span_is_refused_at_once(wrong: Any) -> None:
    """Not by the first observer, in the middle of a run."""
    with pytest.raises(ConfigurationError, match=r"parent_span_context.*extract\(headers\)"):
        WorkflowContext(parent_span_context=wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"user_id": 1}, r"no field 'user_id'.*data=\{"),
        ({"corelation_id": "x"}, "did you mean 'correlation_id'"),
        ({"state": {}, "metadata": {}}, "'metadata'.*'state'"),
    ],
    ids=["unknown", "misspelled", "two"],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(wrong: Any, told: str) -> None:
    """In the constructor; reading one is an AttributeError."""
    with pytest.raises(ContextFieldError, match=told):
        WorkflowContext(**wrong)
    with pytest.raises(AttributeError, match="no field"):
        getattr(WorkflowContext(), next(iter(wrong)))
    with pytest.raises(AttributeError):
        setattr(WorkflowContext(), next(iter(wrong)), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"correlation_id": ""},
        {"correlation_id": 5},
        {"data": 5},
        {"tags": "ab"},
        {"budget": -1},
        {"budget": float("nan")},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused(wrong: Any) -> None:
    """With the value."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))}.*"):
        WorkflowContext(**wrong)


def test_what_steps_write_to_data_is_seen_by_whoever_gave_it() -> None:
    """The dict is not copied; another mapping is."""
    mine: dict[str, Any] = {}

    def keep(context: WorkflowContext, value: int) -> object:
        return context.data.setdefault("seen", value)

    step(keep).run(WorkflowContext(data=mine), 1)
    assert mine == {"seen": 1}


def test_a_context_may_serve_several_runs() -> None:
    """One after another, and at once."""
    context = WorkflowContext(data={"n": 0})

    def count(ctx: WorkflowContext, value: int) -> int:
        ctx.data["n"] += 1
        return value

    flow = step(count) >> count
    assert [flow.run(context, 1), Parallel([flow, flow]).run(context, 1)] == [1, [1, 1]]
    assert context.data["n"] == 6
    assert context.started is None


def test_spending_is_charged_and_what_is_left_never_falls_below_zero() -> None:
    """Without a budget nothing is left or missing."""
    context = WorkflowContext(budget=1.0)
    context.spend(0.25)
    assert (context.spent, context.remaining_budget) == (0.25, 0.75)
    context.spend(2)
    assert context.remaining_budget == 0.0
    assert WorkflowContext().remaining_budget is None
    for wrong in (-1, float("nan")):
        with pytest.raises(ConfigurationError, match="zero or more"):
            context.spend(wrong)


def test_repr_shows_what_was_set() -> None:
    """And nothing else."""
    shown = repr(WorkflowContext(correlation_id="c", data={"k": 1}, session_id="s"))
    assert shown == "WorkflowContext(correlation_id='c', data={'k': 1}, session_id='s')"
