"""What the recorder asks of a redaction: nothing reaches the journal that did not pass through it.

The redaction of this package is `keploy_framework.redact.Redaction`; any object of this shape will
do. It is called on the recorder's own thread, one exchange after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from keploy_framework.recording.session import lane

if TYPE_CHECKING:
    from pathlib import Path

    from keploy_framework.model import Exchange, Headers

__all__ = ("Numbered", "Redactor", "Unredacted", "Window", "default_redaction", "number")

_LANE_WIDTH: Final = 1_000_000
"""How many placeholders of one kind a process may give before they could be those of another."""


class Window(Protocol):
    """Removes secrets from a body too long to be held: bytes go in, safe bytes come out, later."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that can no longer be part of a secret."""
        ...

    def finish(self) -> bytes:
        """Return what is still held back; nothing is fed after this."""
        ...


class Redactor(Protocol):
    """Removes secrets from exchanges, and from bodies that are too long for an exchange."""

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return the exchange without its secrets: URL, headers, bodies, messages, failure.

        The pieces of the answer stay as many as they were, and keep their times. A body that
        cannot be scanned becomes `Omitted`.
        """
        ...

    def window(self, headers: Headers) -> Window | None:
        """Return what redacts a long body with these headers; None if it cannot be scanned."""
        ...


@runtime_checkable
class Numbered(Protocol):
    """A redactor whose placeholders have ordinals, which shall differ from those of others."""

    def start_at(self, ordinal: int) -> None:
        """Give no ordinal up to this one any more."""
        ...


class Unredacted:
    """Stores everything as it came, secrets included: only for traffic that holds none."""

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return the exchange itself."""
        return exchange

    def window(self, headers: Headers) -> Window:
        """Return a window that lets everything pass."""
        del headers
        return _Open()


class _Open:
    """The window of `Unredacted`."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


def default_redaction() -> Redactor:
    """Return the redaction of this package."""
    from keploy_framework.redact import Redaction  # noqa: PLC0415 - many patterns, needed only now

    return Redaction.default()


def number(redact: Redactor, folder: Path, test_set: str | None, session: str) -> None:
    """Let the placeholders of this process differ from those of all others of a test set.

    Args:
        redact: What gives them; one that does not number them is left alone.
        folder: The `keploy` folder.
        test_set: The set that is recorded into, which may be there already; None for a new one.
        session: The id of the recording session.

    Raises:
        OSError: The folder cannot be written.
    """
    if isinstance(redact, Numbered):
        used = 0
        if test_set is not None and (folder / test_set).is_dir():
            used = _used_ordinals(folder / test_set)
        redact.start_at(used + lane(folder, session) * _LANE_WIDTH)


def _used_ordinals(test_set: Path) -> int:
    """Return the highest ordinal of a placeholder in a test set that is there already."""
    from keploy_framework.redact.placeholders import highest_ordinal  # noqa: PLC0415 - seldom needed

    files = [path for path in test_set.rglob("*") if path.suffix in {".yaml", ".json"}]
    return max((highest_ordinal(path.read_text("utf-8", "replace")) for path in files), default=0)
