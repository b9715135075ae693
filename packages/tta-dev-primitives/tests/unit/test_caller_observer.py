"""An observer may know of a span around a run that the context does not name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import Parallel, WorkflowContext, step
from tta_dev_primitives.core import engine, frames
from tta_dev_primitives.core.protocols import CallerObserver
from tta_dev_primitives.testing.observing import preserved_observers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.core.protocols import SpanContextLike
    from tta_dev_primitives.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A span of another system."""

    trace_id: int = 0xABC
    span_id: int = 0xDEF
    trace_flags: int = 1


class Knowing:
    """An observer that knows in which span runs begin."""

    def __init__(self) -> None:
        self.around: SpanContextLike | None = Elsewhere()
        self.asked = 0
        self.records: list[Record] = []
        self.broken = False

    def caller(self) -> SpanContextLike | None:
        self.asked += 1
        if self.broken:
            raise RuntimeError("broken")
        return self.around

    def ended(self, record: Record, /) -> None:
        self.records.append(record)


@pytest.fixture
def knowing() -> Iterator[Knowing]:
    """Install one."""
    with preserved_observers():
        observer = Knowing()
        engine.add_observer(observer)
        yield observer


async def plus(value: int) -> int:
    """Add one."""
    return value + 1


def test_it_is_a_caller_observer(knowing: Knowing) -> None:
    """By its shape."""
    assert isinstance(knowing, CallerObserver)


def test_a_run_belongs_to_the_span_that_an_observer_knows_of(knowing: Knowing) -> None:
    """All of its calls do, under a fan-out too, and it is asked once a run."""
    Parallel([step(plus) >> plus, step(plus)], name="both").run(1)

    assert {record.trace_id for record in knowing.records} == {0xABC}
    assert [r.path for r in knowing.records if r.parent_span_id == 0xDEF] == ["both"]
    assert knowing.asked == 1


def test_a_context_that_names_a_caller_wins(knowing: Knowing) -> None:
    """What was said is not guessed."""
    named = Elsewhere(trace_id=1, span_id=2)

    step(plus).run(WorkflowContext(parent_span_context=named), 1)

    (record,) = knowing.records
    assert (record.trace_id, record.parent_span_id) == (1, 2)


def test_a_context_is_not_changed_by_what_an_observer_knows(knowing: Knowing) -> None:
    """It may be used again elsewhere."""
    context = WorkflowContext()
    step(plus).run(context, 1)
    knowing.around = None

    step(plus).run(context, 1)

    first, second = knowing.records
    assert first.trace_id == 0xABC
    assert (second.trace_id, second.parent_span_id) == (context.trace_id, 0)


def test_a_run_within_a_run_may_have_a_span_between(knowing: Knowing) -> None:
    """Of the same trace; a span of another trace is not its parent."""
    inner = step(plus, name="inner")

    async def between(value: int) -> int:
        knowing.around = Elsewhere(span_id=0x5)
        await inner.execute(value)
        knowing.around = Elsewhere(trace_id=0x1, span_id=0x6)
        return await inner.execute(value)

    asyncio.run((step(between) >> plus).execute(1))

    parents = [r.parent_span_id for r in knowing.records if r.name == "inner"]
    (outer,) = (r.span_id for r in knowing.records if r.name == "between")
    assert parents == [0x5, outer]
    assert {record.trace_id for record in knowing.records} == {0xABC}


def test_an_observer_that_fails_changes_nothing(
    knowing: Knowing, caplog: pytest.LogCaptureFixture
) -> None:
    """The run begins a trace of its own, and one line is logged."""
    knowing.broken = True
    frames._complained.discard(Knowing)  # pyright: ignore[reportPrivateUsage] - logged once per type

    assert [step(plus).run(n) for n in range(3)] == [1, 2, 3]

    assert all(record.parent_span_id == 0 for record in knowing.records)
    assert len([r for r in caplog.records if "Knowing" in r.getMessage()]) == 1


def test_an_observer_that_answers_with_no_span_changes_nothing(
    knowing: Knowing, caplog: pytest.LogCaptureFixture
) -> None:
    """As above; neither this run nor the next one fails."""
    rubbish: Any = "00-rubbish"
    knowing.around = rubbish
    frames._complained.discard(Knowing)  # pyright: ignore[reportPrivateUsage] - as above

    assert [(step(plus) >> plus).run(n) for n in range(3)] == [2, 3, 4]

    assert all(record.trace_id > 0 for record in knowing.records)
    assert len([r for r in caplog.records if "Knowing" in r.getMessage()]) == 1


def test_an_observer_whose_span_is_not_valid_knows_of_none(knowing: Knowing) -> None:
    """As OpenTelemetry gives one where no span is open."""
    knowing.around = Elsewhere(trace_id=0, span_id=0)

    assert step(plus).run(1) == 2

    assert [record.parent_span_id for record in knowing.records] == [0]
    assert all(record.trace_id > 0 for record in knowing.records)
