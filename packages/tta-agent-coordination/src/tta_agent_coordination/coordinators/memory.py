"""The coordinator for one process: the same contract, without a server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict, deque
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.names import Delivery, is_passing
from tta_agent_coordination.coordinators.state import MailboxState, Taking
from tta_agent_coordination.coordinators.store import Claim, Taken
from tta_agent_coordination.server.names import quoted, unquoted

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tta_agent_coordination.coordinators.entries import Entry, Parcel
    from tta_agent_coordination.coordinators.names import Fence, Mailbox, Roster
    from tta_agent_coordination.coordinators.store import (
        Backoff,
        Held,
        Nacked,
        Order,
        Terms,
        Undelivered,
    )
    from tta_agent_coordination.messaging import FailureType, MailboxStats
    from tta_agent_coordination.metrics import MetricsProtocol

__all__ = ("InMemoryMailboxStore", "InMemoryMessageCoordinator")

PASSING = 3_600_000
"""So long an answer is kept if its requester has gone (ms)."""


class InMemoryMailboxStore:
    """Mailboxes in this process, for the agents of one event loop.

    Args:
        clock: Returns the time in ms.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._states: defaultdict[Mailbox, MailboxState] = defaultdict(MailboxState)
        self._parked: defaultdict[Mailbox, deque[asyncio.Future[None]]] = defaultdict(deque)
        # When something is due next, as the waiting receivers know it.
        self._expected: dict[Mailbox, int | None] = {}
        # Mailboxes for answers that were written to, until when they are kept.
        self._passing: dict[Mailbox, int] = {}
        self._rosters: defaultdict[Roster, dict[str, int]] = defaultdict(dict)
        self._fences: dict[Fence, _Effect] = {}
        self._sweep_at = 1000
        self._requests = itertools.count(1)

    async def send(self, parcels: Sequence[tuple[Mailbox, Parcel]], terms: Terms) -> str:
        """Put messages into mailboxes; return a letter for each."""
        letters = ""
        for mailbox, group in groupby(parcels, key=lambda pair: pair[0]):
            together = [parcel for _, parcel in group]
            letters += self._states[mailbox].send(self._clock(), together, terms)
            self._changed(mailbox)
            if is_passing(mailbox):
                self._expire(mailbox, terms.ttl or 0)
        return letters

    def _expire(self, mailbox: Mailbox, ttl: int) -> None:
        """Forget what was put into mailboxes for answers when nobody waited there any more."""
        now = self._clock()
        self._passing.pop(mailbox, None)
        self._passing[mailbox] = now + max(PASSING, 2 * ttl)
        while (first := next(iter(self._passing.items())))[1] <= now:
            del self._passing[first[0]]
            self._states.pop(first[0], None)

    async def take(self, order: Order) -> Taken:
        """Acknowledge, then reserve messages, waiting for the first if asked to."""
        acked = await self.ack(order.acks)
        loop = asyncio.get_running_loop()
        until = loop.time() + order.wait
        prefix = f"{next(self._requests):016d}."  # ordered as text, too
        total = Taking()
        while True:
            now = self._clock()
            entries = self._take(now, order, prefix, total)
            left = until - loop.time()
            if entries or left <= 0:
                return Taken(
                    acked=acked,
                    deadline=now + order.lease,
                    entries=entries,
                    expired=total.expired,
                    died=total.died,
                    lost=total.lost,
                )
            timers = [self._states[mailbox].next_timer() for mailbox in order.mailboxes]
            next_timer = min((at for at in timers if at is not None), default=None)
            if next_timer is not None:
                left = min(left, max(0, next_timer - now) / 1000)
            await self._park(order.mailboxes, left)

    def _take(
        self, now: int, order: Order, prefix: str, total: Taking
    ) -> list[tuple[Delivery, Entry]]:
        found: list[tuple[Delivery, Entry]] = []
        for mailbox in order.mailboxes:
            step = Taking()
            want = order.want - len(found)
            self._states[mailbox].take(now, prefix, len(found), want, order.lease, order.most, step)
            found += [(Delivery(mailbox, name), entry) for name, entry in step.entries]
            total.expired += step.expired
            total.died += step.died
            total.lost += step.lost
        for mailbox in order.mailboxes:
            self._changed(mailbox)  # a new lease ends earlier, or more became ready than was wanted
        return found

    async def _park(self, mailboxes: Sequence[Mailbox], seconds: float) -> None:
        bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for mailbox in mailboxes:
            self._parked[mailbox].append(bell)
            self._expected[mailbox] = self._states[mailbox].next_timer()
        try:
            async with asyncio.timeout(seconds):
                await bell
        except TimeoutError:
            pass
        finally:
            for mailbox in mailboxes:
                if bell in self._parked[mailbox]:
                    self._parked[mailbox].remove(bell)

    def _changed(self, mailbox: Mailbox) -> None:
        """Let all waiting receivers look again, if there is anything new for them.

        All, since the one that is rung for may be cancelled before it looks.
        """
        parked = self._parked[mailbox]
        if not parked:
            return
        state, expected = self._states[mailbox], self._expected[mailbox]
        timer = state.next_timer()
        if state.has_ready or (timer is not None and (expected is None or timer < expected)):
            for bell in parked:
                if not bell.done():
                    bell.set_result(None)
            parked.clear()

    async def ack(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Acknowledge deliveries."""
        now = self._clock()
        answers = [self._states[delivery.mailbox].ack(now, delivery.key) for delivery in deliveries]
        for mailbox in {delivery.mailbox for delivery in deliveries}:
            self._changed(mailbox)  # the next of an ordering key may be ready
        return answers

    async def nack(
        self,
        delivery: Delivery,
        failure: FailureType,
        error: str | None,
        most: int,
        backoff: Backoff,
    ) -> Nacked:
        """Mark a delivery as failed."""
        state = self._states[delivery.mailbox]
        outcome = state.nack(self._clock(), delivery.key, failure, error, most, backoff)
        self._changed(delivery.mailbox)
        return outcome

    async def extend(self, mailbox: Mailbox, keys: Sequence[str], duration: int) -> list[Held]:
        """Let deliveries of one mailbox end so many ms from now."""
        now = self._clock()
        answers = [self._states[mailbox].extend(now, key, duration) for key in keys]
        self._changed(mailbox)
        return answers

    async def give_back(self, mailbox: Mailbox, keys: Sequence[str]) -> int:
        """Undo deliveries of one mailbox."""
        given = self._states[mailbox].give_back(self._clock(), keys)
        self._changed(mailbox)
        return given

    async def cancel(self, mailbox: Mailbox, message_id: str) -> bool:
        """Remove a message that is ready or scheduled."""
        found = self._states[mailbox].cancel(message_id)
        self._changed(mailbox)  # as above
        return found

    async def withdraw(self, mailbox: Mailbox, message_id: str, sent: str = "") -> bool:  # noqa: ARG002 - no call is under way here
        """Remove a message, also from who works on it."""
        found = self._states[mailbox].withdraw(self._clock(), message_id)
        self._changed(mailbox)
        return found

    async def drop(self, mailbox: Mailbox) -> None:
        """Forget a mailbox for answers."""
        for table in (self._states, self._parked, self._expected, self._passing):
            table.pop(mailbox, None)

    async def reschedule(self, mailbox: Mailbox, message_id: str, at: int) -> bool:
        """Move a scheduled message."""
        moved = self._states[mailbox].reschedule(message_id, at)
        self._changed(mailbox)
        return moved

    async def pause(self, mailbox: Mailbox, *, paused: bool) -> None:
        """Stop or start receiving."""
        self._states[mailbox].pause(paused=paused)
        self._changed(mailbox)

    async def purge(self, mailbox: Mailbox) -> int:
        """Remove what is ready or scheduled."""
        return self._states[mailbox].purge()

    async def stats(self, mailbox: Mailbox) -> MailboxStats:
        """Count."""
        return self._states[mailbox].stats(self._clock(), len(self._parked[mailbox]))

    async def dead(self, mailbox: Mailbox, skip: int, count: int) -> Sequence[Undelivered]:
        """Return dead letters, oldest first."""
        letters = self._states[mailbox].dead()[skip : skip + count]
        return [letter._replace(dead_letter_id=quoted(letter.dead_letter_id)) for letter in letters]

    async def dead_one(self, mailbox: Mailbox, dead_letter_id: str) -> Undelivered | None:
        """Return one dead letter."""
        letter = self._states[mailbox].dead_one(unquoted(dead_letter_id))
        return None if letter is None else letter._replace(dead_letter_id=dead_letter_id)

    async def move_dead(self, mailbox: Mailbox, ids: Sequence[str], *, redrive: bool) -> int:
        """Put dead letters back as new, or delete them."""
        moved = self._states[mailbox].move_dead(list(map(unquoted, ids)), redrive=redrive)
        self._changed(mailbox)
        return moved

    async def enroll(self, roster: Roster, member: str, keep: int | None) -> None:
        """Note a member down."""
        now = self._clock()
        members = self._rosters[roster]
        members[member] = now
        if keep is not None:
            for name in [name for name, at in members.items() if at <= now - keep]:
                del members[name]

    async def strike(self, roster: Roster, member: str) -> None:
        """Take a member off a roster."""
        self._rosters[roster].pop(member, None)

    async def enrolled(self, roster: Roster, since: int | None) -> list[str]:
        """Return the members."""
        first = 0 if since is None else self._clock() - since
        members = sorted((at, name) for name, at in self._rosters[roster].items() if at >= first)
        return [name for _, name in members]

    async def claim(self, fence: Fence, holder: str, lease: int) -> Claim:
        """Claim an effect for so many ms."""
        now = self._clock()
        if len(self._fences) >= self._sweep_at:
            self._fences = {name: held for name, held in self._fences.items() if held.until > now}
            self._sweep_at = 1000 + 2 * len(self._fences)
        held = self._fences.get(fence)
        if held is not None and held.until > now:
            return Claim.DONE if held.done else Claim.BUSY
        self._fences[fence] = _Effect(holder, now + lease, done=False)
        return Claim.MINE

    async def conclude(self, fence: Fence, holder: str, keep: int | None) -> bool:
        """Let it be known that an effect is done, or give the claim up."""
        held = self._fences.get(fence)
        if held is None or held.holder != holder:
            return False
        if keep is None:
            del self._fences[fence]
        else:
            self._fences[fence] = _Effect(holder, self._clock() + keep, done=True)
        return True


class _Effect(NamedTuple):
    """A fence: who has claimed or done an effect, and until when that holds."""

    holder: str
    until: int
    done: bool


class InMemoryMessageCoordinator(StoredMailboxes):
    """Carries messages between agents of one process, as Redis does between machines.

    For tests, and for a program that is one process today: what it does with mailboxes, leases,
    back-off and dead letters is the same, and messages are written and read as JSON, too. They are
    gone when the process ends. Use it from one event loop.

    Args:
        metrics: Counts deliveries; with a method `on_event`, it hears of everything else.
        max_attempts: After so many deliveries without success a message is a dead letter.
        max_length: So many messages may be ready in a mailbox, and so many scheduled; None is any
            number.
        max_message_bytes: The largest message, as JSON.
        dedupe_window: For so many seconds a mailbox knows the ids it has seen; 0 is not at all.
        backoff_base: Seconds that a failed message waits after its first delivery.
        backoff_factor: How many times longer after each further one.
        backoff_max: Never longer than so many seconds.
        backoff_jitter: Up to this share of the wait is left out, at random.
        rng: Draws the jitter.
        clock: Returns the time in seconds since 1970; `time.time` by default.

    Raises:
        ConfigurationError: An option is out of range.

    Example:
        >>> import asyncio
        >>> from tta_agent_coordination import AgentId, AgentMessage, MessageType
        >>> async def main() -> None:
        ...     coordinator = InMemoryMessageCoordinator()
        ...     asker, writer = AgentId(type="asker"), AgentId(type="writer")
        ...     message = AgentMessage(
        ...         message_id="msg-1",
        ...         sender=asker,
        ...         recipient=writer,
        ...         message_type=MessageType.EVENT,
        ...         payload={"topic": "owls"},
        ...     )
        ...     await coordinator.send_message(asker, writer, message)
        ...     received = await coordinator.receive(writer)
        ...     print(received.message.payload, await coordinator.ack(writer, received.token))
        >>> asyncio.run(main())
        {'topic': 'owls'} True
    """

    def __init__(
        self,
        metrics: MetricsProtocol | None = None,
        *,
        max_attempts: int = 4,
        max_length: int | None = 100_000,
        max_message_bytes: int = 1_048_576,
        dedupe_window: float = 120.0,
        backoff_base: float = 1.0,
        backoff_factor: float = 2.0,
        backoff_max: float = 30.0,
        backoff_jitter: float = 0.5,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            InMemoryMailboxStore(lambda: round(clock() * 1000)),
            metrics=metrics,
            max_attempts=max_attempts,
            max_length=max_length,
            max_message_bytes=max_message_bytes,
            dedupe_window=dedupe_window,
            backoff_base=backoff_base,
            backoff_factor=backoff_factor,
            backoff_max=backoff_max,
            backoff_jitter=backoff_jitter,
            rng=rng,
        )
