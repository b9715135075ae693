"""The messages of agents, on the metrics page."""

from __future__ import annotations

import asyncio
import logging
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tta_dev_primitives", reason="tta-dev-primitives is not installed")
pytest.importorskip("tta_agent_coordination", reason="tta-agent-coordination is not installed")

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import tta_observability_integration as observability
from tta_agent_coordination import AgentId, InMemoryMessageCoordinator
from tta_agent_coordination.testing import WRITER, MetricsContract, sample
from tta_observability_integration import AgentMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS = "tta_agent_events_total"


def switch_on(registry: CollectorRegistry | None = None) -> None:
    """Serve a page."""
    assert observability.initialize_observability(
        "test",
        enable_tracing=False,
        prometheus_port=0,
        registry=CollectorRegistry() if registry is None else registry,
    )


def scrape() -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the samples about agents, by name and label values."""
    address = observability.metrics_address()
    assert address is not None
    url = "http://{}:{}/metrics".format(*address)
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own endpoint
        page = str(answer.read().decode())
    return {
        (sample.name, tuple(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("tta_agent_")
    }


class TestAgentMetrics(MetricsContract[AgentMetrics]):
    """Read as Prometheus reads them."""

    @pytest.fixture(autouse=True)
    def page(self) -> None:
        """Switch the page on; the next test begins without it."""
        switch_on()

    def make_metrics(self) -> AgentMetrics:
        return AgentMetrics()

    def read_counts(self, metrics: AgentMetrics) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for (name, labels), value in scrape().items():
            key = {
                "tta_agent_messages_delivered_total": "delivered_ok",
                "tta_agent_messages_refused_total": "delivered_error",
            }.get(name) or labels[1]
            counts[key] = counts.get(key, 0) + int(value)
        return counts


async def send(coordinator: InMemoryMessageCoordinator) -> None:
    """Send a message to an instance, and one to all of its type; the first is received."""
    one = AgentId(type="writer", instance="1")
    await coordinator.send_many([sample("a", recipient=one), sample("b")])
    received = await coordinator.receive(one)
    assert received is not None
    await coordinator.ack(one, received.token)


def test_the_page_tells_what_happened_by_kind_and_type() -> None:
    """Never by instance."""
    switch_on()

    asyncio.run(send(InMemoryMessageCoordinator(AgentMetrics())))

    assert scrape() == {
        ("tta_agent_messages_delivered_total", ()): 2,
        ("tta_agent_messages_refused_total", ()): 0,
        (EVENTS, ("writer", "sent")): 2,
        (EVENTS, ("writer", "received")): 1,
        (EVENTS, ("writer", "acked")): 1,
    }


def test_a_page_that_is_opened_again_begins_anew() -> None:
    """In the same registry, for a coordinator that goes on."""
    registry = CollectorRegistry()
    coordinator = InMemoryMessageCoordinator(AgentMetrics())
    switch_on(registry)
    asyncio.run(send(coordinator))
    assert observability.shutdown_observability(60)
    assert not list(registry.collect())
    asyncio.run(coordinator.send_many([sample("while it is off")]))

    switch_on(registry)
    asyncio.run(coordinator.send_many([sample("on again")]))

    assert scrape()[EVENTS, ("writer", "sent")] == 1


def test_secrets_in_the_name_of_a_type_do_not_reach_the_page() -> None:
    """By the rules of the core's log lines."""
    switch_on()
    secret = AgentId(type="postgres://app:hunter2@db/agents")

    asyncio.run(
        InMemoryMessageCoordinator(AgentMetrics()).send_many([sample("a", recipient=secret)])
    )

    (labels,) = [labels for name, labels in scrape() if name == EVENTS]
    assert "hunter2" not in labels[0]


def test_without_prometheus_client_messages_go_on_uncounted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what is missing, one that the messages are not counted."""
    for module in [name for name in sys.modules if name.split(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    coordinator = InMemoryMessageCoordinator(AgentMetrics())

    with caplog.at_level(logging.WARNING):
        assert not observability.initialize_observability("test", enable_tracing=False)
        asyncio.run(send(coordinator))
        asyncio.run(coordinator.send_many([sample("c")]))

    missing, uncounted = caplog.messages
    assert "not installed: prometheus-client" in missing
    assert "the messages of agents are not counted" in uncounted
    assert asyncio.run(coordinator.stats(WRITER)).waiting == 2
