"""What applications written elsewhere do: ids in XML, locks in angles, pages that vary."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from keploy_framework.replay import find_noise, replay, write_noise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx
    from starlette.requests import Request as Asked

Record = Callable[..., Awaitable[None]]


def shelf() -> Starlette:
    """An application that hands out an upload's id in XML, and the token of a lock in a header."""
    known: set[str] = set()

    async def begin(_: Asked) -> Response:
        upload = secrets.token_hex(16)
        known.add(upload)
        body = f"<Begun><Bucket>b</Bucket><UploadId>{upload}</UploadId></Begun>"
        return Response(body, media_type="application/xml")

    async def put(request: Asked) -> Response:
        return Response(status_code=204 if request.query_params["uploadId"] in known else 404)

    async def lock(_: Asked) -> Response:
        token = f"lock:0x{secrets.token_hex(12)}"
        known.add(token)
        return Response(headers={"X-Lock": f"<{token}>", "ETag": f'"{token[-12:]}"'})

    async def write(request: Asked) -> Response:
        token = request.headers["if"].strip("()<>")
        return Response(status_code=204 if token in known else 412)

    return Starlette(
        routes=[
            Route("/uploads", begin, methods=["POST"]),
            Route("/uploads", put, methods=["PUT"]),
            Route("/lock", lock, methods=["POST"]),
            Route("/file", write, methods=["PUT"]),
        ]
    )


async def test_ids_in_xml_and_tokens_in_angles_are_those_of_the_replay(
    folder: Path, record: Record
) -> None:
    """The later request has what the earlier answer gave, however it was wrapped."""

    async def use(client: httpx.AsyncClient) -> None:
        begun = (await client.post("/uploads")).text
        upload = begun.partition("<UploadId>")[2].partition("<")[0]
        assert (await client.put("/uploads", params={"uploadId": upload})).status_code == 204
        token = (await client.post("/lock")).headers["x-lock"]
        assert (await client.put("/file", headers={"If": f"({token})"})).status_code == 204

    await record(shelf(), use)
    results = await replay(shelf(), folder)

    failed = {each.name for each in results.failures}
    assert not {name for name in failed if name.startswith("put")}, results


def page(runs: list[int]) -> Any:
    """An application that says how often it was started, in a page and in pieces."""

    async def look(_: Asked) -> Response:
        return PlainTextResponse(f"Shop\nQuery took {runs[0] * 7.5} ms\nend\n")

    async def watch(_: Asked) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for piece in ("data: one\n\n", f"data: {runs[0]}{'0' * runs[0]} ms\n\n"):
                yield piece

        return StreamingResponse(pieces(), media_type="text/event-stream")

    return Starlette(routes=[Route("/", look), Route("/watch", watch)])


async def test_pages_and_pieces_that_vary_are_no_failures(folder: Path, record: Record) -> None:
    """With the noise that two replays found, and although pieces are compared."""
    runs = [1]

    async def use(client: httpx.AsyncClient) -> None:
        await client.get("/")
        await client.get("/watch")

    def again() -> None:
        runs[0] += 1

    await record(page(runs), use)
    found = await find_noise(page(runs), folder, reset=again)
    await asyncio.to_thread(write_noise, folder, found.noise)
    results = await replay(page(runs), folder, reset=again, pieces=True)

    assert results.is_success, results


@pytest.mark.parametrize("sized", [True, False])
async def test_pieces_count_where_they_are_a_stream(
    folder: Path, record: Record, *, sized: bool
) -> None:
    """With a length, it is the network that cuts; without, it is the application."""
    cuts = [2]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/plain")]
        headers += [(b"content-length", b"6")] if sized else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, 6, cuts[0]):
            part = b"abcdef"[start : start + cuts[0]]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def use(client: httpx.AsyncClient) -> None:
        await client.get("/")

    await record(app, use)
    cuts[0] = 3
    results = await replay(app, folder, pieces=True)

    assert results.is_success == sized
