"""The journal of this process, as the writing thread sees it: redact, encode, append."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from keploy_framework.recording.journal import (
    MAGIC,
    Opening,
    encode_exchange,
    encode_piece,
    write_record,
)
from keploy_framework.recording.session import start_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keploy_framework.model import Exchange, Headers
    from keploy_framework.recording.redaction import Redactor, Window
    from keploy_framework.recording.session import Session
    from keploy_framework.recording.spool import Memory

__all__ = ("JournalFile",)


class JournalFile:
    """Appends exchanges to a journal, and long bodies to files beside it.

    Everything but the constructor runs on the writing thread. But for `begin`, nothing there
    raises: an error is reported once for each exchange that it costs.

    Args:
        memory: Gets back what the pieces of long bodies held.
        failed: Told of errors.
    """

    def __init__(self, memory: Memory, failed: Callable[[BaseException], None]) -> None:
        self.path: Path | None = None
        self.session: Session | None = None
        self._redact: Redactor | None = None
        self._memory = memory
        self._failed = failed
        self._long: dict[str, _LongBody] = {}
        self._sound = 0  # bytes up to which the file is known to hold whole records
        self._file: BinaryIO | None = None

    def begin(
        self,
        path: Path,
        session: Session,
        naming: Literal["descriptive", "sequential"],
        redact: Redactor,
    ) -> None:
        """Make the journal, and write what it is.

        Args:
            path: The journal; it must not exist.
            session: The session that it belongs to.
            naming: How test cases are named.
            redact: What every exchange passes before it is written.

        Raises:
            OSError: The file cannot be made.
        """
        self._file = path.open("xb")
        self.path = path
        self.session = session
        self._redact = redact
        pid = os.getpid()
        opening = Opening(session.id, pid, start_of(pid), session.host, session.test_set, naming)
        self._sound += self._file.write(MAGIC)
        self._sound += write_record(self._file, opening.encode())
        self._file.flush()

    def write(
        self, build: Callable[[], Exchange], long: tuple[str | None, str | None] = (None, None)
    ) -> None:
        """Append an exchange, without its secrets, and end its long bodies."""
        if self._file is None or self._redact is None:
            return
        try:
            names = tuple(self._end_long(name) for name in long)
            exchange = self._redact.exchange(build())
            request_file, response_file = names
            request, response = exchange.request, exchange.response
            if request_file is not None:
                exchange = replace(exchange, request=replace(request, omitted=None))
            if response is not None and response_file is not None:
                exchange = replace(exchange, response=replace(response, omitted=None))
            record = encode_exchange(
                exchange, request_file=request_file, response_file=response_file
            )
            self._sound += write_record(self._file, record)
        except Exception as error:  # noqa: BLE001 - one exchange is lost, the others are not
            self._failed(error)
            self._mend()

    def flush(self) -> None:
        """Give what was written to the operating system: it then survives this process."""
        try:
            if self._file is not None:
                self._file.flush()
        except Exception as error:  # noqa: BLE001 - as in `write`
            self._failed(error)

    def close(self) -> None:
        """Write everything to the disk itself, and close the journal and all long bodies."""
        for name in tuple(self._long):
            self.drop_long(name)
        if self._file is None:
            return
        with suppress(OSError, ValueError):
            self._file.flush()
            os.fsync(self._file.fileno())
        with suppress(OSError):
            self._file.close()
        self._file = None

    def begin_long(self, name: str, headers: Headers) -> None:
        """Begin a file for a long body."""
        try:
            window = self._redact.window(headers) if self._redact is not None else None
            if window is not None:
                self._long[name] = _LongBody(self._place(name), window)
        except Exception as error:  # noqa: BLE001 - as in `write`
            self._failed(error)

    def add_long(self, name: str, at: float, data: bytes, held: int) -> None:
        """Append a piece to a long body, without its secrets; give back the memory it held."""
        body = self._long.get(name)
        try:
            if body is not None:
                body.add(at, data)
        except Exception as error:  # noqa: BLE001 - as in `write`
            self._failed(error)
            self.drop_long(name)
        finally:
            self._memory.give_back(held, handed_over=True)

    def drop_long(self, name: str) -> None:
        """Remove the file of a long body that is not stored after all."""
        body = self._long.pop(name, None)
        if body is not None:
            body.file.close()
            self._place(name).unlink(missing_ok=True)

    def _end_long(self, name: str | None) -> str | None:
        """Complete a long body; return the name of its file, None if it has none."""
        if name is None or name not in self._long:
            return None
        self._long[name].end()
        del self._long[name]
        return self._place(name).name

    def _place(self, name: str) -> Path:
        path = cast("Path", self.path)
        return path.with_name(f"{path.stem}-{name}")

    def _mend(self) -> None:
        """Cut off a record that was only half written, for those that follow to be readable."""
        file = cast("BinaryIO", self._file)
        with suppress(OSError, ValueError):
            file.flush()
        with suppress(OSError, ValueError):
            file.truncate(self._sound)
            file.seek(self._sound)


class _LongBody:
    """A long body on its way through the window to its file, piece by piece."""

    def __init__(self, path: Path, window: Window) -> None:
        self.file: BinaryIO = path.open("xb")
        self._window = window
        self._buffer = bytearray()
        self._pieces: deque[tuple[float, int]] = deque()

    def add(self, at: float, data: bytes) -> None:
        """Take a piece; write those that the window has let go.

        The pieces keep their lengths as long as nothing was redacted, and their number always.
        """
        self._pieces.append((at, len(data)))
        self._buffer += self._window.feed(data)
        while len(self._pieces) > 1 and len(self._buffer) >= self._pieces[0][1]:
            self._write(*self._pieces.popleft())

    def end(self) -> None:
        """Write the rest, and close."""
        self._buffer += self._window.finish()
        while len(self._pieces) > 1:
            self._write(*self._pieces.popleft())
        if self._pieces:
            self._write(self._pieces.popleft()[0], len(self._buffer))
        self.file.close()

    def _write(self, at: float, length: int) -> None:
        write_record(self.file, encode_piece(at, bytes(self._buffer[:length])))
        del self._buffer[:length]
