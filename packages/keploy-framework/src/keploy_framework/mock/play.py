"""`Play`: which of the recordings that would answer a request is the one to play now."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from keploy_framework.errors import OptionError
from keploy_framework.matching import Miss, MockIndex, Recording, RequestRules
from keploy_framework.model import Direction, Exchange, header_value
from keploy_framework.redact import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keploy_framework.matching import Repeat
    from keploy_framework.model import Request
    from keploy_framework.recording.redaction import Redactor

__all__ = ("Play",)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE"})
_ORDERS: Final = ("sequence", "scenario")


class Play:
    """Answer requests from recordings, one after the other; usable from any thread.

    A client calls a mock at an address of its own. So the host of a request counts only if
    something was recorded from it; else each recorded host is tried, in the order of the recording.

    Args:
        exchanges: What was recorded, in any order.
        order: What to play when several recordings answer. ``sequence``: each in its turn, as they
            were recorded. ``scenario``: as the recorded server would have answered in its present
            state, which is told by the last writing request (one that is not GET, HEAD, OPTIONS,
            QUERY or TRACE) that was played: a reading request gets the answer from behind it,
            however often it is repeated. Default: ``sequence``.
        repeat: What follows the last of a sequence, or of a state: ``last`` plays it again,
            ``cycle`` begins with the first, ``once`` is a miss. Default: ``last``.
        rules: Which parts of a request count. Default: method, URL and body.
        redact: Takes the secrets out of requests, as it was done with the recordings. Default: that
            of this package.

    Raises:
        OptionError: An option is none of those.

    Example:
        >>> from keploy_framework.model import Request, Response
        >>> asked = Request("GET", "https://api.example.com/users/1")
        >>> play = Play([Exchange("1", Direction.OUTBOUND, asked, Response(204), 0, 0)])
        >>> play.answer(Request("GET", "http://127.0.0.1:4000/users/1")).response.status
        204
    """

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        *,
        order: Literal["sequence", "scenario"] = "sequence",
        repeat: Repeat = "last",
        rules: RequestRules | None = None,
        redact: Redactor | None = None,
    ) -> None:
        if order not in _ORDERS:
            raise OptionError(f"order must be one of {', '.join(_ORDERS)}, not {order!r:.60}")
        self._repeat: Repeat = repeat
        self._rules = rules or RequestRules()
        self._redact: Redactor = redact or Redaction.default()
        self._lock = threading.Lock()
        self._recordings: list[Recording[Exchange]] = []
        self._states: dict[tuple[str, ...], list[int]] = {}
        writes = 0
        for exchange in sorted(exchanges, key=lambda one: one.started_at):
            scope = None
            if order == "scenario":
                scope = str(writes)
                key = self._rules.key(exchange.request).key
                self._states.setdefault(key, []).append(writes)
                writes += exchange.request.method not in _SAFE
            name = exchange.name or exchange.id
            self._recordings.append(Recording(name, exchange.request, exchange, scope=scope))
        self._origins = tuple(dict.fromkeys(_origin(one.request) for one in self._recordings))
        self._now = 0
        self._index = self._indexed()

    @property
    def unplayed(self) -> tuple[Exchange, ...]:
        """The recordings that have not answered yet, in the order of the recording."""
        with self._lock:
            return tuple(recording.answer for recording in self._index.unplayed())

    @property
    def played(self) -> tuple[Exchange, ...]:
        """The recordings that have answered, in the order of the recording."""
        waiting = {id(exchange) for exchange in self.unplayed}
        return tuple(one.answer for one in self._recordings if id(one.answer) not in waiting)

    def reset(self) -> None:
        """Begin again, as if nothing had been played."""
        with self._lock:
            self._now = 0
            self._index = self._indexed()

    def answer(self, request: Request) -> Exchange | Miss:
        """Return the recording that answers ``request`` now, or why none does."""
        misses: list[Miss] = []
        with self._lock:
            asked = self._redacted(request)
            for origin in self._tried(asked):
                found = self._found(_at(asked, origin))
                if isinstance(found, Exchange):
                    return found
                misses.append(found)
            if not misses:
                return self._found(asked)
        # That all of its recordings were played says more than that it is like another one.
        return next((miss for miss in misses if miss.played), misses[0])

    def _indexed(self) -> MockIndex[Exchange]:
        return MockIndex(self._recordings, rules=self._rules, repeat=self._repeat)

    def _redacted(self, request: Request) -> Request:
        exchange = Exchange("", Direction.OUTBOUND, request, None, 0, 0)
        return self._redact.exchange(exchange).request

    def _tried(self, request: Request) -> Sequence[tuple[str, str]]:
        """Return the origins that ``request`` may be meant for."""
        talk = _talk(urlsplit(request.url).scheme)
        fitting = [origin for origin in self._origins if _talk(origin[0]) == talk]
        host = (header_value(request.headers, "host") or urlsplit(request.url).netloc).lower()
        return [origin for origin in fitting if origin[1] == host] or fitting

    def _found(self, request: Request) -> Exchange | Miss:
        scope, state = None, self._now
        states = self._states.get(self._rules.key(request).key) if self._states else None
        if states is not None:
            if request.method in _SAFE:
                # The state of the answer that is next before now; else the first one behind.
                state = states[max(bisect_right(states, state) - 1, 0)]
            else:
                # The next such write of the recording; behind the last one, that one again.
                state = states[min(bisect_left(states, state), len(states) - 1)]
            scope = str(state)
        found = self._index.find(request, scope=scope)
        if isinstance(found, Miss):
            return found
        if states is not None and request.method not in _SAFE:
            self._now = state + 1
        return found.answer


def _origin(request: Request) -> tuple[str, str]:
    parts = urlsplit(request.url)
    return parts.scheme, parts.netloc.lower()


def _talk(scheme: str) -> str:
    """Return what is spoken, with or without TLS."""
    return "ws" if scheme in {"ws", "wss"} else "http"


def _at(request: Request, origin: tuple[str, str]) -> Request:
    """Return ``request`` as if it had been sent to ``origin``."""
    scheme, host = origin
    rest = urlsplit(request.url)._replace(scheme="", netloc="").geturl()
    headers = tuple(
        (name, host if name.lower() == "host" else value) for name, value in request.headers
    )
    return replace(request, url=f"{scheme}://{host}{rest}", headers=headers)
