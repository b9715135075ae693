"""W3C Trace Context and Baggage, read and written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import ConfigurationError, ContextFieldError
from tta_dev_primitives.observability.metrics import disable_observability
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
from tta_dev_primitives.observability.tracing import collect_records


@pytest.fixture(autouse=True)
def unobserved() -> None:
    """Nobody listens, unless a test says so."""
    disable_observability()


TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"


@given(
    st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.integers(0, 3), st.booleans()
)
def test_what_is_written_is_read_again(trace: int, span: int, flags: int, padded: bool) -> None:  # noqa: FBT001
    """For all ids and all flags that are known; blanks around the header do not matter."""
    written = SpanContext(trace_id=trace, span_id=span, trace_flags=flags)
    header = format_traceparent(written)

    assert len(header) == 55
    assert parse_traceparent(f" {header}\t" if padded else header) == written


@given(st.text("0123456789abcdefABCDEFg-\n ", max_size=70) | st.text(max_size=60))
def test_whatever_is_read_was_valid(text: str) -> None:
    """Parsing never raises, and what it accepts has the form of the specification."""
    found = parse_traceparent(text)
    if found is not None:
        assert format_traceparent(found)[3:52] == text.strip(" \t")[3:52]


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"0A-{TRACE}-{SPAN}-01",
        f"{HEADER}-extra",
        f"{HEADER}x",
        f"cc-{TRACE}-{SPAN}-01x",
        f"cc-{TRACE}-{SPAN}-01.extra",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00_{TRACE}_{SPAN}_01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"{HEADER}\n",
        HEADER.replace("0", "\u0660"),
    ],
)
def test_an_invalid_header_is_none(header: str) -> None:
    """Version ff, zero ids, upper case, wrong lengths and signs."""
    assert parse_traceparent(header) is None


@pytest.mark.parametrize("tail", ["", "-", "-what-the-future-brings"])
def test_a_future_version_is_read_by_its_beginning(tail: str) -> None:
    """What follows the flags is not looked at."""
    found = parse_traceparent(f"cc-{TRACE}-{SPAN}-01{tail}")

    assert found is not None
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize(
    "wrong", [{"trace_id": 0}, {"trace_id": 1 << 128}, {"span_id": 0}, {"trace_flags": 256}]
)
def test_a_span_context_holds_valid_ids_only(wrong: dict[str, int]) -> None:
    """So whatever is written from one can be read."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        SpanContext(**{"trace_id": 1, "span_id": 1, **wrong})  # pyright: ignore[reportArgumentType]


def test_unknown_flags_are_sent_as_zero() -> None:
    """As the specification asks."""
    assert format_traceparent(SpanContext(trace_id=1, span_id=1, trace_flags=0xFF)).endswith("-03")


tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=10).filter(
    lambda key: "auth" not in key.lower()
)


@given(st.dictionaries(tokens, st.text(st.characters(codec="utf-8"), max_size=20), max_size=20))
def test_baggage_that_is_written_is_read_again(members: dict[str, str]) -> None:
    """Any text as value: commas, blanks, quotes, percent signs, other scripts."""
    header = format_baggage(members)

    assert header.isascii()
    read = parse_baggage(header)
    assert read.items() <= members.items()
    assert read.keys() == members.keys() or any(len(v) > 4 for v in members.values())


def test_baggage_is_read_leniently() -> None:
    """Blanks and properties are dropped, members that are not valid are left out."""
    header = "a=1 , b = two%20words;p=x;q, =3, c, bad key=4, d=\u00e9, e=, f=%ff, a=5"
    assert parse_baggage(header) == {"a": "5", "b": "two words", "e": "", "f": "\ufffd"}


def test_baggage_is_bounded_both_ways() -> None:
    """64 members and 8,192 bytes, whole members only."""
    many = {f"k{i}": "v" for i in range(100)}
    assert len(parse_baggage(format_baggage(many))) == 64
    assert len(parse_baggage(",".join(f"k{i}=v" for i in range(100)))) == 64

    long = {f"k{i}": "v" * 1000 for i in range(20)}
    assert len(format_baggage(long)) <= 8192
    assert set(parse_baggage(format_baggage(long)).values()) == {"v" * 1000}
    assert set(parse_baggage(",".join(f"k{i}={'v' * 1000}" for i in range(20))).values()) == {
        "v" * 1000
    }


def test_secrets_do_not_travel_as_baggage() -> None:
    """Neither by their key nor by their look."""
    members = {"tenant": "acme", "api_key": "x", "note": "sk-proj-abcdef1234567890"}
    assert format_baggage(members) == "tenant=acme"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": HEADER, "baggage": "tenant=acme", "tracestate": "a=1,b=2"},
        {"TraceParent": HEADER, "BAGGAGE": "tenant=acme", "Tracestate": "a=1,b=2"},
        [
            (b"traceparent", HEADER.encode()),
            (b"tracestate", b"a=1"),
            (b"tracestate", b"b=2"),
            (b"baggage", b"tenant=acme"),
            (b"host", b"\xff"),
        ],
    ],
    ids=["mapping", "any case", "pairs as ASGI gives them"],
)
def test_a_context_is_made_from_headers(headers: Any) -> None:
    """The run joins the caller's trace and carries its baggage."""
    context = extract(headers, correlation_id="req-1", data={"n": 1})

    assert context.parent_span_context == SpanContext(
        trace_id=int(TRACE, 16), span_id=int(SPAN, 16), trace_flags=1, trace_state="a=1,b=2"
    )
    assert f"{context.trace_id:032x}" == TRACE
    assert context.baggage == {"tenant": "acme"}
    assert (context.correlation_id, context.data) == ("req-1", {"n": 1})


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "nonsense"}, [("traceparent", HEADER), ("Traceparent", HEADER)]],
    ids=["none", "not valid", "two"],
)
def test_without_a_valid_parent_the_trace_starts_here(headers: Any) -> None:
    """A broken header of somebody else's is no reason to fail."""
    context = extract(headers)

    assert context.parent_span_context is None
    assert context.trace_id


def test_fields_of_the_context_are_checked_and_win() -> None:
    """An unknown field is an error; baggage of one's own replaces the caller's member."""
    with pytest.raises(ContextFieldError):
        extract({}, correlaton_id="x")
    assert extract({"baggage": "a=1,b=2"}, baggage={"b": "3"}).baggage == {"a": "1", "b": "3"}


async def test_the_running_step_stands_in_the_headers() -> None:
    """The span id in `traceparent` is that of the step's own record."""
    sent: list[dict[str, str]] = []

    async def call_out(value: int) -> int:
        headers: dict[str, str] = {}
        inject(headers)
        sent.append(headers)
        return value

    incoming = {"traceparent": HEADER, "baggage": "tenant=acme", "tracestate": "v=1"}
    with collect_records() as records:
        await Sequential([call_out, call_out]).execute(extract(incoming), 1)

    for headers, record in zip(sent, records, strict=False):
        assert headers["traceparent"] == f"00-{TRACE}-{record.span_id:016x}-01"
        assert (headers["baggage"], headers["tracestate"]) == ("tenant=acme", "v=1")
    assert records[-1].parent_span_id == int(SPAN, 16)


def test_unobserved_the_context_stands_for_the_step() -> None:
    """The caller's span goes on; without one, a span of the context's trace is made."""
    assert current_span_context() is None
    nothing: dict[str, str] = {}
    inject(nothing)
    assert nothing == {}

    passed: dict[str, str] = {}
    inject(passed, extract({"traceparent": HEADER}))
    assert passed == {"traceparent": HEADER}

    context = WorkflowContext(baggage={"a": "1"})
    made: dict[str, str] = {}
    inject(made, context)
    assert made["traceparent"].startswith(f"00-{context.trace_id:032x}-")
    assert made["baggage"] == "a=1"
    assert parse_traceparent(made["traceparent"]) is not None


def test_a_trace_that_the_caller_does_not_record_is_not_recorded_on() -> None:
    """The sampled bit is passed on as it came."""
    passed: dict[str, str] = {}
    inject(passed, extract({"traceparent": HEADER[:-2] + "00"}))
    assert passed["traceparent"].endswith("-00")
