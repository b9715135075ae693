"""Dashboards and alerting rules, held against the metrics page of workflows that really ran."""

from __future__ import annotations

import asyncio
import json
import random
import re
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tta_dev_primitives", reason="tta-dev-primitives is not installed")
pytest.importorskip("tta_agent_coordination", reason="tta-agent-coordination is not installed")
pytest.importorskip("yaml", reason="PyYAML, which reads the rules, is not installed")

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import tta_observability_integration as observability
from tta_agent_coordination import AgentId, InMemoryMessageCoordinator
from tta_agent_coordination.metrics import EventKind, QueueEvent
from tta_agent_coordination.testing import WRITER, sample
from tta_dev_primitives import (
    CachePrimitive,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
    step,
)
from tta_dev_primitives.recovery import (
    AdaptivePrimitive,
    Bulkhead,
    BulkheadPrimitive,
    Rate,
    RateLimiter,
    RateLimitPrimitive,
    Throttle,
    ThrottlePrimitive,
)
from tta_observability_integration.monitoring import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives import WorkflowPrimitive

TARGET = {"job", "instance"}  # labels that Prometheus adds to everything it scrapes
MADE = "made-from-data"
WORDS = {"and", "or", "unless", "bool"}


@dataclass(frozen=True)
class Shown:
    """A sample of the metrics page."""

    name: str
    labels: dict[str, str]
    counts: bool
    """Whether it only grows, so that a rate of it means something."""


@dataclass(frozen=True)
class Selected:
    """A metric in an expression, with what it is selected by: label, operator, value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def takes(self, shown: Shown) -> bool:
        """Whether a sample is selected, whatever is chosen in a dashboard."""
        return shown.name == self.name and all(
            matches(operator, value, shown.labels.get(label, ""))
            for label, operator, value in self.matchers
            if label not in TARGET and not value.startswith("$")
        )


def matches(operator: str, value: str, found: str) -> bool:
    """Compare as Prometheus does: patterns match the whole value."""
    value = value.replace("\\\\", "\\")
    equal = re.fullmatch(value, found) is not None if "~" in operator else value == found
    return equal != operator.startswith("!")


def selected(expression: str) -> Iterator[Selected]:
    """Find the metrics of an expression."""
    matcher = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
    for name, inner in re.findall(r"(\w+)\{([^}]*)\}", expression):
        yield Selected(name, tuple(matcher.findall(inner)))
    rest = re.sub(r'\w+\{[^}]*\}|\[[^\]]*\]|"[^"]*"|offset \w+', " ", expression)
    rest = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", rest)
    for name in re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", rest):
        if name not in WORDS:
            yield Selected(name, ())


def grouped(expression: str) -> set[str]:
    """Return the labels that an expression groups by."""
    lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
    return {label.strip() for found in lists for label in found.split(",") if label.strip()}


def rules() -> list[dict[str, str]]:
    """Return the alerting rules."""
    groups = yaml.safe_load(read_file("alerts.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[tuple[str, str, str]]:
    """Return title, expression and legend of everything that the dashboards draw."""
    return [
        (
            f"{name} {panel['id']}{target['refId']}: {panel['title']}",
            target["expr"],
            target["legendFormat"],
        )
        for name in ("agents.json", "workflows.json")
        for panel in json.loads(read_file(name))["panels"]
        for target in panel.get("targets", [])
    ]


def queries() -> list[tuple[str, str]]:
    """Return the metric and label that each choice of a dashboard is filled from."""
    found: list[tuple[str, str]] = []
    for name in ("agents.json", "workflows.json"):
        for variable in json.loads(read_file(name))["templating"]["list"]:
            if variable["type"] == "query":
                parts = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert parts is not None
                found.append((parts[1], parts[2]))
    return found


EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in rules()),
    *(pytest.param(expression, id=title) for title, expression, _ in panels()),
]


async def fail(question: str) -> str:
    """Fail as a server does that is down."""
    raise ConnectionError(question)


async def hang(question: str) -> str:
    """Take longer than anybody waits."""
    await asyncio.Event().wait()
    return question


async def answer(question: str) -> str:
    """Answer."""
    return question


async def work() -> None:
    """Let everything happen once that a dashboard shows."""
    retry = RetryPrimitive(fail, max_attempts=2, initial_delay=0.001)
    throttle = Throttle(rng=random.Random(1))
    now = asyncio.get_running_loop().time()
    for _ in range(99):
        throttle.ended(now, accepted=False)
    full = Bulkhead(1, max_queue=0)
    slow = RateLimiter(Rate(1, per=3600), max_wait=0)
    workflows: list[WorkflowPrimitive[str, str]] = [
        (step(answer) >> FallbackPrimitive(retry, [answer])).named("ask"),
        retry,
        TimeoutPrimitive(hang, seconds=0.01),
        CircuitBreakerPrimitive(fail, failure_threshold=1),
        CachePrimitive(answer, ttl_seconds=60),
        AdaptivePrimitive(answer),
        ThrottlePrimitive(answer, throttle=throttle),
        RateLimitPrimitive(answer, limiter=slow),
    ]
    for workflow in workflows:
        for _ in range(5):
            with suppress(ConnectionError, RuntimeError, TimeoutError):
                await workflow.execute("?")
    async with full:
        with suppress(RuntimeError):
            await BulkheadPrimitive(answer, bulkhead=full).execute("?")
    for number in range(1000):
        await step(answer).named(f"{MADE}-{number}").execute("?")
    metrics = observability.AgentMetrics()
    coordinator = InMemoryMessageCoordinator(metrics)
    await coordinator.send_many([sample("a"), sample("b")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    await coordinator.ack(WRITER, received.token)
    for kind in EventKind:
        metrics.on_event(QueueEvent(kind=kind, agent_id=WRITER))
    for number in range(100):
        other = AgentId(type=f"{MADE}-{number}")
        metrics.on_event(QueueEvent(kind=EventKind.SENT, agent_id=other))


@pytest.fixture(scope="module")
def page() -> list[Shown]:
    """Return what stands on the page after the work."""
    assert observability.initialize_observability(
        "test", enable_tracing=False, prometheus_port=0, registry=CollectorRegistry()
    )
    asyncio.run(work())
    address = observability.metrics_address()
    assert address is not None
    with urllib.request.urlopen("http://{}:{}/metrics".format(*address), timeout=60) as answered:  # noqa: S310 - our own endpoint
        text = str(answered.read().decode())
    assert observability.shutdown_observability(60)
    shown = [
        Shown(sample.name, dict(sample.labels), family.type in {"counter", "histogram"})
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not any(value.startswith(MADE) for value in sample.labels.values())
    ]
    return [*shown, Shown("up", {}, counts=False)]  # Prometheus's own


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_an_expression_selects_is_on_the_page(expression: str, page: list[Shown]) -> None:
    """By metric, label and value; a name that nothing has would draw nothing, and never page."""
    found = list(selected(expression))

    assert found
    for metric in found:
        assert any(metric.takes(shown) for shown in page), metric


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_alternative_of_a_pattern_is_on_the_page(expression: str, page: list[Shown]) -> None:
    """Of what is written as `a|b`, neither is a name that nothing has."""
    for metric in selected(expression):
        for label, operator, pattern in metric.matchers:
            if operator != "=~" or pattern.startswith("$"):
                continue
            parts = re.fullmatch(r"(?:(.*)\()?([^()]*)(?:\)(.*))?", pattern)
            assert parts is not None
            before, inner, after = parts.groups("")
            for alternative in inner.split("|"):
                value = f"{before}{alternative}{after}"
                one = Selected(metric.name, ((label, "=~", value),))
                assert any(one.takes(shown) for shown in page), value


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_grouped_by_is_a_label(expression: str, page: list[Shown]) -> None:
    """Of each metric in the expression, or one that every target has."""
    for metric in selected(expression):
        labels = {label for shown in page if metric.takes(shown) for label in shown.labels}
        missing = grouped(expression) - labels - TARGET
        # The buckets of a histogram have one label more than its count.
        assert missing <= {"le"}, metric
        assert "le" not in missing or not metric.name.endswith("_bucket")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rates_are_taken_of_what_only_grows(expression: str, page: list[Shown]) -> None:
    """Of counters, and of the counts and buckets of a histogram."""
    for name in re.findall(r"\b(?:rate|increase)\(\s*(\w+)", expression):
        assert all(shown.counts for shown in page if shown.name == name), name


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_quantiles_are_taken_of_rates_of_buckets(expression: str) -> None:
    """Summed by their bound."""
    good = re.findall(
        r"histogram_quantile\([\d.]+,\s*sum by \(([^)]*)\)\s*\(\s*rate\((\w+)", expression
    )

    assert len(good) == expression.count("histogram_quantile(")
    for labels, name in good:
        assert "le" in labels.split(", ")
        assert name.endswith("_bucket")


@pytest.mark.parametrize(("metric", "label"), queries())
def test_what_can_be_chosen_is_on_the_page(metric: str, label: str, page: list[Shown]) -> None:
    """The variables of a dashboard are filled from labels that exist."""
    (chosen,) = selected(metric)

    taken = [shown for shown in page if chosen.takes(shown)]

    assert taken
    assert label in TARGET or all(label in shown.labels for shown in taken)


@pytest.mark.parametrize(("title", "expression", "legend"), panels())
def test_a_legend_names_labels_that_are_left(title: str, expression: str, legend: str) -> None:
    """What is not grouped by is gone."""
    assert set(re.findall(r"{{(\w+)}}", legend)) <= grouped(expression), title


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    """And shows the value."""
    assert rule["for"]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook"}
    assert "$value" in notes["description"]
    alert = str(rule["alert"])
    assert notes["runbook"] == f"docs/observability/alerts.md#{alert.lower()}"


def test_a_wrong_name_would_be_found(page: list[Shown]) -> None:
    """The checks above see a wrong metric, label and value."""
    wrong = (
        "rate(tta_primitive_seconds_count[5m])",
        'rate(tta_primitive_duration_seconds_count{name="ask"}[5m])',
        'rate(tta_primitive_duration_seconds_count{tta_primitive_type="breaker"}[5m])',
    )
    for expression in wrong:
        (metric,) = selected(expression)
        assert not any(metric.takes(shown) for shown in page), expression
