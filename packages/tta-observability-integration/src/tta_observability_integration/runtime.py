"""The parts at work, built from settings. Imports the SDKs; loaded when it is sure to be needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_observability_integration import agents, attach, names
from tta_observability_integration.observer import OpenTelemetryObserver
from tta_observability_integration.outgoing import Outgoing
from tta_observability_integration.settings import SetupError

if TYPE_CHECKING:
    import socket

    from opentelemetry.sdk.trace.export import SpanExporter

    from tta_observability_integration.live import Bridge
    from tta_observability_integration.metrics import Durations
    from tta_observability_integration.pipeline import SpanPipeline
    from tta_observability_integration.prometheus import MetricsEndpoint, TelemetryCollector
    from tta_observability_integration.protocols import Redactor
    from tta_observability_integration.settings import Settings

__all__ = ("Runtime",)


class Runtime:
    """Observability that is on.

    Args:
        settings: What was asked for.
        listener: The socket for the metrics endpoint, where there is to be one.

    Raises:
        SetupError: The metrics cannot be registered, or nothing takes secrets out.
    """

    def __init__(self, settings: Settings, listener: socket.socket | None) -> None:
        self.settings = settings
        self.endpoint: MetricsEndpoint | None = None
        """The Prometheus endpoint."""
        self.spans: SpanPipeline | None = None
        """The way of the spans to their exporter."""
        self._durations: Durations | None = None
        self._agents: agents.AgentCounts | None = None
        self._bridge: Bridge | None = None
        self._collector: TelemetryCollector | None = None
        scrub = settings.redact or attach.redactor()
        try:
            if listener is not None:
                self._serve(listener, scrub)
            if settings.enable_tracing:
                self._trace(scrub)
            self._observer = OpenTelemetryObserver(
                spans=self.spans, durations=self._durations, bridge=self._bridge
            )
            attach.attach(self._observer)
        except BaseException:
            self._stop_parts(0.1)
            raise

    def _serve(self, listener: socket.socket, scrub: Redactor) -> None:
        from prometheus_client import REGISTRY  # noqa: PLC0415 - only where metrics are wanted

        from tta_observability_integration.metrics import Durations  # noqa: PLC0415 - as above
        from tta_observability_integration.prometheus import MetricsEndpoint, TelemetryCollector  # noqa: PLC0415 - as above

        registry = self.settings.registry or REGISTRY
        self._durations = durations = Durations(redact=scrub)
        self._agents = agents.AgentCounts(redact=scrub)
        collector = TelemetryCollector(
            durations=durations,
            agents=self._agents,
            dropped=self._dropped,
            service_name=Outgoing(scrub).text(names.SERVICE_NAME, self.settings.service_name),
        )
        try:
            registry.register(collector)
        except ValueError as error:
            raise SetupError(f"the registry has metrics of our names already: {error}") from None
        self._collector = collector
        self.endpoint = MetricsEndpoint(registry, listener)
        agents.count_in(self._agents)

    def _trace(self, scrub: Redactor) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - where spans are wanted

        from tta_observability_integration.live import Bridge  # noqa: PLC0415 - as above
        from tta_observability_integration.pipeline import SpanPipeline  # noqa: PLC0415 - as above
        from tta_observability_integration.spans import SpanFactory  # noqa: PLC0415 - as above

        attributes = dict(self.settings.resource_attributes)
        resource = Resource.create({**attributes, names.SERVICE_NAME: self.settings.service_name})
        factory = SpanFactory(resource=resource, redact=scrub)
        self.spans = SpanPipeline(
            factory.make, self._make_exporter, where=self.settings.where, redact=scrub
        )
        self._bridge = Bridge(attach.running())

    def _make_exporter(self) -> SpanExporter:
        if self.settings.span_exporter is not None:
            return self.settings.span_exporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - heavy

        return OTLPSpanExporter(endpoint=self.settings.endpoint)

    def _dropped(self) -> dict[str, int]:
        spans = self.spans
        return dict.fromkeys(names.DROP_REASONS, 0) if spans is None else spans.dropped

    def close(self, timeout: float) -> bool:
        """Stop observing, deliver what waits, and stop listening; again and again does no harm.

        Args:
            timeout: Seconds without a delivery after which the rest is dropped.

        Returns:
            Whether every span was delivered.
        """
        attach.detach(self._observer)
        return self._stop_parts(timeout)

    def _stop_parts(self, timeout: float) -> bool:
        delivered = True
        if self._bridge is not None:
            self._bridge.open = False
        if self.spans is not None:
            delivered = self.spans.close(timeout)
        collector, self._collector = self._collector, None
        if collector is not None:
            from prometheus_client import REGISTRY  # noqa: PLC0415 - imported by then

            agents.count_in(None)
            (self.settings.registry or REGISTRY).unregister(collector)
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            endpoint.close(timeout)
        return delivered

    def restart_after_fork(self) -> None:
        """Go on in a forked child with own threads; the endpoint stays the parent's."""
        if self.spans is not None:
            self.spans.restart_after_fork()
        if self._durations is not None:
            self._durations.restart_after_fork()
        if self._agents is not None:
            self._agents.restart_after_fork()
        if self.endpoint is not None:
            self.endpoint.drop_after_fork()
            self.endpoint = None
