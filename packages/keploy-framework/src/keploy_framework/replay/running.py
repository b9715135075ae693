"""`replay`: recorded cases against an application, and what came of each."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from keploy_framework.errors import OptionError
from keploy_framework.recording.asgi import RecordingMiddleware as ASGIRecording
from keploy_framework.recording.network import AllowedHosts
from keploy_framework.recording.wsgi import RecordingMiddleware as WSGIRecording
from keploy_framework.replay.asgi_target import ASGITarget
from keploy_framework.replay.command import Command, CommandTarget
from keploy_framework.replay.frozen import require_freezing
from keploy_framework.replay.keploy_rules import Rules
from keploy_framework.replay.known_secrets import known_secrets
from keploy_framework.replay.plan import planned
from keploy_framework.replay.player import Player, refused
from keploy_framework.replay.target import is_asgi
from keploy_framework.replay.url_target import URLTarget
from keploy_framework.replay.wsgi_target import WSGITarget
from keploy_framework.results import TestResults

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from keploy_framework.recording.asgi import ASGIApp
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.replay.plan import PlannedSet
    from keploy_framework.replay.target import Target
    from keploy_framework.results import CaseOutcome

    AnyTarget: TypeAlias = "ASGIApp | WSGIApplication | str | Command"
    Reset: TypeAlias = "Callable[[], Awaitable[object] | object] | Literal['restart']"
    Read: TypeAlias = "Callable[[Path | str, Sequence[str], Rules], list[PlannedSet]]"

__all__ = ("Outbound", "Replaying", "replay", "replaying")

Outbound: TypeAlias = Literal["recorded", "live"]
"""Where outbound calls go: to the recording, or to the network."""


async def replay(
    target: AnyTarget,
    folder: Path | str,
    *,
    test_sets: Sequence[str] = (),
    workers: int = 1,
    freeze: bool = False,
    reset: Reset | None = None,
    speed: float = 0,
    outbound: Outbound = "recorded",
    timeout: float = 30.0,  # noqa: ASYNC109 - of each case, not of this call
    pieces: bool = False,
    secrets: Mapping[str, str] | None = None,
    redact: Redactor | None = None,
    cases: Sequence[str] = (),
    rules: Rules = "strict",
    allow_hosts: Sequence[str] = (),
) -> TestResults:
    """Ask an application again what was recorded, and compare its answers with the recorded ones.

    Cases are replayed in the order of the recording, set after set. Ids and tokens that an answer
    introduced and a later request used are replaced by those of the replay. What noise rules excuse
    does not count: those of the case, of its set and of all sets, from the case's file and from the
    `keploy.yml` beside the folder.

    Args:
        target: An ASGI or WSGI application; the URL of one that runs; or a `Command` that starts
            one and is stopped at the end.
        folder: The `keploy` folder.
        test_sets: The names of the sets to replay; none for all.
        workers: How many cases are under way at a time. Cases that need the answer of an earlier
            one wait for it; others must not depend on each other. Where only one case at a time can
            be told apart (`freeze`, or a `Command` with recorded outbound calls), it is one.
        freeze: Let the time of the application stand still at that of each recording; needs
            time-machine, and is not possible for a URL.
        reset: Puts the application back to where the recording began, before each set: a callable
            (awaited if it returns an awaitable), or "restart" for a `Command` or an ASGI
            application.
        speed: How fast recorded streams are played to the application, and the clients of
            WebSockets: 1 as recorded, 2 twice as fast, 0 without pauses.
        outbound: "recorded" answers the application's calls from the mocks of the case; "live" lets
            them go. For a URL they always go.
        timeout: How long (s) one case may take.
        pieces: Whether streams have to come in the recorded pieces; their content always counts.
        secrets: Values for placeholders in requests that no answer hands out, such as a password
            (`{"[redacted:password:1]": "..."}`). The environment may have them as well: this one
            as `KEPLOY_SECRET_PASSWORD_1`.
        redact: Takes secrets out of what is reported; None takes the redaction of this package.
        cases: The names of the cases to replay, or `set/name`; none for all.
        rules: "strict" compares by our own rules; "keploy" forgives what Keploy forgives, with the
            switches of `keploy.yml` (`ignoreOrdering`, `compareAll`, …). Where a case asserts
            something in so many words (`status_code_in`, `json_contains`, …), that decides.
        allow_hosts: Hosts that the application calls for real where its calls are answered from the
            recording. This machine is always among them, for databases and the like; what else it
            reaches for through Python's sockets is refused, and told.

    Returns:
        The outcome of each case. Without any case, a result that is no success.

    Raises:
        OptionError: An option has a value that it cannot have, or a set or case is not there.
        FormatError: A file of the recording is damaged.
        AppStartError: The application does not start, or nothing answers at the URL.

    Example:
        ```text
        results = await replay(app, "keploy")
        assert results.is_success, results
        ```
    """
    async with replaying(
        target,
        folder,
        test_sets=test_sets,
        workers=workers,
        freeze=freeze,
        reset=reset,
        speed=speed,
        outbound=outbound,
        timeout=timeout,
        pieces=pieces,
        secrets=secrets,
        redact=redact,
        cases=cases,
        rules=rules,
        allow_hosts=allow_hosts,
    ) as running:
        await running.once()
    return running.results()


class Replaying:
    """An application that is ready to be replayed against, and what came of it so far."""

    def __init__(
        self,
        target: Target,
        folder: Path | str,
        test_sets: Sequence[str],
        cases: Sequence[str],
        player: Player,
        reset: Reset | None,
        workers_told: str,
        rules: Rules,
        read: Read,
    ) -> None:
        self._target = target
        self._folder = folder
        self._test_sets = test_sets
        self._cases = cases
        self._player = player
        self._reset = reset
        self._rules: Rules = rules
        self._read = read
        self._outcomes: list[CaseOutcome] = []
        self._notices = [workers_told] if workers_told else []
        self._fresh = False
        self._sets: list[PlannedSet] = []
        self._started = time.time_ns()
        self._ended = self._started

    async def start(self) -> None:
        """Read the cases, and start the application if there are any.

        Raises:
            AppStartError: It does not start.
        """
        read = asyncio.to_thread(self._read, self._folder, self._test_sets, self._rules)
        self._sets = [*await read]
        if self._cases:
            self._choose()
        if any(each.cases for each in self._sets):
            await self._target.start()
            self._fresh = True

    async def once(self) -> list[CaseOutcome]:
        """Replay all sets once; return the outcomes of this pass."""
        self._outcomes = []
        for each in self._sets:
            if not each.cases:
                continue
            await self._put_back()
            self._fresh = False
            self._outcomes += await self._player.play(each)
        self._ended = time.time_ns()
        return self._outcomes

    def results(self) -> TestResults:
        """Return what came of the last pass."""
        log = self._target.log if isinstance(self._target, CommandTarget) else ""
        notices = [*self._notices, *self._player.notices]
        if isinstance(self._target, CommandTarget) and self._outcomes and not self._target.hooked:
            notices.append(
                "the command did not load our start-up hook (it is no Python, or runs isolated): "
                "its outbound calls went to the network"
            )
        if isinstance(self._target, CommandTarget):
            notices += map(refused, self._target.control.blocked)
            notices += self._target.control.trouble
        if not self._outcomes:
            notices.append(f"nothing was replayed: there are no test cases in {self._folder}")
        return TestResults.of(
            self._outcomes,
            notices=notices,
            app_log=log,
            started_at=self._started,
            ended_at=self._ended,
        )

    async def _put_back(self) -> None:
        """Put the application back to where the recording began."""
        reset = self._reset
        if reset is None:
            return
        if callable(reset):
            made = reset()
            if inspect.isawaitable(made):
                await made
        elif not self._fresh:
            if isinstance(self._target, CommandTarget):
                await self._target.restart()
            else:
                await self._target.aclose()
                await self._target.start()

    def _choose(self) -> None:
        """Leave only the chosen cases."""
        known: set[str] = set()
        for place, each in enumerate(self._sets):
            prefix = f"{each.name}/"
            chosen = each.chosen(name.removeprefix(prefix) for name in self._cases)
            there = {case.name for case in chosen.cases}
            known |= {name for name in self._cases if name.removeprefix(prefix) in there}
            self._sets[place] = chosen
        unknown = [name for name in self._cases if name not in known]
        if unknown:
            raise OptionError(f"{self._folder} has no test case {unknown[0]!r:.80}")


@asynccontextmanager
async def replaying(
    target: AnyTarget,
    folder: Path | str,
    *,
    test_sets: Sequence[str] = (),
    workers: int = 1,
    freeze: bool = False,
    reset: Reset | None = None,
    speed: float = 0,
    outbound: Outbound = "recorded",
    timeout: float = 30.0,  # noqa: ASYNC109 - as above
    pieces: bool = False,
    secrets: Mapping[str, str] | None = None,
    redact: Redactor | None = None,
    cases: Sequence[str] = (),
    rules: Rules = "strict",
    allow_hosts: Sequence[str] = (),
    read: Read = planned,
) -> AsyncGenerator[Replaying]:
    """Make an application ready to be replayed against, once or more. See `replay`.

    ``read`` reads the recording: `Plans`, where the same one is replayed many times.
    """
    _check(workers, speed, timeout, outbound, rules)
    if isinstance(cases, str):
        raise OptionError(f"cases must be a list of names, not the text {cases!r:.60}")
    if freeze:
        require_freezing()
    AllowedHosts(allow_hosts)
    made = _target(
        target, timeout=timeout, freeze=freeze, outbound=outbound, allow_hosts=allow_hosts
    )
    _check_reset(reset, made)
    told = ""
    if workers > 1 and (freeze or (isinstance(made, CommandTarget) and outbound == "recorded")):
        why = (
            "frozen time is that of a whole process"
            if freeze
            else ("outbound calls of a command are told apart only so")
        )
        told = f"cases were replayed one after the other: {why}"
        workers = 1
    player = Player(
        made,
        redact=redact,
        workers=workers,
        timeout=timeout,
        speed=speed,
        freeze=freeze and not isinstance(made, CommandTarget),
        outbound=outbound,
        allow_hosts=allow_hosts,
        pieces=pieces,
        secrets=known_secrets(secrets),
        tell_responder=made.answer_with if isinstance(made, CommandTarget) else None,
    )
    running = Replaying(made, folder, test_sets, cases, player, reset, told, rules, read)
    try:
        await running.start()
        yield running
    finally:
        await made.aclose()


def _target(
    target: AnyTarget,
    *,
    timeout: float,
    freeze: bool,
    outbound: Outbound,
    allow_hosts: Sequence[str],
) -> Target:
    if isinstance(target, Command):
        return CommandTarget(
            target,
            turn_calls=outbound == "recorded",
            freeze=freeze,
            connect_timeout=timeout,
            allow_hosts=allow_hosts,
        )
    if isinstance(target, str):
        if freeze:
            raise OptionError(
                "freeze=True is not possible for a URL: the time of another process cannot be set; "
                "give the application itself, or a Command"
            )
        return URLTarget(target, connect_timeout=timeout)
    # What is replayed is not recorded again.
    while isinstance(target, (ASGIRecording, WSGIRecording)):
        target = target.app
    if is_asgi(target):
        return ASGITarget(cast("ASGIApp", target), start_timeout=timeout)
    return WSGITarget(cast("WSGIApplication", target))


def _check_reset(reset: object, target: Target) -> None:
    if reset is None or callable(reset):
        return
    if reset != "restart":
        raise OptionError(f'reset must be a callable or "restart", not {reset!r:.60}')
    if not isinstance(target, (CommandTarget, ASGITarget)):
        raise OptionError(
            'reset="restart" is possible for a Command or an ASGI application; give a callable'
        )


def _check(
    workers: object, speed: object, timeout: object, outbound: object, rules: object
) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise OptionError(f"workers must be a whole number, 1 or more, not {workers!r:.60}")
    if not _number(speed) or not 0 <= cast("float", speed) < math.inf:
        raise OptionError(f"speed must be a number, 0 or more, not {speed!r:.60}")
    if not _number(timeout) or not 0 < cast("float", timeout) < math.inf:
        raise OptionError(f"timeout must be seconds, more than 0, not {timeout!r:.60}")
    if outbound not in get_args(Outbound):
        raise OptionError(f'outbound must be "recorded" or "live", not {outbound!r:.60}')
    if rules not in get_args(Rules):
        raise OptionError(f'rules must be "strict" or "keploy", not {rules!r:.60}')


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
