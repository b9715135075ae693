"""The end, and what interrupts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest.importorskip("tta_dev_primitives")

import tta_observability_integration as observability
from tta_dev_primitives import step
from tta_dev_primitives.core import engine

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry


@pytest.mark.parametrize("timeout", ["1", None, True, 0, -1, float("nan"), float("inf"), 1e300])
def test_a_wrong_timeout_is_refused_and_changes_nothing(
    timeout: Any, port: int, registry: CollectorRegistry
) -> None:
    """Half an end would leave the port taken and nothing to end it by."""
    exporter = InMemorySpanExporter()
    assert observability.initialize_observability(
        span_exporter=exporter, prometheus_port=port, registry=registry
    )
    address = ("127.0.0.1", port)
    assert observability.metrics_address() == address

    with pytest.raises(ValueError, match="timeout must be seconds") as refused:
        observability.shutdown_observability(timeout)

    assert repr(timeout) in str(refused.value)
    assert observability.metrics_address() == address
    step(str).run(1)
    assert observability.shutdown_observability(60)
    assert len(exporter.get_finished_spans()) == 1
    with socket.create_server(address):
        pass


class Counting(InMemorySpanExporter):
    """Takes spans after its end, too."""

    def shutdown(self) -> None:
        pass


def test_many_threads_may_set_up_and_end(registry: CollectorRegistry) -> None:
    """One of them does it, the others see it done; nothing is left."""
    exporter = Counting()
    before = engine.observers()
    threads = set(threading.enumerate())

    def turn(_: int) -> bool:
        on = observability.initialize_observability(
            span_exporter=exporter, prometheus_port=0, registry=registry
        )
        step(str).run(1)
        return on and observability.shutdown_observability(60)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(64)))

    assert not observability.is_observability_enabled()
    assert engine.observers() == before
    assert list(registry.collect()) == []
    for thread in set(threading.enumerate()) - threads:
        thread.join(60)  # which has done its work, and is about to end
    assert set(threading.enumerate()) <= threads


# A loop that is run in a function at exit is closed by nobody.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with an exporter that writes lines to a file."""
    prelude = """
import atexit, os, signal, sys, threading, time
import tta_observability_integration as observability
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from tta_dev_primitives import step

class Slow(SpanExporter):
    def __init__(self, started=lambda: None):
        self.started = started

    def export(self, spans):
        self.started()
        time.sleep(0.2)
        with open(sys.argv[1], "a") as file:
            file.writelines(span.name + "\\n" for span in spans)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass

def initialize(**options):
    if not observability.initialize_observability(
        enable_prometheus=False, shutdown_timeout=60, **options
    ):
        sys.exit("not initialized")
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, *WARNINGS, "-c", prelude + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


ENDS = {
    "a SIGTERM while it is being ended": """
initialize(span_exporter=Slow(lambda: os.kill(os.getpid(), signal.SIGTERM)))
step(str, name="a").run(1)
observability.shutdown_observability(60)
""",
    "a SIGTERM while the process ends": """
initialize(span_exporter=Slow(lambda: os.kill(os.getpid(), signal.SIGTERM)))
step(str, name="a").run(1)
""",
    "a signal handler that ends it": """
def end(number, frame):
    observability.shutdown_observability(60)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
initialize(span_exporter=Slow())
step(str, name="a").run(1)
os.kill(os.getpid(), signal.SIGTERM)
""",
    "a signal handler that ends it while it is being ended": """
def end(number, frame):
    observability.shutdown_observability(60)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
initialize(span_exporter=Slow(lambda: os.kill(os.getpid(), signal.SIGTERM)))
step(str, name="a").run(1)
observability.shutdown_observability(60)
""",
    "a function at exit that runs a workflow": """
initialize(span_exporter=Slow())
atexit.register(lambda: step(str, name="a").run(1))
""",
    "a function at exit that ends it": """
atexit.register(lambda: print(observability.shutdown_observability(60)))
initialize(span_exporter=Slow())
step(str, name="a").run(1)
""",
}
CODES = [-signal.SIGTERM, -signal.SIGTERM, 7, 7, 0, 0]


@pytest.mark.parametrize(("how", "code"), list(zip(ENDS, CODES, strict=True)))
def test_a_span_survives(how: str, code: int, tmp_path: Path) -> None:
    """It arrives, once, and the process ends with the code that it would have had."""
    done = run(ENDS[how], str(tmp_path / "spans"))

    assert done.returncode == code, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "spans").read_text() == "a.execute\n"
