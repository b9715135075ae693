"""The one place where outbound calls are turned: to a recording, or to a recorded answer.

Every patched client asks `current` for the interception that holds where it runs. None: the call
passes as if nothing were patched. Else it offers its request to `Interception.ask`, and where that
has no answer to give, the call goes to the network while its parts are written to the sink.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.model import Direction, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.matching.mock_index import Miss
    from keploy_framework.model import Headers, Request
    from keploy_framework.recording.network import AllowedHosts
    from keploy_framework.recording.sink import ExchangeWriter, Sink

__all__ = ("Interception", "Responder", "current", "enter", "leave")


class Responder(Protocol):
    """Answers outbound calls from recordings."""

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Return the recorded exchange, or a miss; None to let the call go to the network.

        It is called from whatever thread makes the call, and must not wait.
        """
        ...


class Interception:
    """What happens to outbound calls while it holds.

    Args:
        clients: The names of the clients whose calls it turns.
        sink: Where calls that go to the network are recorded; None leaves them unrecorded.
        responder: Answers calls; None lets all go to the network.
        speed: How fast recorded answers are played: 1 as they came, 2 twice as fast, 0 at once.
        allowed: Hosts that are called for real, whatever the responder holds.
        clock: Monotonic seconds, for blocking clients.
        sleep: Waits so many seconds, for blocking clients.
    """

    __slots__ = ("allowed", "clients", "clock", "responder", "sink", "sleep", "speed")

    def __init__(
        self,
        clients: frozenset[str],
        *,
        sink: Sink | None = None,
        responder: Responder | None = None,
        speed: float = 0,
        allowed: AllowedHosts | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.clients: frozenset[str] = clients
        self.sink: Sink | None = sink
        self.responder: Responder | None = responder
        self.speed: float = speed
        self.allowed: AllowedHosts | None = allowed
        self.clock: Callable[[], float] = clock
        self.sleep: Callable[[float], None] = sleep

    def answers(self, host: str, port: int | None = None) -> bool:
        """Whether calls to `host` are offered to the responder."""
        return self.responder is not None and not (
            self.allowed is not None and self.allowed.allows(host, port)
        )

    def ask(self, request: Request) -> Exchange | None:
        """Return the recorded answer; None when the call goes to the network.

        Raises:
            UnrecordedCallError: No recording answers, or what answers was not stored whole.
        """
        if self.responder is None:
            return None
        found = self.responder.answer(request)
        if found is None:
            return None
        if not isinstance(found, Exchange):
            raise _missed(request, found)
        if found.response is not None and found.response.omitted is not None:
            raise UnrecordedCallError(
                f"{_label(found)}, the answer to {request.method} {found.request.url}, has "
                f"no body: {found.response.omitted.size} bytes were not stored "
                f"({found.response.omitted.reason}); record it with store_large=True",
                method=request.method,
                url=found.request.url,
                nearest=_label(found),
            )
        return found

    def open(
        self, method: str, url: str, headers: Headers, http_version: str = "1.1"
    ) -> ExchangeWriter | None:
        """Begin to record a call that goes to the network; None when it is not recorded."""
        if self.sink is None:
            return None
        return self.sink.open(Direction.OUTBOUND, method, url, headers, http_version)

    def due(self, at: float) -> float:
        """Return how many seconds after the request a piece is played that came at `at`."""
        return at / self.speed if self.speed else 0.0


def _label(exchange: Exchange) -> str:
    """Return what a reader can find an exchange by."""
    return exchange.name or exchange.id


def _missed(request: Request, miss: Miss) -> UnrecordedCallError:
    """Say that nothing answers, what comes nearest, and what would make it answer."""
    return UnrecordedCallError(
        f"no recording answers {miss}",
        method=request.method,
        url=miss.request.partition(" ")[2],  # without its secrets, where they are taken out
        nearest=miss.nearest,
        differences=tuple(str(difference) for difference in miss.differences),
        paste=miss.hint,
    )


_here: Final[ContextVar[tuple[Interception, ...]]] = ContextVar("keploy_interceptions", default=())
_everywhere: tuple[Interception, ...] = ()


def current(client: str) -> Interception | None:
    """Return the innermost interception of `client` that holds here; that of the context first."""
    for interception in reversed(_here.get()):
        if client in interception.clients:
            return interception
    for interception in reversed(_everywhere):
        if client in interception.clients:
            return interception
    return None


def enter(interception: Interception, *, context: bool) -> None:
    """Let an interception hold, in this context or in the whole process."""
    global _everywhere  # noqa: PLW0603 - one tuple, replaced as a whole: readers need no lock
    if context:
        _here.set((*_here.get(), interception))
    else:
        _everywhere = (*_everywhere, interception)


def leave(interception: Interception, *, context: bool) -> None:
    """Let it hold no more; others that were entered meanwhile stay."""
    global _everywhere  # noqa: PLW0603 - as above
    if context:
        _here.set(_without(_here.get(), interception))
    else:
        _everywhere = _without(_everywhere, interception)


def _without(held: tuple[Interception, ...], gone: Interception) -> tuple[Interception, ...]:
    return tuple(interception for interception in held if interception is not gone)
