"""What recording costs an outbound call, and what a recorded answer costs.

```sh
uv run python packages/keploy-framework/benchmarks/outbound.py
uv run python packages/keploy-framework/benchmarks/outbound.py --quick
```

Each round times baseline, subject, baseline, and keeps the ratio of the subject to the mean of its
neighbors: what slows the machine slows all three. Live calls are timed by the wall, for the server
takes its part; replays wait for nothing, and are timed by the processor.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import requests
import uvicorn

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.recording.clients import RecordedAnswers, install
from keploy_framework.recording.recorder import Recorder
from keploy_framework.redact import Redaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Mapping, MutableMapping
    from multiprocessing.connection import Connection

BODY = b'{"text": "' + b"x" * 463 + b'"}'
HEADERS = (("Content-Type", "application/json"), ("Content-Length", str(len(BODY))))
Block = Callable[[int], float]
"""Makes so many calls; returns the seconds that they took."""


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer 475 bytes to whatever is asked."""
    del scope, receive
    headers = [(name.encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def serve(told: Connection) -> None:
    """Run uvicorn."""

    async def main() -> None:
        options = uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False)
        server = uvicorn.Server(options)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        told.send(server.servers[0].sockets[0].getsockname()[1])
        await task

    asyncio.run(main())


def exchanges(count: int, base: str) -> list[Exchange]:
    """Return recordings of different URLs."""
    response = Response(200, "OK", HEADERS, (Piece(0.001, BODY),))
    return [
        Exchange(
            id=str(number),
            direction=Direction.OUTBOUND,
            request=Request("GET", f"{base}/items/{number}"),
            response=response,
            started_at=0,
            ended_at=1_000_000,
        )
        for number in range(count)
    ]


@contextmanager
def clients(base: str, clock: Callable[[], float]) -> Generator[Mapping[str, Block]]:
    """Open one client of each library; each block asks for other URLs in turn."""
    with ExitStack() as opened:
        blocking = opened.enter_context(httpx.Client(trust_env=False))
        session = opened.enter_context(requests.Session())
        session.trust_env = False
        runner = opened.enter_context(asyncio.Runner())

        async def made() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        asynchronous = runner.run(made())
        opened.callback(lambda: runner.run(asynchronous.close()))

        def with_httpx(count: int) -> float:
            began = clock()
            for number in range(count):
                blocking.get(f"{base}/items/{number}").raise_for_status()
            return clock() - began

        def with_requests(count: int) -> float:
            began = clock()
            for number in range(count):
                session.get(f"{base}/items/{number}", timeout=9).raise_for_status()
            return clock() - began

        async def asked(count: int) -> float:
            began = clock()
            for number in range(count):
                async with asynchronous.get(f"{base}/items/{number}") as response:
                    await response.read()
            return clock() - began

        yield {
            "httpx": with_httpx,
            "requests": with_requests,
            "aiohttp": lambda count: runner.run(asked(count)),
        }


def ratio(
    rounds: int, baseline: Callable[[], float], subject: Callable[[], float]
) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third of what the subject costs."""
    found: list[float] = []
    for _ in range(rounds):
        gc.collect()
        before = baseline()
        timed = subject()
        found.append(2 * timed / (before + baseline()))
    low, median, high = statistics.quantiles(found, n=4)
    return low, median, high


def show(name: str, figure: tuple[float, float, float], goal: str) -> None:
    """Print a figure."""
    low, median, high = figure
    print(f"{name:<44} {median:5.2f} x  (quartiles {low:.2f}-{high:.2f}; goal {goal})")


def recorded(rounds: int, calls: int) -> None:
    """Print what recording costs against live calls over TCP."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{here.recv()}"
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder(folder, enabled=True, compact=False, max_memory=1 << 28) as recorder,
        clients(base, time.perf_counter) as blocks,
    ):
        for name, block in blocks.items():

            def recording(block: Block = block) -> float:
                with install(sink=recorder):
                    return block(calls)

            recording()
            figure = ratio(rounds, lambda block=block: block(calls), recording)
            show(f"record {name}, x live", figure, "<= 1.50")
        print(f"  dropped: {recorder.dropped}")
    server.terminate()


def replayed(rounds: int, calls: int) -> None:
    """Print what a recorded answer costs against httpx's MockTransport with a dict."""
    base = "http://recorded.invalid"
    known = {exchange.request.url: exchange.response for exchange in exchanges(10_000, base)}

    def look_up(request: httpx.Request) -> httpx.Response:
        found = known[str(request.url)]
        assert found is not None  # noqa: S101 - all of them have an answer
        return httpx.Response(found.status, headers=list(found.headers), content=found.body)

    with (
        httpx.Client(transport=httpx.MockTransport(look_up)) as mocked,
        clients(base, time.process_time) as blocks,
    ):

        def baseline() -> float:
            began = time.process_time()
            for number in range(calls):
                mocked.get(f"{base}/items/{number}").raise_for_status()
            return time.process_time() - began

        for name, block in blocks.items():
            for redact in (None, Redaction.default()):

                def replay(block: Block = block, redact: Redaction | None = redact) -> float:
                    answers = RecordedAnswers(exchanges(calls, base), redact=redact, repeat="last")
                    with install(responder=answers):
                        return block(calls)

                told = "requests redacted" if redact is not None else "as they are"
                figure = ratio(rounds, baseline, replay)
                show(f"replay {name}, {told}, x dict", figure, "<= 1.60 (httpx)")


def flat(rounds: int, calls: int) -> None:
    """Print what ten thousand recordings cost against thirty."""
    base = "http://recorded.invalid"
    with clients(base, time.process_time) as blocks:
        block = blocks["httpx"]
        few, many = (
            RecordedAnswers(exchanges(count, base), repeat="last") for count in (30, 10_000)
        )

        def timed(answers: RecordedAnswers) -> float:
            with install(responder=answers):
                return sum(block(30) for _ in range(calls // 30))

        figure = ratio(rounds, lambda: timed(few), lambda: timed(many))
        show("replay httpx, 10,000 recordings, x 30", figure, "0.90-1.10")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, wider quartiles")
    rounds, calls = (5, 90) if parser.parse_args().quick else (21, 300)
    recorded(rounds, calls)
    replayed(rounds, calls)
    flat(rounds, calls)


if __name__ == "__main__":
    main()
