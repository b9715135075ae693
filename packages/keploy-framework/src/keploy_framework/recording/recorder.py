"""The recorder: takes what passes on the wire, and appends it, without its secrets, to a journal.

While it records, a recorder does little in the way of the traffic: it keeps the pieces of an
exchange until it ends, within a bound, and hands it to a thread that redacts and writes it. YAML is
made when the recorder is closed, or later and elsewhere.
"""

from __future__ import annotations

import os
import secrets
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, cast

from keploy_framework.errors import IncompleteAnswerError, JournalError, OptionError
from keploy_framework.model import Direction, Exchange, Request
from keploy_framework.recording.clock import SystemClock
from keploy_framework.recording.intake import Intake
from keploy_framework.recording.open_exchange import OPEN_COST, OpenExchange
from keploy_framework.recording.process import unwatch, watch
from keploy_framework.recording.redaction import default_redaction, number
from keploy_framework.recording.selection import Selection
from keploy_framework.recording.session import claim, join
from keploy_framework.recording.sink import inbound_exchange
from keploy_framework.recording.switch import is_enabled
from keploy_framework.storage.names import check_set_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from keploy_framework.model import Headers
    from keploy_framework.recording.clock import Clock
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.recording.sink import RequestHead

__all__ = ("Recorder",)

_STOP_SECONDS = 30.0
_INBOUND = Direction.INBOUND  # looking up a member costs more than what is done with it


class Recorder:
    """Records exchanges into a `keploy` folder.

    Give it to a middleware, a proxy or a patched client, which open exchanges at it; it starts with
    the first of them, or when it is entered. Closing it (leaving the `with` block, `close()`, or
    the end of the process) flushes the journal and, unless told otherwise, makes Keploy's files of
    it; an answer that is under way then is kept as far as it came, and a request without any is
    named in a warning. SIGTERM flushes the journal too; what a crash leaves behind is taken up by
    the next recording, or by `tta-keploy compact`.

    Nothing that goes wrong in here is raised into the traffic: it is counted in `dropped`, and
    `problem` tells the first cause.

    Args:
        folder: The `keploy` folder; made if it does not exist.
        test_set: The name of the test set; None takes the next `test-set-<n>`.
        outbound: The HTTP clients whose calls are recorded while the recorder is entered, by name,
            or "installed" for all that are there.
        include: Patterns of what is recorded; empty for everything. See `Selection`.
        exclude: Patterns of what is not.
        redact: Removes secrets before anything is kept; None takes the redaction of this package.
        max_memory: How many bytes may wait in memory, in open exchanges and for the disk.
        on_full: "drop" leaves out exchanges that do not fit and counts them; "wait" holds up the
            traffic until the disk has caught up.
        enabled: Whether to record at all; None asks the environment, see `is_enabled`. A production
            host that sets none of the variables looked at there **is recorded**: pass False, or set
            `KEPLOY_RECORD=0`, where that must not be.
        sample: The fraction of inbound exchanges to record, from 0 to 1.
        seed: Makes the sample the same each time.
        max_body: The length in bytes up to which a body is stored whole and redacted by field.
        store_large: Store longer bodies too, redacted by pattern; otherwise their length and
            SHA-256 are stored.
        naming: Names of test cases: "descriptive" (`get-users-by-id-1`) or "sequential" (`test-1`).
        compact: Whether closing makes Keploy's files; False leaves that to `tta-keploy compact`.
        clock: The time; that of the machine by default.

    Attributes:
        dropped: How many exchanges were left out because memory was full, the disk failed, or they
            had no answer yet when the recording ended.
        problem: The first error that recording met; None while all is well.

    Raises:
        OptionError: An option has a value that it cannot have.
        FolderInUseError: On start: another session records into the folder.
        JournalError: On start: the folder cannot be written.

    >>> import tempfile
    >>> from keploy_framework.model import Direction, Exchange, Request
    >>> with tempfile.TemporaryDirectory() as folder, Recorder(folder) as recorder:
    ...     exchange = recorder.open(Direction.INBOUND, "GET", "http://testserver/users", ())
    ...     exchange.response_head(200, "OK", (("content-type", "text/plain"),))
    ...     exchange.response_piece(b"ada")
    ...     exchange.end()
    """

    def __init__(
        self,
        folder: Path | str = "keploy",
        *,
        test_set: str | None = None,
        outbound: Collection[str] | Literal["installed"] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        redact: Redactor | None = None,
        max_memory: int = 16 << 20,
        on_full: Literal["drop", "wait"] = "drop",
        enabled: bool | None = None,
        sample: float = 1.0,
        seed: int | None = None,
        max_body: int = 1 << 20,
        store_large: bool = False,
        naming: Literal["descriptive", "sequential"] = "descriptive",
        compact: bool = True,
        clock: Clock | None = None,
    ) -> None:
        _check_size("max_memory", max_memory)
        _check_size("max_body", max_body)
        _check_choice("on_full", on_full, ("drop", "wait"))
        _check_choice("naming", naming, ("descriptive", "sequential"))
        if test_set is not None:
            check_set_name(test_set)
        if isinstance(outbound, str) and outbound != "installed":
            raise OptionError(
                f'outbound must be "installed" or a list of client names, not {outbound!r:.60}'
            )
        self.folder: Path = Path(folder)
        self.test_set = test_set
        self.dropped: int = 0
        self.problem: BaseException | None = None
        self._outbound = outbound
        self._selection = Selection(include=include, exclude=exclude, sample=sample, seed=seed)
        self._redact = redact
        self._memory_limit = max_memory
        self._on_full: Literal["drop", "wait"] = on_full
        self._max_body = max_body
        self._store_large = store_large
        self._naming: Literal["descriptive", "sequential"] = naming
        self._compact = compact
        self._clock: Clock = clock or SystemClock()
        self._enabled = is_enabled(enabled)
        self._state: Literal["new", "running", "closed"] = "new"
        self._lock = threading.RLock()
        self._token: str | None = None
        self._opener: int | None = None  # the process that made the token
        self._patched: AbstractContextManager[object] | None = None
        self._intake: Intake | None = None
        self._told = False

    @property
    def enabled(self) -> bool:
        """Whether it records at all."""
        return self._enabled

    @property
    def session(self) -> str | None:
        """The id of the recording session; None before the start."""
        return self._token

    def start(self) -> None:
        """Begin to record, and wait until the folder is ready; a recorder that runs is left alone.

        Raises:
            FolderInUseError: Another session records into the folder.
            JournalError: The folder cannot be written, or the recorder is closed.
        """
        if not self._enabled:
            return
        intake = self._begin()
        if intake is None:
            raise JournalError(f"this recorder of {self.folder} is closed; make a new one")
        intake.ready.wait()
        if self.problem is not None and intake.journal.path is None:
            self._told = True
            raise self.problem

    def _begin(self) -> Intake | None:
        """Start the writing thread, which makes the journal; touch no file, wait for nothing."""
        with self._lock:
            if self._state == "new":
                # Before any fork: children know the session, whoever comes to the folder first.
                if self._token is None:
                    self._token, self._opener = secrets.token_hex(6), os.getpid()
                self._intake = Intake(
                    clock=self._clock,
                    max_memory=self._memory_limit,
                    on_full=self._on_full,
                    max_body=self._max_body,
                    store_large=self._store_large,
                    drop=self._drop,
                    failed=self._failed,
                )
                self._intake.spool.put(self._prepare)
                self._state = "running"
                watch(self)
            return self._intake if self._state == "running" else None

    def _prepare(self) -> None:
        """Join the session and make the journal (on the writing thread)."""
        intake = cast("Intake", self._intake)
        try:
            redact = self._redact if self._redact is not None else default_redaction()
            session, path = join(self.folder, test_set=self.test_set, token=self._token)
            self._token = session.id
            try:
                number(redact, self.folder, self.test_set, session.id)
                intake.journal.begin(path, session, self._naming, redact)
            except OSError as error:
                claim(self.folder, session.id, None)
                raise JournalError(f"cannot write {path}: {error}") from error
        except Exception as error:  # noqa: BLE001 - told by `start`, or by a warning
            self._enabled = False
            self._failed(error)
        finally:
            intake.ready.set()

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> OpenExchange | None:
        """Begin an exchange; None when it is not recorded. See `Sink`."""
        try:
            if not self._enabled or not self._selection.takes(direction, method, url):
                return None
            return self._opened(direction, (method, url, headers, http_version))
        except Exception as error:  # noqa: BLE001 - the traffic goes on, whatever recording meets
            self._failed(error)
            return None

    def open_late(self, tell: Callable[[], RequestHead | None]) -> OpenExchange | None:
        """Begin an inbound exchange whose request is told later, if that may be. See `LateSink`."""
        try:
            if not self._enabled:
                return None
            if self._selection.takes_all:
                return self._opened(_INBOUND, tell)
            request = tell()
            if request is None or not self._selection.takes(_INBOUND, request[0], request[1]):
                return None
            return self._opened(_INBOUND, request)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return None

    def _opened(
        self, direction: Direction, request: RequestHead | Callable[[], RequestHead | None]
    ) -> OpenExchange | None:
        intake = self._intake if self._state == "running" else self._begin()
        if intake is None:
            return None
        if not intake.memory.take(OPEN_COST):
            intake.drop()
            return None
        parent = None if direction is _INBOUND else inbound_exchange.get()
        return OpenExchange(intake, direction, request, parent)

    def flush(self, timeout: float = _STOP_SECONDS) -> bool:
        """Wait until everything that ended is in the journal; False when the time (s) is over."""
        intake = self._intake
        return intake is None or self._state != "running" or intake.spool.flush(timeout)

    def close(self) -> None:
        """Flush and end the recording; make Keploy's files, unless `compact` is False.

        Only the last process of a session makes the files.

        Raises:
            KeployError: The files cannot be made; the journal is kept.
        """
        with self._lock:
            if self._state != "running":
                self._state = "closed"
                return
            self._state = "closed"
        unwatch(self)
        intake = cast("Intake", self._intake)
        journal = intake.journal
        lost = [told for each in tuple(intake.under_way) if (told := each.cut_off())]
        intake.spool.put(journal.close)
        whole = intake.spool.stop(_STOP_SECONDS)
        if journal.session is None or journal.path is None:
            if self.problem is not None and not self._told:
                warnings.warn(f"nothing was recorded: {self.problem}", RuntimeWarning, stacklevel=2)
            return
        last = claim(
            self.folder,
            journal.session.id,
            journal.path if whole else None,
            opener=self._opener,
        )
        if last and self._compact:
            from keploy_framework.recording.compact import compact  # noqa: PLC0415 - storage is heavy

            compact(self.folder)
        if lost:
            self._unfinished(lost)

    def _unfinished(self, lost: list[str]) -> None:
        """Tell which exchanges had no answer yet when the recording ended."""
        redact = self._redact if self._redact is not None else default_redaction()
        safe: list[str] = []
        for told in lost:
            method, _, url = told.partition(" ")
            asked = Exchange("", _INBOUND, Request(method, url), None, 0, 0)
            safe.append(f"{method} {redact.exchange(asked).request.url}")
        text = (
            "no answer had come yet when the recording ended, so these are not in it: "
            f"{', '.join(safe)}"
        )
        with self._lock:
            self.dropped += len(lost)
            self.problem = self.problem or IncompleteAnswerError(text)
        warnings.warn(text, RuntimeWarning, stacklevel=3)

    def __enter__(self) -> Self:
        self.start()
        if self._enabled and self._outbound:
            self._patched = _patch_clients(self, self._outbound)
            self._patched.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._patched is not None:
                self._patched.__exit__(None, None, None)
                self._patched = None
        finally:
            self.close()

    async def __aenter__(self) -> Self:
        from asyncio import to_thread  # noqa: PLC0415 - those without a loop need none

        await to_thread(self.start)
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from asyncio import to_thread  # noqa: PLC0415 - as above

        if self._patched is not None:
            self._patched.__exit__(None, None, None)
            self._patched = None
        await to_thread(self.close)

    def forked(self) -> None:
        """Begin anew in a child process: the thread and the journal are the parent's."""
        self._lock = threading.RLock()
        self._intake = None
        self._state = "new"

    def _failed(self, error: BaseException) -> None:
        """Count an exchange that an error cost, and keep the first error."""
        with self._lock:
            self.dropped += 1
            if self.problem is None:
                self.problem = error

    def _drop(self) -> None:
        """Count an exchange that did not fit."""
        with self._lock:
            self.dropped += 1


def _patch_clients(
    recorder: Recorder, names: Collection[str] | Literal["installed"]
) -> AbstractContextManager[object]:
    """Return a context in which the calls of these clients are recorded."""
    from keploy_framework.recording.clients import recording  # noqa: PLC0415 - patches, if asked

    return recording(recorder, names)


def _check_size(option: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{option} must be a whole number of bytes, 1 or more, not {value!r:.60}")


def _check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        listed = " or ".join(repr(choice) for choice in choices)
        raise OptionError(f"{option} must be {listed}, not {value!r:.60}")
