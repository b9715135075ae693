from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tta_observability_integration.settings import SetupError, check_settings

if TYPE_CHECKING:
    from tta_observability_integration.settings import Settings


class Unprintable:
    """Something whose `repr` fails."""

    def __repr__(self) -> str:
        raise RuntimeError


def narrow(value: str) -> str:
    """Take one argument too few."""
    return value


def mute(key: str, value: str) -> None:
    """Return nothing."""


def settings(**changes: Any) -> Settings:
    """Check settings that differ from the defaults in `changes`."""
    defaults: dict[str, Any] = {
        "service_name": "tta",
        "enable_tracing": True,
        "enable_prometheus": True,
        "prometheus_port": 9464,
        "prometheus_host": "127.0.0.1",
        "otlp_endpoint": None,
        "span_exporter": None,
        "resource_attributes": None,
        "redact": None,
        "registry": None,
        "flush_on_sigterm": True,
        "shutdown_timeout": 1.0,
    }
    return check_settings(**(defaults | changes))


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://host/otel/", "https://host/otel/v1/traces"),
        ("http://host/v1/traces", "http://host/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        (None, "http://localhost:4318/v1/traces"),
    ],
)
def test_the_endpoint_is_a_base_url(given: str | None, target: str) -> None:
    """The path of the signal is appended, as the OTLP specification has it."""
    assert settings(otlp_endpoint=given).endpoint == target


def test_the_endpoint_comes_from_the_environment_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable for traces is taken as it is, and before the one for all signals."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318")
    assert settings().endpoint == "http://all:4318/v1/traces"

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/in")
    assert settings().endpoint == "http://traces:4318/in"
    assert settings(otlp_endpoint="http://mine").endpoint == "http://mine/v1/traces"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"otlp_endpoint": "collector:4318"}, "'collector:4318'"),
        ({"otlp_endpoint": "ftp://collector"}, "'ftp://collector'"),
        ({"otlp_endpoint": "http://"}, "'http://'"),
        ({"otlp_endpoint": "http://host:99999"}, "'http://host:99999'"),
        ({"otlp_endpoint": "http://[::1"}, "otlp_endpoint"),
        ({"otlp_endpoint": ""}, "otlp_endpoint"),
        ({"otlp_endpoint": 4318}, "4318"),
        ({"service_name": " "}, "service_name"),
        ({"service_name": None}, "service_name"),
        ({"prometheus_port": 65_536}, "65536"),
        ({"prometheus_port": -1}, "-1"),
        ({"prometheus_port": "9464"}, "'9464'"),
        ({"prometheus_port": True}, "True"),
        ({"prometheus_host": ""}, "prometheus_host"),
        ({"span_exporter": object()}, "export"),
        ({"resource_attributes": ["a"]}, "resource_attributes"),
        ({"resource_attributes": {"a": object()}}, "'a'"),
        ({"resource_attributes": {1: "a"}}, "resource_attributes"),
        ({"redact": "yes"}, "redact"),
        ({"shutdown_timeout": 0}, "shutdown_timeout"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout"),
        ({"shutdown_timeout": "1"}, "shutdown_timeout"),
        ({"shutdown_timeout": 3601}, "3601"),
        ({"shutdown_timeout": 10**400}, "shutdown_timeout"),
        ({"enable_tracing": "false"}, "enable_tracing must be True or False, not 'false'"),
        ({"enable_prometheus": 1}, "enable_prometheus"),
        ({"flush_on_sigterm": None}, "flush_on_sigterm"),
        ({"registry": "x"}, "registry must be a prometheus_client.CollectorRegistry, not 'x'"),
        ({"redact": narrow}, "takes 1 positional argument"),
        ({"redact": mute}, "redact('key', 'text') returned None"),
        ({"resource_attributes": {"service.name": "mine"}}, "'mine'; give service_name="),
        ({"span_exporter": Unprintable()}, "<Unprintable>"),
        ({"otlp_endpoint": "x" * 100_000}, "otlp_endpoint"),
        ({"enable_tracing": False, "enable_prometheus": False}, "both off"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_value(
    changes: dict[str, object], named: str
) -> None:
    """The one line that is logged says what to change."""
    with pytest.raises(SetupError) as refused:
        settings(**changes)

    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_password_in_a_wrong_endpoint_is_not_shown() -> None:
    """The line goes to the log."""
    with pytest.raises(SetupError) as refused:
        settings(otlp_endpoint="ftp://user:hunter2@collector")

    assert "hunter2" not in str(refused.value)


def test_the_environment_names_the_service_where_the_caller_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`OTEL_SERVICE_NAME` replaces the default alone."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-env")

    assert settings().service_name == "from-env"
    assert settings(service_name="mine").service_name == "mine"


def test_the_standard_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED` holds for us too."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    with pytest.raises(SetupError, match="OTEL_SDK_DISABLED"):
        settings()


def test_the_service_may_be_named_among_the_resource_attributes_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where `OTEL_SERVICE_NAME` does not, as OpenTelemetry has it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b,rubbish, service.name = my%20service,=")
    assert settings().service_name == "my service"

    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-env")
    assert settings().service_name == "from-env"


def test_a_log_line_says_where_spans_go_without_a_password() -> None:
    """The URL may hold one in three places."""
    where = settings(otlp_endpoint="https://user:hunter2@host:1/in?key=hunter2#hunter2").where

    assert where == "the collector https://host:1/in/v1/traces"
    assert settings(span_exporter=InMemorySpanExporter()).where == (
        "the exporter InMemorySpanExporter"
    )
