"""Bodies, headers and streams on their way into Keploy's files and back."""

from __future__ import annotations

import gzip
import shlex
import sys
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError
from keploy_framework.model import (
    Direction,
    Exchange,
    Omitted,
    Piece,
    Request,
    Response,
    header_value,
)
from keploy_framework.storage.bodies import (
    FormPart,
    as_bytes,
    as_text,
    build_multipart,
    compress,
    decompress,
    form_decoded,
    form_encoded,
    split_multipart,
)
from keploy_framework.storage.curl import curl_command
from keploy_framework.storage.documents import Document, read_documents, render
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.headers import folded, unfolded, with_value
from keploy_framework.storage.http import decode_http, encode_http
from keploy_framework.storage.streams import frames, is_stream, joined
from keploy_framework.storage.times import from_rfc3339, to_rfc3339

if TYPE_CHECKING:
    from pathlib import Path

FORM = "multipart/form-data; boundary=XX"
SSE = (("Content-Type", "text/event-stream"),)
names = st.text(st.sampled_from("abc_-7"), min_size=1, max_size=6)
contents = st.binary(max_size=30).filter(lambda data: b"--XX" not in data)


def no_asset(fields: Fields, name: str) -> bytes:
    raise AssertionError((fields, name))


def stored(exchange: Exchange, folder: Path, *, asset: tuple[str, int] | None = None) -> Exchange:
    """Write an exchange as Keploy's YAML alone, and read it back."""
    made = encode_http(exchange, "case", test_set="set", request_asset=asset)
    path = folder / "case.yaml"
    path.write_bytes(render([Document(made.tree)]))
    (document,) = read_documents(path)
    spec = Fields(document.tree, str(path), document.data).required("spec")
    return decode_http(
        spec, "case", exchange.direction, lambda _, name: made.assets.get(name, b"from asset")
    )


def exchange_of(
    request: Request | None = None,
    response: Response | None = None,
    direction: Direction = Direction.INBOUND,
) -> Exchange:
    request = request or Request("GET", "http://localhost/", (("Host", "localhost"),))
    return Exchange(
        "id", direction, request, response or Response(200, "OK"), 10**18, 10**18 + 10**9
    )


@given(st.lists(st.tuples(names, contents, st.one_of(st.none(), names)), min_size=1, max_size=5))
def test_a_form_is_taken_apart_and_put_together(
    parts: list[tuple[str, bytes, str | None]],
) -> None:
    """Keys, bytes, file names, order."""
    body = build_multipart([FormPart(*part) for part in parts], "XX")
    found = split_multipart(body, FORM)
    assert found is not None
    assert [(part.key, part.data, part.file_name) for part in found] == parts


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=1", "application/x-www-form-urlencoded"),
        (b"", "multipart/form-data"),
        (b"preamble\r\n--XX\r\n", FORM),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1", FORM),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX\r\n", FORM),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", FORM),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n--XX--", FORM),
        (b"no boundary at all", FORM),
    ],
)
def test_what_is_no_whole_form_is_left_as_it_is(body: bytes, kind: str) -> None:
    """Taking it apart would lose something."""
    assert split_multipart(body, kind) is None


def test_files_of_a_form_become_assets_and_come_back(tmp_path: Path) -> None:
    """Two of one name, a name that would leave the folder, a name with nothing usable in it."""
    parts = [
        FormPart("note", b"hi", None),
        FormPart("note", b"ho\xff", None),
        FormPart("file", b"\x00\x01", "a.bin"),
        FormPart("file", b"two", "a.bin"),
        FormPart("file", b"three", "..\\..\\etc/passwd"),
        FormPart("file", b"four", "..."),
    ]
    body = build_multipart(parts, "XX")
    head = (("Content-Type", FORM), ("Content-Length", str(len(body))))
    sent = exchange_of(Request("POST", "http://localhost/", head, body))
    made = encode_http(sent, "case", test_set="set")
    assert set(made.assets) == {
        "set/assets/case/a.bin",
        "set/assets/case/2/a.bin",
        "set/assets/case/passwd",
        "set/assets/case/file",
    }
    request = stored(sent, tmp_path).request
    found = split_multipart(request.body, header_value(request.headers, "content-type") or "")
    assert found is not None
    assert [(part.key, part.data) for part in found] == [(part.key, part.data) for part in parts]
    assert header_value(request.headers, "content-length") == str(len(request.body))


def test_a_form_that_names_its_boundary_keeps_it(tmp_path: Path) -> None:
    """As older files do."""
    path = tmp_path / "old.yaml"
    path.write_text(
        "req: {method: POST, url: 'http://t/', header: {Content-Type: 'multipart/form-data; "
        "boundary=KEPT'}, form: [{key: a, values: ['1']}]}\nresp: {status_code: 200}\n"
    )
    (document,) = read_documents(path)
    spec = Fields(document.tree, str(path), document.data)
    request = decode_http(spec, "old", Direction.INBOUND, no_asset).request
    assert header_value(request.headers, "content-type") == "multipart/form-data; boundary=KEPT"


def test_a_long_body_becomes_an_asset(tmp_path: Path) -> None:
    """Beyond 1 MiB, or where it is in a file already."""
    body = b"x" * ((1 << 20) + 1)
    sent = exchange_of(Request("POST", "http://localhost/", (), body))
    made = encode_http(sent, "case", test_set="set")
    assert made.tree["spec"]["req"]["body_ref"] == {
        "path": "set/assets/case/body.txt",
        "size": len(body),
    }
    assert "curl" not in made.tree
    assert stored(sent, tmp_path).request.body == body
    there = exchange_of(Request("POST", "http://localhost/"))
    assert stored(there, tmp_path, asset=("set/assets/case/body.txt", 7)).request.body == (
        b"from asset"
    )


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "", "identity", "gzip, deflate"])
@given(data=st.binary(max_size=50))
def test_codings_are_undone_and_applied(coding: str, data: bytes) -> None:
    """In the order in which they were applied."""
    packed = compress(data, coding)
    assert packed is not None
    assert decompress(packed, coding) == data


def test_deflate_without_its_header_is_undone_too() -> None:
    """As some servers send it; and gzip in several members."""
    machine = zlib.compressobj(wbits=-15)
    assert decompress(machine.compress(b"abc" * 9) + machine.flush(), "deflate") == b"abc" * 9
    assert decompress(gzip.compress(b"a") + gzip.compress(b"b"), "gzip") == b"ab"


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_coding_whose_library_is_not_there_is_left(
    monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    """Neither undone nor applied; the body stays as it was on the wire."""
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert decompress(b"abc", coding) is None
    assert compress(b"abc", coding) is None


def test_a_body_that_unfolds_beyond_all_measure_stays_packed(tmp_path: Path) -> None:
    """It would fill the memory of whoever reads it."""
    bomb = gzip.compress(bytes(65 << 20), 9)
    assert decompress(bomb, "gzip") is None
    answer = Response(200, "", (("Content-Encoding", "gzip"),), (Piece(0.0, bomb),))
    assert encode_http(exchange_of(response=answer), "case", test_set="set").tree
    assert stored(exchange_of(response=answer), tmp_path).response is not None


@pytest.mark.parametrize("data", [b"plain", "grün".encode(), b"\xff\x00", b""])
def test_bytes_become_text_where_they_are(data: bytes) -> None:
    """And come back."""
    assert as_bytes(as_text(data)) == data
    assert isinstance(as_text(data), bytes) == (data == b"\xff\x00")


def test_forms_are_decoded_and_encoded_as_they_can_be() -> None:
    """Keploy stores them without their escapes; the announced length tells old files apart."""
    assert form_decoded(b"q=a+b%26c&x=%ff") == b"q=a b&c&x=\xff"
    assert form_encoded("q=a b", None) == b"q=a+b"
    assert form_encoded("q=a%20b", 7) == b"q=a%20b"
    assert form_encoded(b"x=\xff", None) == b"x=%FF"
    assert form_encoded("flag", None) == b"flag"


def test_a_form_in_a_case_is_encoded_again(tmp_path: Path) -> None:
    """With the length that it then has."""
    head = (("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "9"))
    sent = Request("POST", "http://t/", head, b"q=%20+%2b")
    request = stored(exchange_of(sent), tmp_path).request
    assert request.body == b"q=++%2B"
    assert header_value(request.headers, "content-length") == str(len(request.body))


def test_headers_are_folded_as_keploy_folds_them(tmp_path: Path) -> None:
    """Canonical names, repeated ones joined, bytes where they are no text."""
    map_ = folded((("x-b", "2"), ("X-A", "1"), ("x-b", "3"), ("x-c", "\xff")))
    assert list(map_.items()) == [("X-A", "1"), ("X-B", "2,3"), ("X-C", b"\xff")]
    path = tmp_path / "h.yaml"
    path.write_bytes(render([Document({"header": dict(map_)})]))
    (document,) = read_documents(path)
    assert unfolded(Fields(document.tree, "", document.data)) == (
        ("X-A", "1"), ("X-B", "2,3"), ("X-C", "\xff"),
    )  # fmt: skip
    assert with_value((("A", "1"), ("b", "2")), "a", "9") == (("A", "9"), ("b", "2"))


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=20),
)
def test_a_shell_reads_a_curl_command_as_it_was_meant(body: str, value: str) -> None:
    """Whatever stands in the URL, a header, the body."""
    command = curl_command("POST", f"http://t/{value}", {"X-A": value, "Content-Length": "3"}, body)
    words = shlex.split(command.replace("\\\n", " ") if "\\\n" not in body + value else "")
    if words:
        assert words[:5] == ["curl", "--request", "POST", "--url", f"http://t/{value}"] or value
        assert f"X-A: {value}" in words
        assert (body in words) or not body
        assert not any("Content-Length" in word for word in words)


def test_headers_that_are_bytes_are_shown_in_curl_as_far_as_they_are_text() -> None:
    """Nothing reads it back."""
    assert "'A: \ufffd'" in curl_command("GET", "http://t/", {"A": b"\xff"}, "")
    assert "--url 'http://t/?a=1&b=2'" in curl_command("GET", "http://t/?a=1&b=2", {}, "")


@pytest.mark.parametrize(
    ("kind", "sized", "stream"),
    [
        ("text/event-stream", True, True),
        ("Text/Event-Stream; charset=utf-8", False, True),
        ("application/x-ndjson", True, True),
        ("application/jsonl", False, True),
        ("text/plain", False, True),
        ("text/plain", True, False),
        ("application/octet-stream", False, True),
        ("application/json", False, False),
        ("", False, False),
    ],
)
def test_which_answers_are_streams(kind: str, *, sized: bool, stream: bool) -> None:
    """As Keploy takes them."""
    assert is_stream(kind, sized=sized) is stream


def test_events_are_cut_where_they_end_wherever_the_pieces_do() -> None:
    """Comments, fields without a value, CRLF, data in lines, no blank line at the end."""
    whole = b": hi\nevent: a\r\ndata: 1\r\ndata:2\nretry\n\n\nid: 7\ndata: x"
    wanted = [
        [("comment", "hi"), ("event", "a"), ("data", "1\n2"), ("retry", "")],
        [("id", "7"), ("data", "x")],
    ]
    for cut in range(len(whole) + 1):
        found = frames([(0.0, whole[:cut]), (1.0, whole[cut:])], sse=True, started_at=0)
        assert [data for _, data in found] == wanted
    assert joined(wanted[0]) == b": hi\nevent: a\ndata: 1\ndata: 2\nretry: \n\n"


def test_other_streams_are_cut_at_lines() -> None:
    """The last needs no line break."""
    found = frames([(0.5, b'{"a"'), (1.5, b":1}\n{}")], sse=False, started_at=0)
    assert found == [
        ("1970-01-01T00:00:01.5Z", [("raw", '{"a":1}')]),
        ("1970-01-01T00:00:01.5Z", [("raw", "{}")]),
    ]
    assert joined([("raw", "{}")]) == b"{}\n"
    assert frames([], sse=True, started_at=0) == []


def test_a_stream_is_stored_as_frames(tmp_path: Path) -> None:
    """A field that stands twice in an event stays twice."""
    pieces = (Piece(0.25, b"data: a\nid: 1\ndata: b\n\n"), Piece(0.5, b"data: c\n\n"))
    response = stored(exchange_of(response=Response(200, "OK", SSE, pieces)), tmp_path).response
    assert response is not None
    assert [(piece.at, piece.data) for piece in response.pieces] == [
        (0.25, b"data: a\nid: 1\ndata: b\n\n"),
        (0.5, b"data: c\n\n"),
    ]


def test_a_stream_that_is_packed_is_stored_as_one_time(tmp_path: Path) -> None:
    """Its events are known only when it is whole; one that cannot be opened stays as it is."""
    packed = gzip.compress(b"data: a\n\ndata: b\n\n")
    head = (*SSE, ("Content-Encoding", "gzip"))
    pieces = (Piece(0.1, packed[:9]), Piece(0.9, packed[9:]))
    response = stored(exchange_of(response=Response(200, "OK", head, pieces)), tmp_path).response
    assert response is not None
    assert [piece.at for piece in response.pieces] == [0.9, 0.9]
    assert response.body == b"data: a\n\ndata: b\n\n"
    assert header_value(response.headers, "content-encoding") is None
    for broken in (
        Response(200, "OK", head, (Piece(0.1, b"no gzip"),)),
        Response(200, "OK", SSE, (Piece(0.1, b"\xff\xfe\n"),)),
    ):
        back = stored(exchange_of(response=broken), tmp_path).response
        assert back is not None
        assert len(back.pieces) == 1


def test_an_answer_that_is_too_long_is_stored_as_its_length(tmp_path: Path) -> None:
    """As Keploy does; the sidecar has more."""
    long = Response(200, "OK", (), (Piece(0.1, b"x" * ((1 << 20) + 1)),))
    left = replace(long, pieces=(), omitted=Omitted(5 << 20, "ab", "it was long"))
    for response, size in ((long, (1 << 20) + 1), (left, 5 << 20)):
        back = stored(exchange_of(response=response), tmp_path).response
        assert back is not None
        assert back.omitted is not None
        assert (back.omitted.size, back.pieces) == (size, ())


def test_an_answer_in_a_coding_that_is_unknown_loses_the_header_that_says_so(
    tmp_path: Path,
) -> None:
    """Where the body can be read without it."""
    head = (("Content-Encoding", "snappy"), ("Content-Length", "3"))
    response = stored(
        exchange_of(response=Response(200, "", head, (Piece(0.0, b"abc"),))), tmp_path
    ).response
    assert response is not None
    assert (response.body, response.headers) == (b"abc", (("Content-Length", "3"),))
    assert response.reason == "OK"


def test_a_mock_has_the_fields_of_a_mock(tmp_path: Path) -> None:
    """Its own times, its connection, its lifetime; its URL as it was called."""
    request = Request("GET", "https://api.example/x?a=1&a=2", (), b"", "2")
    mock = exchange_of(request, direction=Direction.OUTBOUND)
    spec = encode_http(mock, "mock-0", test_set="set").tree["spec"]
    assert spec["metadata"] == {
        "name": "Http", "operation": "GET", "type": "HTTP_CLIENT", "connID": "id",
    }  # fmt: skip
    assert spec["req"]["url_params"] == {"a": "1, 2"}
    assert "assertions" not in spec
    back = stored(mock, tmp_path)
    assert (back.request.url, back.request.http_version) == (request.url, "2")
    assert (back.started_at, back.ended_at) == (mock.started_at, mock.ended_at)


def test_a_case_says_what_it_is_about_and_which_port_it_had() -> None:
    """Both are optional."""
    request = Request("GET", "https://t:8443/", (("Host", "t:8443"),))
    made = encode_http(
        exchange_of(request), "c", test_set="s", description="about", noise={"body.a": []}
    )
    spec = made.tree["spec"]
    assert spec["metadata"] == {"description": "about"}
    assert spec["app_port"] == 8443
    assert spec["assertions"] == {"noise": {"body.a": []}}
    assert spec["req"]["url"] == "http://t:8443/"


def test_times_that_cannot_be_are_errors_with_their_place(tmp_path: Path) -> None:
    """The file, the line, what stood there."""
    path = tmp_path / "case.yaml"
    path.write_text(
        "req:\n  method: GET\n  url: http://t/\n  timestamp: yesterday\nresp:\n  status_code: 200\n"
        "  timestamp: 2024-01-01T00:00:00Z\n"
    )
    (document,) = read_documents(path)
    with pytest.raises(FormatError, match="timestamp is no time: 'yesterday'") as caught:
        decode_http(
            Fields(document.tree, str(path), document.data), "c", Direction.INBOUND, no_asset
        )
    assert (caught.value.path, caught.value.line) == (str(path), 4)


@given(st.integers(0, 253_402_300_799), st.integers(0, 999_999_999), st.integers(-1439, 1439))
def test_times_are_read_in_any_zone(seconds: int, rest: int, minutes: int) -> None:
    """To the nanosecond."""
    moment = seconds * 10**9 + rest
    assert from_rfc3339(to_rfc3339(moment)) == moment
    sign = "+" if minutes >= 0 else "-"
    zone = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    shifted = from_rfc3339(to_rfc3339(moment).replace("Z", zone))
    assert shifted == max(0, moment - minutes * 60 * 10**9)


@pytest.mark.parametrize(
    "text", ["", "now", "2024-13-01T00:00:00Z", "2024-01-01", "2024-02-30T00:00:00Z",
             "2024-01-01T00:00:00+99:00", "2024-01-01T25:00:00Z", "9" * 30]
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    """Not a guess."""
    assert from_rfc3339(text) is None
