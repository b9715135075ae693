"""The requests that recordings are judged by: 28 to a model API, 49 to httpbin; 8 are streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .model_api import STREAMS

if TYPE_CHECKING:
    from keploy_framework.model import Headers

__all__ = ("HOST", "HTTPBIN", "MODEL", "Ask")

_JSON: Final = (("Content-Type", "application/json"),)
_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)
_PARTS: Final = (("Content-Type", "multipart/form-data; boundary=here"),)
_BODY: Final = (
    b'--here\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n\r\n--here\r\n"
    b'Content-Disposition: form-data; name="t"\r\n\r\ntext\r\n--here--\r\n'
)


HOST: Final = (("Host", "app.test"),)
"""Said in every request, so that answers do not tell which server gave them."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        path: Path and query.
        method: The method.
        headers: Headers besides those of the client.
        body: The body.
        stream: Whether the answer comes in pieces.
        timed: Whether they come at times of their own.
        volatile: Whether each answer is another one.
    """

    path: str
    method: str = "GET"
    headers: Headers = ()
    body: bytes = b""
    stream: bool = False
    timed: bool = False
    volatile: bool = False


_ASKED: Final = (
    b'{"model": "sim-1", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
)
_ONCE: Final = b'{"model": "sim-1", "messages": [{"role": "user", "content": "\xc3\xa9"}]}'


def _streamed(path: str) -> Ask:
    if path.endswith("-events"):
        return Ask(path, stream=True, timed=True)
    return Ask(path, "POST", _JSON, _ASKED, stream=True, timed=True)


MODEL: Final[tuple[Ask, ...]] = (
    *map(_streamed, STREAMS),
    Ask("/v1/chat/completions", "POST", _JSON, _ONCE, volatile=True),
    Ask("/orders", "POST", _JSON, b'{"item": 7}', volatile=True),
    Ask("/v1/models"),
    Ask("/v1/models/sim-1"),
    Ask("/v1/models/sim-1", "HEAD"),
    Ask("/v1/models/none"),
    Ask("/v1/embeddings", "POST", _JSON, b'{"input": ["a", "b"]}'),
    Ask("/twice"),
    Ask("/cookies"),
    Ask("/repeated"),
    Ask("/latin-1"),
    Ask("/binary"),
    Ask("/gzip"),
    Ask("/deflate"),
    Ask("/empty"),
    Ask("/no-content", "DELETE"),
    Ask("/moved"),
    Ask("/unchanged"),
    Ask("/too-many", "POST", _JSON, b"{}"),
    Ask("/broken-json"),
    Ask("/yaml-traps"),
    Ask("/byte-order-mark"),
    Ask("/echo", "POST", _PARTS, _BODY),
)  # fmt: skip

HTTPBIN: Final[tuple[Ask, ...]] = (
    Ask("/stream/4", stream=True),
    Ask("/stream-bytes/1000?seed=1&chunk_size=100", stream=True),
    Ask("/drip?duration=0.1&numbytes=8&delay=0", stream=True, timed=True),
    Ask("/get?a=1&a=2&b=%C3%A9"),
    Ask("/get", headers=(("X-Many", "1"), ("X-Many", "2"))),
    Ask("/post", "POST", _JSON, b'{"a": [1, 2.50, null]}'),
    Ask("/post", "POST", _FORM, b"a=1&b=%26&a=2"),
    Ask("/post", "POST", _PARTS, _BODY),
    Ask("/put", "PUT", _JSON, b"[]"),
    Ask("/patch", "PATCH", _JSON, b"{}"),
    Ask("/delete", "DELETE"),
    Ask("/anything/else?q=1", "POST", body=b"raw \xff"),
    Ask("/headers"),
    Ask("/ip"),
    Ask("/user-agent"),
    Ask("/uuid", volatile=True),
    Ask("/base64/SFRUUEJJTg=="),
    Ask("/bytes/300?seed=1"),
    Ask("/range/64", headers=(("Range", "bytes=8-15"),)),
    Ask("/range/64"),
    *(Ask(f"/status/{code}") for code in (200, 204, 302, 304, 400, 401, 404, 418, 500)),
    Ask("/gzip", volatile=True),  # there is a time in its header
    Ask("/deflate"),
    Ask("/brotli"),
    Ask("/html"),
    Ask("/xml"),
    Ask("/json"),
    Ask("/encoding/utf8"),
    Ask("/deny"),
    Ask("/robots.txt"),
    Ask("/image/png"),
    Ask("/image/svg"),
    Ask("/cache", volatile=True),
    Ask("/cache/60"),
    Ask("/etag/e1"),
    Ask("/etag/e1", headers=(("If-None-Match", '"e1"'),)),
    Ask("/response-headers?X-A=1&X-A=2&X-B=3"),
    Ask("/cookies/set?a=1&b=2"),
    Ask("/cookies", headers=(("Cookie", "a=1"),)),
    Ask("/redirect-to?url=%2Fget"),
    Ask("/links/3/0"),
)  # fmt: skip
