"""Journals of sagas: nothing happens unrecorded, and a crash is made good."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import CompensationError, ConfigurationError, SagaJournalError
from tta_dev_primitives.recovery import FileJournal, MemoryJournal, Saga, SagaReport
from tta_dev_primitives.recovery.saga.journal import JournalEntry, JsonSagaCodec
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual
from tta_dev_primitives.testing.journals import SagaJournalConformance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tta_dev_primitives.recovery.compensation import CompensationPrimitive
    from tta_dev_primitives.recovery.saga.journal import SagaJournal


def _always(entry: JournalEntry) -> bool:
    return True


def _never(entry: JournalEntry) -> bool:
    return False


OPEN = JournalEntry(kind="run", step="compensation", value="0")


class TestMemoryJournal(SagaJournalConformance):
    def make_journal(self) -> SagaJournal:
        return MemoryJournal()


class TestFileJournal(SagaJournalConformance):
    @pytest.fixture(autouse=True)
    def folder(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            self.path = Path(folder) / "journal.jsonl"
            yield

    def make_journal(self) -> SagaJournal:
        return FileJournal(self.path)

    def reopened(self, journal: SagaJournal) -> SagaJournal:
        return FileJournal(self.path)


class Broken(MemoryJournal):
    """Refuses the appends that it is told to."""

    def __init__(self, refuses: Callable[[JournalEntry], bool]) -> None:
        super().__init__()
        self.refuses = refuses

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        if self.refuses(entry):
            message = "the disk is full"
            raise OSError(message)
        await super().append(run_id, entry)


def made(log: list[str], journal: SagaJournal, count: int = 3, **options: Any) -> Any:
    """Return a saga whose steps and compensations write down that they ran."""
    saga: Any = Saga(journal=journal, **options)
    for number in range(1, count + 1):

        async def do(given: int, number: int = number) -> int:
            log.append(f"do {number}")
            return given + number

        async def undo(context: object, given: int, result: int, number: int = number) -> None:
            log.append(f"undo {number} of {given} and {result}")

        do.__name__, undo.__name__ = f"do{number}", f"undo{number}"
        saga.add_step(do, rollback=undo)
    return saga


async def fails(value: object) -> object:
    message = "step"
    raise ConnectionError(message)


async def test_every_action_is_written_down_before_and_after() -> None:
    """The steps, then the compensations, then the end."""
    journal = MemoryJournal()
    with pytest.raises(ConnectionError):
        await made([], journal, 1).add_step(fails).execute(0)
    (entries,) = journal.runs.values()
    assert [(e.kind, e.step, e.value) for e in entries] == [
        ("run", "compensation", "0"),
        ("began", "do1", None),
        ("done", "do1", "1"),
        ("began", "fails", None),
        ("failed", "fails", "ConnectionError"),
        ("undoing", "do1", None),
        ("undone", "do1", None),
        ("ended", "", "undone"),
    ]
    assert await journal.unfinished() == []


async def test_a_journal_that_refuses_keeps_the_saga_from_acting() -> None:
    """Whichever entry it refuses first; what was done is undone all the same."""
    log: list[str] = []
    journal = Broken(lambda entry: (entry.kind, entry.step) == ("began", "do2"))
    with pytest.raises(SagaJournalError, match="did not keep 'began do2': OSError: the disk") as e:
        await made(log, journal).execute(0)
    assert isinstance(e.value.__cause__, OSError)
    assert log == ["do 1", "undo 1 of 0 and 1"]
    log.clear()
    with pytest.raises(SagaJournalError, match="'run compensation'"):
        await made(log, Broken(_always)).execute(0)
    assert log == []


async def test_a_step_whose_end_is_not_kept_is_undone() -> None:
    """It is known here that it was done, if not in the journal."""
    log: list[str] = []
    journal = Broken(lambda entry: entry.kind == "done" and entry.step == "do2")
    with pytest.raises(SagaJournalError, match="done do2"):
        await made(log, journal).execute(0)
    assert log == ["do 1", "do 2", "undo 2 of 1 and 3", "undo 1 of 0 and 1"]


async def test_compensations_run_though_the_journal_breaks() -> None:
    """The note says so, for the next process will undo again."""
    log: list[str] = []
    journal = Broken(lambda entry: entry.kind.startswith("und"))
    with pytest.raises(ConnectionError) as caught:
        await made(log, journal, 1).add_step(fails).execute(0)
    assert log == ["do 1", "undo 1 of 0 and 1"]
    assert "not in the journal" in caught.value.__notes__[-1]


async def test_a_saga_whose_end_is_not_kept_is_complete(caplog: pytest.LogCaptureFixture) -> None:
    """Every step is in the journal, so nothing can be lost."""
    journal = Broken(lambda entry: entry.kind == "ended")
    assert await made([], journal).execute(0) == 6
    assert "'ended'" in caplog.text
    journal.refuses = _never
    assert [report.outcome for report in await made([], journal).recover()] == ["completed"]


async def test_a_cancel_at_the_very_end_comes_after_the_result() -> None:
    """The saga is over by then; the cancellation is not lost."""

    class Slow(MemoryJournal):
        async def append(self, run_id: str, entry: JournalEntry, /) -> None:
            if entry.kind == "ended":
                task.cancel()
                await asyncio.sleep(0)
            await super().append(run_id, entry)

    log: list[str] = []
    results: list[int] = []

    async def caller() -> None:
        results.append(await made(log, Slow()).execute(0))
        await asyncio.sleep(0)

    task = asyncio.ensure_future(caller())
    await asyncio.wait((task,))
    assert task.cancelled()
    assert results == [6]


def test_a_journal_that_hangs_does_not_hold_up_the_way_back() -> None:
    """Forwards the caller can cancel; backwards each entry has the time of a compensation."""

    class Hanging(MemoryJournal):
        async def append(self, run_id: str, entry: JournalEntry, /) -> None:
            if entry.step == "do2" or entry.kind == "undoing":
                await asyncio.Event().wait()
            await super().append(run_id, entry)

    async def main() -> None:
        log: list[str] = []
        task = asyncio.ensure_future(made(log, Hanging(), compensation_timeout=2.0).execute(0))
        await asyncio.sleep(10)
        task.cancel()
        with no_leaked_tasks():
            await asyncio.wait((task,))
        assert task.cancelled()
        assert log == ["do 1", "undo 1 of 0 and 1"]
        assert asyncio.get_running_loop().time() == pytest.approx(14.0)

    run_virtual(main())


async def test_what_cannot_be_stored_is_refused() -> None:
    """The input before anything acts; a result as soon as it is known, and undone."""
    log: list[str] = []
    with pytest.raises(SagaJournalError, match="the input cannot be kept"):
        await made(log, MemoryJournal()).execute({1: "a"})
    assert log == []

    def pair(number: int) -> tuple[int, int]:
        return number, number

    undone: list[object] = []
    saga = made(log, MemoryJournal(), 1).add_step(pair, rollback=undone.append)
    with pytest.raises(SagaJournalError, match=r"the result of step 'pair' .* is a tuple"):
        await saga.execute(0)
    assert undone == [(1, 1)]


async def test_a_codec_stores_what_json_does_not() -> None:
    """And a compensation that is finished later gets it back as it was."""

    class Reprs:
        def encode(self, value: object, /) -> str:
            return repr(value)

        def decode(self, text: str, /) -> object:
            import ast

            return ast.literal_eval(text)

    journal = MemoryJournal()
    undone: list[object] = []

    def pair(number: int) -> tuple[int, int]:
        return number, number

    def saga() -> CompensationPrimitive[Any, Any]:
        return Saga(journal=journal, codec=Reprs()).add_step(pair, rollback=undone.append)

    await saga().execute(7)
    (entries,) = journal.runs.values()
    del entries[-1]
    entries.append(JournalEntry(kind="undoing", step="pair"))
    await saga().recover()
    assert undone == [(7, 7)]


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_json_gives_back_what_it_takes(value: Any) -> None:
    """Exactly, by type as well."""
    assert repr(JsonSagaCodec().decode(JsonSagaCodec().encode(value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ((1,), "the value is a tuple"),
        ({"a": [1, {2}]}, r"the value\['a'\]\[1\] is a set"),
        ({1: 2}, "has the key 1"),
        ([float("nan")], r"the value\[0\] is nan"),
        (object(), "is a object"),
        (type("Text", (str,), {})("x"), "is a Text"),
    ],
)
def test_json_refuses_what_it_would_change(value: object, place: str) -> None:
    """With the place of it."""
    with pytest.raises(TypeError, match=place):
        JsonSagaCodec().encode(value)


def test_json_refuses_what_has_no_end() -> None:
    """A list in itself, and one that is too deep."""
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(TypeError, match="cannot be written as JSON"):
            JsonSagaCodec().encode(value)


async def crashed(journal: MemoryJournal, *kinds: tuple[str, str, str | None]) -> str:
    """Leave a run of `made` in a journal as a crash would."""
    await journal.append("r", OPEN)
    for kind, step, value in kinds:
        await journal.append("r", JournalEntry(kind=kind, step=step, value=value))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return "r"


async def test_a_failed_compensation_can_be_tried_again() -> None:
    """The run stays unfinished until all is undone."""
    journal = MemoryJournal()
    broken = True
    log: list[str] = []

    async def undo(result: int) -> None:
        if broken:
            raise OSError
        log.append(f"undo {result}")

    def saga() -> Any:
        return made(log, journal, 1).add_step(abs, rollback=undo).add_step(fails)

    with pytest.raises(CompensationError) as caught:
        await saga().execute(0)
    run_id = caught.value.run_id
    assert await journal.unfinished() == [run_id]
    assert run_id is not None
    with pytest.raises(CompensationError):
        await saga().resume(run_id)
    with pytest.raises(ExceptionGroup, match="1 runs of 'compensation' could not be finished"):
        await saga().recover()
    broken = False
    log.clear()
    assert await saga().recover() == (SagaReport(run_id=run_id, outcome="undone", undone=("abs",)),)
    assert log == ["undo 1"]
    assert await journal.unfinished() == []
    assert (await saga().resume(run_id)).outcome == "undone"
    assert log == ["undo 1"]


async def test_a_step_of_unknown_outcome_is_told() -> None:
    """Nothing undoes it unless it registers before it acts."""
    for before in (False, True):
        journal, log = MemoryJournal(), list[str]()
        await crashed(journal, ("began", "do1", None), ("done", "do1", "1"), ("began", "do2", None))
        (report,) = await made(log, journal, undo_failed=before).recover()
        assert report.unknown == (() if before else ("do2",))
        assert log == ["undo 2 of 1 and None", "undo 1 of 0 and 1"][not before :]


async def test_runs_that_do_not_fit_are_refused() -> None:
    """Unknown ones, those of other steps or of another saga, and those that cannot have been."""
    journal = MemoryJournal()
    saga = made([], journal)
    with pytest.raises(SagaJournalError, match="has no run 'x'"):
        await saga.resume("x")
    with pytest.raises(ConfigurationError, match="has no journal"):
        await Saga().add_step(abs).recover()
    await crashed(journal, ("began", "other", None))
    with pytest.raises(SagaJournalError, match="has the step 'other', but the steps"):
        await saga.resume("r")
    other: Any = made([], journal, name="other")
    with pytest.raises(SagaJournalError, match="is one of 'compensation', not of 'other'"):
        await other.resume("r")
    assert await other.recover() == ()
    journal.runs.clear()
    await crashed(journal, ("done", "do1", "1"))
    with pytest.raises(SagaJournalError, match="out of order"):
        await saga.resume("r")
    journal.runs.clear()
    await crashed(journal, ("began", "do1", None), ("done", "do1", "{"))
    with pytest.raises(SagaJournalError, match="what the journal holds of 'do1' cannot be read"):
        await saga.resume("r")


async def test_a_run_that_is_under_way_is_left_alone() -> None:
    """Recovering in the middle of it undoes nothing."""
    journal = MemoryJournal()
    log: list[str] = []
    saga = made(log, journal, 1)

    async def recovers(value: int) -> int:
        assert await saga.recover() == ()
        (run_id,) = await journal.unfinished()
        with pytest.raises(SagaJournalError, match="is under way"):
            await saga.resume(run_id)
        return value

    assert await saga.add_step(recovers).execute(0) == 1
    assert log == ["do 1"]


async def test_a_torn_last_line_is_ignored_and_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the crash has cut it."""
    # Hundreds of times to wait for a disk that others keep busy would take minutes.
    monkeypatch.setattr(os, "fsync", os.fstat)
    path = tmp_path / "journal.jsonl"
    await FileJournal(path).append("r", OPEN)
    line = path.read_bytes()
    for cut in range(1, len(line)):
        path.write_bytes(line + line[:cut])
        journal = FileJournal(path)
        assert list(await journal.read("r")) == [OPEN]
        await journal.append("r", OPEN)
        assert path.read_bytes() == line * 2


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b'{"run": 1}\n', b"[]\n", b"\xff\xfe\n", b'{"run":"r","kind":"x","step":""}\n'],
)
async def test_foreign_lines_are_refused(tmp_path: Path, content: bytes) -> None:
    """With the number of the line; the file is not touched."""
    path = tmp_path / "notes.txt"
    await FileJournal(path).append("r", OPEN)
    whole = path.read_bytes() + content
    path.write_bytes(whole)
    with pytest.raises(SagaJournalError, match=r"line 2 of .*notes.txt' is no entry"):
        await FileJournal(path).unfinished()
    path.write_bytes(b"my only copy, without a newline")
    with pytest.raises(SagaJournalError, match=r"the end of .*notes.txt' is no entry"):
        await FileJournal(path).append("r", OPEN)
    assert path.read_bytes() == b"my only copy, without a newline"


async def test_a_file_that_the_system_refuses_is_a_clear_error(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(SagaJournalError, match="cannot be written"):
        await FileJournal(tmp_path / "missing" / "journal").append("r", OPEN)
    with pytest.raises(SagaJournalError, match="cannot be read"):
        await FileJournal(tmp_path).unfinished()


async def test_compact_keeps_only_what_is_unfinished(tmp_path: Path) -> None:
    """And the file goes on from there."""
    journal = FileJournal(tmp_path / "journal.jsonl")
    for run in ("a", "b"):
        await journal.append(run, OPEN)
    await journal.append("a", JournalEntry(kind="ended", value="undone"))
    await journal.compact()
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 1
    await journal.append("b", JournalEntry(kind="began", step="do1"))
    assert [e.kind for e in await journal.read("b")] == ["run", "began"]
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["run"] == "b"
