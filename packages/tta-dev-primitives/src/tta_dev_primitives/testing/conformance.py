"""What every implementation of a core protocol must hold, as test classes to inherit from.

An implementation, in this package or in another, runs the class of its protocol:

    class TestMyObserver(ObserverConformance):
        def make_observer(self) -> MyObserver:
            return MyObserver()

pytest runs it as it stands; for `unittest`, inherit from `unittest.TestCase` as well. The checks
use nothing but the protocol, so they hold back no implementation that keeps it.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from tta_dev_primitives.core import clock, engine
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.functions import FunctionPrimitive
from tta_dev_primitives.core.protocols import StartObserver
from tta_dev_primitives.core.record import Call, Record
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.errors import Filtered
from tta_dev_primitives.testing.observing import preserved_observers
from tta_dev_primitives.testing.virtual_time import run_virtual

if TYPE_CHECKING:
    from tta_dev_primitives.core.protocols import Observer
    from tta_dev_primitives.core.record import Status

__all__ = ("ObserverConformance",)

_ERRORS: dict[Status, BaseException | None] = {
    "ok": None,
    "error": ValueError("a step's own error"),
    "cancelled": asyncio.CancelledError(),
    "filtered": Filtered("held back", value=1),
}
_THREADS = 4
_TRIES = 3  # of what is timed: another program may have its turn meanwhile


class _Unprintable:
    def __repr__(self) -> str:
        message = "a repr of the user's that fails"
        raise RuntimeError(message)


class _UnprintableError(Exception):
    def __str__(self) -> str:
        message = "a message of the user's that fails"
        raise RuntimeError(message)


class ObserverConformance(ABC):
    """Checks an implementation of `Observer`, and of `StartObserver` where it has `started`."""

    seconds_per_record: ClassVar[float] = 0.005
    """The most that one record may take on average. Generous: it finds an observer that waits for
    a network or a disk, and leaves the measuring to benchmarks."""

    @abstractmethod
    def make_observer(self) -> Observer:
        """Return a new observer, set up as it is in use."""

    def test_it_keeps_the_protocol(self) -> None:
        """It has the methods, each takes one positional argument, and none is a coroutine."""
        observer = self.make_observer()
        _hold(callable(getattr(observer, "ended", None)), f"{observer!r} has no method `ended`")
        for name in ("ended", "started"):
            method = getattr(observer, name, None)
            if method is None:
                continue
            _hold(not inspect.iscoroutinefunction(method), f"{name} must not be asynchronous")
            try:
                inspect.signature(method).bind(object())
            except TypeError as error:
                message = f"{name} must take one positional argument: {error}"
                raise AssertionError(message) from None

    def test_it_survives_every_status(self) -> None:
        """A call may end well, with an error, cancelled or filtered."""
        observer = self.make_observer()
        for status in _ERRORS:
            _feed(observer, _record(status=status))

    def test_it_returns_nothing(self) -> None:
        """What it returns would be dropped, and a coroutine among it never awaited."""
        observer: Any = self.make_observer()
        returned = observer.ended(_record())
        _hold(returned is None, f"ended returned {returned!r}")

    def test_it_takes_ends_after_starts_and_children_before_parents(self) -> None:
        """Starts come from the outside in, ends from the inside out."""
        observer = self.make_observer()
        parent, child = _family()
        _start(observer, parent)
        _start(observer, child)
        observer.ended(child)
        observer.ended(parent)

    def test_it_takes_branches_whose_calls_overlap(self) -> None:
        """Branches start and end in any order between the start and the end of their parent."""
        observer = self.make_observer()
        parent, *branches = _family(children=3)
        for call in (parent, *branches):
            _start(observer, call)
        for call in (branches[1], branches[2], branches[0], parent):
            observer.ended(call)

    def test_it_takes_an_end_whose_start_it_missed(self) -> None:
        """It may be installed while a workflow runs."""
        observer = self.make_observer()
        parent, child = _family()
        observer.ended(child)
        observer.ended(parent)

    def test_it_takes_a_start_whose_end_never_comes(self) -> None:
        """It may be removed while a workflow runs, and installed again."""
        observer = self.make_observer()
        parent, child = _family()
        _start(observer, parent)
        _start(observer, child)
        _feed(observer, _record())

    def test_it_takes_repeated_attempts(self) -> None:
        """A retry calls the same step again; only the attempt differs."""
        observer = self.make_observer()
        for attempt in (1, 2, 3):
            status: Status = "ok" if attempt == 3 else "error"  # noqa: PLR2004 - the last one
            _feed(observer, _record(status=status, attempt=attempt))

    def test_it_takes_odd_values(self) -> None:
        """Attributes and errors are the user's: any object, also one that cannot be printed."""
        observer = self.make_observer()
        attributes = {"": "", "none": None, "list": [1], "long": "x" * 10_000, "nan": float("nan")}
        _feed(observer, _record(attributes=attributes))
        _feed(observer, _record(attributes={"unprintable": _Unprintable()}))
        _feed(observer, _record(status="error", error=_UnprintableError()))
        _feed(observer, _record(path="sequential/näme[0]/" + "x" * 1_000, end=0.0, start=0.0))

    def test_it_leaves_the_context_alone(self) -> None:
        """The context belongs to the run: no field of it changes."""
        observer = self.make_observer()
        context = WorkflowContext(
            correlation_id="c-1", data={"a": 1}, tags={"t": "1"}, baggage={"b": "1"}
        )
        _feed(observer, _record(context=context))
        after = (context.correlation_id, context.data, context.tags, context.baggage)
        expected = ("c-1", {"a": 1}, {"t": "1"}, {"b": "1"})
        _hold(after == expected, f"the context was {expected} and is {after}")

    def test_it_changes_no_result(self) -> None:
        """A workflow returns the same and raises the same exception with and without it."""
        error = ValueError("wrong")

        def fail(value: int) -> int:
            del value
            raise error

        def double(value: int) -> int:
            return 2 * value

        steps = [FunctionPrimitive[int, int](double), FunctionPrimitive[int, int](double)]
        good = SequentialPrimitive(steps)
        bad = SequentialPrimitive([*steps, FunctionPrimitive[int, int](fail)])

        async def main() -> None:
            result = await good.execute(3)
            _hold(result == 4 * 3, f"the workflow returned {result!r} in place of 12")
            try:
                await bad.execute(3)
            except ValueError as caught:
                _hold(caught is error, f"the step's error was replaced by {caught!r}")
            else:
                _hold(False, "the step's error was swallowed")

        with preserved_observers():
            engine.add_observer(self.make_observer())
            run_virtual(main())

    def test_it_hides_no_cancellation(self) -> None:
        """A cancelled workflow is cancelled, and its task ends."""

        async def forever(value: int) -> int:
            await asyncio.get_running_loop().create_future()
            return value

        async def main() -> bool:
            workflow = SequentialPrimitive([FunctionPrimitive[int, int](forever)])
            task = asyncio.ensure_future(workflow.execute(1))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        with preserved_observers():
            engine.add_observer(self.make_observer())
            _hold(run_virtual(main()), "the cancelled task did not end as cancelled")

    def test_it_takes_calls_from_several_threads_at_once(self) -> None:
        """Workflows may run in any number of threads."""
        observer = self.make_observer()
        failures: list[BaseException] = []
        together = threading.Barrier(_THREADS)

        def work() -> None:
            together.wait()
            try:
                for status in tuple(_ERRORS) * 25:
                    _feed(observer, _record(status=status))
            except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _hold(not failures, f"a thread failed: {failures[:1]!r}")

    def test_it_is_quick(self) -> None:
        """It runs in the workflow's own task, so whatever it waits for, the workflow waits for."""
        observer = self.make_observer()
        records = [_record() for _ in range(200)]
        _feed(observer, records[0])  # what is loaded at the first call does not count
        each = 0.0
        for _ in range(_TRIES):
            began = time.perf_counter()
            for record in records:
                _feed(observer, record)
            each = (time.perf_counter() - began) / len(records)
            if each <= self.seconds_per_record:
                return
        _hold(False, f"a record took {each:.6f} s, more than {self.seconds_per_record:g} s")


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Fail with a message; a bare `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(otherwise)


_ids = itertools.count(1)


def _record(**fields: Any) -> Record:
    """Return a record as the engine makes them, with some fields as given."""
    now = clock.now()
    status: Status = fields.get("status", "ok")
    usual: dict[str, Any] = {
        "name": "step",
        "path": "sequential/step",
        "type": "function",
        "start": now - 0.25,
        "attempt": 1,
        "context": WorkflowContext(),
        "trace_id": 1 << 100,
        "span_id": next(_ids),
        "parent_span_id": 0,
        "end": now,
        "status": status,
        "error": _ERRORS[status],
        "attributes": {},
    }
    return Record(**{**usual, **fields})


def _family(children: int = 1) -> list[Record]:
    """Return a parent and its children, which share context and trace."""
    context = WorkflowContext()
    parent = _record(name="sequential", path="sequential", type="sequential", context=context)
    return [
        parent,
        *(
            _record(
                name=f"step{i}",
                path=f"sequential/step{i}",
                context=context,
                parent_span_id=parent.span_id,
            )
            for i in range(children)
        ),
    ]


def _start(observer: Observer, record: Record) -> None:
    """Tell the start of a call, if the observer wants to know of starts."""
    if isinstance(observer, StartObserver):
        names = ("name", "path", "type", "start", "attempt", "context")
        ids = ("trace_id", "span_id", "parent_span_id")
        observer.started(Call(**{name: getattr(record, name) for name in (*names, *ids)}))


def _feed(observer: Observer, record: Record) -> None:
    """Tell the start and the end of a call."""
    _start(observer, record)
    observer.ended(record)
