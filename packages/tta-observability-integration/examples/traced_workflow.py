"""A workflow with spans on the terminal and a Prometheus page, for one run.

Run it with `python examples/traced_workflow.py`.
"""

from __future__ import annotations

import urllib.request

from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from tta_dev_primitives import annotate, step
from tta_observability_integration import (
    initialize_observability,
    metrics_address,
    shutdown_observability,
)


async def search(question: str) -> list[str]:
    """Find passages."""
    annotate(engine="demo")
    return [f"a passage about {word}" for word in question.split()]


async def answer(passages: list[str]) -> str:
    """Answer from passages."""
    return "; ".join(passages)


def one_line(span: object) -> str:
    """Show a span in a line."""
    name, seconds = getattr(span, "name", "?"), 0.0
    start, end = getattr(span, "start_time", None), getattr(span, "end_time", None)
    if start is not None and end is not None:
        seconds = (end - start) / 1e9
    return f"{name:<24} {seconds * 1000:8.3f} ms\n"


def main() -> None:
    """Run the workflow, observed."""
    exporter = ConsoleSpanExporter(formatter=one_line)
    if not initialize_observability("example", span_exporter=exporter, prometheus_port=0):
        raise SystemExit(1)
    workflow = (step(search) >> answer).named("ask")
    print(workflow.run("typed workflows"))
    address = metrics_address()
    if address is not None:
        url = f"http://{address[0]}:{address[1]}/metrics"
        with urllib.request.urlopen(url, timeout=5) as page:
            lines = page.read().decode().splitlines()
        print(*(line for line in lines if "duration_seconds_count" in line), sep="\n")
    shutdown_observability()


if __name__ == "__main__":
    main()
