"""Who may record into a folder: one session, of processes that belong together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keploy_framework.errors import FolderInUseError, JournalError
from keploy_framework.recording import session as sessions
from keploy_framework.recording.journal import MAGIC, Opening, write_record
from keploy_framework.recording.session import (
    SESSION_VARIABLE,
    claim,
    is_alive,
    join,
    journals,
    lane,
    own_lock,
    start_of,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.recording.session import Session


ABC, MINE, NEW, OLD, OTHER = "abc", "mine", "new", "old", "other"


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SESSION_VARIABLE, raising=False)


@pytest.fixture
def neighbor() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which lives until the end of the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def place_of(folder: Path) -> Path:
    return folder / ".journal"


def begun(path: Path, session: str, pid: int | None = None, host: str | None = None) -> Path:
    """Write the beginning of a journal, as the process of this number would."""
    number = os.getpid() if pid is None else pid
    opening = Opening(session, number, start_of(number), host or socket.gethostname(), None)
    with path.open("wb") as file:
        file.write(MAGIC)
        write_record(file, opening.encode())
    return path


def written(folder: Path, session: Session) -> None:
    """Put another session file into the folder."""
    place_of(folder).mkdir(parents=True, exist_ok=True)
    (place_of(folder) / "session.json").write_text(json.dumps(asdict(session)))


def foreign(folder: Path, process: subprocess.Popen[bytes], **changes: object) -> Session:
    """Let a session of another process hold the folder."""
    mine, _ = join(folder, token=MINE)
    (place_of(folder) / "session.json").unlink()
    session = replace(
        mine,
        id="theirs",
        pid=process.pid,
        started=start_of(process.pid),
        parent=1,
        parent_started="",
        group=1,
        argv=("gunicorn", "app"),
        **changes,  # type: ignore[arg-type]
    )
    written(folder, session)
    return session


def test_the_first_opens_the_session(tmp_path: Path) -> None:
    """Its file says who it is, and version control does not see it."""
    session, journal = join(tmp_path / "keploy", test_set="shop", token=ABC)
    place = place_of(tmp_path / "keploy")
    assert (session.id, session.pid, session.test_set) == ("abc", os.getpid(), "shop")
    assert session.argv
    assert journal.parent == place
    assert not journal.exists()
    assert journal.name.startswith(f"abc-{os.getpid()}-")
    assert json.loads((place / "session.json").read_text())["host"] == socket.gethostname()
    assert (place / ".gitignore").read_text() == "*\n"
    assert not list(place.glob("*.draft"))


def test_who_has_the_token_joins(tmp_path: Path) -> None:
    """As a child does that was forked from the recorder's process."""
    first, one = join(tmp_path, token=ABC)
    second, other = join(tmp_path, token=ABC)
    assert second == first
    assert one != other


def test_a_second_recorder_of_the_same_process_is_turned_away(tmp_path: Path) -> None:
    """Two recorders are two sessions, whoever owns them."""
    session, journal = join(tmp_path, token=ABC)
    begun(journal, session.id)
    with pytest.raises(FolderInUseError, match=str(os.getpid())):
        join(tmp_path, token=OTHER)


def test_the_error_says_who_it_is_and_what_to_do(
    tmp_path: Path, neighbor: subprocess.Popen[bytes]
) -> None:
    """The process, its command line, the file to remove."""
    foreign(tmp_path, neighbor)
    with pytest.raises(FolderInUseError) as caught:
        join(tmp_path, token=ABC)
    text = str(caught.value)
    for part in (str(neighbor.pid), "gunicorn app", socket.gethostname(), "session.json", "stop"):
        assert part in text


def test_a_session_on_another_machine_is_taken_for_alive(tmp_path: Path) -> None:
    """Nobody here can tell whether it is."""
    mine, _ = join(tmp_path, token=ABC)
    written(tmp_path, replace(mine, id="theirs", host="elsewhere"))
    with pytest.raises(FolderInUseError, match="elsewhere"):
        join(tmp_path, token=ABC)


def test_siblings_under_one_server_belong_together(
    tmp_path: Path, neighbor: subprocess.Popen[bytes]
) -> None:
    """Same parent, same group, same command line."""
    mine, _ = join(tmp_path, token=ABC)
    theirs = replace(mine, id="theirs", pid=neighbor.pid, started=start_of(neighbor.pid))
    written(tmp_path, theirs)
    assert join(tmp_path)[0] == theirs
    written(tmp_path, replace(theirs, argv=("another", "program")))
    with pytest.raises(FolderInUseError):
        join(tmp_path)


def test_a_child_joins_what_its_parent_opened(tmp_path: Path) -> None:
    """Also when it is another program, started and not forked."""
    mine, _ = join(tmp_path, token=ABC)
    parent = os.getppid()
    theirs = replace(mine, id="theirs", pid=parent, started=start_of(parent), argv=("sh",))
    written(tmp_path, theirs)
    assert join(tmp_path)[0].id == "theirs"


def test_a_named_session_is_joined_by_nobody_else(
    tmp_path: Path, neighbor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a sibling: the environment says who belongs."""
    monkeypatch.setenv(SESSION_VARIABLE, "feed")
    session = foreign(tmp_path, neighbor)
    with pytest.raises(FolderInUseError):
        join(tmp_path)
    written(tmp_path, replace(session, id="feed"))
    assert join(tmp_path)[0].id == "feed"


def test_a_session_whose_processes_are_gone_is_over(tmp_path: Path) -> None:
    """The next takes the folder; the journal that was left stays for the merge."""
    mine, _ = join(tmp_path, token=OLD)
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = start_of(process.pid)
    process.wait()
    written(tmp_path, replace(mine, pid=process.pid, started=started or "gone"))
    left = place_of(tmp_path) / f"old-{process.pid}-ab.journal"
    left.write_bytes(MAGIC)
    session, _ = join(tmp_path, token=NEW)
    assert session.id == "new"
    assert left.exists()


def test_a_process_of_the_session_that_still_writes_keeps_it(
    tmp_path: Path, neighbor: subprocess.Popen[bytes]
) -> None:
    """Though the one that opened it is gone."""
    mine, _ = join(tmp_path, token=OLD)
    written(tmp_path, replace(mine, pid=2**22 - 3, started="gone", argv=("x",), parent=1))
    begun(place_of(tmp_path) / f"old-{neighbor.pid}-ab.journal", "old", neighbor.pid)
    with pytest.raises(FolderInUseError):
        join(tmp_path, token=NEW)


def test_a_journal_without_a_first_record_belongs_to_the_process_in_its_name(
    tmp_path: Path, neighbor: subprocess.Popen[bytes]
) -> None:
    """It is just being made."""
    mine, _ = join(tmp_path, token=OLD)
    written(tmp_path, replace(mine, pid=2**22 - 3, started="gone", argv=("x",), parent=1))
    (place_of(tmp_path) / f"old-{neighbor.pid}-ab.journal").write_bytes(MAGIC[:5])
    with pytest.raises(FolderInUseError):
        join(tmp_path, token=NEW)


def test_journals_of_another_machine_are_left_alone(tmp_path: Path) -> None:
    """They may be written to at this moment."""
    join(tmp_path, token=ABC)
    begun(place_of(tmp_path) / "abc-17-ab.journal", "abc", 17, host="elsewhere")
    assert list(journals(tmp_path)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "x"}', '{"argv": [], "new": 1}'])
def test_a_damaged_session_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    """With its path, and what to do."""
    place_of(tmp_path).mkdir()
    (place_of(tmp_path) / "session.json").write_text(text)
    with pytest.raises(JournalError, match=r"session\.json is damaged.*remove it"):
        join(tmp_path, token=ABC)


def test_without_hard_links_the_session_file_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On file systems that have none."""

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(1, "no links here", str(target))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    first, _ = join(tmp_path, token=ABC)
    second, _ = join(tmp_path, token=ABC)
    assert first == second


def test_two_that_come_at_once_are_not_both_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second to write joins the first, or is refused."""

    def refused(self: Path, target: Path) -> None:
        raise OSError(1, "no links here", str(self), None, str(target))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    real = sessions._read  # pyright: ignore[reportPrivateUsage] - the race is in there
    calls: list[Path] = []

    def late(place: Path) -> Session | None:
        calls.append(place)
        return None if len(calls) == 2 else real(place)

    monkeypatch.setattr(sessions, "_read", late)
    join(tmp_path, token=ABC)
    assert join(tmp_path, token=ABC)[0].id == "abc"
    assert len(calls) == 3


def test_many_threads_open_one_session(tmp_path: Path) -> None:
    """Whatever the order in which they come."""
    found: list[Session] = []
    threads = [
        threading.Thread(target=lambda: found.append(join(tmp_path / "new", token=ABC)[0]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {session.id for session in found} == {"abc"}


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    """With the reason of the operating system."""
    (tmp_path / "keploy").write_text("")
    with pytest.raises(JournalError, match="cannot record into"):
        join(tmp_path / "keploy")


def test_lanes_are_numbers_that_nobody_else_has(tmp_path: Path) -> None:
    """Each journal of a session has one; another session begins anew."""
    join(tmp_path, token=ABC)
    assert [lane(tmp_path, "abc") for _ in range(3)] == [0, 1, 2]
    assert lane(tmp_path, "other") == 0
    with pytest.raises(FileNotFoundError):
        lane(tmp_path / "absent", "abc")


def test_the_last_of_a_session_tidies_up(tmp_path: Path) -> None:
    """And nobody before it."""
    session, one = join(tmp_path, token=ABC)
    _, other = join(tmp_path, token=ABC)
    begun(one, session.id)
    begun(other, session.id)
    assert claim(tmp_path, "abc", one) is False
    assert claim(tmp_path, "abc", other) is True
    assert {path.suffix for path in place_of(tmp_path).glob("abc-*")} == {".ended"}
    assert claim(tmp_path, "abc", other) is False, "it is over already"


def test_a_child_leaves_the_end_to_the_process_that_forked_it(
    tmp_path: Path, neighbor: subprocess.Popen[bytes]
) -> None:
    """As long as that lives, and has not yet begun its journal."""
    session, journal = join(tmp_path, token=ABC)
    begun(journal, session.id)
    assert claim(tmp_path, "abc", journal, opener=neighbor.pid) is False
    (place_of(tmp_path) / f"abc-{neighbor.pid}-ab.ended").write_bytes(MAGIC)
    assert claim(tmp_path, "abc", None, opener=neighbor.pid) is True


def test_a_child_whose_parent_is_gone_ends_the_session(tmp_path: Path) -> None:
    """Nobody else would."""
    session, journal = join(tmp_path, token=ABC)
    begun(journal, session.id)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert claim(tmp_path, "abc", journal, opener=process.pid) is True


def test_journals_that_say_nothing_are_removed(tmp_path: Path) -> None:
    """Their processes died before they had written who they are."""
    join(tmp_path, token=ABC)
    empty = place_of(tmp_path) / "abc-4194300-ab.ended"
    empty.write_bytes(MAGIC)
    assert list(journals(tmp_path)) == []
    assert not empty.exists()


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"keploy-framework journal 2\n"])
def test_a_file_that_is_no_journal_of_ours_stays_and_is_named(tmp_path: Path, data: bytes) -> None:
    """It may be of a newer version."""
    join(tmp_path, token=ABC)
    path = place_of(tmp_path) / "abc-1-ab.ended"
    path.write_bytes(data)
    with pytest.raises(JournalError, match=f"{path.name} is not a journal"):
        list(journals(tmp_path))
    assert path.read_bytes() == data


def test_a_first_record_of_another_kind_is_named(tmp_path: Path) -> None:
    """A journal whose first line is not understood is not guessed at."""
    join(tmp_path, token=ABC)
    path = place_of(tmp_path) / "abc-1-ab.ended"
    with path.open("wb") as file:
        file.write(MAGIC)
        write_record(file, b'{"session": 1, "colour": "red"}\n')
    with pytest.raises(JournalError, match="cannot read"):
        list(journals(tmp_path))


def test_one_process_makes_files_at_a_time(tmp_path: Path) -> None:
    """The other waits, and then says which file to remove."""
    place_of(tmp_path).mkdir()
    with own_lock(tmp_path) as needed:
        assert needed
        with pytest.raises(JournalError, match="compacting"), own_lock(tmp_path, timeout=0.05):
            pass
    with own_lock(tmp_path, timeout=0) as needed:
        assert needed
    assert not (place_of(tmp_path) / "compacting").exists()


def test_the_lock_of_a_process_that_is_gone_does_not_hold(tmp_path: Path) -> None:
    """It crashed while it made files."""
    place_of(tmp_path).mkdir()
    (place_of(tmp_path) / "compacting").write_text("4194300 gone")
    with own_lock(tmp_path, timeout=0) as needed:
        assert needed


def test_the_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    """The next may try."""
    place_of(tmp_path).mkdir()
    with pytest.raises(ZeroDivisionError), own_lock(tmp_path):
        raise ZeroDivisionError
    with own_lock(tmp_path, timeout=0) as needed:
        assert needed


def test_without_journals_there_is_nothing_to_do(tmp_path: Path) -> None:
    """No folder, no lock, no error."""
    with own_lock(tmp_path) as needed:
        assert not needed
    assert list(journals(tmp_path)) == []
    assert not place_of(tmp_path).exists()


def test_tidying_removes_what_nobody_needs(tmp_path: Path) -> None:
    """The file of a session that is over, its lanes, the folder; nothing while it runs."""
    session, journal = join(tmp_path, token=ABC)
    begun(journal, session.id)
    lane(tmp_path, "abc")
    lane(tmp_path, "gone")
    tidy(tmp_path)
    assert {path.name for path in place_of(tmp_path).glob("*.lane-*")} == {"abc.lane-0"}
    claim(tmp_path, "abc", journal)
    tidy(tmp_path)
    assert (place_of(tmp_path) / "abc.lane-0").exists(), "its journal waits to be merged"
    journal.with_suffix(".ended").unlink()
    tidy(tmp_path)
    assert not place_of(tmp_path).exists()
    tidy(tmp_path)


def test_a_process_is_alive_if_it_started_when_it_says(
    neighbor: subprocess.Popen[bytes],
) -> None:
    """A number that is used again is another process."""
    assert is_alive(neighbor.pid, start_of(neighbor.pid))
    assert is_alive(neighbor.pid, "")
    assert not is_alive(neighbor.pid, "boot:1")
    assert is_alive(1, "")
    neighbor.kill()
    neighbor.wait()
    assert not is_alive(neighbor.pid, "")
    assert start_of(neighbor.pid) == ""


def test_where_nobody_can_ask_a_process_is_taken_for_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking would end it on one system, and is forbidden on another."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert is_alive(2**22 - 3, "")
    monkeypatch.undo()

    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(pid, number)

    monkeypatch.setattr(os, "kill", forbidden)
    assert is_alive(2**22 - 3, "")
