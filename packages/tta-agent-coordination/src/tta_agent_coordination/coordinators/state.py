"""A mailbox as plain state: every step is a function of the time and of what is asked.

This is what the scripts in `lua/` do on a server, in Python and without waiting. The in-memory
coordinator runs on it, and tests compare the scripts with it. Times are milliseconds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.entries import Entry
from tta_agent_coordination.coordinators.ready import ReadyMessages
from tta_agent_coordination.coordinators.store import Held, Nacked, Undelivered
from tta_agent_coordination.messaging import FailureType, MailboxStats
from tta_agent_coordination.models import MessagePriority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.coordinators.entries import Parcel
    from tta_agent_coordination.coordinators.store import Backoff, Terms

__all__ = ("MailboxState", "Taking")

REMEMBER = 60_000
"""For so long it is known how a delivery ended (ms), or after its lease would have."""


@dataclass(slots=True, kw_only=True)
class Taking:
    """What one step of receiving did; added up over the mailboxes that were looked into."""

    entries: list[tuple[str, Entry]] = field(default_factory=list[tuple[str, Entry]])
    expired: int = 0
    died: int = 0
    lost: int = 0


class MailboxState:
    """What one mailbox holds."""

    __slots__ = (
        "_dead",
        "_expired",
        "_leased",
        "_paused",
        "_ready",
        "_seen",
        "_settled",
        "_timers",
        "_waiting",
    )

    def __init__(self) -> None:
        self._ready = ReadyMessages()
        self._waiting: dict[str, tuple[Entry, int]] = {}
        self._leased: dict[str, tuple[Entry, int]] = {}
        # (when, kind and name); those that no longer hold are passed over when they come up.
        self._timers: list[tuple[int, str]] = []
        self._seen: dict[str, int] = {}
        self._settled: dict[str, int] = {}
        self._dead: dict[str, tuple[Entry, int]] = {}
        self._expired = 0
        self._paused = False

    # Sending.

    def send(self, now: int, parcels: Sequence[Parcel], terms: Terms) -> str:
        """Put messages in; return a letter for each, as `MailboxStore.send` says."""
        self._forget(self._seen, now)
        later = terms.at is not None and terms.at > now
        held = len(self._waiting) if later else self._ready.count + self._ready.behind
        letters = ""
        for parcel in parcels:
            name = parcel.message_id
            if name in self._seen or (later and name in self._waiting):
                letters += "d"
                continue
            if terms.most and held >= terms.most:
                letters += "f"
                continue
            held += 1
            if terms.window:
                self._seen[name] = now + terms.window
            entry = Entry(
                message_id=name,
                level=parcel.level,
                enqueued=now,
                body=parcel.body,
                expires=0 if terms.ttl is None else now + terms.ttl,
                key=parcel.key,
            )
            if later and terms.at is not None:
                self._wait_until(terms.at, entry)
                letters += "w"
            else:
                self._ready.enter(entry)
                letters += "q"
        return letters

    # Receiving.

    def due(self, now: int, most: int, into: Taking) -> None:
        """Move what is due, at most 32: leases that ran out, and messages whose time has come."""
        back: list[Entry] = []
        moved = 0
        while self._timers and self._timers[0][0] <= now and moved < 32:  # noqa: PLR2004 - see due.lua
            at, member = heapq.heappop(self._timers)
            kind, name = member[0], member[1:]
            table = self._leased if kind == "L" else self._waiting
            entry, until = table.get(name, (None, -1))
            if entry is None or until != at:
                continue
            moved += 1
            del table[name]
            if kind == "L":
                into.lost += 1
                if entry.attempts >= most:
                    self._bury(now, entry, FailureType.TIMEOUT, "the lease ran out")
                    self._ready.release(entry)
                    into.died += 1
                    continue
                back.append(entry)
            elif entry.attempts == 0:
                self._ready.enter(entry)
            else:
                back.append(entry)
        for entry in reversed(back):
            self._ready.put_back(entry)

    def take(
        self, now: int, prefix: str, first: int, want: int, lease: int, most: int, into: Taking
    ) -> None:
        """Reserve up to `want` messages, as deliveries `prefix` + number from `first`."""
        if self._paused:
            return
        self.due(now, most, into)
        taken = 0
        while batch := list(islice(iter(self._ready.pick, None), want - taken)):
            expired = [entry for entry in batch if entry.expires and entry.expires <= now]
            for entry in batch:
                if entry.expires and entry.expires <= now:
                    continue
                entry.attempts += 1
                name = f"{prefix}{first + taken:03d}"
                self._lease(name, entry, now + lease)
                into.entries.append((name, replace(entry)))
                taken += 1
            self._expired += len(expired)
            into.expired += len(expired)
            for entry in expired:
                self._ready.release(entry)

    def next_timer(self) -> int | None:
        """Return when something is due next; None if nothing is, or nobody may receive it."""
        return self._timers[0][0] if self._timers and not self._paused else None

    @property
    def has_ready(self) -> bool:
        """Whether a message could be received now."""
        return not self._paused and self._ready.count > 0

    # Settling.

    def ack(self, now: int, name: str) -> bool:
        """Acknowledge a delivery."""
        self._forget(self._settled, now)
        held = self._leased.pop(name, None)
        if held is None:
            return self._settled.get(f"A{name}", 0) > now
        self._settled[f"A{name}"] = max(held[1], now) + REMEMBER
        self._ready.release(held[0])
        return True

    def nack(
        self,
        now: int,
        name: str,
        failure: FailureType,
        error: str | None,
        most: int,
        backoff: Backoff,
    ) -> Nacked:
        """Mark a delivery as failed."""
        self._forget(self._settled, now)
        held = self._leased.pop(name, None)
        if held is None:
            return Nacked.RETRIED if f"N{name}" in self._settled else Nacked.STALE
        self._settled[f"N{name}"] = now + REMEMBER
        entry = held[0]
        if failure is FailureType.PERMANENT or entry.attempts >= most:
            self._bury(now, entry, failure, error)
            self._ready.release(entry)
            return Nacked.DIED
        entry.failure = failure
        entry.error = entry.error if error is None else error
        delay = backoff.after(entry.attempts)
        if delay > 0:
            self._wait_until(now + delay, entry)
        else:
            self._ready.put_back(entry)
        return Nacked.RETRIED

    def extend(self, now: int, name: str, duration: int) -> Held:
        """Let a delivery end so many ms from now."""
        self._forget(self._settled, now)
        held = self._leased.get(name)
        if held is None:
            return Held.WITHDRAWN if f"W{name}" in self._settled else Held.LOST
        self._lease(name, held[0], now + duration)
        return Held.HELD

    def give_back(self, now: int, names: Sequence[str]) -> int:
        """Undo deliveries; return how many are undone, now or shortly before."""
        self._forget(self._settled, now)
        given = 0
        for name in reversed(names):
            held = self._leased.pop(name, None)
            if held is None:
                given += f"B{name}" in self._settled
                continue
            self._settled[f"B{name}"] = now + REMEMBER
            entry = held[0]
            entry.attempts -= 1
            self._ready.put_back(entry)
            given += 1
        return given

    # Looking after it.

    def cancel(self, message_id: str) -> bool:
        """Remove a message that is ready or waits for its time."""
        waited = self._waiting.pop(message_id, None)
        if waited is not None:
            if waited[0].attempts:
                self._ready.release(waited[0])
            return True
        return self._ready.remove(message_id)

    def withdraw(self, now: int, message_id: str) -> bool:
        """Remove a message, also from who works on it; its id can be sent again."""
        self._forget(self._settled, now)
        for name, (entry, _) in self._leased.items():
            if entry.message_id == message_id:
                del self._leased[name]
                self._settled[f"W{name}"] = now + REMEMBER
                self._ready.release(entry)
                break
        else:
            if not self.cancel(message_id):
                return False
        self._seen.pop(message_id, None)
        return True

    def reschedule(self, message_id: str, at: int) -> bool:
        """Move a message that waits for its time."""
        held = self._waiting.get(message_id)
        if held is None:
            return False
        self._waiting[message_id] = (held[0], at)
        heapq.heappush(self._timers, (at, f"D{message_id}"))
        return True

    def pause(self, *, paused: bool) -> None:
        """Stop or start receiving."""
        self._paused = paused

    def purge(self) -> int:
        """Remove what is ready or waits for its time."""
        count = self._ready.count + self._ready.behind + len(self._waiting)
        leased = (entry.key for entry, _ in self._leased.values())
        self._ready.clear(key for key in leased if key is not None)
        self._waiting.clear()
        return count

    def stats(self, now: int, receivers: int) -> MailboxStats:
        """Count."""
        oldest = self._ready.oldest
        return MailboxStats(
            ready={level: self._ready.at(level.value) for level in MessagePriority},
            scheduled=len(self._waiting),
            leased=len(self._leased),
            dead=len(self._dead),
            expired=self._expired,
            held=self._ready.behind,
            receivers=receivers,
            paused=self._paused,
            oldest_age=None if oldest is None else (now - oldest) / 1000,
        )

    # Dead letters.

    def dead(self) -> list[Undelivered]:
        """Return the dead letters, oldest first."""
        letters = [Undelivered(name, died, entry) for name, (entry, died) in self._dead.items()]
        return sorted(letters, key=lambda letter: (letter.died, letter.dead_letter_id))

    def dead_one(self, name: str) -> Undelivered | None:
        """Return one dead letter."""
        held = self._dead.get(name)
        return None if held is None else Undelivered(name, held[1], held[0])

    def move_dead(self, names: Sequence[str], *, redrive: bool) -> int:
        """Put dead letters back as new, or delete them."""
        moved = 0
        for name in names:
            held = self._dead.pop(name, None)
            if held is None:
                continue
            moved += 1
            if redrive:
                entry = replace(held[0], attempts=0, expires=0, failure=None, error=None)
                self._ready.enter(entry)
        return moved

    # Parts.

    def _lease(self, name: str, entry: Entry, until: int) -> None:
        self._leased[name] = (entry, until)
        heapq.heappush(self._timers, (until, f"L{name}"))
        self._sweep()

    def _wait_until(self, at: int, entry: Entry) -> None:
        name, number = entry.message_id, 1
        while name in self._waiting:
            number += 1
            name = f"{entry.message_id}~{number}"
        self._waiting[name] = (entry, at)
        heapq.heappush(self._timers, (at, f"D{name}"))

    def _sweep(self) -> None:
        # Timers of what was settled early stay until their time; they must not outgrow what is
        # alive.
        if len(self._timers) > 1000 + 4 * (len(self._leased) + len(self._waiting)):
            self._timers = [
                *((until, f"L{name}") for name, (_, until) in self._leased.items()),
                *((at, f"D{name}") for name, (_, at) in self._waiting.items()),
            ]
            heapq.heapify(self._timers)

    def _bury(self, now: int, entry: Entry, failure: FailureType, error: str | None) -> None:
        entry.failure = failure
        entry.error = entry.error if error is None else error
        name, number = entry.message_id, 1
        while name in self._dead:
            number += 1
            name = f"{entry.message_id}~{number}"
        self._dead[name] = (entry, now)

    @staticmethod
    def _forget(table: dict[str, int], now: int) -> None:
        # Nearly all are kept equally long, so the oldest come first.
        while table:
            name, until = next(iter(table.items()))
            if until > now:
                return
            del table[name]
