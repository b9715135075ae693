"""Switching observability on and off: `initialize_observability` and its counterparts."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from tta_observability_integration import attach
from tta_observability_integration.settings import (
    Settings,
    SetupError,
    check_packages,
    check_settings,
    check_timeout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry

    from tta_observability_integration.protocols import Redactor
    from tta_observability_integration.runtime import Runtime
    from tta_observability_integration.settings import ResourceValue

__all__ = (
    "initialize_observability",
    "is_observability_enabled",
    "metrics_address",
    "shutdown_observability",
)

_logger = logging.getLogger("tta_observability_integration")
_lock = threading.RLock()
_runtime: Runtime | None = None
_hooked = False
_SIGNAL_PATIENCE = 10  # time limits that SIGTERM may take while spans are still being delivered


def initialize_observability(
    service_name: str = "tta",
    *,
    enable_tracing: bool = True,
    enable_prometheus: bool = True,
    prometheus_port: int = 9464,
    prometheus_host: str = "127.0.0.1",
    otlp_endpoint: str | None = None,
    span_exporter: SpanExporter | None = None,
    resource_attributes: Mapping[str, ResourceValue] | None = None,
    redact: Redactor | None = None,
    registry: CollectorRegistry | None = None,
    flush_on_sigterm: bool = True,
    shutdown_timeout: float = 1.0,
) -> bool:
    """Send spans and metrics of every workflow that runs from now on.

    Never raises and never fails a workflow: where something is missing or wrong, one line is
    logged, nothing is changed, and False is returned. What waits is delivered when the process
    ends.

    Args:
        service_name: What the telemetry belongs to. `OTEL_SERVICE_NAME` replaces the default, or
            `service.name` in `OTEL_RESOURCE_ATTRIBUTES`.
        enable_tracing: Make OpenTelemetry spans: one per call, one tree per run.
        enable_prometheus: Serve Prometheus metrics over HTTP.
        prometheus_port: The port to listen on; 0 for any that is free, see `metrics_address`.
        prometheus_host: The address to listen on. Default: this machine only.
        otlp_endpoint: Base URL of a collector that speaks OTLP over HTTP. Default:
            `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`. Headers, certificates and
            the like are read from OpenTelemetry's environment variables.
        span_exporter: Any OpenTelemetry span exporter, instead of OTLP over HTTP.
        resource_attributes: What the telemetry belongs to, further, such as
            `{"deployment.environment.name": "staging"}`.
        redact: Takes secrets out of texts, given a key and a text. A text at which it fails is
            withheld. Default: what `tta_dev_primitives` does with its own log lines.
        registry: Where the metrics are registered, with what else is served. Default: the
            default registry of `prometheus_client`.
        flush_on_sigterm: Deliver what waits when SIGTERM ends the process, where no other handler
            is installed.
        shutdown_timeout: Seconds without a delivery after which the end of the process is no
            longer delayed; above 0 and at most an hour.

    Returns:
        Whether telemetry is on. A second call with the same settings changes nothing and returns
        True, with others False.

    Example:
        >>> initialize_observability("docs", enable_tracing=False, prometheus_port=0)
        True
        >>> shutdown_observability()
        True
    """
    global _runtime  # noqa: PLW0603 - process-wide by design
    with _lock:
        try:
            settings = check_settings(
                service_name=service_name,
                enable_tracing=enable_tracing,
                enable_prometheus=enable_prometheus,
                prometheus_port=prometheus_port,
                prometheus_host=prometheus_host,
                otlp_endpoint=otlp_endpoint,
                span_exporter=span_exporter,
                resource_attributes=resource_attributes,
                redact=redact,
                registry=registry,
                flush_on_sigterm=flush_on_sigterm,
                shutdown_timeout=shutdown_timeout,
            )
            if _runtime is not None:
                _check_same(_runtime.settings, settings)
                return True
            _runtime = _start(settings)
        except SetupError as error:
            _logger.warning("observability was not initialized: %s", error)
            return False
        except Exception as error:  # noqa: BLE001 - a workflow runs without it
            _logger.warning(
                "observability was not initialized: %s: %s%s",
                *(type(error).__name__, error, _read_from_environment()),
            )
            return False
        _hook()
        return True


def shutdown_observability(timeout: float = 1.0) -> bool:
    """Deliver what waits and stop; afterwards it may be initialized again.

    Args:
        timeout: Seconds without a delivery after which the rest is dropped; at most an hour.

    Returns:
        Whether everything was delivered; also True where observability was off.

    Raises:
        ValueError: The timeout is no number of seconds, or out of range. Nothing is changed.
    """
    global _runtime  # noqa: PLW0603 - process-wide by design
    try:
        check_timeout("timeout", timeout)
    except SetupError as error:
        raise ValueError(str(error)) from None
    with _lock:
        runtime = _runtime
        if runtime is None:
            return True
        try:
            return runtime.close(timeout)
        finally:  # not before: a SIGTERM that comes while spans are delivered waits for them
            _runtime = None
            if signal.getsignal(signal.SIGTERM) is _on_sigterm and _in_main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


def is_observability_enabled() -> bool:
    """Return whether telemetry is on."""
    return _runtime is not None


def metrics_address() -> tuple[str, int] | None:
    """Return host and port of the Prometheus endpoint; None while there is none."""
    runtime = _runtime
    return None if runtime is None or runtime.endpoint is None else runtime.endpoint.address


def _start(settings: Settings) -> Runtime:
    # Cheap checks first: a refusal must not cost the import of an SDK.
    attach.check_core()
    check_packages(settings)
    listener = _listen(settings) if settings.enable_prometheus else None
    try:
        from tta_observability_integration.runtime import Runtime  # noqa: PLC0415 - imports SDKs

        return Runtime(settings, listener)
    except BaseException:
        if listener is not None:
            listener.close()
        raise


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.prometheus_host, settings.prometheus_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, TypeError, ValueError) as error:  # the latter two for a text that is no name
        raise SetupError(
            f"prometheus_port {port} on {host!r} cannot be listened on: {_reason(error)}; "
            "give another address of this machine or another port, 0 for any that is free"
        ) from None


def _reason(error: Exception) -> str:
    # `create_server` appends the address, which the line names already.
    said = error.strerror if isinstance(error, OSError) else None
    return said.split(" (while ")[0] if said else str(error)


def _read_from_environment() -> str:
    # OpenTelemetry's own errors rarely say where a value came from.
    names = sorted(name for name in os.environ if name.startswith("OTEL_"))
    return f"; OpenTelemetry reads {', '.join(names)} from the environment" if names else ""


def _check_same(now: Settings, wanted: Settings) -> None:
    differing = [name for name in Settings.__slots__ if getattr(now, name) != getattr(wanted, name)]
    if differing:
        raise SetupError(
            f"it is on already, with other {', '.join(differing)}; "
            "call shutdown_observability() first"
        )


# --- the end of the process ---------------------------------------------------------------------


def _hook() -> None:
    """See to it that what waits is delivered, however the process ends."""
    global _hooked  # noqa: PLW0603 - once per process
    runtime = _runtime
    if (
        runtime is not None
        and runtime.settings.flush_on_sigterm
        and _in_main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _on_sigterm)
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=_after_fork)
    _hook_child()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _at_exit() -> None:
    runtime = _runtime
    if runtime is not None:
        shutdown_observability(runtime.settings.shutdown_timeout)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Deliver what waits, then let the signal end the process as it would have."""
    del frame
    runtime = _runtime
    if runtime is not None:
        # In a thread: this one may have been interrupted while it held a lock that closing needs.
        timeout = runtime.settings.shutdown_timeout
        closing = threading.Thread(target=runtime.close, args=(timeout,), daemon=True)
        try:
            closing.start()
        except RuntimeError:  # no thread can be started while functions at exit run
            runtime.close(timeout)
        else:
            closing.join(_SIGNAL_PATIENCE * timeout)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.RLock()
    runtime = _runtime
    if runtime is None:
        return
    try:
        runtime.restart_after_fork()
    except Exception as error:  # noqa: BLE001 - the child works without it
        _logger.warning("a forked child exports no spans: %s: %s", type(error).__name__, error)
    forking = _multiprocessing()
    if forking is not None:  # it forgets, before the child begins, what is registered here and now
        forking.register_after_fork(runtime, _hook_child)


def _multiprocessing() -> Any:
    """Return the module that knows how a child of `multiprocessing` ends, where it is in use."""
    return sys.modules.get("multiprocessing.util")


def _hook_child(_: object = None) -> None:
    """See to the end of a child of `multiprocessing`, which comes without `atexit`."""
    util = _multiprocessing()
    if util is not None and util.process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)
