"""Sockets for http.client: one whose file is read along, one that is connected to a recording."""

from __future__ import annotations

import functools
import io
import os
from typing import TYPE_CHECKING, Any, Protocol, cast

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.clients.failures import Trouble
from keploy_framework.recording.clients.outbound import SERVER_CLOSED

if TYPE_CHECKING:
    from keploy_framework.recording.clients.conversation import Conversation
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.tap import ConnectionTap

__all__ = ("AnswerSocket", "AnsweredCall", "ReadingAlong", "TeeSocket", "wait_until")


class AnsweredCall(Protocol):
    """What a socket has to know of the call for which it stands in."""

    interception: Interception
    conversation: Conversation | None
    live: Any


class TeeSocket:
    """A socket whose file is read along; nothing else of it is asked for."""

    def __init__(self, sock: Any, tap: ConnectionTap, files: list[ReadingAlong]) -> None:
        self._sock = sock
        self._tap = tap
        self._files = files

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """Return the file that http.client reads."""
        del buffering  # http.client leaves it to the socket, which chooses as here
        file = ReadingAlong(self._sock.makefile(mode, 0), self._tap)
        self._files.append(file)
        return io.BufferedReader(file)


class ReadingAlong(io.RawIOBase):
    """Reads from a socket for a client, and shows a tap what came, read by read."""

    def __init__(self, raw: io.RawIOBase, tap: ConnectionTap) -> None:
        super().__init__()
        self._raw = raw
        self._tap = tap
        self.begun = False

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read once from the socket."""
        try:
            size = cast("int | None", self._raw.readinto(buffer))
        except BaseException as error:
            self._tap.closed(error)
            raise
        if size:
            self._tap.from_server(bytes(memoryview(buffer)[:size]))
        elif size == 0:
            self._tap.server_ended(SERVER_CLOSED)
        return size

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._raw.fileno()

    def close(self) -> None:
        """Close it, as the client that wants no more."""
        if not self.closed:
            self._raw.close()
            if self.begun:
                self._tap.closed(IncompleteAnswerError("the client stopped reading"))
        super().close()


class AnswerSocket:
    """What a connection holds in place of a socket while its calls are answered."""

    def __init__(self, call: AnsweredCall | None) -> None:
        self.call = call
        self._timeout: float | None = None

    def sendall(self, data: Any) -> None:
        """Take what the client sends."""
        if self.call is not None and self.call.conversation is not None:
            self.call.conversation.feed(bytes(data))

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """Return the file out of which the answer is read."""
        del mode, buffering
        call = cast("AnsweredCall", self.call)
        answer = _Answer(call.interception, cast("Conversation", call.conversation), self._timeout)
        return io.BufferedReader(answer)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a read may wait."""
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Return how long a read may wait."""
        return self._timeout

    def setsockopt(self, *option: object) -> None:
        """Options of a socket change nothing here."""

    def getpeercert(self, binary_form: bool = False) -> bytes | dict[str, object] | None:  # noqa: FBT001, FBT002 - as of a socket
        """Return no certificate; it was checked when the call was recorded."""
        return None if binary_form else {}

    def shutdown(self, how: int) -> None:
        """Nobody is at the other end."""

    def fileno(self) -> int:
        """Return a descriptor on which nothing comes: pools ask it whether the line is dead."""
        return _silent_pipe()

    def close(self) -> None:
        """Close the socket whose place this one has taken."""
        if self.call is not None and self.call.live is not None:
            self.call.live.close()


@functools.cache
def _silent_pipe() -> int:
    """Return the end of a pipe into which nobody writes; one for the life of the process."""
    return os.pipe()[0]


class _Answer(io.RawIOBase):
    """The file of a socket that is connected to a recording: one segment for each read."""

    def __init__(
        self, interception: Interception, conversation: Conversation, timeout: float | None
    ) -> None:
        super().__init__()
        self._interception = interception
        self._conversation = conversation
        self._timeout = timeout
        self._started = interception.clock()
        self._rest = b""

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        conversation = self._conversation
        if not self._rest:
            if not conversation.segments:
                return self._end()
            segment = conversation.segments[0]
            wait_until(self._interception, segment.at, self._started, self._timeout)
            conversation.segments.popleft()
            self._rest = segment.data
        view = memoryview(buffer)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _end(self) -> int:
        """Come to the end of the recording: of the answer, or of what there is of it."""
        found = self._conversation.trouble
        if found is None or found is Trouble.CUT:
            return 0
        wait_until(self._interception, self._conversation.end, self._started, self._timeout)
        exchange = self._conversation.exchange
        failure = exchange.failure if exchange is not None else None
        text = failure.text if failure is not None else ""
        if found in {Trouble.READ_TIMEOUT, Trouble.CONNECT_TIMEOUT}:
            raise TimeoutError(text or "timed out")
        if found is Trouble.LEFT:
            request = self._conversation.request
            raise IncompleteAnswerError(
                f"the recorded answer to {request.method} {request.url} ends here: the client that "
                f"was recorded stopped reading"
            )
        raise ConnectionResetError(text)


def wait_until(
    interception: Interception, at: float, started: float, timeout: float | None
) -> None:
    """Wait until what came at `at` is due; no longer than the client would."""
    if not interception.speed:
        return
    left = started + interception.due(at) - interception.clock()
    if timeout is not None and left > timeout:
        interception.sleep(timeout)
        raise TimeoutError("timed out")
    if left > 0:
        interception.sleep(left)
