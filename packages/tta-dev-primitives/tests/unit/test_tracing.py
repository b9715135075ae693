"""Spans from functions and workflows: the right parents, wherever work is handed over."""

import asyncio
import gc
import inspect
import re
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise
from typing import Any

import pytest

from tta_dev_primitives.core import engine, frames
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.functions import in_thread, step
from tta_dev_primitives.core.parallel import Parallel
from tta_dev_primitives.core.record import Record
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Filtered
from tta_dev_primitives.observability.metrics import (
    disable_observability,
    enable_observability,
    get_metrics,
    reset_metrics,
    track_metrics,
)
from tta_dev_primitives.observability.tracing import (
    SpanTree,
    TreeObserver,
    collect_records,
    render_tree,
    trace_operation,
)


@pytest.fixture(autouse=True)
def unobserved() -> None:
    """Nobody listens, unless a test says so."""
    disable_observability()


@trace_operation(span_name="fetch")
async def fetch(value: int) -> int:
    await asyncio.sleep(0)
    return value


@trace_operation
def parse(value: int, *, factor: int = 1) -> int:
    return value * factor


def by_path(records: list[Record]) -> dict[str, Record]:
    return {record.path: record for record in records}


# --- decorated functions ------------------------------------------------------------------------


async def test_a_call_outside_a_workflow_is_the_root_of_a_trace() -> None:
    """Named as asked, of type `operation`."""
    with collect_records() as records:
        assert await fetch(1) == 1
        assert parse(2, factor=3) == 6

    assert [(r.name, r.path, r.type, r.parent_span_id) for r in records] == [
        ("fetch", "fetch", "operation", 0),
        ("parse", "parse", "operation", 0),
    ]
    assert records[0].trace_id != records[1].trace_id


async def test_unobserved_a_call_is_just_a_call() -> None:
    """Nothing is recorded, results and errors are the function's."""
    assert await fetch(1) == 1
    assert parse(1) == 1
    assert engine.current.get() is None


async def test_a_call_inside_a_step_stands_below_the_step() -> None:
    """Operations in operations in a step of a workflow: a line of parents, one trace."""

    @trace_operation(span_name="outer")
    async def outer(value: int) -> int:
        return parse(await fetch(value))

    async def work(value: int) -> int:
        return await outer(value)

    with collect_records() as records:
        await Sequential([work]).execute(1)

    found = by_path(records)
    chain = ["sequential", "sequential/work", "sequential/work/outer"]
    for above, below in pairwise(chain):
        assert found[below].parent_span_id == found[above].span_id
    for leaf in ("fetch", "parse"):
        assert found[f"{chain[-1]}/{leaf}"].parent_span_id == found[chain[-1]].span_id
    assert len({record.trace_id for record in records}) == 1


async def test_as_a_step_it_is_recorded_once() -> None:
    """By the workflow, under its own name and type."""
    with collect_records() as records:
        assert await (fetch >> parse).execute(3) == 3

    assert [(r.path, r.type) for r in records] == [
        ("sequential/fetch", "operation"),
        ("sequential/parse", "operation"),
        ("sequential", "sequential"),
    ]


async def test_recursion_is_a_line_of_spans() -> None:
    """Each call is below the one that made it, also where the function is a step."""

    @trace_operation(span_name="down")
    async def down(value: int) -> int:
        return await down(value - 1) if value else 0

    with collect_records() as records:
        await Sequential([down]).execute(3)

    assert [r.path for r in reversed(records)] == [
        "sequential",
        "sequential/down",
        "sequential/down/down",
        "sequential/down/down/down",
        "sequential/down/down/down/down",
    ]


async def test_an_exception_passes_unchanged_and_is_in_the_record() -> None:
    """The very object, without a note of ours."""
    error = LookupError("x")

    @trace_operation
    async def fail() -> None:
        raise error

    with collect_records() as records, pytest.raises(LookupError) as caught:
        await fail()

    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert (records[0].status, records[0].error) == ("error", error)


async def test_cancellation_passes_and_is_recorded_as_such() -> None:
    """Not as a failure."""

    @trace_operation
    async def wait() -> None:
        await asyncio.Event().wait()

    with collect_records() as records:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [record.status for record in records] == ["cancelled"]


async def test_attributes_that_a_function_notes_are_on_its_record() -> None:
    """`annotate` inside an operation tells of that operation."""

    @trace_operation(span_name="search")
    async def search() -> None:
        frames.annotate(engine="fts5")

    with collect_records() as records:
        await search()

    assert dict(records[0].attributes) == {"engine": "fts5"}


async def test_a_context_among_the_arguments_is_that_of_the_trace() -> None:
    """Called with a context first, the function runs under its ids."""

    @trace_operation
    async def work(context: WorkflowContext, value: int) -> int:
        return value

    with collect_records() as records:
        await work(WorkflowContext(correlation_id="req-1"), 1)

    assert records[0].correlation_id == "req-1"


def test_a_coroutine_that_nobody_finishes_leaves_nothing_behind() -> None:
    """Closed elsewhere, it neither complains nor changes who runs there."""

    class Suspended:
        def __await__(self) -> Generator[None]:
            yield

    @trace_operation
    async def wait() -> None:
        await Suspended()

    with collect_records() as records:
        coroutine = wait()
        copy_context().run(coroutine.send, None)
        coroutine.close()
        gc.collect()

    assert engine.current.get() is None
    assert len(records) == 1


@pytest.mark.parametrize("name", ["a/b", "", "x[1]"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str) -> None:
    """When the function is decorated, not when it is called."""
    with pytest.raises(ConfigurationError):
        trace_operation(span_name=name)(parse)


def test_a_generator_is_refused_with_a_reason() -> None:
    """Its call ends before its work begins, so a span of it would tell nothing."""

    async def stream() -> Any:
        yield 1

    with pytest.raises(CompositionError, match=r"stream is a generator.*consumes it"):
        trace_operation(stream)


async def test_tracked_metrics_stand_beside_those_of_primitives() -> None:
    """Under the name, of type `operation`, with and without observers, as a call or as a step."""
    enable_observability()
    reset_metrics()

    @track_metrics(name="api_latency")
    async def call(value: int) -> int:
        if value < 0:
            raise LookupError(value)
        return value

    await call(1)
    with collect_records() as records:
        await call(2)
    await call.execute(3)
    with pytest.raises(LookupError):
        await call(-1)

    found = get_metrics("api_latency")
    assert found is not None
    assert (found.type, found.successful, found.failed) == ("operation", 3, 1)
    assert found.error_counts == {"LookupError": 1}
    assert [record.path for record in records] == ["api_latency"]
    reset_metrics()


async def test_a_tracked_function_that_is_always_called_directly_keeps_a_window() -> None:
    """Its durations do not pile up, and every call counts."""
    enable_observability()
    reset_metrics()

    @track_metrics
    def often() -> None:
        pass

    for _ in range(3000):
        often()

    state = engine.listening
    assert state is not None
    assert state.recorder is not None
    place: Any = state.recorder.stats("often", "often", "operation")
    tally = place.tally()
    assert (tally.successful, len(tally.window)) == (3000, 1024)
    reset_metrics()


# --- parents, wherever work is handed over ------------------------------------------------------

inner = Sequential([step(abs, name="leaf")], name="inner")


async def hand_to_tasks(value: int) -> int:
    tasks = [asyncio.create_task(fetch(value)) for _ in range(3)]
    await asyncio.gather(*tasks)
    return value


async def hand_to_task_group(value: int) -> int:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(fetch(value))
    return value


async def hand_to_thread(value: int) -> int:
    return await asyncio.to_thread(parse, value)


async def hand_to_executor(value: int) -> int:
    pool = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    result = await loop.run_in_executor(pool, copy_context().run, parse, value)  # pyright: ignore[reportArgumentType]
    pool.shutdown(wait=False)
    return result  # pyright: ignore[reportReturnType]


async def hand_to_bare_thread(value: int) -> int:
    thread = threading.Thread(target=copy_context().run, args=(parse, value))
    thread.start()
    await asyncio.to_thread(thread.join)
    return value


async def hand_to_workflow(value: int) -> int:
    return await inner.execute(value)  # pyright: ignore[reportReturnType]


async def hand_to_workflow_with_the_context(context: WorkflowContext, value: int) -> int:
    return await inner.execute(context, value)  # pyright: ignore[reportReturnType]


async def hand_to_loop_in_thread(value: int) -> int:
    def run() -> int:
        with asyncio.Runner() as runner:
            return runner.run(inner.execute(value))  # pyright: ignore[reportReturnType]

    return await asyncio.to_thread(run)


async def hand_to_generator(value: int) -> int:
    async def source() -> Any:
        for _ in range(3):
            yield await fetch(value)

    iterator = source()
    async for _ in iterator:  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        break
    await iterator.aclose()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    return parse(value)


async def hand_to_callback(value: int) -> int:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: done.set_result(parse(value)))
    return await done


async def hand_to_queue(value: int) -> int:
    jobs: asyncio.Queue[int] = asyncio.Queue()

    async def consume() -> None:
        await fetch(await jobs.get())

    consumer = asyncio.create_task(consume())
    await jobs.put(value)
    await consumer
    return value


HANDED_OVER = {
    "tasks": (hand_to_tasks, {"fetch": 3}),
    "task group": (hand_to_task_group, {"fetch": 3}),
    "to_thread": (hand_to_thread, {"parse": 1}),
    "executor with a copied context": (hand_to_executor, {"parse": 1}),
    "thread with a copied context": (hand_to_bare_thread, {"parse": 1}),
    "workflow": (hand_to_workflow, {"inner": 1}),
    "workflow with the context": (hand_to_workflow_with_the_context, {"inner": 1}),
    "loop in a thread": (hand_to_loop_in_thread, {"inner": 1}),
    "generator closed early": (hand_to_generator, {"fetch": 1, "parse": 1}),
    "callback": (hand_to_callback, {"parse": 1}),
    "queue within the step": (hand_to_queue, {"fetch": 1}),
    "in_thread": (in_thread(parse), {"parse": 1}),
}


@pytest.mark.parametrize("case", HANDED_OVER.values(), ids=HANDED_OVER.keys())
async def test_what_a_step_hands_over_stands_below_the_step(
    case: tuple[Any, dict[str, int]],
) -> None:
    """In every way of handing over: the step is the parent, and the trace is one."""
    work, expected = case
    work = step(work, name="work")
    with collect_records() as records:
        await Sequential([abs, work, abs]).execute(1)

    found = by_path(records)
    owner = found["sequential/work"]
    below = [r for r in records if r.path.rpartition("/")[0] == "sequential/work"]
    counts = {name: sum(r.name == name for r in below) for name in {r.name for r in below}}
    assert counts == expected
    assert all(r.parent_span_id == owner.span_id for r in below)
    if "inner" in expected:
        leaf = found["sequential/work/inner/leaf"]
        assert leaf.parent_span_id == found["sequential/work/inner"].span_id
    assert owner.parent_span_id == found["sequential"].span_id
    assert len({record.trace_id for record in records}) == 1
    assert len({record.span_id for record in records}) == len(records)


@pytest.mark.slow
async def test_a_thousand_concurrent_runs_do_not_mix() -> None:
    """Each run is one trace of its own, each record below its own parent."""

    async def work(value: int) -> int:
        await asyncio.sleep(0)
        await asyncio.create_task(fetch(value))
        return await inner.execute(value)  # pyright: ignore[reportReturnType]

    workflow = Sequential([abs, Parallel({"left": work, "right": fetch})])
    with collect_records() as records:
        await asyncio.gather(*(workflow.execute(i) for i in range(1000)))

    traces: dict[int, list[Record]] = {}
    for record in records:
        traces.setdefault(record.trace_id, []).append(record)
    assert len(traces) == 1000
    shapes = {tuple(sorted(r.path for r in run)) for run in traces.values()}
    assert len(shapes) == 1
    assert len({record.span_id for record in records}) == len(records)
    for run in traces.values():
        at = {record.span_id: record for record in run}
        roots = [record for record in run if record.parent_span_id == 0]
        assert [root.path for root in roots] == ["sequential"]
        for record in run:
            if record.parent_span_id:
                above = at[record.parent_span_id]
                assert record.path.rpartition("/")[0] == above.path
                assert above.start <= record.start <= record.end <= above.end


# --- lists and trees ----------------------------------------------------------------------------


async def test_lists_may_be_open_at_once() -> None:
    """Each has what ended while it was open; after the last, nobody listens."""
    with collect_records() as outer:
        await fetch(1)
        with collect_records() as within:
            await fetch(2)
        await fetch(3)
    await fetch(4)

    assert (len(outer), len(within)) == (3, 1)
    assert engine.listening is None


async def test_a_tree_is_drawn_for_the_terminal() -> None:
    """State, path, duration, attributes without secrets; children below their parents."""

    async def choose(value: int) -> int:
        frames.annotate(route="fast", api_key="PLANT3D", odd="\x1b[31m")
        return value

    async def fail(value: int) -> int:
        raise LookupError(value)

    with collect_records() as records, pytest.raises(LookupError):
        await Sequential([Sequential([choose, abs], name="first"), fail]).execute(1)

    lines = render_tree(records).splitlines()
    heads = [re.split(r"(?<=\w)  ", line)[0] for line in lines]
    assert heads == [
        "✗ sequential",
        "├─ ✓ first",
        "│  ├─ ✓ choose",
        "│  └─ ✓ abs",
        "└─ ✗ fail",
    ]
    assert "route=fast" in lines[2]
    assert "PLANT3D" not in lines[2]
    assert "\x1b" not in lines[2]
    assert lines[0].endswith("LookupError")
    assert lines[1].split("  ")[1].endswith((" µs", " ms", " s"))


async def test_a_tree_can_be_drawn_in_ascii() -> None:
    """For terminals and logs without line drawing; words stand for the marks."""

    async def hold_back(value: int) -> int:
        frames.annotate(note="café")
        raise Filtered("x")

    with collect_records() as records, pytest.raises(Filtered):
        await Sequential([abs, hold_back]).execute(1)

    drawn = render_tree(records, ascii_only=True).replace("µ", "u")
    assert drawn.isascii()
    assert drawn.splitlines()[1].startswith("|- ok abs")
    assert drawn.splitlines()[2].startswith("`- filtered hold_back")


async def test_a_tree_keeps_the_order_of_time_and_roots_without_parents() -> None:
    """Records in any order; one whose parent is missing is a root."""
    with collect_records() as records:
        await Sequential([fetch, parse, fetch]).execute(1)

    tree = SpanTree(reversed(records))
    assert [node.record.path for _, node in tree.walk()] == [
        "sequential",
        "sequential/fetch[0]",
        "sequential/parse",
        "sequential/fetch[1]",
    ]
    assert len(SpanTree(records[:-1]).roots) == 3
    assert (len(tree), str(SpanTree([]))) == (4, "")


async def test_a_deep_tree_needs_no_recursion() -> None:
    """A thousand levels are drawn like two."""

    @trace_operation(span_name="d")
    async def inside(depth: int) -> None:
        await asyncio.create_task(inside(depth - 1)) if depth else None

    with collect_records() as records:
        await inside(1000)

    assert len(render_tree(records).splitlines()) == 1001


async def test_the_last_runs_are_kept_and_no_more() -> None:
    """Concurrent runs come out apart, the oldest goes first."""
    observer = TreeObserver(max_runs=2)
    engine.add_observer(observer)
    try:
        await asyncio.gather(*(Sequential([fetch], name=f"w{i}").execute(i) for i in range(5)))
    finally:
        engine.remove_observer(observer)

    assert [tree.roots[0].record.path for tree in observer.runs] == ["w3", "w4"]
    assert [len(tree) for tree in observer.runs] == [2, 2]
    assert observer.render().count("\n\n") == 1
    assert observer._held == 0  # pyright: ignore[reportPrivateUsage]
    observer.clear()
    assert observer.runs == ()


async def test_records_of_a_run_under_way_are_bounded_and_counted() -> None:
    """What found no room is not silently lost."""
    observer = TreeObserver(max_records=10)
    engine.add_observer(observer)

    async def busy(value: int) -> int:
        for _ in range(100):
            parse(value)
        return value

    try:
        await Sequential([busy]).execute(1)
    finally:
        engine.remove_observer(observer)

    (tree,) = observer.runs
    assert observer.dropped > 0
    assert len(tree) + observer.dropped == 102


@pytest.mark.parametrize("wrong", [{"max_runs": 0}, {"max_records": 0}])
def test_a_bound_is_at_least_one(wrong: dict[str, int]) -> None:
    """Zero would keep nothing without a word."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        TreeObserver(**wrong)


def test_signatures_are_kept() -> None:
    """For `inspect`, a decorated function is the function."""
    assert str(inspect.signature(parse)) == "(value: int, *, factor: int = 1) -> int"
    assert inspect.iscoroutinefunction(fetch)
    assert not inspect.iscoroutinefunction(parse)
