from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_observability_integration import AgentMetrics, names
from tta_observability_integration.agents import AgentCounts, count_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Id:
    """An agent's name, as `tta_agent_coordination` has it."""

    type: str
    instance: str | None = None


@dataclass
class Event:
    """Something happened to messages of its mailbox."""

    kind: str
    agent_id: Id
    count: int = 1


def plain(key: str, value: str) -> str:
    """Take nothing out."""
    return value


def events(counts: AgentCounts) -> dict[tuple[str, str], int]:
    """Return the counts of events, by kind and type."""
    return {
        (series.labels["kind"], series.labels["agent_type"]): series.value
        for series in counts.read()
        if series.metric is names.AGENT_EVENTS
    }


def totals(counts: AgentCounts) -> list[int]:
    """Return how many messages were delivered, and how many refused."""
    return [series.value for series in counts.read() if not series.labels]


@pytest.fixture
def page() -> Iterator[AgentCounts]:
    """Return the counts of a metrics page that is on."""
    counts = AgentCounts(redact=plain)
    count_in(counts)
    yield counts
    count_in(None)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9))))
def test_events_add_up_by_kind_and_type(told: list[tuple[str, str, int]]) -> None:
    """A series is there from its first event on, be it of no message."""
    counts = AgentCounts(redact=plain)
    for kind, agent_type, count in told:
        counts.event(kind, agent_type, count)

    expected: dict[tuple[str, str], int] = {}
    for kind, agent_type, count in told:
        expected[kind, agent_type] = expected.get((kind, agent_type), 0) + count
    assert events(counts) == expected


def test_both_totals_are_there_before_the_first_message() -> None:
    """A rate can only be computed of a series that has begun at zero."""
    assert totals(AgentCounts(redact=plain)) == [0, 0]


def test_a_counter_never_goes_down() -> None:
    """Prometheus would take it for a restart."""
    counts = AgentCounts(redact=plain)
    for count in (3, -1):
        counts.delivered(count)
        counts.refused(count)
        counts.event("sent", "writer", count)

    assert totals(counts) == [3, 3]
    assert events(counts) == {("sent", "writer"): 3}


def test_instances_of_a_type_are_one_series(page: AgentCounts) -> None:
    """Their names are made at run time, as often as not, and would fill the memory."""
    metrics = AgentMetrics()
    for number in range(50):
        metrics.on_event(Event("acked", Id("writer", f"worker-{number}")))

    assert events(page) == {("acked", "writer"): 50}


def test_the_number_of_types_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Further ones are counted together, kind by kind, and one line says so."""
    counts = AgentCounts(redact=plain, max_values=10)

    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            counts.event("sent", f"user-{number}", 1)
            counts.event("acked", f"user-{number}", 2)

    read = events(counts)
    assert len(read) == 22
    assert read["sent", "_OTHER"] == 990
    assert read["acked", "_OTHER"] == 1980
    assert sum(read.values()) == 3000
    (record,) = caplog.records
    assert "agent_type" in record.getMessage()
    assert "'user-10'" in record.getMessage()


def test_the_number_of_kinds_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever tells of them."""
    counts = AgentCounts(redact=plain, max_values=10)

    for number in range(100):
        counts.event(f"kind-{number}", "writer", 1)

    assert events(counts)["_OTHER", "writer"] == 90
    assert len(caplog.records) == 1


def test_secrets_are_taken_out_of_types() -> None:
    """Types that look alike without them are one series, for a page has none twice."""
    counts = AgentCounts(redact=lambda _key, value: value.split(":")[0])
    counts.event("sent", "writer:hunter2", 1)
    counts.event("sent", "writer:hunter3", 1)
    counts.event("sent", "writer", 1)

    assert events(counts) == {("sent", "writer"): 3}


def test_the_line_about_too_many_types_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """It names the type that was one too many."""
    counts = AgentCounts(
        redact=lambda _key, value: value.replace("hunter2", "[gone]"), max_values=1
    )
    counts.event("sent", "writer", 1)
    counts.event("sent", "hunter2", 1)

    assert "hunter2" not in caplog.text
    assert "[gone]" in caplog.text


def test_a_redactor_that_fails_withholds_the_type(page: AgentCounts) -> None:
    """The message was sent; that it is counted matters more."""

    def fail(key: str, value: str) -> str:
        raise LookupError(value)

    counts = AgentCounts(redact=fail)
    counts.event("sent", "hunter2", 1)

    assert list(events(counts).values()) == [1]
    assert "hunter2" not in str(counts.read())


def test_a_label_can_be_carried_whatever_the_type() -> None:
    """One lone surrogate would fail the whole page, with what the application counts."""
    counts = AgentCounts(redact=plain)
    counts.event("sent\ud800", "a\ud800", 1)

    for value in counts.read()[-1].labels.values():
        assert value.encode()


def test_a_redactor_may_send_messages_itself() -> None:
    """What it sends is counted, and nobody waits for himself."""
    counts: AgentCounts

    def redact(key: str, value: str) -> str:
        counts.event("sent", value, 1)
        return value

    counts = AgentCounts(redact=redact)
    done = threading.Thread(target=counts.event, args=("sent", "writer", 1), daemon=True)
    done.start()
    done.join(60)

    assert not done.is_alive()
    assert sum(events(counts).values()) >= 2


def test_threads_lose_no_count(page: AgentCounts) -> None:
    """Coordinators in many threads count while somebody scrapes."""
    metrics = AgentMetrics()

    def work() -> None:
        for number in range(2000):
            metrics.inc_delivered_ok(1)
            metrics.on_event(Event("sent", Id(f"type-{number % 3}")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        page.read()
    for thread in threads:
        thread.join()

    assert totals(page) == [8000, 0]
    assert sum(events(page).values()) == 8000


def test_a_forked_child_counts_though_a_thread_held_the_lock() -> None:
    """Only the thread that forks is there in the child; nobody would give the lock back."""
    counts = AgentCounts(redact=plain)
    held, free = threading.Event(), threading.Event()
    lock: threading.Lock = vars(counts)["_lock"]

    def hold() -> None:
        with lock:
            held.set()
            free.wait(60)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait(60)
    counts.restart_after_fork()

    counts.delivered(1)

    assert totals(counts) == [1, 0]
    free.set()
    holding.join()


def test_without_a_page_nothing_is_counted_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever looks for the counts finds out why there are none; messages go on."""
    metrics = AgentMetrics()
    for _ in range(3):
        metrics.inc_delivered_ok(1)
        metrics.inc_delivered_error(1)
        metrics.on_event(Event("sent", Id("writer")))

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "initialize_observability" in record.getMessage()


def test_after_the_page_has_ended_nothing_is_said(
    page: AgentCounts, caplog: pytest.LogCaptureFixture
) -> None:
    """The last messages of a process often come when its metrics are gone."""
    metrics = AgentMetrics()
    metrics.inc_delivered_ok(1)
    count_in(None)

    metrics.inc_delivered_ok(1)

    assert totals(page) == [1, 0]
    assert not caplog.records


def test_all_metrics_of_a_process_count_together(page: AgentCounts) -> None:
    """Two coordinators with an object each are no two series of one name."""
    for metrics in (AgentMetrics(), AgentMetrics()):
        metrics.inc_delivered_error(2)

    assert totals(page) == [0, 4]
