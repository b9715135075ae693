"""Where one message after the other is worked on, answered and settled."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import (
    CoordinatorConnectionError,
    InvalidMessageError,
    LeaseLost,
    NotReplicatedError,
    ServerFullError,
)
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.worker.handlers import payload_of
from tta_agent_coordination.worker.handling import Handling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_agent_coordination.interfaces import MailboxCoordinator
    from tta_agent_coordination.messaging import Lease
    from tta_agent_coordination.models import AgentId
    from tta_agent_coordination.worker.handlers import Runner

__all__ = ("Desk",)

_log = logging.getLogger("tta_agent_coordination")

PASSING = (CoordinatorConnectionError, ServerFullError, NotReplicatedError)
"""Settling can be tried again after these."""
AGAIN = 0.25
"""Seconds between two tries to settle while the server is away."""
CANCELLED = "the handler was cancelled from within"


class Desk:
    """Works on messages, any number at a time, and counts them.

    Args:
        coordinator: Where answers go.
        agent_id: Who works; for what is logged.
        runner: Runs the handler.
        classify: Tells what kind of failure an exception is.

    Attributes:
        done: So many were worked on successfully.
        failed: The work on so many has failed.
        dropped: So many were given up midway.
    """

    def __init__(
        self,
        coordinator: MailboxCoordinator,
        agent_id: AgentId,
        runner: Runner,
        classify: Callable[[Exception], object],
    ) -> None:
        self._coordinator = coordinator
        self._agent_id = agent_id
        self._runner = runner
        self._classify = classify
        self._handlings: set[Handling] = set()
        self.done: int = 0
        self.failed: int = 0
        self.dropped: int = 0

    async def work(self, lease: Lease) -> None:
        """Work on a message, in the current task, and settle it; cancelled, it is left unsettled.

        Raises:
            MessageCoordinatorError: The server refuses, so that the message cannot be settled.
        """
        received = lease.received
        # From here on: how long it was held ahead is not known. The requester withdraws in time.
        left = received.time_left if received.wants_reply else None
        until = None if left is None else asyncio.get_running_loop().time() + left
        handling = Handling(lease, left)
        self._handlings.add(handling)
        try:
            result, error = await _outcome(handling.run(self._runner(received, until)))
            _heed_cancellation()
            if lease.lost:
                self.dropped += 1
            elif handling.given_up:
                await self._insist(lease.ack, lease)  # nobody waits for the answer any more
                self.dropped += 1
            elif error is not None:
                await self._fail(lease, error)
            else:
                await self._succeed(lease, result)
        except (LeaseLost, asyncio.CancelledError) as error:
            self.dropped += 1
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._handlings.discard(handling)

    async def fail_cancelled(self, lease: Lease) -> None:
        """Settle a message whose task somebody has cancelled, although the worker goes on.

        Given back, it would come again at once, for ever.
        """
        self.dropped -= 1  # it was counted as such, and has failed
        with suppress(LeaseLost):
            await self._fail(lease, RuntimeError(CANCELLED))

    def give_up_lost(self) -> None:
        """Cancel the work on messages whose lease is lost."""
        for handling in self._handlings:
            if handling.lease.lost:
                handling.give_up()

    async def _succeed(self, lease: Lease, result: object) -> None:
        if lease.wants_reply:
            try:
                payload = payload_of(result)
                await self._insist(lambda: self._coordinator.reply(lease, payload), lease)
            except InvalidMessageError as refused:
                await self._fail(lease, refused)
                return
        await self._insist(lease.ack, lease)
        self.done += 1

    async def _fail(self, lease: Lease, error: Exception) -> None:
        message = lease.message
        _log.warning(
            "agent %s/%s failed at message %r, attempt %d",
            self._agent_id.type,
            self._agent_id.instance or "*",
            message.message_id,
            lease.attempt,
            exc_info=error,
        )
        text = _text_of(error)
        if lease.wants_reply:
            # Whoever asks decides whether to ask again: it knows how long it can wait.
            with suppress(InvalidMessageError):  # a forged request has no place for an answer
                await self._insist(lambda: self._coordinator.reply_error(lease, text), lease)
            await self._insist(lease.ack, lease)
        else:
            failure = self._kind_of(error)
            await self._insist(lambda: lease.nack(failure, text), lease)
        self.failed += 1

    def _kind_of(self, error: Exception) -> FailureType:
        try:
            return FailureType(self._classify(error))
        except Exception:  # noqa: BLE001 - the message must not be lost over it
            _log.exception("classify failed at %r; the message will be tried again", error)
            return FailureType.TRANSIENT

    async def _insist(self, call: Callable[[], Awaitable[None]], lease: Lease) -> None:
        """Repeat a call that settles until the server takes it, or the lease is lost."""
        while True:
            try:
                await call()
            except PASSING:
                if lease.lost:
                    lease.check()
                await asyncio.sleep(AGAIN)
            else:
                return


async def _outcome(work: Awaitable[object]) -> tuple[object, Exception | None]:
    """Return what a handler returns, or what it raises; its own cancellation is a failure."""
    try:
        return await work, None
    except asyncio.CancelledError:
        return None, RuntimeError(CANCELLED)
    except Exception as error:  # noqa: BLE001 - it is the failure of its message, and not ours
        return None, error


def _heed_cancellation() -> None:
    """Raise CancelledError if the task is to end, also if the handler did not want to know."""
    task = cast("asyncio.Task[object]", asyncio.current_task())
    if task.cancelling():
        raise asyncio.CancelledError


def _text_of(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose text fails is a failure like others
        return type(error).__name__
