"""Making Keploy's files of journals: after recording, or later, in another process."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.model import Direction, header_value
from keploy_framework.recording.journal import (
    read_frames,
    read_journaled,
    scan_journal,
    unread_bytes,
)
from keploy_framework.recording.session import journals, own_lock, tidy
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.writer import SetWriter, move_set

if TYPE_CHECKING:
    from keploy_framework.recording.journal import Opening
    from keploy_framework.storage.documents import Format

__all__ = ("Compacted", "compact")

_MARKER = ".session-"
_MOCK = re.compile(r"mock-(\d+)(?:#\d+)?$")


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of the journals of one session: a test set, with so many cases and mocks.

    Attributes:
        test_set: The name of the set.
        cases: How many test cases were made.
        mocks: How many mocks.
        unread: How many bytes of the journals were left out: what a crash cut off at their ends, or
            what stands behind a damaged place.
    """

    test_set: str
    cases: int
    mocks: int
    unread: int = 0


def compact(folder: Path | str, *, format: Format = "yaml") -> tuple[Compacted, ...]:  # noqa: A002 - Keploy's word
    """Make test sets of all journals in a `keploy` folder that nobody writes any more.

    Journals of processes that crashed are taken up too. A journal is removed when its files are
    made; when that fails, it stays.

    Args:
        folder: The `keploy` folder.
        format: What the files are: YAML, or their twins in JSON.

    Returns:
        What was made, one for each recording session; sessions that recorded nothing are left out.

    Raises:
        JournalError: A journal is damaged, the folder cannot be written, or another process is at
            this very work.
    """
    root = Path(folder)
    done: list[Compacted] = []
    with own_lock(root) as needed:
        sessions: dict[str, list[tuple[Opening, Path]]] = {}
        for opening, path in journals(root) if needed else ():
            sessions.setdefault(opening.session, []).append((opening, path))
        for session, members in sessions.items():
            _resume(root, session)
            markers = list(root.glob(f"*/tta/{_MARKER}{session}"))
            if not markers:  # else a crash came between making the files and this
                made = _compact_session(root, format, session, members)
                if made is not None:
                    done.append(made)
                    markers = [root / made.test_set / "tta" / f"{_MARKER}{session}"]
            for _, path in members:
                for leftover in path.parent.glob(f"{path.stem}*"):
                    leftover.unlink(missing_ok=True)
            for marker in markers:
                marker.unlink(missing_ok=True)
        for marker in root.glob(f"*/tta/{_MARKER}*"):  # of those that crashed in this very place
            session = marker.name.removeprefix(_MARKER)
            if needed and not any((root / ".journal").glob(f"{session}-*")):
                marker.unlink(missing_ok=True)
    tidy(root)
    return tuple(done)


def _ready(root: Path, session: str) -> Path:
    """Return where the files of a session stand when they are whole and wait to be moved."""
    return root / ".journal" / f"{session}.ready"


def _resume(root: Path, session: str) -> None:
    """Move files that are made to their places; those that were moved already are there."""
    ready = _ready(root, session)
    if ready.is_dir():
        for made in ready.iterdir():
            move_set(made, root / made.name)
        shutil.rmtree(ready)


def _compact_session(
    root: Path, wanted_format: Format, session: str, members: list[tuple[Opening, Path]]
) -> Compacted | None:
    """Write the test set of one session."""
    places = [place for _, path in members for place in scan_journal(path)]
    if not places:
        return None
    places.sort(key=lambda place: (place.started_at, place.id))
    opening = members[0][0]
    folder = KeployFolder(root, format=wanted_format)
    target = folder.create_set(opening.test_set).name
    existing = folder.set(target)
    staging = root / ".journal" / f"{session}.staged"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        mocks = [int(found[1]) for mock in existing.mocks() if (found := _MOCK.match(mock.name))]
        writer = SetWriter(
            KeployFolder(staging, format=existing.format_of_mocks() or wanted_format),
            target,
            names=CaseNames(
                [*existing.case_names(), "mocks"], sequential=opening.naming == "sequential"
            ),
            first_mock=max(mocks, default=-1) + 1,
        )
        for place in places:
            stored = read_journaled(place)
            exchange = stored.exchange
            name = header_value(exchange.request.headers, "keploy-test-name")
            if name and exchange.direction is Direction.INBOUND:
                exchange = replace(exchange, name=name)
            frames = [
                partial(read_frames, place.path.with_name(file)) if file else None
                for file in (stored.request_file, stored.response_file)
            ]
            writer.add(exchange, request_frames=frames[0], response_frames=frames[1])
        writer.finish()
        marker = staging / target / "tta" / f"{_MARKER}{session}"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        writer.join_with(folder)
        # From here on the files are made: what is left to do is done again after a crash.
        staging.rename(_ready(root, session))
        _resume(root, session)
    except BaseException:
        with suppress(OSError):
            (root / target).rmdir()  # only if nothing got there
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    unread = sum(unread_bytes(path) for _, path in members)
    return Compacted(target, writer.cases, writer.mocks, unread)
