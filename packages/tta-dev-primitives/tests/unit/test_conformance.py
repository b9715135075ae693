"""The core's own observers conform, and an observer that does not is found out."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tta_dev_primitives.core.protocols import NullObserver, Observer
from tta_dev_primitives.core.record import Call, Record
from tta_dev_primitives.observability.logging import LogObserver
from tta_dev_primitives.observability.tracing import TreeObserver
from tta_dev_primitives.testing import ObserverConformance


class TestNullObserver(ObserverConformance):
    def make_observer(self) -> NullObserver:
        return NullObserver()


class TestLogObserver(ObserverConformance):
    @pytest.fixture(autouse=True, params=["DEBUG", "WARNING"])
    def level(self, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(request.param, logger="tta_dev_primitives")

    def make_observer(self) -> LogObserver:
        return LogObserver()


class TestTreeObserver(ObserverConformance):
    def make_observer(self) -> TreeObserver:
        return TreeObserver(max_runs=3, max_records=20)


class SpanTable:
    """Keeps what is open by span id: the smallest observer that minds starts and ends."""

    def __init__(self) -> None:
        self.open: dict[int, Call] = {}
        self.paths: list[str] = []

    def started(self, call: Call, /) -> None:
        self.open[call.span_id] = call

    def ended(self, record: Record, /) -> None:
        self.open.pop(record.span_id, None)
        self.paths.append(record.path)


class TestSpanTable(ObserverConformance):
    def make_observer(self) -> SpanTable:
        return SpanTable()


def checks() -> list[str]:
    return [name for name in dir(ObserverConformance) if name.startswith("test_")]


def failing(make: Callable[[], Any]) -> set[str]:
    """Return the names of the checks that an observer does not pass."""

    class Suite(ObserverConformance):
        seconds_per_record = 0.001

        def make_observer(self) -> Observer:
            made: Observer = make()
            return made

    found: set[str] = set()
    for name in checks():
        try:
            getattr(Suite(), name)()
        except Exception:  # noqa: BLE001 - whatever it raises, the check has failed
            found.add(name.removeprefix("test_it_"))
    return found


class _Ended:
    def ended(self, record: Record, /) -> None:
        pass


class NoMethod:
    pass


class WrongArguments:
    def ended(self, record: Record, extra: int, /) -> None:
        pass


class Asynchronous:
    async def ended(self, record: Record, /) -> None:
        pass


class Returning:
    def ended(self, record: Record, /) -> bool:
        return True


class NoCancelled:
    def ended(self, record: Record, /) -> None:
        assert not isinstance(record.error, asyncio.CancelledError)


class Strict(_Ended):
    """Insists on a start before each end."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def started(self, call: Call, /) -> None:
        self.open.add(call.span_id)

    def ended(self, record: Record, /) -> None:
        self.open.remove(record.span_id)


class Stack(Strict):
    """Takes for granted that the call that started last ends first."""

    def __init__(self) -> None:
        self.stack: list[int] = []

    def started(self, call: Call, /) -> None:
        self.stack.append(call.span_id)

    def ended(self, record: Record, /) -> None:
        assert not self.stack or self.stack.pop() == record.span_id


class Printing:
    def ended(self, record: Record, /) -> None:
        self.line = f"{record.attributes} {record.error}"


class Meddling:
    def ended(self, record: Record, /) -> None:
        record.context.data["seen"] = True


class Slow:
    def ended(self, record: Record, /) -> None:
        time.sleep(0.0015)


class OneThread:
    """Breaks when two threads are inside at once: the first one there waits for another."""

    def __init__(self) -> None:
        self.maker = threading.get_ident()
        self.inside = 0
        self.met = threading.Event()

    def ended(self, record: Record, /) -> None:
        self.inside += 1
        if self.inside > 1:
            self.met.set()
        if threading.get_ident() != self.maker:
            self.met.wait(60)
        assert self.inside == 1
        self.inside -= 1


class SometimesLate:
    """Held up once, by something that is not its own."""

    def __init__(self) -> None:
        self.pauses = iter([0.0] * 100 + [0.25])

    def ended(self, record: Record, /) -> None:
        time.sleep(next(self.pauses, 0.0))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (NoMethod, "keeps_the_protocol"),
        (WrongArguments, "keeps_the_protocol"),
        (Asynchronous, "keeps_the_protocol"),
        (Returning, "returns_nothing"),
        (NoCancelled, "survives_every_status"),
        (Strict, "takes_an_end_whose_start_it_missed"),
        (Stack, "takes_branches_whose_calls_overlap"),
        (Printing, "takes_odd_values"),
        (Meddling, "leaves_the_context_alone"),
        (OneThread, "takes_calls_from_several_threads_at_once"),
        (Slow, "is_quick"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broken_observer_fails_the_check_that_is_for_it(
    kind: Callable[[], Any], check: str
) -> None:
    """Each check can fail."""
    assert check in failing(kind)


def test_a_sound_observer_passes_every_check() -> None:
    """The broken ones fail for what is broken, not for how they are built."""
    assert failing(_Ended) == set()
    assert failing(SpanTable) == set()


def test_a_pause_of_the_machine_is_not_the_observers() -> None:
    """It is slow if it is slow whenever it is timed."""
    assert "is_quick" not in failing(SometimesLate)


def test_the_class_without_a_factory_cannot_be_used() -> None:
    """An implementation must say how it is made."""
    kind: Any = ObserverConformance
    with pytest.raises(TypeError, match="make_observer"):
        kind()
