"""Change the answers of applications at random, and count the changes that a replay finds.

```sh
uv run --isolated --locked --package keploy-framework --group apps --group test \
    python -m benchmarks.mutations      # from the folder of the package
```

Applications are recorded and their noise is found as in `foreign_apps`. Then they are replayed
against with one seeded change in each answer: a change is caught if its case fails. Values that are
noise are not changed into other values of their kind: that they vary is what the noise says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.replay import replay
from keploy_framework.storage.folder import KeployFolder

from .changes import KINDS, Answer, changed
from .corpus import MODEL
from .foreign import installed
from .foreign.application import Foreign, Made
from .foreign_apps import prepared
from .model_api import ModelAPI
from .report import put_into

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import httpx

    from keploy_framework.storage.stored import StoredCase

__all__ = ("MODEL_API", "Count", "mutated", "table")


# --- applications whose answers are changed -----------------------------------------------------


class _Changing:
    """Wraps an application; the answer to each request in turn is handed to a function."""

    def __init__(self, app: Any, change: Callable[[Answer], None]) -> None:
        self._app = app
        self._change = change


class _ChangingASGI(_Changing):
    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = Answer(0, [], [])

        async def keep(event: Any) -> None:
            if event["type"] == "http.response.start":
                answer.status = event["status"]
                answer.headers = [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in event["headers"]
                ]
            else:
                answer.pieces.append(event.get("body", b""))

        await self._app(scope, receive, keep)
        self._change(answer)
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for piece in answer.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


class _ChangingWSGI(_Changing):
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        answer = Answer(0, [], [])
        reasons: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            del exc_info
            code, _, reason = status.partition(" ")
            answer.status, answer.headers = int(code), list(headers)
            reasons[:] = [reason]
            return answer.pieces.append

        came = self._app(environ, start)
        try:
            answer.pieces += came
        finally:
            if hasattr(came, "close"):
                came.close()
        self._change(answer)
        start_response(f"{answer.status} {reasons[0]}", answer.headers)
        return answer.pieces


def _model_session(client: httpx.Client) -> None:
    for ask in MODEL:
        client.request(ask.method, ask.path, headers=list(ask.headers), content=ask.body)


MODEL_API: Final = Foreign(
    name="model API",
    kind="asgi",
    make=lambda _: Made(ModelAPI(pause=0.001), lambda: None),
    session=_model_session,
)
"""The simulator, which has streams of all kinds; no foreign application, but always there."""


# --- counting -----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Count:
    """How many changes were made and found, by kind; and those that were not."""

    made: Counter[str] = field(default_factory=Counter[str])
    caught: Counter[str] = field(default_factory=Counter[str])
    missed: list[str] = field(default_factory=list[str])
    false: list[str] = field(default_factory=list[str])

    @property
    def share(self) -> float:
        """The fraction that was found."""
        total = self.made.total()
        return self.caught.total() / total if total else 0.0


def mutated(app: Foreign, place: Path, *, rounds: int, seed: int, pause: float = 1.1) -> Count:
    """Record an application, and replay it in rounds with a change in each answer.

    Args:
        app: The application.
        place: An empty folder.
        rounds: How often it is replayed.
        seed: Of the changes.
        pause: See `prepared`.
    """
    count = Count()
    with prepared(app, "app", place, pause=pause) as (made, against, folder, _):
        cases = [
            case for name in KeployFolder(folder).sets() for case in KeployFolder(folder).set(name)
        ]
        told: list[str | None] = []
        plan: list[Callable[[Answer], str | None]] = []

        def change(answer: Answer) -> None:
            told.append(plan[len(told)](answer) if len(told) < len(plan) else None)

        wrapped: Any = (_ChangingASGI if app.kind == "asgi" else _ChangingWSGI)(against, change)

        def replayed() -> list[Any]:
            told.clear()
            results = asyncio.run(replay(wrapped, folder, reset=made.put_back, pieces=True))
            return list(results.test_cases)

        plan[:] = [lambda _: None for _ in cases]
        count.false = [str(each) for each in replayed() if each.status != "PASSED"]
        for number in range(rounds):
            plan[:] = [_planned(case, number, seed) for case in cases]
            for outcome, kind, case in zip(replayed(), told, cases, strict=True):
                if kind is None:
                    continue
                count.made[kind] += 1
                if outcome.status == "FAILED":
                    count.caught[kind] += 1
                else:
                    count.missed.append(f"{app.name}, round {number}, {case.name}: {kind}")
    return count


def _planned(case: StoredCase, number: int, seed: int) -> Callable[[Answer], str | None]:
    chance = random.Random(f"{seed}-{number}-{case.name}")  # noqa: S311 - seeded on purpose
    kinds = chance.sample(list(KINDS), len(KINDS))
    noise = {path.lower() if path.startswith("header.") else path for path in case.noise}
    return lambda answer: changed(answer, kinds, chance, noise)


def table(counts: dict[str, Count]) -> str:
    """Return a Markdown table: by kind, then by application."""
    made: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    for count in counts.values():
        made += count.made
        caught += count.caught
    lines = ["| change | made | caught |", "| --- | --- | --- |"]
    for kind in KINDS:
        share = f"{caught[kind] / made[kind]:.1%}" if made[kind] else "-"
        lines.append(f"| {kind} | {made[kind]} | {share} |")
    whole = caught.total() / made.total() if made.total() else 0.0
    lines += [f"| **all** | {made.total()} | **{whole:.1%}** |", ""]
    lines += ["| application | made | caught |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {count.made.total()} | {count.share:.1%} |" for name, count in counts.items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was caught; 1 if it is less than 95 %."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.mutations", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=16, help="replays of each application")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("apps", nargs="*", help="only these")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="renew the part of a page")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    counts: dict[str, Count] = {}
    for app in (MODEL_API, *installed()):
        if options.apps and app.name not in options.apps:
            continue
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            counts[app.name] = mutated(app, Path(place), rounds=options.rounds, seed=options.seed)
    print(table(counts))
    if options.markdown is not None:
        page = options.markdown.read_text(encoding="utf-8")
        options.markdown.write_text(put_into(page, table(counts), "mutations"), encoding="utf-8")
    for count in counts.values():
        for line in (*count.false, *count.missed):
            print(f"- {line}")
    made = sum(count.made.total() for count in counts.values())
    caught = sum(count.caught.total() for count in counts.values())
    return 0 if made and caught >= 0.95 * made else 1


if __name__ == "__main__":
    sys.exit(main())
