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
import gzip
import io
import json
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.replay import replay
from keploy_framework.storage.folder import KeployFolder

from .corpus import MODEL
from .foreign import installed
from .foreign.application import Foreign, Made
from .foreign_apps import prepared
from .model_api import ModelAPI

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import httpx

    from keploy_framework.storage.stored import StoredCase

__all__ = ("KINDS", "MODEL_API", "Answer", "Count", "changed", "mutated", "table")

_FRAMING: Final = {"content-length", "transfer-encoding", "connection", "date", "server", "keep-alive"}  # fmt: skip
_WORD: Final = re.compile(rb"[A-Za-z]{3,}")


@dataclass(slots=True)
class Answer:
    """An answer on its way.

    Attributes:
        status: The status.
        headers: The lines.
        pieces: The pieces of the body.
    """

    status: int
    headers: list[tuple[str, str]]
    pieces: list[bytes]

    def header(self, name: str) -> str:
        """Return the value of a header, "" if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


# --- changes ------------------------------------------------------------------------------------



def _status(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    others = [code for code in (200, 201, 400, 404, 409, 418, 500) if code != answer.status]
    answer.status = chance.choice(others)
    return True


def _own_headers(answer: Answer, noise: set[str]) -> list[int]:
    return [
        number
        for number, (name, _) in enumerate(answer.headers)
        if name.lower() not in _FRAMING and f"header.{name.lower()}" not in noise
    ]


def _header_dropped(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    own = _own_headers(answer, noise)
    if own:
        del answer.headers[chance.choice(own)]
    return bool(own)


def _header_added(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    answer.headers.append((f"X-New-{chance.randrange(99)}", "1"))
    return True


def _header_changed(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    own = _own_headers(answer, noise)
    if own:
        number = chance.choice(own)
        name, value = answer.headers[number]
        answer.headers[number] = (name, f"{value}x" if value else "x")
    return bool(own)


def _header_order(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Change the order of a header that comes more than once."""
    del noise, chance
    seen: dict[str, int] = {}
    for number, (name, value) in enumerate(answer.headers):
        before = seen.setdefault(name.lower(), number)
        if before != number and answer.headers[before][1] != value:
            lines = answer.headers
            lines[before], lines[number] = lines[number], lines[before]
            return True
    return False


def _tree(answer: Answer) -> tuple[Any, Callable[[Any], None]] | None:
    """Return the JSON of an answer, and what puts another one in its place."""
    body = b"".join(answer.pieces)
    squeezed = answer.header("content-encoding") == "gzip"
    if "json" not in answer.header("content-type") or "event" in answer.header("content-type"):
        return None
    try:
        tree = json.loads(gzip.decompress(body) if squeezed else body)
    except (ValueError, OSError):
        return None

    def put(new: Any) -> None:
        made = json.dumps(new, ensure_ascii=False).encode()
        answer.pieces = [gzip.compress(made) if squeezed else made]

    return (tree, put) if isinstance(tree, (dict, list)) else None


@dataclass(frozen=True, slots=True)
class _Place:
    holder: Any
    key: Any
    path: str

    @property
    def value(self) -> Any:
        return self.holder[self.key]


def _places(tree: Any) -> list[_Place]:
    found: list[_Place] = []
    waiting: list[tuple[Any, str]] = [(tree, "body")]
    while waiting:
        value, path = waiting.pop()
        pairs: Iterable[tuple[Any, Any]] = (
            value.items() if isinstance(value, dict) else enumerate(value)
        )
        for key, inner in pairs:
            below = f"{path}.{key}" if isinstance(value, dict) else path
            found.append(_Place(value, key, below))
            if isinstance(inner, (dict, list)):
                waiting.append((inner, below))
    return found


def _quiet(path: str, noise: set[str]) -> bool:
    """Say whether nothing at or above a path is noise."""
    return not any(path == each or path.startswith(f"{each}.") for each in noise)


def _in_json(
    choose: Callable[[_Place], bool], change: Callable[[_Place, random.Random], None]
) -> Callable[[Answer, random.Random, set[str]], bool]:
    def changing(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
        found = _tree(answer)
        if found is None:
            return False
        tree, put = found
        places = [each for each in _places(tree) if choose(each) and _quiet(each.path, noise)]
        if not places:
            return False
        change(chance.choice(places), chance)
        put(tree)
        return True

    return changing


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + chance.choice((-1, 1, 10))
    return f"{value}{chance.choice('xyz')}" if chance.random() < 0.5 or not value else value[1:]  # noqa: PLR2004 - half


def _other_type(value: Any) -> Any:
    if isinstance(value, str):
        return len(value)
    return str(value) if isinstance(value, (bool, int, float)) else {"was": "null"}


def _set(place: _Place, new: Any) -> None:
    place.holder[place.key] = new


def _is_leaf(place: _Place) -> bool:
    return not isinstance(place.value, (dict, list))


def _swap(place: _Place, chance: random.Random) -> None:
    del chance
    items: list[Any] = place.value
    at = next(n for n in range(1, len(items)) if items[n] != items[0])
    items[0], items[at] = items[at], items[0]


def _json_order(place: _Place) -> bool:
    value = place.value
    return isinstance(value, list) and any(item != value[0] for item in value[1:])


def _text(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Change a word of a body that is no JSON."""
    del noise
    body = b"".join(answer.pieces)
    if _tree(answer) is not None or answer.header("content-encoding") or not body:
        return False
    words = list(_WORD.finditer(body))
    if words:
        word = chance.choice(words)
        start = word.start()
    else:
        start = chance.randrange(len(body))
    new = bytes([body[start] ^ 1])
    cut = 0
    for number, piece in enumerate(answer.pieces):
        if cut <= start < cut + len(piece):
            at = start - cut
            answer.pieces[number] = piece[:at] + new + piece[at + 1 :]
        cut += len(piece)
    return True


def _line(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Leave out a line of a body that is text."""
    del noise
    body = b"".join(answer.pieces)
    if "text/" not in answer.header("content-type") or "event" in answer.header("content-type"):
        return False
    lines = body.splitlines(keepends=True)
    if len(lines) < 2 or answer.header("content-encoding"):  # noqa: PLR2004 - one has to stay
        return False
    del lines[chance.randrange(len(lines))]
    answer.pieces = [b"".join(lines)]
    return True


def _is_stream(answer: Answer) -> bool:
    return not answer.header("content-length") and sum(map(bool, answer.pieces)) > 1


def _piece_dropped(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    answer.pieces.remove(chance.choice([piece for piece in answer.pieces if piece]))
    return True


def _piece_merged(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    pieces = [piece for piece in answer.pieces if piece]
    at = chance.randrange(len(pieces) - 1)
    answer.pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]
    return True


def _piece_doubled(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    at = chance.choice([number for number, piece in enumerate(answer.pieces) if piece])
    answer.pieces.insert(at, answer.pieces[at])
    return True


def _piece_order(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    pieces = [piece for piece in answer.pieces if piece]
    at = chance.randrange(len(pieces) - 1)
    if pieces[at] == pieces[at + 1]:
        return False
    pieces[at], pieces[at + 1] = pieces[at + 1], pieces[at]
    answer.pieces = pieces
    return True


KINDS: Final[dict[str, Callable[[Answer, random.Random, set[str]], bool]]] = {
    "status": _status,
    "key removed": _in_json(
        lambda place: isinstance(place.holder, dict), lambda place, _: place.holder.pop(place.key)
    ),
    "key added": _in_json(
        lambda place: isinstance(place.holder, dict),
        lambda place, _: place.holder.__setitem__("new_key", None),
    ),
    "type": _in_json(_is_leaf, lambda place, _: _set(place, _other_type(place.value))),
    "value": _in_json(
        lambda place: _is_leaf(place) and place.value is not None,
        lambda place, chance: _set(place, _other(place.value, chance)),
    ),
    "order": _in_json(_json_order, _swap),
    "header removed": _header_dropped,
    "header added": _header_added,
    "header changed": _header_changed,
    "header order": _header_order,
    "text changed": _text,
    "line removed": _line,
    "piece dropped": _piece_dropped,
    "pieces merged": _piece_merged,
    "piece doubled": _piece_doubled,
    "pieces swapped": _piece_order,
}
"""What may be changed, by name."""


def changed(
    answer: Answer, kinds: Sequence[str], chance: random.Random, noise: set[str]
) -> str | None:
    """Change an answer in the first of these kinds that can; return its name.

    Args:
        answer: The answer; its length is put right, as a server would.
        kinds: Names of kinds, in the order in which they are tried.
        chance: Where the change is.
        noise: Paths whose values are not to be changed.
    """
    length = answer.header("content-length")
    for kind in kinds:
        if KINDS[kind](answer, chance, noise):
            if length and answer.header("content-length") == length and answer.status not in {204, 304}:  # fmt: skip
                size = str(sum(map(len, answer.pieces)))
                if answer.pieces and any(answer.pieces):
                    answer.headers = [
                        (name, size if name.lower() == "content-length" else value)
                        for name, value in answer.headers
                    ]
            return kind
    return None


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
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]  # fmt: skip
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
        cases = [case for name in KeployFolder(folder).sets() for case in KeployFolder(folder).set(name)]  # fmt: skip
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
    parser = argparse.ArgumentParser(prog="benchmarks.mutations", description=(__doc__ or "").partition("\n")[0])  # fmt: skip
    parser.add_argument("--rounds", type=int, default=16, help="replays of each application")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("apps", nargs="*", help="only these")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    counts: dict[str, Count] = {}
    for app in (MODEL_API, *installed()):
        if options.apps and app.name not in options.apps:
            continue
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            counts[app.name] = mutated(app, Path(place), rounds=options.rounds, seed=options.seed)
    print(table(counts))
    for count in counts.values():
        for line in (*count.false, *count.missed):
            print(f"- {line}")
    made = sum(count.made.total() for count in counts.values())
    caught = sum(count.caught.total() for count in counts.values())
    return 0 if made and caught >= 0.95 * made else 1  # noqa: PLR2004 - the goal


if __name__ == "__main__":
    sys.exit(main())
