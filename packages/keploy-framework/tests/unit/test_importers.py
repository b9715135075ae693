"""Recordings of other tools become exchanges without their secrets, or one clear error.

Longer than other files: most of it is the files of four tools.
"""

from __future__ import annotations

import base64
import gzip
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.importers import read_recordings, store_exchanges
from keploy_framework.importers.source import in_order, whole_body
from keploy_framework.model import (
    Direction,
    Exchange,
    Omitted,
    Request,
    Response,
    header_value,
    header_values,
)
from keploy_framework.redact import scan_path
from keploy_framework.storage.folder import KeployFolder

CORPUS = Path(__file__).parent.parent / "corpus" / "imports"
ANSWER = '{"a": 1, "n": 1.5, "é": "ü"}'


def paths(exchanges: tuple[Exchange, ...]) -> list[str]:
    return [one.request.url.removeprefix("http://127.0.0.1:8080") for one in exchanges]


def written(folder: Path, content: object, name: str = "file.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def body_of(exchange: Exchange) -> bytes:
    assert exchange.response is not None
    return exchange.response.body


def test_a_cassette_that_vcrpy_wrote_becomes_mocks_in_its_order() -> None:
    """All that vcrpy 9.4 keeps of ten calls is there: bytes, compression, repeated headers."""
    found = read_recordings(CORPUS / "vcrpy.yaml")

    assert (found.tool, found.notices) == ("vcrpy", ())
    assert paths(found.exchanges) == [
        "/json?x=1&x=2", "/gzip", "/bin", "/cookies", "/text", "/sse", "/empty", "/json", "/form",
        "/raw",
    ]  # fmt: skip
    assert {one.direction for one in found.exchanges} == {Direction.OUTBOUND}
    bodies = list(map(body_of, found.exchanges))
    assert bodies[0] == ANSWER.encode()
    assert gzip.decompress(bodies[1]).decode() == ANSWER
    assert bodies[2:3] + bodies[4:7] == [
        b"\x00\xff\xfe\x01", "line1\nline2é\n".encode(), b"data: a\n\ndata: b\n\n", b"",
    ]  # fmt: skip
    cookies = found.exchanges[3].response
    assert cookies is not None
    assert len(header_values(cookies.headers, "set-cookie")) == 2
    assert found.exchanges[6].response is not None
    assert found.exchanges[6].response.status == 204
    assert found.exchanges[9].request.body == b"\x00\xff"


def test_a_cassette_that_cassetter_wrote_becomes_mocks() -> None:
    """JSON is the text that cassetter itself would answer; binary bodies are its hex."""
    found = read_recordings(CORPUS / "cassetter.yaml")

    assert found.tool == "cassetter"
    by_path = dict(zip(paths(found.exchanges), found.exchanges, strict=True))
    assert json.loads(body_of(by_path["/json?x=1&x=2"])) == json.loads(ANSWER)
    assert body_of(by_path["/bin"]) == b"\x00\xff\xfe\x01"
    assert body_of(by_path["/sse"]) == b"data: a\n\ndata: b\n\n"
    assert by_path["/raw"].request.body == b"\x00\xff"
    assert by_path["/form"].request.body == b"a=1&b=x+y"
    assert by_path["/bin"].started_at == 1_795_250_740_610_045_000
    for exchange in found.exchanges:
        assert exchange.response is not None
        length = header_value(exchange.response.headers, "content-length")
        assert length in {None, str(len(exchange.response.body))}


def test_nothing_secret_of_a_foreign_file_is_taken_over(tmp_path: Path) -> None:
    """The bearer token and the password of the cassette are placeholders on disk."""
    found = read_recordings(CORPUS / "vcrpy.yaml")
    store_exchanges(tmp_path, found.exchanges)

    # Keploy's form joins cookies with a comma, where a scan sees more than the placeholder.
    assert [one for one in scan_path(tmp_path) if not one.excerpt.startswith("[red")] == []
    text = "".join(path.read_text() for path in tmp_path.rglob("*.yaml"))
    assert "[redacted:" in text
    assert "hunter2" not in text
    assert "Bearer abcdef" not in text


def test_websockets_of_cassetter_keep_their_messages_and_times(tmp_path: Path) -> None:
    """Frames become messages of client and server; gRPC is left out with a notice."""
    cassette = """
        version: 1
        interactions: []
        grpc_interactions: [{request: {method: /p.S/M}}]
        ws_interactions:
        - uri: wss://h/x
          frames:
          - {direction: send, frame_type: text, body: {type: text, content: hi}, offset_ms: 1}
          - direction: recv
            frame_type: text
            body: {type: json, content: {a: 1, b: [true, null, 1.5, "1"]}}
            offset_ms: 5
          - direction: recv
            frame_type: binary
            body: {type: binary, content: 00ff}
            offset_ms: 7
          - {direction: recv, frame_type: close, body: {type: none}, offset_ms: 9}
          recorded_at: 2026-01-01T00:00:00Z
    """
    found = read_recordings(written(tmp_path, textwrap.dedent(cassette), "ws.yaml"))

    (exchange,) = found.exchanges
    assert found.tool == "cassetter"
    assert "1 gRPC" in found.notices[0]
    assert [(one.sender, one.data, one.close_code) for one in exchange.messages] == [
        ("client", "hi", None),
        ("server", '{"a": 1, "b": [true, null, 1.5, "1"]}', None),
        ("server", b"\x00\xff", None),
        ("server", "", 1000),
    ]
    assert exchange.messages[2].at == pytest.approx(0.007)


@pytest.mark.parametrize(
    "response",
    [
        {"status": {"code": 200, "message": "OK"}, "body": {"string": "hi"}},
        {"status": {"code": 200, "message": None}, "body": {"base64_string": "aGk="}},
        {"status_code": 200, "content": "hi", "http_version": "HTTP/1.1"},
        {"status": 200, "body": "hi"},
    ],
)
def test_older_forms_of_vcrpy_are_read(tmp_path: Path, response: dict[str, object]) -> None:
    """Each shape in which vcrpy or its stubs have kept an answer gives the same one."""
    request = {"method": "get", "uri": "http://h/", "headers": {"Accept": "text/plain"}}
    cassette = {"interactions": [{"request": request, "response": response}], "version": 1}

    (exchange,) = read_recordings(written(tmp_path, cassette)).exchanges

    assert exchange.request == Request("GET", "http://h/", (("Accept", "text/plain"),))
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.reason) == (200, "OK")
    assert exchange.response.body == b"hi"


def har(*entries: dict[str, object]) -> dict[str, object]:
    return {"log": {"version": "1.2", "creator": {"name": "test"}, "entries": list(entries)}}


def entry(url: str = "http://h/", **changed: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "startedDateTime": "2026-03-04T10:00:00.500Z",
        "time": 12.5,
        "request": {"method": "GET", "url": url, "httpVersion": "h2", "headers": []},
        "response": {
            "status": 200,
            "statusText": "",
            "httpVersion": "h2",
            "headers": [{"name": ":status", "value": "200"}],
            "content": {"size": 2, "mimeType": "text/plain", "text": "hi"},
        },
    }
    return {**whole, **changed}


def test_a_har_file_becomes_test_cases_with_their_times(tmp_path: Path) -> None:
    """HTTP/2's own fields are no headers; time is in milliseconds; requests of no HTTP are told."""
    found = read_recordings(written(tmp_path, har(entry("http://h/a#top"), entry("data:,x"))))

    (exchange,) = found.exchanges
    assert (found.tool, exchange.direction) == ("HAR", Direction.INBOUND)
    assert exchange.request.url == "http://h/a"
    assert exchange.ended_at - exchange.started_at == 12_500_000
    response = exchange.response
    assert response is not None
    assert (response.headers, response.body, response.reason) == ((), b"hi", "OK")
    assert response.pieces[0].at == pytest.approx(0.0125)
    assert response.http_version == "2"
    assert found.notices == ("1 entries are left out: they are no HTTP requests",)


def test_har_bodies_are_compressed_again_as_their_headers_say(tmp_path: Path) -> None:
    """Browsers export the opened body beside `Content-Encoding: gzip`: both agree again."""
    headers = [
        {"name": "Content-Encoding", "value": "gzip"},
        {"name": "Content-Length", "value": "3"},
    ]
    content = {"size": 2, "text": base64.b64encode(b"\x00\xff").decode(), "encoding": "base64"}
    answer = {"status": 200, "headers": headers, "content": content}

    (exchange,) = read_recordings(written(tmp_path, har(entry(response=answer)))).exchanges

    body = body_of(exchange)
    assert gzip.decompress(body) == b"\x00\xff"
    assert exchange.response is not None
    assert header_value(exchange.response.headers, "content-length") == str(len(body))


def test_har_answers_that_are_not_there_stay_away(tmp_path: Path) -> None:
    """No status is a failure; a body that was not exported is omitted, not empty."""
    blocked = entry(response={"status": 0, "_error": "net::ERR_FAILED"})
    bare = entry(response={"status": 200, "headers": [], "content": {"size": 10}})

    failed, omitted = read_recordings(written(tmp_path, har(blocked, bare))).exchanges

    assert failed.response is None
    assert failed.failure is not None
    assert failed.failure.text == "net::ERR_FAILED"
    assert omitted.response is not None
    assert omitted.response.omitted == Omitted(10, "", "the HAR file does not hold it")


def test_har_forms_and_websockets_are_read(tmp_path: Path) -> None:
    """Parameters make the form's body; Chrome's messages keep sender and kind."""
    posted = {"mimeType": "x", "params": [{"name": "a", "value": "1 2"}]}
    headers: list[object] = []
    request = {"method": "POST", "url": "http://h/", "headers": headers, "postData": posted}
    messages = [
        {"type": "send", "time": 1772618400.6, "opcode": 1, "data": "hi"},
        {"type": "receive", "time": 1772618400.7, "opcode": 2, "data": "AP8="},
    ]
    talk = entry("wss://h/ws", _webSocketMessages=messages)

    form, socket = read_recordings(written(tmp_path, har(entry(request=request), talk))).exchanges

    assert form.request.body == b"a=1+2"
    assert [(one.sender, one.data) for one in socket.messages] == [
        ("client", "hi"),
        ("server", b"\x00\xff"),
    ]
    assert socket.messages[0].at == pytest.approx(0.1, abs=1e-3)


def test_a_postman_collection_gives_a_case_for_each_saved_example(tmp_path: Path) -> None:
    """Folders are walked, variables filled in, requests without an example told."""
    request = {
        "method": "POST",
        "url": {"raw": "{{base}}/users", "path": ["users"]},
        "header": [
            {"key": "Accept", "value": "a/b"},
            {"key": "X-Off", "value": "1", "disabled": True},
        ],
        "body": {"mode": "raw", "raw": '{"name": "{{who}}"}'},
    }
    example = {
        "name": "made", "code": 201, "status": "Created", "body": "{}", "responseTime": 20,
        "header": [{"key": "Content-Type", "value": "application/json"}],
    }  # fmt: skip
    form = {
        "method": "PUT",
        "url": "h/form",
        "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "1"}]},
    }
    collection: dict[str, object] = {
        "info": {"name": "shop"},
        "variable": [{"key": "base", "value": "http://shop.test"}],
        "item": [
            {"name": "folder", "item": [{"request": request, "response": [example]}]},
            {"request": request},
            {"request": form, "response": [{"originalRequest": form, "code": 204}]},
        ],
    }
    found = read_recordings(written(tmp_path, collection))

    assert found.tool == "Postman"
    made, put = found.exchanges
    assert (made.request.method, made.request.url) == ("POST", "http://shop.test/users")
    assert made.request.headers == (("Accept", "a/b"),)
    assert made.request.body == b'{"name": "{{who}}"}'
    assert body_of(made) == b"{}"
    assert (put.request.url, put.request.body) == ("http://h/form", b"a=1")
    assert "1 requests are left out" in found.notices[0]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("interactions: [", 2, "is not YAML"),
        ('{"log": {"entries": [', 1, "is not JSON"),
        ("- a\n", None, "mapping"),
        ("http_interactions: []\n", None, "no recording that can be imported"),
        ("interactions:\n- request: {method: GET, uri: 'http://h'}\n", 2, "response is missing"),
        (
            "interactions:\n- request: {method: GET, uri: /a}\n  response: {status: {code: 200}}\n",
            2,
            "no absolute URL",
        ),
        (
            (
                "interactions:\n- request: {method: GET, uri: 'http://h'}\n"
                "  response:\n    status: {code: oops}\n"
            ),
            4,
            "whole number",
        ),
        (
            (
                "interactions:\n- request: {method: GET, uri: 'http://h', body: {type: odd}}\n"
                "  response: {status: 200}\n"
            ),
            2,
            "no type of body",
        ),
        (
            (
                "interactions:\n- request: {method: GET, uri: 'http://h'}\n"
                "  response: {status: 200, body: {base64_string: '*'}}\n"
            ),
            3,
            "no Base64",
        ),
    ],
)
def test_what_is_no_recording_is_one_error_with_its_line(
    tmp_path: Path, text: str, line: int | None, says: str
) -> None:
    """Truncated, foreign and damaged files are refused by name, line and reason."""
    path = written(tmp_path, text, "bad.yaml")

    with pytest.raises(FormatError, match=says) as caught:
        read_recordings(path)

    assert caught.value.path == str(path)
    if line is not None:
        assert caught.value.line == line


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        read_recordings(tmp_path / "none.har")
    broken = tmp_path / "broken.har"
    broken.write_bytes(b'{"log":\n"\xff"}')
    with pytest.raises(FormatError, match="not UTF-8") as caught:
        read_recordings(broken)
    assert caught.value.line == 2
    deep = written(tmp_path, "{" + '"a":[' * 100_000, "deep.har")
    with pytest.raises(FormatError, match="is not JSON"):
        read_recordings(deep)


def test_an_import_is_a_test_set_that_reads_back_the_same(tmp_path: Path) -> None:
    """What is stored is what was read, to the byte, and a second import is added or set apart."""
    found = read_recordings(CORPUS / "vcrpy.yaml")

    name = store_exchanges(tmp_path, found.exchanges, test_set="calls")
    again = store_exchanges(tmp_path, found.exchanges[:1], test_set="calls")
    other = store_exchanges(tmp_path, read_recordings(CORPUS / "cassetter.yaml").exchanges)

    assert (name, again, other) == ("calls", "calls", "test-set-0")
    mocks = KeployFolder(tmp_path).set("calls").mocks()
    assert [mock.name for mock in mocks] == [f"mock-{number}" for number in range(11)]
    stored = [mock.exchange for mock in mocks[:10]]
    assert [one and one.request for one in stored] == [one.request for one in found.exchanges]
    assert [one and one.response for one in stored] == [one.response for one in found.exchanges]
    assert list(tmp_path.glob(".import-*")) == []


def test_cases_and_mocks_are_a_choice(tmp_path: Path) -> None:
    """The direction can be asked for: a cassette of a service's own API makes test cases."""
    found = read_recordings(CORPUS / "vcrpy.yaml", direction=Direction.INBOUND)
    store_exchanges(tmp_path, found.exchanges, test_set="cases", format="json")

    cases = KeployFolder(tmp_path, format="json").set("cases")
    assert len(cases) == 10
    assert cases.case("get-json-1").exact


def test_a_set_that_cannot_be_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be the name"):
        store_exchanges(tmp_path / "keploy", (), test_set="../out")
    assert not (tmp_path / "keploy").exists()


@given(st.lists(st.integers(0, 10**19), max_size=20))
def test_times_of_an_import_always_rise(starts: list[int]) -> None:
    """Replay goes by time: exchanges without one, or with equal ones, keep the file's order."""
    exchanges = [
        Exchange(str(at), Direction.INBOUND, Request("GET", "http://h"), Response(200), at, at + 7)
        for at in starts
    ]
    ordered = in_order(exchanges)

    times = [one.started_at for one in ordered]
    assert times == sorted(set(times))
    assert [one.id for one in ordered] == list(map(str, starts))
    assert all(one.ended_at - one.started_at == 7 for one in ordered)


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "br", "zstd", "odd"]))
def test_a_body_and_its_headers_agree_after_an_import(body: bytes, coding: str) -> None:
    """Whatever was stored, a client that believes the headers can open the body."""
    headers = (("Content-Encoding", coding), ("Content-Length", "7")) if coding else ()
    made, whole = whole_body(headers, body)

    if body and header_value(made, "content-length") is not None:
        assert header_value(made, "content-length") == str(len(whole))
    if body and coding == "odd":
        assert header_value(made, "content-encoding") is None
        assert whole == body
