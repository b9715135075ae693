"""Whole answers compared: status, headers, bodies of every kind."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.matching import (
    JSONRules,
    MatchRules,
    SameSecrets,
    answer_differences,
    body_kind,
)
from keploy_framework.model import Omitted, Piece, Response

if TYPE_CHECKING:
    from keploy_framework.model import Headers


def answer(body: bytes = b"", headers: Headers = (), status: int = 200, **rest: Any) -> Response:
    return Response(status, headers=headers, pieces=(Piece(0, body),), **rest)


def said(expected: Response, actual: Response, **options: Any) -> list[str]:
    return [str(each) for each in answer_differences(expected, actual, **options)]


def typed(body: bytes, content_type: str) -> Response:
    return answer(body, (("Content-Type", content_type),))


FORM = "application/x-www-form-urlencoded"
SSE = "text/event-stream"


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("application/json; charset=utf-8", b"", "json"),
        ("application/vnd.api+json", b"", "json"),
        ("", b'[{"a": 1}]', "json"),
        ("text/event-stream", b"", "sse"),
        ("application/x-ndjson", b"", "ndjson"),
        (FORM, b"a=b", "form"),
        ("multipart/form-data; boundary=x", b"", "multipart"),
        ("text/html", b"\xff", "text"),
        ("image/png", b"\x89PNG", "binary"),
        ("image/svg+xml", b"<svg/>", "xml"),
        ("", b"\x00\xff", "binary"),
    ],
)
def test_a_body_is_of_a_kind(content_type: str, body: bytes, kind: str) -> None:
    """The content type says it, or the looks."""
    assert body_kind(content_type, body) == kind


@pytest.mark.parametrize(
    ("content_type", "old", "new", "words"),
    [
        ("text/plain", b"a\nb\nc", b"a\nX\nc", ["body, line 2: 'b' became 'X'"]),
        (
            "image/png",
            b"\xff\x00",
            b"\xff\x01",
            ["body, byte 2: b'\\xff\\x00' became b'\\xff\\x01'"],
        ),
        (
            FORM,
            b"a=1&b=2&b=3",
            b"b=2&a=1&b=4",
            ["body.b: an array of 2 elements became an array of 2 elements"],
        ),
        (FORM, b"a=1", b"a=1&c=", ["body.c: added, ''"]),
        (FORM, b"a=1&b=2", b"b=2&a=1", []),
        (FORM, b"a=%20", b"a=+", []),
        (SSE, b"data: 1\n\ndata: 2\n\n", b"data: 1\n\n", ["body, events: 2 elements became 1"]),
        (SSE, b'data: {"a": 1}\n\n', b'data: {"a": 2}\n\n', ["body, event 1.a: 1 became 2"]),
        (
            SSE,
            b"event: x\ndata: 1\n\n",
            b"event: y\ndata: 1\n\n",
            ["body, event 1: event: 'x' became 'y'"],
        ),
        (SSE, b"id: 1\ndata: x\n\n", b"data: x\n\n", ["body, event 1: id: missing, was '1'"]),
        (SSE, b"data: x\r\n\r\n", b"data: x\n\n", []),
        (
            "application/x-ndjson",
            b'{"a":1}\n{"a":2}\n',
            b'{"a":1}\n{"a":3}\n',
            ["body, event 2.a: 2 became 3"],
        ),
        (
            "application/json",
            b'{"a": 1}',
            b"<html>",
            ["body, which is no JSON: '{\"a\": 1}' became '<html>'"],
        ),
        ("application/json", b"no json", b"No json", ["body, line 1: 'no json' became 'No json'"]),
    ],
)
def test_each_kind_is_compared_by_its_parts(
    content_type: str, old: bytes, new: bytes, words: list[str]
) -> None:
    """Text by lines, forms by fields, streams by events, JSON by keys."""
    assert said(typed(old, content_type), typed(new, content_type)) == words


def test_multipart_is_compared_by_its_parts_not_by_its_boundary() -> None:
    """A boundary is made anew each time; a part that changed is named."""

    def body(boundary: str, value: str) -> Response:
        text = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{value}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="x.json"\r\n'
            f'Content-Type: application/json\r\n\r\n{{"n": 1}}\r\n--{boundary}--\r\n'
        )
        return typed(text.encode(), f"multipart/form-data; boundary={boundary}")

    assert said(body("one", "1"), body("other", "1")) == []
    assert said(body("one", "1"), body("other", "2")) == ["body.a, line 1: '1' became '2'"]


def test_status_and_headers_count() -> None:
    """A header that is new, gone, changed, given once less; case of names and framing do not."""
    old = answer(
        headers=(("A", "1"), ("B", "1"), ("Set-Cookie", "x"), ("Set-Cookie", "y"), ("Date", "d"))
    )
    new = answer(headers=(("a", "2"), ("C", "3"), ("Set-Cookie", "x"), ("Server", "s")), status=500)

    assert said(old, new) == [
        "status: 200 became 500",
        "header.A: '1' became '2'",
        "header.B: missing, was '1'",
        "header.Set-Cookie: 2 elements became 1",
        "header.C: added, '3'",
    ]
    assert said(old, new, rules=MatchRules(headers=False)) == ["status: 200 became 500"]
    assert said(answer(trailers=(("T", "1"),)), answer()) == ["trailer.T: missing, was '1'"]


def test_a_length_says_nothing_that_the_body_does_not_say() -> None:
    """Content-Length is forgiven where the body is the same, or excused."""
    old = answer(b'{"id": 9}', (("Content-Length", "9"), ("Content-Type", "application/json")))
    new = answer(b'{"id": 10}', (("Content-Length", "10"), ("Content-Type", "application/json")))

    assert [each.path for each in answer_differences(old, new)] == [
        "header.Content-Length",
        "body.id",
    ]
    assert answer_differences(old, new, excuses=lambda each: each.path == "body.id") == []


def test_compression_is_no_difference_but_its_header_is() -> None:
    """Bodies are compared after decompression, each by its own header."""
    head = (("Content-Encoding", "gzip"), ("Content-Type", "application/json"))
    old = answer(gzip.compress(b'{"a": 1}', mtime=1), head)

    assert said(old, answer(gzip.compress(b'{"a": 1}', 1, mtime=2), head)) == []
    assert said(old, answer(gzip.compress(b'{"a":2}'), head)) == ["body.a: 1 became 2"]
    assert said(old, answer(b'{"a": 1}', head[1:])) == [
        "header.Content-Encoding: missing, was 'gzip'"
    ]


def test_a_body_that_was_not_stored_is_compared_by_length_and_digest() -> None:
    """Nothing more is known of it."""
    body = b"x" * 100
    kept = Response(200, omitted=Omitted(100, hashlib.sha256(body).hexdigest(), "too long"))

    assert said(kept, answer(body)) == []
    assert said(kept, kept) == []
    assert said(kept, answer(body[1:])) == ["body, bytes: 100 elements became 99"]
    assert [each.place for each in answer_differences(kept, answer(body[1:] + b"y"))] == [
        "body, SHA-256"
    ]


def test_one_mapping_of_secrets_runs_through_headers_and_bodies() -> None:
    """The cookie and the token in the body have to be the same one."""
    secrets = SameSecrets()
    head = (("Content-Type", "application/json"),)
    old = answer(b'{"t": "[redacted:x:1]"}', (("Set-Cookie", "s=[redacted:x:1]"), *head))
    good = answer(b'{"t": "[redacted:x:8]"}', (("Set-Cookie", "s=[redacted:x:8]"), *head))
    bad = answer(b'{"t": "[redacted:x:9]"}', (("Set-Cookie", "s=[redacted:x:8]"), *head))

    assert said(old, good, secrets=secrets) == []
    assert [each.path for each in answer_differences(old, bad, secrets=secrets)] == ["body.t"]


def test_only_the_shape_may_be_asked_for() -> None:
    """Values of headers and text do not count then; types do."""
    rules = MatchRules(json=JSONRules(schema_only=True))
    head = (("Content-Type", "application/json"), ("X", "1"))

    assert (
        said(answer(b'{"a": 1}', head), answer(b'{"a": 2}', (head[0], ("X", "2"))), rules=rules)
        == []
    )
    assert said(answer(b'{"a": 1}', head), answer(b'{"a": "2"}', head), rules=rules)
    assert said(typed(b"a", "text/plain"), typed(b"b", "text/plain"), rules=rules) == []


def test_seeded_mutations_are_caught() -> None:
    """Status, key, type, value, order, header, dropped piece: all of two thousand are seen."""
    chance = random.Random(5)
    caught = 0
    for _ in range(2_000):
        value: dict[str, Any] = {
            "id": chance.randrange(10**6),
            "name": f"n{chance.random()}",
            "tags": chance.sample(range(50), 4),
            "nested": {"ok": bool(chance.randrange(2)), "items": [{"p": n} for n in range(3)]},
        }
        head = (("Content-Type", "application/json"), ("X-Total", "4"), ("ETag", '"a"'))
        old = answer(json.dumps(value).encode(), head)
        new = json.loads(json.dumps(value))
        status, heads = 200, list(head)
        what = chance.randrange(7)
        if what == 0:
            status = 201
        elif what == 1:
            del new[chance.choice(list(new))]
        elif what == 2:
            new["id"] = str(new["id"])
        elif what == 3:
            new["nested"]["items"][chance.randrange(3)]["p"] += 1
        elif what == 4:
            new["tags"].reverse()
        elif what == 5:
            del heads[chance.randrange(1, 3)]
        body = json.dumps(new).encode()
        if what == 6:
            body = body[:-3]
        caught += bool(answer_differences(old, answer(body, tuple(heads), status)))

    assert caught == 2_000
