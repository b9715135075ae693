"""While it is blocked, nothing reaches for the network unnoticed."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.errors import NetworkBlockedError, OptionError, UnrecordedCallError
from keploy_framework.recording.network import AllowedHosts, blocked_network

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = ("192.0.2.1", 9)
"""A documentation address (RFC 5737): nobody is there, should a test fail to block it."""


def _udp(call: Callable[[socket.socket], object]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        call(sock)


def _tcp(call: Callable[[socket.socket], object]) -> None:
    with socket.socket() as sock:
        call(sock)


REACHES: dict[str, Callable[[], object]] = {
    "connect": lambda: _tcp(lambda sock: sock.connect(ADDRESS)),
    "connect_ex": lambda: _tcp(lambda sock: sock.connect_ex(ADDRESS)),
    "create_connection": lambda: socket.create_connection(ADDRESS),
    "sendto": lambda: _udp(lambda sock: sock.sendto(b"", ADDRESS)),
    "sendmsg": lambda: _udp(lambda sock: sock.sendmsg([b""], [], 0, ADDRESS)),
    "getaddrinfo": lambda: socket.getaddrinfo("blocked.invalid", 80),
    "getaddrinfo-bytes": lambda: socket.getaddrinfo(b"blocked.invalid", 80),
    "gethostbyname": lambda: socket.gethostbyname("blocked.invalid"),
    "gethostbyname_ex": lambda: socket.gethostbyname_ex("blocked.invalid"),
    "gethostbyaddr": lambda: socket.gethostbyaddr("blocked.invalid"),
    "asyncio": lambda: asyncio.run(asyncio.wait_for(_open("192.0.2.1"), 60)),
    "asyncio-name": lambda: asyncio.run(asyncio.wait_for(_open("blocked.invalid"), 60)),
}


async def _open(host: str) -> None:
    await asyncio.open_connection(host, 9)


@pytest.mark.parametrize("reach", REACHES)
def test_every_way_out_is_refused(reach: str) -> None:
    """Connections, datagrams and lookups of names are refused."""
    with blocked_network(), pytest.raises(NetworkBlockedError) as caught:
        REACHES[reach]()

    assert caught.value.host in {"192.0.2.1", "blocked.invalid"}


def test_the_error_says_host_permission_and_nearest_recording() -> None:
    """It can be acted on without looking anything up."""
    asked: list[tuple[str, int | None]] = []

    def nearest(host: str, port: int | None) -> str | None:
        asked.append((host, port))
        return "get-users-1 (GET http://198.51.100.1/users)"

    with blocked_network(nearest=nearest), pytest.raises(NetworkBlockedError) as caught:
        socket.create_connection(ADDRESS)

    assert asked == [ADDRESS]
    for said in ("192.0.2.1:9", "allow_hosts=['192.0.2.1']", "get-users-1"):
        assert said in str(caught.value)
    assert (caught.value.host, caught.value.port) == ADDRESS
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made here
    assert (again.host, again.port, str(again)) == (*ADDRESS, str(caught.value))


def test_the_miss_survives_pickling() -> None:
    """Workers of xdist send errors to each other."""
    error = UnrecordedCallError(
        "no", method="GET", url="u", nearest="n", differences=("d",), paste="p"
    )
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert vars(again) == vars(error)
    assert str(again) == "no"


def test_unix_sockets_pass(tmp_path: Any) -> None:
    """What stays on the machine by nature is not the network."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, blocked_network():
        server.bind(path)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        one, other = socket.socketpair()
        one.close()
        other.close()


@pytest.fixture
def listening() -> Any:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.*", "localhost", "*host", "[::1]"])
def test_allowed_hosts_pass_by_name_and_by_address(listening: int, allowed: str) -> None:
    """A name allows its addresses, too; nothing else is allowed with it."""
    host = "127.0.0.1" if "127" in allowed else "localhost"
    with blocked_network([allowed]):
        if allowed == "[::1]":
            with pytest.raises(NetworkBlockedError):
                socket.create_connection((host, listening))
        else:
            socket.create_connection((host, listening)).close()
        with pytest.raises(NetworkBlockedError):
            socket.create_connection(ADDRESS)


def test_a_port_limits_the_permission_to_itself(listening: int) -> None:
    """`localhost:5432` opens no other port of the machine."""
    with blocked_network([f"localhost:{listening}"]):
        socket.create_connection(("localhost", listening)).close()
        socket.create_connection(("127.0.0.1", listening)).close()
        with pytest.raises(NetworkBlockedError):
            socket.create_connection(("127.0.0.1", 9))


def test_allowed_hosts_pass_under_asyncio(listening: int) -> None:
    """The loop looks names up in another thread."""

    async def connect() -> None:
        _, writer = await asyncio.open_connection("localhost", listening)
        writer.close()
        await writer.wait_closed()

    for context in (False, True):
        with blocked_network(["localhost"], context=context):
            asyncio.run(connect())


def test_it_blocks_other_threads_unless_it_is_of_its_context(listening: int) -> None:
    """The process is blocked; a context of its own leaves other threads alone."""
    results: list[object] = []

    def reach() -> None:
        try:
            socket.create_connection(("127.0.0.1", listening)).close()
        except NetworkBlockedError as error:
            results.append(error.host)
        else:
            results.append("passed")

    for context in (False, True):
        with blocked_network(context=context):
            thread = threading.Thread(target=reach)
            thread.start()
            thread.join()
            reach()

    assert results == ["127.0.0.1", "127.0.0.1", "passed", "127.0.0.1"]


def test_the_innermost_block_decides(listening: int) -> None:
    """Inner blocks may allow what outer ones do not; afterwards the outer one holds again."""
    with blocked_network():
        with blocked_network(["127.0.0.1"]):
            socket.create_connection(("127.0.0.1", listening)).close()
        with pytest.raises(NetworkBlockedError):
            socket.create_connection(("127.0.0.1", listening))
    socket.create_connection(("127.0.0.1", listening)).close()


@pytest.mark.parametrize("bad", ["", "  ", "http://example.com/", "a:b", 1, None])
def test_what_is_no_host_is_an_error(bad: Any) -> None:
    """Mistakes do not silently allow or block anything."""
    with pytest.raises(OptionError, match="allow_hosts"):
        AllowedHosts([bad])


def test_a_single_text_is_no_list_of_hosts() -> None:
    """Else each of its letters would be a host."""
    with pytest.raises(OptionError, match="list of hosts"):
        AllowedHosts("example.com")


@pytest.mark.parametrize(
    ("pattern", "host", "allows"),
    [
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "www.example.com", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "example.com", False),
        ("[::1]:80", "0:0:0:0:0:0:0:1", True),
        ("::1", "[::1]", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
    ],
)
def test_hosts_are_compared_in_one_form(pattern: str, host: str, *, allows: bool) -> None:
    """Case, a final dot, brackets and spellings of an address make no difference."""
    assert AllowedHosts([pattern]).allows(host, 80) is allows
