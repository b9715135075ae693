"""Rejections: fresh errors that say where, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import traceback
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.notes import path_of
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.errors import CircuitOpenError
from tta_dev_primitives.recovery import CircuitBreakerPrimitive
from tta_dev_primitives.testing import preserved_observers, run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.core.record import Record


class Observer:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def ended(self, record: Record, /) -> None:
        self.records.append(record)


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    with preserved_observers():
        engine.silence()
        observer = Observer()
        if request.param == "observed":
            engine.add_observer(observer)
        yield observer.records


async def echo(value: Any) -> Any:
    return value


async def rejects(breaker: CircuitBreakerPrimitive[Any, Any]) -> None:
    with pytest.raises(CircuitOpenError):
        await breaker.execute("x")


async def test_rejections_are_fresh_errors_and_nothing_accumulates(
    listening: list[Record],
) -> None:
    """The 100th traceback is as deep as the first, and no error is kept (case 27)."""
    breaker = CircuitBreakerPrimitive(echo)
    breaker.breaker.open()
    depths: list[int] = []
    notes: list[int] = []
    chained: list[BaseException | None] = []
    kept: list[weakref.ref[CircuitOpenError]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            try:
                await breaker.execute("x")
            except CircuitOpenError as error:
                depths.append(len(traceback.extract_tb(error.__traceback__)))
                chained.append(error.__context__)
                notes.append(len(getattr(error, "__notes__", ())))
                kept.append(weakref.ref(error))
        assert set(depths) == {depths[0]}
        assert depths[0] <= 6
        assert set(notes) <= {0, 1}
        assert chained == [None] * 100
        listening.clear()  # the observer's records have the errors
        assert not any(one() for one in kept)
    finally:
        gc.enable()
    assert breaker.breaker.statistics().rejected == 100


async def test_a_failed_call_is_freed_at_once(listening: list[Record]) -> None:
    """The breaker keeps no error and no frame of a call, also without the cycle collector."""

    class Held:
        pass

    refs: list[weakref.ref[Held]] = []

    async def leaky(value: int) -> int:
        held = Held()
        refs.append(weakref.ref(held))
        raise ConnectionError(value)

    breaker = CircuitBreakerPrimitive(leaky)
    gc.collect()
    gc.disable()
    try:
        for number in range(2):
            with pytest.raises(ConnectionError):
                await breaker.execute(number)
        listening.clear()
        assert not any(one() for one in refs)
    finally:
        gc.enable()


async def test_a_rejection_leaves_no_coroutine_behind() -> None:
    """A coroutine as input, or a function that makes one: none is left un-awaited (case 53)."""

    async def never(value: Any) -> Any:
        return value

    breaker = CircuitBreakerPrimitive(echo)
    breaker.breaker.open()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        argument = never(1)
        await rejects(breaker)
        with pytest.raises(CircuitOpenError):
            await breaker.execute(argument)
        argument.close()  # it is the caller's own, and it was not touched
        guard = CircuitBreakerPrimitive(never)
        guard.breaker.open()
        with pytest.raises(CircuitOpenError):
            await guard.execute(1)
        gc.collect()


def test_a_rejection_says_where_and_when() -> None:
    """Name, state and seconds are fields; inside a workflow a note has the path."""
    breaker = CircuitBreakerPrimitive(echo, name="mail")
    workflow = SequentialPrimitive([str, breaker], name="letters")

    async def main() -> None:
        breaker.breaker.open()
        await asyncio.sleep(1)
        await workflow.execute(WorkflowContext(), "x")

    with pytest.raises(CircuitOpenError) as caught:
        run_virtual(main())
    error = caught.value
    assert (error.name, error.state) == ("mail", "open")
    assert error.retry_after == 59.0
    assert path_of(error) == "letters/mail"
    assert "circuit breaker 'mail' is open" in str(error)


async def test_a_record_tells_of_a_rejection(listening: list[Record]) -> None:
    """An observer sees the rejected call, its state and no call of the step."""
    breaker = CircuitBreakerPrimitive(echo)
    breaker.breaker.isolate()
    await rejects(breaker)
    assert [record.path for record in listening] in ([], ["circuit_breaker"])
    for record in listening:
        assert record.attributes == {"rejected": True, "circuit": "isolated"}
