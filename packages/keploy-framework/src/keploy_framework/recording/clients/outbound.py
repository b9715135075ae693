"""Outbound calls in the bytes of a connection, told to the sink of an interception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keploy_framework.recording.tap import ConnectionTap

if TYPE_CHECKING:
    from keploy_framework.model import Direction, Headers
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.sink import ExchangeWriter

__all__ = ("SERVER_CLOSED", "call_url", "outbound_tap")

SERVER_CLOSED: Final = "the server closed the connection before its answer was whole"
"""Why an answer is incomplete when its server gave up, in order."""


class _Outbound:
    """A sink for one connection of a client, which knows whom it calls better than a header."""

    __slots__ = ("_interception", "_origin")

    def __init__(self, interception: Interception, origin: str | None) -> None:
        self._interception = interception
        self._origin = origin

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> ExchangeWriter | None:
        """Begin an outbound exchange."""
        del direction  # a tap takes what it sees for inbound
        return self._interception.open(method, call_url(self._origin, url), headers, http_version)


def outbound_tap(interception: Interception, origin: str | None) -> ConnectionTap:
    """Return a tap for one call.

    Args:
        interception: Where the call goes.
        origin: Scheme, host and port that the client is connected to, such as
            `https://example.com:8443`; None on the way to a forwarding proxy, whose requests name
            their host.
    """
    scheme, _, server = (origin or "http://proxy.invalid").partition("://")
    return ConnectionTap(_Outbound(interception, origin), scheme, server)


def call_url(origin: str | None, url: str) -> str:
    """Return `url` at the origin that is really called.

    >>> call_url("https://127.0.0.1:8443", "wss://example.com/a?b")
    'wss://127.0.0.1:8443/a?b'
    """
    if origin is None:
        return url
    scheme, _, rest = url.partition("://")
    _, slash, path = rest.partition("/")
    return f"{scheme}://{origin.partition('://')[2]}{slash}{path}"
