"""Plays the cases of a set against a target, some at a time, and judges what comes."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from keploy_framework.matching import SameSecrets
from keploy_framework.model import Direction, Exchange, Failure, Request
from keploy_framework.recording.clients import install
from keploy_framework.recording.network import blocked_network, this_machine
from keploy_framework.redact import Redaction
from keploy_framework.replay.answers import SetAnswers, running_case
from keploy_framework.replay.chain import Chain
from keploy_framework.replay.frozen import frozen_at
from keploy_framework.replay.judge import judged
from keploy_framework.replay.known_secrets import variable_of
from keploy_framework.replay.within import CancelledItselfError, TookTooLongError, within
from keploy_framework.results import CaseOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from keploy_framework.recording.clients.seam import Responder
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.replay.plan import PlannedCase, PlannedSet
    from keploy_framework.replay.target import Answered, Target

__all__ = ("Player", "refused")

_MOST = 5
_BLANK = Request("GET", "http://localhost/")


class Player:
    """Replays one set after the other.

    Args:
        target: What is replayed against.
        redact: Takes the secrets out of what is shown, and of calls that are looked up; None takes
            a new redaction for each pass, since what one has seen decides what it finds.
        workers: How many cases are under way at a time.
        timeout: How long (s) one may take.
        speed: How fast recorded streams are played to the application, and WebSockets' clients.
        freeze: Whether the time of this process stands still.
        outbound: Whether outbound calls of an application in this process are answered.
        allow_hosts: Hosts that such an application calls for real, besides this machine.
        pieces: Whether the pieces of answers are compared.
        secrets: Values for placeholders in requests.
        tell_responder: Is given what answers the calls of an application elsewhere.
    """

    def __init__(
        self,
        target: Target,
        *,
        redact: Redactor | None = None,
        workers: int = 1,
        timeout: float = 30.0,
        speed: float = 0.0,
        freeze: bool = False,
        outbound: Literal["recorded", "live"] = "recorded",
        allow_hosts: Sequence[str] = (),
        pieces: bool = False,
        secrets: Mapping[str, str] | None = None,
        tell_responder: Callable[[Responder], None] | None = None,
    ) -> None:
        self._target = target
        self._redact = redact
        self._workers = workers
        self._timeout = timeout
        self._speed = speed
        self._freeze = freeze
        self._recorded = outbound == "recorded"
        self._allow_hosts = allow_hosts
        self._pieces = pieces
        self._secrets = secrets
        self._tell = tell_responder
        self.notices: list[str] = []

    async def play(self, planned: PlannedSet) -> list[CaseOutcome]:
        """Replay a set; return the outcomes in the order of its cases."""
        run = _Run(self, planned)
        with ExitStack() as stack:
            if self._recorded and self._target.in_process:
                allowed = self._allow_hosts
                stack.enter_context(
                    install(responder=run.answers, speed=self._speed, allow_hosts=allowed)
                )
                hosts = (*this_machine(), *allowed)
                stack.enter_context(
                    blocked_network(hosts, nearest=run.answers.reached, context=True)
                )
            elif self._recorded and self._tell is not None:
                self._tell(run.answers)
            await run.all(self._workers)
        self.notices += run.notices()
        return [outcome for outcome in run.outcomes if outcome is not None]

    async def answered(self, case: PlannedCase, run: _Run) -> Answered:
        """Send the request of a case and return what came."""
        exchange = case.exchange
        assert exchange is not None  # noqa: S101 - cases without one are not sent
        request = run.chain.request(case.links, exchange.request)
        playing = self._target.play(request, exchange, self._speed)
        if self._freeze:
            with frozen_at(exchange.started_at):
                return await within(self._timeout, playing)
        return await within(self._timeout, playing)

    async def outcome(self, case: PlannedCase, run: _Run) -> CaseOutcome:
        """Replay a case and judge it."""
        exchange = case.exchange
        reason = _unplayable(case)
        if exchange is None or reason:
            return _ended(case, run, status="IGNORED", reason=reason)
        calls = run.answers.begin(case.name)
        token = running_case.set(case.name)
        started = time.time_ns()
        trouble = ""
        actual: Exchange | None = None
        try:
            actual, trouble = await self.answered(case, run)
        except TookTooLongError:
            trouble = f"there was no whole answer within {self._timeout:g} s"
        except CancelledItselfError:
            trouble = "the application cancelled the task of its own request"
        finally:
            running_case.reset(token)
            unplayed = run.answers.end(case.name)
        trouble = _safe(trouble, run.redact)
        if actual is None:
            ended = _ended(case, run, status="FAILED", reason=trouble, crashed=True)
            return replace(
                ended,
                started_at=started,
                played=tuple(calls.played),
                unplayed=unplayed,
                unanswered=tuple(calls.unanswered),
            )
        run.chain.take(case.number, case.links, exchange, actual)
        verdict = judged(
            case,
            exchange,
            actual,
            secrets=run.secrets,
            redact=run.redact,
            follows=run.chain.follows(case.links),
            pieces=self._pieces,
        )
        failed = bool(verdict.differences)
        return CaseOutcome(
            test_set=run.name,
            name=case.name,
            status="FAILED" if failed else "PASSED",
            kind=case.stored.kind,
            reason=_reason(trouble, len(verdict.differences)) if failed else "",
            differences=verdict.differences,
            excused=verdict.excused,
            noise=case.stored.noise,
            expected=exchange,
            actual=verdict.actual,
            played=tuple(calls.played),
            unplayed=unplayed if self.turns_calls else (),
            unanswered=tuple(calls.unanswered),
            crashed=failed and actual.failure is not None,
            started_at=started,
            ended_at=time.time_ns(),
            path=case.stored.path,
        )

    @property
    def secrets(self) -> Mapping[str, str] | None:
        """Values for placeholders in requests."""
        return self._secrets

    def redaction(self) -> Redactor:
        """Return what takes secrets out in one pass."""
        return self._redact or Redaction.default()

    @property
    def recorded(self) -> bool:
        """Whether outbound calls are to be answered from the recording."""
        return self._recorded

    @property
    def turns_calls(self) -> bool:
        """Whether outbound calls are answered."""
        return self._recorded and (self._target.in_process or self._tell is not None)


class _Run:
    """One pass over one set."""

    def __init__(self, player: Player, planned: PlannedSet) -> None:
        self._player = player
        self._planned = planned
        self.name: str = planned.name
        self.redact: Redactor = player.redaction()
        self.answers: SetAnswers = SetAnswers(planned, self.redact)
        self.chain: Chain = Chain(player.secrets)
        self.secrets: SameSecrets = SameSecrets()
        # Where only some cases were chosen, their numbers stay.
        size = max((case.number for case in planned.cases), default=-1) + 1
        self.outcomes: list[CaseOutcome | None] = [None] * size
        self._waiting: list[asyncio.Event | None] = [None] * size
        self._unknown: set[str] = set()

    async def all(self, workers: int) -> None:
        """Replay all cases."""
        cases = iter(self._planned.cases)
        if workers == 1:
            await self._work(cases)
            return
        # A case may wait only for those before it, which others have begun already.
        for case in self._planned.cases:
            for needed in case.links.needs:
                if self._waiting[needed] is None:
                    self._waiting[needed] = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(self._planned.cases))):
                group.create_task(self._work(cases))

    async def _work(self, cases: Iterator[PlannedCase]) -> None:
        for case in cases:
            if case.links.uses:
                for needed in sorted(case.links.needs):
                    event = self._waiting[needed]
                    if event is not None:
                        await event.wait()
                self._unknown.update(self.chain.missing(case.links))
            try:
                self.outcomes[case.number] = await self._player.outcome(case, self)
            finally:
                event = self._waiting[case.number]
                if event is not None:
                    event.set()

    def notices(self) -> list[str]:
        """Return what a reader should know."""
        found = [f"{self.name}: {notice}" for notice in self._planned.notices]
        if self._unknown:
            unknown = sorted(self._unknown)[:_MOST]
            variables = ", ".join(map(variable_of, unknown))
            found.append(
                f"{self.name}: the requests hold secrets that were not stored "
                f"({', '.join(unknown)}); if the application looks at them, give their values with "
                f"secrets={{...}}, or in the environment: {variables}"
            )
        played = {None, *(case.name for case in self._planned.cases)}
        for (kind, case), names in self._planned.foreign.items():
            if case in played:
                of = f"/{case}" if case is not None else ""
                found.append(
                    f"{self.name}{of}: its {kind} mocks are carried through, not played "
                    f"({_listed(names)}): the application needs what they stand for"
                )
        if self._planned.mocks and self._player.recorded and not self._player.turns_calls:
            found.append(
                f"{self.name}: outbound calls of an application behind a URL cannot be answered "
                "from the recording; give the application itself, or a Command"
            )
        found += map(refused, self.answers.refused)
        found += [
            f"{self.name}: an outbound call of no case: {miss}" for miss in self.answers.stray
        ]
        return found


def _listed(names: tuple[str, ...]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def refused(place: str) -> str:
    """Return what to say of a host that was refused."""
    host = place.rpartition(":")[0] or place
    return (
        f"the application reached for {place}, which no recording answers and the network is "
        f"blocked for; to let it through: allow_hosts=[{host!r}], or --allow-host {host}"
    )


def _unplayable(case: PlannedCase) -> str:
    exchange = case.exchange
    if exchange is None:
        return f"a case of the kind {case.stored.kind} is carried through, not replayed"
    if exchange.request.omitted is not None:
        reason = exchange.request.omitted.reason
        return f"the body of its request was not stored ({reason})"
    return ""


def _safe(trouble: str, redact: Redactor) -> str:
    """Return the words of an application without the secrets in them."""
    if not trouble:
        return ""
    failure = Failure("", trouble)
    told = Exchange("", Direction.INBOUND, _BLANK, None, 0, 0, failure)
    safe = redact.exchange(told).failure
    return safe.text if safe is not None else ""


def _ended(
    case: PlannedCase,
    run: _Run,
    *,
    status: Literal["FAILED", "IGNORED"],
    reason: str,
    crashed: bool = False,
) -> CaseOutcome:
    now = time.time_ns()
    return CaseOutcome(
        test_set=run.name,
        name=case.name,
        status=status,
        kind=case.stored.kind,
        reason=reason,
        noise=case.stored.noise,
        expected=case.exchange,
        crashed=crashed,
        started_at=now,
        ended_at=now,
        path=case.stored.path,
    )


def _reason(trouble: str, count: int) -> str:
    return trouble or ("1 difference" if count == 1 else f"{count} differences")
