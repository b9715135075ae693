"""How a worker is: what it tells who asks, and how it notices that the server is silent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from tta_agent_coordination.coordinators.store import Held
from tta_agent_coordination.errors import CoordinatorConnectionError
from tta_agent_coordination.messaging import FailureType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tta_agent_coordination.coordinators.consumer import BatchCoordinator
    from tta_agent_coordination.messaging import ReceivedMessage
    from tta_agent_coordination.models import AgentId

__all__ = ("Ear", "Stopping", "WorkerHealth", "WorkerState")

T = TypeVar("T")

PARK = 5.0
"""A fetch waits at most so many seconds for a message, so that a silent server is noticed."""
GRACE = 3.0
"""An answer may be so many seconds late."""


class WorkerState(str, Enum):  # noqa: UP042 - like the other enums of the package
    """What a worker is doing."""

    READY = "ready"
    """It waits for messages, and has room for more."""
    BUSY = "busy"
    """It works on as many messages as it may."""
    DEAF = "deaf"
    """The server does not answer: no message can come."""
    STOPPING = "stopping"
    """It takes no more messages: it ends, has ended, or has not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """How a worker is at one moment.

    Attributes:
        state: What it is doing.
        since: When a DEAF worker last heard the server; else when the worker began. Seconds since
            1970; None before it began.
        working: So many messages are being worked on.
        done: So many have been worked on successfully.
        failed: The work on so many has failed.
        dropped: So many were given up midway: their lease was lost, nobody waited for the answer
            any more, or the worker was stopped.
    """

    state: WorkerState
    since: float | None
    working: int
    done: int
    failed: int
    dropped: int

    @property
    def healthy(self) -> bool:
        """Whether a supervisor should leave it alone: it is neither DEAF nor STOPPING."""
        return self.state in {WorkerState.READY, WorkerState.BUSY}


class Stopping(Exception):  # noqa: N818 - it is no error: it ends the fetching
    """The worker takes no more messages."""


class Ear:
    """A coordinator whose answers are listened for.

    Args:
        coordinator: Does the work.
        now: Returns monotonic seconds.
        refused: Called soon after a renewal that was refused for some delivery.
    """

    def __init__(
        self,
        coordinator: BatchCoordinator,
        now: Callable[[], float],
        refused: Callable[[], None],
    ) -> None:
        self._coordinator = coordinator
        self._refused = refused
        self._now = now
        self._open: dict[object, tuple[float, float]] = {}  # calls: since when, due when
        self._silent = False
        self.heard: float = now()
        self.closed: bool = False

    @property
    def deaf(self) -> bool:
        """Whether the server has not answered although it should have.

        A call that is late does not count if the server has answered another one since it began.
        """
        now = self._now()
        return self._silent or any(
            due < now and began >= self.heard for began, due in self._open.values()
        )

    async def _listen(self, call: Awaitable[T], seconds: float) -> T:
        began = self._now()
        me = object()
        self._open[me] = (began, began + seconds)
        try:
            result = await call
        except CoordinatorConnectionError:
            self._silent = self._silent or began >= self.heard
            raise
        finally:
            del self._open[me]
        self._silent = False
        self.heard = self._now()
        return result

    async def take(
        self,
        agent_id: AgentId,
        max_messages: int,
        visibility_timeout: float = 5,
        *,
        wait: float = 0,
        ack: Sequence[str] = (),
    ) -> tuple[list[ReceivedMessage], list[bool]]:
        """Acknowledge, then reserve messages; raise Stopping when no more are wanted."""
        if self.closed:
            raise Stopping
        wait = min(wait, PARK)
        call = self._coordinator.take(
            agent_id, max_messages, visibility_timeout, wait=wait, ack=ack
        )
        return await self._listen(call, wait + GRACE)

    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge a delivery."""
        return await self._listen(self._coordinator.ack(agent_id, token), GRACE)

    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge deliveries."""
        return await self._listen(self._coordinator.ack_many(tokens), GRACE)

    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Mark a delivery as failed."""
        return await self._listen(self._coordinator.nack(agent_id, token, failure, error), GRACE)

    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Renew a delivery."""
        return await self._listen(self._coordinator.extend(agent_id, token, seconds), GRACE)

    async def renew(self, tokens: Sequence[str], seconds: float) -> list[Held]:
        """Renew deliveries."""
        answers = await self._listen(self._coordinator.renew(tokens, seconds), GRACE)
        if any(answer is not Held.HELD for answer in answers):
            # When whoever renews has taken note of it: the leases are marked as lost by then.
            asyncio.get_running_loop().call_soon(self._refused)
        return answers

    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo a delivery."""
        return await self._listen(self._coordinator.give_back(agent_id, token), GRACE)

    async def give_back_many(self, agent_id: AgentId, tokens: Sequence[str]) -> int:
        """Undo deliveries."""
        return await self._listen(self._coordinator.give_back_many(agent_id, tokens), GRACE)


def unix_time(monotonic: float, now: float) -> float:
    """Return a monotonic time as seconds since 1970, given what is now."""
    return time.time() - (now - monotonic)
