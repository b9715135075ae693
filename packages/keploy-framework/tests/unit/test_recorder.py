"""The recorder: what passes is kept, within bounds, and never disturbs the traffic."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keploy_framework.errors import FolderInUseError, JournalError, OptionError
from keploy_framework.model import Direction, Omitted, Piece
from keploy_framework.recording.compact import compact
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.recording.sink import inbound_exchange
from keploy_framework.recording.switch import is_enabled
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

    from keploy_framework.model import Exchange, Headers
    from keploy_framework.recording.sink import Sink
    from keploy_framework.storage.stored import StoredCase

INBOUND = Direction.INBOUND


class FakeClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000 + round(self.now * 1e9)

    def monotonic(self) -> float:
        return self.now


def recorder_of(folder: Path, **options: Any) -> Recorder:
    return Recorder(folder, redact=Unredacted(), **options)


def record_one(recorder: Sink, url: str = "http://t/a", body: bytes = b"x") -> None:
    exchange = recorder.open(INBOUND, "GET", url, (("host", "t"),))
    if exchange is not None:
        exchange.response_head(200, "OK", (("content-type", "text/html"),))
        exchange.response_piece(body)
        exchange.end()


def only_case(folder: Path) -> StoredCase:
    (case,) = KeployFolder(folder).set("test-set-0")
    return case


def test_an_exchange_is_stored_as_it_passed(tmp_path: Path) -> None:
    """Pieces, times, repeated headers, trailers."""
    clock = FakeClock()
    headers: Headers = (("host", "t"), ("X-A", "1"), ("x-a", "2"))
    with recorder_of(tmp_path, clock=clock) as recorder:
        exchange = recorder.open(INBOUND, "POST", "http://t/users/17", headers, "2")
        assert exchange is not None
        exchange.request_piece(b"ab")
        exchange.request_piece(b"c")
        exchange.response_head(200, "Fine", (("content-type", "text/plain"),), "1.0")
        clock.now = 0.25
        exchange.response_piece(b"one")
        clock.now = 0.5
        exchange.response_piece(cast("bytes", bytearray(b"two")))
        exchange.trailers((("t", "1"),))
        exchange.end()
        exchange.response_piece(b"after the end")
        exchange.fail(ValueError())
    case = only_case(tmp_path)
    stored = case.exchange
    assert stored is not None
    assert stored.response is not None
    assert (case.name, case.exact) == ("post-users-by-id-1", True)
    assert (stored.request.body, stored.request.headers) == (b"abc", headers)
    assert (stored.request.http_version, stored.response.http_version) == ("2", "1.0")
    assert stored.response.pieces == (Piece(0.25, b"one"), Piece(0.5, b"two"))
    assert (stored.response.reason, stored.response.trailers) == ("Fine", (("t", "1"),))
    assert stored.ended_at - stored.started_at == 500_000_000


def test_outbound_calls_belong_to_the_exchange_that_caused_them(tmp_path: Path) -> None:
    """In the mappings, and as parent."""
    with recorder_of(tmp_path) as recorder:
        outer = recorder.open(INBOUND, "GET", "http://t/", ())
        assert outer is not None
        token = inbound_exchange.set(outer.id)
        inner = recorder.open(Direction.OUTBOUND, "GET", "https://api.example.com/x", ())
        inbound_exchange.reset(token)
        assert inner is not None
        for exchange in (inner, outer):
            exchange.response_head(204, "", ())
            exchange.end()
    test_set = KeployFolder(tmp_path).set("test-set-0")
    assert test_set.mappings() == {"get-root-1": ("mock-0",)}
    (mock,) = test_set.mocks()
    assert mock.exchange is not None
    assert mock.exchange.parent == outer.id
    assert mock.exchange.request.url == "https://api.example.com/x"


def test_websocket_messages_are_stored_of_both_sides(tmp_path: Path) -> None:
    """Text stays text, bytes stay bytes, half a surrogate pair too."""
    with recorder_of(tmp_path) as recorder:
        exchange = recorder.open(INBOUND, "GET", "ws://t/chat", ())
        assert exchange is not None
        exchange.message("client", "hi\ud800")
        exchange.message("server", b"hi")
        exchange.message("server", "bye", 1000)
        exchange.end()
    case = only_case(tmp_path)
    assert case.kind == "WebSocket"
    assert case.exchange is not None
    sent = [(item.sender, item.data, item.close_code) for item in case.exchange.messages]
    assert sent == [("client", "hi\ud800", None), ("server", b"hi", None), ("server", "bye", 1000)]


def test_an_answer_cut_short_keeps_its_pieces_and_the_reason(tmp_path: Path) -> None:
    """An application that dies in mid-stream."""
    with recorder_of(tmp_path) as recorder:
        exchange = recorder.open(INBOUND, "GET", "http://t/", ())
        assert exchange is not None
        exchange.response_head(200, "", ())
        exchange.response_piece(b"half")
        exchange.fail(ConnectionError("reset"))
    stored = only_case(tmp_path).exchange
    assert stored is not None
    assert stored.failure is not None
    assert stored.response is not None
    assert (stored.failure.kind, stored.failure.text) == ("builtins.ConnectionError", "reset")
    assert stored.response.body == b"half"


@pytest.mark.parametrize("large", [False, True])
def test_a_long_body_passes_in_little_memory(tmp_path: Path, large: bool) -> None:  # noqa: FBT001
    """64 MiB through 2 MiB: by hash, or whole in a file of its own with its pieces."""
    piece = bytes(range(256)) * 1024
    with recorder_of(
        tmp_path, max_memory=2 << 20, on_full="wait", max_body=1 << 20, store_large=large
    ) as recorder:
        exchange = recorder.open(INBOUND, "GET", "http://t/big", (("host", "t"),))
        assert exchange is not None
        exchange.response_head(200, "", (("content-type", "application/x-tar"),))
        for _ in range(256):
            exchange.response_piece(piece)
            intake = recorder._intake  # pyright: ignore[reportPrivateUsage] - bounds are private
            assert intake is not None
            assert intake.memory.held <= 2 << 20
        exchange.end()
    assert (recorder.dropped, recorder.problem) == (0, None)
    stored = only_case(tmp_path).exchange
    assert stored is not None
    assert stored.response is not None
    if large:
        assert len(stored.response.pieces) == 256
        assert stored.response.body == piece * 256
    else:
        digest = hashlib.sha256(piece * 256).hexdigest()
        assert stored.response.omitted == Omitted(
            64 << 20, digest, "it was longer than 1048576 bytes"
        )


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    """The others are whole."""
    with recorder_of(tmp_path, max_memory=100_000) as recorder:
        big = recorder.open(INBOUND, "GET", "http://t/big", ())
        assert big is not None
        for _ in range(10):
            big.response_piece(b"x" * 20_000)
        big.end()
        record_one(recorder)
    assert recorder.dropped == 1
    assert only_case(tmp_path).name == "get-a-1"


def test_waiting_holds_up_the_traffic_and_drops_nothing(tmp_path: Path) -> None:
    """Four threads, little memory."""
    with recorder_of(tmp_path, max_memory=50_000, on_full="wait") as recorder:

        def traffic() -> None:
            for _ in range(50):
                record_one(recorder, body=b"y" * 5000)

        threads = [threading.Thread(target=traffic) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recorder.dropped == 0
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 200


def test_nothing_is_raised_into_the_traffic(tmp_path: Path) -> None:
    """A redaction that breaks costs its exchange, and is told."""

    class Broken(Unredacted):
        def exchange(self, exchange: Exchange) -> Exchange:
            if exchange.request.url.endswith("bad"):
                raise ZeroDivisionError
            return exchange

    with Recorder(tmp_path, redact=Broken()) as recorder:
        record_one(recorder, "http://t/bad")
        record_one(recorder, "http://t/good")
    assert recorder.dropped == 1
    assert isinstance(recorder.problem, ZeroDivisionError)
    assert only_case(tmp_path).name == "get-good-1"


def test_everything_passes_the_redaction_before_it_is_written(tmp_path: Path) -> None:
    """The secret is in no file at any time."""

    class Masked(Unredacted):
        def exchange(self, exchange: Exchange) -> Exchange:
            url = exchange.request.url.replace("s3cret", "***")
            return replace(exchange, request=replace(exchange.request, url=url))

    recorder = Recorder(tmp_path, redact=Masked(), compact=False)
    with recorder:
        record_one(recorder, "http://t/?k=s3cret")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]
    compact(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]


def test_a_recorder_starts_with_the_first_exchange(tmp_path: Path) -> None:
    """A middleware need not enter it."""
    recorder = recorder_of(tmp_path)
    assert not (tmp_path / ".journal").exists()
    record_one(recorder)
    recorder.close()
    assert recorder.open(INBOUND, "GET", "http://t/", ()) is None
    assert only_case(tmp_path).name == "get-a-1"
    with pytest.raises(JournalError, match="is closed"):
        recorder.start()


async def test_an_async_block_records_and_does_not_block_the_loop(tmp_path: Path) -> None:
    """Blocking calls of ours would fail this test."""
    async with recorder_of(tmp_path) as recorder:
        record_one(recorder)
    assert (await asyncio.to_thread(only_case, tmp_path)).name == "get-a-1"


async def test_a_recorder_that_was_not_entered_does_not_block_it_either(
    tmp_path: Path,
) -> None:
    """Its thread makes the folder."""
    recorder = recorder_of(tmp_path)
    record_one(recorder)
    await asyncio.to_thread(recorder.close)
    assert (await asyncio.to_thread(only_case, tmp_path)).name == "get-a-1"


@pytest.mark.parametrize(
    ("environ", "recorded"),
    [
        ({}, True),
        ({"APP_ENV": "production"}, False),
        ({"ENVIRONMENT": "Prod"}, False),
        ({"APP_ENV": "staging"}, True),
        ({"KEPLOY_RECORD": "0"}, False),
        ({"APP_ENV": "production", "KEPLOY_RECORD": "true"}, True),
    ],
)
def test_production_is_not_recorded_unless_it_is_asked_for(
    environ: dict[str, str],
    recorded: bool,  # noqa: FBT001
) -> None:
    """`KEPLOY_RECORD` decides, then the stage, and `enabled` before both."""
    assert is_enabled(environ=environ) is recorded
    assert is_enabled(True, environ) is True
    assert is_enabled(False, environ) is False


def test_a_recorder_that_is_off_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder, no thread."""
    monkeypatch.setenv("KEPLOY_RECORD", "0")
    with recorder_of(tmp_path / "keploy") as recorder:
        assert recorder.open(INBOUND, "GET", "http://t/", ()) is None
    assert not (tmp_path / "keploy").exists()


def test_what_is_excluded_is_not_recorded(tmp_path: Path) -> None:
    """Patterns narrow what is stored."""
    with recorder_of(tmp_path, include=["/a*", "GET /b"], exclude=["*/secret"]) as recorder:
        for path in ("/a", "/ab/secret", "/b", "/c"):
            record_one(recorder, f"http://t{path}?q=1")
    assert set(KeployFolder(tmp_path).set("test-set-0").case_names()) == {"get-a-1", "get-b-1"}


def test_a_sample_is_a_fraction(tmp_path: Path) -> None:
    """The same each time for the same seed."""
    with recorder_of(tmp_path, sample=0.25, seed=7) as recorder:
        for _ in range(200):
            record_one(recorder)
    assert 30 <= len(KeployFolder(tmp_path).set("test-set-0")) <= 70


@pytest.mark.parametrize(
    "options",
    [
        {"max_memory": 0},
        {"max_memory": True},
        {"max_memory": 1.5},
        {"max_body": -1},
        {"on_full": "block"},
        {"sample": 1.5},
        {"sample": float("nan")},
        {"sample": True},
        {"include": "/a"},
        {"exclude": ["a"]},
        {"exclude": [""]},
        {"naming": "odd"},
        {"test_set": "../x"},
        {"outbound": "httpx"},
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """At construction, with the name of the option."""
    with pytest.raises(OptionError) as caught:
        Recorder(tmp_path, **options)
    assert next(iter(options)).replace("_", " ")[:4] in str(caught.value).replace("_", " ")


def test_two_sessions_on_one_folder_are_one_clear_error(tmp_path: Path) -> None:
    """What the first recorded is whole."""
    with recorder_of(tmp_path) as first:
        record_one(first)
        second = recorder_of(tmp_path)
        with pytest.raises(FolderInUseError, match=str(os.getpid())):
            second.start()
        third = recorder_of(tmp_path)
        record_one(third)
        with pytest.warns(RuntimeWarning, match="being recorded"):
            third.close()
    assert only_case(tmp_path).name == "get-a-1"
    with recorder_of(tmp_path) as fourth:
        record_one(fourth)
    assert KeployFolder(tmp_path).sets() == ("test-set-0", "test-set-1")


def test_recording_into_a_set_that_is_there_adds_to_it(tmp_path: Path) -> None:
    """Names go on where they were."""
    for _ in range(2):
        with recorder_of(tmp_path, test_set="shop", naming="sequential") as recorder:
            record_one(recorder)
            mock = recorder.open(Direction.OUTBOUND, "GET", "http://o/", ())
            assert mock is not None
            mock.response_head(200, "", ())
            mock.end()
    test_set = KeployFolder(tmp_path).set("shop")
    assert test_set.case_names() == ("test-1", "test-2")
    assert [mock.name for mock in test_set.mocks()] == ["mock-0", "mock-1"]
    assert all(mock.exact for mock in test_set.mocks())


texts = st.text(st.characters(codec="utf-8"), max_size=20)
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=10)
tokens = st.text(st.sampled_from("abcXYZ-_09"), min_size=1, max_size=8)
bodies = st.one_of(st.binary(max_size=60), texts.map(str.encode))
media = st.sampled_from(
    ["text/event-stream", "application/json", "application/x-ndjson", "text/plain",
     "application/x-www-form-urlencoded", "multipart/form-data; boundary=b",
     "application/octet-stream"]
)  # fmt: skip


@settings(max_examples=3 * settings().max_examples // 5)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "X"]),
            tokens,
            st.lists(st.tuples(tokens, latin), max_size=4),
            bodies,
            st.integers(100, 599),
            media,
            st.sampled_from(["", "gzip", "br", "identity"]),
            st.lists(bodies, max_size=4),
            st.lists(st.one_of(st.binary(max_size=5), texts), max_size=2),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["yaml", "json"]),
)
def test_whatever_passes_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, traffic: list[Any], wanted: Any
) -> None:
    """Recorded, journaled, written, read: every exchange equals what was put in."""
    folder = tmp_path_factory.mktemp("keploy")
    sent: dict[str, Exchange] = {}
    with recorder_of(folder, compact=False) as recorder:
        for method, path, headers, body, status, kind, coding, pieces, messages in traffic:
            head = (*headers, ("Content-Type", kind), ("Content-Encoding", coding))
            exchange = recorder.open(INBOUND, method, f"http://t/{path}", head)
            assert exchange is not None
            exchange.request_piece(body)
            exchange.response_head(status, "", head)
            for piece in pieces:
                exchange.response_piece(piece)
            for message in messages:
                exchange.message("client", message)
            built = exchange._build()  # pyright: ignore[reportPrivateUsage] - what was taken
            sent[exchange.id] = replace(built, ended_at=0)
            exchange.end()
    compact(folder, format=wanted)
    stored = {
        case.exchange.id: replace(case.exchange, name="", ended_at=0)
        for case in KeployFolder(folder, format=wanted).set("test-set-0")
        if case.exchange is not None and case.exact
    }
    assert recorder.problem is None
    assert stored == sent
