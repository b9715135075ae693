"""Seeded mutations of answers: what is changed is caught, what is not changed passes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

Store = Callable[..., Awaitable[None]]
MUTATIONS = ("status", "header", "header gone", "piece", "key", "type", "order", "value", "deep")
COUNT = 30


def recorded(number: int) -> Response:
    """An answer of JSON, of text, or of a stream."""
    if number % 5 == 4:
        headers = (("content-type", "text/event-stream"), ("x-version", "1"))
        pieces = tuple(Piece(n / 100, b'data: {"n": %d}\n\n' % n) for n in range(4))
        return Response(200, "OK", headers, pieces)
    if number % 5 == 3:
        text = Piece(0.0, b"plain text %d\nand a line" % number)
        return Response(200, "OK", (("content-type", "text/plain"), ("x-version", "1")), (text,))
    body = {
        "id": number,
        "price": number * 1.5,
        "ok": True,
        "born": "1815-12-10",
        "tags": ["a", "b", "c"],
        "inner": {"list": [1, 2, {"x": None}]},
    }
    made = (("content-type", "application/json"), ("x-version", "1"), ("set-cookie", "a=1"))
    return Response(200, "OK", made, (Piece(0.0, json.dumps(body).encode()),))


def mutated(response: Response, what: str, rng: random.Random) -> Response:
    """Return the answer with one thing changed."""
    if what == "status":
        return replace(response, status=rng.choice([201, 404, 500]))
    if what == "header":
        changed = tuple(
            (name, "2" if name == "x-version" else old) for name, old in response.headers
        )
        return replace(response, headers=changed)
    if what == "header gone":
        return replace(response, headers=response.headers[:-1])
    pieces = list(response.pieces)
    at = rng.randrange(len(pieces))
    if what == "piece":
        del pieces[at]
        return replace(response, pieces=tuple(pieces))
    try:
        body: dict[str, Any] = json.loads(pieces[0].data)
    except ValueError:
        data = bytearray(pieces[at].data)
        data[rng.randrange(len(data))] ^= 1
        pieces[at] = Piece(pieces[at].at, bytes(data))
        return replace(response, pieces=tuple(pieces))
    if what == "key":
        del body[rng.choice(list(body))]
    elif what == "type":
        body["id"] = str(body["id"])
    elif what == "order":
        body["tags"].reverse()
    elif what == "value":
        body[rng.choice(["id", "price", "ok", "born"])] = "other"
    else:
        body["inner"]["list"][2]["x"] = 0
    return replace(response, pieces=(Piece(0.0, json.dumps(body).encode()),))


@pytest.mark.parametrize("exact", [True, False], ids=["sidecar", "keploy"])
async def test_every_change_is_caught(folder: Path, store: Store, exact: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Status, headers, keys, types, values, order and pieces: each change fails, nothing else."""
    rng = random.Random(7)
    cases = [
        Exchange(
            str(n), Direction.INBOUND, Request("GET", f"http://h/{n}"), recorded(n), n + 1, n + 2
        )
        for n in range(COUNT)
    ]
    await store(*cases)
    if not exact:
        for path in (folder / "test-set-0" / "tta").glob("*.yaml"):
            await asyncio.to_thread(path.unlink)
    answers = [recorded(n) for n in range(COUNT)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        answer = answers[int(scope["path"][1:])]
        lines = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        for piece in answer.pieces:
            await send({"type": "http.response.body", "body": piece.data, "more_body": True})
        await send({"type": "http.response.body"})

    results = await replay(app, folder)
    assert results.passed == COUNT, results
    for what in MUTATIONS:
        answers[:] = [mutated(recorded(n), what, rng) for n in range(COUNT)]
        results = await replay(app, folder, workers=3)
        assert results.failed == COUNT, (what, [case.name for case in results.test_cases])
