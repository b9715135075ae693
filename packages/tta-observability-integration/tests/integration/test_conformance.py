"""The observer keeps what the engine's protocol asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest.importorskip("tta_dev_primitives")

from tta_dev_primitives.core import engine
from tta_dev_primitives.testing.conformance import ObserverConformance
from tta_observability_integration import OpenTelemetryObserver
from tta_observability_integration.live import Bridge
from tta_observability_integration.metrics import Durations
from tta_observability_integration.pipeline import SpanPipeline
from tta_observability_integration.spans import SpanFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.core.protocols import CallerObserver


def plain(key: str, value: str) -> str:
    """Take nothing out."""
    return value


class TestOpenTelemetryObserver(ObserverConformance):
    """The whole of it, exporting into memory."""

    @pytest.fixture(autouse=True)
    def parts(self) -> Iterator[None]:
        """Make what an observer needs, and end its thread."""
        factory = SpanFactory(resource=Resource({}), redact=plain)
        self.pipeline = SpanPipeline(factory.make, InMemorySpanExporter)
        yield
        assert self.pipeline.close(60), "a span could not be made of a record"

    def make_observer(self) -> CallerObserver:
        """Return it as `initialize_observability` would make it."""
        return OpenTelemetryObserver(
            spans=self.pipeline,
            durations=Durations(redact=plain),
            bridge=Bridge(engine.current.get),
        )
