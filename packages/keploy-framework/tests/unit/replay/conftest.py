"""Recordings of real applications, made for the tests of replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from keploy_framework.asgi import RecordingMiddleware as ASGIRecording
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.recording.clients import install
from keploy_framework.recording.recorder import Recorder
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.writer import SetWriter
from keploy_framework.wsgi import RecordingMiddleware as WSGIRecording

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from keploy_framework.matching import Miss

Talk = Callable[[httpx.AsyncClient], Awaitable[object]]
SyncTalk = Callable[[httpx.Client], object]
Upstream = Callable[[Request], tuple[int, bytes]]


class Answering:
    """Stands for the world outside while something is recorded."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Answer a call."""
        status, body = self._upstream(request)
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        response = Response(status, "", headers, (Piece(0.0, body),))
        return Exchange("up", Direction.OUTBOUND, request, response, 0, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A `keploy` folder that does not exist yet."""
    return tmp_path / "keploy"


@pytest.fixture
def record(folder: Path) -> Callable[..., Awaitable[None]]:
    """Record what a client says to an ASGI application."""

    async def recording(app: Any, talk: Talk, **options: Any) -> None:
        async with Recorder(folder, **options) as recorder:
            transport = httpx.ASGITransport(
                ASGIRecording(app, recorder), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                await talk(client)

    return recording


@pytest.fixture
def record_wsgi(folder: Path) -> Callable[..., None]:
    """Record what a client says to a WSGI application."""

    def recording(app: Any, talk: SyncTalk, **options: Any) -> None:
        with Recorder(folder, **options) as recorder:
            transport = httpx.WSGITransport(
                WSGIRecording(app, recorder), raise_app_exceptions=False
            )
            with httpx.Client(transport=transport, base_url="http://shop") as client:
                talk(client)

    return recording


@pytest.fixture
def store(folder: Path) -> Callable[..., Awaitable[None]]:
    """Write exchanges into a test set as a recorder would."""

    def storing(*exchanges: Exchange, name: str = "test-set-0") -> None:
        place = KeployFolder(folder)
        writer = SetWriter(KeployFolder(folder.with_name("staging")), name, names=CaseNames())
        for exchange in exchanges:
            writer.add(exchange)
        writer.finish()
        writer.move_into(place)

    async def apart(*exchanges: Exchange, name: str = "test-set-0") -> None:
        await asyncio.to_thread(storing, *exchanges, name=name)

    return apart


@pytest.fixture
def world() -> Callable[[Upstream], AbstractContextManager[object]]:
    """Answer the outbound calls of what is recorded."""
    return lambda upstream: install(["httpx"], responder=Answering(upstream))
