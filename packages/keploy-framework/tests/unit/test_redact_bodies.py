"""Bodies without their secrets: in pieces, in steps, compressed, wide, and too long to be held."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import pairwise
from typing import Protocol, cast

import brotli  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.redact import Redaction

SECRET = "hunter2-and-more"  # noqa: S105 - made for these tests
KEY = "sk-" + "ant-api03-abcdefghij0123456789"
JSON = (("Content-Type", "application/json"),)


class Packer(Protocol):
    """Packs or unpacks a whole body."""

    def __call__(self, data: bytes, /) -> bytes: ...


def exchange(request: Request, response: Response) -> Exchange:
    return Exchange("1", Direction.INBOUND, request, response, 1, 2)


def _brotli(data: bytes) -> bytes:
    return cast("bytes", brotli.compress(data, quality=1))  # pyright: ignore[reportUnknownMemberType]


def _no_brotli(data: bytes) -> bytes:
    return cast("bytes", brotli.decompress(data))  # pyright: ignore[reportUnknownMemberType]


SSE = (("Content-Type", "text/event-stream"),)


@given(st.lists(st.integers(0, 200), max_size=12))
def test_a_secret_that_is_cut_into_pieces_does_not_leak(cuts: list[int]) -> None:
    """Wherever the pieces of an answer begin: their number stays, the secret goes."""
    body = f'data: {{"a": "{KEY}"}}\n\ndata: [DONE]\n\n'.encode()
    places = sorted({min(at, len(body)) for at in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in pairwise(places)]

    clean = Redaction.default().pieces(pieces, SSE)

    assert len(clean) == len(pieces)
    assert b"".join(clean) == b'data: {"a": "[redacted:anthropic-key:1]"}\n\ndata: [DONE]\n\n'


def test_a_secret_that_a_model_writes_in_steps_does_not_leak() -> None:
    """Each event holds a harmless share; only their sum is the secret."""
    shares = ["the key is ", "sk", "-ant", "-api03-abcd", "efgh1234", "5678 and", " no more"]
    events = [
        f'data: {{"delta": {{"content": {json.dumps(each)}}}}}\n\n'.encode() for each in shares
    ]

    clean = Redaction.default().pieces(events, SSE)

    assert len(clean) == len(events)
    said = "".join(json.loads(piece[6:])["delta"]["content"] for piece in clean)
    assert said == "the key is [redacted:anthropic-key:1] and no more"
    for share in shares[1:5]:
        assert share.encode() not in b"".join(clean)


def test_arguments_that_a_model_writes_in_steps_do_not_leak() -> None:
    """JSON in steps: the password is known by its name, which stands in another event."""
    shares = ['{"user": "joe", "pass', 'word": "hun', 'ter2"', ', "n": 1}']
    events = "".join(
        f"data: {json.dumps({'index': 0, 'partial_json': each})}\n\n" for each in shares
    )

    clean = Redaction.default().text(events, "text/event-stream")

    said = "".join(json.loads(line[6:])["partial_json"] for line in clean.split("\n\n") if line)
    assert json.loads(said)["user"] == "joe"
    assert "hun" not in clean
    assert "ter2" not in clean


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Packer] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": _deflate,
    "br": _brotli,
    "zstd": zstandard.ZstdCompressor().compress,
}
OPENERS: dict[str, Packer] = {
    "gzip": gzip.decompress,
    "x-gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "Deflate": zlib.decompress,
    "br": _no_brotli,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_compressed_body_is_opened_and_closed_again(encoding: str) -> None:
    """The secret goes, the encoding and the number of pieces stay."""
    packed = PACKERS[encoding](json.dumps({"password": SECRET, "rest": "x" * 300}).encode())
    head = (("Content-Encoding", encoding), *JSON)
    pieces = [packed[:11], packed[11:20], packed[20:]]

    clean = Redaction.default().pieces(pieces, head)

    assert len(clean) == 3
    opened = json.loads(OPENERS[encoding](b"".join(clean)))
    assert opened == {"password": "[redacted:password:1]", "rest": "x" * 300}


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_compressed_body_without_a_secret_keeps_its_bytes(encoding: str) -> None:
    """What holds no secret is not compressed anew."""
    packed = PACKERS[encoding](b'{"a": 1}')

    assert Redaction.default().body(packed, (("Content-Encoding", encoding), *JSON)) == packed


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, br", b"\x1f\x8b\x08 whatever"),
        ("compress", b"\x1f\x9d\x90 whatever"),
        ("gzip", gzip.compress(b"0" * (17 << 20), mtime=0)),
        ("zstd", zstandard.ZstdCompressor().compress(b"0" * (17 << 20))),
        ("br", _brotli(b"0" * (17 << 20))),
        ("gzip", b"\x00\x01\x02\x03 no gzip"),
    ],
)
def test_what_cannot_be_searched_is_left_out_with_its_reason(encoding: str, body: bytes) -> None:
    """An unknown encoding, two of them, a bomb, garbage: length and digest are kept, no byte."""
    head = (("Content-Encoding", encoding),)
    clean = Redaction.default().exchange(
        exchange(Request("GET", "http://h/"), Response(200, headers=head, pieces=(Piece(0, body),)))
    )

    assert clean.response is not None
    assert clean.response.pieces == ()
    assert clean.response.omitted is not None
    assert clean.response.omitted.size == len(body)
    assert "not searched" in clean.response.omitted.reason


def test_a_body_that_only_says_that_it_is_compressed_is_searched_as_text() -> None:
    """An application that sets the header itself, and sends text: its secrets go, too."""
    clean = Redaction.default().body(b'{"password": "abc"}', (("Content-Encoding", "gzip"), *JSON))

    assert clean == b'{"password": "[redacted:password:1]"}'


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-32"])
def test_wide_text_is_searched_as_text(charset: str) -> None:
    """A charset of two or four bytes a character hides nothing."""
    head = (("Content-Type", f"application/json; charset={charset}"),)

    clean = Redaction.default().pieces(
        [
            json.dumps({"password": SECRET}).encode(charset)[at : at + 30]
            for at in (0, 30, 60, 90, 120)
        ],
        head,
    )

    assert SECRET not in b"".join(clean).decode(charset)
    assert len(clean) == 5


def test_windows_redact_long_bodies_in_bounded_memory() -> None:
    """Secrets across the edges of reads and of windows go, and all else stays."""
    window = Redaction.default().window(())
    assert window is not None
    filler = b"0123456789 abcdef \n" * 700  # so that each secret lies elsewhere
    body = b"".join(filler[: 12_000 + number] + b" " + KEY.encode() + b" " for number in range(40))

    out = b"".join(window.feed(body[at : at + 4_099]) for at in range(0, len(body), 4_099))
    out += window.finish()

    assert KEY.encode() not in out
    assert out == body.replace(KEY.encode(), b"[redacted:anthropic-key:1]")


@pytest.mark.parametrize(
    ("headers", "searched"),
    [
        ((), True),
        ((("Content-Encoding", "identity"),), True),
        ((("Content-Encoding", "gzip"),), False),
        ((("Content-Encoding", "gzip, br"),), False),
        ((("Content-Type", "text/plain; charset=utf-16"),), False),
        ((("Content-Type", "text/plain; charset=utf-8"),), True),
    ],
)
def test_a_long_body_that_cannot_be_searched_has_no_window(
    headers: tuple[tuple[str, str], ...], *, searched: bool
) -> None:
    """Compressed or wide text cannot be searched by parts."""
    assert (Redaction.default().window(headers) is not None) is searched
