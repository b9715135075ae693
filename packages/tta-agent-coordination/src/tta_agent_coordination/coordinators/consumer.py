"""The iterator behind `consume`: fetches ahead, renews leases, bundles acknowledgments."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from tta_agent_coordination.coordinators.store import Held
from tta_agent_coordination.errors import CoordinatorConnectionError, MessageCoordinatorError
from tta_agent_coordination.messaging import FailureType, Lease, Settler
from tta_agent_coordination.tasks import end, parting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tta_agent_coordination.messaging import ReceivedMessage
    from tta_agent_coordination.models import AgentId

__all__ = ("BatchCoordinator", "Consumer")

FLUSH = 0.05
"""An acknowledgment waits at most so many seconds for company."""
PARK = 10.0
"""So many seconds a fetch waits before it is made again; no message waits for this."""
AGAIN = 0.25
"""Seconds between two tries to reach a server that is away."""
WATCH = 0.5
"""Seconds between two looks whether the requests that are worked on are still wanted."""


class BatchCoordinator(Settler, Protocol):
    """What a consumer needs of a coordinator."""

    async def take(
        self,
        agent_id: AgentId,
        max_messages: int,
        visibility_timeout: float = 5,
        *,
        wait: float = 0,
        ack: Sequence[str] = (),
    ) -> tuple[list[ReceivedMessage], list[bool]]:
        """Acknowledge, then reserve messages."""
        ...

    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge deliveries."""
        ...

    async def renew(self, tokens: Sequence[str], seconds: float) -> list[Held]:
        """Renew deliveries."""
        ...

    async def give_back_many(self, agent_id: AgentId, tokens: Sequence[str]) -> int:
        """Undo deliveries."""
        ...


class Consumer:
    """An iterator of leases that looks after them; use it as a context manager.

    It owns one task, which renews and acknowledges, and which ends with the block.

    Args:
        coordinator: Where messages come from.
        agent_id: Whose mailbox.
        prefetch: So many messages are fetched at once.
        lease: Seconds that a message is reserved at a time.
    """

    def __init__(
        self, coordinator: BatchCoordinator, agent_id: AgentId, *, prefetch: int, lease: float
    ) -> None:
        self._coordinator = coordinator
        self._agent_id = agent_id
        self._prefetch = prefetch
        self._lease = lease
        self._ahead: deque[Lease] = deque()
        self._held: dict[str, tuple[Lease, float]] = {}  # by token: until when, by the loop's clock
        self._done: list[str] = []
        self._poke = asyncio.Event()
        self._closed = False
        self._keeper: asyncio.Task[None]

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Lease:
        if self._closed:
            raise StopAsyncIteration
        while True:
            while self._ahead:
                lease = self._ahead.popleft()
                if not lease.lost:
                    return lease
            await self._fetch()

    async def _fetch(self) -> None:
        if self._keeper.done():
            self._keeper.result()  # raises what ended it: without it, leases would silently run out
        loop = asyncio.get_running_loop()
        done, self._done = self._done, []
        until = loop.time() + self._lease  # before the call: never later than the server's view
        try:
            received, _ = await self._coordinator.take(
                self._agent_id, self._prefetch, self._lease, wait=PARK, ack=done
            )
        except BaseException as error:
            self._done = done + self._done  # acknowledging twice is harmless
            if not isinstance(error, CoordinatorConnectionError):
                raise
            await asyncio.sleep(AGAIN)
            return
        arrived = loop.time()
        for message in received:
            lease = Lease(self, self._agent_id, message)
            # A message that was waited for was reserved when it came, not when we began to wait.
            self._held[message.token] = (lease, max(until, arrived))
            self._ahead.append(lease)
        self._poke.set()

    # What leases call.

    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge with the next round trip; at once if the lease may have run out."""
        held = self._held.pop(token, None)
        if self._closed or held is None or asyncio.get_running_loop().time() >= held[1]:
            return await self._coordinator.ack(agent_id, token)
        self._done.append(token)
        if len(self._done) == 1:
            self._poke.set()
        return True

    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Mark the delivery as failed, now."""
        self._held.pop(token, None)
        return await self._coordinator.nack(agent_id, token, failure, error)

    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Renew now; the renewals that happen by themselves go on."""
        return await self._coordinator.extend(agent_id, token, seconds)

    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo the delivery, now."""
        self._held.pop(token, None)
        return await self._coordinator.give_back(agent_id, token)

    # The task that keeps the leases.

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self._lease / 3
        look_at = renew_at
        while True:
            self._poke.clear()
            now = loop.time()
            asked = [token for token, (lease, _) in self._held.items() if lease.wants_reply]
            look_at = min(look_at, now + WATCH) if asked else renew_at
            if self._done:
                await asyncio.sleep(min(FLUSH, max(0.0, look_at - now)))
            elif self._held:
                try:
                    async with asyncio.timeout_at(look_at):
                        await self._poke.wait()
                except TimeoutError:
                    pass
                if self._done:
                    continue  # it waits for company
            else:
                await self._poke.wait()
                renew_at = look_at = loop.time() + self._lease / 3
            try:
                await self._flush()
                now = loop.time()
                if now >= renew_at:
                    renew_at = look_at = now + self._lease / 3
                    await self._renew(list(self._held))
                elif now >= look_at:
                    look_at = renew_at
                    await self._renew([token for token in asked if token in self._held])
            except MessageCoordinatorError:  # which the next fetch raises, if it lasts
                await asyncio.sleep(AGAIN)

    async def _flush(self) -> None:
        done, self._done = self._done, []
        if done:
            try:
                await self._coordinator.ack_many(done)
            except BaseException:
                self._done = done + self._done
                raise

    async def _renew(self, tokens: list[str]) -> None:
        until = asyncio.get_running_loop().time() + self._lease
        answers = await self._coordinator.renew(tokens, self._lease) if tokens else []
        for token, answer in zip(tokens, answers, strict=True):
            held = self._held.get(token)
            if held is None:
                continue  # settled meanwhile
            if answer is Held.HELD:
                self._held[token] = (held[0], until)
            else:
                del self._held[token]
                held[0].mark_lost(withdrawn=answer is Held.WITHDRAWN)

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name="tta-consumer-leases")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        try:
            await end(self._keeper)
        finally:
            await self._part()
        if not self._keeper.cancelled() and error is None:
            self._keeper.result()

    async def _part(self) -> None:
        tokens = [lease.token for lease in self._ahead]
        self._ahead.clear()
        async with parting():  # what is done and not acknowledged comes again
            await self._flush()
            if tokens:
                await self._coordinator.give_back_many(self._agent_id, tokens)
