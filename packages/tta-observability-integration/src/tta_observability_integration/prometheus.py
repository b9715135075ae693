"""The Prometheus side: a collector that is read at scrape time, and the endpoint that serves it."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import MetricsHandler
from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tta_observability_integration import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from tta_observability_integration.agents import AgentCounts
    from tta_observability_integration.metrics import Durations

__all__ = ("MetricsEndpoint", "TelemetryCollector")

_logger = logging.getLogger("tta_observability_integration")

_BOUNDS = (*(str(bound) for bound in names.DURATION.buckets), "+Inf")


class TelemetryCollector(Collector):
    """Reads the accumulators when somebody scrapes.

    Args:
        durations: How long calls took.
        agents: What happened to the messages of agents.
        dropped: Returns how many spans were lost, by reason.
        service_name: Shown in `target_info`, as OpenTelemetry's exporter does.
    """

    def __init__(
        self,
        *,
        durations: Durations,
        agents: AgentCounts,
        dropped: Callable[[], Mapping[str, int]],
        service_name: str,
    ) -> None:
        self._durations = durations
        self._agents = agents
        self._dropped = dropped
        self._service_name = service_name

    def describe(self) -> Iterator[Metric]:
        """Yield what will be collected, without samples, so that registering counts nothing."""
        yield InfoMetricFamily("target", "Target metadata")
        yield _family(names.DURATION)
        yield _family(names.DROPPED)
        yield from map(_family, names.AGENT_METRICS)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand now."""
        service = names.label(names.SERVICE_NAME)
        yield InfoMetricFamily("target", "Target metadata", {service: self._service_name})
        yield self._collect_durations()
        dropped = _family(names.DROPPED)
        for reason, count in self._dropped().items():
            labels = {
                names.label(names.SIGNAL): names.SIGNAL_SPANS,
                names.label(names.ERROR_TYPE): reason,
            }
            dropped.add_sample(names.DROPPED.prometheus, labels, count)
        yield dropped
        yield from self._collect_agents()

    def _collect_durations(self) -> Metric:
        name = names.DURATION.prometheus
        family = _family(names.DURATION)
        for series in self._durations.read():
            for bound, count in zip(_BOUNDS, series.buckets, strict=True):
                family.add_sample(f"{name}_bucket", {**series.labels, "le": bound}, count)
            family.add_sample(f"{name}_count", series.labels, series.buckets[-1])
            family.add_sample(f"{name}_sum", series.labels, series.total)
        return family

    def _collect_agents(self) -> Iterable[Metric]:
        families = {metric.name: _family(metric) for metric in names.AGENT_METRICS}
        for series in self._agents.read():
            metric = series.metric
            families[metric.name].add_sample(metric.prometheus, series.labels, series.value)
        return families.values()


def _family(metric: names.Metric) -> Metric:
    # The library appends `_total` to the samples of a counter by itself.
    return Metric(metric.prometheus.removesuffix("_total"), metric.description, metric.kind)


class MetricsEndpoint:
    """Serves a registry over HTTP from a thread of its own.

    Args:
        registry: What is served, under any path.
        listener: A listening socket; owned from here on.
        patience: Seconds that a client may take to ask and to read; then it is cut off, for each
            holds a thread.
    """

    def __init__(
        self, registry: CollectorRegistry, listener: socket.socket, *, patience: float = 10.0
    ) -> None:
        self.address: tuple[str, int] = listener.getsockname()[:2]
        """Host and port on which it listens."""
        handler = type("Handler", (_Handler,), {"registry": registry, "timeout": patience})
        self._server = _Server(self.address, handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._thread = threading.Thread(target=self._serve, name="tta-metrics", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Not `serve_forever`, which notices its end only after half a second.
        while not self._server.stopping:
            self._server.handle_request()

    def close(self, timeout: float) -> None:
        """Stop listening.

        Args:
            timeout: Seconds to wait for the thread.
        """
        self._server.stopping = True
        with suppress(OSError):  # wakes the thread
            socket.create_connection(self.address, timeout).close()
        self._thread.join(timeout)
        self._server.server_close()

    def drop_after_fork(self) -> None:
        """Let go of the socket in a forked child: the parent goes on listening."""
        self._server.socket.close()


class _Handler(MetricsHandler):
    def do_GET(self) -> None:  # noqa: N802 - fixed by `http.server`
        try:
            super().do_GET()
        except OSError:
            raise  # the client is gone, or too slow
        except Exception as error:
            kind = type(error).__name__
            _logger.warning(
                "the metrics page could not be made: a collector in the registry raised %s",
                kind,
                exc_info=True,
            )
            self.send_error(500, "a collector raised", f"{kind}; the log of the process says more")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stopping = False

    def verify_request(self, request: Any, client_address: Any) -> bool:
        del request, client_address
        return not self.stopping

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a scraper that hangs up early, or is cut off."""
