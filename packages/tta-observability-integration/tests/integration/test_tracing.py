"""Workflows of the real engine, traced into memory."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from opentelemetry.context import attach, detach, get_current, set_value
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

primitives = pytest.importorskip("tta_dev_primitives")

import tta_observability_integration as observability  # noqa: E402
from tta_dev_primitives import Parallel, WorkflowContext, annotate, in_thread, step  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from tta_dev_primitives import WorkflowPrimitive

    Traced = Callable[[], list[ReadableSpan]]

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")


async def plus(value: int) -> int:
    """Add one, after a turn of the loop."""
    await asyncio.sleep(0)
    return value + 1


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Return trace and span id."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def attribute(span: ReadableSpan, key: str) -> object:
    """Return an attribute, or None."""
    return (span.attributes or {}).get(key)


def path(span: ReadableSpan) -> str:
    """Return the path of the call."""
    return str(attribute(span, "tta.primitive.path"))


def parents(spans: list[ReadableSpan]) -> dict[str, str | None]:
    """Return the path of each span's parent; `?` for one that is not among the spans."""
    at = {ids(span): path(span) for span in spans}
    assert len(at) == len(spans), "two spans share an id"
    return {
        path(span): None
        if span.parent is None
        else at.get((span.parent.trace_id, span.parent.span_id), "?")
        for span in spans
    }


def test_a_run_is_one_tree(traced: Traced) -> None:
    """One span per call, each below the call that made it."""
    flow = (step(plus, name="first") >> step(plus, name="second")).named("flow")

    assert flow.run(1) == 3

    spans = traced()
    assert parents(spans) == {"flow": None, "flow/first": "flow", "flow/second": "flow"}
    assert {span.name for span in spans} == {"flow.execute", "first.execute", "second.execute"}
    assert len({ids(span)[0] for span in spans}) == 1


def test_a_fan_out_is_one_tree(traced: Traced) -> None:
    """Branches stand below the fan-out, their steps below them."""
    branch = (step(plus, name="a") >> step(plus, name="b")).named("branch")
    flow = Parallel({"left": branch, "right": branch}, name="both") >> step(str, name="show")

    flow.named("flow").run(1)

    assert parents(traced()) == {
        "flow": None,
        "flow/both": "flow",
        "flow/both/left": "flow/both",
        "flow/both/right": "flow/both",
        "flow/both/left/a": "flow/both/left",
        "flow/both/left/b": "flow/both/left",
        "flow/both/right/a": "flow/both/right",
        "flow/both/right/b": "flow/both/right",
        "flow/show": "flow",
    }


def test_a_workflow_that_a_step_runs_is_part_of_the_tree(traced: Traced) -> None:
    """It stands below that step, also where it was given the context."""
    inner = (step(plus, name="deep") >> step(plus, name="deeper")).named("inner")

    async def fresh(value: int) -> int:
        return await inner.execute(value)

    async def given(context: WorkflowContext, value: int) -> int:
        return await inner.execute(context, value)

    (step(fresh) >> step(given)).named("flow").run(1)

    found = parents(traced())
    assert found["flow/fresh/inner"] == "flow/fresh"
    assert found["flow/given/inner"] == "flow/given"
    assert found["flow/given/inner/deeper"] == "flow/given/inner"


def test_a_workflow_that_runs_in_a_thread_is_part_of_the_tree(traced: Traced) -> None:
    """`in_thread` takes the place in the workflow along."""
    inner = step(plus, name="inner")

    def work(value: int) -> int:
        return asyncio.run(inner.execute(value))

    (step(plus) >> in_thread(work)).named("flow").run(1)

    assert parents(traced())["flow/work/inner"] == "flow/work"


def test_a_thousand_runs_at_once_do_not_mix(traced: Traced) -> None:
    """Each is a trace of its own, with right parents."""
    flow = (step(plus, name="a") >> step(plus, name="b")).named("flow")

    async def many() -> None:
        await asyncio.gather(*(flow.execute(n) for n in range(1000)))

    asyncio.run(many())

    traces: dict[int, list[ReadableSpan]] = {}
    for span in traced():
        traces.setdefault(ids(span)[0], []).append(span)
    assert len(traces) == 1000
    for spans in traces.values():
        assert parents(spans) == {"flow": None, "flow/a": "flow", "flow/b": "flow"}


def test_runs_in_many_threads_do_not_mix(traced: Traced) -> None:
    """Each thread has a loop of its own."""
    flow = (step(plus, name="a") >> step(plus, name="b")).named("flow")

    def work(value: int) -> int:
        return asyncio.run(flow.execute(value))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(100))) == [n + 2 for n in range(100)]

    spans = traced()
    assert len({ids(span)[0] for span in spans}) == 100
    assert len(spans) == 300


def test_a_call_lies_within_its_caller(traced: Traced) -> None:
    """Times are those of the wall clock, consistent within a trace."""
    (step(plus, name="a") >> step(plus, name="b")).named("flow").run(1)

    first, second, flow = traced()
    assert flow.start_time is not None
    assert flow.end_time is not None
    assert flow.start_time <= (first.start_time or 0) <= (first.end_time or 0)
    assert (first.end_time or 0) <= (second.start_time or 0)
    assert (second.end_time or 0) <= flow.end_time


def test_what_a_step_notes_is_on_its_span(traced: Traced) -> None:
    """So is the correlation id."""

    async def search(query: str) -> str:
        annotate(engine="fts5")
        return query

    (step(search) >> str).named("flow").run(WorkflowContext(correlation_id="req-1"), "x")

    spans = {path(span): span for span in traced()}
    assert attribute(spans["flow/search"], "engine") == "fts5"
    assert {attribute(span, "tta.correlation_id") for span in spans.values()} == {"req-1"}


def test_a_failure_shows_in_every_call_it_rose_through(traced: Traced) -> None:
    """The stack stands where it arose, once."""

    async def fail(value: int) -> int:
        raise LookupError(f"no {value}")

    inner = (step(plus) >> fail).named("inner")
    with pytest.raises(LookupError):
        (step(plus) >> inner).named("flow").run(1)

    spans = {path(span): span for span in traced()}
    failed = {at for at, span in spans.items() if span.status.status_code is StatusCode.ERROR}
    assert failed == {"flow", "flow/inner", "flow/inner/fail"}
    assert {attribute(spans[at], "error.type") for at in failed} == {"LookupError"}
    events = {at: dict(spans[at].events[0].attributes or {}) for at in failed}
    assert [at for at in failed if "exception.stacktrace" in events[at]] == ["flow/inner/fail"]
    assert "raise LookupError" in str(events["flow/inner/fail"]["exception.stacktrace"])


def test_a_failure_that_was_handled_is_none_of_the_caller(traced: Traced) -> None:
    """Only the call that failed is an error."""

    async def fail(value: int) -> int:
        raise LookupError("no")

    guarded = step(fail)

    async def careful(value: int) -> int:
        try:
            return await guarded.execute(value)
        except LookupError:
            return 0

    (step(careful) >> plus).named("flow").run(1)

    failed = [path(span) for span in traced() if span.status.status_code is StatusCode.ERROR]
    assert failed == ["flow/careful/fail"]


async def test_a_cancelled_call_is_no_error(traced: Traced) -> None:
    """It says that it was cancelled."""
    started = asyncio.Event()

    async def wait(value: int) -> int:
        started.set()
        await asyncio.Event().wait()
        return value

    task = asyncio.create_task((step(plus) >> wait).named("flow").execute(1))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    spans = {path(span): span for span in await asyncio.to_thread(traced)}
    assert attribute(spans["flow/wait"], "tta.primitive.status") == "cancelled"
    assert attribute(spans["flow"], "tta.primitive.status") == "cancelled"
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.values())


# --- together with OpenTelemetry ----------------------------------------------------------------


def test_a_remote_caller_is_the_parent(traced: Traced) -> None:
    """The run belongs to the caller's trace."""
    with TRACER.start_as_current_span("elsewhere") as caller:
        remote = caller.get_span_context()

    step(plus).run(WorkflowContext(parent_span_context=remote), 1)

    (span,) = traced()
    assert span.parent is not None
    assert ids(span)[0] == remote.trace_id
    assert (span.parent.span_id, span.parent.is_remote) == (remote.span_id, True)


async def test_a_run_inside_an_opentelemetry_span_is_its_child(traced: Traced) -> None:
    """Nobody has to hand the span over; runs before and after stand alone."""
    flow = step(plus).named("flow") >> step(plus)
    await flow.execute(1)
    with TRACER.start_as_current_span("request") as request:
        await flow.execute(1)
        await flow.execute(1)
    await flow.execute(1)

    spans = await asyncio.to_thread(traced)
    here = request.get_span_context()
    roots = [span for span in spans if path(span) == "sequential"]
    assert [span.parent is not None for span in roots] == [False, True, True, False]
    assert all(
        (span.parent.trace_id, span.parent.span_id) == (here.trace_id, here.span_id)
        for span in roots
        if span.parent
    )
    assert len({ids(span)[0] for span in spans}) == 3


async def test_a_context_that_names_a_caller_wins(traced: Traced) -> None:
    """What was said is not guessed."""
    with TRACER.start_as_current_span("elsewhere") as named:
        pass
    context = WorkflowContext(parent_span_context=named.get_span_context())
    with TRACER.start_as_current_span("request"):
        await step(plus).execute(context, 1)

    (span,) = await asyncio.to_thread(traced)
    assert ids(span)[0] == named.get_span_context().trace_id


async def test_a_span_opened_in_a_step_is_the_steps_child(traced: Traced) -> None:
    """A library needs to know nothing of workflows, and a workflow below it is its child."""
    seen: dict[str, tuple[int, int]] = {}
    inner = step(plus, name="inner")

    async def work(value: int) -> int:
        with TRACER.start_as_current_span("library") as span:
            assert isinstance(span, Span)
            assert span.parent is not None
            seen["parent"] = (span.parent.trace_id, span.parent.span_id)
            seen["own"] = (span.get_span_context().trace_id, span.get_span_context().span_id)
            result = await inner.execute(value)
            assert get_current_span() is span
            return result

    await (step(plus) >> step(work)).named("flow").execute(1)

    spans = {path(span): span for span in await asyncio.to_thread(traced)}
    assert seen["parent"] == ids(spans["flow/work"])
    below = spans["flow/work/inner"].parent
    assert below is not None
    assert (below.trace_id, below.span_id) == seen["own"]


async def test_each_branch_is_the_parent_of_its_own_spans(traced: Traced) -> None:
    """Also while the branches run at once."""
    seen: dict[str, int] = {}

    def branch(name: str) -> WorkflowPrimitive[int, int]:
        async def work(value: int) -> int:
            for _ in range(5):
                await asyncio.sleep(0)
                seen.setdefault(name, get_current_span().get_span_context().span_id)
                assert get_current_span().get_span_context().span_id == seen[name]
            return value

        return step(work, name=name)

    await Parallel([branch(f"b{n}") for n in range(8)], name="all").execute(1)

    spans = {path(span): span for span in await asyncio.to_thread(traced)}
    assert seen == {f"b{n}": ids(spans[f"all/b{n}"])[1] for n in range(8)}


async def test_headers_injected_in_a_step_name_the_step(traced: Traced) -> None:
    """What OpenTelemetry's propagators send along is the step's own identity."""
    headers: dict[str, str] = {}

    async def call(value: int) -> int:
        token = attach(set_value("users-own", "x"))
        TraceContextTextMapPropagator().inject(headers)
        detach(token)
        return value

    await (step(plus) >> step(call)).named("flow").execute(1)

    spans = {path(span): span for span in await asyncio.to_thread(traced)}
    trace_id, span_id = ids(spans["flow/call"])
    assert headers["traceparent"] == f"00-{trace_id:032x}-{span_id:016x}-01"


async def test_nothing_of_a_run_is_left_in_the_callers_context(traced: Traced) -> None:
    """After a run the current span is what it was before."""
    await step(plus).execute(1)
    assert not get_current_span().get_span_context().is_valid

    with TRACER.start_as_current_span("request") as request:
        await step(plus).execute(1)
        assert get_current_span() is request
    assert not get_current_span().get_span_context().is_valid
    assert "users-own" not in get_current()


async def test_a_trace_that_the_caller_does_not_sample_is_not_exported(traced: Traced) -> None:
    """Neither from a span in this process nor from one elsewhere; others are."""
    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("off")
    inner = step(plus)

    async def nested(value: int) -> int:
        assert not get_current_span().get_span_context().trace_flags.sampled
        return await inner.execute(value)

    with off.start_as_current_span("request") as request:
        await (step(plus) >> nested).execute(1)
    given = WorkflowContext(parent_span_context=request.get_span_context())
    await step(plus).execute(given, 1)
    await step(plus, name="kept").execute(1)

    assert [path(span) for span in await asyncio.to_thread(traced)] == ["kept"]


def test_after_the_end_nothing_is_observed(traced: Traced) -> None:
    """The engine has no observer, and steps are no parents any more."""
    traced()

    async def look(value: int) -> bool:
        return get_current_span().get_span_context().is_valid

    assert step(look).run(1) is False
    assert not observability.is_observability_enabled()
