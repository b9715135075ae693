"""What arrives at a real OTLP/HTTP collector and at a real scraper."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

pytest.importorskip("tta_dev_primitives")

import tta_observability_integration as observability
from tta_dev_primitives import WorkflowContext, annotate, step

if TYPE_CHECKING:
    from conftest import Sink
    from prometheus_client import CollectorRegistry

SECRETS = {
    "password": "hunter2-correct-horse",
    "openai": "sk-proj-4fJq8Zr0TnXw2LmB7vKd",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fw",
    "url": "s3cr3t-in-url",
    "bearer": "abcdef0123456789abcdef",
    "github": "ghp_0123456789abcdefghijABCDEFGHIJ456789",
}


async def plus(value: int) -> int:
    """Add one."""
    return value + 1


async def leak(value: int) -> int:
    """Put secrets wherever a careless step might."""
    annotate(
        user_password=SECRETS["password"],
        note=f"used {SECRETS['openai']} and {SECRETS['aws']}",
        header=f"Authorization: Bearer {SECRETS['bearer']}",
    )
    error = ValueError(f"cannot reach postgres://app:{SECRETS['url']}@db with {SECRETS['jwt']}")
    error.add_note(f"token {SECRETS['github']}")
    raise error from KeyError(SECRETS["openai"])


def scrape(accept: str = "text/plain") -> str:
    """Return the page of the endpoint."""
    address = observability.metrics_address()
    assert address is not None
    request = urllib.request.Request(
        f"http://{address[0]}:{address[1]}/metrics", headers={"Accept": accept}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return str(answer.read().decode())


def samples(page: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the values of a metric by their labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    }


def test_spans_arrive_at_a_collector(sink: Sink) -> None:
    """They are posted to the path of the signal, with ids, parents and resource."""
    assert observability.initialize_observability(
        "docs", otlp_endpoint=sink.url, enable_prometheus=False
    )

    (step(plus, name="a") >> step(plus, name="b")).named("flow").run(1)

    assert observability.shutdown_observability(60)
    assert sink.paths == {"/v1/traces"}
    assert sink.services == {"docs"}
    spans = {span.name: span for span in sink.spans}
    assert set(spans) == {"flow.execute", "a.execute", "b.execute"}
    assert spans["a.execute"].parent_span_id == spans["flow.execute"].span_id
    assert spans["flow.execute"].parent_span_id == b""
    assert abs(spans["flow.execute"].start_time_unix_nano / 1e9 - time.time()) < 60


def test_the_endpoint_is_read_from_the_environment(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every OpenTelemetry program does."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-env")
    assert observability.initialize_observability(enable_prometheus=False)

    step(plus).run(1)

    assert observability.shutdown_observability(60)
    assert sink.services == {"from-env"}
    assert len(sink.spans) == 1


def test_a_collector_that_refuses_costs_one_line(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """Results are as without it, and what was lost is counted where it is scraped."""
    sink.status = 400
    assert observability.initialize_observability(otlp_endpoint=sink.url, prometheus_port=0)
    flow = step(plus) >> plus

    assert [flow.run(n) for n in range(5)] == [n + 2 for n in range(5)]

    assert not observability.shutdown_observability(60)
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == [
        "tta_observability_integration"
    ]


def test_no_exported_byte_holds_a_secret(sink: Sink) -> None:
    """Neither attributes, messages, notes, causes nor stacks; nor the metrics page."""
    assert observability.initialize_observability(otlp_endpoint=sink.url, prometheus_port=0)

    with pytest.raises(ValueError, match="cannot reach"):
        (step(plus) >> leak).run(WorkflowContext(correlation_id=f"r-{SECRETS['aws']}"), 1)

    page = scrape()
    assert observability.shutdown_observability(60)
    exported = b"".join(sink.bodies) + page.encode()
    assert b"leak" in exported
    assert [name for name, secret in SECRETS.items() if secret.encode() in exported] == []


def test_durations_are_scraped(registry: CollectorRegistry) -> None:
    """A histogram by name and type, and by error type where calls failed."""
    assert observability.initialize_observability(
        enable_tracing=False, prometheus_port=0, registry=registry
    )

    async def fail(value: int) -> int:
        raise LookupError("no")

    for _ in range(3):
        step(plus, name="good").run(1)
    with pytest.raises(LookupError):
        step(fail, name="bad").run(1)

    page = scrape()
    counts = samples(page, "tta_primitive_duration_seconds_count")
    good = (("tta_primitive_name", "good"), ("tta_primitive_type", "function"))
    bad = (
        ("error_type", "LookupError"),
        ("tta_primitive_name", "bad"),
        ("tta_primitive_type", "function"),
    )
    assert counts == {good: 3.0, bad: 1.0}
    buckets = samples(page, "tta_primitive_duration_seconds_bucket")
    assert buckets[("le", "+Inf"), *good] == 3.0
    assert len(buckets) == 2 * 19
    assert samples(page, "tta_primitive_duration_seconds_sum")[good] > 0


def test_the_page_is_valid_in_both_formats(registry: CollectorRegistry) -> None:
    """Text and OpenMetrics; what was dropped shows from the start, as zero."""
    assert observability.initialize_observability(
        "docs", enable_tracing=False, prometheus_port=0, registry=registry
    )
    step(plus).run(1)

    text, openmetrics = scrape(), scrape("application/openmetrics-text; version=1.0.0")

    parse = cast("Any", openmetrics_parser).text_string_to_metric_families  # not annotated
    families = {family.name for family in parse(openmetrics)}
    assert {"target", "tta_primitive_duration_seconds", "tta_telemetry_dropped"} <= families
    dropped = samples(text, "tta_telemetry_dropped_total")
    assert set(dropped.values()) == {0.0}
    assert {dict(labels)["error_type"] for labels in dropped} == {
        "queue_full",
        "export_failed",
        "already_shutdown",
    }
    assert samples(text, "target_info") == {(("service_name", "docs"),): 1.0}


def test_the_default_registry_serves_what_the_application_counts_itself() -> None:
    """And is left as it was found."""
    from prometheus_client import REGISTRY

    def known() -> set[str]:
        return {family.name for family in REGISTRY.collect()}

    before = known()
    assert observability.initialize_observability(enable_tracing=False, prometheus_port=0)

    assert "process_" in scrape() or "python_info" in scrape()

    assert observability.shutdown_observability(60)
    assert known() == before


def test_the_endpoint_listens_on_loopback_and_stops(port: int) -> None:
    """After the end the port is free again."""
    assert observability.initialize_observability(enable_tracing=False, prometheus_port=port)
    first = observability.metrics_address()
    assert first == ("127.0.0.1", port)
    scrape()

    assert observability.shutdown_observability(60)

    assert observability.metrics_address() is None
    assert observability.initialize_observability(enable_tracing=False, prometheus_port=port)
    assert observability.metrics_address() == first
