"""Foreign recordings as people really have them: odd bodies, odd headers, cut in the middle."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.errors import FormatError, JournalError
from keploy_framework.importers import read_recordings, store_exchanges
from keploy_framework.importers.source import plain_value, time_of
from keploy_framework.model import Direction, Exchange, Piece, Request, Response, header_values
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.tree import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GET: dict[str, Any] = {
    "method": "GET",
    "url": "http://h/a",
    "httpVersion": "HTTP/1.1",
    "headers": [],
}
OK: dict[str, Any] = {
    "status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": [],
    "content": {"text": "yes"},
}  # fmt: skip


def har(request: dict[str, Any], response: dict[str, Any] | None = None, **entry: Any) -> str:
    answered = {**OK, **(response or {})}
    made = {"startedDateTime": "2026-03-04T10:00:00Z", "time": 5, **entry}
    entries: list[dict[str, Any]] = [{**made, "request": {**GET, **request}, "response": answered}]
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def postman(*items: dict[str, Any], **top: Any) -> str:
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    return json.dumps({"info": {"name": "shop", "schema": schema}, "item": list(items), **top})


def example(request: dict[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"method": "POST", "url": {"raw": "h/a"}, "header": [], **request}
    return {"name": "a", "request": asked, "response": [{"code": 200, "body": "yes"}]}


def read_one(folder: Path, text: str | bytes) -> Exchange:
    path = folder / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (exchange,) = read_recordings(path).exchanges
    return exchange


@pytest.mark.parametrize(
    ("posted", "body"),
    [
        (None, b""),
        ({"mimeType": "x", "text": "caf\xe9"}, "caf\xe9".encode()),
        ({"mimeType": "x", "text": base64.b64encode(b"\x00\xff").decode(), "encoding": "base64"},
         b"\x00\xff"),
        ({"mimeType": "x", "params": [{"name": "a b", "value": "c&d"}, {"name": "e"}]},
         b"a+b=c%26d&e="),
        ({"mimeType": "x", "text": "", "params": [{"name": "a"}]}, b""),
    ],
)  # fmt: skip
def test_what_a_browser_posted_is_in_the_request(
    posted: dict[str, Any] | None, body: bytes, tmp_path: Path
) -> None:
    """Text, Base64, or the parameters of a form, as HAR has them."""
    request = {} if posted is None else {"postData": posted}

    assert read_one(tmp_path, har({"method": "POST", **request})).request.body == body


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (har({"postData": {"text": "***", "encoding": "base64"}}), "is no Base64"),
        (har({}, {"content": {"text": "a", "encoding": "base64"}}), "is no Base64"),
        (har({"headers": {"A": {"deep": "1"}}}), "the header 'A' has a value that is no text"),
        (har({}, {"status": "many"}), "status has to be a whole number, not 'many'"),
        (har({})[:-30], "is not JSON"),
        (b'{"log": "\xff"}', "is not UTF-8: byte 0xff"),
        ('{"a":' * 100_000, "nests too deep|is not JSON"),
        (postman(example({"body": {"mode": "formdata"}})), "a body of the mode 'formdata' cannot"),
        (postman(example({"url": 5, "header": "A: b"})), "header|url"),
    ],
)
def test_what_cannot_be_taken_over_is_one_error(
    text: str | bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=words):
        read_one(tmp_path, text)


def test_folders_of_a_collection_do_not_nest_without_end(tmp_path: Path) -> None:
    item: dict[str, Any] = {"item": []}
    for _ in range(150):
        item = {"name": "folder", "item": [item]}

    with pytest.raises(FormatError, match=r"folders nest deeper than \d+ levels|too deep"):
        read_one(tmp_path, postman(item))


def test_a_collection_says_what_is_sent_and_no_more(tmp_path: Path) -> None:
    """Switched-off fields and headers stay away, variables are filled in, a host gets a scheme."""
    request = {
        "url": "{{host}}/a/{{unknown}}",
        "header": [
            {"key": "X-Shop", "value": "{{shop}}"},
            {"key": "X-Off", "value": "1", "disabled": True},
        ],
        "body": {
            "mode": "urlencoded",
            "urlencoded": [
                {"key": "a", "value": "{{shop}}"}, {"key": "b", "value": "2", "disabled": True},
            ],
        },
    }  # fmt: skip
    variables = [{"key": "host", "value": "api.example.com"}, {"key": "shop", "value": "green tea"}]
    found = read_one(tmp_path, postman(example(request), variable=variables)).request

    assert found.url == "http://api.example.com/a/{{unknown}}"
    assert (header_values(found.headers, "x-shop"), header_values(found.headers, "x-off")) == (
        ("green tea",), (),
    )  # fmt: skip
    assert found.body == b"a=green+tea"


def test_headers_of_http2_and_of_other_alphabets_are_those_of_the_wire(tmp_path: Path) -> None:
    """Fields of HTTP/2 itself are no headers; other text is the bytes that it is sent as."""
    headers = [
        {"name": ":authority", "value": "h"}, {"name": "X", "value": "\u65e5"},
        {"name": "Y", "value": "\xe9"},
    ]  # fmt: skip
    found = read_one(tmp_path, har({"headers": headers})).request

    assert found.headers == (("X", "\u65e5".encode().decode("latin-1")), ("Y", "\xe9"))


@pytest.mark.parametrize(
    ("text", "headers", "moment"),
    [
        ("2026-03-04T10:00:00.5Z", (), 1_772_618_400_500_000_000),
        ("", (("Date", "Wed, 04 Mar 2026 10:00:00 GMT"),), 1_772_618_400_000_000_000),
        ("yesterday", (("Date", "Wed, 04 Mar 2026 10:00:00 GMT"),), 1_772_618_400_000_000_000),
        ("", (("Date", "soon"),), 0),
        ("", (("Date", "Thu, 01 Jan 1000 00:00:00 GMT"),), 0),
        ("", (), 0),
    ],
)
def test_a_moment_is_the_file_s_else_the_server_s(
    text: str, headers: tuple[tuple[str, str], ...], moment: int
) -> None:
    assert time_of(text, headers) == moment


def test_values_of_json_are_what_they_look_like() -> None:
    tree = {"a": [Plain("1"), Plain("1.5"), Plain("true"), Plain("1e999"), Plain("NaN"), "2"]}

    assert plain_value(tree) == {"a": [1, 1.5, True, "1e999", "NaN", "2"]}


def test_an_import_that_fails_leaves_nothing_and_harms_nothing(tmp_path: Path) -> None:
    """No half of a set, no folder that takes its name; what was there stays as it was."""
    asked, answer = Request("GET", "http://h/a"), Response(200, "OK", (), (Piece(0.0, b"x"),))
    good = Exchange("1", Direction.INBOUND, asked, answer, 1, 2)
    store_exchanges(tmp_path, [good])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def broken() -> Iterator[Exchange]:
        yield good
        raise JournalError("the disk is full")

    with pytest.raises(JournalError, match="the disk is full"):
        store_exchanges(tmp_path, broken())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert list(KeployFolder(tmp_path).sets()) == ["test-set-0"]
    assert store_exchanges(tmp_path, [good]) == "test-set-1"
