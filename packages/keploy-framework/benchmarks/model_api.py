"""A model API for tests: answers and streams in the shapes of the big providers, and odd bytes.

Everything that a faithful recording must keep is here once: repeated headers, two cookies, bytes
that are no UTF-8, compression, numbers that no float holds, a key that comes twice, HEAD, 204, and
streams whose pieces come at times of their own.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
import uuid
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

__all__ = ("PAUSE", "STREAMS", "ModelAPI")

Event: TypeAlias = "MutableMapping[str, Any]"
Answer: TypeAlias = "tuple[int, Sequence[tuple[bytes, bytes]], bytes]"

PAUSE: Final = 0.012
"""Seconds between the pieces of a stream, unless another pause is given."""
JSON: Final = (b"content-type", b"application/json")
SSE: Final = (b"content-type", b"text/event-stream; charset=utf-8")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")

WORDS: Final = ("The ", "quick ", "brown ", "fox ", "½ ", "à ", "80 °C ", "🦊")


def _event(data: Any, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + b"data: " + text.encode() + b"\n\n"


def _openai() -> list[bytes]:
    chunk: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "sim-1",
    }
    return [
        *(_event({**chunk, "choices": [{"index": 0, "delta": {"content": w}}]}) for w in WORDS),
        _event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        _event("[DONE]"),
    ]


def _anthropic() -> list[bytes]:
    deltas = [
        _event(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": word},
            },
            "content_block_delta",
        )
        for word in WORDS
    ]
    return [
        _event({"type": "message_start", "message": {"id": "msg_1"}}, "message_start"),
        *deltas,
        _event({"type": "message_stop"}, "message_stop"),
    ]


def _lines() -> list[bytes]:
    last = len(WORDS) - 1
    return [
        json.dumps({"done": n == last, "response": w}).encode() + b"\n" for n, w in enumerate(WORDS)
    ]


def _odd() -> list[bytes]:
    """Return pieces that end inside of characters and events, with all kinds of line ends."""
    whole = (
        b": comment\r\nretry: 10\r\nid: 1\r\nEvent:x\r\ndata:no space\r\n\r\n"
        + "data: naïve 🦊\rdata: two lines\r\r".encode()
        + b"data: last, without an end"
    )
    return [whole[at : at + 13] for at in range(0, len(whole), 13)]


def _compressed() -> list[bytes]:
    """Return a compressed stream, flushed after each event."""
    squeeze = zlib.compressobj(wbits=31)
    made = [
        squeeze.compress(event) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        for event in (_event({"text": word}) for word in WORDS)
    ]
    return [*made, squeeze.flush()]


STREAMS: Final[dict[str, tuple[tuple[tuple[bytes, bytes], ...], list[bytes]]]] = {
    "/v1/chat/completions": ((SSE, (b"cache-control", b"no-cache")), _openai()),
    "/v1/messages": ((SSE, (b"request-id", b"req_1")), _anthropic()),
    "/api/generate": (((b"content-type", b"application/x-ndjson"),), _lines()),
    "/odd-events": ((SSE,), _odd()),
    "/squeezed-events": ((SSE, (b"content-encoding", b"gzip")), _compressed()),
}
"""Headers and pieces of the answers that come as streams, by path."""

_TWICE: Final = b'{"a": 1, "a": 2,  "big": 123456789012345678901234567890, "one": 1.0, "e": 1E400}'
_PLAIN: Final[dict[str, Answer]] = {
    "/v1/models": (200, (JSON,), b'{"object":"list","data":[{"id":"sim-1"},{"id":"sim-2"}]}'),
    "/v1/models/sim-1": (200, (JSON, (b"etag", b'"m1"')), b'{"id":"sim-1","owned_by":"us"}'),
    "/v1/models/none": (404, (JSON,), b'{"error":{"type":"not_found_error"}}'),
    "/v1/embeddings": (
        200,
        (JSON,),
        b'{"data":[{"embedding":[1.0,-0.10,2.5e-7,1e3,0.30000000000000004]}]}',
    ),
    "/twice": (200, (JSON,), _TWICE),
    "/cookies": (
        200,
        ((b"Set-Cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; HttpOnly"), TEXT),
        b"two cookies",
    ),
    "/repeated": (200, ((b"Link", b"<a>"), (b"Vary", b"Accept"), (b"Link", b"<b>"), TEXT), b"x"),
    "/latin-1": (
        200,
        ((b"content-type", b"text/plain; charset=iso-8859-1"), (b"x-name", b"caf\xe9")),
        b"caf\xe9 \xff\xfe",
    ),
    "/binary": (200, ((b"content-type", b"application/octet-stream"),), bytes(range(256)) * 5),
    "/gzip": (
        200,
        (JSON, (b"content-encoding", b"gzip")),
        gzip.compress(b'{"squeezed": true}', mtime=0),
    ),
    "/deflate": (200, (TEXT, (b"content-encoding", b"deflate")), zlib.compress(b"deflated " * 40)),
    "/empty": (200, (TEXT,), b""),
    "/no-content": (204, (), b""),
    "/moved": (307, ((b"location", b"/v1/models?page=2&page=3"),), b""),
    "/unchanged": (304, ((b"etag", b'"m1"'),), b""),
    "/too-many": (429, (JSON, (b"retry-after", b"7")), b'{"error":{"type":"rate_limit_error"}}'),
    "/broken": (500, (TEXT,), b"Internal Server Error"),
    "/broken-json": (200, (JSON,), b'{"cut": [1, 2'),
    "/blank-lines": (200, (TEXT,), b"\n\n  two blank lines\n\n\n"),
    "/yaml-traps": (200, (TEXT,), b"---\n- =\n<<: *a\n\x85\xc2\x85\xe2\x80\xa8 \ttab: yes\n...\n"),
    "/byte-order-mark": (200, (JSON,), b'\xef\xbb\xbf{"mark": 1}'),
}  # fmt: skip


class ModelAPI:
    """The application, for ASGI.

    Args:
        pause: Seconds between the pieces of a stream.
        sleep: How it waits for them.
    """

    def __init__(
        self,
        *,
        pause: float = PAUSE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pause = pause
        self._sleep = sleep
        self._numbers = itertools.count(1)

    async def __call__(
        self,
        scope: Event,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        path: str = scope["path"]
        if path in STREAMS and (scope["method"] == "GET" or b'"stream": true' in body):
            await self._stream(path, send)
            return
        status, headers, content = self._answer(scope["method"], path, body)
        lengthless = status in {204, 304}
        head = [*headers, *([] if lengthless else [(b"content-length", b"%d" % len(content))])]
        await send({"type": "http.response.start", "status": status, "headers": head})
        shown = b"" if scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": shown})

    async def _stream(self, path: str, send: Callable[[Event], Awaitable[None]]) -> None:
        headers, pieces = STREAMS[path]
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for number, piece in enumerate(pieces):
            if number:
                await self._sleep(self._pause)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        if path == "/v1/chat/completions":
            said = {
                "id": f"chatcmpl-{uuid.uuid4().hex}",
                "created": int(time.time()),
                "choices": [{"message": {"role": "assistant", "content": "".join(WORDS)}}],
                "usage": {"prompt_tokens": len(body)},
            }
            trace = (b"x-request-id", str(uuid.uuid4()).encode())
            return 200, (JSON, trace), json.dumps(said).encode()
        if path == "/orders":
            number = next(self._numbers)
            made = {"id": number, "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            return 201, (JSON, (b"location", b"/orders/%d" % number)), json.dumps(made).encode()
        if path == "/echo":
            return 200, ((b"content-type", b"application/octet-stream"),), body
        found = _PLAIN.get(path)
        if found is None:
            return 404, (TEXT,), f"nothing at {method} {path}".encode()
        return found
