"""The journal: what was written is read, up to where a crash cut it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.cli import run
from keploy_framework.errors import FolderInUseError, JournalError
from keploy_framework.recording.compact import Compacted, compact
from keploy_framework.recording.journal import (
    MAGIC,
    read_opening,
    read_records,
    scan_journal,
    write_record,
)
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.recording.session import is_alive, journals, start_of
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Processes


@given(st.lists(st.binary(max_size=40)), st.data())
def test_a_torn_end_costs_only_the_last_record(records: list[bytes], data: st.DataObject) -> None:
    """Wherever the file is cut, the records before are whole."""
    file = io.BytesIO()
    ends = [0]
    for record in records:
        write_record(file, record)
        ends.append(file.tell())
    cut = data.draw(st.integers(0, ends[-1]))
    whole = sum(end <= cut for end in ends) - 1
    assert list(read_records(io.BytesIO(file.getvalue()[:cut]))) == records[:whole]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.data())
def test_a_damaged_record_ends_the_reading(records: list[bytes], data: st.DataObject) -> None:
    """What is read is a beginning of what was written, never something else."""
    file = io.BytesIO()
    for record in records:
        write_record(file, record)
    damaged = bytearray(file.getvalue())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    found = list(read_records(io.BytesIO(bytes(damaged))))
    assert found == records[: len(found)]
    assert len(found) < len(records)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """One that died before its first record is nothing; one of another kind is an error."""
    path = tmp_path / "a.journal"
    for content in (b"", MAGIC[:5], MAGIC, MAGIC + b"\x01"):
        path.write_bytes(content)
        assert read_opening(path) is None
    path.write_bytes(b"something else, long enough to be told apart")
    with pytest.raises(JournalError, match="move it"):
        read_opening(path)


def test_a_process_is_told_from_another_of_its_number() -> None:
    """By when it started."""
    own = os.getpid()
    assert is_alive(own, start_of(own))
    assert not is_alive(own, start_of(own) + "0")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not is_alive(gone.pid, "")


def test_a_killed_process_loses_nothing_that_it_had_flushed(
    tmp_path: Path, processes: Processes
) -> None:
    """SIGKILL; the next recording takes the journal up, each session as a set of its own."""
    process = processes.run(
        tmp_path, "record('a', 50); recorder.flush(); print(1, flush=True); rest()"
    )
    processes.ready(process)
    process.kill()
    processes.output(process)
    assert len(list(journals(tmp_path))) == 1
    with Recorder(tmp_path, redact=Unredacted()):
        pass
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 50
    assert not (tmp_path / ".journal").exists()


def test_a_journal_that_was_torn_is_taken_up_to_the_tear(
    tmp_path: Path, processes: Processes
) -> None:
    """The half-written record is left out, and counted."""
    process = processes.run(
        tmp_path, "record('a', 9); recorder.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    processes.output(process)
    ((_, path),) = journals(tmp_path)
    whole = path.read_bytes()
    *_, last = scan_journal(path)
    path.write_bytes(whole[:-3])
    torn = len(whole) - 3 - last.offset
    assert compact(tmp_path) == (Compacted("test-set-0", 8, 0, torn),)
    assert compact(tmp_path) == ()


def test_what_stands_behind_a_damaged_place_is_told(
    tmp_path: Path, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """One flipped bit hides all records behind it: what was made says how much is missing."""
    process = processes.run(
        tmp_path, "record('a', 9); recorder.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    processes.output(process)
    ((_, path),) = journals(tmp_path)
    places = list(scan_journal(path))
    data = bytearray(path.read_bytes())
    data[places[4].offset + 20] ^= 1
    path.write_bytes(data)

    assert run(["compact", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert told.out == "test-set-0: 4 test cases, 0 mocks\n"
    assert f"{len(data) - places[4].offset} bytes of its journal are left out" in told.err


def test_sigterm_flushes_and_still_ends_the_process(tmp_path: Path, processes: Processes) -> None:
    """With the exit status of the signal."""
    process = processes.run(tmp_path, "record('a', 500); print(1, flush=True); rest()")
    processes.ready(process)
    process.send_signal(signal.SIGTERM)
    processes.output(process)
    assert process.returncode == -signal.SIGTERM
    assert compact(tmp_path) == (Compacted("test-set-0", 500, 0),)


def test_a_process_that_ends_closes_its_recorder(tmp_path: Path, processes: Processes) -> None:
    """No `with`, no `close`: the end of the interpreter is enough."""
    assert processes.output(processes.run(tmp_path, "record('a', 3)")) == ""
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 3


def test_forked_workers_share_the_session(tmp_path: Path, processes: Processes) -> None:
    """One journal each, one test set, unique names."""
    code = """
        recorder.start()
        record("parent")
        children = []
        for number in range(3):
            child = os.fork()
            if not child:
                record(f"child", 2)
                recorder.close()
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    names = KeployFolder(tmp_path).set("test-set-0").case_names()
    assert sorted(names) == sorted(["get-parent-1", *(f"get-child-{n}" for n in range(1, 7))])


def test_workers_of_one_server_share_the_session(tmp_path: Path, processes: Processes) -> None:
    """Spawned processes are known by their parent, or by the session in the environment."""
    code = """
        import multiprocessing
        def work(folder):
            other = Recorder(folder, redact=Unredacted())
            exchange = other.open(Direction.INBOUND, "GET", "http://t/w", ())
            exchange.response_head(200, "", ())
            exchange.end()
            other.close()
            assert other.problem is None, other.problem
        fork = multiprocessing.get_context("fork")
        processes = [fork.Process(target=work, args=(sys.argv[1],)) for _ in range(3)]
        for process in processes: process.start()
        for process in processes: process.join()
        assert not any(process.exitcode for process in processes)
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    sets = KeployFolder(tmp_path).sets()
    assert sum(len(KeployFolder(tmp_path).set(name)) for name in sets) == 3


def test_a_strange_process_is_turned_away(tmp_path: Path, processes: Processes) -> None:
    """Until the first is gone, however it went."""
    process = processes.run(tmp_path, "record('a'); recorder.flush(); print(1, flush=True); rest()")
    processes.ready(process)
    with pytest.raises(FolderInUseError, match=f"process {process.pid}"):
        Recorder(tmp_path, redact=Unredacted()).start()
    process.kill()
    processes.output(process)
    with Recorder(tmp_path, redact=Unredacted()):
        pass
    assert KeployFolder(tmp_path).sets() == ("test-set-0",)


def test_a_session_in_the_environment_is_joined(tmp_path: Path, processes: Processes) -> None:
    """As runners of tests in many processes hand it on."""
    code = "record('a'); recorder.flush(); print(1, flush=True); rest()"
    first = processes.run(tmp_path, code, KEPLOY_SESSION="feed")
    processes.ready(first)
    second = processes.run(tmp_path, "record('b')", KEPLOY_SESSION="feed")
    assert processes.output(second) == ""
    assert KeployFolder(tmp_path).sets() == ()
    first.send_signal(signal.SIGTERM)
    processes.output(first)
    assert compact(tmp_path) == (Compacted("test-set-0", 2, 0),)


def test_files_that_were_made_before_a_crash_are_not_made_twice(
    tmp_path: Path, processes: Processes
) -> None:
    """The journal that was already done is only removed."""
    process = processes.run(
        tmp_path, "record('a', 2); recorder.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    processes.output(process)
    ((opening, path),) = journals(tmp_path)
    data = path.read_bytes()
    compact(tmp_path)
    path.parent.mkdir()
    path.write_bytes(data)
    (tmp_path / "test-set-0/tta" / f".session-{opening.session}").touch()
    assert compact(tmp_path) == ()
    assert KeployFolder(tmp_path).sets() == ("test-set-0",)
    assert not list(tmp_path.rglob(".session-*"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    """With the path and the reason."""
    (tmp_path / "keploy").write_text("a file")
    with pytest.raises(JournalError, match="cannot record into"):
        Recorder(tmp_path / "keploy", redact=Unredacted()).start()


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    """No set, no folder."""
    before = time.monotonic()
    assert compact(tmp_path / "absent") == ()
    with Recorder(tmp_path / "keploy", redact=Unredacted()):
        pass
    assert KeployFolder(tmp_path / "keploy").sets() == ()
    assert time.monotonic() - before < 30
