"""What becomes of received messages: done, failed, longer, undone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.configured import Configured, milliseconds
from tta_agent_coordination.coordinators.entries import cut_error
from tta_agent_coordination.coordinators.names import agent_of, mailboxes_of, parse_token
from tta_agent_coordination.coordinators.store import Backoff, Held, Nacked
from tta_agent_coordination.limits import check_seconds
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.metrics import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_agent_coordination.coordinators.names import Delivery, Mailbox
    from tta_agent_coordination.models import AgentId

__all__ = ("Settling",)


class Settling(Configured):
    """Settles deliveries."""

    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge a message: it is done and gone.

        Returns:
            Whether the token was valid: True also when it was acknowledged shortly before; False
            when the reservation has run out (the message is received again) or the token is not of
            this agent.
        """
        delivery = _valid(agent_id, token)
        valid = delivery is not None and (await self._store.ack([delivery]))[0]
        self._tell(EventKind.ACKED if valid else EventKind.STALE_TOKEN, agent_id, 1)
        return valid

    async def ack_many(self, tokens: Sequence[str]) -> list[bool]:
        """Acknowledge messages of any agents; those of one type share a round trip.

        Returns:
            For each token, in order, what `ack` would have returned.
        """
        answers = [False] * len(tokens)
        groups: dict[str, list[tuple[int, Delivery]]] = {}
        for place, token in enumerate(tokens):
            delivery = parse_token(token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox.type, []).append((place, delivery))
        for group in groups.values():
            valid = await self._store.ack([delivery for _, delivery in group])
            for (place, _), answer in zip(group, valid, strict=True):
                answers[place] = answer
            if self._observer is not None:
                told = Counter(
                    (agent_of(delivery.mailbox), answer)
                    for (_, delivery), answer in zip(group, valid, strict=True)
                )
                for (agent_id, answer), count in told.items():
                    kind = EventKind.ACKED if answer else EventKind.STALE_TOKEN
                    self._tell(kind, agent_id, count)
        return answers

    async def nack(
        self,
        agent_id: AgentId,
        token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None,
    ) -> bool:
        """Say that the work on a message failed.

        Args:
            agent_id: Who received it.
            token: The token of the delivery.
            failure: TRANSIENT and TIMEOUT: it comes again after a back-off, unless this was its
                last attempt. PERMANENT: it is a dead letter at once.
            error: What happened; the first 2,000 characters are kept.

        Returns:
            Whether the token was valid.
        """
        failure = FailureType(failure)
        delivery = _valid(agent_id, token)
        outcome = Nacked.STALE
        if delivery is not None:
            outcome = await self._nack(delivery, failure, cut_error(error))
        kinds = {
            Nacked.STALE: EventKind.STALE_TOKEN,
            Nacked.RETRIED: EventKind.RETRIED,
            Nacked.DIED: EventKind.DEAD,
        }
        self._tell(kinds[outcome], agent_id, 1)
        return outcome is not Nacked.STALE

    async def _nack(self, delivery: Delivery, failure: FailureType, error: str | None) -> Nacked:
        backoff = Backoff(
            base=self._backoff_base,
            factor=self._backoff_factor,
            cap=self._backoff_cap,
            share=1 - self._jitter * self._random.random(),
        )
        return await self._store.nack(delivery, failure, error, self._max_attempts, backoff)

    async def extend(self, agent_id: AgentId, token: str, seconds: float) -> bool:
        """Let a reservation end so many seconds from now.

        Returns:
            Whether the token was valid.
        """
        duration = max(1, milliseconds(check_seconds("seconds", seconds)))
        delivery = _valid(agent_id, token)
        if delivery is None:
            return False
        answers = await self._store.extend(delivery.mailbox, [delivery.key], duration)
        return answers[0] is Held.HELD

    async def extend_many(self, tokens: Sequence[str], seconds: float) -> list[bool]:
        """Let reservations end so many seconds from now, with one round trip per mailbox."""
        return [answer is Held.HELD for answer in await self.renew(tokens, seconds)]

    async def renew(self, tokens: Sequence[str], seconds: float) -> list[Held]:
        """Do as `extend_many`, and tell what is lost from what its requester has withdrawn."""
        duration = max(1, milliseconds(check_seconds("seconds", seconds)))
        answers = [Held.LOST] * len(tokens)
        groups: dict[Mailbox, list[tuple[int, str]]] = {}
        for place, token in enumerate(tokens):
            delivery = parse_token(token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox, []).append((place, delivery.key))
        for mailbox, group in groups.items():
            valid = await self._store.extend(mailbox, [key for _, key in group], duration)
            for (place, _), answer in zip(group, valid, strict=True):
                answers[place] = answer
        return answers

    async def give_back(self, agent_id: AgentId, token: str) -> bool:
        """Undo a delivery: the message is the next of its queue, and the attempt is not counted.

        Returns:
            Whether the message was still reserved.
        """
        delivery = _valid(agent_id, token)
        if delivery is None:
            return False
        given = await self._store.give_back(delivery.mailbox, [delivery.key]) == 1
        self._tell(EventKind.GIVEN_BACK if given else EventKind.STALE_TOKEN, agent_id, 1)
        return given

    async def give_back_many(self, agent_id: AgentId, tokens: Sequence[str]) -> int:
        """Undo deliveries, with one round trip per mailbox; return how many were reserved."""
        groups: dict[Mailbox, list[str]] = {}
        for token in tokens:
            delivery = _valid(agent_id, token)
            if delivery is not None:
                groups.setdefault(delivery.mailbox, []).append(delivery.key)
        given = sum([await self._store.give_back(box, keys) for box, keys in groups.items()])
        self._tell(EventKind.GIVEN_BACK, agent_id, given)
        return given


def _valid(agent_id: AgentId, token: object) -> Delivery | None:
    delivery = parse_token(token)
    return delivery if delivery is not None and delivery.mailbox in mailboxes_of(agent_id) else None
