"""pypiserver: a Bottle application that is a package index; with uploads and removals."""

from __future__ import annotations

import hashlib
import shutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .application import Foreign, Made

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

__all__ = ("APP",)

_ACCOUNT = ("ada", "lovelace")
_LIST = """<?xml version="1.0"?><methodCall><methodName>search</methodName><params><param><value>
<struct><member><name>name</name><value><string>tool</string></value></member></struct>
</value></param></params></methodCall>"""


def _make(folder: Path) -> Made:
    package: Any = import_module("pypiserver")
    place = folder / "packages"

    def reset() -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for number in range(3):
            (place / f"tool_box-1.{number}-py3-none-any.whl").write_bytes(b"wheel %d" % number)

    reset()

    def known(name: str, password: str) -> bool:
        return (name, password) == _ACCOUNT

    app: Any = package.app(
        roots=[place],
        authenticate=["update", "download"],
        auther=known,
        disable_fallback=True,
        overwrite=False,
    )
    return Made(app, reset)


def _upload(client: httpx.Client, name: str, content: bytes, **options: Any) -> None:
    client.post(
        "/",
        data={":action": "file_upload", "protocol_version": "1", "metadata_version": "2.1",
              "name": name.partition("-")[0], "version": name.split("-")[1],
              "md5_digest": hashlib.md5(content, usedforsecurity=False).hexdigest()},
        files={"content": (name, content, "application/octet-stream")},
        **options,
    )  # fmt: skip


def _session(client: httpx.Client) -> None:
    client.get("/")
    client.get("/health")
    client.get("/simple/")
    client.get("/simple")
    client.get("/simple/tool-box/")
    client.get("/simple/Tool.Box/")
    client.get("/simple/nothing/")
    client.get("/packages/")
    client.get("/packages/tool_box-1.0-py3-none-any.whl")
    client.get("/packages/tool_box-1.0-py3-none-any.whl", auth=_ACCOUNT)
    client.get(
        "/packages/tool_box-1.1-py3-none-any.whl", auth=_ACCOUNT, headers={"Range": "bytes=1-3"}
    )
    client.head("/packages/tool_box-1.2-py3-none-any.whl", auth=_ACCOUNT)
    client.get("/packages/nothing-1.0.tar.gz", auth=_ACCOUNT)
    client.get("/tool_box/json")
    client.get("/nothing/json")
    _upload(client, "engine-0.1.tar.gz", b"\x1f\x8b analytical")
    _upload(client, "engine-0.1.tar.gz", b"\x1f\x8b analytical", auth=("ada", "wrong"))
    for number in range(1, 5):
        _upload(client, f"engine-0.{number}.tar.gz", b"\x1f\x8b %d" % number, auth=_ACCOUNT)
    _upload(client, "engine-0.1.tar.gz", b"once more", auth=_ACCOUNT)
    _upload(client, "engine-0.9.exe.txt", b"no package", auth=_ACCOUNT)
    client.get("/simple/engine/")
    client.get("/simple/")
    client.get("/packages/engine-0.3.tar.gz", auth=_ACCOUNT)
    client.get("/engine/json")
    client.post("/RPC2", content=_LIST, headers={"Content-Type": "text/xml"})
    client.post("/", data={":action": "doc_upload", "name": "engine"}, auth=_ACCOUNT)
    client.post("/", data={":action": "no_such_thing"}, auth=_ACCOUNT)
    for name, version in (("engine", "0.2"), ("engine", "7.7")):
        client.post(
            "/",
            data={":action": "remove_pkg", "name": name, "version": version},
            auth=_ACCOUNT,
        )
    client.get("/simple/engine/")
    client.get("/packages/engine-0.2.tar.gz", auth=_ACCOUNT)
    client.delete("/simple/engine/")


APP = Foreign(
    name="pypiserver", kind="wsgi", make=_make, session=_session, allow=("authorization",)
)
