"""What was asked for, checked before anything heavy is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry

    from tta_observability_integration.protocols import Redactor

__all__ = ("ResourceValue", "Settings", "SetupError", "check_packages", "check_settings")

ResourceValue: TypeAlias = "str | bool | int | float"

_DEFAULT_SERVICE = "tta"
_DEFAULT_ENDPOINT = "http://localhost:4318"  # fixed by the OTLP specification
_TRACES_PATH = "/v1/traces"
_HIGHEST_PORT = 65_535

_TRACING_PACKAGES = {"opentelemetry.sdk.trace": "opentelemetry-sdk"}
_OTLP_PACKAGES = {
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http"
}
_PROMETHEUS_PACKAGES = {"prometheus_client": "prometheus-client"}


class SetupError(Exception):
    """Observability cannot be set up; the message is the reason, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of `initialize_observability`, complete."""

    service_name: str
    """What the telemetry belongs to."""
    enable_tracing: bool
    """Whether spans are made."""
    enable_prometheus: bool
    """Whether metrics are served."""
    prometheus_port: int
    """The port asked for; 0 for any that is free."""
    prometheus_host: str
    """The address to listen on."""
    endpoint: str
    """The URL to which spans are posted."""
    span_exporter: SpanExporter | None
    """Used instead of OTLP over HTTP."""
    resource_attributes: tuple[tuple[str, ResourceValue], ...]
    """What the telemetry belongs to, further."""
    redact: Redactor | None
    """Takes secrets out; None for the default."""
    registry: CollectorRegistry | None = field(repr=False)
    """Where the metrics are registered; None for the library's default."""
    flush_on_sigterm: bool
    """Whether SIGTERM delivers what waits before it ends the process."""
    shutdown_timeout: float
    """Seconds without a delivery after which the end of the process is no longer delayed."""


def check_settings(
    *,
    service_name: str,
    enable_tracing: bool,
    enable_prometheus: bool,
    prometheus_port: int,
    prometheus_host: str,
    otlp_endpoint: str | None,
    span_exporter: SpanExporter | None,
    resource_attributes: Mapping[str, ResourceValue] | None,
    redact: Redactor | None,
    registry: CollectorRegistry | None,
    flush_on_sigterm: bool,
    shutdown_timeout: float,
) -> Settings:
    """Return the settings, completed from the environment.

    Raises:
        SetupError: One of them cannot be right; the message names it and its value.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        raise SetupError("OTEL_SDK_DISABLED=true is set in the environment")
    if not (enable_tracing or enable_prometheus):
        raise SetupError("enable_tracing and enable_prometheus are both off")
    if enable_prometheus:
        _check_address(prometheus_host, prometheus_port)
    if not (_is_number(shutdown_timeout) and 0 < shutdown_timeout < float("inf")):
        raise SetupError(f"shutdown_timeout must be seconds above 0, not {shutdown_timeout!r}")
    if redact is not None and not callable(redact):
        raise SetupError(f"redact must take a key and a text, not be {redact!r}")
    return Settings(
        service_name=_service(service_name),
        enable_tracing=bool(enable_tracing),
        enable_prometheus=bool(enable_prometheus),
        prometheus_port=prometheus_port,
        prometheus_host=prometheus_host,
        endpoint=_target(otlp_endpoint, span_exporter) if enable_tracing else "",
        span_exporter=span_exporter,
        resource_attributes=_resource(resource_attributes),
        redact=redact,
        registry=registry,
        flush_on_sigterm=bool(flush_on_sigterm),
        shutdown_timeout=shutdown_timeout,
    )


def check_packages(settings: Settings) -> None:
    """Look, without importing, whether what the settings need is installed.

    Raises:
        SetupError: Something is not; the message names it.
    """
    needed: dict[str, str] = {}
    if settings.enable_tracing:
        needed |= _TRACING_PACKAGES
        if settings.span_exporter is None:
            needed |= _OTLP_PACKAGES
    if settings.enable_prometheus:
        needed |= _PROMETHEUS_PACKAGES
    missing = sorted(package for module, package in needed.items() if not _is_there(module))
    if missing:
        raise SetupError(f"not installed: {', '.join(missing)}; `uv add {' '.join(missing)}`")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or it was taken out of `sys.modules`
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_address(host: object, port: object) -> None:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= _HIGHEST_PORT:
        raise SetupError(f"prometheus_port must be from 0 to {_HIGHEST_PORT}, not {port!r}")
    if not _is_text(host):
        raise SetupError(f"prometheus_host must be an address to listen on, not {host!r}")


def _service(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise SetupError(f"service_name must be a text that is not empty, not {name!r}")
    if name == _DEFAULT_SERVICE:
        return os.environ.get("OTEL_SERVICE_NAME", "").strip() or name
    return name


def _target(endpoint: str | None, exporter: object) -> str:
    """Return the URL to post to, or nothing where an exporter was given."""
    if exporter is None:
        return _endpoint(endpoint)
    if endpoint is not None:
        raise SetupError("otlp_endpoint and span_exporter were both given; choose one")
    if not all(callable(getattr(exporter, name, None)) for name in ("export", "shutdown")):
        raise SetupError(f"span_exporter has no export() and shutdown(): {exporter!r}")
    return ""


def _endpoint(given: str | None) -> str:
    """Return the URL to which spans are posted: what was given, else what OTLP's variables say."""
    if given is not None:
        return _url("otlp_endpoint", given, append=True)
    for variable, append in (
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", False),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", True),
    ):
        value = os.environ.get(variable, "").strip()
        if value:
            return _url(variable, value, append=append)
    return _DEFAULT_ENDPOINT + _TRACES_PATH


def _url(source: str, value: object, *, append: bool) -> str:
    if not isinstance(value, str):
        raise SetupError(f"{source} must be a URL such as {_DEFAULT_ENDPOINT}, not {value!r}")
    try:
        parts = urlsplit(value.strip())
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
        parts = None
    if parts is None or not valid:
        # The value itself may hold a password, and a broken URL cannot be taken apart to tell.
        shown = f" not {value!r}" if "@" not in value else " and this one cannot be read"
        raise SetupError(f"{source} must be a URL such as {_DEFAULT_ENDPOINT},{shown}")
    path = parts.path.rstrip("/")
    if append and not path.endswith(_TRACES_PATH):
        path += _TRACES_PATH
    return parts._replace(path=path or "/").geturl()


def _resource(given: Mapping[str, ResourceValue] | None) -> tuple[tuple[str, ResourceValue], ...]:
    try:
        pairs = list({} if given is None else dict(given).items())
    except (TypeError, ValueError):
        raise SetupError(f"resource_attributes must be a mapping, not {given!r}") from None
    for key, value in pairs:
        if not (_is_text(key) and (isinstance(value, (str, bool)) or _is_number(value))):
            raise SetupError(
                f"resource_attributes takes texts, numbers and booleans by name, "
                f"not {key!r} of type {type(value).__name__}"
            )
    return tuple(sorted(pairs))
