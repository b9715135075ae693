from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass, field

import pytest
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context

from tta_observability_integration.live import Bridge, LiveContext


@dataclass
class Run:
    """The context of a run."""

    correlation_id: str = "req-1"
    parent_span_context: None = None


@dataclass
class Place:
    """A step that is running."""

    trace_id: int = 0xA
    child_span_id: int = 0xB
    context: Run = field(default_factory=Run)


SPAN = NonRecordingSpan(SpanContext(1, 1, is_remote=False))
KEY = next(iter(set_span_in_context(SPAN, Context())))


def test_a_live_context_is_read_like_any_other() -> None:
    """By `get`, by `[]`, and by what is derived from it."""
    here: list[Place] = [Place()]
    bridge = Bridge(lambda: here[0] if here else None)
    live = LiveContext(Context({"users-own": "x"}), bridge, None)

    assert live["users-own"] == live.get("users-own") == "x"
    for span in (live[KEY], live.get(KEY), live.copy()[KEY], get_current_span(live)):
        assert isinstance(span, NonRecordingSpan)
        assert span.get_span_context().span_id == 0xB
    with pytest.raises(KeyError, match="no-such-key"):
        live["no-such-key"]

    here.clear()
    assert live.get(KEY, "none") == "none"
    assert KEY not in live.copy()
    with pytest.raises(KeyError):
        live[KEY]


def test_after_the_end_a_live_context_is_the_one_beneath_it() -> None:
    """A task that goes on finds no step of a run that is over."""
    bridge = Bridge(Place)
    live = LiveContext(Context(), bridge, None)
    bridge.open = False

    assert not get_current_span(live).get_span_context().is_valid


def test_setting_up_again_and_again_stacks_no_contexts() -> None:
    """Each run of a task finds the one that is there."""

    def turns() -> None:
        bridge = Bridge(lambda: None)
        bridge.caller()
        first = get_current()
        for _ in range(10):
            bridge.caller()
        assert get_current() is first

    copy_context().run(turns)


def test_traces_that_are_not_sampled_are_remembered_in_bounded_memory() -> None:
    """The latest ones, which are those that still run."""
    bridge = Bridge(lambda: None)

    def call(trace_id: int) -> None:
        span = NonRecordingSpan(SpanContext(trace_id, 1, is_remote=False))
        attach(set_span_in_context(span))
        assert bridge.caller() is not None

    for number in range(1, 30_001):
        copy_context().run(call, number)

    assert not bridge.is_sampled(Place(trace_id=30_000))
    assert bridge.is_sampled(Place(trace_id=1))
