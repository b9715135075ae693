"""A workflow and what arrives of it, while something is wrong around it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import urllib.request
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

pytest.importorskip("tta_dev_primitives")

import tta_observability_integration as observability
from tta_dev_primitives import Parallel, WorkflowContext, annotate, step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conftest import Sink
    from opentelemetry.sdk.trace import ReadableSpan
    from prometheus_client import CollectorRegistry

    Traced = Callable[[], list[ReadableSpan]]


async def plus(value: int) -> int:
    """Add one."""
    return value + 1


def scrape() -> str:
    """Return the page of the endpoint."""
    address = observability.metrics_address()
    assert address is not None
    url = "http://{}:{}/metrics".format(*address)
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own endpoint
        return str(answer.read().decode())


class Faulty(SpanExporter):
    """An exporter that does the wrong thing in turn: raises, returns garbage, leaves."""

    def __init__(self) -> None:
        self.turn = 0

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        self.turn += 1
        answers: list[object] = [OSError("x"), None, SystemExit(1), SpanExportResult.FAILURE]
        answer = answers[self.turn % len(answers)]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def shutdown(self) -> None:
        raise OSError("twice")


def test_no_exporter_changes_a_result(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it does; one line for exporting, one for its shutdown."""
    assert observability.initialize_observability(
        span_exporter=Faulty(), enable_prometheus=False, flush_on_sigterm=False
    )

    flow = step(plus) >> plus
    assert [flow.run(n) for n in range(700)] == [n + 2 for n in range(700)]

    assert not observability.shutdown_observability(60)
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 2


def test_a_collector_that_comes_back_gets_what_comes_after(
    sink_type: type[Sink], port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed between two runs and started again at the same place."""
    first = sink_type(port)
    assert observability.initialize_observability(otlp_endpoint=first.url, enable_prometheus=False)
    step(plus, name="before").run(1)
    first.close()
    second = sink_type(port)
    try:
        step(plus, name="after").run(1)
        observability.shutdown_observability(60)
    finally:
        second.close()

    assert "after.execute" in {span.name for span in second.spans}
    # One may come twice: the first collector may have been killed before it could answer.
    assert len({span.span_id for span in first.spans + second.spans}) == 2
    assert not caplog.records


@pytest.mark.parametrize("status", [400, 401, 404])
def test_the_line_about_a_refusal_says_who_refused_and_why(
    sink: Sink, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With its address and the status, which is where a wrong path or key shows."""
    sink.status = status
    assert observability.initialize_observability(otlp_endpoint=sink.url, enable_prometheus=False)
    step(plus).run(1)
    assert not observability.shutdown_observability(60)

    (record,) = [line for line in caplog.records if line.levelno == logging.WARNING]
    assert f"{sink.url}/v1/traces refused" in record.getMessage()
    assert str(status) in record.getMessage()


async def test_ten_thousand_calls_at_once_are_ten_thousand_spans(traced: Traced) -> None:
    """Each below the fan-out, none lost."""
    started = 0
    release = asyncio.Event()

    async def wait(value: int) -> int:
        nonlocal started
        started += 1
        if started == 10_000:
            release.set()
        await release.wait()
        return value

    branches = [step(wait, name=f"b{n % 10}") for n in range(10_000)]
    await Parallel(branches, name="all").execute(1)

    spans = await asyncio.to_thread(traced)
    (root,) = [span for span in spans if span.name == "all.execute"]
    assert root.context is not None
    below = [s for s in spans if s.parent and s.parent.span_id == root.context.span_id]
    assert len(below) == 10_000
    assert len({s.context.span_id for s in below if s.context}) == 10_000


async def test_tasks_cancelled_in_the_middle_leave_whole_traces(traced: Traced) -> None:
    """A hundred of them, at different depths; each call has its span and its parent."""

    async def wait(value: int) -> int:
        for _ in range(value % 7):
            await asyncio.sleep(0)
        await asyncio.Event().wait()
        return value

    flow = (step(plus) >> (step(wait, name="w1") | step(wait, name="w2"))).named("flow")
    tasks = [asyncio.create_task(flow.execute(n)) for n in range(100)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in ended)

    spans = await asyncio.to_thread(traced)
    assert len(spans) == 500
    known = {s.context.span_id for s in spans if s.context}
    assert {s.parent.span_id for s in spans if s.parent} <= known
    cancelled = [s for s in spans if (s.attributes or {}).get("tta.primitive.status")]
    assert len(cancelled) == 400


class Odd:
    """Something whose every text fails."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


def test_a_step_may_note_anything(traced: Traced) -> None:
    """What OpenTelemetry cannot carry is left out, and costs nothing else."""
    around: list[object] = []
    around.append(around)
    deep: dict[str, object] = {}
    deep["deep"] = deep

    async def note(value: int) -> int:
        annotate(
            a=b"\xff",
            b=float("nan"),
            c=1 << 100_000,
            d=around,
            e=deep,
            f="\ud800",
            g=Odd(),
            h=[Odd()],
            i={"k": 1},
            j=object,
            k=1 + 2j,
            ok=True,
        )
        return value

    assert step(note).run(7) == 7

    (span,) = traced()
    kept = dict(span.attributes or {})
    assert kept["ok"] is True
    assert kept["f"] == "?"
    assert {key for key in kept if len(key) == 1} == {"b", "c", "f"}


def test_what_a_step_noted_is_exported_as_it_was_then(traced: Traced) -> None:
    """A list goes on to be changed by the next step; an object is not kept alive."""
    held: list[weakref.ref[object]] = []

    class Document:
        pass

    async def note(value: list[str]) -> list[str]:
        document = Document()
        held.append(weakref.ref(document))
        annotate(models=value, document=document)
        return value

    async def change(value: list[str]) -> int:
        gc.collect()
        assert held[0]() is None
        value.append("later")
        return len(value)

    assert (step(note) >> change).run(["first"]) == 2

    noted = [span for span in traced() if "models" in (span.attributes or {})]
    assert [tuple(_texts(span, "models")) for span in noted] == [("first",)]


def _texts(span: ReadableSpan, key: str) -> list[str]:
    value = (span.attributes or {})[key]
    assert isinstance(value, (list, tuple))
    return [str(item) for item in value]


SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@pytest.mark.parametrize(
    "given",
    [
        INVALID_SPAN_CONTEXT,
        SpanContext(0, 5, is_remote=True, trace_flags=SAMPLED),
        SpanContext(5, 0, is_remote=True, trace_flags=SAMPLED),
        SpanContext(1 << 200, 5, is_remote=True, trace_flags=SAMPLED),
        SpanContext(5, 1 << 70, is_remote=True, trace_flags=SAMPLED),
    ],
)
def test_a_malformed_caller_costs_its_own_run_at_most(
    given: SpanContext, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """The run works, and the spans that travel in the same batch arrive."""
    assert observability.initialize_observability(otlp_endpoint=sink.url, enable_prometheus=False)
    step(plus, name="before").run(1)
    assert step(plus).run(WorkflowContext(parent_span_context=given), 1) == 2
    step(plus, name="after").run(1)

    whole = observability.shutdown_observability(60)

    arrived = {span.name for span in sink.spans}
    assert {"before.execute", "after.execute"} <= arrived
    assert whole == ("plus.execute" in arrived) == (not caplog.records)


@pytest.mark.parametrize("header", ["", "00-rubbish-01", "00-" + "g" * 32 + "-" + "1" * 16 + "-01"])
def test_a_malformed_header_is_no_caller(header: str, traced: Traced) -> None:
    """As OpenTelemetry's propagators take it: the run begins a trace of its own."""
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    token = attach(context)
    try:
        assert step(plus).run(1) == 2
    finally:
        detach(token)

    (span,) = traced()
    assert span.parent is None
    assert span.context is not None
    assert span.context.is_valid


def test_a_name_that_is_no_text_does_not_break_the_page(registry: CollectorRegistry) -> None:
    """Neither that of a step nor, from the environment, that of the service."""
    assert observability.initialize_observability(
        "svc\udcff", enable_tracing=False, prometheus_port=0, registry=registry
    )
    step(plus, name="a\ud800").run(1)

    page = scrape()

    assert 'tta_primitive_name="a?"' in page
    assert 'service_name="svc?"' in page


RUBBISH = [
    *("OTEL_EXPORTER_OTLP_TIMEOUT=abc", "OTEL_EXPORTER_OTLP_COMPRESSION=rubbish"),
    *("OTEL_EXPORTER_OTLP_HEADERS=rub,,bish", "OTEL_EXPORTER_OTLP_CERTIFICATE=/nonexistent"),
    *("OTEL_RESOURCE_ATTRIBUTES=rub=b=i,sh,", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=rubbish"),
    *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=abc", "OTEL_TRACES_SAMPLER=x", "OTEL_SDK_DISABLED=maybe"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT=rubbish", "OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter2@"),
    *("OTEL_SERVICE_NAME=\udcff", "OTEL_EXPORTER_OTLP_TIMEOUT=-5"),
]


@pytest.mark.parametrize("variable", RUBBISH, ids=ascii)
def test_rubbish_in_the_environment_stops_no_workflow(variable: str) -> None:
    """It runs, with or without telemetry, ends within the time limit, and shows no password."""
    name, _, value = variable.partition("=")
    code = """
import tta_observability_integration as observability
from tta_dev_primitives import step
on = observability.initialize_observability(prometheus_port=0, shutdown_timeout=0.2)
assert step(str.upper).run("ran") == "RAN"
print(on)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}, name: value},
    )

    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stderr
    if done.stdout == "False\n":
        assert name in done.stderr  # the one line names what is to be changed
