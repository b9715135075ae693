"""Sagas: steps that are undone when a later one fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import (
    CompensationCancelledError,
    CompensationError,
    ConfigurationError,
    Filtered,
    NestedAwaitableError,
    TimeoutExceededError,
    TTAError,
)
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import Retry, Saga, TimeoutPrimitive, saga_key
from tta_dev_primitives.recovery.deadlines.deadline import remaining
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tta_dev_primitives.core.record import Record


@pytest.fixture(params=["bare", "counted", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test in each of the three ways to run: nothing may differ."""
    if request.param != "counted":
        engine.silence()
    if request.param == "observed":
        with collect_records() as records:
            yield records
    else:
        yield []


class Ledger:
    """Steps that add to a number, and compensations that write down what they were given."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def adds(self, number: int) -> Callable[[int], Any]:
        async def add(given: int) -> int:
            self.log.append(f"do {number}")
            return given + number

        add.__name__ = f"add{number}"
        return add

    def takes(self, number: int) -> Callable[[int], Any]:
        async def take(result: int) -> None:
            self.log.append((f"undo {number}", result))

        take.__name__ = f"take{number}"
        return take

    def saga(self, count: int = 3, **options: Any) -> Any:
        saga: Any = Saga(**options)
        for number in range(1, count + 1):
            saga.add_step(self.adds(number), rollback=self.takes(number))
        return saga


def fails(error: BaseException) -> Callable[[object], Any]:
    async def failing(value: object) -> object:
        raise error

    return failing


async def test_the_output_of_a_step_is_the_input_of_the_next() -> None:
    """And that of the last is the result; nothing is undone."""
    ledger = Ledger()
    assert await ledger.saga().execute(0) == 6
    assert ledger.log == ["do 1", "do 2", "do 3"]


async def test_steps_are_undone_in_reverse_each_once_with_its_result() -> None:
    """The failing step's own compensation does not run (case 58)."""
    ledger = Ledger()
    error = ConnectionError("step 4")
    saga = ledger.saga().add_step(fails(error), rollback=ledger.takes(4))
    with pytest.raises(ConnectionError) as caught:
        await saga.execute(0)
    assert caught.value is error
    assert ledger.log[3:] == [("undo 3", 6), ("undo 2", 3), ("undo 1", 1)]
    where, undone = error.__notes__
    assert "compensation/failing" in where
    assert undone == "saga 'compensation': undone: add3, add2, add1"


async def test_a_failed_step_is_undone_where_that_is_asked_for() -> None:
    """Its result is None, for it is not known (case 58)."""
    ledger = Ledger()
    saga = ledger.saga(1).add_step(
        fails(ConnectionError()), rollback=ledger.takes(2), undo_failed=True
    )
    with pytest.raises(ConnectionError):
        await saga.execute(0)
    assert ledger.log == ["do 1", ("undo 2", None), ("undo 1", 1)]


async def test_a_compensation_that_fails_does_not_keep_the_others_from_running() -> None:
    """The caller sees the cause and the failed compensations, in order (case 59)."""
    ledger = Ledger()
    cause, second, third = ConnectionError("step 4"), OSError("undo 2"), KeyError("undo 3")
    saga = (
        ledger.saga(1)
        .add_step(ledger.adds(2), rollback=fails(second))
        .add_step(ledger.adds(3), rollback=fails(third))
        .add_step(fails(cause))
    )
    with pytest.raises(CompensationError) as caught:
        await saga.execute(0)
    assert caught.value.exceptions == (cause, third, second)
    assert ledger.log[-1] == ("undo 1", 1)
    assert caught.value.undone == ("add1",)
    assert caught.value.not_undone == ("add2", "add3")
    assert isinstance(caught.value, TTAError)
    assert "compensation/failing[1]" in second.__notes__[0] or "failing[" in second.__notes__[0]
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert again.not_undone == ("add2", "add3")
    connection, rest = caught.value.split(ConnectionError)
    assert isinstance(connection, CompensationError)
    assert rest is not None
    assert len(rest.exceptions) == 2


def test_a_cancel_undoes_what_was_done_and_then_leaves() -> None:
    """Compensations run in spite of it, and a second cancel does not stop them (case 60)."""

    async def main() -> None:
        log: list[str] = []

        async def act(name: str) -> str:
            return name

        async def undo(name: str) -> None:
            await asyncio.sleep(1)
            log.append(name)

        async def forever(name: str) -> str:
            await asyncio.Event().wait()
            return name

        saga: Any = Saga().add_step(act, undo).add_step(act, undo).add_step(forever, undo)
        with no_leaked_tasks():
            task = asyncio.ensure_future(saga.execute("x"))
            for _ in range(4):
                await asyncio.sleep(0.4)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert log == ["x", "x"]
        assert asyncio.get_running_loop().time() == pytest.approx(2.4)

    run_virtual(main())


def test_a_cancel_during_compensation_leaves_with_the_failure_as_its_cause() -> None:
    """Neither the cancellation nor the reason why the saga failed is lost (case 60)."""

    async def main() -> None:
        async def act(_: object) -> int:
            return 1

        async def undo(_: int) -> None:
            await asyncio.sleep(1)

        failure = ConnectionError()
        saga = Saga().add_step(act, undo).add_step(fails(failure))

        async def caller() -> None:
            try:
                await saga.execute(0)
            except asyncio.CancelledError as error:
                assert error.__cause__ is failure  # noqa: PT017 - nothing else can be looked at
                raise

        task = asyncio.ensure_future(caller())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())


def test_a_timeout_around_a_saga_is_still_a_timeout() -> None:
    """It fires when the compensations are over; a deadline of the run does not cut them short."""

    async def main() -> None:
        undone: list[int] = []

        async def act(_: object) -> int:
            return 1

        async def undo(context: WorkflowContext, result: int) -> None:
            assert context.deadline is None
            assert context.data == {"tenant": 7}
            inner = TimeoutPrimitive(asyncio.sleep, seconds=9.0)
            await inner.execute(context, 2)
            undone.append(result)

        async def slow(_: int) -> None:
            await asyncio.sleep(100)

        saga = Saga().add_step(act, undo).add_step(slow)
        context = WorkflowContext(deadline=0.5, data={"tenant": 7})
        with pytest.raises(TimeoutExceededError):
            await TimeoutPrimitive(saga, seconds=1.0).execute(context, 0)
        assert undone == [1]

    run_virtual(main())


def test_a_step_that_timed_out_is_undone_and_its_key_makes_a_double_undo_harmless() -> None:
    """Its compensation finds by the key what the step did (case 61)."""

    async def main() -> None:
        charges: dict[str, str] = {}
        refunds: list[str] = []

        async def charge(order: str) -> str:
            charges[saga_key()] = order  # the service has it, but its answer is lost
            await asyncio.sleep(60)
            return order

        async def refund(result: str | None) -> None:
            assert result is None
            found = charges.pop(saga_key(), None)
            if found is not None:
                refunds.append(found)
            if len(refunds) + len(charges) < 2 and found is not None:
                raise ConnectionError  # the refund worked, but its answer is lost as well

        undo = Retry(refund, max_attempts=3, backoff_factor=1.0, initial_delay=0.1)
        saga = Saga().add_step(
            TimeoutPrimitive(charge, seconds=5.0), rollback=undo, undo_failed=True
        )
        with pytest.raises(TimeoutExceededError):
            await saga.execute("order 7")
        assert refunds == ["order 7"]
        assert charges == {}

    run_virtual(main())


def test_of_a_stage_exactly_the_finished_steps_are_undone() -> None:
    """One fails in the tick in which another finishes; the third is cancelled first (case 62)."""

    async def main() -> None:
        log: list[str] = []

        def branch(name: str, seconds: float, error: Exception | None = None) -> Any:
            async def do(_: object) -> str:
                try:
                    await asyncio.sleep(seconds)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.5)
                    log.append(f"{name} cancelled")
                    raise
                if error is not None:
                    raise error
                return name

            async def undo(result: str) -> None:
                log.append(f"undo {result}")

            return do, undo

        failure = ConnectionError("b")
        for order in ("abc", "bac", "cba"):
            log.clear()
            made = {
                "a": branch("a", 1.0),
                "b": branch("b", 1.0, failure),
                "c": branch("c", 2.0),
            }
            saga = Saga().add_step(*branch("first", 0.0)).add_stage([made[n] for n in order])
            with no_leaked_tasks(), pytest.raises(ConnectionError):
                await saga.execute(0)
            finished = [line for line in log if line == "undo a"]
            first = [line for line in log if line == "a cancelled"]
            cancelled = sorted([*first, "c cancelled"])
            assert sorted(log[: len(cancelled)]) == cancelled
            assert log[len(cancelled) :] == [*finished, "undo first"]
            assert ("a cancelled" in log) != ("undo a" in log)

    run_virtual(main())


async def test_a_stage_gives_its_results_to_the_next_step() -> None:
    """As a list in the order of its steps, or as a dict."""

    def double(number: int) -> int:
        return number * 2

    async def add(pair: list[int]) -> int:
        return sum(pair)

    assert await Saga().add_stage([double, (double, None)]).add_step(add).execute(2) == 8
    named = Saga().add_step(double).add_stage({"a": double, "b": (double, print)})
    assert await named.execute(1) == {"a": 4, "b": 4}


async def test_a_compensation_gets_what_its_parameters_ask_for() -> None:
    """Nothing, the result, the context as well, or the step's input besides."""
    seen: list[Any] = []
    context = WorkflowContext()

    class Undo:
        async def __call__(self, context: WorkflowContext, given: int, result: int) -> None:
            seen.append((context.correlation_id, given, result))

    def with_context(context: Any, result: Any) -> None:
        seen.append((context, result))

    def with_all(_: Any, given: Any, result: Any) -> None:
        seen.append((given, result))

    ledger = Ledger()
    saga: Any = ledger.saga(0)
    saga.add_step(ledger.adds(1), rollback=lambda: seen.append("nothing"))
    saga.add_step(ledger.adds(2), rollback=seen.append)
    saga.add_step(ledger.adds(3), rollback=with_context)
    saga.add_step(ledger.adds(4), rollback=with_all)
    saga.add_step(ledger.adds(5), rollback=Undo())
    saga.add_step(fails(LookupError()))
    with pytest.raises(LookupError):
        await saga.execute(context, 0)
    assert seen == [(context.correlation_id, 10, 15), (6, 10), (context, 6), 3, "nothing"]


def test_a_compensation_that_hangs_ends_at_its_deadline() -> None:
    """The others run; what did not end, or had no time to begin, is reported."""

    async def main() -> None:
        ledger = Ledger()

        async def hangs(_: int) -> None:
            await asyncio.Event().wait()

        options = {"compensation_timeout": 2.0, "total_timeout": 3.0}
        saga: Any = ledger.saga(1, **options)
        for number in (2, 3, 4):
            saga.add_step(ledger.adds(number), rollback=hangs)
        saga.add_step(fails(ConnectionError()))
        with no_leaked_tasks(), pytest.raises(CompensationError) as caught:
            await saga.execute(0)
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)
        told = [str(error) for error in caught.value.exceptions[1:]]
        assert [text.partition(" did")[0].partition(" was")[0] for text in told] == [
            f"compensation {name!r}" for name in ("hangs[0]", "hangs[1]", "hangs[2]", "take1")
        ]
        assert "within 2 s" in told[0]
        assert "was not started" in told[3]
        assert all(isinstance(e, TimeoutExceededError) for e in caught.value.exceptions[1:])

    run_virtual(main())


def test_a_compensation_has_its_own_deadline_and_its_own_retries() -> None:
    """Timeouts and Retries around the saga have no say in it."""

    async def main() -> None:
        left: list[float | None] = []

        async def undo(_: object) -> None:
            left.append(remaining())
            if len(left) < 3:
                raise ConnectionError

        async def slow(_: object) -> None:
            await asyncio.sleep(100)

        saga = Saga(compensation_timeout=30.0).add_step(
            abs, rollback=Retry(undo, max_attempts=3, initial_delay=1.0, jitter="none")
        )
        outer = Retry(TimeoutPrimitive(saga.add_step(slow), seconds=1.0), max_attempts=1)
        with pytest.raises(TimeoutExceededError):
            await outer.execute(-1)
        assert left[0] == pytest.approx(30.0)
        assert len(left) == 3

    run_virtual(main())


async def test_a_timeout_error_of_the_compensations_own_is_told_as_it_is() -> None:
    """Only our deadline makes a `TimeoutExceededError`."""
    own = TimeoutError("no answer")
    saga = Saga().add_step(Ledger().adds(1), rollback=fails(own)).add_step(fails(LookupError()))
    with pytest.raises(CompensationError) as caught:
        await saga.execute(0)
    assert caught.value.exceptions[1] is own


async def test_a_compensation_that_is_cancelled_from_inside_counts_as_failed() -> None:
    """The caller is not cancelled by it."""
    ledger = Ledger()
    saga = (
        ledger.saga(1)
        .add_step(ledger.adds(2), rollback=fails(asyncio.CancelledError()))
        .add_step(fails(LookupError()))
    )
    with pytest.raises(CompensationError) as caught:
        await saga.execute(0)
    assert isinstance(caught.value.exceptions[1], CompensationCancelledError)
    assert ledger.log[-1] == ("undo 1", 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt("stop"), SystemExit(3)])
def test_an_interrupt_undoes_and_passes(error: BaseException) -> None:
    """It leaves as itself, in a step and in a compensation, where the others still run."""
    ledger = Ledger()
    with pytest.raises(type(error)) as caught:
        ledger.saga(2).add_step(fails(error)).run(0)
    assert caught.value is error
    assert ledger.log[2:] == [("undo 2", 3), ("undo 1", 1)]
    ledger = Ledger()
    saga = ledger.saga(1).add_step(ledger.adds(2), rollback=fails(error))
    with pytest.raises(type(error)):
        saga.add_step(fails(LookupError())).run(0)
    assert ledger.log[-1] == ("undo 1", 1)


async def test_a_cancel_with_a_failed_compensation_stays_a_cancel() -> None:
    """The failures are its cause, and its note names them."""
    ledger = Ledger()
    saga = ledger.saga(1).add_step(ledger.adds(2), rollback=fails(OSError()))
    cancel = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError) as caught:
        await saga.add_step(fails(cancel)).execute(0)
    assert caught.value is cancel
    assert isinstance(cancel.__cause__, CompensationError)
    assert cancel.__notes__[-1] == "saga 'compensation': undone: add1; not undone: add2"


async def test_whatever_leaves_by_an_exception_is_undone() -> None:
    """Also where that is no failure, as when a filter ends the chain."""
    ledger = Ledger()
    with pytest.raises(Filtered):
        await ledger.saga(1).add_step(fails(Filtered("held back"))).execute(0)
    assert ledger.log[-1] == ("undo 1", 1)


async def test_a_step_that_forgot_an_await_is_not_done() -> None:
    """It is named, and what came before is undone."""
    ledger = Ledger()

    async def forgets(given: int) -> Any:
        return ledger.adds(9)(given)

    with pytest.raises(NestedAwaitableError, match="forgets"):
        await ledger.saga(1).add_step(forgets).add_step(ledger.adds(3)).execute(0)
    assert ledger.log == ["do 1", ("undo 1", 1)]


async def test_a_step_that_streams_is_refused() -> None:
    """Its stream would be read when the saga is over."""
    ledger = Ledger()
    streams: list[Any] = []

    async def letters() -> Any:
        async def each(text: str) -> AsyncIterator[str]:
            yield text

        from tta_dev_primitives import StreamPrimitive

        streams.append(await StreamPrimitive(each).execute("abc"))
        return streams[0]

    with pytest.raises(ConfigurationError, match="letters"):
        await ledger.saga(1).add_step(letters).execute(0)
    assert ledger.log[-1] == ("undo 1", 1)
    await streams[0].aclose()  # else its records come when it is collected, to another test


async def test_keys_are_those_of_the_step_and_differ_between_runs() -> None:
    """Also side by side, in a saga within a saga, and in their compensations."""
    keys: list[str] = []

    async def note(value: object) -> object:
        keys.append(saga_key())
        return value

    inner = Saga(name="inner").add_step(note, note).add_step(note)
    outer = Saga(name="outer").add_step(note, note).add_step(inner, note).add_step(note)
    await outer.execute(1)
    first, *below, last = keys
    assert [k.partition("/")[2] for k in below] == ["note[0]", "note[1]"]
    assert first.partition("/")[0] == last.partition("/")[0]
    keys.clear()
    stage = Saga().add_stage([(note, note), (note, note)]).add_step(fails(LookupError()))
    for _ in range(2):
        with pytest.raises(LookupError):
            await stage.execute(1)
    runs = {key.partition("/")[0] for key in keys}
    assert len(runs) == 2
    assert sorted(keys[:2]) == sorted(keys[2:4])
    assert len(set(keys)) == 4


def test_a_key_outside_a_saga_is_an_error() -> None:
    """There is no run that it could be of."""
    with pytest.raises(ConfigurationError, match="no step of a saga"):
        saga_key()


async def test_a_saga_within_a_saga_is_undone_as_one_step() -> None:
    """When it is done, by its compensation; when it fails, by itself."""
    ledger = Ledger()
    inner = ledger.saga(2, name="inner")
    outer = Saga().add_step(inner, rollback=ledger.takes(9)).add_step(fails(LookupError()))
    with pytest.raises(LookupError):
        await outer.execute(0)
    assert ledger.log[2:] == [("undo 9", 3)]


async def test_a_retried_saga_notes_what_was_undone_once() -> None:
    """Though the same exception leaves it again and again."""
    error = ConnectionError("again")
    saga = Ledger().saga(1).add_step(fails(error))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await saga.execute(0)
    assert sum("undone" in note for note in error.__notes__) == 1


def test_a_run_that_is_thrown_away_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing can be awaited any more, so the log is the only place to say it."""
    ledger = Ledger()

    class Pause:
        def __await__(self) -> Any:
            yield

    async def waits(_: int) -> None:
        await Pause()

    with caplog.at_level(logging.ERROR):
        call: Any = ledger.saga(1).add_step(waits).execute(0)
        call.send(None)
        call.close()
    assert "not undone: add1" in caplog.text


async def test_the_records_tell_what_was_undone(listening: list[Record]) -> None:
    """Steps and compensations have records at their paths; the saga's own has the outcome."""
    ledger = Ledger()
    saga = ledger.saga(1).add_step(ledger.adds(2), rollback=fails(OSError()))
    with pytest.raises(CompensationError):
        await saga.add_step(fails(LookupError())).execute(0)
    if listening:
        assert [(r.path, r.status) for r in listening] == [
            ("compensation/add1", "ok"),
            ("compensation/add2", "ok"),
            ("compensation/failing[0]", "error"),
            ("compensation/failing[1]", "error"),
            ("compensation/take1", "ok"),
            ("compensation", "error"),
        ]
        assert listening[-1].attributes == {
            "compensated": ("add1",),
            "compensation_failed": ("add2",),
        }
        assert {r.parent_span_id for r in listening[:-1]} == {listening[-1].span_id}


async def test_a_failed_run_leaves_no_reference_cycle(listening: list[Record]) -> None:
    """The exception goes when its catcher lets go of it."""
    ledger = Ledger()
    saga = ledger.saga(2).add_step(ledger.adds(3), rollback=fails(OSError("undo")))
    saga.add_stage([fails(ValueError("step")), ledger.adds(4)])
    gc.collect()
    gc.disable()
    try:
        caught: list[weakref.ref[BaseException]] = []
        try:
            await saga.execute(0)
        except CompensationError as error:
            caught.append(weakref.ref(error))
        listening.clear()  # records hold errors
        assert [reference() for reference in caught] == [None]
    finally:
        gc.enable()
