"""Recorded answers, played to httpx: the pieces at their time, the failures as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.clients.httpx_call import url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from keploy_framework.model import Exchange, Failure, Piece
    from keploy_framework.recording.clients.httpx_call import Call
    from keploy_framework.recording.clients.seam import Interception

__all__ = ("Player", "loop_time", "played", "played_async")

_ERRORS: Final = {
    Trouble.CONNECT: "ConnectError",
    Trouble.CONNECT_TIMEOUT: "ConnectTimeout",
    Trouble.READ_TIMEOUT: "ReadTimeout",
    Trouble.CUT: "RemoteProtocolError",
    Trouble.RESET: "ReadError",
}


class Player:
    """Plays the pieces of a recorded answer at their time."""

    __slots__ = ("_api", "_request", "_started", "end", "exchange", "interception", "timeout")

    def __init__(
        self,
        api: Any,
        interception: Interception,
        exchange: Exchange,
        request: Call,
        started: float,
    ) -> None:
        self._api = api
        self._request = request
        self._started = started
        self.interception: Interception = interception
        self.exchange: Exchange = exchange
        self.end: float = (exchange.ended_at - exchange.started_at) / 1e9
        timeouts: dict[str, float | None] = request.extensions.get("timeout") or {}
        self.timeout: float | None = timeouts.get("read")

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces to play; none where the method wants no body."""
        response = self.exchange.response
        if response is None or self._request.method == "HEAD":
            return ()
        return response.pieces

    def error(self) -> Exception:
        """Return what the recorded call failed with."""
        failure = self.exchange.failure
        if failure is None:
            return IncompleteAnswerError(
                f"the recording of {self._request.method} {url_of(self._request)} has no answer"
            )
        return _error(self._api, failure, self._request)

    def pause(self, at: float, now: float) -> tuple[float, Exception | None]:
        """Return how long to wait for a piece, and what to raise then if that is too long."""
        left = self._started + self.interception.due(at) - now
        if self.timeout is not None and left > self.timeout:
            return self.timeout, cast("Exception", self._api.ReadTimeout("timed out"))
        return left, None

    def wait(self, at: float) -> None:
        """Wait until what came at `at` is due."""
        if not self.interception.speed:
            return
        seconds, error = self.pause(at, self.interception.clock())
        if seconds > 0:
            self.interception.sleep(seconds)
        if error is not None:
            raise error

    async def wait_async(self, at: float) -> None:
        """Wait until what came at `at` is due, on the loop's clock."""
        if not self.interception.speed:
            return
        import anyio  # noqa: PLC0415 - httpx itself runs on it, asyncio or not

        seconds, error = self.pause(at, anyio.current_time())
        if seconds > 0:
            await anyio.sleep(seconds)
        if error is not None:
            raise error


def loop_time(interception: Interception) -> float:
    """Return the time of the running loop, where somebody is going to ask for it."""
    if not interception.speed:
        return 0.0
    import anyio  # noqa: PLC0415 - as above

    return anyio.current_time()


def _error(api: Any, failure: Failure, request: Call) -> Exception:
    """Return what the library would have raised."""
    found = trouble(failure)
    if found is Trouble.LEFT:
        return IncompleteAnswerError(
            f"the recorded answer to {request.method} {url_of(request)} ends here: the client "
            f"that was recorded stopped reading ({failure.kind})"
        )
    kind, _, name = failure.kind.rpartition(".")
    same = getattr(api, name, None) if kind.startswith("httpx") else None
    if not (isinstance(same, type) and issubclass(same, api.TransportError)):
        same = getattr(api, _ERRORS[found])
    return cast("Exception", same(failure.text))


def played(api: Any) -> Any:
    """Return a class of answers that are played from recordings."""

    class Played(api.SyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, player: Player) -> None:
            self._player = player

        def __iter__(self) -> Iterator[bytes]:
            player = self._player
            for piece in player.pieces:
                player.wait(piece.at)
                yield piece.data
            if player.exchange.failure is not None:
                player.wait(player.end)
                raise player.error()

    return Played


def played_async(api: Any) -> Any:
    """Return the same for asynchronous clients."""

    class PlayedAsync(api.AsyncByteStream):  # type: ignore[misc]  # known only at run time
        def __init__(self, player: Player) -> None:
            self._player = player

        async def __aiter__(self) -> AsyncIterator[bytes]:
            player = self._player
            waited = True
            for piece in player.pieces:
                if player.interception.speed:
                    await player.wait_async(piece.at)
                elif not waited:
                    await _checkpoint()
                waited = False
                yield piece.data
            if player.exchange.failure is not None:
                await player.wait_async(player.end)
                raise player.error()

    return PlayedAsync


async def _checkpoint() -> None:
    """Let others run between two pieces, as reading from a socket would."""
    from anyio.lowlevel import checkpoint  # noqa: PLC0415 - as above

    await checkpoint()
