"""`RegistryState`: the registry as a plain object, without a clock or a loop.

It is told the time, in ms, and what happens. The scripts on a server do the same, step by step; a
test compares the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tta_agent_coordination.registries.records import AgentChange, ChangeKind, agent_of, record_of
from tta_agent_coordination.registries.store import Changes, Position, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.registries.records import AgentRecord, Registration
    from tta_agent_coordination.registries.store import Intent, Terms

__all__ = ("RegistryState",)

OVER = 3_600_000
"""So long, in ms, a registration that is over is known."""
HISTORY = 1000
"""So many changes are kept."""


@dataclass(slots=True)
class _Agent:
    registration: Registration
    life: int
    incarnation: int
    registered: int
    deadline: int
    silent: bool = False

    @property
    def words(self) -> set[str]:
        return set(self.registration.words.split())

    @property
    def info(self) -> str:
        head = f"{self.life} {self.incarnation} {self.registered}"
        return f"{head} {self.registration.words}".rstrip()


class RegistryState:
    """Who is registered, who is alive, and what has changed.

    While agents live, something happens here all the time. If nothing has for half a time to live,
    it was not the agents that were silent but the process: whoever was alive when it began then
    has a whole time to live to say so.
    """

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._over: dict[str, int] = {}
        self._history: list[AgentChange] = []
        self._version = 0
        self._incarnations = 0
        self._last = 0
        self._before, self._after = 0, 0
        self._life, self._forget = 0, 0

    @property
    def position(self) -> Position:
        """Where the history stands."""
        return Position("", self._version)

    def apply(self, now: int, terms: Terms, intents: Sequence[Intent]) -> str:
        """Do things in their order; return a letter for each."""
        self.begin(now)
        self._heard(now, terms)
        return "".join(self._do(now, intent) for intent in intents)

    def _do(self, now: int, intent: Intent) -> str:
        registration = intent.registration
        holder = self._agents.get(registration.name)
        mine = holder is not None and holder.registration.nonce == registration.nonce
        if intent.what in {"+", "?"}:
            if mine:
                return "k"
            if self._is_over(now, registration.nonce) or (intent.what == "?" and holder):
                return "r"
            if holder is not None:
                self._over[holder.registration.nonce] = now
            self._incarnations = max(self._incarnations + 1, now)
            agent = self._agents[registration.name] = _Agent(
                registration, self._life, self._incarnations, now, now + self._life
            )
            self._change(ChangeKind.JOINED, now, agent)
            return "k"
        if intent.what == "!" and self._is_over(now, registration.nonce):
            return "n"
        self._over[registration.nonce] = now
        if holder is None or not (intent.what == "!" or mine):
            return "n"
        self._over[holder.registration.nonce] = now
        del self._agents[registration.name]
        self._change(ChangeKind.LEFT, now, holder)
        return "k"

    def beat(self, now: int, terms: Terms, registrations: Sequence[Registration]) -> str:
        """Let agents live on; return a letter for each."""
        self.begin(now)
        self._heard(now, terms)
        letters = ""
        for registration in registrations:
            agent = self._agents.get(registration.name)
            if agent is None:
                letters += "r" if self._is_over(now, registration.nonce) else "u"
            elif agent.registration.nonce != registration.nonce:
                letters += "r"
            else:
                letters += "k"
                agent.deadline = now + self._life
                if agent.silent:
                    agent.silent = False
                    self._change(ChangeKind.BACK, now, agent)
        return letters

    def agents(self, now: int, name: str | None, words: Sequence[str]) -> Snapshot:
        """Return one agent, or those that can do all of `words`, or all."""
        self.begin(now)
        found: list[AgentRecord] = [
            record_of(key, agent.info, agent.deadline, alive=not agent.silent)
            for key, agent in self._agents.items()
            if name in {None, key} and agent.words.issuperset(words)
        ]
        return Snapshot(position=self.position, records=found)

    def changes(self, now: int, since: Position) -> Changes:
        """Return what has changed since."""
        self.begin(now)
        count = self._version - since.version
        if since.epoch != "" or not 0 <= count <= len(self._history):
            return Changes(position=self.position, missing=True)
        return Changes(
            position=self.position, changes=tuple(self._history[len(self._history) - count :])
        )

    def wake(self, now: int) -> float:
        """Return when to look again at the latest: an agent may fall silent then."""
        cut = self._limit(now)
        deadlines = [agent.deadline for agent in self._agents.values() if not agent.silent]
        due = min((at for at in deadlines if at > cut), default=math.inf)
        if cut < now:
            due = max(due, self._after + self._life)
        return min(due, now + max(1, self._life // 3)) if self._life else due

    def begin(self, now: int) -> None:
        """See whether time stood still, and who has fallen silent."""
        if not self._life:
            return
        if now - self._last > self._life / 2:
            self._before, self._after = self._last, now
        self._last = max(self._last, now)
        cut = self._limit(now)
        silent = [
            (agent.deadline, name)
            for name, agent in self._agents.items()
            if not agent.silent and agent.deadline <= cut
        ]
        for _, name in sorted(silent):
            agent = self._agents[name]
            agent.silent = True
            self._change(ChangeKind.LOST, now, agent)
        for name, agent in list(self._agents.items()):
            if agent.silent and agent.deadline <= self._limit(now, self._forget):
                del self._agents[name]

    def _limit(self, now: int, later: int = 0) -> int:
        """Up to this time, whoever was to fall silent, or to be forgotten later, has done so."""
        stalled = now < self._after + self._life + later
        return (min(now, self._before) if stalled else now) - later

    def _heard(self, now: int, terms: Terms) -> None:
        self._life, self._forget = terms.life, terms.forget
        self._last = max(self._last, now)

    def _is_over(self, now: int, nonce: str) -> bool:
        for old in [key for key, at in self._over.items() if at <= now - OVER]:
            del self._over[old]
        return nonce in self._over

    def _change(self, kind: ChangeKind, now: int, agent: _Agent) -> None:
        name = agent.registration.name
        told = kind in {ChangeKind.JOINED, ChangeKind.BACK}
        record = record_of(name, agent.info, agent.deadline, alive=True)
        self._version += 1
        self._history.append(
            AgentChange(
                kind=kind,
                agent_id=agent_of(name),
                incarnation=agent.incarnation,
                at=now / 1000,
                capabilities=record.capabilities if told else None,
            )
        )
        del self._history[:-HISTORY]
