"""Answers that nobody wants in memory: they are compared by length and SHA-256, as recorded."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.matching import answer_differences
from keploy_framework.model import Direction, Exchange, Omitted, Piece, Request, Response
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.replay import accept, replay
from keploy_framework.replay.target import KEPT, kept_of

if TYPE_CHECKING:
    from pathlib import Path

Store = Callable[..., Awaitable[None]]

MIB = 1 << 20
PIECE = bytes(range(256)) * 1024


def digest(count: int) -> str:
    """The SHA-256 of so many pieces."""
    whole = hashlib.sha256()
    for _ in range(count):
        whole.update(PIECE)
    return whole.hexdigest()


def case(response: Response) -> Exchange:
    request = Request("GET", "http://h/a", (("Host", "h"),))
    return Exchange("1", Direction.INBOUND, request, response, 1, 2)


def asgi(count: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(count):
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await send({"type": "http.response.body"})

    return app


def wsgi(count: int) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return (PIECE for _ in range(count))

    return app


@pytest.mark.parametrize("make", [asgi, wsgi])
async def test_a_body_that_was_not_stored_is_not_kept_when_it_comes_again(
    make: Callable[[int], Any], store: Store, folder: Path
) -> None:
    """Its length and its digest are compared while memory holds a piece of it at a time."""
    count = 256
    await store(case(Response(200, omitted=Omitted(count * len(PIECE), digest(count), "long"))))
    tracemalloc.start()
    try:
        results = await replay(make(count), folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert results.is_success, str(results)
    assert peak < 32 * MIB


async def test_a_long_body_that_changed_is_told_by_its_digest(store: Store, folder: Path) -> None:
    size = 8 * len(PIECE)
    await store(case(Response(200, omitted=Omitted(size, digest(7), "long"))))
    (failed,) = (await replay(asgi(8), folder)).failures

    (found,) = failed.differences
    assert (found.path, found.expected, found.actual) == ("body", digest(7), digest(8))


async def test_a_short_recording_is_not_filled_up_by_an_endless_answer(
    store: Store, folder: Path
) -> None:
    """Beyond what can be compared, an answer is only measured; the difference is its length."""
    await store(case(Response(200, pieces=(Piece(0.0, b"short"),))))
    count = KEPT // len(PIECE) + 1
    (failed,) = (await replay(asgi(count), folder)).failures

    (found,) = failed.differences
    assert str(found) == f"body, bytes: 5 elements became {count * len(PIECE)}"


async def test_what_is_accepted_of_a_long_answer_is_its_length_and_digest(
    store: Store, folder: Path
) -> None:
    await store(case(Response(200, omitted=Omitted(7 * len(PIECE), digest(7), "long"))))
    results = await replay(asgi(8), folder)

    accepted = await asyncio.to_thread(accept, folder, results.test_cases)

    assert accepted == (results.test_cases[0].id,)
    assert (await replay(asgi(8), folder)).is_success


def test_a_body_whose_digest_nobody_knows_is_compared_by_its_length() -> None:
    """HAR files and Keploy name the length of what they leave out, and no digest."""
    known = Response(200, omitted=Omitted(5, "", "the HAR file does not hold it"))

    assert answer_differences(known, Response(200, pieces=(Piece(0.0, b"12345"),))) == []
    assert len(answer_differences(known, Response(200, pieces=(Piece(0.0, b"1"),)))) == 1


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (None, KEPT),
        (Response(200, pieces=(Piece(0.0, b"x" * 10),)), KEPT + 10),
        (Response(200, omitted=Omitted(5, "ab", "long")), MIB),
    ],
)
def test_how_much_is_kept_follows_what_was_recorded(response: Response | None, kept: int) -> None:
    exchange = Exchange("1", Direction.INBOUND, Request("GET", "http://h/"), response, 0, 0)

    assert kept_of(exchange) == kept


@pytest.mark.parametrize(("limit", "whole"), [(5, True), (4, False), (0, False), (None, True)])
def test_a_recorder_in_memory_keeps_answers_up_to_its_limit(
    limit: int | None, *, whole: bool
) -> None:
    """One byte more, and only length and digest are left."""
    recorder = MemoryRecorder(max_body=limit)
    writer = recorder.open(Direction.INBOUND, "GET", "http://h/", ())
    writer.response_head(200, "OK", ())
    for piece in (b"ab", b"c", b"de"):
        writer.response_piece(piece)
    writer.end()

    response = recorder.exchanges[0].response
    assert response is not None
    assert response.body == (b"abcde" if whole else b"")
    expected = None if whole else (5, hashlib.sha256(b"abcde").hexdigest())
    found = response.omitted and (response.omitted.size, response.omitted.sha256)
    assert found == expected
