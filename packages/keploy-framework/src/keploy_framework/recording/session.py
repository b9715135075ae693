"""Who records into a folder: one session at a time, shared by the processes that belong to it.

`<folder>/.journal/session.json` names the session; every process of it holds a journal beside it.
A process belongs to the session if the session was handed to it (a fork, or `KEPLOY_SESSION` in the
environment), if its parent opened it, or if it is a sibling of the process that opened it: the same
parent, process group and command line, as the workers of a server are. A session whose processes
are all gone is over, however they went: processes are told apart by number and start time.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from keploy_framework.errors import FolderInUseError, JournalError
from keploy_framework.recording.journal import read_opening

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from keploy_framework.recording.journal import Opening

__all__ = (
    "SESSION_VARIABLE",
    "Session",
    "claim",
    "is_alive",
    "join",
    "journals",
    "lane",
    "own_lock",
    "start_of",
    "tidy",
)

SESSION_VARIABLE = "KEPLOY_SESSION"
_FOLDER = ".journal"
_ENDED = ".ended"
_LANE = ".lane-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A recording session, as its file tells it.

    Attributes:
        id: Random, in hex.
        pid: The process that opened it.
        started: When that process started, in the words of the operating system.
        parent: The parent of that process.
        parent_started: When the parent started.
        group: Its process group.
        argv: Its program, and how many arguments that has; they may hold passwords.
        host: Its machine.
        test_set: The test set that it records into; None for the next number.
    """

    id: str
    pid: int
    started: str
    parent: int
    parent_started: str
    group: int
    argv: tuple[str, ...]
    host: str
    test_set: str | None = None


def start_of(pid: int) -> str:
    """Return when a process started, so that a number used again is told apart; "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else f"{boot}:{fields[18]}"


def is_alive(pid: int, started: str) -> bool:
    """Say whether the process of this number that started then still runs."""
    if started:
        return start_of(pid) == started
    if sys.platform == "win32":  # where asking with signal 0 would interrupt the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def join(
    folder: Path, *, test_set: str | None = None, token: str | None = None
) -> tuple[Session, Path]:
    """Open a recording session on the folder, or join the one that this process belongs to.

    Args:
        folder: The `keploy` folder; it is made if it does not exist.
        test_set: The test set to record into; None for the next number.
        token: The id for a session that is opened here; children that were forked have it too.

    Returns:
        The session, and the path of the journal that this process shall write.

    Raises:
        FolderInUseError: Another session records into the folder.
        JournalError: The folder cannot be written.
    """
    place = folder / _FOLDER
    mine = _describe(test_set)
    named = os.environ.get(SESSION_VARIABLE)
    if named or token:
        mine = replace(mine, id=named or token or "")
    for _ in range(100):
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / ".gitignore").write_text("*\n", encoding="ascii")
            found = _read(place)
            if found is None:
                if _create(place, mine):
                    return mine, _own_journal(place, mine)
            elif not _is_running(place, found):
                _bury(place, found)
            elif _belongs(mine, found, named):
                return found, _own_journal(place, found)
            else:
                raise FolderInUseError(
                    f"{folder} is being recorded into by process {found.pid} on {found.host} "
                    f"({' '.join(found.argv)[:120]}); stop that recording or choose another "
                    f"folder; if that process is surely gone, remove {place / 'session.json'}"
                )
        except FileNotFoundError:  # another process removed the empty folder just now
            continue
        except OSError as error:
            raise JournalError(f"cannot record into {folder}: {error}") from error
    raise JournalError(f"cannot record into {folder}: its session file changes without end")


def lane(folder: Path, session: str) -> int:
    """Return a number, from 0, that no other journal of the session has.

    Raises:
        OSError: The folder cannot be written.
    """
    for number in count():
        with suppress(FileExistsError):
            (folder / _FOLDER / f"{session}{_LANE}{number}").open("x").close()
            return number
    raise AssertionError  # `count` has no end


def claim(folder: Path, session: str, journal: Path | None, *, opener: int | None = None) -> bool:
    """End this process's part in a session; say whether it was the last, who has to tidy up.

    Args:
        folder: The `keploy` folder.
        session: The id of the session.
        journal: The journal of this process, which is whole now; None if it has none.
        opener: The process that began the recording before it forked this one, if any: while it
            lives it may be about to begin its own journal.
    """
    place = folder / _FOLDER
    if journal is not None:
        with suppress(OSError):
            journal.rename(journal.with_suffix(_ENDED))
    found = _read(place)
    if found is None or found.id != session:
        return False
    if any(_lives(path) for path in place.glob(f"{session}-*.journal")):
        return False
    if opener is not None and opener != os.getpid() and is_alive(opener, ""):
        begun = any(place.glob(f"{session}-{opener}-*"))
        if not begun:
            return False
    return _bury(place, found)


def journals(folder: Path) -> Iterator[tuple[Opening, Path]]:
    """Yield the journals that no living process writes, by session, in the order of their start.

    Raises:
        JournalError: A file among them is no journal of ours.
    """
    place = folder / _FOLDER
    if not place.is_dir():
        return
    paths = [*place.glob(f"*{_ENDED}"), *place.glob("*.journal")]
    for path in sorted(paths, key=lambda path: (path.stat().st_ctime_ns, path.name)):
        if path.suffix != _ENDED and _lives(path):
            continue
        opening = read_opening(path)
        if opening is None:
            path.unlink(missing_ok=True)
        else:
            yield opening, path


@contextmanager
def own_lock(folder: Path, *, timeout: float = 30.0) -> Generator[bool]:
    """Make files of journals in one process at a time; yields whether there is anything to do.

    Raises:
        JournalError: Another process is still at it after `timeout` seconds.
    """
    place = folder / _FOLDER
    lock = place / "compacting"
    if not place.is_dir():
        yield False
        return
    pid = os.getpid()
    deadline = time.monotonic() + timeout
    while True:
        try:
            with lock.open("x", encoding="ascii") as file:
                file.write(f"{pid} {start_of(pid)}")
            break
        except FileNotFoundError:  # another process was done with the last journal just now
            yield False
            return
        except FileExistsError:
            with suppress(OSError, ValueError):
                owner, _, started = lock.read_text(encoding="ascii").partition(" ")
                if not is_alive(int(owner), started):
                    lock.unlink(missing_ok=True)
                    continue
        if time.monotonic() > deadline:
            raise JournalError(
                f"another process is making files of the recordings in {folder}; if none is, "
                f"remove {lock}"
            )
        time.sleep(0.02)
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove the file of a session that is over, and the folder when nothing else is in it."""
    place = folder / _FOLDER
    with suppress(OSError, JournalError):
        found = _read(place)
        if found is not None and not _is_running(place, found):
            _bury(place, found)
            found = None
        for path in place.glob(f"*{_LANE}*"):
            session = path.name.partition(_LANE)[0]
            if (found is None or found.id != session) and not any(place.glob(f"{session}-*")):
                path.unlink(missing_ok=True)
        if {entry.name for entry in place.iterdir()} <= {".gitignore"}:
            (place / ".gitignore").unlink(missing_ok=True)
            place.rmdir()


def _describe(test_set: str | None) -> Session:
    """Describe a session that this process opens."""
    pid, parent = os.getpid(), os.getppid()
    return Session(
        id=secrets.token_hex(6),
        pid=pid,
        started=start_of(pid),
        parent=parent,
        parent_started=start_of(parent),
        group=os.getpgrp() if sys.platform != "win32" else 0,
        argv=(Path(sys.argv[0]).name, f"with {len(sys.argv) - 1} arguments")
        if sys.argv
        else ("python",),
        host=socket.gethostname(),
        test_set=test_set,
    )


def _belongs(mine: Session, found: Session, named: str | None) -> bool:
    """Say whether this process may write into the session that is there."""
    if found.id == mine.id:
        return True
    if named:
        return False
    if found.host != mine.host or found.pid == mine.pid:
        return False
    if (found.pid, found.started) == (mine.parent, mine.parent_started):
        return True
    family: tuple[Literal["parent", "parent_started", "group", "argv"], ...]
    family = ("parent", "parent_started", "group", "argv")
    return all(getattr(mine, name) == getattr(found, name) for name in family)


def _is_running(place: Path, session: Session) -> bool:
    """Say whether any process of the session still runs."""
    if session.host != socket.gethostname():
        return True
    if any(_lives(path) for path in place.glob(f"{session.id}-*.journal")):
        return True
    own = f"{session.id}-{session.pid}-*"
    if any(path.suffix == _ENDED for path in place.glob(own)):
        return False
    return is_alive(session.pid, session.started)


def _lives(journal: Path) -> bool:
    """Say whether the process that writes this journal still runs."""
    try:
        opening = read_opening(journal)
    except (OSError, JournalError):
        return False
    if opening is None:  # its first record is not written yet: the name knows the number
        return is_alive(int(journal.stem.split("-")[1]), "")
    if opening.host != socket.gethostname():
        return True
    return is_alive(opening.pid, opening.started)


def _own_journal(place: Path, session: Session) -> Path:
    """Return a path for the journal of this process."""
    return place / f"{session.id}-{os.getpid()}-{secrets.token_hex(2)}.journal"


def _read(place: Path) -> Session | None:
    """Read the session file; None if there is none."""
    try:
        text = (place / "session.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        fields = cast("dict[str, Any]", json.loads(text))
        fields["argv"] = tuple(fields["argv"])
        return Session(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise JournalError(
            f"{place / 'session.json'} is damaged ({error}); remove it if nothing records"
        ) from error


def _create(place: Path, session: Session) -> bool:
    """Write the session file whole, or not at all; say whether this process was the first."""
    draft = place / f"session-{os.getpid()}-{secrets.token_hex(2)}.draft"
    draft.write_text(json.dumps(asdict(session)), encoding="utf-8")
    try:
        (place / "session.json").hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        try:
            with (place / "session.json").open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(session)))
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _bury(place: Path, session: Session) -> bool:
    """Take the session file away; say whether this process was the one that did it."""
    grave = place / f"session-{session.id}-{secrets.token_hex(2)}.over"
    try:
        (place / "session.json").rename(grave)
    except FileNotFoundError:
        return False
    grave.unlink(missing_ok=True)
    return True
