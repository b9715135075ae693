"""Trouble on the wire, told without a client: what was recorded with one is raised with any.

A recording names the exception that a client raised, or the operating system. Each client raises
its own kind of it when the recording is played.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from keploy_framework.model import Failure

__all__ = ("Trouble", "trouble")


class Trouble(Enum):
    """What went wrong."""

    CONNECT = "no connection"
    """The name was not found, the connection refused, the certificate not accepted."""
    CONNECT_TIMEOUT = "no connection in time"
    READ_TIMEOUT = "no answer in time"
    CUT = "the server closed the connection too early"
    RESET = "the connection broke"
    LEFT = "the client stopped reading"
    """Nothing went wrong on the wire: whoever called wanted no more, or was cancelled."""


_KINDS: Final = {
    Trouble.CONNECT: (
        "CertificateError",
        "ClientConnectorCertificateError",
        "ClientConnectorDNSError",
        "ClientConnectorError",
        "ClientConnectorSSLError",
        "ClientProxyConnectionError",
        "ConnectError",
        "ConnectionRefusedError",
        "NameResolutionError",
        "NewConnectionError",
        "ProxyError",
        "SSLCertVerificationError",
        "SSLError",
        "gaierror",
    ),
    Trouble.CONNECT_TIMEOUT: ("ConnectTimeout", "ConnectTimeoutError", "ConnectionTimeoutError"),
    Trouble.READ_TIMEOUT: (
        "PoolTimeout",
        "ReadTimeout",
        "ReadTimeoutError",
        "ServerTimeoutError",
        "SocketTimeoutError",
        "TimeoutError",
        "WriteTimeout",
    ),
    Trouble.CUT: (
        "ClientPayloadError",
        "EOFError",
        "IncompleteRead",
        "ProtocolError",
        "RemoteDisconnected",
        "RemoteProtocolError",
        "ServerDisconnectedError",
    ),
    Trouble.LEFT: (
        "CancelledError",
        "GeneratorExit",
        "IncompleteAnswerError",
        "KeyboardInterrupt",
        "SystemExit",
    ),
}
_BY_NAME: Final = {name: found for found, names in _KINDS.items() for name in names}


def trouble(failure: Failure) -> Trouble:
    """Say what kind of trouble a recording tells of.

    >>> from keploy_framework.model import Failure
    >>> trouble(Failure("httpx.ReadTimeout", "timed out"))
    <Trouble.READ_TIMEOUT: 'no answer in time'>
    """
    found = _BY_NAME.get(failure.kind.rpartition(".")[2], Trouble.RESET)
    if found is Trouble.LEFT and failure.text.startswith("the server"):
        return Trouble.CUT  # an answer is incomplete, whoever gave up; the text tells who
    return found
