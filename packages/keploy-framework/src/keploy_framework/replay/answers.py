"""Outbound calls of the application, answered from the mocks of the case that is being replayed."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from keploy_framework.matching import Miss, MockIndex, Recording, RequestRules
from keploy_framework.model import Direction, Exchange

if TYPE_CHECKING:
    from keploy_framework.matching import Lifetime
    from keploy_framework.model import Request
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.replay.plan import PlannedSet

__all__ = ("CaseCalls", "SetAnswers", "running_case")

running_case: ContextVar[str | None] = ContextVar("keploy_running_case", default=None)
"""The name of the case that the running code is replayed for."""

_LIFETIMES: Final[dict[str, Lifetime]] = {"config": "session", "connection": "connection"}


class CaseCalls:
    """What a case called.

    Attributes:
        played: The names of the mocks that answered.
        unanswered: The calls that nothing answered.
    """

    __slots__ = ("played", "unanswered")

    def __init__(self) -> None:
        self.played: list[str] = []
        self.unanswered: list[Miss] = []


class SetAnswers:
    """Answers outbound calls from the mocks of a set; a `Responder`, usable from any thread.

    A mock that is consumed answers once, and only in the test case that it belongs to, or in any if
    it belongs to none. Which case a call belongs to is told by `running_case`; a call from a thread
    that does not know it is looked for in all cases that are running.

    Args:
        planned: The set.
        redact: Takes the secrets out of requests, where the recordings have none.
    """

    def __init__(self, planned: PlannedSet, redact: Redactor) -> None:
        rules = RequestRules(ignored_fields=planned.ignored_fields)
        self._index: MockIndex[Exchange] = MockIndex(
            (
                Recording(
                    mock.stored.name,
                    mock.exchange.request,
                    mock.exchange,
                    _LIFETIMES.get(mock.stored.lifetime, "test"),
                    mock.case,
                    mock.exchange.parent if mock.stored.lifetime == "connection" else None,
                )
                for mock in planned.mocks
            ),
            rules=rules,
        )
        self._names = {id(mock.exchange): mock.stored.name for mock in planned.mocks}
        self._owned: dict[str, list[str]] = {}
        for mock in planned.mocks:
            if mock.case is not None and mock.stored.lifetime == "once":
                self._owned.setdefault(mock.case, []).append(mock.stored.name)
        self._redact = redact
        self._lock = threading.Lock()
        self._running: dict[str, CaseCalls] = {}
        self.stray: list[Miss] = []
        """Unanswered calls that belong to no case, as those of the application's start."""
        self.refused: dict[str, None] = {}
        """Hosts that were reached for past all recordings, and refused."""

    def begin(self, case: str) -> CaseCalls:
        """A case begins."""
        with self._lock:
            calls = self._running[case] = CaseCalls()
        return calls

    def end(self, case: str) -> tuple[str, ...]:
        """A case is over; return the names of its mocks that nothing asked for."""
        with self._lock:
            calls = self._running.pop(case, None)
            played = set(calls.played) if calls is not None else set[str]()
        return tuple(name for name in self._owned.get(case, ()) if name not in played)

    def reached(self, host: str, port: int | None) -> None:
        """Remember that a host was reached for, and refused."""
        self.refused[host if port is None else f"{host}:{port}"] = None

    def answer(self, request: Request) -> Exchange | Miss:
        """Return the recorded exchange that answers, or why there is none."""
        case = running_case.get()
        with self._lock:
            if case is not None and case not in self._running:
                case = None  # a task that outlived its case
            scopes = [case] if case is not None else list(self._running)
            found = self._found(request, scopes)
            if isinstance(found, Miss):
                # As the recordings are: without its secrets, which are in no explanation either.
                asked = Exchange("", Direction.OUTBOUND, request, None, 0, 0)
                found = self._found(self._redact.exchange(asked).request, scopes)
            if isinstance(found, Miss):
                self._missed(found, scopes)
                return found
            name, exchange, scope = found
            if scope is not None:
                self._running[scope].played.append(name)
            return exchange

    def _found(
        self, request: Request, scopes: list[str]
    ) -> tuple[str, Exchange, str | None] | Miss:
        miss: Miss | None = None
        places: list[str | None] = [*scopes] or [None]
        for scope in places:
            found = self._index.find(request, scope=scope)
            if isinstance(found, Recording):
                return found.name, found.answer, scope
            miss = found if miss is None or found.played else miss
        assert miss is not None  # noqa: S101 - there is always one scope
        return miss

    def _missed(self, miss: Miss, scopes: list[str]) -> None:
        if len(scopes) == 1:
            self._running[scopes[0]].unanswered.append(miss)
        else:
            self.stray.append(miss)
