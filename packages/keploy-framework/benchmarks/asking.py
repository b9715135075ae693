"""Asking a corpus in the plainest way of each client: what came, byte by byte and when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
import httpx2
import requests
import urllib3

from .corpus import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keploy_framework.model import Headers

    from .corpus import Ask

__all__ = ("CLIENTS", "DECODED", "Got")

_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Got:
    """What came of a request.

    Attributes:
        status: The status.
        headers: The lines, in order, names in lower case.
        pieces: The pieces of the body that the client gave, and the seconds until each.
    """

    status: int
    headers: Headers
    pieces: tuple[tuple[float, bytes], ...]

    @property
    def body(self) -> bytes:
        """The body as on the wire, compressed if it was."""
        return b"".join(data for _, data in self.pieces)

    @property
    def data(self) -> list[bytes]:
        """The pieces that hold anything."""
        return [data for _, data in self.pieces if data]

    @property
    def first(self) -> float:
        """Seconds until the first piece."""
        return self.pieces[0][0] if self.pieces else 0.0

    @property
    def spread(self) -> float:
        """Seconds from the first piece to the last."""
        times = [at for at, data in self.pieces if data]
        return times[-1] - times[0] if times else 0.0


def _headers(lines: Any) -> Headers:
    def text(value: bytes | str) -> str:
        return value.decode("latin-1") if isinstance(value, bytes) else value

    return tuple((text(name).lower(), text(value)) for name, value in lines)


def _of_httpx(library: Any, how: str = "iter_raw") -> Callable[[str, Sequence[Ask]], list[Got]]:
    def asked(base: str, asks: Sequence[Ask]) -> list[Got]:
        found: list[Got] = []
        with library.Client(base_url=base, timeout=_PATIENCE, trust_env=False) as client:
            for ask in asks:
                client.cookies.clear()
                began = time.perf_counter()
                with client.stream(
                    ask.method, ask.path, headers=[*HOST, *ask.headers], content=ask.body
                ) as got:
                    pieces = [(time.perf_counter() - began, data) for data in getattr(got, how)()]
                found.append(Got(got.status_code, _headers(got.headers.raw), tuple(pieces)))
        return found

    return asked


def _async_httpx(base: str, asks: Sequence[Ask]) -> list[Got]:
    async def asked() -> list[Got]:
        found: list[Got] = []
        async with httpx.AsyncClient(base_url=base, timeout=_PATIENCE, trust_env=False) as client:
            for ask in asks:
                client.cookies.clear()
                began = time.perf_counter()
                async with client.stream(
                    ask.method, ask.path, headers=[*HOST, *ask.headers], content=ask.body
                ) as got:
                    pieces = [(time.perf_counter() - began, data) async for data in got.aiter_raw()]
                found.append(Got(got.status_code, _headers(got.headers.raw), tuple(pieces)))
        return found

    return asyncio.run(asked())


def _raw(got: Any, began: float) -> Got:
    """Read an answer of urllib3, which requests has as well."""
    pieces = [
        (time.perf_counter() - began, data) for data in got.stream(1 << 16, decode_content=False)
    ]
    return Got(got.status, _headers(got.headers.items()), tuple(pieces))


def _requests(base: str, asks: Sequence[Ask]) -> list[Got]:
    found: list[Got] = []
    with requests.Session() as session:
        session.trust_env = False
        for ask in asks:
            session.cookies.clear()
            began = time.perf_counter()
            with session.request(
                ask.method,
                base + ask.path,
                headers=dict(HOST + ask.headers),
                data=ask.body or None,
                stream=True,
                allow_redirects=False,
                timeout=_PATIENCE,
            ) as got:
                found.append(_raw(got.raw, began))
    return found


def _urllib3(base: str, asks: Sequence[Ask]) -> list[Got]:
    found: list[Got] = []
    with urllib3.PoolManager() as pool:
        for ask in asks:
            began = time.perf_counter()
            got = pool.request(
                ask.method,
                base + ask.path,
                headers=urllib3.HTTPHeaderDict(HOST + ask.headers),
                body=ask.body or None,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=_PATIENCE,
            )
            found.append(_raw(got, began))
            got.release_conn()
    return found


async def _chunks(content: aiohttp.StreamReader, began: float) -> list[tuple[float, bytes]]:
    """Read chunk by chunk: what else it offers runs those together that came at once."""
    pieces: list[tuple[float, bytes]] = []
    part = b""
    async for data, whole in content.iter_chunks():
        part += data
        if whole or not pieces:
            pieces.append((time.perf_counter() - began, part))
            part = b""
        if content.at_eof():  # for an empty body, its iterator has no end
            break
    if part:
        pieces.append((time.perf_counter() - began, part))
    return pieces


def _aiohttp(base: str, asks: Sequence[Ask]) -> list[Got]:
    async def asked() -> list[Got]:
        found: list[Got] = []
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=jar) as session:
            for ask in asks:
                began = time.perf_counter()
                async with session.request(
                    ask.method,
                    base + ask.path,
                    headers=[*HOST, *ask.headers],
                    data=ask.body or None,
                    allow_redirects=False,
                ) as got:
                    pieces = await _chunks(got.content, began)
                found.append(Got(got.status, _headers(got.raw_headers), tuple(pieces)))
        return found

    return asyncio.run(asked())


CLIENTS: Final[dict[str, Callable[[str, Sequence[Ask]], list[Got]]]] = {
    "httpx": _of_httpx(httpx),
    "httpx async": _async_httpx,
    "httpx2": _of_httpx(httpx2),
    "requests": _requests,
    "urllib3": _urllib3,
    "aiohttp": _aiohttp,
}
"""Each client, by name."""

DECODED: Final = _of_httpx(httpx, "iter_bytes")
"""httpx without its compression: what some peers can be asked by only."""
