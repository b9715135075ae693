"""What can go wrong, as exceptions: one root, and one class for each thing a caller handles apart.

```text
KeployError                      everything that this package raises on purpose
├── AppStartError                the application under test does not start, or is not there
├── FolderInUseError             another session records into this folder
├── FormatError (ValueError)     a file is not what it has to be; names file and line
├── IncompleteAnswerError        an answer ended before it was whole
├── JournalError                 a journal cannot be read or written
├── ListenError (OSError)        a server of ours cannot listen, as when its port is taken
├── NetworkBlockedError          something reached for the network while it was blocked
├── OptionError (ValueError)     an option has a value that it cannot have
└── UnrecordedCallError (LookupError)  an outbound call has no recorded answer
```
"""

from __future__ import annotations

__all__ = (
    "AppStartError",
    "FolderInUseError",
    "FormatError",
    "IncompleteAnswerError",
    "JournalError",
    "KeployError",
    "ListenError",
    "NetworkBlockedError",
    "OptionError",
    "UnrecordedCallError",
)


class KeployError(Exception):
    """Root of the errors of this package; its text says what happened, where, and what to do."""


class AppStartError(KeployError):
    """The application under test does not start, or does not answer where it should.

    Attributes:
        output: The end of what it printed, if it was started here; "" otherwise.
    """

    def __init__(self, message: str, *, output: str = "") -> None:
        self.message = message
        self.output = output
        super().__init__(f"{message}\n{output}".rstrip())

    def __reduce__(self) -> tuple[object, ...]:
        return _app_start_error, (self.message, self.output)


class FolderInUseError(KeployError):
    """Another recording session is at work in the folder: stop it, or choose another folder."""


class FormatError(KeployError, ValueError):
    """A file cannot be read as what it has to be.

    Attributes:
        path: The file.
        line: The line in it, from 1; None when the whole file is meant.
    """

    def __init__(self, message: str, *, path: str = "", line: int | None = None) -> None:
        self.message = message
        self.path = path
        self.line = line
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {message}" if place else message)

    def __reduce__(self) -> tuple[object, ...]:
        return _format_error, (self.message, self.path, self.line)


class IncompleteAnswerError(KeployError):
    """An answer ended before it was whole: the application, the server or the client gave up."""


class JournalError(KeployError):
    """A journal cannot be read or written."""


class ListenError(KeployError, OSError):
    """A server of ours cannot listen at the address it was given, as when the port is taken."""


class NetworkBlockedError(KeployError):
    """Something reached for the network while it was blocked.

    It is no `OSError`, so that no client takes it for trouble on the wire, tries again, or hides it
    in an error of its own.

    Attributes:
        host: The name or address that was reached for.
        port: The port; None for the lookup of a name.
    """

    def __init__(self, message: str, *, host: str = "", port: int | None = None) -> None:
        self.message = message
        self.host = host
        self.port = port
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return _network_blocked_error, (self.message, self.host, self.port)


class OptionError(KeployError, ValueError):
    """An option has a value that it cannot have, or does not exist."""


class UnrecordedCallError(KeployError, LookupError):
    """An outbound call has no recorded answer.

    Attributes:
        method: The method of the call.
        url: Its URL.
        nearest: The name of the recording that comes nearest; None when there is none.
        differences: What keeps that recording from answering, one sentence each.
        paste: What to add, and where, so that it answers; empty when nothing would.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        nearest: str | None = None,
        differences: tuple[str, ...] = (),
        paste: str = "",
    ) -> None:
        self.message = message
        self.method = method
        self.url = url
        self.nearest = nearest
        self.differences = differences
        self.paste = paste
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        state = (self.message, self.method, self.url, self.nearest, self.differences, self.paste)
        return _unrecorded_call_error, state


def _app_start_error(message: str, output: str) -> AppStartError:
    """Make an `AppStartError` again after pickling."""
    return AppStartError(message, output=output)


def _network_blocked_error(message: str, host: str, port: int | None) -> NetworkBlockedError:
    """Make a `NetworkBlockedError` again after pickling."""
    return NetworkBlockedError(message, host=host, port=port)


def _unrecorded_call_error(
    message: str,
    method: str,
    url: str,
    nearest: str | None,
    differences: tuple[str, ...],
    paste: str,
) -> UnrecordedCallError:
    """Make an `UnrecordedCallError` again after pickling."""
    return UnrecordedCallError(
        message, method=method, url=url, nearest=nearest, differences=differences, paste=paste
    )


def _format_error(message: str, path: str, line: int | None) -> FormatError:
    """Make a `FormatError` again after pickling."""
    return FormatError(message, path=path, line=line)
