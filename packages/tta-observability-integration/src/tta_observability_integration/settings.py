"""What was asked for, checked before anything heavy is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from tta_observability_integration import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry

    from tta_observability_integration.protocols import Redactor

__all__ = (
    "ResourceValue",
    "Settings",
    "SetupError",
    "check_packages",
    "check_settings",
    "check_timeout",
)

ResourceValue: TypeAlias = "str | bool | int | float"

_DEFAULT_SERVICE = "tta"
_DEFAULT_ENDPOINT = "http://localhost:4318"  # fixed by the OTLP specification
_TRACES_PATH = "/v1/traces"
_HIGHEST_PORT = 65_535
_HOUR = 3600.0

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

    @property
    def where(self) -> str:
        """Where spans go, for log lines: the URL without what may hold a password."""
        if self.span_exporter is not None:
            return f"the exporter {type(self.span_exporter).__name__}"
        parts = urlsplit(self.endpoint)
        host = parts.netloc.rpartition("@")[2]
        return f"the collector {parts._replace(netloc=host, query='', fragment='').geturl()}"


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
    switches: dict[str, object] = {
        "enable_tracing": enable_tracing,
        "enable_prometheus": enable_prometheus,
        "flush_on_sigterm": flush_on_sigterm,
    }
    for option, value in switches.items():
        if not isinstance(value, bool):  # "false" is true
            raise SetupError(f"{option} must be True or False, not {_shown(value)}")
    if not (enable_tracing or enable_prometheus):
        raise SetupError("enable_tracing and enable_prometheus are both off")
    if enable_prometheus:
        _check_address(prometheus_host, prometheus_port)
    check_timeout("shutdown_timeout", shutdown_timeout)
    if redact is not None:
        _check_redactor(redact)
    if registry is not None and not _has(registry, "collect", "register", "unregister"):
        raise SetupError(
            f"registry must be a prometheus_client.CollectorRegistry, not {_shown(registry)}"
        )
    return Settings(
        service_name=_service(service_name),
        enable_tracing=enable_tracing,
        enable_prometheus=enable_prometheus,
        prometheus_port=prometheus_port,
        prometheus_host=prometheus_host,
        endpoint=_target(otlp_endpoint, span_exporter) if enable_tracing else "",
        span_exporter=span_exporter,
        resource_attributes=_resource(resource_attributes),
        redact=redact,
        registry=registry,
        flush_on_sigterm=flush_on_sigterm,
        shutdown_timeout=shutdown_timeout,
    )


def check_timeout(option: str, value: object) -> None:
    """See whether something can be waited for so long.

    Raises:
        SetupError: It is no number of seconds, not above 0, or above an hour.
    """
    if not (_is_number(value) and 0 < cast("float", value) <= _HOUR):
        raise SetupError(
            f"{option} must be seconds, above 0 and at most {_HOUR:g}, not {_shown(value)}"
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


def _shown(value: object) -> str:
    """Return a wrong value in a few characters of one line, whatever it is."""
    try:
        return f"{value!r:.60}".replace("\n", " ")
    except Exception:  # noqa: BLE001 - a user's `__repr__` may fail at anything
        return f"<{type(value).__name__}>"


def _has(value: object, *methods: str) -> bool:
    return all(callable(getattr(value, name, None)) for name in methods)


def _check_redactor(redact: object) -> None:
    """Call it once: a wrong one would otherwise withhold every text, long after the mistake."""
    if not callable(redact):
        raise SetupError(f"redact must take a key and a text, not be {_shown(redact)}")
    try:
        answer: object = redact("key", "text")
    except Exception as error:  # noqa: BLE001 - it may fail at anything
        raise SetupError(
            f"redact must take a key and a text and return a text; "
            f"redact('key', 'text') raised {type(error).__name__}: {_shown(str(error))[1:-1]}"
        ) from None
    if not isinstance(answer, str):
        raise SetupError(
            f"redact must take a key and a text and return a text; "
            f"redact('key', 'text') returned {_shown(answer)}"
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_address(host: object, port: object) -> None:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= _HIGHEST_PORT:
        raise SetupError(f"prometheus_port must be from 0 to {_HIGHEST_PORT}, not {_shown(port)}")
    if not _is_text(host):
        raise SetupError(f"prometheus_host must be an address to listen on, not {_shown(host)}")


def _service(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise SetupError(f"service_name must be a text that is not empty, not {_shown(name)}")
    if name == _DEFAULT_SERVICE:
        return os.environ.get("OTEL_SERVICE_NAME", "").strip() or _service_of_resource() or name
    return name


def _service_of_resource() -> str:
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == names.SERVICE_NAME:
            return unquote(value.strip())
    return ""


def _target(endpoint: str | None, exporter: object) -> str:
    """Return the URL to post to, or nothing where an exporter was given."""
    if exporter is None:
        return _endpoint(endpoint)
    if endpoint is not None:
        raise SetupError("otlp_endpoint and span_exporter were both given; choose one")
    if not _has(exporter, "export", "shutdown"):
        raise SetupError(f"span_exporter has no export() and shutdown(): {_shown(exporter)}")
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
        raise SetupError(f"{source} must be a URL such as {_DEFAULT_ENDPOINT}, not {_shown(value)}")
    try:
        parts = urlsplit(value.strip())
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
        parts = None
    if parts is None or not valid:
        # The value itself may hold a password, and a broken URL cannot be taken apart to tell.
        shown = f" not {_shown(value)}" if "@" not in value else " and this one cannot be read"
        raise SetupError(f"{source} must be a URL such as {_DEFAULT_ENDPOINT},{shown}")
    path = parts.path.rstrip("/")
    if append and not path.endswith(_TRACES_PATH):
        path += _TRACES_PATH
    return parts._replace(path=path or "/").geturl()


def _resource(given: Mapping[str, ResourceValue] | None) -> tuple[tuple[str, ResourceValue], ...]:
    try:
        pairs = list({} if given is None else dict(given).items())
    except (TypeError, ValueError):
        raise SetupError(f"resource_attributes must be a mapping, not {_shown(given)}") from None
    for key, value in pairs:
        if key == names.SERVICE_NAME:
            raise SetupError(
                f"resource_attributes has {key!r}: {_shown(value)}; give service_name= instead"
            )
    for key, value in pairs:
        if not (_is_text(key) and (isinstance(value, (str, bool)) or _is_number(value))):
            raise SetupError(
                f"resource_attributes takes texts, numbers and booleans by name, "
                f"not {_shown(key)} of type {type(value).__name__}"
            )
    return tuple(sorted(pairs))
