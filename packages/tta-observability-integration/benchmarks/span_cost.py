"""What observing costs, in units of one raw OpenTelemetry span (REF).

Run it with `python benchmarks/span_cost.py`. REF is `start_as_current_span` of the OpenTelemetry
SDK around one `await`, with a batch processor and an exporter that throws away, in CPU time of the
whole process. Ours is one step of a workflow, observed, less the same step in a bare loop. All
variants run interleaved; medians with quartiles. *Hot path* is the CPU time of the workflow's own
thread; *with export* that of the whole process until everything is exported.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import logging
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import tta_observability_integration as observability
from tta_dev_primitives import step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tta_dev_primitives import WorkflowPrimitive

STEPS = 10


class NullExporter(SpanExporter):
    """Throws spans away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do nothing."""
        del spans
        return SpanExportResult.SUCCESS


class Sink(http.server.BaseHTTPRequestHandler):
    """Reads what is posted and says yes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


async def step_body(value: int) -> int:
    """Do as little as a step can."""
    return value + 1


async def failing(value: int) -> int:
    """Fail."""
    raise ValueError(value)


def chain() -> WorkflowPrimitive[int, int]:
    """Return a chain of no-op steps."""
    flow = step(step_body) >> step_body
    for _ in range(STEPS - 2):
        flow = flow >> step_body
    return flow


Measured = tuple[float, float]


def timed(run: Callable[[], Awaitable[Any]], finish: Callable[[], object]) -> Measured:
    """Return CPU seconds of this thread during the run, and of the process until finished."""
    thread, process = time.thread_time(), time.process_time()
    asyncio.run(main(run))
    hot = time.thread_time() - thread
    finish()
    return hot, time.process_time() - process


async def main(run: Callable[[], Awaitable[Any]]) -> None:
    """Await what a variant does."""
    await run()


def bare(runs: int) -> Measured:
    """Measure a bare loop of awaits."""

    async def run() -> None:
        for _ in range(runs):
            value = 1
            for _ in range(STEPS):
                value = await step_body(value)

    return timed(run, lambda: None)


def raw(runs: int, exporter: SpanExporter) -> Measured:
    """Measure raw SDK spans around the same awaits."""
    provider = TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter, max_queue_size=runs * STEPS + 1)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("benchmark")

    async def run() -> None:
        for _ in range(runs):
            value = 1
            for _ in range(STEPS):
                with tracer.start_as_current_span("step"):
                    value = await step_body(value)

    return timed(run, provider.shutdown)


def ours(
    runs: int, flow: WorkflowPrimitive[int, int], exporter: SpanExporter | None, **options: Any
) -> Measured:
    """Measure an observed workflow."""
    ready = exporter is None or observability.initialize_observability(
        "benchmark", span_exporter=exporter, prometheus_port=0, **options
    )
    if not ready:
        raise SystemExit("observability could not be initialized")

    async def run() -> None:
        for _ in range(runs):
            try:
                await flow.execute(1)
            except ValueError:
                continue

    return timed(run, lambda: observability.shutdown_observability(10))


def row(name: str, values: list[float], reference: float) -> None:
    """Print a median with quartiles, in units of the reference."""
    low, middle, high = (v / reference for v in statistics.quantiles(values, n=4))
    print(f"{name:<52} {middle:6.2f}  [{low:.2f}..{high:.2f}]")


def benchmark(rounds: int, runs: int) -> None:
    """Run all variants, interleaved, and print the table."""
    logging.disable(logging.INFO)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    good, bad = chain(), step(step_body) >> failing
    variants: dict[str, Callable[[], Measured]] = {
        "bare": lambda: bare(runs),
        "ref": lambda: raw(runs, NullExporter()),
        "ref otlp": lambda: raw(runs, OTLPSpanExporter(endpoint=url)),
        "core": lambda: ours(runs, good, None),
        "ours": lambda: ours(runs, good, NullExporter()),
        "spans": lambda: ours(runs, good, NullExporter(), enable_prometheus=False),
        "otlp": lambda: ours(runs, good, OTLPSpanExporter(endpoint=url)),
        "failing": lambda: ours(runs, bad, NullExporter()),
        "failing, unobserved": lambda: ours(runs, bad, None),
    }
    seen: dict[str, list[Measured]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, variant in variants.items():
            measured = variant()
            if number:  # the first round only warms up
                seen[name].append(measured)

    def per_span(name: str, which: int, base: str, spans: int) -> list[float]:
        pairs = zip(seen[name], seen[base], strict=True)
        return [(a[which] - b[which]) / (runs * spans) for a, b in pairs]

    # A run of ten steps is eleven spans; one that fails at its second step is three.
    reference = statistics.median(per_span("ref", 1, "bare", STEPS))
    print(f"REF = {reference * 1e6:.2f} us of CPU; {rounds} rounds of {runs} runs\n")
    print(f"{'cost per span':<52} {'x REF':>6}  quartiles")
    row("raw span, SDK, batch, null exporter (REF)", per_span("ref", 1, "bare", STEPS), reference)
    row("raw span, SDK, batch, OTLP/HTTP", per_span("ref otlp", 1, "bare", STEPS), reference)
    row("core's own recorder only", per_span("core", 0, "bare", STEPS + 1), reference)
    row("full set, hot path", per_span("ours", 0, "bare", STEPS + 1), reference)
    row("spans only, hot path", per_span("spans", 0, "bare", STEPS + 1), reference)
    row("full set, null exporter", per_span("ours", 1, "bare", STEPS + 1), reference)
    row("full set, OTLP/HTTP", per_span("otlp", 1, "bare", STEPS + 1), reference)
    row("failing run, hot path", per_span("failing", 0, "failing, unobserved", 3), reference)
    server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    benchmark(options.rounds, options.runs)
