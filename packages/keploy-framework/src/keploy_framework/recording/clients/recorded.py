"""Recordings as answers: the index of recorded requests, asked by patched clients."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from keploy_framework.matching.mock_index import MockIndex, Recording
from keploy_framework.matching.request_key import RequestRules
from keploy_framework.model import Direction, Exchange, header_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.matching.mock_index import Miss, Repeat
    from keploy_framework.model import Request
    from keploy_framework.recording.redaction import Redactor

__all__ = ("RecordedAnswers",)

_MARK: Final = "[redacted:"


class RecordedAnswers:
    """Answers outbound calls from recorded exchanges. Usable from any thread.

    Args:
        exchanges: The recordings, in their order.
        rules: Which parts of a request count.
        repeat: What follows the last recording of the same request.
        redact: What took the secrets out of the recordings: a request is looked up without its
            own. None where the recordings hold what was on the wire.
        live: Let calls that no recording answers go to the network, instead of failing.

    Example:
        >>> from keploy_framework.model import Request, Response
        >>> exchange = Exchange("1", Direction.OUTBOUND, Request("GET", "http://h/a"), \
Response(204), 0, 0)
        >>> RecordedAnswers([exchange]).answer(Request("GET", "http://h/a")) is exchange
        True
    """

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        *,
        rules: RequestRules | None = None,
        repeat: Repeat = "once",
        redact: Redactor | None = None,
        live: bool = False,
    ) -> None:
        recordings = [
            Recording(exchange.name or exchange.id, exchange.request, exchange)
            for exchange in exchanges
        ]
        rules = rules or RequestRules()
        self._index = MockIndex(recordings, rules=rules, repeat=repeat)
        self._redact = redact
        headers = "headers" in rules.match_on
        # Where no recording had a secret, one with a secret cannot be meant: redacting each request
        # takes as long as all the rest of its replay.
        self._plain = not any(_redacted(each.request, headers=headers) for each in recordings)
        self._live = live
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Return the recorded exchange, or why there is none; None lets the call go."""
        with self._lock:
            if self._redact is None or self._plain:
                found = self._index.find(request)
                if isinstance(found, Recording) or self._redact is None:
                    return self._told(found)
            asked = Exchange("", Direction.OUTBOUND, request, None, 0, 0)
            return self._told(self._index.find(self._redact.exchange(asked).request))

    def _told(self, found: Recording[Exchange] | Miss) -> Exchange | Miss | None:
        if isinstance(found, Recording):
            return found.answer
        return None if self._live else found

    @property
    def unplayed(self) -> tuple[Exchange, ...]:
        """The recordings that have answered nothing yet, in order."""
        with self._lock:
            return tuple(recording.answer for recording in self._index.unplayed())


def _redacted(request: Request, *, headers: bool) -> bool:
    """Say whether a secret was taken out of what counts of a request, as far as can be seen."""
    if _MARK in request.url or _MARK.encode() in request.body:
        return True
    if header_value(request.headers, "content-encoding") is not None:
        return True
    return headers and any(_MARK in value for _, value in request.headers)
