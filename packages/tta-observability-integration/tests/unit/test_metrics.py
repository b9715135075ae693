from __future__ import annotations

import logging
import threading
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_observability_integration import names
from tta_observability_integration.metrics import Durations


def plain(key: str, value: str) -> str:
    """Take nothing out."""
    return value


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=1200))
def test_every_duration_is_counted_in_its_bucket(seconds: list[float]) -> None:
    """Folding in blocks counts as counting one by one would."""
    durations = Durations(redact=plain)
    for value in seconds:
        durations.record("step", "function", None, value)

    (series,) = durations.read()

    bounds = names.DURATION.buckets
    for index, bound in enumerate(bounds):
        assert series.buckets[index] == sum(value <= bound for value in seconds)
    assert series.buckets[-1] == len(seconds)
    assert series.total == pytest.approx(sum(seconds))
    assert bisect_left(bounds, 0.001) == 1  # a bound belongs to its own bucket


def test_failures_have_a_series_of_their_own() -> None:
    """`error_type` is there only where a call failed."""
    durations = Durations(redact=plain)
    durations.record("step", "function", None, 0.1)
    durations.record("step", "function", "ValueError", 0.1)

    good, bad = durations.read()

    assert good.labels == {"tta_primitive_name": "step", "tta_primitive_type": "function"}
    assert bad.labels == {**good.labels, "error_type": "ValueError"}


def test_reading_again_counts_nothing_twice() -> None:
    """Two scrapers may come."""
    durations = Durations(redact=plain)
    durations.record("step", "function", None, 0.1)

    assert durations.read() == durations.read()


def test_the_number_of_series_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Further primitives are counted together, and one line says so."""
    durations = Durations(redact=plain, max_series=10)

    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            durations.record(f"step-{number}", "function", None, 0.1)
            durations.record(f"step-{number}", "function", f"Error{number}", 0.1)

    read = durations.read()
    assert len(read) == 12
    assert sum(series.buckets[-1] for series in read) == 2000
    assert read[-1].labels == {
        "tta_primitive_name": "_OTHER",
        "tta_primitive_type": "_OTHER",
        "error_type": "_OTHER",
    }
    assert len(caplog.records) == 1


def test_label_values_are_scrubbed() -> None:
    """A name may have been made from data."""
    durations = Durations(redact=lambda key, value: value.replace("hunter2", "[gone]"))
    durations.record("login hunter2", "function", None, 0.1)

    assert durations.read()[0].labels["tta_primitive_name"] == "login [gone]"


def test_threads_lose_no_count() -> None:
    """Calls end in many threads while somebody scrapes."""
    durations = Durations(redact=plain)

    def work() -> None:
        for _ in range(5000):
            durations.record("step", "function", None, 0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        durations.read()
    for thread in threads:
        thread.join()

    assert durations.read()[0].buckets[-1] == 20_000


def test_names_that_look_alike_without_their_secrets_are_counted_together() -> None:
    """A page with the same series twice is refused by Prometheus."""
    durations = Durations(redact=lambda _key, value: value.split()[0])
    durations.record("login hunter2", "function", None, 0.1)
    durations.record("login hunter3", "function", None, 0.1)
    durations.record("login", "function", "ValueError", 0.1)

    good, bad = durations.read()

    assert (good.labels["tta_primitive_name"], good.buckets[-1]) == ("login", 2)
    assert bad.buckets[-1] == 1


def test_a_label_can_be_carried_whatever_the_name() -> None:
    """One lone surrogate would fail the whole page, with what the application counts."""
    durations = Durations(redact=plain)
    durations.record("a\ud800", "function", "b\ud800", 0.1)

    for value in durations.read()[0].labels.values():
        assert value.encode()


def test_a_redactor_may_run_a_workflow_itself() -> None:
    """What it counts is counted, and nobody waits for himself."""
    counted: list[str] = []

    def redact(key: str, value: str) -> str:
        if value not in counted:
            counted.append(value)
            durations.record(f"redact-{value}"[:40], "function", None, 0.1)
        return value

    durations = Durations(redact=redact)
    done = threading.Thread(
        target=durations.record, args=("step", "function", None, 0.1), daemon=True
    )
    done.start()
    done.join(60)

    assert not done.is_alive()
    assert "step" in {series.labels["tta_primitive_name"] for series in durations.read()}
