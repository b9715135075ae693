"""A chain passes streams through the stages that take them; closing the end closes the source."""

# Lambdas at an operator and in `step` have no types for pyright, by design; here they are tested.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import (
    Aggregate,
    Buffer,
    Filter,
    Map,
    Parallel,
    StreamPrimitive,
    WorkflowContext,
    add_observer,
    step,
)
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.observability import collect_records as recorded
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tta_dev_primitives import Stream


class Letters:
    """A source that tells what was asked of it."""

    def __init__(self, delay: float = 0.0, fail_at: int | None = None) -> None:
        self.delay = delay
        self.fail_at = fail_at
        self.given: list[str] = []
        self.open = 0

    async def letters(self, word: str) -> AsyncIterator[str]:
        """Yield letter by letter."""
        self.open += 1
        try:
            for number, letter in enumerate(word):
                await asyncio.sleep(self.delay)
                if number == self.fail_at:
                    message = "line broke"
                    raise OSError(message)
                self.given.append(letter)
                yield letter
        finally:
            self.open -= 1


@pytest.fixture(params=["bare", "counted", "framed"])
def mode(request: pytest.FixtureRequest) -> str:
    """Run with nobody, the default recorder, or an observer listening."""
    if request.param == "bare":
        engine.install_defaults()
    elif request.param == "framed":
        add_observer(NullObserver())
    return str(request.param)


async def append_each(items: AsyncIterator[str], seen: list[str]) -> None:
    """Keep what comes, also when it ends in an error."""
    async for item in items:
        seen.append(item)  # noqa: PERF401 - a comprehension would be lost with the error


def chain(source: Letters) -> Any:
    """Build a chain with every kind of stage."""
    return (
        step(str.lower)
        >> StreamPrimitive(source.letters)
        >> Filter(lambda letter: letter != "b")
        >> Map(str.upper)
    ).named("flow")


async def test_items_are_handed_out_as_they_come(mode: str) -> None:
    """Not after the last one."""
    source = Letters()
    seen: list[tuple[str, int]] = []
    async with chain(source).stream("ABCD") as stream:
        seen.extend([(letter, len(source.given)) async for letter in stream])
    assert seen == [("A", 1), ("C", 3), ("D", 4)]
    assert source.open == 0


async def test_nothing_runs_before_the_first_item_is_asked_for(mode: str) -> None:
    """A stream that was never read leaves nothing behind."""
    source = Letters()
    stream = chain(source).stream("abc")
    await stream.aclose()
    assert source.given == []
    assert [item async for item in stream] == []


async def test_leaving_early_closes_the_source_at_once(mode: str) -> None:
    """In every stage of the chain."""
    source = Letters()
    async with chain(source).stream("abc") as stream:
        assert await anext(stream) == "A"
        assert source.open == 1
    assert source.open == 0


def test_cancelling_the_consumer_closes_the_source(mode: str) -> None:
    """While it waits for an item."""
    source = Letters(delay=10)

    async def main() -> None:
        async def consume() -> list[str]:
            return [item async for item in chain(source).stream("abc")]

        task = asyncio.create_task(consume())
        await asyncio.sleep(15)
        assert source.open == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.open == 0

    run_virtual(main())


async def test_an_error_in_the_middle_arrives_as_itself_with_its_path(mode: str) -> None:
    """After the items that were there before it."""
    source = Letters(fail_at=2)
    seen: list[str] = []
    with pytest.raises(OSError, match="line broke") as raised:
        await append_each(chain(source).stream("acb"), seen)
    assert seen == ["A", "C"]
    assert notes.path_of(raised.value) == "flow/letters"
    assert source.open == 0


async def test_an_error_of_a_later_stage_closes_the_source(mode: str) -> None:
    """And names the step that raised it."""
    source = Letters()

    def fail(letter: str) -> str:
        raise KeyError(letter)

    with pytest.raises(KeyError) as raised:
        await (StreamPrimitive(source.letters) >> Map(fail) >> Aggregate(list)).execute("ab")
    assert source.open == 0
    assert notes.path_of(raised.value) is not None
    assert "map/fail" in str(notes.path_of(raised.value))


@given(st.text(max_size=20), st.integers(1, 7))
def test_buffering_keeps_every_item_in_order(word: str, size: int) -> None:
    """In lists of the given size, the last one shorter."""
    flow = StreamPrimitive(Letters().letters) >> Buffer(size) >> Aggregate(list)
    lists = flow.run(word)
    assert [letter for piece in lists for letter in piece] == list(word)
    assert all(len(piece) == size for piece in lists[:-1])
    assert all(1 <= len(piece) <= size for piece in lists)


def test_aggregating_with_a_start_value_folds() -> None:
    """Without it, the function gets the list."""

    def join(letters: list[str]) -> str:
        return "".join(letters)

    source = StreamPrimitive(Letters().letters)
    assert (source >> Aggregate(lambda total, letter: total + 1, initial=0)).run("abc") == 3
    assert (source >> Aggregate(join)).run("abc") == "abc"


def test_a_generator_function_is_a_step() -> None:
    """Wherever a step is accepted."""
    flow = step(str.upper) >> Letters().letters >> Aggregate(list)
    assert flow.run("ab") == ["A", "B"]


async def test_a_workflow_that_does_not_stream_gives_one_item() -> None:
    """Its result."""
    context = WorkflowContext(data={"k": 1})
    flow = step(lambda ctx, value: (ctx.data.get("k"), value)) >> tuple
    assert [item async for item in flow.stream(context, 2)] == [(1, 2)]
    assert [item async for item in Parallel([str, float]).stream(1)] == [["1", 1.0]]


async def test_a_stream_lives_in_the_record_of_its_stage() -> None:
    """Which ends when the stream does; every call has its right parent."""
    with recorded() as records:
        async with chain(Letters()).stream("abc") as stream:
            assert [item async for item in stream] == ["A", "C"]
    by_id = {record.span_id: record for record in records}
    parents = {
        record.path: by_id[record.parent_span_id].path
        for record in records
        if record.parent_span_id
    }
    assert parents == {
        "flow/lower": "flow",
        "flow/letters": "flow",
        "flow/filter": "flow",
        "flow/map": "flow",
        "flow/map/upper": "flow/map",
    }
    ends = {record.path: record.end for record in records}
    assert ends["flow"] >= ends["flow/letters"] >= ends["flow/lower"]


async def test_the_source_sees_its_own_call_and_the_consumer_does_not() -> None:
    """No context variable leaks across a yield."""
    from tta_dev_primitives import annotate

    async def source(value: int) -> AsyncIterator[int]:
        for number in range(value):
            annotate(last=number)
            yield number

    with recorded() as records:
        async for _ in (step(lambda n: n) >> StreamPrimitive(source)).stream(2):
            assert engine.current.get() is None
    attributes = {record.name: dict(record.attributes) for record in records}
    assert attributes["source"] == {"last": 1}


async def test_the_first_item_can_be_awaited_ahead() -> None:
    """It is not lost, and an error in it comes then."""
    stream = await StreamPrimitive(Letters().letters).stream("ab").prime()
    assert await stream.collect() == ["a", "b"]
    assert await (await StreamPrimitive(Letters().letters).stream("").prime()).collect() == []
    with pytest.raises(OSError, match="line broke"):
        await StreamPrimitive(Letters(fail_at=0).letters).stream("ab").prime()


@pytest.mark.parametrize("stage", [Map(str), Buffer(2), Aggregate(list)], ids=lambda s: s.name)
def test_a_stage_that_takes_a_stream_says_so_when_given_another_value(stage: Any) -> None:
    """With the value and what to do."""
    with pytest.raises(TypeError, match="takes a stream, but was given 5"):
        stage.run(5)


def test_what_does_not_stream_is_refused() -> None:
    """When built, or when it turns out."""
    wrong: Any = 5
    not_streaming: Any = str
    untyped: Any = step(len)
    with pytest.raises(CompositionError, match="async generator function"):
        StreamPrimitive(wrong)
    with pytest.raises(TypeError, match="was to stream, but returned 'x'"):
        StreamPrimitive(not_streaming).run("x")
    with pytest.raises(ConfigurationError, match="at least 1"):
        Buffer(0)
    with pytest.raises(CompositionError, match="Aggregate takes a function"):
        Aggregate(wrong)
    with pytest.raises(TypeError, match="wrong order"):
        untyped.stream(1, WorkflowContext())
    with pytest.raises(TypeError, match="but no input"):
        untyped.stream(WorkflowContext())


async def test_a_closed_stream_ends() -> None:
    """As often as it is asked."""
    stream: Stream[str] = StreamPrimitive(Letters().letters).stream("ab")
    assert await anext(stream) == "a"
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_a_generator_function_in_a_chain_is_aggregated_by_a_method_of_text() -> None:
    """Checkers take the first overload of `join`, so the function is untyped here."""
    join: Any = "-".join
    assert (step(str.upper) >> Letters().letters >> Aggregate(join)).run("ab") == "A-B"
