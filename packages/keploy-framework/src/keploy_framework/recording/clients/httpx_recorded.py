"""Bodies of httpx that are written down as they pass.

Their classes are made when a library is patched: clients ask whether a body is one of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keploy_framework.errors import IncompleteAnswerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from keploy_framework.recording.sink import ExchangeWriter

__all__ = ("sent", "sent_async", "watched", "watched_async")


def sent(api: Any) -> Any:
    """Return a class of request bodies that are written down as they are sent."""

    class Sent(api.SyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, stream: Iterable[bytes], writer: ExchangeWriter) -> None:
            self._stream = stream
            self._writer = writer

        def __iter__(self) -> Iterator[bytes]:
            for part in self._stream:
                self._writer.request_piece(part)
                yield part

    return Sent


def sent_async(api: Any) -> Any:
    """Return the same for asynchronous clients."""

    class SentAsync(api.AsyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, stream: Any, writer: ExchangeWriter) -> None:
            self._stream = stream
            self._writer = writer

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._stream:
                self._writer.request_piece(part)
                yield part

    return SentAsync


def watched(api: Any) -> Any:
    """Return a class of answers that are written down as they are read."""

    class Watched(api.SyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, stream: Any, writer: ExchangeWriter) -> None:
            self._stream = stream
            self._writer = writer

        def __iter__(self) -> Iterator[bytes]:
            writer = self._writer
            try:
                for part in self._stream:
                    writer.response_piece(part)
                    yield part
            except GeneratorExit:  # it was closed, and says so itself
                raise
            except BaseException as error:
                writer.fail(error)
                raise
            writer.end()

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._writer.fail(_left())

    return Watched


def watched_async(api: Any) -> Any:
    """Return the same for asynchronous clients."""

    class WatchedAsync(api.AsyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, stream: Any, writer: ExchangeWriter) -> None:
            self._stream = stream
            self._writer = writer

        async def __aiter__(self) -> AsyncIterator[bytes]:
            writer = self._writer
            try:
                async for part in self._stream:
                    writer.response_piece(part)
                    yield part
            except GeneratorExit:
                raise
            except BaseException as error:
                writer.fail(error)
                raise
            writer.end()

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._writer.fail(_left())

    return WatchedAsync


def _left() -> IncompleteAnswerError:
    return IncompleteAnswerError("the client stopped reading")
