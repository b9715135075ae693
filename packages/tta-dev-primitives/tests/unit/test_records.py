"""One execution is one trace: a record per call, each with its right parent."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import (
    Batch,
    Conditional,
    Filter,
    Loop,
    Parallel,
    Router,
    Sequential,
    WorkflowContext,
    add_observer,
    annotate,
    in_thread,
    remove_observer,
    step,
)
from tta_dev_primitives.core import engine, frames
from tta_dev_primitives.errors import Filtered
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from tta_dev_primitives.core.record import Call, Record


class Recording:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.records: list[Record] = []

    def started(self, call: Call, /) -> None:
        """Keep the start."""
        self.calls.append(call)

    def ended(self, record: Record, /) -> None:
        """Keep the record."""
        self.records.append(record)


@pytest.fixture
def heard() -> Recording:
    """Return an observer that is told of all calls of the test."""
    recording = Recording()
    add_observer(recording)
    return recording


async def passes(value: Any) -> Any:
    """Pass, after a turn of the loop."""
    await asyncio.sleep(0)
    return value


async def fails(value: Any) -> Any:
    """Fail."""
    message = "no"
    raise ValueError(message)


def check_tree(records: list[Record]) -> None:
    """Check that the records of one run form one tree whose shape is that of their paths."""
    by_id = {record.span_id: record for record in records}
    assert len(by_id) == len(records), "span ids are unique"
    assert len({record.trace_id for record in records}) == 1
    assert len({record.correlation_id for record in records}) == 1
    roots = [record for record in records if record.parent_span_id not in by_id]
    assert len(roots) == 1
    for record in records:
        if record is not roots[0]:
            parent = by_id[record.parent_span_id]
            assert record.path.rpartition("/")[0] == parent.path
            assert parent.start <= record.start <= record.end <= parent.end


def test_a_record_tells_name_path_type_times_status_and_attributes(heard: Recording) -> None:
    """And the same ids as the call that started."""

    async def search(query: str) -> str:
        annotate(engine="fts5", hits=3)
        await asyncio.sleep(1.5)
        return query

    context = WorkflowContext(correlation_id="req-1")
    run_virtual((step(search) >> str.upper).named("flow").execute(context, "q"))
    record = heard.records[0]
    assert (record.name, record.path, record.type) == ("search", "flow/search", "function")
    assert (record.status, record.error, record.attempt) == ("ok", None, 1)
    assert record.duration == pytest.approx(1.5)
    assert dict(record.attributes) == {"engine": "fts5", "hits": 3}
    assert record.context is context
    assert [r.path for r in heard.records] == ["flow/search", "flow/upper", "flow"]
    assert [c.path for c in heard.calls] == ["flow", "flow/search", "flow/upper"]
    started = {call.path: call.span_id for call in heard.calls}
    assert started == {record.path: record.span_id for record in heard.records}


def four_times(number: int) -> list[int]:
    """Make items for a Batch."""
    return [number] * 4


def same(value: int) -> int:
    """Give back what is given."""
    return value


WORKFLOWS: dict[str, Any] = {
    "chain": step(passes) >> passes >> passes,
    "fan-out": step(passes) >> (step(passes) | passes | passes) >> passes,
    "limited": Parallel([passes] * 5, max_concurrency=2),
    "nested": Sequential(
        [Parallel([Sequential([passes, passes], name="a"), Parallel([passes, passes])]), passes]
    ),
    "choices": Conditional(lambda _: True, Router({"x": passes}, default_route="x")),
    "loop": Loop(step(passes) >> passes, until=lambda _: True, max_iterations=3),
    "batch": step(four_times) >> Batch(step(passes) >> passes, max_concurrency=3),
    "thread": step(passes) >> in_thread(same) >> passes,
}


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))
def test_one_execution_is_one_tree(workflow: Any, heard: Recording) -> None:
    """For every composite."""
    asyncio.run(workflow.execute(WorkflowContext(), 1))
    check_tree(heard.records)
    assert len(heard.records) >= 3
    assert engine.current.get() is None


@pytest.mark.parametrize("give_context", [True, False])
def test_a_workflow_inside_a_step_is_a_subtree_below_that_step(
    give_context: bool,  # noqa: FBT001
    heard: Recording,
) -> None:
    """In a step, in a branch, in a thread through `run`; with the context or a fresh one."""
    inner = (step(passes) >> (step(passes) | passes)).named("inner")

    async def awaits(context: WorkflowContext, value: Any) -> Any:
        return await (inner.execute(context, value) if give_context else inner.execute(value))

    def waits(context: WorkflowContext, value: Any) -> Any:
        return inner.run(context, value) if give_context else inner.run(value)

    outer = Sequential([passes, Parallel([awaits, awaits, in_thread(waits)])], name="outer")
    asyncio.run(outer.execute(1))
    check_tree(heard.records)
    paths = [record.path for record in heard.records]
    assert paths.count("outer/parallel/waits/inner/parallel/passes[0]") == 1
    assert paths.count("outer/parallel/awaits[1]/inner/passes") == 1
    assert len(paths) == 1 + 1 + 1 + 3 * (1 + 1 + 1 + 1 + 2)


def test_a_thousand_concurrent_runs_are_a_thousand_traces(heard: Recording) -> None:
    """None takes a record of another."""
    workflow = step(passes) >> (step(passes) | (step(passes) >> passes)) >> passes

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1_000):
                context = WorkflowContext(correlation_id=f"run-{number}")
                group.create_task(workflow.execute(context, number))

    asyncio.run(main())
    runs: dict[str, list[Record]] = {}
    for record in heard.records:
        runs.setdefault(record.correlation_id, []).append(record)
    assert len(runs) == 1_000
    shape = Counter(record.path for record in heard.records[: len(runs["run-0"])])
    for records in runs.values():
        check_tree(records)
        assert len(records) == len(runs["run-0"])
    assert shape
    assert len({record.trace_id for record in heard.records}) == 1_000


def test_the_root_hangs_under_the_caller_of_another_process(heard: Recording) -> None:
    """Whose ids came with the context."""

    class Remote:
        trace_id, span_id, trace_flags = 0xAA, 0xBB, 1

    (step(passes) >> passes).run(WorkflowContext(parent_span_context=Remote()), 1)
    root = heard.records[-1]
    assert (root.trace_id, root.parent_span_id) == (0xAA, 0xBB)
    assert {record.trace_id for record in heard.records} == {0xAA}


def test_statuses_tell_success_failure_filtering_and_cancellation_apart(heard: Recording) -> None:
    """On the step and on everything around it."""
    nothing: Any = Filter(lambda _: False)  # on a single value

    async def main() -> None:
        with pytest.raises(ValueError, match="no"):
            await (step(passes) >> fails).execute(1)
        with pytest.raises(Filtered):
            await (nothing >> passes).execute(1)
        task = asyncio.create_task((step(passes) >> asyncio.sleep).execute(100))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main())
    told = [(record.name, record.status) for record in heard.records]
    assert told == [
        ("passes", "ok"),
        ("fails", "error"),
        ("sequential", "error"),
        ("filter", "filtered"),
        ("sequential", "filtered"),
        ("passes", "ok"),
        ("sleep", "cancelled"),
        ("sequential", "cancelled"),
    ]
    assert isinstance(heard.records[1].error, ValueError)


def test_choices_are_noted_on_their_record(heard: Recording) -> None:
    """So that a trace tells why."""
    workflow = Conditional(lambda _: True, Router({"a": passes}, default_route="a"))
    workflow.run(1)
    attributes = {record.path: dict(record.attributes) for record in heard.records}
    assert attributes["conditional"] == {"condition": True}
    assert attributes["conditional/router"] == {"route": "a", "reason": "default"}


class Broken:
    """An observer that always raises."""

    def ended(self, record: Record, /) -> None:
        """Raise."""
        raise RuntimeError


def test_an_observer_that_raises_changes_no_result(
    heard: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """It is complained of once, by name."""
    broken = Broken()
    add_observer(broken)
    with caplog.at_level(logging.WARNING, "tta_dev_primitives"):
        assert [(step(passes) >> passes).run(1) for _ in range(3)] == [1, 1, 1]
    assert [r.message for r in caplog.records if "Broken" in r.message] == [
        "observer Broken failed on sequential/passes[0]; its further failures are not logged"
    ]
    assert len(heard.records) == 9


def test_adding_an_observer_twice_reports_once() -> None:
    """A second one of a type replaces the first."""
    one, two = Recording(), Recording()
    add_observer(one)
    add_observer(two)
    step(passes).run(1)
    assert (len(one.records), len(two.records)) == (0, 1)
    assert (remove_observer(two), remove_observer(two)) == (True, False)
    step(passes).run(1)
    assert len(two.records) == 1


def test_observers_that_change_during_a_run_leave_it_whole(heard: Recording) -> None:
    """The run that is under way ends as it began."""
    late = Recording()

    class Late(Recording):
        pass

    late = Late()

    async def installs(value: int) -> int:
        add_observer(late)
        return value

    inner = (step(passes) >> passes).named("inner")
    asyncio.run((step(installs) >> inner.named("named") >> passes).execute(1))
    assert "sequential" in [record.path for record in heard.records]
    step(passes).run(1)
    assert late.records[-1].path == "passes"


def test_nothing_is_built_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame, no record, no id."""
    engine.install_defaults()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(frames, "enter", never)
    monkeypatch.setattr(engine, "Site", never)
    for workflow in WORKFLOWS.values():
        asyncio.run(workflow.execute(1))


def test_annotating_outside_a_run_does_nothing() -> None:
    """A step may be called as the plain function it is."""
    annotate(x=1)
