"""Requests and their answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tta_agent_coordination.coordinators.entries import Parcel, body_of, cut_error
from tta_agent_coordination.coordinators.envelope import (
    ANSWERS,
    FAILED,
    REPLY_TO,
    check_headers,
    traced,
)
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.replies import Replies, mailbox_at
from tta_agent_coordination.coordinators.sending import Sending, check_key
from tta_agent_coordination.coordinators.store import Terms
from tta_agent_coordination.errors import (
    AgentFailed,
    InvalidMessageError,
    MailboxFullError,
    MessageCoordinatorError,
    RequestTimeout,
)
from tta_agent_coordination.limits import check_seconds
from tta_agent_coordination.messaging import Lease, RejectReason
from tta_agent_coordination.metrics import EventKind
from tta_agent_coordination.models import AgentMessage, MessageType
from tta_agent_coordination.tasks import parting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_agent_coordination.coordinators.replies import Answer
    from tta_agent_coordination.messaging import ReceivedMessage
    from tta_agent_coordination.models import AgentId

__all__ = ("Asking",)

UNKNOWN = 3_600_000
"""An answer is kept so many ms if nobody knows how long the requester waits."""


class Asking(Sending):
    """Asks other agents, and answers them."""

    _replies: Replies | None = None

    async def request(
        self,
        message: AgentMessage,
        *,
        timeout: float,  # noqa: ASYNC109 - both sides know of it
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> AgentMessage:
        """Send a request, and wait for its answer.

        The request is a message like others: it waits in the recipient's mailbox, comes again when
        its receiver dies, and more than one receiver may so work on it; the first answer counts.
        When this call ends without an answer, the request is withdrawn: nobody receives it any
        more, and a receiver that works on it finds its lease lost (`Lease.withdrawn`).

        Args:
            message: What to ask, of type REQUEST. After RequestTimeout it may be asked again.
            timeout: Wait so many seconds. The receiver knows: `ReceivedMessage.time_left`.
            headers: Texts that travel with it. The answer carries its trace context on.
            ordering_key: As for `send_message`; while it waits for one before it, its time runs.

        Returns:
            The answer, of type RESPONSE.

        Raises:
            RequestTimeout: No answer came in time.
            AgentFailed: The agent answered with an error; this is its text.
            MailboxFullError: The recipient's mailbox holds `max_length` messages.
            InvalidMessageError: The message is no request, too large, cannot be written, or has the
                id of a request that is under way here.
            MessageCoordinatorError: The store refuses; see its subclasses. A lost connection is
                waited for as long as `timeout` allows.

        Example:
            ```python
            answer = await coordinator.request(message, timeout=10)
            print(answer.payload)
            ```
        """
        seconds = check_seconds("timeout", timeout)
        if not isinstance(message, AgentMessage):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidMessageError(f"message must be an AgentMessage, not {message!r:.100}")
        if message.message_type is not MessageType.REQUEST:
            raise InvalidMessageError(
                f"message {message.message_id!r:.80} is of type {message.message_type.name}; only "
                "a REQUEST has an answer"
            )
        own, key = check_headers(headers), check_key(ordering_key)
        replies = self._replies
        if replies is None:
            replies = self._replies = Replies(self._store)
        until = asyncio.get_running_loop().time() + seconds
        answer = replies.expect(message.message_id)
        try:
            found = await self._ask(
                message,
                {**own, REPLY_TO: answer.mailbox.type},
                key,
                replies,
                answer,
                until,
                seconds,
            )
        except BaseException:
            replies.forget(message.message_id)
            await self._withdraw(message, replies, answer)
            raise
        replies.forget(message.message_id)
        await replies.leave(answer)
        return found

    async def _ask(
        self,
        message: AgentMessage,
        headers: Mapping[str, str],
        key: str | None,
        replies: Replies,
        answer: Answer,
        until: float,
        seconds: float,
    ) -> AgentMessage:
        terms = self._terms(ttl=seconds, name=answer.asked)
        came = False
        try:
            async with asyncio.timeout_at(until):
                (result,) = await self._send_all([message], headers, terms, key)
        except TimeoutError:
            pass
        else:
            if result.reason is RejectReason.MAILBOX_FULL:
                raise MailboxFullError(f"{message.recipient!r:.200}: {result.error}")
            if not result.delivered:
                raise InvalidMessageError(f"message {message.message_id!r:.80}: {result.error}")
            came = await replies.wait(answer, until)
        if not came or answer.found is None:
            raise RequestTimeout(
                f"{message.recipient!r:.200} has not answered request {message.message_id!r:.80} "
                f"within {seconds:g} s"
            ) from answer.error
        reply, about = answer.found
        if FAILED in about:
            raise AgentFailed(f"{reply.sender!r:.200}: {reply.payload.get('error')!s:.2000}")
        return reply

    async def _withdraw(self, message: AgentMessage, replies: Replies, answer: Answer) -> None:
        async with parting():  # else its time to live does it
            if answer.found is None:
                await self._store.withdraw(
                    mailbox_of(message.recipient), message.message_id, answer.asked
                )
            await replies.leave(answer)

    async def reply(
        self,
        request: ReceivedMessage | Lease,
        payload: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request; acknowledge it afterwards, so that an answer cannot get lost.

        Args:
            request: What was received. A `Lease` that is known to be lost is refused.
            payload: The content of the answer.
            headers: Texts that travel with it, besides the trace context of the request.

        Raises:
            InvalidMessageError: Nobody waits for an answer, or it cannot be written as JSON, or is
                too large: the requester does not hear of this; use `reply_error`.
            LeaseLost: The lease ran out, or the requester has withdrawn the request.
            MessageCoordinatorError: The store cannot be reached, or refuses; see its subclasses.

        Example:
            ```python
            async with lease:
                await coordinator.reply(lease, {"text": "owls are birds"})
            ```
        """
        await self._answer(request, payload, {}, headers)

    async def reply_error(
        self,
        request: ReceivedMessage | Lease,
        error: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request with an error: the requester gets AgentFailed with this text.

        Args:
            request: What was received.
            error: What happened; the first 2,000 characters are sent.
            headers: As for `reply`.

        Raises:
            MessageCoordinatorError: As for `reply`.
        """
        await self._answer(request, {"error": cut_error(error)}, {FAILED: "1"}, headers)

    async def _answer(
        self,
        request: ReceivedMessage | Lease,
        payload: Mapping[str, Any],
        mark: Mapping[str, str],
        headers: Mapping[str, str] | None,
    ) -> None:
        own = check_headers(headers)
        sender: AgentId | None = None
        if isinstance(request, Lease):
            request.check()
            received, sender = request.received, request.agent_id
        else:
            received = request
        asked = received.message
        if received.reply_to is None:
            raise InvalidMessageError(
                f"nobody waits for an answer to message {asked.message_id!r:.80}: it was not sent "
                "by request()"
            )
        mailbox = mailbox_at(received.reply_to)
        try:
            message = AgentMessage.create(
                MessageType.RESPONSE,
                sender=asked.recipient if sender is None else sender,
                recipient=asked.sender,
                payload=payload,
                priority=asked.priority,
            )
        except InvalidMessageError as error:
            raise InvalidMessageError(
                f"the answer to request {asked.message_id!r:.80} cannot be sent: {error}"
            ) from None
        ours = {**traced(received.headers, own), ANSWERS: asked.message_id, **mark}
        body = body_of(message, ours)
        if len(body) > self._max_bytes:
            raise InvalidMessageError(
                f"the answer to request {asked.message_id!r:.80} has {len(body)} bytes, and "
                f"max_message_bytes is {self._max_bytes}"
            )
        left = UNKNOWN if received.time_left is None else max(1, round(received.time_left * 1000))
        parcel = Parcel(message_id=message.message_id, level=message.priority.value, body=body)
        terms = Terms(most=0, window=self._window, at=None, ttl=left)
        try:
            await self._store.send([(mailbox, parcel)], terms)
        except MessageCoordinatorError:
            self._refused(1)
            raise
        self._delivered(1)
        self._tell(EventKind.SENT, asked.sender, 1)
