"""A network that is really blocked: nothing gets out while recordings are replayed.

An audit hook refuses what Python's sockets do to reach a host: connecting, sending a datagram, and
looking up a name. Unix sockets pass, and so do hosts that are allowed by name.

What does not go through Python's sockets cannot be seen here, and is not blocked: libraries that
bring their own network in C, C++ or Rust (pycurl, grpcio, cassetter, psycopg and psycopg2 through
libpq, mysqlclient, pymssql, confluent-kafka, pyzmq, oracledb in thick mode, rnet and other clients
on top of reqwest, c-ares as used by aiodns and pycares), and programs that are started. uvloop
connects in C too: under it, names and connections that its loop makes by itself pass unseen.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, cast

from keploy_framework.errors import NetworkBlockedError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

__all__ = ("AllowedHosts", "blocked_network", "this_machine")

_CONNECTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)
_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})


def this_machine() -> tuple[str, ...]:
    """Return the hosts that are this machine, for `AllowedHosts`: where servers listen, and stores.

    >>> AllowedHosts(this_machine()).allows("127.0.0.1", 5432)
    True
    """
    own = socket.gethostname()
    named = (own,) if own and "/" not in own else ()
    return ("localhost", "127.*", "::1", "0.0.0.0", *named)  # noqa: S104 - reached for, not bound


class AllowedHosts:
    """Hosts that may be reached, by name or address.

    Args:
        patterns: Names and addresses such as `example.com`, `*.example.com`, `127.0.0.1` or
            `localhost:5432`; a port limits the permission to itself.

    Raises:
        OptionError: A pattern is empty, a URL, or no text.

    >>> AllowedHosts(["*.example.com"]).allows("api.example.com", 443)
    True
    >>> AllowedHosts(["localhost:5432"]).allows("localhost", 6379)
    False
    """

    def __init__(self, patterns: Collection[str] = ()) -> None:
        if isinstance(patterns, str):
            raise OptionError(f"allow_hosts must be a list of hosts, not the text {patterns!r:.60}")
        self._patterns = tuple(_pattern(given) for given in patterns)
        self._addresses: set[tuple[str, int | None]] = set()
        self._lock = threading.Lock()

    def allows(self, host: str, port: int | None = None) -> bool:
        """Whether the host may be reached at the port; None stands for any."""
        if not self._patterns:
            return False
        host = _canonical(host)
        return any(
            fnmatchcase(host, pattern) and (port is None or only is None or only == port)
            for pattern, only in self._patterns
        )

    def allows_address(self, address: str, port: int) -> bool:
        """Whether an address may be reached: it is allowed itself, or belongs to an allowed name.

        A name whose address is not yet known is looked up.
        """
        if self.allows(address, port):
            return True
        address = _canonical(address)
        wanted = {(address, None), (address, port)}
        with self._lock:
            if self._addresses & wanted:
                return True
            for pattern, only in self._patterns:
                if only in {None, port} and "*" not in pattern and not _is_address(pattern):
                    self._learn(pattern, only)
            return bool(self._addresses & wanted)

    def resolved(self, host: str) -> None:
        """Learn the addresses of an allowed name that is being looked up."""
        name = _canonical(host)
        if _is_address(name):
            return
        with self._lock:
            for pattern, only in self._patterns:
                if fnmatchcase(name, pattern):
                    self._learn(name, only)

    def _learn(self, host: str, port: int | None) -> None:
        try:
            found = socket.getaddrinfo(host, None)
        except OSError:  # it has no address, so none is allowed on its behalf
            return
        self._addresses.update((_canonical(str(entry[4][0])), port) for entry in found)


def _pattern(given: object) -> tuple[str, int | None]:
    """Return the host pattern and the port of an entry of `allow_hosts`."""
    if not isinstance(given, str) or not given.strip() or "/" in given:
        raise OptionError(
            f"allow_hosts takes names and addresses like 'example.com', '*.example.com' or "
            f"'localhost:5432', not {given!r:.60}"
        )
    text = given.strip()
    if text.count(":") > 1 and not text.startswith("["):
        return _canonical(text), None
    host, bracket, rest = text.rpartition("]")
    if bracket:
        host, port = host.removeprefix("["), rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if port and not port.isdigit():
        raise OptionError(f"{given!r:.60} in allow_hosts has a port that is no number")
    return _canonical(host), int(port) if port else None


def _canonical(host: str) -> str:
    """Return a host in the one form in which hosts are compared."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Guard:
    """What is refused while it holds."""

    __slots__ = ("allowed", "nearest")

    def __init__(
        self, allowed: AllowedHosts, nearest: Callable[[str, int | None], str | None] | None
    ) -> None:
        self.allowed = allowed
        self.nearest = nearest

    def check_connect(self, address: object) -> None:
        """Refuse a connection to an address that is not allowed."""
        if not isinstance(address, tuple):
            return
        parts = cast("tuple[object, ...]", address)
        if len(parts) < 2:  # noqa: PLR2004 - host and port; others are no internet address
            return
        host, port = parts[:2]
        if not (isinstance(host, str) and isinstance(port, int)):
            return
        if not self.allowed.allows_address(host, port):
            raise self.refusal(host, port)

    def check_lookup(self, host: object, port: object) -> None:
        """Refuse to look up a name that is not allowed."""
        if isinstance(host, bytes | bytearray):
            host = host.decode("ascii", "replace")
        if not isinstance(host, str) or not host:
            return
        number = port if isinstance(port, int) else None
        if self.allowed.allows(host, number):
            self.allowed.resolved(host)
        elif not _is_address(_canonical(host)):
            raise self.refusal(host, number)

    def refusal(self, host: str, port: int | None) -> NetworkBlockedError:
        """Say what was refused, how to allow it, and which recording comes nearest."""
        shown = f"[{host}]" if ":" in host else host
        place = shown if port is None else f"{shown}:{port}"
        lines = [
            f"the network is blocked while recordings are replayed: {place} was reached for",
            f"to allow it: allow_hosts=[{host!r}]",
        ]
        nearest = self.nearest(host, port) if self.nearest is not None else None
        lines.append(f"nearest recording: {nearest}" if nearest else "no recording comes near it")
        return NetworkBlockedError("\n".join(lines), host=host, port=port)


_here: Final[ContextVar[tuple[_Guard, ...]]] = ContextVar("keploy_network_guards", default=())
_everywhere: tuple[_Guard, ...] = ()
_active = 0
_installed = False
_lock: Final = threading.Lock()
_looking: Final = threading.local()


def _audit(event: str, arguments: Sequence[object]) -> None:
    """Refuse what reaches for the network where a guard holds; everything else passes at once."""
    if not _active or not event.startswith("socket."):
        return
    if event in _CONNECTS:
        family = getattr(arguments[0], "family", None)
        if family not in _INTERNET:
            return
    elif event not in _LOOKUPS:
        return
    guard = (_here.get() or _everywhere or (None,))[-1]
    if guard is None or getattr(_looking, "up", False):
        return
    _looking.up = True  # what the guard itself looks up is not asked about
    try:
        if event in _CONNECTS:
            guard.check_connect(arguments[1] if len(arguments) > 1 else None)
        elif event == "socket.getnameinfo":
            guard.check_connect(arguments[0])
        else:
            guard.check_lookup(arguments[0], arguments[1] if len(arguments) > 1 else None)
    except NetworkBlockedError:
        if event == "socket.connect" and getattr(arguments[0], "type", None) == socket.SOCK_STREAM:
            # Who connects closes the socket when an OSError comes, and only then.
            cast("socket.socket", arguments[0]).close()
        raise
    finally:
        _looking.up = False


@contextmanager
def blocked_network(
    allow_hosts: Collection[str] | AllowedHosts = (),
    *,
    nearest: Callable[[str, int | None], str | None] | None = None,
    context: bool = False,
) -> Generator[None]:
    """Block the network while the block runs.

    Args:
        allow_hosts: What may be reached all the same; nothing by default. On Windows event loops
            need `127.0.0.1`.
        nearest: Says which recording comes nearest to a host and port, for the error.
        context: Block only what runs in this context (this thread or task, and the tasks that it
            starts). Threads of an executor have no context of their own: a name that asyncio looks
            up in one is not refused then, connecting to it is.

    Raises:
        OptionError: An entry of `allow_hosts` is no host.
        NetworkBlockedError: Raised inside the block, where something reaches for the network.

    >>> with blocked_network():
    ...     socket.create_connection(("example.com", 80))
    Traceback (most recent call last):
    ...
    keploy_framework.errors.NetworkBlockedError: the network is blocked while recordings are \
replayed: example.com:80 was reached for
    to allow it: allow_hosts=['example.com']
    no recording comes near it
    """
    global _active, _everywhere, _installed  # noqa: PLW0603 - a hook is of the process
    allowed = allow_hosts if isinstance(allow_hosts, AllowedHosts) else AllowedHosts(allow_hosts)
    guard = _Guard(allowed, nearest)
    with _lock:
        if not _installed:
            sys.addaudithook(_audit)
            _installed = True
        _active += 1
        if not context:
            _everywhere = (*_everywhere, guard)
    if context:
        _here.set((*_here.get(), guard))
    try:
        yield
    finally:
        if context:
            _here.set(tuple(held for held in _here.get() if held is not guard))
        with _lock:
            _everywhere = tuple(held for held in _everywhere if held is not guard)
            _active -= 1
