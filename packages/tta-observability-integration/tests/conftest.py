"""Fixtures for all tests of this package."""

from __future__ import annotations

import http.server
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

import tta_observability_integration as observability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files.

    On for one file at a time, so that it never watches the tests of another package.
    """
    with blockbuster_ctx(scanned_modules=["tta_observability_integration"]):
        yield


@pytest.fixture(autouse=True)
def nothing_left_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch observability off after each test, and keep this machine's settings out."""
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "HEADERS"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    yield
    observability.shutdown_observability(60)


@pytest.fixture
def traced() -> Callable[[], list[ReadableSpan]]:
    """Trace into memory; call it to stop and get the spans."""
    exporter = InMemorySpanExporter()
    assert observability.initialize_observability(
        span_exporter=exporter, enable_prometheus=False, flush_on_sigterm=False
    )

    def stop() -> list[ReadableSpan]:
        assert observability.shutdown_observability(60)
        return list(exporter.get_finished_spans())

    return stop


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry of this test's own."""
    return CollectorRegistry()


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port that the test may listen on again and again, and nobody else is given."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


class Sink:
    """An OTLP/HTTP collector on loopback that decodes what it is sent.

    Attributes:
        spans: Every span received.
        bodies: The requests as they came.
        paths: Where they were posted.
        status: What is answered.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.status = 200
        self.connections: list[socket.socket] = []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.take(self.path, body)
                self.send_response(sink.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 64

            def get_request(self) -> tuple[socket.socket, object]:
                request, address = super().get_request()
                sink.connections.append(request)
                return request, address

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a killed sender is no concern of the sink

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        """Decode a request."""
        self.paths.add(path)
        if self.status != 200:
            return
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def close(self) -> None:
        """Stop listening, and hang up."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in self.connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def sink_type() -> type[Sink]:
    """Return the collector, for tests that stop one and start another."""
    return Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Run a collector for one test."""
    made = Sink()
    yield made
    made.close()
