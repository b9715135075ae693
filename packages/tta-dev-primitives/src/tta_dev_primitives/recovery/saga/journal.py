"""Journals of sagas: what is written down before and after each action, so that a crash loses none.

A saga with a journal appends an entry before it acts and another one after. A process that starts
after a crash reads them back and finishes the compensations (`recover`). `MemoryJournal` keeps the
entries for tests; `FileJournal` keeps them in a file that survives `kill -9` and power loss.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast, get_args

from tta_dev_primitives.errors import SagaJournalError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "EntryKind",
    "FileJournal",
    "JournalEntry",
    "JsonSagaCodec",
    "MemoryJournal",
    "SagaCodec",
    "SagaJournal",
)

EntryKind: TypeAlias = Literal[
    "run", "began", "done", "failed", "undoing", "undone", "undo_failed", "ended"
]
"""What an entry tells. `run` opens a run and `ended` closes it; the others are about one step."""

_KINDS = frozenset(get_args(EntryKind))
_START = b'{"run": '  # how every line begins


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line of a journal."""

    kind: EntryKind
    """What happened."""
    step: str = ""
    """The name of the step, as its path ends; of a `run`, the name of the saga."""
    value: str | None = None
    """Of a `run` the input, of a `done` step its result, as the codec wrote it; of a failure, what
    failed; of an `ended` run, how."""


class SagaJournal(Protocol):
    """Keeps the entries of runs, each run's in the order in which they were appended."""

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        """Keep an entry; it is safe when this returns.

        Raises:
            Exception: It is not safe. The saga then does not act.
        """
        ...

    async def read(self, run_id: str, /) -> Sequence[JournalEntry]:
        """Return the entries of a run, none for one that is not known."""
        ...

    async def unfinished(self) -> Sequence[str]:
        """Return the runs that have no `ended` entry, the oldest first."""
        ...


class SagaCodec(Protocol):
    """Turns inputs and results into text and back."""

    def encode(self, value: object, /) -> str:
        """Return `value` as text.

        Raises:
            TypeError: It cannot be stored so that `decode` gives it back as it was.
        """
        ...

    def decode(self, text: str, /) -> object:
        """Return what `encode` was given."""
        ...


class JsonSagaCodec:
    """Stores what JSON gives back exactly: dicts with text keys, lists, texts, numbers, bool, None.

    A tuple would come back as a list, and a key 1 as "1", so both are refused.

    Example:
        >>> JsonSagaCodec().decode(JsonSagaCodec().encode({"id": 7, "tags": ["new"]}))
        {'id': 7, 'tags': ['new']}
    """

    def encode(self, value: object, /) -> str:
        """Return `value` as JSON.

        Raises:
            TypeError: JSON would not give it back as it is; the message says where.
        """
        try:
            text = json.dumps(value, separators=(",", ":"))
        except TypeError:
            text = ""  # the check below finds it, and says where it is
        except (ValueError, RecursionError) as error:
            message = f"the value cannot be written as JSON: {error}"
            raise TypeError(message) from error
        _check_exact(value)
        return text

    def decode(self, text: str, /) -> object:
        """Return the value of a JSON text."""
        value: object = json.loads(text)
        return value


def _check_exact(value: object) -> None:
    stack: list[tuple[object, str]] = [(value, "the value")]
    while stack:
        found, place = stack.pop()
        kind = type(found)
        if kind is dict:
            for key, item in cast("dict[object, object]", found).items():
                if type(key) is not str:
                    message = f"{place} has the key {key!r:.60}; JSON keys are texts"
                    raise TypeError(message)
                stack.append((item, f"{place}[{key!r}]"))
        elif kind is list:
            stack += (
                (item, f"{place}[{index}]")
                for index, item in enumerate(cast("list[object]", found))
            )
        elif kind is float and not math.isfinite(cast("float", found)):
            message = f"{place} is {found!r}, which JSON cannot hold"
            raise TypeError(message)
        elif found is not None and kind not in _PLAIN:
            message = (
                f"{place} is a {kind.__name__}, which JSON does not give back as it is; return "
                f"dicts, lists, texts, numbers, bools or None, or give the saga a codec"
            )
            raise TypeError(message)


_PLAIN = frozenset({str, int, float, bool})


class MemoryJournal:
    """Keeps entries in this process: for tests, and for sagas that only ever resume here.

    Attributes:
        runs: The entries of each run, by its id.

    Example:
        >>> import asyncio
        >>> journal = MemoryJournal()
        >>> asyncio.run(journal.append("r1", JournalEntry(kind="run", step="saga", value="{}")))
        >>> asyncio.run(journal.unfinished())
        ['r1']
    """

    def __init__(self) -> None:
        self.runs: dict[str, list[JournalEntry]] = {}

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        """Keep an entry."""
        self.runs.setdefault(run_id, []).append(entry)

    async def read(self, run_id: str, /) -> Sequence[JournalEntry]:
        """Return a run's entries."""
        return tuple(self.runs.get(run_id, ()))

    async def unfinished(self) -> Sequence[str]:
        """Return the runs that have not ended."""
        return [run for run, kept in self.runs.items() if kept[-1].kind != "ended"]


class FileJournal:
    """Keeps the entries of all runs in one file: a JSON line each, synchronized to the disk.

    A crash in the middle of a write leaves a last line without its end: it is not read, and cut off
    before the next write. Any other line that is not one of a journal is an error, for a file that
    is not a journal must not grow. Several processes may append to one file of a local disk where
    the system has `flock`; elsewhere, one.

    The file grows until `compact` is called.

    Args:
        path: The file; made with the first entry. Its directory must exist.

    Raises:
        SagaJournalError: From its methods: the file holds foreign lines, or the system refuses.

    Example:
        >>> import asyncio, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = FileJournal(f"{folder}/orders.jsonl")
        ...     entry = JournalEntry(kind="run", step="saga", value="{}")
        ...     asyncio.run(journal.append("r1", entry))
        ...     asyncio.run(journal.unfinished())
        ['r1']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._lock = threading.Lock()

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        """Write an entry and wait until the disk has it."""
        line: dict[str, str] = {"run": run_id, "kind": entry.kind, "step": entry.step}
        if entry.value is not None:
            line["value"] = entry.value
        await asyncio.to_thread(self._append, json.dumps(line).encode() + b"\n")

    async def read(self, run_id: str, /) -> Sequence[JournalEntry]:
        """Return a run's entries."""
        lines = await asyncio.to_thread(self._read)
        return [entry for run, entry in lines if run == run_id]

    async def unfinished(self) -> Sequence[str]:
        """Return the runs that have not ended."""
        return list(_open_runs(await asyncio.to_thread(self._read)))

    async def compact(self) -> None:
        """Rewrite the file with nothing but the runs that have not ended.

        To be called while nobody else appends to the file.
        """
        await asyncio.to_thread(self._compact)

    def _append(self, line: bytes) -> None:
        try:
            with self._lock:
                new = not self.path.exists()
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    _lock_file(file)
                    self._cut_torn_line(file)
                    written = 0
                    while written < len(line):
                        written += os.write(file, line[written:])
                    os.fsync(file)
                finally:
                    os.close(file)
                if new:
                    _sync_folder(self.path.parent)
        except OSError as error:
            message = f"the journal {str(self.path)!r} cannot be written: {error}"
            raise SagaJournalError(message) from error

    def _cut_torn_line(self, file: int) -> None:
        """Cut off what a crash has left behind the last whole line."""
        end = at = os.lseek(file, 0, os.SEEK_END)
        tail = b""
        while at > 0 and b"\n" not in tail:
            size = min(at, 4096)
            at -= size
            os.lseek(file, at, os.SEEK_SET)
            tail = os.read(file, size) + tail
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return
        if not torn.startswith(_START[: len(torn)]):  # not ours to cut
            raise self._foreign("the end", torn)
        os.ftruncate(file, end - len(torn))

    def _read(self) -> list[tuple[str, JournalEntry]]:
        try:
            with self._lock:
                content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"the journal {str(self.path)!r} cannot be read: {error}"
            raise SagaJournalError(message) from error
        *lines, _torn = content.split(b"\n")
        return [self._parsed(number, line) for number, line in enumerate(lines, 1)]

    def _parsed(self, number: int, line: bytes) -> tuple[str, JournalEntry]:
        try:
            found: object = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            fields = cast("dict[str, object]", found)
            run, kind, step = fields.get("run"), fields.get("kind"), fields.get("step")
            value = fields.get("value")
            if (
                isinstance(run, str)
                and isinstance(step, str)
                and kind in _KINDS
                and (value is None or isinstance(value, str))
            ):
                return run, JournalEntry(kind=cast("EntryKind", kind), step=step, value=value)
        raise self._foreign(f"line {number}", line)

    def _foreign(self, place: str, found: bytes) -> SagaJournalError:
        return SagaJournalError(
            f"{place} of {str(self.path)!r} is no entry of a saga's journal: {found[:60]!r}; "
            f"give the journal a file of its own"
        )

    def _compact(self) -> None:
        lines = self._read()
        wanted = _open_runs(lines)
        kept = FileJournal(self.path.with_name(self.path.name + ".new"))
        try:
            kept.path.unlink(missing_ok=True)
            data = b"".join(
                json.dumps({"run": run, "kind": e.kind, "step": e.step, "value": e.value}).encode()
                + b"\n"
                for run, e in lines
                if run in wanted
            )
            kept._append(data)
            kept.path.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            message = f"the journal {str(self.path)!r} cannot be rewritten: {error}"
            raise SagaJournalError(message) from error


def _open_runs(lines: Sequence[tuple[str, JournalEntry]]) -> dict[str, None]:
    runs: dict[str, None] = {}
    for run, entry in lines:
        if entry.kind == "ended":
            runs.pop(run, None)
        else:
            runs.setdefault(run)
    return runs


def _lock_file(file: int) -> None:
    """Keep other processes out until the file is closed, where the system can."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last, where the system can."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
