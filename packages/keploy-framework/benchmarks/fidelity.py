"""How true recordings are: a corpus recorded, written to files, read back and played.

```sh
uv run --isolated --locked --package keploy-framework --group apps --group test \
    python -m benchmarks.fidelity      # from the folder of the package
```

For each way of recording, the table counts the requests whose answer is the recorded one again:
bodies to the byte, header lines, the pieces of streams, and the time between a stream's first piece
and its last. What the client got while it was being recorded is compared too, with what it gets
when nothing records. httpbin is left out where it is not installed.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.asgi import RecordingMiddleware as ASGIRecording
from keploy_framework.mock import MockServer, Play
from keploy_framework.recording.clients import RecordedAnswers, install
from keploy_framework.recording.network import blocked_network
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.wsgi import RecordingMiddleware as WSGIRecording

from .asking import CLIENTS
from .corpus import HTTPBIN, MODEL, Ask
from .model_api import ModelAPI
from .servers import asgi_server, proxy, wsgi_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from keploy_framework.model import Exchange
    from keploy_framework.recording.sink import Sink

    from .asking import Got

__all__ = ("Corpus", "Score", "compare", "corpora", "count_passed", "first_piece", "score", "table")

_OF_THE_SERVER: Final = frozenset(
    {"connection", "date", "keep-alive", "server", "transfer-encoding"}
)
_ROUNDS: Final = 25


@dataclass(frozen=True, slots=True)
class Corpus:
    """Requests, and the application that answers them.

    Attributes:
        name: Its name.
        asks: The requests.
        serve: Serves the application, seen by a sink's middleware if there is a sink.
    """

    name: str
    asks: Sequence[Ask]
    serve: Callable[[Sink | None], AbstractContextManager[str]]


@dataclass(slots=True, kw_only=True)
class Score:
    """What was counted for one way of recording a corpus.

    Attributes:
        way: How it was recorded, and how it was asked when it was played.
        requests: How many requests there were.
        bodies: How many bodies came again to the byte.
        headers: How many answers had the same status and the same header lines.
        streams: How many streams came in the same pieces.
        spreads: How many came in the same time.
        passed: How many answers reached the client as if nothing were recorded.
        of_streams: How many streams there were.
        of_spreads: How many of them had times of their own.
        notes: What was not the same.
    """

    way: str
    requests: int = 0
    bodies: int = 0
    headers: int = 0
    streams: int = 0
    spreads: int = 0
    passed: int = 0
    of_streams: int = 0
    of_spreads: int = 0
    notes: list[str] = field(default_factory=list[str])

    @property
    def perfect(self) -> bool:
        """Whether nothing was lost; times, which the machine has a hand in, not counted."""
        whole = (self.bodies, self.headers, self.passed) == (self.requests,) * 3
        return whole and self.streams == self.of_streams


def model(sink: Sink | None = None) -> AbstractContextManager[str]:
    """Serve the model API."""
    app = ModelAPI()
    return asgi_server(app if sink is None else ASGIRecording(app, sink))


def httpbin(sink: Sink | None = None) -> AbstractContextManager[str]:
    """Serve httpbin."""
    app: Any = import_module("httpbin").app
    return wsgi_server(app.wsgi_app if sink is None else WSGIRecording(app.wsgi_app, sink))


def corpora() -> list[Corpus]:
    """Return those whose application is installed."""
    found = [Corpus("model API", MODEL, model)]
    if find_spec("httpbin") is not None:
        found.append(Corpus("httpbin", HTTPBIN, httpbin))
    return found


def _lines(got: Got) -> list[tuple[str, list[str]]]:
    """Return the headers by name, each with its values in order, without those of the server."""
    names = {name for name, _ in got.headers} - _OF_THE_SERVER
    return [(name, [value for key, value in got.headers if key == name]) for name in sorted(names)]


def compare(score: Score, ask: Ask, told: Got, again: Got) -> None:
    """Count what came again."""
    label = f"{ask.method} {ask.path}"
    score.requests += 1
    if told.body == again.body:
        score.bodies += 1
    else:
        score.notes.append(f"{label}: body {told.body!r:.60} became {again.body!r:.60}")
    if told.status == again.status and _lines(told) == _lines(again):
        score.headers += 1
    else:
        other = [line for line in _lines(again) if line not in _lines(told)]
        lost = [line for line in _lines(told) if line not in _lines(again)]
        score.notes.append(f"{label}: {told.status} {lost} became {again.status} {other}")
    if ask.stream:
        score.of_streams += 1
        if told.data == again.data:
            score.streams += 1
        else:
            score.notes.append(f"{label}: {len(told.data)} pieces became {len(again.data)}")
    if ask.timed:
        score.of_spreads += 1
        if abs(told.spread - again.spread) <= max(0.02, 0.2 * told.spread):
            score.spreads += 1
        else:
            score.notes.append(f"{label}: {told.spread:.3f} s became {again.spread:.3f} s")


def count_passed(
    score: Score, asks: Sequence[Ask], plain: Sequence[Got], told: Sequence[Got]
) -> None:
    """Count the answers that reached the client as they would have without a recorder."""
    for ask, one, other in zip(asks, plain, told, strict=True):
        same = one.status == other.status and (not ask.stream or one.data == other.data)
        if not ask.volatile:
            same = same and one.body == other.body and _lines(one) == _lines(other)
        score.passed += same
        if not same:
            score.notes.append(f"{ask.method} {ask.path}: recording changed what the client got")


def _stored(folder: Path) -> tuple[list[Exchange], list[Exchange]]:
    """Read the test cases and the mocks back from Keploy's files."""
    cases: list[Exchange] = []
    mocks: list[Exchange] = []
    home = KeployFolder(folder)
    for name in home.sets():
        cases += [case.exchange for case in home.set(name) if case.exchange is not None]
        mocks += [mock.exchange for mock in home.set(name).mocks() if mock.exchange is not None]
    return cases, mocks


@contextmanager
def _recorder(folder: Path) -> Generator[Recorder]:
    with Recorder(folder, enabled=True, redact=Unredacted(), on_full="wait") as recorder:
        yield recorder
        recorder.flush()
    if recorder.dropped or recorder.problem is not None:
        raise RuntimeError(f"{recorder.dropped} exchanges were dropped: {recorder.problem!r}")


def _recorded(corpus: Corpus, way: str, folder: Path) -> tuple[str, list[Got]]:
    """Record the corpus in one way; return the server's URL, and what the client got."""
    with ExitStack() as opened:
        if way == "middleware":
            base = opened.enter_context(corpus.serve(opened.enter_context(_recorder(folder))))
            return base, CLIENTS["httpx"](base, corpus.asks)
        base = opened.enter_context(corpus.serve(None))
        recorder = opened.enter_context(_recorder(folder))
        if way == "proxy":
            return base, CLIENTS["httpx"](opened.enter_context(proxy(base, recorder)), corpus.asks)
        opened.enter_context(install(sink=recorder))
        return base, CLIENTS[way](base, corpus.asks)


def score(corpus: Corpus, way: str, *, speed: float = 1.0) -> Score:
    """Record a corpus, read its files, play them, and count what came again.

    Args:
        corpus: The requests.
        way: `middleware`, `proxy`, or the name of a client whose calls are recorded.
        speed: How fast streams are played: 1 as they came, 0 at once; then times are not counted.
    """
    inbound = way in {"middleware", "proxy"}
    client = CLIENTS["httpx" if inbound else way]
    with corpus.serve(None) as base:
        plain = client(base, corpus.asks)
    with tempfile.TemporaryDirectory() as place:
        base, told = _recorded(corpus, way, Path(place))
        cases, mocks = _stored(Path(place))
    found = Score(way=f"{corpus.name}, {way}")
    if inbound:
        with MockServer(Play(cases, redact=Unredacted()), speed=speed) as server:
            again = client(server.url, corpus.asks)
    else:
        with blocked_network(), install(responder=RecordedAnswers(mocks), speed=speed):
            again = client(base, corpus.asks)
    for ask, one, other in zip(corpus.asks, told, again, strict=True):
        compare(found, ask, one, other)
    count_passed(found, corpus.asks, plain, told)
    return found


def table(scores: Sequence[Score]) -> str:
    """Return a Markdown table."""
    head = (
        "recorded by",
        "bodies",
        "headers",
        "stream pieces",
        "spread in time",
        "client undisturbed",
    )
    rows = [
        (
            one.way,
            f"{one.bodies}/{one.requests}",
            f"{one.headers}/{one.requests}",
            f"{one.streams}/{one.of_streams}",
            f"{one.spreads}/{one.of_spreads}",
            f"{one.passed}/{one.requests}",
        )
        for one in scores
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def first_piece(way: str, rounds: int = _ROUNDS) -> float:
    """Return by how many milliseconds recording delays the first piece of a stream.

    Both are the quickest of all rounds: what other programs on the machine add is not asked for.

    Args:
        way: As for `score`.
        rounds: How often it is measured, with and without recording in turn.
    """
    asks = [Ask("/v1/models"), *[ask for ask in MODEL if ask.timed][:1]]  # the first one connects
    client = CLIENTS["httpx" if way in {"middleware", "proxy"} else way]
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        recorder = opened.enter_context(_recorder(Path(place)))
        plain = opened.enter_context(model())
        watched = plain
        if way == "middleware":
            watched = opened.enter_context(model(recorder))
        if way == "proxy":
            watched = opened.enter_context(proxy(plain, recorder))
        plainly: list[float] = []
        recorded: list[float] = []
        for _ in range(rounds):
            plainly.append(client(plain, asks)[-1].first)
            if way in {"middleware", "proxy"}:
                recorded.append(client(watched, asks)[-1].first)
            else:
                with install(sink=recorder):
                    recorded.append(client(watched, asks)[-1].first)
    return (min(recorded) - min(plainly)) * 1000


def main() -> int:
    """Print the table, what was lost, and how much later first pieces come."""
    ways = ("middleware", "proxy", *CLIENTS)
    scores = [score(corpus, way) for corpus in corpora() for way in ways]
    print(table(scores))
    for one in scores:
        for note in one.notes:
            print(f"- {one.way}: {note}")
    print("\n| recorded by | first piece later by (ms, budget 2) |\n| --- | --- |")
    for way in ways:
        print(f"| {way} | {first_piece(way):.2f} |")
    return 0 if all(one.perfect for one in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
