"""`RecordingProxy`: a reverse proxy in front of a server that cannot take a middleware.

Bytes are forwarded as they come, at once and unaltered, each client connection on a connection of
its own; a `ConnectionTap` reads them beside. What is slow to take what it is sent slows its sender:
nothing piles up here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from keploy_framework.errors import IncompleteAnswerError, ListenError, OptionError
from keploy_framework.recording.proxy_line import ProxyLine

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from keploy_framework.recording.sink import Sink

__all__ = ("RecordingProxy",)

_HIGHEST_PORT: Final = 65535


class RecordingProxy:
    """Forward a local port to a server, and record what passes.

    HTTP/1.0 and 1.1 are recorded: keep-alive, pipelining, chunks and trailers, ``Expect``,
    upgrades, and WebSockets with ``permessage-deflate``. Anything else passes through unrecorded.
    The ``Host`` header stays that of the client. A server that cannot be reached, or that closes
    the connection instead of answering, is a 502 that says so, and a recorded failure.

    Args:
        upstream: The server: ``http://host:port`` or ``https://host``, without a path.
        recorder: Where exchanges go: a recorder, or any other `Sink`.
        host: Where to listen. Default: only this machine.
        port: The port to listen at; 0, the default, takes a free one (see `url`).
        ssl_context: How to check the server's certificate. Default: with the system's authorities.
        connect_timeout: Seconds to wait for a connection to the server, more than 0. Default: 10.

    Raises:
        OptionError: An option has a value that it cannot have.

    Example:
        ```text
        async with RecordingProxy("http://127.0.0.1:8000", recorder) as proxy:
            print(proxy.url)
            await asyncio.Event().wait()
        ```
    """

    def __init__(
        self,
        upstream: str,
        recorder: Sink,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = 10.0,
    ) -> None:
        self._secure, self._upstream_host, self._upstream_port = _address(upstream)
        if ssl_context is not None and not self._secure:
            raise OptionError(f"ssl_context is for an https:// upstream, not for {upstream!r}")
        if isinstance(port, bool) or not 0 <= port <= _HIGHEST_PORT:
            raise OptionError(f"port must be between 0 and {_HIGHEST_PORT}, not {port!r}")
        if isinstance(connect_timeout, bool) or not 0 < connect_timeout < float("inf"):
            raise OptionError(
                f"connect_timeout must be a number of seconds, more than zero and finite, "
                f"not {connect_timeout!r}"
            )
        self._ssl: ssl.SSLContext | bool | None = (ssl_context or True) if self._secure else None
        self._recorder = recorder
        self._host = host
        self._port = port
        self._connect_timeout = connect_timeout
        self._server: asyncio.Server | None = None
        self._lines: set[ProxyLine] = set()
        self._empty = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that it listens at; before `start`, the one that was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: The port is taken, or is not ours to take.
        """
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: ProxyLine(self, self._recorder).client, self._host, self._port
            )
        except OSError as error:
            raise ListenError(
                f"the proxy cannot listen at {self._host}:{self._port}: {error.strerror or error}; "
                f"choose another port, or 0 for any that is free"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and cut the connections; answers under way are recorded as failed."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for line in tuple(self._lines):
            line.cut(IncompleteAnswerError("the proxy was closed before the answer was whole"))
        while self._lines:
            self._empty.clear()
            await self._empty.wait()
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # --- for the lines ----------------------------------------------------------------------

    @property
    def upstream(self) -> str:
        """Host and port of the server."""
        return f"{self._upstream_host}:{self._upstream_port}"

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the server.

        Raises:
            OSError: It cannot be reached, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await loop.create_connection(
                    make, self._upstream_host, self._upstream_port, ssl=self._ssl
                )
        except TimeoutError as error:
            raise ConnectionError(f"no connection within {self._connect_timeout:g} s") from error

    def opened(self, line: ProxyLine) -> None:
        """Take note of a new connection."""
        self._lines.add(line)

    def over(self, line: ProxyLine) -> None:
        """Take note that nothing of a connection is left."""
        self._lines.discard(line)
        if not self._lines:
            self._empty.set()


def _address(upstream: str) -> tuple[bool, str, int]:
    """Return whether ``upstream`` is reached over TLS, its host, and its port."""
    try:
        parts = urlsplit(upstream)
        port = parts.port
    except ValueError as error:
        raise OptionError(f"upstream {upstream!r} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(
            f"upstream must be a URL as http://127.0.0.1:8000 or https://example.com, "
            f"not {upstream!r}"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise OptionError(
            f"upstream must name a server only, but {upstream!r} has more; requests are forwarded "
            f"as they come, with the path that the client asks for"
        )
    secure = parts.scheme == "https"
    return secure, parts.hostname, port or (443 if secure else 80)
