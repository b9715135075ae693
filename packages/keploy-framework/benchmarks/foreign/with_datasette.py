"""datasette: an ASGI application that shows SQLite databases; here with queries that write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .application import Foreign, Made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import httpx

__all__ = ("APP",)

_QUERIES = {
    "add": {
        "sql": "insert into books (title, author, year, price) "
        "values (:title, :author, :year, :price)",
        "write": True,
    },
    "sell": {"sql": "delete from books where id = :id", "write": True},
    "by": {"sql": "select id, title from books where author = :author order by id"},
}


def _fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            "create table books (id integer primary key, title text, author text, year integer, "
            "price real, cover blob); create index years on books (year);"
            "create table authors (name text primary key, born integer);"
        )
        database.executemany(
            "insert into books (title, author, year, price, cover) values (?, ?, ?, ?, ?)",
            [
                (f"Book {n}", f"Author {n % 7}", 1900 + n, n * 1.1, bytes([n, 255, 0]))
                for n in range(60)
            ],
        )
        database.executemany(
            "insert into authors values (?, ?)", [(f"Author {n}", 1850 + n) for n in range(7)]
        )


class _Fresh:
    """An application that can be replaced: a reset makes a new one on a new database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._ready = False
        self.reset()

    def reset(self) -> None:
        application: Any = import_module("datasette.app")
        self._number += 1
        place = self._folder / str(self._number)
        place.mkdir()
        _fill(place / "shop.db")
        self._datasette: Any = application.Datasette(
            [str(place / "shop.db")],
            metadata={
                "databases": {
                    "shop": {
                        "queries": _QUERIES,
                        "tables": {"authors": {"allow": {"id": "root"}}},
                    }
                }
            },
            settings={"num_sql_threads": 1, "template_debug": False},
            secret="not a secret of anybody",  # noqa: S106 - as it says
        )
        self._app: Any = self._datasette.app()
        self._ready = False

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":  # the application that is told would be the first one only
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if not self._ready:
            await self._datasette.invoke_startup()
            self._ready = True
        await self._app(scope, receive, send)


def _make(folder: Path) -> Made:
    app = _Fresh(folder)
    return Made(app, app.reset)


def _session(client: httpx.Client) -> None:
    client.get("/")
    client.get("/-/versions.json")
    client.get("/-/settings.json")
    client.get("/-/databases.json")
    client.get("/shop")
    client.get("/shop.json")
    client.get("/shop/books")
    client.get("/shop/books.json")
    client.get("/shop/books.json", params={"_shape": "array", "_size": 5})
    client.get("/shop/books.json", params={"_shape": "objects", "_sort_desc": "year"})
    client.get("/shop/books.json", params={"author": "Author 3", "_facet": "author"})
    client.get("/shop/books.json", params={"year__gt": 1940, "_nl": "on", "_shape": "array"})
    page = client.get("/shop/books.json", params={"_size": 20}).json()
    while page.get("next"):
        page = client.get("/shop/books.json", params={"_size": 20, "_next": page["next"]}).json()
    client.get("/shop/books.csv")
    client.get("/shop/books.csv", params={"_stream": "on"})
    client.get("/shop/books/1")
    client.get("/shop/books/1.json")
    client.get("/shop/books/999.json")
    client.get("/shop/books/1.blob", params={"_blob_column": "cover"})
    client.get("/shop.json", params={"sql": "select count(*) n, avg(price) a from books"})
    client.get("/shop.json", params={"sql": "select * from books where id = :id", "id": 7})
    client.get("/shop.json", params={"sql": "delete from books"})
    client.get("/shop.json", params={"sql": "select wrong from nowhere"})
    client.get("/shop/by.json", params={"author": "Author 2"})
    client.get("/shop/authors.json")
    client.get("/nowhere.json")
    client.get("/-/static/app.css")
    client.get("/-/static/nothing.css")
    for number in range(3):
        book = {"title": f"New {number}", "author": "Ada", "year": str(2000 + number), "price": "1"}
        client.post("/shop/add", data=book, headers={"Accept": "application/json"})
    client.get("/shop/by.json", params={"author": "Ada"})
    client.get("/shop/books.json", params={"_size": 3, "_sort_desc": "id", "_shape": "array"})
    client.post("/shop/sell", data={"id": "61"}, headers={"Accept": "application/json"})
    client.get("/shop/books/61.json")
    client.post("/shop/sell", json={"id": 62})
    client.get("/shop/by.json", params={"author": "Ada"})
    client.head("/shop/books.json")
    client.get("/shop/books.json", headers={"Accept-Encoding": "gzip"})


APP = Foreign(name="datasette", kind="asgi", make=_make, session=_session)
