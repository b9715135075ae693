"""wsgidav: a WSGI application that serves a folder by WebDAV; with locks, moves and properties."""

from __future__ import annotations

import shutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .application import Foreign, Made

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

__all__ = ("APP",)

_ACCOUNT = ("ada", "lovelace")
_LOCK = """<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype><D:owner><D:href>ada</D:href></D:owner></D:lockinfo>"""
_ASKED = """<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/>
<D:resourcetype/><D:displayname/><D:nothing/></D:prop></D:propfind>"""
_PATCH = """<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:z"><D:set><D:prop>
<Z:color>blue</Z:color></D:prop></D:set></D:propertyupdate>"""


def _make(folder: Path) -> Made:
    package: Any = import_module("wsgidav.wsgidav_app")
    place = folder / "share"
    held: list[Any] = []

    def reset() -> None:
        shutil.rmtree(place, ignore_errors=True)
        (place / "papers").mkdir(parents=True)
        (place / "readme.txt").write_text("Read me.\n" * 20, encoding="utf-8")
        (place / "papers" / "note.txt").write_text("A note.", encoding="utf-8")
        held[:] = [
            package.WsgiDAVApp(
                {
                    "provider_mapping": {"/": str(place)},
                    "simple_dc": {"user_mapping": {"*": {"ada": {"password": "lovelace"}}}},
                    "http_authenticator": {"accept_digest": False, "default_to_digest": False},
                    "property_manager": True,
                    "lock_storage": True,
                    "verbose": 0,
                    "logging": {"enable": False},
                }
            )
        ]

    reset()

    def app(environ: Any, start: Any) -> Any:
        return held[0](environ, start)

    return Made(app, reset)


def _session(client: httpx.Client) -> None:
    client.get("/readme.txt")
    client.get("/readme.txt", auth=("ada", "wrong"))
    client.auth = _ACCOUNT
    ask = client.request
    client.options("/")
    client.get("/")
    client.get("/readme.txt")
    client.get("/readme.txt", headers={"Range": "bytes=5-12"})
    client.head("/readme.txt")
    client.get("/none.txt")
    ask("PROPFIND", "/", headers={"Depth": "1"})
    ask("PROPFIND", "/readme.txt", headers={"Depth": "0"}, content=_ASKED)
    ask("PROPFIND", "/none", headers={"Depth": "0"})
    ask("MKCOL", "/new")
    ask("MKCOL", "/new")
    ask("MKCOL", "/no/parent")
    for number in range(4):
        client.put(f"/new/{number}.txt", content=b"file %d\n" % number * 10)
    client.put("/new/0.txt", content=b"changed")
    client.put("/nowhere/0.txt", content=b"x")
    client.put("/new/raw.bin", content=bytes(range(256)))
    client.get("/new/raw.bin")
    client.get("/new/0.txt")
    ask("PROPFIND", "/new", headers={"Depth": "1"}, content=_ASKED)
    ask("COPY", "/new/1.txt", headers={"Destination": "/new/copy.txt"})
    ask("COPY", "/new/1.txt", headers={"Destination": "/new/copy.txt", "Overwrite": "F"})
    ask("MOVE", "/new/2.txt", headers={"Destination": "/papers/moved.txt"})
    ask("PROPPATCH", "/new/1.txt", content=_PATCH)
    ask("PROPFIND", "/new/1.txt", headers={"Depth": "0"})
    locked = ask(
        "LOCK", "/new/3.txt", content=_LOCK, headers={"Timeout": "Second-600", "Depth": "0"}
    )
    token = locked.headers.get("lock-token", "")
    client.put("/new/3.txt", content=b"without the token")
    client.put("/new/3.txt", content=b"with the token", headers={"If": f"({token})"})
    ask("LOCK", "/new/3.txt", content=_LOCK, headers={"Timeout": "Second-600"})
    ask("UNLOCK", "/new/3.txt", headers={"Lock-Token": token})
    client.put("/new/3.txt", content=b"free again")
    client.delete("/new/0.txt")
    client.get("/new/0.txt")
    client.delete("/new")
    ask("PROPFIND", "/", headers={"Depth": "1"}, content=_ASKED)
    client.post("/readme.txt", content=b"?")


_DISK = "body.multistatus.response.propstat.prop.quota-"
APP = Foreign(
    name="wsgidav",
    kind="wsgi",
    make=_make,
    session=_session,
    allow=("authorization",),
    noise=(f"{_DISK}used-bytes", f"{_DISK}available-bytes"),  # what others do with the disk
)
