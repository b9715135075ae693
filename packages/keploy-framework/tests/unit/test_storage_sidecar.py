"""The sidecar: every exchange is read from it as it was, and a damaged one is one clear error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keploy_framework.errors import FormatError
from keploy_framework.model import (
    Direction,
    Exchange,
    Failure,
    Message,
    Omitted,
    Piece,
    Request,
    Response,
)
from keploy_framework.storage.documents import Document, render
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.sidecar import decode_sidecar, digest_of, encode_sidecar
from keploy_framework.storage.tree import load_one
from keploy_framework.storage.writer import SIDECAR_HEAD, SetWriter

if TYPE_CHECKING:
    from pathlib import Path


def without_body(request: Request, left: Omitted) -> Request:
    return replace(request, body=b"", omitted=left)


def without_pieces(response: Response, left: Omitted) -> Response:
    return replace(response, pieces=(), omitted=left)


text = st.text(max_size=12)
wire = st.text(st.characters(max_codepoint=255), max_size=12)  # a header: each byte a character
anything = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
headers = st.lists(st.tuples(wire.filter(bool), wire), max_size=3).map(tuple)
times = st.floats(0, 1e9)
count = st.integers(0, 2**62)
omitted = st.builds(Omitted, size=count, sha256=text, reason=text)
pieces = st.lists(st.builds(Piece, at=times, data=st.binary(max_size=20)), max_size=4).map(tuple)
requests = st.builds(
    Request,
    method=text,
    url=text,
    headers=headers,
    body=st.binary(max_size=30),
    http_version=text.filter(bool),
)
responses = st.builds(
    Response,
    status=st.integers(100, 599),
    reason=text,
    headers=headers,
    pieces=pieces,
    http_version=text.filter(bool),
    trailers=headers,
)
messages = st.builds(
    Message,
    at=times,
    sender=st.sampled_from(["client", "server"]),
    data=st.one_of(anything, st.binary(max_size=10)),
    close_code=st.one_of(st.none(), st.integers(1000, 4999)),
)
everything = st.builds(
    Exchange,
    id=text,
    direction=st.sampled_from(Direction),
    request=st.one_of(
        requests,
        st.builds(without_body, requests, omitted),
    ),
    response=st.one_of(
        st.none(),
        responses,
        st.builds(without_pieces, responses, omitted),
    ),
    started_at=count,
    ended_at=count,
    failure=st.one_of(st.none(), st.builds(Failure, kind=text, text=text)),
    parent=st.one_of(st.none(), text),
    messages=st.lists(messages, max_size=3).map(tuple),
)


def reread(tree: dict[str, Any], **files: bytes) -> Exchange:
    """Return what a file of this tree says, with the files of long bodies."""

    def asset(fields: Fields, path: str) -> bytes:
        if path not in files:
            raise fields.error(f"there is no {path}")
        return files[path]

    data = render([Document(tree, head=SIDECAR_HEAD)])
    return decode_sidecar(Fields(load_one(data, "sidecar"), "sidecar", data), asset)


@settings(deadline=None)
@given(everything)
def test_an_exchange_is_read_as_it_was_written(exchange: Exchange) -> None:
    """Every field, every byte, every line of every header, every time."""
    tree = encode_sidecar(exchange, "get-a-1", digest=None)

    assert reread(tree) == replace(exchange, name="get-a-1")


@settings(deadline=None)
@given(st.lists(st.tuples(times, st.binary(max_size=9)), max_size=5), st.binary(max_size=9))
def test_a_long_body_in_a_file_keeps_its_pieces(
    parts: list[tuple[float, bytes]], asked: bytes
) -> None:
    exchange = Exchange(
        "1", Direction.INBOUND, Request("PUT", "http://h/"), Response(200), 1, 2, name="a"
    )
    tree = encode_sidecar(
        exchange, "a", digest=None,
        request_file=("asked", [(0.0, len(asked))]),
        response_file=("answered", [(at, len(data)) for at, data in parts]),
    )  # fmt: skip
    found = reread(tree, asked=asked, answered=b"".join(data for _, data in parts))

    assert found.request.body == asked
    assert found.response is not None
    assert [(piece.at, piece.data) for piece in found.response.pieces] == parts


@pytest.mark.parametrize("held", [b"", b"ninebytes"[:-1], b"ninebytes+"])
def test_a_file_that_lost_or_gained_bytes_is_no_recording(held: bytes) -> None:
    """It is told, rather than replayed as a shorter answer."""
    exchange = Exchange("1", Direction.INBOUND, Request("GET", "http://h/"), Response(200), 1, 2)
    tree = encode_sidecar(exchange, "a", digest=None, response_file=("long", [(0.1, 4), (0.2, 5)]))

    with pytest.raises(FormatError, match=rf"long has {len(held)} bytes, its pieces have 9"):
        reread(tree, long=held)


def test_a_recording_with_a_cut_file_names_it(tmp_path: Path) -> None:
    """The file in the folder, the line in the sidecar; other cases are still read."""
    writer = SetWriter(KeployFolder(tmp_path), "s", names=CaseNames())
    answer = Response(200, "OK", (("Content-Type", "text/plain"),))
    long = Exchange("1", Direction.INBOUND, Request("GET", "http://h/long"), answer, 1, 2)
    writer.add(long, response_frames=lambda: iter([(0.1, b"one"), (0.2, b"two")]))
    writer.add(replace(long, id="2", request=Request("GET", "http://h/other")))
    writer.finish()
    whole = KeployFolder(tmp_path).set("s").case("get-long-1")
    assert whole.exchange is not None
    assert whole.exchange.response is not None
    assert whole.exchange.response.body == b"onetwo"

    (tmp_path / "s" / "assets" / "get-long-1" / "response.bin").write_bytes(b"onet")
    again = KeployFolder(tmp_path).set("s")
    assert again.case("get-other-1").name == "get-other-1"
    with pytest.raises(FormatError, match="has 4 bytes, its pieces have 6"):
        again.case("get-long-1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "keploy-framework/9"}, "use the version of keploy-framework that wrote it"),
        ({"request": None}, "request"),
        ({"direction": "sideways"}, "direction|sideways"),
        ({"started_at": "soon"}, "started_at has to be a whole number, not 'soon'"),
        ({"messages": [{"at": 0, "sender": "nobody", "data": ""}]}, "has to be client or server"),
        ({"request": {"method": "GET", "url": "u", "headers": ["Host"]}}, "one name and its value"),
        ({"request": {"method": "GET", "url": "u", "headers": [{"a": "1", "b": "2"}]}}, "one name"),
        ({"request": {"method": "GET", "url": "u", "headers": [{"a": ["1"]}]}}, "has to be text"),
        ({"response": {"reason": "OK"}}, "status is missing"),
        ({"response": {"status": 200, "pieces": [{"at": "x", "data": ""}]}}, "has to be a number"),
    ],
)
def test_a_damaged_sidecar_is_one_error(change: dict[str, Any], words: str) -> None:
    """It names the field, and what has to stand there."""
    exchange = Exchange("1", Direction.INBOUND, Request("GET", "http://h/"), Response(200), 1, 2)
    tree = {**encode_sidecar(exchange, "a", digest=None), **change}

    with pytest.raises(FormatError, match=words):
        reread(tree)


def test_a_digest_is_of_what_is_said_and_not_of_how_it_is_written() -> None:
    """Indent, quotes, order of keys and noise are nothing to it; each value is."""
    loose = b"""
spec:
    resp: {status_code: "200", body: !!binary AAE=}
    req:
        url: 'http://h/'
        list: [1, 2]
        flag: true
    assertions: {noise: {body.a: []}}
"""
    tight = (
        b'spec: {req: {flag: true, list: ["1", "2"], url: http://h/}, '
        b'resp: {body: !!binary "AAE=", status_code: 200}}'
    )
    digests = {digest_of(load_one(data, "x")) for data in (loose, tight)}
    assert len(digests) == 1
    for old, new in ((b"AAE=", b"AAI="), (b"[1, 2]", b"[2, 1]"), (b"true", b"false")):
        assert digest_of(load_one(loose.replace(old, new), "x")) not in digests
    assert digest_of("no mapping") == digest_of({"spec": None})
