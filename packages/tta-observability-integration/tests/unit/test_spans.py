from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind, StatusCode

from tta_observability_integration.failures import capture
from tta_observability_integration.spans import SpanFactory

if TYPE_CHECKING:
    from tta_observability_integration.spans import Ended


def shout(key: str, value: str) -> str:
    """Stand for a redactor whose work can be seen."""
    return "[gone]" if key == "password" else value.replace("secret", "[gone]")


FACTORY = SpanFactory(resource=Resource({"service.name": "test"}), redact=shout)


def ended(**changes: Any) -> Ended:
    """Return a call that has ended."""
    fields: dict[str, Any] = {
        "name": "step",
        "type": "function",
        "path": "chain/step",
        "start": 1_000,
        "end": 2_000,
        "attempt": 1,
        "status": "ok",
        "correlation_id": "req-1",
        "trace_id": 0xA,
        "span_id": 0xB,
        "parent_id": 0xC,
        "remote": False,
        "attributes": None,
        "failure": None,
    }
    return tuple((fields | changes).values())


def test_a_span_tells_of_its_call() -> None:
    """Name, ids, times, kind and attributes are those of the record."""
    span = FACTORY.make(ended())

    assert (span.name, span.kind) == ("step.execute", SpanKind.INTERNAL)
    assert (span.start_time, span.end_time) == (1_000, 2_000)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id) == (0xA, 0xB)
    assert (span.parent.span_id, span.parent.is_remote) == (0xC, False)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "tta.primitive.name": "step",
        "tta.primitive.type": "function",
        "tta.primitive.path": "chain/step",
        "tta.correlation_id": "req-1",
        "tta.attempt": 1,
    }


def test_a_root_has_no_parent() -> None:
    """Zero is no span id."""
    assert FACTORY.make(ended(parent_id=0)).parent is None


def test_a_failure_is_an_error_with_an_event() -> None:
    """The type stands on the span and in the event, the text in status and event."""
    span = FACTORY.make(
        ended(status="error", failure=capture(ValueError("bad secret"), arose=True))
    )

    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError: bad [gone]"
    assert (span.attributes or {})["error.type"] == "ValueError"
    (event,) = span.events
    assert event.name == "exception"
    assert (event.attributes or {})["exception.message"] == "bad [gone]"
    assert (event.attributes or {})["exception.stacktrace"] == "ValueError: bad [gone]\n"


def test_what_ended_on_purpose_is_no_error() -> None:
    """A cancelled or filtered call says so in an attribute."""
    for status in ("cancelled", "filtered"):
        span = FACTORY.make(ended(status=status))

        assert span.status.status_code is StatusCode.UNSET
        assert (span.attributes or {})["tta.primitive.status"] == status
        assert "error.type" not in (span.attributes or {})


def test_attributes_are_kept_if_opentelemetry_can_carry_them() -> None:
    """Anything else is left out: its text might say more than its author meant."""
    noted = {
        "route": "small",
        "hits": 3,
        "ratio": 0.5,
        "cached": True,
        "models": ["a", "secret"],
        "password": "hunter2",
        "huge": 1 << 80,
        "nothing": None,
        "object": object(),
        "mixed": ["a", 1],
    }

    kept = dict(FACTORY.make(ended(attributes=noted)).attributes or {})

    assert {key: kept[key] for key in noted if key in kept} == {
        "route": "small",
        "hits": 3,
        "ratio": 0.5,
        "cached": True,
        "models": ["a", "[gone]"],
        "password": "[gone]",
        "huge": str(1 << 80),
    }


def test_attributes_cannot_replace_ours() -> None:
    """A step that notes `tta.attempt` does not change the attempt."""
    span = FACTORY.make(ended(attributes={"tta.attempt": "first"}))

    assert (span.attributes or {})["tta.attempt"] == 1


# With a control character, two planes of Unicode, and a lone surrogate, which UTF-8 cannot carry.
any_text = st.text("ab\x00é日\U0001f600\ud800", max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@given(name=any_text, noted=st.dictionaries(any_text, values, max_size=4))
def test_whatever_a_step_notes_can_be_encoded(name: str, noted: dict[str, object]) -> None:
    """One odd value must not fail the batch it travels in."""
    span = FACTORY.make(ended(name=name, correlation_id=name, attributes=noted))

    encoded = encode_spans([span]).SerializeToString()

    assert encoded


def test_long_texts_are_cut() -> None:
    """A document in an attribute would otherwise fill the request."""
    span = FACTORY.make(ended(attributes={"text": "x" * 100_000}))

    assert len(str((span.attributes or {})["text"])) == 8192


def test_what_a_span_belongs_to_is_searched_as_well() -> None:
    """A name from the environment may hold bytes that are no text, or a key."""
    resource = Resource(
        {"service.name": "svc\udcff", "password": "x", "shards": 3}, "http://schema"
    )
    span = SpanFactory(resource=resource, redact=shout).make(ended())

    assert dict(span.resource.attributes) == {
        "service.name": "svc?",
        "password": "[gone]",
        "shards": 3,
    }
    assert span.resource.schema_url == "http://schema"
    assert encode_spans([span]).SerializeToString()


def test_the_class_of_an_error_is_searched_as_well() -> None:
    """Classes are made from data, too."""
    odd = type("OddError", (Exception,), {"__qualname__": "a secret\ud800Error"})
    span = FACTORY.make(ended(status="error", failure=capture(odd("x"), arose=True)))

    assert str((span.attributes or {})["error.type"]).endswith("a [gone]?Error")
    assert "secret" not in str(span.to_json())
    assert encode_spans([span]).SerializeToString()


def test_of_a_long_stack_the_end_is_kept() -> None:
    """There it arose."""

    def dive(depth: int) -> None:
        if depth == 0:
            raise ValueError("bottom")
        dive(depth - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        dive(500)
    caught.value.add_note("n" * 7900)
    failure = capture(caught.value, arose=True)
    (event,) = FACTORY.make(ended(status="error", failure=failure)).events
    stack = str((event.attributes or {})["exception.stacktrace"])

    assert len(stack) == 8192
    assert 'raise ValueError("bottom")' in stack


@pytest.mark.parametrize("ids", [{"trace_id": 0}, {"trace_id": 1 << 128}, {"parent_id": 1 << 64}])
def test_ids_that_cannot_be_sent_are_refused(ids: dict[str, int]) -> None:
    """One would fail the batch in which it travels."""
    with pytest.raises(ValueError, match=r"trace 0x\w+, span 0xb, parent 0x\w+"):
        FACTORY.make(ended(**ids))
