"""What a recorder costs in the way of the traffic: the middleware, and the proxy.

```sh
uv run python packages/keploy-framework/benchmarks/in_the_way.py           # ratios
uv run python packages/keploy-framework/benchmarks/in_the_way.py --long    # 1 GB, and its memory
```

Each round times baseline, subject, baseline, and keeps the ratio of the subject to the mean of its
neighbors: what slows the machine slows all three. Servers run in processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.recording.proxy import RecordingProxy
from keploy_framework.recording.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection

    from keploy_framework.asgi import ASGIApp

ROUNDS = 15
REQUESTS = 300
BODY = b'{"text": "' + b"x" * 463 + b'"}'
GIGABYTE = 1 << 30
PIECE = bytes(1 << 16)

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
                await asyncio.to_thread(told.recv)
                told.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    asyncio.run(main())


def started(target: Callable[..., None], *arguments: object) -> tuple[int, Connection]:
    """Start a server in a process; return its port and the way to talk to it."""
    here, there = multiprocessing.Pipe()
    multiprocessing.Process(target=target, args=(there, *arguments), daemon=True).start()
    return here.recv(), here


def over_tcp(port: int) -> float:
    """Return the seconds that a client needs for a block of requests, one after the other."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        client.get("/")
        began = time.perf_counter()
        for number in range(REQUESTS):
            client.get(f"/items/{number}").raise_for_status()
        return time.perf_counter() - began


def in_process(target: ASGIApp) -> float:
    """Return the processor time of a block of requests without a server."""

    async def main() -> float:
        transport = httpx.ASGITransport(target)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            began = time.process_time()
            for number in range(REQUESTS):
                await client.get(f"/items/{number}")
            return time.process_time() - began

    gc.collect()
    return asyncio.run(main())


def ratio(
    name: str, goal: float, baseline: Callable[[], float], subject: Callable[[], float]
) -> None:
    """Print what the subject costs in units of the baseline."""
    found: list[float] = []
    for _ in range(ROUNDS):
        before = baseline()
        timed = subject()
        found.append(2 * timed / (before + baseline()))
    low, median, high = statistics.quantiles(found, n=4)
    print(f"{name:<42} {median:5.2f} x  (quartiles {low:.2f}-{high:.2f}, goal {goal:.2f})")


def ratios(folder: Path) -> None:
    """Print the cost of each recorder."""
    bare, _ = started(serve, None)
    recorded, _ = started(serve, str(folder / "middleware"))
    proxied, _ = started(forward, str(folder / "proxy"), bare)
    watched = RecordingMiddleware(app, Nowhere())
    ratio(
        "middleware alone, httpx ASGITransport",
        1.05,
        lambda: in_process(app),
        lambda: in_process(watched),
    )
    with recorder_at(str(folder / "in-process")) as recorder:
        wrapped = RecordingMiddleware(app, recorder)
        ratio(
            "middleware, httpx ASGITransport",
            1.05,
            lambda: in_process(app),
            lambda: in_process(wrapped),
        )
        dropped = recorder.dropped
    ratio("middleware, uvicorn", 1.10, lambda: over_tcp(bare), lambda: over_tcp(recorded))
    ratio("proxy, uvicorn", 1.60, lambda: over_tcp(bare), lambda: over_tcp(proxied))
    print(f"dropped by the recorder in this process: {dropped}")


def long(folder: Path) -> None:
    """Send a gigabyte through the middleware and through the proxy; print the memory it took."""
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
    with recorder_at(str(folder / "in-process")) as recorder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        asyncio.run(RecordingMiddleware(app, recorder)(scope, receive, send))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"middleware: {passed} bytes passed, {(after - before) / 1024:.1f} MiB more memory")

    bare, _ = started(serve, None)
    proxied, pipe = started(forward, str(folder / "proxy"), bare)
    over_tcp(proxied)
    pipe.send("how much?")
    before = pipe.recv()
    passed = 0
    with httpx.stream("GET", f"http://127.0.0.1:{proxied}/long", trust_env=False) as answer:
        for piece in answer.iter_raw():
            passed += len(piece)
    pipe.send("and now?")
    print(f"proxy: {passed} bytes passed, {(pipe.recv() - before) / 1024:.1f} MiB more memory")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="pass 1 GB and print the memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (long if options.long else ratios)(Path(folder))


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
