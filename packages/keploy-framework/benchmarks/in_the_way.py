"""What a recorder costs in the way of the traffic: the middleware, the proxy, and their memory.

Servers run in processes of their own.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import resource
import tempfile
import time
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import uvicorn

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.recording.proxy import RecordingProxy
from keploy_framework.recording.recorder import Recorder

from .measure import Outcome, exactly, ratio
from .peers import mitmproxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from multiprocessing.connection import Connection

    from keploy_framework.asgi import ASGIApp

    from .measure import Effort, Figure

__all__ = ("over_tcp", "rows", "server")

BODY = b'{"text": "' + b"x" * 463 + b'"}'
GIGABYTE = 1 << 30
PIECE = bytes(1 << 16)
CLIENTS = 4

Event = MutableMapping[str, Any]


async def app(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    """Answer 475 bytes, or a gigabyte at ``/long``."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    long = scope["path"] == "/long"
    size = GIGABYTE if long else len(BODY)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(GIGABYTE // len(PIECE) if long else 0):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if long else BODY})


def recorder_at(folder: str) -> Recorder:
    """Return a recorder that leaves the YAML for later."""
    return Recorder(folder, enabled=True, compact=False, max_memory=1 << 26)


class Nowhere:
    """A recorder that takes all and keeps nothing: what is left is the cost of watching."""

    id = "1"

    def open(self, *_: Any, **__: Any) -> Nowhere:
        """Begin an exchange."""
        return self

    def take(self, *_: Any, **__: Any) -> None:
        """Take a part of it."""

    request_piece = response_head = response_piece = trailers = message = end = fail = take


def serve(told: Connection, folder: str | None) -> None:
    """Run uvicorn, with the middleware if there is a folder to record into."""

    async def main() -> None:
        wrapped = RecordingMiddleware(app, recorder_at(folder)) if folder else app
        server = uvicorn.Server(
            uvicorn.Config(wrapped, port=0, log_level="error", lifespan="off", access_log=False)
        )
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(0.01)
        told.send(server.servers[0].sockets[0].getsockname()[1])
        await task

    asyncio.run(main())


def forward(told: Connection, folder: str, port: int) -> None:
    """Run the proxy in front of a server, and tell how much memory it took when asked."""

    async def main() -> None:
        async with RecordingProxy(f"http://127.0.0.1:{port}", recorder_at(folder)) as proxy:
            told.send(proxy.port)
            while True:
                asked = await asyncio.to_thread(told.recv)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                told.send(resident() if asked == "now" else peak)

    asyncio.run(main())


@contextmanager
def server(target: Callable[..., None], *arguments: object) -> Generator[tuple[int, Connection]]:
    """Run a server in a process; yield its port and the way to talk to it."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    try:
        yield here.recv(), here
    finally:
        process.terminate()
        process.join()


_CONTEXT = multiprocessing.get_context("spawn")


def over_tcp(url: str, calls: int) -> float:
    """Return the seconds that a client needs for so many requests, one after the other."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        client.get("/")
        began = time.perf_counter()
        for number in range(calls):
            client.get(f"/items/{number}").raise_for_status()
        return time.perf_counter() - began


def saturated(url: str, calls: int) -> float:
    """Return the seconds that clients need which ask at the same time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        began = time.perf_counter()
        list(pool.map(over_tcp, [url] * CLIENTS, [calls // CLIENTS] * CLIENTS))
        return time.perf_counter() - began


def in_process(
    target: ASGIApp, calls: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the processor time of so many requests without a server."""

    async def main() -> float:
        transport = httpx.ASGITransport(target)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            began = clock()
            for number in range(calls):
                await client.get(f"/items/{number}")
            return clock() - began

    gc.collect()
    return asyncio.run(main())


def rows(effort: Effort) -> Generator[Outcome]:
    """Measure the middleware, the proxy and the memory that they take."""
    with tempfile.TemporaryDirectory() as place:
        yield _in_process(effort, Path(place) / "in-process")
        with (
            server(serve, None) as (bare, _),
            server(serve, str(Path(place) / "middleware")) as (recorded, _),
            server(forward, str(Path(place) / "proxy"), bare) as (proxied, _),
        ):
            yield from _over_tcp(effort, bare, recorded, proxied)
    with tempfile.TemporaryDirectory() as place:
        yield from _gigabytes(Path(place))


def _in_process(effort: Effort, folder: Path) -> Outcome:
    with recorder_at(str(folder)) as recorder:
        wrapped = RecordingMiddleware(app, recorder)
        found = ratio(
            effort.rounds,
            lambda: in_process(app, effort.calls, time.thread_time),
            lambda: in_process(wrapped, effort.calls, time.thread_time),
        )
        whole = ratio(
            effort.rounds,
            lambda: in_process(app, effort.calls),
            lambda: in_process(wrapped, effort.calls),
        )
    watched = RecordingMiddleware(app, Nowhere())
    alone = ratio(
        effort.rounds,
        lambda: in_process(app, effort.calls),
        lambda: in_process(watched, effort.calls),
    )
    return Outcome(
        key="record.middleware.in-process",
        title="ASGI middleware, httpx ASGITransport",
        against="the same calls without it; processor time of the thread that answers",
        unit="x",
        budget=1.05,
        ours=found,
        facts=(
            f"watching alone, with nothing kept: {alone.median:.2f}x",
            f"with the thread that redacts and writes: {whole.median:.2f}x",
        ),
    )


def _over_tcp(effort: Effort, bare: int, recorded: int, proxied: int) -> Generator[Outcome]:
    base, inside, behind = (f"http://127.0.0.1:{port}" for port in (bare, recorded, proxied))

    def one(url: str) -> Figure:
        return ratio(
            effort.rounds,
            lambda: over_tcp(base, effort.calls),
            lambda: over_tcp(url, effort.calls),
        )

    yield Outcome(
        key="record.middleware.server",
        title="ASGI middleware in uvicorn, one client",
        against="the same server without it",
        unit="x",
        budget=1.10,
        ours=one(inside),
    )
    yield Outcome(
        key="record.middleware.saturated",
        title=f"ASGI middleware in uvicorn, {CLIENTS} clients at once",
        against="the same server without it",
        unit="x",
        budget=1.25,
        ours=ratio(
            effort.rounds,
            lambda: saturated(base, effort.calls),
            lambda: saturated(inside, effort.calls),
        ),
    )
    peers: dict[str, Figure | str] = {}
    try:
        with mitmproxy(base) as (name, url):
            peers[name] = one(url)
    except Exception as error:  # noqa: BLE001 - the row is worth having without it
        peers["mitmproxy"] = f"not measured: {error}"
    yield Outcome(
        key="record.proxy",
        title="reverse proxy in front of uvicorn, one client",
        against="the same server without it",
        unit="x",
        budget=1.6,
        ours=one(behind),
        peers=peers,
    )


def resident() -> int:
    """Return the memory of this process, in KiB; its peak where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() // 1024


def pass_through(told: Connection, folder: str) -> None:
    """Send a gigabyte through the middleware; tell the memory before, its peak, and the bytes."""
    passed = 0

    async def receive() -> Event:
        return {"type": "http.request"}

    async def send(event: Event) -> None:
        nonlocal passed
        passed += len(event.get("body", b""))

    scope: Event = {
        "type": "http",
        "method": "GET",
        "path": "/long",
        "query_string": b"",
        "headers": [(b"host", b"a")],
    }
    with recorder_at(folder) as recorder:
        before = resident()
        asyncio.run(RecordingMiddleware(app, recorder)(scope, receive, send))
        told.send((before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, passed))


def _gigabytes(folder: Path) -> Generator[Outcome]:
    """Send a gigabyte through the middleware and through the proxy, each in its process."""
    with server(pass_through, str(folder / "middleware")) as (port, _):
        before, after, passed = cast("tuple[int, int, int]", port)
    yield _memory(
        "record.memory.middleware", "middleware, an answer of 1 GB", before, after, passed
    )

    with (
        server(serve, None) as (bare, _),
        server(forward, str(folder / "proxy"), bare) as (proxied, pipe),
    ):
        over_tcp(f"http://127.0.0.1:{proxied}", 10)
        pipe.send("now")
        before = pipe.recv()
        passed = 0
        with httpx.stream("GET", f"http://127.0.0.1:{proxied}/long", trust_env=False) as answer:
            for piece in answer.iter_raw():
                passed += len(piece)
        pipe.send("peak")
        yield _memory(
            "record.memory.proxy", "proxy, an answer of 1 GB", before, pipe.recv(), passed
        )


def _memory(key: str, title: str, before: int, after: int, passed: int) -> Outcome:
    return Outcome(
        key=key,
        title=title,
        against="more memory at its peak",
        unit="MiB",
        budget=64.0,
        ours=exactly((after - before) / 1024),
        facts=(f"{passed:,} bytes passed",),
    )
