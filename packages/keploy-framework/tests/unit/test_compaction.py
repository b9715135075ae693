"""Test sets are made of journals once, whole, whatever was broken off in between."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.errors import JournalError
from keploy_framework.model import Direction
from keploy_framework.recording.compact import Compacted, compact
from keploy_framework.recording.recorder import Recorder
from keploy_framework.redact import Redaction
from keploy_framework.storage import writer as writing
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Processes

MARK = re.compile(r"\[redacted:[a-z-]+:\d+\]")


def record(
    folder: Path, paths: list[str], *, test_set: str | None = "shop", **options: Any
) -> None:
    """Record a case for each path, with an outbound call each."""
    options.setdefault("compact", False)
    with Recorder(folder, test_set=test_set, **options) as recorder:
        for path in paths:
            case = recorder.open(
                Direction.INBOUND,
                "GET",
                f"http://t/{path}",
                (("authorization", f"Bearer {path}-1"),),
            )
            mock = recorder.open(Direction.OUTBOUND, "GET", f"http://o/{path}", ())
            for exchange in (mock, case):
                assert exchange is not None
                exchange.response_head(200, "", (("content-type", "text/plain"),))
                exchange.response_piece(path.encode())
                exchange.end()


def stored(folder: Path, name: str = "shop") -> list[tuple[str, bool]]:
    """Return the paths of all cases and mocks, in order, and whether they are exact."""
    test_set = KeployFolder(folder).set(name)
    return [
        (item.exchange.request.url.rpartition("/")[2], item.exact)
        for item in (*test_set, *test_set.mocks())
        if item.exchange is not None
    ]


BOTH = [("a", True), ("b", True), ("c", True)] * 2


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_a_merge_keeps_what_was_there(tmp_path: Path, format: Any) -> None:  # noqa: A002 - Keploy's word
    """Cases, mocks, mappings, exact bytes: of both."""
    record(tmp_path, ["a", "b"])
    compact(tmp_path, format=format)
    record(tmp_path, ["c"])
    assert compact(tmp_path, format=format) == (Compacted("shop", 1, 1),)
    folder = KeployFolder(tmp_path, format=format)
    assert [case.name for case in folder.set("shop")] == ["get-a-1", "get-b-1", "get-c-1"]
    assert len(folder.set("shop").mocks()) == 3
    assert not (tmp_path / ".journal").exists()


def _stop_at(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: int
) -> Callable[[], bool]:
    """Let the `call`-th call of a method fail, as if the process had died there."""
    real = getattr(module, name)
    calls = 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(module, name, counted)
    return lambda: calls >= call


@pytest.mark.parametrize("method", ["replace", "rename", "unlink", "mkdir", "write_bytes"])
def test_a_merge_broken_off_anywhere_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """No case is doubled, none is missing: after a crash at each of its steps."""
    record(tmp_path / "origin", ["a", "b"])
    compact(tmp_path / "origin")
    record(tmp_path / "origin", ["c"])
    for call in range(1, 60):
        folder = tmp_path / f"crash-{call}"
        shutil.copytree(tmp_path / "origin", folder)
        with monkeypatch.context() as patch:
            hit = _stop_at(patch, Path, method, call)
            try:
                compact(folder)
            except KeyboardInterrupt:
                assert hit()
            if not hit():
                assert call > 1
                break
        (folder / ".journal" / "compacting").unlink(missing_ok=True)
        compact(folder)
        assert stored(folder) == BOTH, f"crash at call {call} of {method}"
        mappings = KeployFolder(folder).set("shop").mappings()
        assert mappings == {}, "these calls had no parent"
        assert not (folder / ".journal").exists()
        assert not list(folder.rglob(".session-*"))
        shutil.rmtree(folder)
    else:
        pytest.fail("it never came to its end")


def test_a_process_killed_in_the_middle_of_a_merge_doubles_nothing(
    tmp_path: Path, processes: Processes
) -> None:
    """With a real signal, and no chance to clean up."""
    record(tmp_path, ["a", "b"])
    compact(tmp_path)
    record(tmp_path, ["c"])
    code = """
        from pathlib import Path
        from keploy_framework.recording.compact import compact
        real = Path.replace
        def replace(self, target):
            if "mocks" in self.name and ".ready" in str(self):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, target)
        Path.replace = replace
        compact(sys.argv[1])
    """
    process = processes.run(tmp_path, code)
    processes.output(process)
    assert process.returncode == -signal.SIGKILL
    assert list((tmp_path / ".journal").glob("*.ready"))
    compact(tmp_path)
    assert stored(tmp_path) == BOTH


def test_a_set_that_cannot_be_written_keeps_its_journal(tmp_path: Path) -> None:
    """One clear error, and what was recorded is intact."""
    record(tmp_path, ["a"])
    (tmp_path / "shop").write_text("in the way")
    with pytest.raises(JournalError, match="it is a file"):
        compact(tmp_path)
    (tmp_path / "shop").unlink()
    assert compact(tmp_path) == (Compacted("shop", 1, 1),)
    assert stored(tmp_path) == [("a", True)] * 2


def test_what_cannot_be_moved_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the place and the reason; later it goes on."""
    record(tmp_path, ["a"])
    compact(tmp_path)
    record(tmp_path, ["b"])

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(JournalError, match="No space left"):
            compact(tmp_path)
    compact(tmp_path)
    assert stored(tmp_path) == [("a", True), ("b", True)] * 2


def test_processes_never_give_two_secrets_one_placeholder(
    tmp_path: Path, processes: Processes
) -> None:
    """Each numbers apart; equal secrets of one process stay equal."""
    code = """
        from keploy_framework.redact import Redaction
        def asked(recorder, token):
            for _ in range(2):
                exchange = recorder.open(
                    Direction.INBOUND, "GET", "http://t/x", (("authorization", f"Bearer {token}"),)
                )
                exchange.response_head(200, "", ())
                exchange.end()
        recorder = Recorder(sys.argv[1])
        recorder.start()
        for number in range(3):
            child = os.fork()
            if not child:
                asked(recorder, f"childs-{number}")
                recorder.close()
                os._exit(0)
            os.waitpid(child, 0)
        asked(recorder, "parents")
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    cases = [case.exchange for case in KeployFolder(tmp_path).set("test-set-0")]
    marks = [MARK.findall(str(case.request.headers)) for case in cases if case is not None]
    assert len(marks) == 8
    assert len({mark for found in marks for mark in found}) == 4
    assert all(marks.count(found) == 2 for found in marks)


def test_a_set_that_is_added_to_keeps_its_placeholders_apart(tmp_path: Path) -> None:
    """What was given once is not given again, in another session."""
    for path in ("a", "b", "c"):
        record(tmp_path, [path], compact=True)
    headers = "".join(
        str(case.exchange.request.headers)
        for case in KeployFolder(tmp_path).set("shop")
        if case.exchange is not None
    )
    assert sorted(MARK.findall(headers)) == [f"[redacted:bearer:{n}]" for n in (1, 2, 3)]


def test_a_redaction_that_is_shared_goes_on_where_it_was(tmp_path: Path) -> None:
    """One value, one placeholder, in both recordings."""
    redaction = Redaction.default()
    for name in ("one", "two"):
        record(tmp_path, ["a"], test_set=name, compact=True, redact=redaction)
    texts = [(tmp_path / name / "tests/get-a-1.yaml").read_text() for name in ("one", "two")]
    assert [MARK.findall(text)[0] for text in texts] == ["[redacted:bearer:1]"] * 2
    assert redaction.found == 1


def test_a_child_that_ends_first_makes_no_set_of_its_own(
    tmp_path: Path, processes: Processes
) -> None:
    """The parent has opened the recording, and not yet begun its journal."""
    code = """
        import threading
        from keploy_framework.recording import recorder as module
        gate = threading.Event()
        real = Recorder._prepare
        def late(self):
            gate.wait(60)
            real(self)
        Recorder._prepare = late
        record("parent")
        child = os.fork()
        if not child:
            Recorder._prepare = real
            record("child")
            recorder.close()
            os._exit(0)
        os.waitpid(child, 0)
        gate.set()
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    assert KeployFolder(tmp_path).sets() == ("test-set-0",)
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 2


def test_nothing_is_taken_from_a_process_that_still_records(
    tmp_path: Path, processes: Processes
) -> None:
    """Its journal is made into files when it ends."""
    process = processes.run(tmp_path, "record('a'); recorder.flush(); print(1, flush=True); rest()")
    processes.ready(process)
    assert compact(tmp_path) == ()
    process.terminate()
    processes.output(process)
    assert compact(tmp_path) == (Compacted("test-set-0", 1, 0),)


def test_sessions_that_crashed_become_sets_of_their_own(
    tmp_path: Path, processes: Processes
) -> None:
    """In the order in which they began."""
    for path in ("a", "b"):
        processes.output(
            processes.run(tmp_path, f"record('{path}'); recorder.flush(); os.kill(os.getpid(), 9)")
        )
    assert compact(tmp_path) == (Compacted("test-set-0", 1, 0), Compacted("test-set-1", 1, 0))
    assert stored(tmp_path, "test-set-0") == [("a", True)]
    assert stored(tmp_path, "test-set-1") == [("b", True)]


def test_an_interrupt_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves no half set behind."""
    record(tmp_path, ["a"], test_set=None)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing.SetWriter, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            compact(tmp_path)
    assert KeployFolder(tmp_path).sets() == ()
    assert compact(tmp_path) == (Compacted("test-set-0", 1, 1),)


def test_a_case_is_named_by_the_header_that_keploy_knows(tmp_path: Path) -> None:
    """And the names go on where one is taken."""
    with Recorder(tmp_path) as recorder:
        for _ in range(2):
            case = recorder.open(
                Direction.INBOUND, "GET", "http://t/", (("Keploy-Test-Name", "my case"),)
            )
            assert case is not None
            case.response_head(204, "", ())
            case.end()
    assert KeployFolder(tmp_path).set("test-set-0").case_names() == ("my-case", "my-case-1")
