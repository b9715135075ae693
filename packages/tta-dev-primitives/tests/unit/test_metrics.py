"""What is counted, where, and within which bounds."""

import asyncio
import json
import logging
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import Filtered
from tta_dev_primitives.observability import metrics
from tta_dev_primitives.observability.metrics import (
    MetricsRecorder,
    PlaceStats,
    disable_observability,
    enable_observability,
    get_metrics,
    install,
    metrics_table,
    reset_metrics,
)

pytestmark = pytest.mark.usefixtures("default_observers")


@pytest.fixture
def default_observers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state in which a program runs, with nothing counted yet."""
    monkeypatch.setattr(metrics, "_recorder", MetricsRecorder())
    enable_observability()


async def double(number: int) -> int:
    return number * 2


async def fail(number: int) -> int:
    raise LookupError(number)


async def hold_back(number: int) -> int:
    raise Filtered("held back", value=number)


def took(place: PlaceStats, duration: float) -> None:
    """Count a call that ended well, as a site does."""
    place.tick()
    place.push(-duration)


async def test_every_place_of_a_workflow_is_counted_by_path() -> None:
    """A run counts once at the workflow and once at each of its steps."""
    workflow = Sequential([double, double, step(double, name="last")])

    for _ in range(3):
        await workflow.execute(1)

    assert [(one.path, one.name, one.total) for one in get_metrics()] == [
        ("sequential", "sequential", 3),
        ("sequential/double[0]", "double", 3),
        ("sequential/double[1]", "double", 3),
        ("sequential/last", "last", 3),
    ]


async def test_a_name_puts_its_places_together() -> None:
    """Asked by name, the places of that name are one; asked by path, each is its own."""
    await Sequential([double, double]).execute(1)

    together, alone = get_metrics("double"), get_metrics("sequential/double[1]")

    assert together is not None
    assert (together.path, together.total) == ("double", 2)
    assert alone is not None
    assert (alone.path, alone.total) == ("sequential/double[1]", 1)


def test_what_has_not_run_has_no_metrics() -> None:
    """An unknown name is None, not a record of nothing."""
    assert get_metrics("no such step") is None
    assert get_metrics() == ()


async def test_an_execution_of_a_workflow_built_anew_each_time_is_counted_without_growth() -> None:
    """Workflows of one shape share what counts them, though each object runs only once."""
    for _ in range(1000):
        await Sequential([double]).execute(1)

    state = engine.listening
    assert state is not None
    assert state.recorder is not None
    place = state.recorder.stats("double", "sequential/double", "function")
    assert isinstance(place, PlaceStats)
    assert len(place.counters) <= 2
    found = get_metrics("sequential/double")
    assert found is not None
    assert found.successful == 1000


async def test_steps_before_a_failing_one_are_counted() -> None:
    """A run that fails in the third step ended two calls well and one badly."""
    workflow = Sequential([step(double, name="a"), step(double, name="b"), step(fail, name="c")])
    await Sequential([step(double, name="a"), step(double, name="b")]).execute(1)
    for _ in range(3):
        with pytest.raises(LookupError):
            await workflow.execute(1)

    counts = {one.path: (one.successful, one.failed) for one in get_metrics()}

    assert counts == {
        "sequential": (1, 3),
        "sequential/a": (4, 0),
        "sequential/b": (4, 0),
        "sequential/c": (0, 3),
    }


async def test_steps_before_a_failing_one_are_counted_where_ids_are_wanted() -> None:
    """The same with frames, as under `configure_logging`."""
    workflow = Sequential([step(double, name="a"), step(fail, name="b")])
    engine.want_frames(True)
    try:
        with pytest.raises(LookupError):
            await workflow.execute(1)
        assert await Sequential([step(double, name="a")]).execute(1) == 2
    finally:
        engine.want_frames(False)

    counts = {one.path: (one.successful, one.failed) for one in get_metrics()}

    assert counts == {"sequential": (1, 1), "sequential/a": (2, 0), "sequential/b": (0, 1)}


async def test_failures_count_by_class_and_apart_from_cancelled_and_filtered() -> None:
    """Cancelled and filtered calls lower no success rate."""
    for number in range(4):
        await step(double, name="mixed").execute(number)
    for function in (fail, hold_back):
        with pytest.raises((LookupError, Filtered)):
            await step(function, name="mixed").execute(1)
    never = asyncio.Event()
    task = asyncio.create_task(step(never.wait, name="mixed").execute(None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    found = get_metrics("mixed")

    assert found is not None
    assert (found.total, found.successful, found.failed) == (7, 4, 1)
    assert (found.cancelled, found.filtered) == (1, 1)
    assert found.error_counts == {"LookupError": 1}
    assert found.success_rate == pytest.approx(0.8)


async def test_where_nothing_succeeded_durations_are_unknown() -> None:
    """They are NaN in the record and null in JSON, never zero."""
    with pytest.raises(LookupError):
        await step(fail).execute(1)

    found = get_metrics("fail")

    assert found is not None
    assert math.isnan(found.mean)
    assert math.isnan(found.p99)
    plain = found.to_dict()
    assert plain["mean"] is None
    assert json.loads(json.dumps(plain, allow_nan=False))["error_counts"] == {"LookupError": 1}


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300))
def test_the_order_of_the_percentiles_is_that_of_their_fractions(durations: list[float]) -> None:
    """Whatever was measured: min <= p50 <= p90 <= p95 <= p99 <= max, and the mean lies between."""
    recorder = MetricsRecorder()
    place = recorder.stats("x", "x", "function")
    for duration in durations:
        took(place, duration)

    found = recorder.read_one("x")

    assert found is not None
    assert found.total == len(durations)
    steps = [found.min, found.p50, found.p90, found.p95, found.p99, found.max]
    assert steps == sorted(steps)
    assert (found.min, found.max) == (min(durations), max(durations))
    assert found.mean == pytest.approx(sum(durations) / len(durations))


def test_percentiles_of_known_values_are_interpolated() -> None:
    """Of 1 to 100, the median lies half way between 50 and 51."""
    recorder = MetricsRecorder()
    place = recorder.stats("x", "x", "function")
    for number in range(1, 101):
        took(place, float(number))

    found = recorder.read_one("x")

    assert found is not None
    assert (found.p50, found.p90) == (pytest.approx(50.5), pytest.approx(90.1))
    assert found.p99 == pytest.approx(99.01)


def test_the_window_slides_while_the_counts_go_on() -> None:
    """Percentiles tell of the last 1,024 calls, the count of all."""
    recorder = MetricsRecorder()
    place = recorder.stats("x", "x", "function")
    for _ in range(1000):
        took(place, 9.0)
    for _ in range(metrics.WINDOW):
        took(place, 1.0)

    found = recorder.read_one("x")

    assert found is not None
    assert found.max == 1.0
    assert found.total == 1000 + metrics.WINDOW
    assert found.mean == 1.0


def test_places_that_are_counted_together_are_read_apart() -> None:
    """A chain counts its steps with one call; a place also has calls of its own."""
    recorder = MetricsRecorder()
    a, b = recorder.stats("a", "a", "function"), recorder.stats("b", "b", "function")
    together = recorder.tick_all((a, b))
    twice = recorder.tick_all((b, b))
    for _ in range(5):
        together()
    twice()
    a.tick()

    assert [(one.path, one.successful) for one in recorder.read()] == [("a", 6), ("b", 7)]
    assert recorder.tick_all((a, b)) is together


def test_more_chains_than_are_kept_apart_are_counted_all_the_same() -> None:
    """Chains put together from data fill no memory, and no call is lost."""
    recorder = MetricsRecorder(max_places=4)
    places = [recorder.stats(f"n{i}", f"n{i}", "function") for i in range(4)]
    pairs = [(one, other) for one in places for other in places]
    for pair in pairs:
        recorder.tick_all(pair)()

    assert [one.successful for one in recorder.read()] == [8, 8, 8, 8]
    assert sum(len(place.counters) for place in places) == 4 + 2 * 4


def test_readings_do_not_count() -> None:
    """A count that is read often stays what it was."""
    counter = metrics.Counter()
    for expected in range(5):
        assert [counter.read(), counter.read(), counter.read()] == [expected] * 3
        counter.tick()


def test_no_duration_is_lost_between_threads() -> None:
    """Threads that push while others fold: each duration counts once."""
    recorder = MetricsRecorder()
    place = recorder.stats("x", "x", "function")
    start = threading.Barrier(5)

    def work() -> None:
        start.wait()
        for number in range(5000):
            took(place, 0.001)
            if not number % 100:
                place.tally()
            if not number % 1000:
                place.failed(0.1, ValueError())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()

    found = recorder.read_one("x")
    assert found is not None
    assert (found.successful, found.failed) == (20_000, 20)


def test_places_are_bounded_and_the_rest_is_counted_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Names made from data fill no memory: one `other`, one warning, no call lost."""
    recorder = MetricsRecorder(max_places=10)

    with caplog.at_level(logging.WARNING, logger="tta_dev_primitives"):
        for number in range(500):
            took(recorder.stats(f"n{number}", f"n{number}", "function"), 0.1)

    assert len(recorder.read()) == 11
    other = recorder.read_one("other")
    assert other is not None
    assert other.total == 490
    assert len(caplog.records) == 1
    assert "10 places" in caplog.text


def test_the_default_bound_is_a_thousand_places() -> None:
    """The first thousand keep their own counts."""
    recorder = MetricsRecorder()
    with_own = [recorder.stats(f"n{i}", f"n{i}", "function") for i in range(1000)]

    assert len({id(place) for place in with_own}) == 1000
    assert recorder.stats("more", "more", "f") is recorder.stats("yet more", "yet more", "f")


def test_exception_classes_are_bounded_too() -> None:
    """Classes made at run time end in `_OTHER`."""
    place = MetricsRecorder().stats("x", "x", "function")
    for number in range(100):
        place.failed(0.1, type(f"Made{number}", (Exception,), {})())

    errors = place.tally().errors

    assert len(errors) == metrics.MAX_ERROR_TYPES + 1
    assert sum(errors.values()) == 100
    assert errors["_OTHER"] == 100 - metrics.MAX_ERROR_TYPES


async def test_reset_counts_from_zero_and_keeps_counting() -> None:
    """A workflow that ran before is counted afresh after a reset."""
    workflow = Sequential([double])
    await workflow.execute(1)
    reset_metrics()
    assert get_metrics() == ()

    await workflow.execute(1)

    found = get_metrics("sequential")
    assert found is not None
    assert found.total == 1


async def test_disabled_nothing_is_counted_and_enabled_it_is_again() -> None:
    """One call each; what was counted before stays."""
    workflow = Sequential([double])
    await workflow.execute(1)
    disable_observability()
    await workflow.execute(1)
    assert engine.listening is None
    enable_observability()
    await workflow.execute(1)

    found = get_metrics("sequential")
    assert found is not None
    assert found.total == 2


def test_disabled_before_the_first_run_it_stays_disabled() -> None:
    """The defaults that wait for the first run are dismissed as well."""
    before = engine._install_defaults  # pyright: ignore[reportPrivateUsage]
    try:
        engine._install_defaults = install  # pyright: ignore[reportPrivateUsage]
        disable_observability()
        observer = engine.observers()
        assert engine.state_for_run(engine._PENDING) is None  # pyright: ignore[reportPrivateUsage]
        assert engine.observers() == observer
    finally:
        engine._install_defaults = before  # pyright: ignore[reportPrivateUsage]
        enable_observability()


@pytest.mark.parametrize("value", ["off", "OFF", " Off "])
def test_the_environment_can_switch_everything_off(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`TTA_OBSERVABILITY=off`, in any case, installs nothing."""
    monkeypatch.setenv("TTA_OBSERVABILITY", value)
    install()
    assert engine.listening is None


@pytest.mark.parametrize(("value", "warnings"), [("on", 0), ("ON", 0), ("", 0), ("offf", 1)])
def test_any_other_value_leaves_it_on_with_a_word_if_it_is_unknown(
    value: str,
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A misspelt `off` is named in one warning."""
    monkeypatch.setenv("TTA_OBSERVABILITY", value)
    with caplog.at_level(logging.WARNING, logger="tta_dev_primitives"):
        install()

    assert engine.listening is not None
    assert engine.listening.recorder is not None
    assert len(caplog.records) == warnings
    assert all("'offf'" in record.getMessage() for record in caplog.records)


async def test_the_table_has_a_line_per_place() -> None:
    """Columns line up, and failures are named."""
    await Sequential([double]).execute(1)
    with pytest.raises(LookupError):
        await step(fail).execute(1)

    lines = metrics_table().splitlines()

    assert lines[0].split()[:2] == ["path", "calls"]
    assert [line.split()[0] for line in lines[1:]] == ["fail", "sequential", "sequential/double"]
    assert lines[1].endswith("LookupError 1")
    assert " - " in lines[1]
