"""What recording costs an outbound call, and what a recorded answer costs.

Live calls are timed by the wall, for the server takes its part; replays wait for nothing, and are
timed by the processor.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import requests

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.recording.clients import RecordedAnswers, install
from keploy_framework.recording.recorder import Recorder
from keploy_framework.redact import Redaction

from .in_the_way import BODY, serve, server
from .measure import Outcome, ratio
from .peers import cassettes, named

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from .measure import Effort, Figure

__all__ = ("rows",)

HEADERS = (("Content-Type", "application/json"), ("Content-Length", str(len(BODY))))
Block = Callable[[int], float]
"""Makes so many calls; returns the seconds that they took."""
_PEERS_AT = 1_000
_FEW = 3


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


def rows(effort: Effort) -> Generator[Outcome]:
    """Measure recording and replaying of outbound calls."""
    with server(serve, None) as (port, _):
        yield from _recorded(effort, f"http://127.0.0.1:{port}")
        peers = dict(_cassettes_replay(effort, f"http://127.0.0.1:{port}"))
    yield from _replayed(effort, peers)
    yield _flat(effort)


def _recorded(effort: Effort, base: str) -> Generator[Outcome]:
    """Measure what recording costs against live calls over TCP."""
    calls = effort.calls
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder(folder, enabled=True, compact=False, max_memory=1 << 28) as recorder,
        clients(base, time.perf_counter) as blocks,
    ):
        for name, block in blocks.items():

            def recording(block: Block = block) -> float:
                with install(sink=recorder):
                    return block(calls)

            peers: dict[str, Figure | str] = {}
            for peer, use in cassettes().items() if name != "aiohttp" else ():
                paths = iter(Path(folder) / f"{name}-{peer}-{number}.yaml" for number in range(99))

                def taped(block: Block = block, use: Any = use, paths: Any = paths) -> float:
                    began = time.perf_counter()  # its file is written at the end of the block
                    with use(next(paths), record=True):
                        block(calls)
                    return time.perf_counter() - began

                peers[peer] = ratio(_FEW, partial(block, calls), taped)
            yield Outcome(
                key=f"outbound.record.{name}",
                title=f"record {calls} calls of {name}",
                against="the same calls, live",
                unit="x",
                budget=1.5,
                ours=ratio(effort.rounds, partial(block, calls), recording),
                peers=peers,
            )


def _dict_baseline(base: str, calls: int) -> Any:
    """Return what httpx's own MockTransport costs, with a dict of answers."""
    known = {exchange.request.url: exchange.response for exchange in exchanges(10_000, base)}

    def look_up(request: httpx.Request) -> httpx.Response:
        found = known[str(request.url)]
        assert found is not None  # noqa: S101 - all of them have an answer
        return httpx.Response(found.status, headers=list(found.headers), content=found.body)

    mocked = httpx.Client(transport=httpx.MockTransport(look_up))

    def baseline() -> float:
        began = time.process_time()
        for number in range(calls):
            mocked.get(f"{base}/items/{number}").raise_for_status()
        return time.process_time() - began

    return baseline


def _cassettes_replay(effort: Effort, base: str) -> Generator[tuple[str, Figure | str]]:
    """Measure the peers' replay, with a cassette of a thousand interactions."""
    many = min(_PEERS_AT, effort.many)
    calls = min(100, effort.calls)
    baseline = _dict_baseline("http://recorded.invalid", calls)
    with tempfile.TemporaryDirectory() as folder, clients(base, time.process_time) as blocks:
        for peer, use in cassettes().items():
            path = Path(folder) / f"{peer}.yaml"
            with use(path, record=True):
                blocks["httpx"](many)

            def replay(use: Any = use, path: Path = path) -> float:
                with use(path, record=False):  # each answer is played once
                    return blocks["httpx"](calls)

            try:
                found: Figure | str = ratio(_FEW, baseline, replay)
            except Exception as error:  # noqa: BLE001 - what it cannot do is a finding
                found = f"not measured: {type(error).__name__}: {error}"[:200]
            yield peer, found


def _stubs(effort: Effort, baseline: Callable[[], float]) -> Generator[tuple[str, Figure | str]]:
    """Measure respx and responses, each with a route for each URL."""
    base, calls = "http://recorded.invalid", min(100, effort.calls)
    many = min(_PEERS_AT, effort.many)
    if find_spec("respx") is not None:
        library: Any = import_module("respx")
        with library.mock(assert_all_called=False) as router, httpx.Client() as client:
            for number in range(many):
                router.get(f"{base}/items/{number}").respond(200, content=BODY)

            def routed() -> float:
                began = time.process_time()
                for number in range(calls):
                    client.get(f"{base}/items/{number * (many // calls)}").raise_for_status()
                return (time.process_time() - began) * effort.calls / calls

            yield f"{named('respx')} (httpx)", ratio(_FEW, baseline, routed)
    if find_spec("responses") is not None:
        other: Any = import_module("responses")
        with other.RequestsMock(assert_all_requests_are_fired=False) as mock:
            for number in range(many):
                mock.get(f"{base}/items/{number}", body=BODY)
            with requests.Session() as session:

                def answered() -> float:
                    began = time.process_time()
                    for number in range(calls):
                        session.get(f"{base}/items/{number * (many // calls)}", timeout=9)
                    return (time.process_time() - began) * effort.calls / calls

                yield f"{named('responses')} (requests)", ratio(_FEW, baseline, answered)


def _replayed(effort: Effort, cassette: Mapping[str, Figure | str]) -> Generator[Outcome]:
    """Measure what a recorded answer costs against httpx's MockTransport with a dict."""
    base, calls = "http://recorded.invalid", effort.calls
    baseline = _dict_baseline(base, calls)
    peers = {**cassette, **dict(_stubs(effort, baseline))}
    with clients(base, time.process_time) as blocks:
        for name, block in blocks.items():
            for redact in (None, Redaction.default()):
                answers = RecordedAnswers(
                    exchanges(effort.many, base), redact=redact, repeat="last"
                )

                def replay(block: Block = block, answers: RecordedAnswers = answers) -> float:
                    with install(responder=answers):
                        return block(calls)

                plain = redact is None
                yield Outcome(
                    key=f"outbound.replay.{name}.{'plain' if plain else 'redacted'}",
                    title=f"replay {name}, {effort.many:,} recordings"
                    + ("" if plain else ", secrets taken out first"),
                    against="httpx MockTransport with a dict",
                    unit="x",
                    budget=1.6 if name == "httpx" else None,
                    ours=ratio(effort.rounds, baseline, replay),
                    peers=peers if plain and name == "httpx" else {},
                    facts=(f"peers with {min(_PEERS_AT, effort.many):,} recordings",)
                    if plain and name == "httpx" and peers
                    else (),
                )


def _flat(effort: Effort) -> Outcome:
    """Measure what many recordings cost against thirty."""
    base = "http://recorded.invalid"
    with clients(base, time.process_time) as blocks:
        block = blocks["httpx"]
        few, many = (
            RecordedAnswers(exchanges(count, base), repeat="last") for count in (30, effort.many)
        )

        def timed(answers: RecordedAnswers) -> float:
            with install(responder=answers):
                return sum(block(30) for _ in range(effort.calls // 30))

        return Outcome(
            key="outbound.flat",
            title=f"replay httpx with {effort.many:,} recordings",
            against="with 30 recordings",
            unit="x",
            budget=1.10,
            ours=ratio(effort.rounds, lambda: timed(few), lambda: timed(many)),
        )
