"""Table D2: every piece of a stream, at its time, in every client and every way of reading."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import requests

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.recording.clients import install
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = tuple(b"data: %d\n\n" % number for number in range(10))
CHUNKED = (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"))


class Time:
    """A clock that moves when somebody sleeps or says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def nothing() -> None:
    """Nobody waits for a replay."""


def record(way: Any, server: Any, path: str = "/pieces") -> tuple[list[bytes], Exchange]:
    """Read a gated answer while recording: what recording holds back, nobody would ever send."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        taken = way(server.url(path), server.step)
    assert not recorder.under_way
    (exchange,) = recorder.exchanges
    return taken, exchange


def streamed(*, times: tuple[float, ...]) -> Exchange:
    """Return an exchange whose pieces came at these times."""
    pieces = tuple(Piece(at, data) for at, data in zip(times, PIECES, strict=True))
    return Exchange(
        id="1",
        direction=Direction.OUTBOUND,
        request=Request("GET", "http://recorded.invalid/pieces"),
        response=Response(200, "OK", CHUNKED, pieces),
        started_at=0,
        ended_at=int(times[-1] * 1e9),
    )


def test_recording_passes_on_each_of_10_pieces_before_the_next_is_sent(
    in_pieces: Any, server: Any
) -> None:
    """10 of 10 pieces reach the reader one by one, and are recorded as they came (D2)."""
    taken, exchange = record(in_pieces, server)

    assert [piece for piece in taken if piece] == list(PIECES)
    assert exchange.failure is None
    assert exchange.response is not None
    assert tuple(piece.data for piece in exchange.response.pieces) == PIECES


def test_recording_passes_on_lines_as_they_come(in_lines: Any, server: Any) -> None:
    """Reading by lines waits for no piece but that of the line (D2)."""
    taken, exchange = record(in_lines, server)

    assert [line.strip() for line in taken if line.strip()] == [piece.strip() for piece in PIECES]
    assert exchange.response is not None
    assert tuple(piece.data for piece in exchange.response.pieces) == PIECES


@pytest.mark.parametrize("path", ["/measured", "/unmeasured"])
def test_recording_keeps_pieces_that_are_no_chunks(in_lines: Any, server: Any, path: str) -> None:
    """With a Content-Length, or until the connection ends, a piece is one read of the wire."""
    server.open = True
    taken, exchange = record(in_lines, server, path)

    assert b"".join(line.strip() for line in taken) == b"".join(p.strip() for p in PIECES)
    assert exchange.response is not None
    assert exchange.response.body == b"".join(PIECES)
    assert exchange.failure is None


def test_replay_gives_what_the_recording_gave(in_pieces: Any, server: Any, recordings: Any) -> None:
    """10 of 10 pieces again, without the network (D2)."""
    taken, exchange = record(in_pieces, server)
    served = len(server.served)

    with blocked_network(), install(responder=recordings(exchange)):
        again = in_pieces(server.url("/pieces"), nothing)

    # Where chunks are told apart, their end may come as a piece without data.
    assert [piece for piece in again if piece] == [piece for piece in taken if piece]
    assert len(server.served) == served


def test_replay_gives_the_same_lines(in_lines: Any, server: Any, recordings: Any) -> None:
    """Reading by lines works on a recording as on the wire (D2)."""
    taken, exchange = record(in_lines, server)

    with blocked_network(), install(responder=recordings(exchange)):
        again = in_lines(server.url("/pieces"), nothing)

    assert again == taken


@pytest.mark.parametrize("path", ["/measured", "/unmeasured"])
def test_replay_gives_the_same_bytes_without_chunks(
    in_lines: Any, server: Any, recordings: Any, path: str
) -> None:
    """A Content-Length, or an end that is the connection's, are replayed as such."""
    server.open = True
    taken, exchange = record(in_lines, server, path)

    with blocked_network(), install(responder=recordings(exchange)):
        again = in_lines(server.url(path), nothing)

    assert again == taken


@pytest.mark.parametrize("speed", [1.0, 2.0])
@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_blocking_clients_get_each_piece_at_its_time(
    recordings: Any, library: str, speed: float
) -> None:
    """Recorded times are kept, divided by the speed (D2)."""
    time = Time()
    times = tuple(0.125 * number for number in range(10))
    exchange = streamed(times=times)
    url = exchange.request.url
    came: list[float] = []

    responder = recordings(exchange)
    with install(responder=responder, speed=speed, clock=time, sleep=time.sleep):
        if library == "httpx":
            with httpx.stream("GET", url, trust_env=False) as response:
                came.extend(time() for _ in response.iter_raw())
        else:
            with requests.get(url, stream=True, timeout=60) as got:
                came.extend(time() for _ in got.iter_content(None))

    assert came == [at / speed for at in times]


class _Selector(selectors.SelectSelector):
    """Lets time pass instead of waiting for it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs when it has nothing to do."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


async def read_with_httpx(url: str, clock: Callable[[], float]) -> list[float]:
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as response:
        return [clock() async for _ in response.aiter_raw()]


async def read_with_aiohttp(url: str, clock: Callable[[], float]) -> list[float]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return [clock() async for _ in response.content.iter_any()]


@pytest.mark.parametrize("speed", [1.0, 4.0])
@pytest.mark.parametrize("read", [read_with_httpx, read_with_aiohttp])
def test_asynchronous_clients_get_each_piece_at_its_time(
    recordings: Any, read: Any, speed: float
) -> None:
    """Recorded times are kept on the clock of the loop (D2)."""
    times = tuple(0.125 * number for number in range(10))
    exchange = streamed(times=times)

    with (
        install(responder=recordings(exchange), speed=speed),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        loop = runner.get_loop()
        came = runner.run(read(exchange.request.url, loop.time))

    assert came == pytest.approx([at / speed for at in times])


def test_recording_keeps_the_time_of_each_piece(in_pieces: Any, server: Any) -> None:
    """A piece's time is that at which it came, for every client (D2)."""
    time = Time()
    recorder = MemoryRecorder(clock=time)

    def step() -> None:
        time.sleep(0.125)
        server.step()

    with install(sink=recorder):
        in_pieces(server.url("/pieces"), step)

    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert [piece.at for piece in exchange.response.pieces] == [
        0.125 * number for number in range(1, 11)
    ]


def test_a_slow_reader_of_aiohttp_gets_every_piece_of_a_fast_replay(recordings: Any) -> None:
    """At full speed the next piece waits until the last was read, so none run together."""
    exchange = streamed(times=(0.0,) * 10)

    async def read() -> list[bytes]:
        taken: list[bytes] = []
        async with aiohttp.ClientSession() as session, session.get(exchange.request.url) as got:
            async for piece in got.content.iter_any():
                taken.append(piece)
                for _ in range(20):
                    await asyncio.sleep(0)
        return taken

    with install(responder=recordings(exchange)):
        assert asyncio.run(read()) == list(PIECES)
