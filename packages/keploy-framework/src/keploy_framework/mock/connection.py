"""A connection of the mock server: requests and answers in turn, each piece when it is due."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from keploy_framework.mock.call import TooLargeError
from keploy_framework.recording.http1 import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.mock.call import MockCall
    from keploy_framework.model import Request

__all__ = ("Connection",)

_READ: Final = 1 << 16
_LINGER: Final = 1.0
"""Seconds that a client has to read why it is turned away, before the connection is cut."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REFUSED: Final = b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"


class Connection:
    """Serves one client.

    Args:
        reader: What it sends.
        writer: What it is sent.
        call: Makes what takes a request; is given what to do when the client waits to proceed.
        missed: Is told of requests that nothing answers.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        call: Callable[[Callable[[], None]], MockCall],
        missed: Callable[[Request], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._call = call
        self._missed = missed
        self._rest = b""
        self._reading: asyncio.Task[bytes] | None = None
        self._ended = False

    async def serve(self) -> None:
        """Answer until one of the sides closes."""
        try:
            with suppress(ConnectionError):
                while await self._answered():
                    pass
                with suppress(RuntimeError):  # closed meanwhile
                    self._writer.write_eof()
                await self._linger()
        finally:
            if self._reading is not None:
                self._reading.cancel()
            self._writer.transport.abort()

    async def _answered(self) -> bool:
        """Answer one request; whether another one may follow."""
        call = self._call(self._proceed)
        try:
            if not await self._whole(call):
                return False
        except WireError as error:
            return self._refuse(b"400 Bad Request", f"this is no request of HTTP/1.x: {error}")
        except TooLargeError:
            return self._refuse(
                b"413 Content Too Large",
                "the body is longer than the mock server holds; raise its max_body",
            )
        began = asyncio.get_running_loop().time()
        call.prepare()
        if call.missed:
            self._missed(call.request)
        self._rest = call.rest
        if call.upgraded:
            call.feed(self._rest)
            self._rest = b""
        await self._play(call, began, talk=call.upgraded)
        if call.breaks:
            await self._until(began + call.due(call.end))
            if call.silent:
                self._reset()
            return False
        return not call.closes and not self._ended

    async def _whole(self, call: MockCall) -> bool:
        """Read a request; False when none comes."""
        call.feed_request(self._rest)
        while not call.whole:
            data = await self._read(None)
            if not data:
                return False
            call.feed_request(data)
        return True

    async def _play(self, call: MockCall, began: float, *, talk: bool) -> None:
        """Write what is due, and hear what comes meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            while call.segments and began + call.due(call.segments[0].at) <= loop.time():
                self._writer.write(call.segments.popleft().data)
                await self._writer.drain()
            if not call.segments and (call.hangs_up or not talk):
                return
            if self._ended:
                if talk:
                    return
                await self._until(began + call.due(call.segments[0].at))
                continue
            wait = began + call.due(call.segments[0].at) - loop.time() if call.segments else None
            data = await self._read(wait)
            if data and talk:
                call.feed(data)
            elif data:
                self._rest += data  # the next request, sent ahead

    async def _read(self, within: float | None) -> bytes:
        """Return what comes next; nothing if that is the end, or not in time."""
        if self._ended:
            return b""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._reader.read(_READ))
        done, _ = await asyncio.wait({self._reading}, timeout=within)
        if not done:
            return b""
        data = self._reading.result()
        self._reading = None
        self._ended = not data
        return data

    async def _until(self, time: float) -> None:
        """Wait for a moment of the loop's clock."""
        await asyncio.sleep(time - asyncio.get_running_loop().time())

    async def _linger(self) -> None:
        """Let the client read its answer: closing with unread data would take it away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while await self._read(None):
                    pass

    def _reset(self) -> None:
        """Break the connection, so that nobody takes its end for the end of an answer."""
        found: socket.socket = self._writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _proceed(self) -> None:
        self._writer.write(_CONTINUE)

    def _refuse(self, status: bytes, text: str) -> bool:
        body = text.encode() + b"\n"
        self._writer.write(_REFUSED % (status, len(body), body))
        return False
