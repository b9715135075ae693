from __future__ import annotations

import logging
import socket
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tta_observability_integration import names
from tta_observability_integration.agents import AgentCounts
from tta_observability_integration.metrics import Durations
from tta_observability_integration.prometheus import MetricsEndpoint, TelemetryCollector

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from prometheus_client.metrics_core import Metric


class Broken(Collector):
    """A collector of somebody else's."""

    def collect(self) -> Iterator[Metric]:
        raise LookupError("its table is gone")

    def describe(self) -> Iterator[Metric]:
        return iter(())


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry that has our metrics."""
    registry = CollectorRegistry()
    durations = Durations(redact=lambda _key, value: value)
    for number in range(100):
        durations.record(f"step-{number}", "function", None, 0.1)
    registry.register(
        TelemetryCollector(
            durations=durations,
            agents=AgentCounts(redact=lambda _key, value: value),
            dropped=dict[str, int],
            service_name="test",
        )
    )
    return registry


@contextmanager
def served(
    registry: CollectorRegistry, *, patience: float = 600, port: int = 0
) -> Generator[MetricsEndpoint, None, None]:
    """Serve a registry to clients that may take so many seconds."""
    listener = socket.create_server(("127.0.0.1", port))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what is not read, waits
    made = MetricsEndpoint(registry, listener, patience=patience)
    try:
        yield made
    finally:
        made.close(60)


@contextmanager
def unread(endpoint: MetricsEndpoint) -> Generator[None, None, None]:
    """Ask for a page that does not fit into the buffers, and do not read it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.connect(endpoint.address)
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        yield


@pytest.fixture
def endpoint(registry: CollectorRegistry) -> Iterator[MetricsEndpoint]:
    """Serve it to patient clients."""
    with served(registry) as made:
        yield made


def scrape(endpoint: MetricsEndpoint, query: str = "") -> str:
    """Return the page."""
    url = "http://{}:{}/metrics{}".format(*endpoint.address, query)
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own endpoint
        return str(answer.read().decode())


def test_a_client_that_never_asks_is_cut_off(registry: CollectorRegistry) -> None:
    """Each holds a thread and a descriptor."""
    with (
        served(registry, patience=0.2) as endpoint,
        socket.create_connection(endpoint.address, 60) as client,
    ):
        assert client.recv(1) == b""


def test_a_client_that_never_reads_holds_up_no_other(endpoint: MetricsEndpoint) -> None:
    """They are served by threads of their own."""
    with unread(endpoint), socket.create_connection(endpoint.address, 60) as other:
        other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.0 200"


def test_a_client_that_never_reads_is_cut_off(registry: CollectorRegistry) -> None:
    """What it asked for does not wait for it."""
    with served(registry, patience=0.2) as endpoint:
        before = set(threading.enumerate())
        with unread(endpoint), socket.create_connection(endpoint.address, 60) as later:
            # Both were let in, one after the other, when this one is cut off, who never asks.
            assert later.recv(1) == b""
            for thread in set(threading.enumerate()) - before:
                thread.join(60)
                assert not thread.is_alive()


def test_a_collector_that_raises_is_told_to_the_scraper_and_the_log(
    endpoint: MetricsEndpoint, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Prometheus shows the target as down; the next scrape is answered again."""
    broken = Broken()
    registry.register(broken)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(urllib.error.HTTPError, match="500") as caught,
    ):
        scrape(endpoint)
    caught.value.close()

    (record,) = caplog.records
    assert "LookupError" in record.getMessage()
    registry.unregister(broken)
    assert "step-1" in scrape(endpoint)


def test_a_scrape_can_ask_for_one_metric(endpoint: MetricsEndpoint) -> None:
    """By the name of its samples, as Prometheus' federation does."""
    page = scrape(endpoint, f"?name[]={names.DURATION.prometheus}_count")

    samples = [s for f in text_string_to_metric_families(page) for s in f.samples]
    assert {sample.name for sample in samples} == {f"{names.DURATION.prometheus}_count"}
    assert len(samples) == 100


def test_closing_twice_does_no_harm(registry: CollectorRegistry, port: int) -> None:
    """The port is free after the first time."""
    with served(registry, port=port) as endpoint:
        endpoint.close(60)

    with socket.create_server(endpoint.address):
        pass
