"""Requests as they go over the wire: to the byte from the sidecar, else from Keploy's form."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.model import Direction, Exchange, Piece, Request, Response, header_value
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.tap import ConnectionTap
from keploy_framework.replay import replay
from keploy_framework.replay.urls import parts_of
from keploy_framework.replay.wire import request_bytes, upgrade_bytes
from keploy_framework.replay.wsgi_target import environ_of

if TYPE_CHECKING:
    from pathlib import Path

Store = Callable[..., Awaitable[None]]

NAMES = st.sampled_from(["X-A", "x-b", "Accept", "X-Multi", "Cookie"])
VALUES = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"),
    min_size=1,
    max_size=20,
).filter(lambda text: text == text.strip())
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(tuple)
PATHS = st.text(alphabet="abc/%.~-_2F", max_size=12).map(lambda text: f"/{text}")
QUERIES = st.text(alphabet="a=b&c%20;+é"[:10], max_size=12)


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PATCH"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=64),
)
def test_what_was_recorded_is_sent_to_the_byte(
    method: str, path: str, query: str, headers: Any, body: bytes
) -> None:
    """What a recorder reads of the bytes that are sent is the request that was recorded."""
    url = f"http://h:8000{path}{'?' + query if query else ''}"
    lines = (("Host", "h:8000"), *headers)
    if body:
        lines = (*lines, ("Content-Length", str(len(body))))
    request = Request(method, url, lines, body)
    recorder = MemoryRecorder()
    tap = ConnectionTap(recorder, "http", "h:8000")
    tap.from_client(request_bytes(request))
    tap.from_server(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert recorder.exchanges[0].request == request


@given(path=PATHS, query=QUERIES)
def test_the_target_stands_as_it_was_written(path: str, query: str) -> None:
    """Escapes, dots and doubled slashes of a URL are not touched."""
    target = f"{path}?{query}" if query else path
    assert parts_of(f"http://h{target}").target == target


def test_framing_is_made_true() -> None:
    """A length that no longer fits, a body without one, and chunks are framed anew."""
    long = Request("POST", "http://h/", (("Host", "h"), ("Content-Length", "99")), b"hi")
    assert b"Content-Length: 2\r\n\r\nhi" in request_bytes(long)
    bare = Request("POST", "http://h/", (("Host", "h"),), b"hi")
    assert b"Content-Length: 2\r\n\r\nhi" in request_bytes(bare)
    chunked = Request("POST", "http://h/", (("Transfer-Encoding", "chunked"),), b"hi")
    assert request_bytes(chunked).endswith(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    waiting = Request("POST", "http://h/", (("Expect", "100-continue"),), b"hi")
    assert b"expect" not in request_bytes(waiting).lower()


def test_the_host_can_be_another_one() -> None:
    """A server elsewhere is asked by its own name."""
    request = Request("GET", "http://old/a", (("host", "old"),))
    assert request_bytes(request, host="new:8000") == b"GET /a HTTP/1.1\r\nhost: new:8000\r\n\r\n"
    socket = upgrade_bytes(Request("GET", "ws://h/a", (("Sec-WebSocket-Key", "old"),)), "new")
    assert socket.count(b"Sec-WebSocket-Key: new") == 1
    assert b"old" not in socket


def test_an_address_of_version_six_is_understood() -> None:
    """Brackets, a port and a user are told apart."""
    assert parts_of("https://u:p@[::1]:8443/a?b")[:3] == ("https", "::1", 8443)
    assert parts_of("https://example.com")[1:4] == ("example.com", 443, "/")


def test_a_wsgi_environment_tells_the_request() -> None:
    """Path, raw target, repeated headers and the body are where WSGI has them."""
    request = Request(
        "PUT",
        "https://h:8443/caf%C3%A9/a%2Fb?x=%20",
        (("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("Content-Type", "t")),
        b"hi",
    )
    environ = environ_of(request)
    assert environ["PATH_INFO"] == "/cafÃ©/a/b"
    assert environ["RAW_URI"] == "/caf%C3%A9/a%2Fb?x=%20"
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("t", "2")
    assert environ["wsgi.input"].read() == b"hi"
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", "8443")


async def told(folder: Path, store: Store, request: Request, *, exact: bool) -> Request:
    """Return the request that an application gets when this one was recorded."""
    await store(Exchange("1", Direction.INBOUND, request, Response(204), 1, 2))
    if not exact:
        for path in (folder / "test-set-0" / "tta").glob("*.yaml"):
            path.unlink()
    seen: list[Request] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        body = (await receive())["body"]
        lines = tuple((a.decode("latin-1"), b.decode("latin-1")) for a, b in scope["headers"])
        target = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        seen.append(Request(scope["method"], target, lines, body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    results = await replay(app, folder)
    assert results.is_success, results
    return seen[0]


async def test_repeated_headers_and_odd_bytes_come_from_the_sidecar(
    folder: Path, store: Store
) -> None:
    """Where the sidecar is valid, the application sees what it saw when it was recorded."""
    body = gzip.compress(b"\xff\xfe", mtime=0)
    lines = (("x-a", "1"), ("x-a", "2"), ("x-b", "\xe9"), ("content-encoding", "gzip"))
    request = Request("POST", "http://h/a%2Fb?q=%20+", lines, body)
    seen = await told(folder, store, request, exact=True)
    assert (seen.headers, seen.body, seen.url) == (lines, body, "/a%2Fb?q=%20+")


async def test_compressed_bodies_are_compressed_again(folder: Path, store: Store) -> None:
    """Keploy stores them decompressed; the application gets them as its client sent them."""
    lines = (("Host", "h"), ("Content-Encoding", "gzip"), ("Content-Type", "text/plain"))
    request = Request("POST", "http://h/", lines, gzip.compress(b"hello"))
    seen = await told(folder, store, request, exact=False)
    assert gzip.decompress(seen.body) == b"hello"


async def test_forms_are_encoded_again(folder: Path, store: Store) -> None:
    """Keploy stores forms percent-decoded; what cannot be mistaken comes back as it was."""
    body = b"name=Ann+%26+Bob&note=50+%25"
    lines = (
        ("Host", "h"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", str(len(body))),
    )
    seen = await told(folder, store, Request("POST", "http://h/", lines, body), exact=False)
    assert b"%" in seen.body
    assert header_value(seen.headers, "content-length") == str(len(seen.body))


async def test_multipart_forms_are_built_again(folder: Path, store: Store) -> None:
    """Fields and files come back, between boundaries of our own."""
    mark = b"--cut"
    body = b"\r\n".join(
        [
            mark,
            b'Content-Disposition: form-data; name="a"',
            b"",
            b"1",
            mark,
            b'Content-Disposition: form-data; name="f"; filename="x.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            b"\x00\xff",
            b"--cut--",
            b"",
        ]
    )
    lines = (("Host", "h"), ("Content-Type", "multipart/form-data; boundary=cut"))
    seen = await told(folder, store, Request("POST", "http://h/", lines, body), exact=False)
    boundary = (header_value(seen.headers, "content-type") or "").partition("boundary=")[2]
    assert boundary.encode() in seen.body
    assert b"\x00\xff" in seen.body
    assert b'filename="x.bin"' in seen.body


async def test_what_keploy_stores_with_losses_is_compared_with_the_same_losses(
    folder: Path, store: Store
) -> None:
    """Folded headers, frames and decompressed bodies of Keploy's files make no difference."""
    words = gzip.compress(b'{"a": 1}')
    answers = [
        Response(
            200,
            "OK",
            (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-z", "1"), ("x-a", "2")),
            (Piece(0.0, b"text"),),
        ),
        Response(
            200,
            "OK",
            (("content-type", "application/json"), ("content-encoding", "gzip")),
            (Piece(0.0, words),),
        ),
        Response(
            200,
            "OK",
            (("content-type", "text/event-stream"),),
            (Piece(0.0, b"DATA:x\r\n\r\n"), Piece(0.1, b"data: y\n\n\n")),
        ),
    ]
    cases = [
        Exchange(str(n), Direction.INBOUND, Request("GET", f"http://h/{n}"), answer, n + 1, n + 2)
        for n, answer in enumerate(answers)
    ]
    await store(*cases)
    for path in (folder / "test-set-0" / "tta").glob("*.yaml"):
        path.unlink()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        answer = answers[int(scope["path"][1:])]
        lines = [(a.encode(), b.encode()) for a, b in answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        for piece in answer.pieces:
            event = {"type": "http.response.body", "body": piece.data, "more_body": True}
            await send(event)
        await send({"type": "http.response.body"})

    results = await replay(app, folder)
    assert results.is_success, results
    answers[1] = Response(200, "OK", answers[1].headers, (Piece(0.0, gzip.compress(b"[]")),))
    assert len((await replay(app, folder)).failures) == 1
