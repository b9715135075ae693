"""What the recorder asks of a redaction: nothing reaches the journal that did not pass through it.

The redaction of this package is `keploy_framework.redact.Redaction`; any object of this shape will
do. It is called on the recorder's own thread, one exchange after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from keploy_framework.model import Exchange, Headers

__all__ = ("Numbered", "Redactor", "Unredacted", "Window")


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
