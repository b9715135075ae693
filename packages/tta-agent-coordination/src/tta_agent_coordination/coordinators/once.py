"""The fence around effects that must not happen twice."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import Configured, milliseconds
from tta_agent_coordination.coordinators.names import fence_of
from tta_agent_coordination.coordinators.store import Claim
from tta_agent_coordination.errors import LeaseLost
from tta_agent_coordination.limits import check_seconds, check_text
from tta_agent_coordination.tasks import parting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from tta_agent_coordination.coordinators.names import Fence
    from tta_agent_coordination.models import AgentId

__all__ = ("Once",)


class Once(Configured):
    """Guards effects."""

    def once(
        self,
        message_id: str,
        *,
        agent_id: AgentId | None = None,
        lease: float = 30,
        keep: float = 86_400,
    ) -> AbstractAsyncContextManager[bool]:
        """Run a block's effect once, however often the message comes.

        A message is delivered at least once. The block is told whether its effect is still to
        happen; when it ends well, the id is known as done, for everybody. When it raises, or is
        cancelled, the next one may try. When its process dies, so may the next one after `lease`:
        whether the effect happened just before, only the effect's own store can tell.

        Args:
            message_id: Which effect; usually that of the message.
            agent_id: Whose effect: with it, other agents that got a copy have fences of their own.
            lease: Nobody else enters for so many seconds. Choose more than the effect can take.
            keep: It is known for so many seconds that it is done; longer than a message can stay.

        Returns:
            A context manager that gives True to the one who shall act, and False if it is done.

        Raises:
            LeaseLost: On entering: another receiver is at it now; let the message come again. On
                leaving: the block took longer than `lease`, and another receiver has entered.
            ConfigurationError: An option is out of range.
            MessageCoordinatorError: The store cannot be reached, or refuses; see its subclasses.

        Example:
            ```python
            async with lease, coordinator.once(lease.message.message_id) as first:
                if first:
                    await charge(lease.message.payload)
            ```
        """
        check_text("message_id", message_id)
        duration = max(1, milliseconds(check_seconds("lease", lease)))
        kept = max(1, milliseconds(check_seconds("keep", keep)))
        return self._once(message_id, agent_id, duration, kept)

    @asynccontextmanager
    async def _once(
        self, message_id: str, agent_id: AgentId | None, lease: int, keep: int
    ) -> AsyncGenerator[bool]:
        fence, holder = fence_of(message_id, agent_id), uuid.uuid4().hex
        try:
            claim = await self._store.claim(fence, holder, lease)
        except BaseException:  # it may have been claimed all the same
            await self._leave(fence, holder, None)
            raise
        if claim is Claim.BUSY:
            raise LeaseLost(
                f"the effect of {message_id!r:.80} is under way elsewhere; let the message come "
                "again"
            )
        if claim is Claim.DONE:
            yield False
            return
        try:
            yield True
        except BaseException:
            await self._leave(fence, holder, None)
            raise
        try:
            concluded = await self._store.conclude(fence, holder, keep)
        except asyncio.CancelledError:  # the effect has happened, and must not again
            await self._leave(fence, holder, keep)
            raise
        if not concluded:
            raise LeaseLost(
                f"the effect of {message_id!r:.80} took longer than lease={lease / 1000:g} s, and "
                "another receiver has begun it"
            )

    async def _leave(self, fence: Fence, holder: str, keep: int | None) -> None:
        async with parting():
            await self._store.conclude(fence, holder, keep)
