"""Record applications that nobody here wrote, replay them, and count the false failures.

```sh
uv run --isolated --locked --package keploy-framework --group apps --group test \
    python -m benchmarks.foreign_apps      # from the folder of the package
```

Each application is recorded twice, by middleware as an application object and through the proxy,
while a client uses it; then what was recorded is replayed against the same application, from the
same state. It has not changed, so every difference that is reported is a false one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx

from keploy_framework.asgi import RecordingMiddleware as ASGIRecording
from keploy_framework.config import KeployConfig
from keploy_framework.recording.recorder import Recorder
from keploy_framework.redact import Redaction
from keploy_framework.replay import find_noise, replay, write_noise
from keploy_framework.wsgi import RecordingMiddleware as WSGIRecording

from .foreign import ALL, installed
from .report import put_into
from .servers import asgi_server, proxy, wsgi_server

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager

    from keploy_framework.recording.sink import Sink
    from keploy_framework.replay import NoiseFound
    from keploy_framework.results import CaseOutcome

    from .foreign.application import Foreign, Made

__all__ = ("WAYS", "Run", "prepared", "record", "run", "serve", "table", "target")

Way = Literal["app", "proxy"]
WAYS: tuple[Way, ...] = ("app", "proxy")
"""As an application object, with the middleware; or as a server, with the proxy in front."""


def serve(app: Foreign, target: Any, sink: Sink | None = None) -> AbstractContextManager[str]:
    """Serve an application, seen by a sink's middleware if there is a sink."""
    if app.kind == "asgi":
        return asgi_server(target if sink is None else ASGIRecording(target, sink))
    return wsgi_server(target if sink is None else WSGIRecording(target, sink))


def record(app: Foreign, made: Made, way: Way, folder: Path) -> None:
    """Record the application's session into a `keploy` folder."""
    made.reset()
    with ExitStack() as opened:
        recorder = opened.enter_context(
            Recorder(folder, enabled=True, redact=Redaction(allow=app.allow), on_full="wait")
        )
        if way == "app":
            base = opened.enter_context(serve(app, made.app, recorder))
        else:
            base = opened.enter_context(proxy(opened.enter_context(serve(app, made.app)), recorder))
        client = opened.enter_context(
            httpx.Client(base_url=base, trust_env=False, timeout=30, follow_redirects=False)
        )
        app.session(client)
        recorder.flush()
    if recorder.dropped or recorder.problem is not None:
        raise RuntimeError(f"{recorder.dropped} exchanges were dropped: {recorder.problem!r}")


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of one application, recorded in one way.

    Attributes:
        name: Its package and version.
        way: How it was recorded.
        cases: How many test cases there were.
        noisy: In how many of them something varied from replay to replay.
        kinds: What varied, with the number of places, by kind.
        false: For each replay, the failures that were reported.
        seconds: How long the last replay took.
    """

    name: str
    way: Way
    cases: int = 0
    noisy: int = 0
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    false: list[list[CaseOutcome]] = field(default_factory=list["list[CaseOutcome]"])
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        """How many false failures there were in all replays."""
        return sum(map(len, self.false))


@contextmanager
def target(app: Foreign, made: Made, way: Way) -> Generator[Any]:
    """Yield what is replayed against: the application object, or the URL of a server."""
    if way == "app":
        yield made.app
        return
    with serve(app, made.app) as url:
        yield url


@contextmanager
def prepared(
    app: Foreign, way: Way, place: Path, *, pause: float = 1.1
) -> Generator[tuple[Made, Any, Path, NoiseFound]]:
    """Record an application, and write down its noise, which two replays have found.

    Args:
        app: The application.
        way: How it is recorded.
        place: An empty folder.
        pause: Seconds before each of the two replays, so that times, which often know no parts of
            a second, are other ones.

    Yields:
        The application, what is replayed against, the `keploy` folder, and what was found.
    """
    state, folder = place / "state", place / "keploy"
    state.mkdir(parents=True)
    made = app.make(state)

    async def later() -> None:
        await asyncio.sleep(pause)
        await made.put_back()

    try:
        record(app, made, way, folder)
        if app.noise:
            config = KeployConfig()
            for each in app.noise:
                config.add_noise_filter(each)
            config.save(place / "keploy.yml")
        with target(app, made, way) as against:
            found = asyncio.run(find_noise(against, folder, reset=later))
            write_noise(folder, found.noise)
            yield made, against, folder, found
    finally:
        made.close()


def run(app: Foreign, way: Way, place: Path, *, replays: int = 2) -> Run:
    """Record an application, find its noise by two replays, and replay it again.

    Args:
        app: The application.
        way: How it is recorded, and replayed.
        place: An empty folder.
        replays: How often it is replayed after that; a failure in any of them is a false one.
    """
    done = Run(name=f"{app.name} {version(app.name)}", way=way)
    with prepared(app, way, place) as (made, against, folder, found):
        done.cases, done.noisy = found.results.total, len(found.noise)
        evidence = [each for of_case in found.evidence.values() for each in of_case]
        done.kinds = dict(Counter(str(each.kind) for each in evidence if each.is_noise))
        for _ in range(replays):
            began = time.perf_counter()
            results = asyncio.run(replay(against, folder, reset=made.put_back, pieces=True))
            done.seconds = time.perf_counter() - began
            done.false.append([each for each in results.test_cases if each.status != "PASSED"])
    return done


def table(runs: Sequence[Run]) -> str:
    """Return a Markdown table."""
    head = (
        "application",
        "recorded by",
        "cases",
        "with noise",
        "kinds of noise",
        "false failures, per replay",
    )
    rows = [
        (
            one.name,
            "middleware" if one.way == "app" else "proxy",
            str(one.cases),
            str(one.noisy),
            ", ".join(f"{kind} {count}" for kind, count in sorted(one.kinds.items())) or "-",
            ", ".join(str(len(failed)) for failed in one.false),
        )
        for one in runs
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _all(names: Sequence[str], keep: Path | None) -> list[Run]:
    """Run the applications of these names, or all."""
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as temporary:
        place = keep or Path(temporary)
        for app in installed():
            if names and app.name not in names:
                continue
            for way in WAYS:
                with contextlib.redirect_stdout(io.StringIO()):  # what the application says
                    runs.append(run(app, way, place / app.name / way))
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all applications, print the table and each false failure; 1 if there is any."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.foreign_apps", description=(__doc__ or "").partition("\n")[0]
    )
    known = [app.name for app in ALL]
    parser.add_argument("apps", nargs="*", help=f"only these: {', '.join(known)}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="record into this folder")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="renew the part of a page")
    options = parser.parse_args(arguments)
    if unknown := set(options.apps) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for app in ALL:
        if app not in installed():
            print(f"{app.name} is not installed: add --group apps", file=sys.stderr)
    logging.disable(logging.CRITICAL)
    runs = _all(options.apps, options.keep)
    print(table(runs))
    if options.markdown is not None:
        page = options.markdown.read_text(encoding="utf-8")
        options.markdown.write_text(put_into(page, table(runs), "foreign-apps"), encoding="utf-8")
    for one in runs:
        for number, failed in enumerate(one.false, 1):
            for outcome in failed:
                print(f"- {one.name}, {one.way}, replay {number}: {outcome}")
    return 1 if any(one.failures for one in runs) or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
