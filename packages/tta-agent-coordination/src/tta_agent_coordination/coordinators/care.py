"""Looking after mailboxes: what an operator does, and not an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import Configured, moment
from tta_agent_coordination.coordinators.dead_letters import StoredDeadLetters
from tta_agent_coordination.coordinators.names import mailbox_of

if TYPE_CHECKING:
    from datetime import datetime

    from tta_agent_coordination.messaging import MailboxStats
    from tta_agent_coordination.models import AgentId

__all__ = ("Care",)


class Care(Configured):
    """Looks after mailboxes."""

    @property
    def dead_letters(self) -> StoredDeadLetters:
        """The messages that are not tried any more: list, peek, redrive, purge."""
        return StoredDeadLetters(self._store)

    async def cancel(self, recipient: AgentId, message_id: str) -> bool:
        """Take a message out of a mailbox, unless somebody works on it.

        A scheduled message is found at once; for one that is ready, the mailbox is searched. Its id
        stays in the window of deduplication.

        Returns:
            Whether it was there.
        """
        return await self._store.cancel(mailbox_of(recipient), message_id)

    async def reschedule(self, recipient: AgentId, message_id: str, deliver_at: datetime) -> bool:
        """Give a message that waits for its time, or for its next attempt, another time.

        Returns:
            Whether it was there.
        """
        return await self._store.reschedule(mailbox_of(recipient), message_id, moment(deliver_at))

    async def pause(self, agent_id: AgentId) -> None:
        """Let nobody receive from the mailbox until `resume`; sending and settling go on."""
        await self._store.pause(mailbox_of(agent_id), paused=True)

    async def resume(self, agent_id: AgentId) -> None:
        """Let messages be received again."""
        await self._store.pause(mailbox_of(agent_id), paused=False)

    async def purge(self, agent_id: AgentId) -> int:
        """Delete all messages that are ready or scheduled; those being worked on stay.

        Returns:
            How many were deleted.
        """
        return await self._store.purge(mailbox_of(agent_id))

    async def stats(self, agent_id: AgentId) -> MailboxStats:
        """Count what the mailbox of exactly this id holds."""
        return await self._store.stats(mailbox_of(agent_id))
