"""`SharedBreaker`: a circuit breaker whose state lies on a Redis server; each call is one script.

What users see of it are `CircuitBreaker` and, for the core package, `stores.RedisBreakerStore`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from tta_agent_coordination.errors import ConfigurationError
from tta_agent_coordination.server.names import check_prefix, quoted
from tta_agent_coordination.server.scripts import Scripts, load_scripts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.server.client import RedisClient

__all__ = (
    "SCRIPTS",
    "Answer",
    "BreakerState",
    "BreakerTerms",
    "CallOutcome",
    "Leave",
    "SharedBreaker",
    "Standing",
    "check_name",
)

BreakerState: TypeAlias = Literal["closed", "open", "half_open", "isolated"]
"""`closed`: calls pass. `open`: they are rejected for a time. `half_open`: a few probes pass and
decide. (`isolated` is known to the core package's breakers; no breaker here gets there.)"""

CallOutcome: TypeAlias = Literal["success", "slow", "failure", "slow_failure", "cancelled"]
"""How a call ended; `cancelled` says nothing about what was called."""

OUTCOMES = frozenset({"success", "slow", "failure", "slow_failure", "cancelled"})
_STATES: dict[bytes, BreakerState] = {b"c": "closed", b"o": "open", b"h": "half_open"}
_LONGEST_NAME = 512

SCRIPTS = load_scripts(
    "tta_agent_coordination.resilience",
    "breaker_allow",
    "breaker_look",
    "breaker_record",
    "breaker_set",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When a breaker opens, for how long, and how it closes; durations in ms, None is without.

    Attributes:
        threshold: Failures in a row that open it.
        failure_rate: The fraction of failed calls that opens it.
        slow_rate: The fraction of slow calls that opens it.
        window_calls: Rates are taken over so many calls.
        window: Or over so long.
        minimum: Calls that the window must hold.
        open_for: How long it stays open.
        probes: The most probes at a time.
        successes: Good probes that close it.
        half_open_for: How long it stays half-open at most.
        lease: After so long, a probe's place is free again whatever became of it.
    """

    threshold: int | None
    open_for: int
    probes: int
    successes: int
    half_open_for: int
    lease: int
    failure_rate: float | None = None
    slow_rate: float | None = None
    window_calls: int | None = None
    window: int | None = None
    minimum: int | None = None

    def arguments(self) -> tuple[str, ...]:
        """Return what the scripts want."""
        values = (
            self.threshold,
            self.failure_rate,
            self.slow_rate,
            self.window_calls,
            self.window,
            self.minimum,
            self.open_for,
            self.probes,
            self.successes,
            self.half_open_for,
            self.lease,
        )
        return tuple("" if value is None else repr(value) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Leave for one call.

    Attributes:
        generation: The period in which it was given; its result counts while that lasts.
        token: Tells it from all others.
        state: The state in which it was given.
    """

    generation: int
    token: str
    state: BreakerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a call may be made.

    Attributes:
        leave: The leave, or None.
        state: The breaker's state.
        wait: Seconds until a call may pass; None where that is not known.
        failures: Failures in a row.
    """

    leave: Leave | None
    state: BreakerState
    wait: float | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a breaker stands at one moment.

    Attributes:
        state: Its state. One that is open becomes half-open with the first call after its time.
        since: When that state began, in seconds since 1970 by the server's clock; None for a
            breaker that has always been closed.
        failures: Failures in a row while it is closed.
        successes: Good probes while it is half-open.
        probes: Probes that are under way.
        opened: How often it has opened.
        retry_after: Seconds until a call may pass: 0 if one may; None where that is not known.
    """

    state: BreakerState
    since: float | None
    failures: int
    successes: int
    probes: int
    opened: int
    retry_after: float | None


class SharedBreaker:
    """One breaker on a server.

    Args:
        client: Where its state lies; never closed here.
        prefix: What all keys begin with, any text.
        name: The breaker's name, any text.
        terms: When it opens and closes.
        variant: Tells breakers of one name apart that must not share their state.
        clock: Only for tests: what the server is told as the time, in ms.
    """

    __slots__ = ("_arguments", "_key", "_scripts")

    def __init__(
        self,
        client: RedisClient,
        prefix: str,
        name: str,
        terms: BreakerTerms,
        *,
        variant: str = "shared",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._scripts = Scripts(client, clock, SCRIPTS)
        # No type of agents is quoted with a star, so these keys are nobody else's.
        self._key = f"{{{check_prefix(prefix)}:*breaker:{quoted(name)}}}:{variant}".encode()
        self._arguments = terms.arguments()

    async def allow(self) -> Answer:
        """Ask for leave."""
        token = secrets.token_urlsafe(12)
        reply = await self._scripts.run("breaker_allow", self._key, *self._arguments, token)
        generation, letter, wait, failures = cast("tuple[int, bytes, int, int]", reply)
        state = _STATES[letter]
        return Answer(
            leave=None
            if generation < 0
            else Leave(generation=generation, token=token, state=state),
            state=state,
            wait=None if wait < 0 else wait / 1000,
            failures=failures,
        )

    async def record(
        self, generation: int, token: str, outcome: CallOutcome
    ) -> tuple[BreakerState, int]:
        """Tell how a call ended; return the state, and failures in a row. A repeat counts once."""
        reply = await self._scripts.run(
            "breaker_record", self._key, *self._arguments, token, generation, outcome
        )
        letter, failures = cast("tuple[bytes, int]", reply)
        return _STATES[letter], failures

    async def become(self, state: Literal["closed", "open"]) -> None:
        """Change the state by hand; all counts begin anew."""
        request = secrets.token_urlsafe(12)
        letter = "c" if state == "closed" else "o"
        await self._scripts.run("breaker_set", self._key, *self._arguments, request, letter)

    async def look(self) -> Standing:
        """Return how it stands."""
        reply = await self._scripts.run("breaker_look", self._key, *self._arguments)
        letter, since, failures, successes, probes, opened, wait = cast(
            "tuple[bytes, bytes, int, int, int, int, int]", reply
        )
        return Standing(
            state=_STATES[letter],
            since=int(since) / 1000 or None,
            failures=failures,
            successes=successes,
            probes=probes,
            opened=opened,
            retry_after=None if wait < 0 else wait / 1000,
        )


def check_name(what: str, name: object) -> str:
    """Return a name that is part of a key.

    Raises:
        ConfigurationError: It is no text, or empty, or longer than 512 characters.
    """
    if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME:
        try:
            name.encode()
        except UnicodeEncodeError:
            pass
        else:
            return name
    raise ConfigurationError(
        f"{what} must be a text of 1 to {_LONGEST_NAME} characters, not {name!r:.60}"
    )
