"""httpx and httpx2, patched at their transports: `HTTPTransport` and `AsyncHTTPTransport`.

Whatever a client does above (redirects, authentication, `Client.send`, mounted and wrapped
transports) and below (pools, proxies, HTTP/2, retries of connections) it does as before. Transports
that reach no network (`MockTransport`, `ASGITransport`, `WSGITransport`) are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keploy_framework.recording.clients import httpx_played, httpx_recorded
from keploy_framework.recording.clients.conversation import latin_1
from keploy_framework.recording.clients.httpx_call import (
    open_exchange,
    recorded_request,
    with_stream,
    write_head,
)
from keploy_framework.recording.clients.httpx_played import Player, loop_time
from keploy_framework.recording.clients.seam import current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from keploy_framework.model import Response
    from keploy_framework.recording.clients.httpx_call import Call
    from keploy_framework.recording.clients.patching import Patches
    from keploy_framework.recording.clients.seam import Interception

__all__ = ("patch_httpx",)


def patch_httpx(patches: Patches, module: ModuleType) -> None:
    """Patch the transports of httpx, or of a library that is httpx under another name."""
    library = _Library(module)

    def sync(original: Callable[[Any, Call], Any]) -> Callable[[Any, Call], object]:
        def handle_request(self: Any, request: Call) -> object:
            interception = current(library.name)
            if interception is None:
                return original(self, request)
            return library.handle(interception, original, self, request)

        return handle_request

    def asynchronous(
        original: Callable[[Any, Call], Awaitable[Any]],
    ) -> Callable[[Any, Call], Awaitable[object]]:
        async def handle_async_request(self: Any, request: Call) -> object:
            interception = current(library.name)
            if interception is None:
                return await original(self, request)
            return await library.handle_async(interception, original, self, request)

        return handle_async_request

    patches.wrap(library.api.HTTPTransport, "handle_request", sync)
    patches.wrap(library.api.AsyncHTTPTransport, "handle_async_request", asynchronous)


class _Library:
    """httpx or httpx2: its name, its classes, and streams that its clients accept."""

    def __init__(self, module: ModuleType) -> None:
        self.name = module.__name__
        self.api: Any = module
        self.sent = httpx_recorded.sent(self.api)
        self.sent_async = httpx_recorded.sent_async(self.api)
        self.watched = httpx_recorded.watched(self.api)
        self.watched_async = httpx_recorded.watched_async(self.api)
        self.played = httpx_played.played(self.api)
        self.played_async = httpx_played.played_async(self.api)

    def handle(
        self,
        interception: Interception,
        original: Callable[[Any, Call], Any],
        transport: object,
        request: Call,
    ) -> object:
        """Answer a call from a recording, or make it and record it."""
        if interception.answers(request.url.host, request.url.port):
            body = b"".join(request.stream)
            started = interception.clock()
            exchange = interception.ask(recorded_request(request, body))
            if exchange is not None:
                player = Player(self.api, interception, exchange, request, started)
                if exchange.response is None:
                    player.wait(player.end)
                    raise player.error()
                return self.response(exchange.response, self.played(player))
            request = with_stream(request, self.api.ByteStream(body))
        writer = open_exchange(interception, request)
        if writer is None:
            return original(transport, request)
        try:
            response = original(transport, with_stream(request, self.sent(request.stream, writer)))
        except BaseException as error:
            writer.fail(error)
            raise
        write_head(writer, response)
        response.stream = self.watched(response.stream, writer)
        return response

    async def handle_async(
        self,
        interception: Interception,
        original: Callable[[Any, Call], Awaitable[Any]],
        transport: object,
        request: Call,
    ) -> object:
        """Answer a call from a recording, or make it and record it."""
        if interception.answers(request.url.host, request.url.port):
            body = b"".join([part async for part in request.stream])
            started = loop_time(interception)
            exchange = interception.ask(recorded_request(request, body))
            if exchange is not None:
                player = Player(self.api, interception, exchange, request, started)
                if exchange.response is None:
                    await player.wait_async(player.end)
                    raise player.error()
                return self.response(exchange.response, self.played_async(player))
            request = with_stream(request, self.api.ByteStream(body))
        writer = open_exchange(interception, request)
        if writer is None:
            return await original(transport, request)
        try:
            response = await original(
                transport, with_stream(request, self.sent_async(request.stream, writer))
            )
        except BaseException as error:
            writer.fail(error)
            raise
        write_head(writer, response)
        response.stream = self.watched_async(response.stream, writer)
        return response

    def response(self, answer: Response, stream: object) -> object:
        """Make the answer that a transport would have returned."""
        version = "HTTP/" + answer.http_version
        return self.api.Response(
            answer.status,
            headers=[(latin_1(name), latin_1(value)) for name, value in answer.headers],
            stream=stream,
            extensions={
                "http_version": version.encode("ascii"),
                "reason_phrase": latin_1(answer.reason),
            },
        )
