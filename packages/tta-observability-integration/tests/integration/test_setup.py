"""Switching on and off: what is refused, how fast, and with how many lines."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest.importorskip("tta_dev_primitives")

import tta_observability_integration as observability
from tta_dev_primitives import step
from tta_dev_primitives.core import engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def one_line(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one line that was logged."""
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "\n" not in record.getMessage()
    return record.getMessage()


def is_refused_at_once(**wrong: Any) -> bool:
    """Tell whether a refusal takes less than 50 ms; one of twenty, for a machine may pause."""
    for _ in range(20):
        began = time.perf_counter()
        assert not observability.initialize_observability(**wrong)
        if time.perf_counter() - began < 0.05:
            return True
    return False


def test_a_taken_port_is_refused_at_once(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    """The line names the port; nothing is changed."""
    before = engine.observers()

    assert not observability.initialize_observability(prometheus_port=taken)

    assert str(taken) in one_line(caplog)
    assert engine.observers() == before
    assert not observability.is_observability_enabled()
    assert is_refused_at_once(prometheus_port=taken)


def test_a_bad_endpoint_is_refused_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Before anything is imported or opened."""
    assert not observability.initialize_observability(otlp_endpoint="collector:4318")

    assert "'collector:4318'" in one_line(caplog)
    assert is_refused_at_once(otlp_endpoint="collector:4318")


def test_a_second_call_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """With the same settings it is True, with others False and a line that names them."""
    exporter = InMemorySpanExporter()
    assert observability.initialize_observability(span_exporter=exporter, prometheus_port=0)
    address = observability.metrics_address()

    assert observability.initialize_observability(span_exporter=exporter, prometheus_port=0)
    assert not caplog.records
    assert not observability.initialize_observability(
        "other", span_exporter=exporter, prometheus_port=0
    )

    assert "service_name" in one_line(caplog)
    assert observability.metrics_address() == address
    step(str).run(1)
    assert observability.shutdown_observability(60)
    assert len(exporter.get_finished_spans()) == 1


def test_it_can_be_switched_off_and_on_again() -> None:
    """Nothing remains of the first time."""
    for _ in range(3):
        exporter = InMemorySpanExporter()
        assert observability.initialize_observability(span_exporter=exporter, prometheus_port=0)
        step(str).run(1)
        assert observability.shutdown_observability(60)
        assert len(exporter.get_finished_spans()) == 1
    assert observability.shutdown_observability(60)


def test_an_unknown_option_is_an_error() -> None:
    """It is a mistake in the code, not in the surroundings."""
    with pytest.raises(TypeError, match="promtheus_port"):
        observability.initialize_observability(promtheus_port=1)  # pyright: ignore[reportCallIssue]


def test_names_of_ours_in_the_registry_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """The socket is closed again."""
    from prometheus_client import CollectorRegistry, Counter

    registry = CollectorRegistry()
    Counter("tta_telemetry_dropped", "Somebody else's.", registry=registry)

    assert not observability.initialize_observability(
        enable_tracing=False, prometheus_port=0, registry=registry
    )

    assert "registry" in one_line(caplog)


def fresh(settings: str, *missing: str) -> subprocess.CompletedProcess[str]:
    """Initialize in a fresh interpreter where some modules cannot be imported.

    It prints whether that worked, the files of SDKs that were imported, and what a workflow does.
    """
    code = f"""
import logging, sys
logging.basicConfig(format="LINE %(message)s")
for name in {missing!r}:
    sys.modules[name] = None
import tta_observability_integration as observability
print(observability.initialize_observability({settings}))
sdks = ("opentelemetry", "prometheus_client", "requests", "google")
print([name for name, module in sys.modules.items()
       if name.startswith(sdks) and getattr(module, "__file__", None)])
if "tta_dev_primitives" not in {missing!r}:
    from tta_dev_primitives import step
    print(step(str.upper).run("still works"))
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("tta_dev_primitives", "uv add tta-dev-primitives"),
        ("opentelemetry.sdk", "uv add opentelemetry-sdk"),
        ("opentelemetry.exporter", "uv add opentelemetry-exporter-otlp-proto-http"),
        ("prometheus_client", "uv add prometheus-client"),
    ],
)
def test_a_missing_package_is_named_and_harms_nothing(module: str, named: str) -> None:
    """False, one line that says what to install, and workflows run as before."""
    done = fresh("prometheus_port=0", module)

    result, imported, *after = done.stdout.splitlines()
    assert (result, imported) == ("False", "[]")
    lines = [line for line in done.stderr.splitlines() if line.startswith("LINE")]
    assert len(lines) == 1, done.stderr
    assert named in lines[0]
    assert after == ([] if module == "tta_dev_primitives" else ["STILL WORKS"])


def test_a_refusal_imports_no_sdk(taken: int) -> None:
    """That is what keeps it short."""
    for wrong in ("otlp_endpoint='nonsense'", f"prometheus_port={taken}"):
        assert fresh(wrong).stdout.splitlines() == ["False", "[]", "STILL WORKS"]
    whole = fresh("prometheus_port=0, shutdown_timeout=0.1").stdout.splitlines()
    assert whole[0] == "True"
    assert whole[1] != "[]"
