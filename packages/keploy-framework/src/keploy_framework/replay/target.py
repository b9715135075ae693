"""What is replayed against: an application, a URL or a command; and how they are told apart."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from keploy_framework.errors import OptionError
from keploy_framework.recording.sink import failure_of

if TYPE_CHECKING:
    from keploy_framework.model import Exchange, Request

__all__ = ("KEPT", "Answered", "Target", "is_asgi", "kept_of", "trouble_of")

KEPT: Final = 64 << 20
"""How much longer (bytes) than the recorded one an answer may be to be compared by its bytes; of a
longer one only the length and a digest are."""

_MEASURED: Final = 1 << 20
_ASGI = 3
_WSGI = 2


class Answered(NamedTuple):
    """What came of a request.

    Attributes:
        exchange: What came, as a recording would tell it; None if nothing did.
        trouble: Why there is no whole answer, in a sentence; "" if there is one.
    """

    exchange: Exchange | None
    trouble: str = ""


class Target(Protocol):
    """Answers recorded requests."""

    @property
    def in_process(self) -> bool:
        """Whether the application runs in this process, so that its calls can be turned here."""
        ...

    async def start(self) -> None:
        """Make the application ready.

        Raises:
            AppStartError: It does not start, or is not there.
        """
        ...

    async def play(self, request: Request, recorded: Exchange, speed: float) -> Answered:
        """Send a request and return what came.

        Args:
            request: What is asked.
            recorded: What was asked and answered when it was recorded.
            speed: How fast the client's side of a WebSocket is played; 0 without pauses.
        """
        ...

    async def aclose(self) -> None:
        """Stop what `start` started."""
        ...


def is_asgi(app: Any) -> bool:
    """Say whether an application is one of ASGI; else it is one of WSGI.

    Raises:
        OptionError: It is neither.
    """
    inner = app
    while isinstance(inner, partial):
        inner = inner.func
    if not callable(inner):
        raise OptionError(
            f"{app!r:.80} is nothing to replay against: give an ASGI or WSGI application, a URL, "
            "or a Command"
        )
    called = inner if inspect.isroutine(inner) else getattr(inner, "__call__", inner)  # noqa: B004 - the method itself is looked at
    if inspect.iscoroutinefunction(called):
        return True
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    free = [
        one
        for one in parameters
        if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD} and one.default is one.empty
    ]
    if len(free) == _ASGI:
        return True
    if len(free) == _WSGI or any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return False
    hint = "" if free else "; if it makes the application, give what it returns"
    raise OptionError(
        f"{app!r:.80} takes {len(free)} arguments: an ASGI application takes scope, receive and "
        f"send, a WSGI application environ and start_response{hint}"
    )


def kept_of(recorded: Exchange) -> int:
    """Return how many bytes of an answer are kept: few where none of the recorded one are."""
    response = recorded.response
    if response is None:
        return KEPT
    if response.omitted is not None:
        return _MEASURED
    return KEPT + sum(len(piece.data) for piece in response.pieces)


def trouble_of(error: BaseException) -> str:
    """Return what an application raised, and where, in one sentence."""
    text = failure_of(error).text
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return f"the application raised {said}"
    return f"the application raised {said} ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
