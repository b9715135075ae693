"""A real server whose answers are given piece by piece, and every way of reading them."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from keploy_framework.recording.clients import RecordedAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from keploy_framework.matching.mock_index import Miss
    from keploy_framework.model import Exchange, Request

PIECES = tuple(b"data: %d\n\n" % number for number in range(10))
PATIENCE = 60.0
"""Seconds after which a test fails instead of waiting on."""

Step = Callable[[], None]
Way = Callable[[str, Step], list[bytes]]


@dataclass
class Server:
    """An HTTP/1.1 server on a loopback port; paths say how it answers.

    `/pieces` sends ten pieces, each when `step` is called. `served` are the request heads and
    bodies that came.
    """

    port: int = 0
    served: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: bool = False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def step(self) -> None:
        """Let one piece go."""
        self.gate.release()

    async def _piece(self) -> None:
        if not self.open and not await asyncio.to_thread(self.gate.acquire, True, PATIENCE):
            raise ConnectionError("nobody asked for the next piece")

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # it ends here in any case
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await self._body(reader, head)
        self.served.append((head, body))
        target = head.split(b" ", 2)[1].decode()
        path = re.sub(r"^https?://[^/]+", "", target).partition("?")[0].strip("/")
        again: bool = await getattr(self, f"get_{path}")(head, body, writer)
        return again

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length:
            return await reader.readexactly(int(length[1]))
        if not re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            return b""
        parts: list[bytes] = []
        while size := int(await reader.readline(), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
        return b"".join(parts)

    async def get_pieces(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for piece in PIECES:
            await self._piece()
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    async def get_measured(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Like /pieces, with a Content-Length."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(b"".join(PIECES)))
        for piece in PIECES:
            await self._piece()
            writer.write(piece)
            await writer.drain()
        return True

    async def get_unmeasured(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Like /pieces, with an end that is the connection's."""
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for piece in PIECES:
            await self._piece()
            writer.write(piece)
            await writer.drain()
        return False

    async def get_echo(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        method = head.split(b" ", 1)[0]
        writer.write(b"HTTP/1.1 200 Fine By Me\r\nX-Twice: 1\r\nx-twice: 2\r\n")
        writer.write(b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Latin: caf\xe9\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body))
        writer.write(b"" if method == b"HEAD" else body)
        return True

    async def get_empty(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        return True

    async def get_gzip(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        await self._coded(writer, b"gzip", gzip.compress(b"squeezed " * 50, mtime=0))
        return True

    async def get_deflate(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        await self._coded(writer, b"deflate", zlib.compress(b"squeezed " * 50))
        return True

    async def _coded(self, writer: asyncio.StreamWriter, coding: bytes, data: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n" % coding)
        writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        await writer.drain()

    async def get_moved(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 307 Over There\r\nLocation: /echo?again\r\n")
        writer.write(b"Content-Length: 4\r\n\r\ngone")
        return True

    async def get_early(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        return await self.get_echo(head, body, writer)

    async def get_trailed(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"2;name=value\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n")
        return True

    async def get_cut(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        return False

    async def get_silent(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        return False

    async def get_hanging(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        await self._piece()
        return False


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve until the test is over."""
    made = Server()
    ready = threading.Event()
    stop: Callable[[], object] = ready.set

    async def serve() -> None:
        nonlocal stop
        listening = await asyncio.start_server(made.connection, "127.0.0.1", 0)
        made.port = listening.sockets[0].getsockname()[1]
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop = lambda: loop.call_soon_threadsafe(over.set)  # noqa: E731 - one line of glue
        ready.set()
        await over.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(PATIENCE)
    yield made
    made.open = True
    for _ in PIECES * 3:
        made.step()
    stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


class Recordings(RecordedAnswers):
    """Answers from exchanges, each once, in their order; remembers what it was asked."""

    def __init__(self, *exchanges: Exchange) -> None:
        super().__init__(exchanges)
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Exchange | Miss | None:
        self.asked.append(request)
        return super().answer(request)


@pytest.fixture
def recordings() -> type[Recordings]:
    """Make responders out of exchanges."""
    return Recordings


# --- every way of reading ---------------------------------------------------------------------


def _httpx(library: Any, how: str) -> Way:
    def read(url: str, step: Step) -> list[bytes]:
        with (
            library.Client(timeout=PATIENCE, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            step()
            return _each(getattr(response, how)(), step)

    return read


def _async_httpx(library: Any, how: str) -> Way:
    async def read(url: str, step: Step) -> list[bytes]:
        async with (
            library.AsyncClient(timeout=PATIENCE, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            step()
            return await _each_async(getattr(response, how)(), step)

    return lambda url, step: asyncio.run(read(url, step))


def _requests(how: Callable[[requests.Response], Iterator[Any]]) -> Way:
    def read(url: str, step: Step) -> list[bytes]:
        with requests.Session() as session, session.get(url, stream=True, timeout=PATIENCE) as got:
            step()
            return _each(how(got), step)

    return read


def _urllib3(how: Callable[[Any], Iterator[Any]]) -> Way:
    def read(url: str, step: Step) -> list[bytes]:
        with urllib3.PoolManager() as pool:
            got = pool.request("GET", url, preload_content=False, timeout=PATIENCE)
            step()
            pieces = _each(how(got), step)
            got.release_conn()
            return pieces

    return read


def _aiohttp(how: Callable[[aiohttp.StreamReader], AsyncIterator[Any]]) -> Way:
    async def read(url: str, step: Step) -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            step()
            return await _each_async(how(response.content), step)

    return lambda url, step: asyncio.run(read(url, step))


def _as_bytes(piece: Any) -> bytes:
    data: Any = piece[0] if isinstance(piece, tuple) else piece  # pyright: ignore[reportUnknownVariableType]
    return data.encode() if isinstance(data, str) else bytes(data)  # pyright: ignore[reportUnknownArgumentType]


def _each(pieces: Iterator[Any], step: Step) -> list[bytes]:
    taken: list[bytes] = []
    for piece in pieces:
        taken.append(_as_bytes(piece))
        if taken[-1].strip():
            step()
    return taken


async def _each_async(pieces: AsyncIterator[Any], step: Step) -> list[bytes]:
    taken: list[bytes] = []
    async for piece in pieces:
        taken.append(_as_bytes(piece))
        if taken[-1].strip():
            step()
    return taken


def _read1(response: Any) -> Iterator[bytes]:
    while piece := response.read1():
        yield piece


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while line := await content.readline():
        yield line


async def _readany(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while piece := await content.readany():
        yield piece


IN_PIECES: dict[str, Way] = {
    "httpx-iter_raw": _httpx(httpx, "iter_raw"),
    "httpx-iter_bytes": _httpx(httpx, "iter_bytes"),
    "httpx-iter_text": _httpx(httpx, "iter_text"),
    "httpx-aiter_raw": _async_httpx(httpx, "aiter_raw"),
    "httpx-aiter_bytes": _async_httpx(httpx, "aiter_bytes"),
    "httpx2-iter_raw": _httpx(httpx2, "iter_raw"),
    "httpx2-iter_bytes": _httpx(httpx2, "iter_bytes"),
    "httpx2-aiter_raw": _async_httpx(httpx2, "aiter_raw"),
    "requests-iter_content": _requests(lambda got: got.iter_content(None)),
    "requests-raw-stream": _requests(lambda got: got.raw.stream()),
    "urllib3-stream": _urllib3(lambda got: got.stream()),
    "urllib3-read_chunked": _urllib3(lambda got: got.read_chunked()),
    "urllib3-read1": _urllib3(_read1),
    "aiohttp-iter_any": _aiohttp(lambda content: content.iter_any()),
    "aiohttp-iter_chunked": _aiohttp(lambda content: content.iter_chunked(4096)),
    "aiohttp-iter_chunks": _aiohttp(lambda content: content.iter_chunks()),
    "aiohttp-readany": _aiohttp(_readany),
}
IN_LINES: dict[str, Way] = {
    "httpx-iter_lines": _httpx(httpx, "iter_lines"),
    "httpx-aiter_lines": _async_httpx(httpx, "aiter_lines"),
    "httpx2-iter_lines": _httpx(httpx2, "iter_lines"),
    "requests-iter_lines": _requests(lambda got: got.iter_lines()),
    "aiohttp-readline": _aiohttp(_lines),
}


@pytest.fixture(params=IN_PIECES)
def in_pieces(request: pytest.FixtureRequest) -> Way:
    """Read an answer as it comes, piece by piece; call `step` before each."""
    return IN_PIECES[request.param]


@pytest.fixture(params=IN_LINES)
def in_lines(request: pytest.FixtureRequest) -> Way:
    """Read an answer as it comes, line by line."""
    return IN_LINES[request.param]
