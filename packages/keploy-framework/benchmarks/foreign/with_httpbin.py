"""httpbin: a Flask application that answers with what it was asked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .application import Foreign, Made

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

__all__ = ("APP",)


def _make(folder: Path) -> Made:
    del folder
    app: Any = import_module("httpbin").app
    return Made(app.wsgi_app, lambda: None)


def _session(client: httpx.Client) -> None:
    client.get("/get", params={"a": ["1", "2"], "text": "naïve"})
    client.get("/get", headers=[("X-Many", "1"), ("X-Many", "2")])
    client.post("/post", json={"a": [1, 2.5, None], "nested": {"deep": [{"x": True}]}})
    client.post("/post", data={"name": "Ada", "note": "a & b = c"})
    client.post("/post", files={"upload": ("a.bin", bytes(range(256)), "application/octet-stream")})
    client.put("/put", content=b"\x00\xff raw")
    client.patch("/patch", json=[])
    client.delete("/delete", params={"id": 7})
    client.request("TRACE", "/anything/deep/er", content=b"")
    for code in (200, 201, 204, 301, 304, 400, 401, 403, 404, 405, 409, 418, 429, 500, 503):
        client.get(f"/status/{code}")
    client.get("/headers", headers={"X-Api-Version": "2"})
    client.get("/user-agent")
    client.get("/ip")
    client.get("/uuid")
    client.get("/basic-auth/ada/lovelace")
    client.get("/basic-auth/ada/lovelace", auth=("ada", "lovelace"))
    client.get("/bearer", headers={"Authorization": "Bearer t0ken-of-a-test"})
    client.get("/cookies/set", params={"theme": "dark", "lang": "fr"})
    client.get("/cookies")
    client.get("/cookies/delete", params={"theme": ""})
    client.get("/response-headers", params={"X-A": ["1", "2"], "X-B": "3"})
    for encoding in ("gzip", "deflate", "brotli"):
        client.get(f"/{encoding}")
    client.get("/encoding/utf8")
    client.get("/html")
    client.get("/xml")
    client.get("/json")
    client.get("/image/png")
    client.get("/image/svg")
    client.get("/bytes/512", params={"seed": 7})
    client.get("/range/128", headers={"Range": "bytes=16-31"})
    client.get("/range/128", headers={"Range": "bytes=500-600"})
    client.get("/stream/5")
    client.get("/stream-bytes/700", params={"seed": 3, "chunk_size": 64})
    client.get("/drip", params={"duration": 0.05, "numbytes": 5, "delay": 0})
    client.get("/links/4/1")
    client.get("/redirect-to", params={"url": "/get", "status_code": 307})
    client.get("/redirect/3")
    client.get("/etag/tag-1")
    client.get("/etag/tag-1", headers={"If-None-Match": '"tag-1"'})
    client.get("/cache/60")
    client.get("/cache")
    client.head("/get")
    client.options("/get")
    client.get("/base64/SFRUUEJJTiBpcyBhd2Vzb21l")
    client.get("/delay/0")
    client.get("/nowhere")


APP = Foreign(name="httpbin", kind="wsgi", make=_make, session=_session, allow=("authorization",))
