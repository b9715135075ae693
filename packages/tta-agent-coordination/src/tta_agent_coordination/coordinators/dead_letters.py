"""Dead letters: messages that are kept, but not tried any more, until somebody decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.entries import open_body
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.errors import InvalidMessageError
from tta_agent_coordination.interfaces import DeadLetters
from tta_agent_coordination.limits import check_count
from tta_agent_coordination.messaging import DeadLetter, FailureType
from tta_agent_coordination.server.names import quoted, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tta_agent_coordination.coordinators.names import Mailbox
    from tta_agent_coordination.coordinators.store import MailboxStore, Undelivered
    from tta_agent_coordination.models import AgentId

__all__ = ("StoredDeadLetters",)

CHUNK = 200


class StoredDeadLetters(DeadLetters):
    """The dead letters of a store's mailboxes.

    A message gets here after `max_attempts` deliveries, whether they failed or their leases just
    ran out; after a PERMANENT failure; or because its bytes cannot be read. An agent's own dead
    letters and those of the mailbox that its type shares are listed apart, by the id that is asked
    for.
    """

    def __init__(self, store: MailboxStore) -> None:
        self._store = store

    async def list(
        self, agent_id: AgentId, *, failure: FailureType | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return the oldest dead letters.

        Args:
            agent_id: Whose mailbox.
            failure: Only those that died of this.
            limit: So many at most.
        """
        check_count("limit", limit)
        return [_letter(found) for found in await self._find(mailbox_of(agent_id), failure, limit)]

    async def peek(self, agent_id: AgentId, dead_letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None if it is not there."""
        found = await self._store.dead_one(mailbox_of(agent_id), quoted(dead_letter_id))
        return None if found is None else _letter(found)

    async def redrive(
        self,
        agent_id: AgentId,
        dead_letter_ids: Iterable[str] | None = None,
        *,
        failure: FailureType | None = None,
    ) -> int:
        """Put dead letters back at the end of their queue, as new: no attempts, no time to live.

        Args:
            agent_id: Whose mailbox.
            dead_letter_ids: Which ones; those that are not there are passed over. None is all that
                are there when the call begins.
            failure: Only those that died of this.

        Returns:
            How many were put back.
        """
        return await self._move(agent_id, dead_letter_ids, failure, redrive=True)

    async def purge(
        self,
        agent_id: AgentId,
        dead_letter_ids: Iterable[str] | None = None,
        *,
        failure: FailureType | None = None,
    ) -> int:
        """Delete dead letters for good; arguments and result are those of `redrive`."""
        return await self._move(agent_id, dead_letter_ids, failure, redrive=False)

    async def _move(
        self,
        agent_id: AgentId,
        dead_letter_ids: Iterable[str] | None,
        failure: FailureType | None,
        *,
        redrive: bool,
    ) -> int:
        mailbox = mailbox_of(agent_id)
        if dead_letter_ids is None:
            chosen = [letter.dead_letter_id for letter in await self._find(mailbox, failure)]
        else:
            chosen = [quoted(name) for name in dead_letter_ids]
            if failure is not None:
                letters = [await self._store.dead_one(mailbox, name) for name in chosen]
                chosen = [
                    letter.dead_letter_id
                    for letter in letters
                    if letter is not None and _failure(letter) is failure
                ]
        moved = 0
        for start in range(0, len(chosen), CHUNK):
            moved += await self._store.move_dead(
                mailbox, chosen[start : start + CHUNK], redrive=redrive
            )
        return moved

    async def _find(
        self, mailbox: Mailbox, failure: FailureType | None, limit: int | None = None
    ) -> Sequence[Undelivered]:
        found: list[Undelivered] = []
        skip = 0
        while limit is None or len(found) < limit:
            chunk = await self._store.dead(mailbox, skip, CHUNK)
            found += [letter for letter in chunk if failure in {None, _failure(letter)}]
            skip += len(chunk)
            if len(chunk) < CHUNK:
                break
        return found[:limit]


def _failure(found: Undelivered) -> FailureType:
    return found.entry.failure or FailureType.PERMANENT


def _letter(found: Undelivered) -> DeadLetter:
    entry = found.entry
    try:
        message, _ = open_body(entry)
    except InvalidMessageError:
        message = None
    return DeadLetter(
        dead_letter_id=unquoted(found.dead_letter_id),
        message=message,
        failure=_failure(found),
        error=entry.error,
        attempts=entry.attempts,
        enqueued_at=entry.enqueued / 1000,
        died_at=found.died / 1000,
        raw=entry.body.partition(b"\n")[2],
    )
