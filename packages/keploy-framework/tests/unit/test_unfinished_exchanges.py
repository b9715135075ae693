"""What is still under way when a recording ends is kept as far as it came, or named."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.model import Direction
from keploy_framework.recording.recorder import Recorder
from keploy_framework.replay import replay
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

PIECES = (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n")


def cases(folder: Path) -> list[Any]:
    return [each for name in KeployFolder(folder).sets() for each in KeployFolder(folder).set(name)]


def test_a_request_without_an_answer_is_named_in_one_warning(tmp_path: Path) -> None:
    """Each with its method and URL; what had ended is recorded."""
    recorder = Recorder(tmp_path)
    whole = recorder.open(Direction.INBOUND, "GET", "http://shop/whole", ())
    for path in ("/a", "/b?token=0123456789abcdef0123"):
        assert recorder.open(Direction.INBOUND, "POST", f"http://shop{path}", ()) is not None
    assert whole is not None
    whole.response_head(204, "", ())
    whole.end()
    with pytest.warns(RuntimeWarning, match="no answer had come yet") as told:
        recorder.close()
    (warning,) = told
    assert "POST http://shop/a" in str(warning.message)
    assert "POST http://shop/b?token=[redacted:" in str(warning.message)
    assert recorder.dropped == 2
    assert "/a" in str(recorder.problem)
    assert [each.name for each in cases(tmp_path)] == ["get-whole-1"]


def test_an_outbound_call_that_is_under_way_is_named(tmp_path: Path) -> None:
    """Half an answer would be played as one that broke off."""
    recorder = Recorder(tmp_path)
    call = recorder.open(Direction.OUTBOUND, "GET", "http://api/x", ())
    assert call is not None
    call.response_head(200, "", ())
    with pytest.warns(RuntimeWarning, match="GET http://api/x"):
        recorder.close()


def test_a_closed_recorder_takes_nothing_more_of_what_was_under_way(tmp_path: Path) -> None:
    """Nor does it complain."""
    recorder = Recorder(tmp_path)
    late = recorder.open(Direction.INBOUND, "GET", "http://shop/stream", ())
    assert late is not None
    late.response_head(200, "", (("content-type", "text/plain"),))
    late.response_piece(b"one")
    recorder.close()
    late.response_piece(b"two")
    late.end()
    late.fail(ValueError("late"))
    (case,) = cases(tmp_path)
    assert case.exchange.response.body == b"one"
    assert case.exchange.failure.text == "the recording ended before the answer did"
    assert recorder.dropped == 0


def test_nothing_under_way_is_nothing_to_tell(tmp_path: Path) -> None:
    """The usual end is silent, also after exchanges that failed or did not fit."""
    recorder = Recorder(tmp_path, max_memory=6_000)
    failed = recorder.open(Direction.INBOUND, "GET", "http://shop/failed", ())
    assert failed is not None
    failed.fail(RuntimeError("broke"))
    recorder.flush()
    big = recorder.open(Direction.INBOUND, "GET", "http://shop/big", ())
    assert big is not None
    big.response_head(200, "", ())
    big.response_piece(b"x" * 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.close()
    assert recorder.dropped == 1


async def test_half_a_stream_is_replayed_as_far_as_it_was_recorded(tmp_path: Path) -> None:
    """As if its client had left then: the same beginning passes, another one does not."""
    halfway, go_on = asyncio.Event(), asyncio.Event()

    def streaming(pieces: tuple[bytes, ...], *, wait: bool) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            del receive
            assert scope["type"] == "http"
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for number, piece in enumerate(pieces):
                if wait and number == 2:
                    halfway.set()
                    await go_on.wait()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        return app

    recorder = Recorder(tmp_path)
    transport = httpx.ASGITransport(RecordingMiddleware(streaming(PIECES, wait=True), recorder))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        asking = asyncio.create_task(client.get("/events"))
        await halfway.wait()
        await asyncio.to_thread(recorder.close)
        go_on.set()
        assert (await asking).content == b"".join(PIECES)
    assert (await replay(streaming(PIECES, wait=False), tmp_path)).is_success
    other = (PIECES[0], b"data: x\n\n", PIECES[2])
    assert (await replay(streaming(other, wait=False), tmp_path)).failed == 1
