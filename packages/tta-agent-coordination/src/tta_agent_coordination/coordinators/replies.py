"""The mailbox that answers come to, and the calls that wait for them.

All requests of a coordinator that are under way share one mailbox, and one connection: of those who
wait, one reads for all. When it has its own answer, the next takes over, so no task is needed that
outlives the requests. When nobody waits any more the mailbox is deleted, and later requests get a
new one; what comes too late finds its mailbox gone, and is cleared away by its time to live.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.entries import open_body
from tta_agent_coordination.coordinators.envelope import ANSWERS
from tta_agent_coordination.coordinators.names import SHARED, Mailbox
from tta_agent_coordination.coordinators.store import Order
from tta_agent_coordination.errors import CoordinatorConnectionError, InvalidMessageError
from tta_agent_coordination.tasks import parting

if TYPE_CHECKING:
    from tta_agent_coordination.coordinators.names import Delivery
    from tta_agent_coordination.coordinators.store import MailboxStore
    from tta_agent_coordination.models import AgentMessage

__all__ = ("Answer", "Replies", "mailbox_at")

LEASE = 5_000
"""An answer whose reader dies is read again after so many ms."""
AGAIN = 0.25
"""Seconds between two tries to reach a server that is away."""
BATCH = 100
EVER = 2**31 - 1
_ADDRESS = re.compile(r"\?r\.[0-9a-f]{32}", re.ASCII)


def mailbox_at(address: str) -> Mailbox:
    """Return the mailbox that a request names for its answer.

    Raises:
        InvalidMessageError: It is not one for answers: a forged request must not make us write
            anywhere else.
    """
    if _ADDRESS.fullmatch(address) is None:
        raise InvalidMessageError(f"{address!r:.80} is no place for an answer")
    return Mailbox(address, SHARED)


class Answer:
    """A place for the answer to one request; `asked` names the call that sends that."""

    __slots__ = ("asked", "bell", "error", "found", "mailbox")

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox: Mailbox = mailbox
        self.asked: str = uuid.uuid4().hex
        self.bell: asyncio.Event = asyncio.Event()
        self.found: tuple[AgentMessage, dict[str, str]] | None = None
        self.error: CoordinatorConnectionError | None = None


class _Reader:
    """One mailbox for answers, and who waits for what."""

    __slots__ = ("busy", "done", "mailbox", "waiting")

    def __init__(self) -> None:
        self.mailbox = Mailbox(f"?r.{uuid.uuid4().hex}", SHARED)
        self.waiting: dict[str, Answer] = {}
        self.busy = False
        self.done: list[Delivery] = []

    def pass_on(self) -> None:
        """Let somebody else read, if nobody does."""
        if not self.busy:
            for answer in self.waiting.values():
                if answer.found is None:
                    answer.bell.set()
                    return


class Replies:
    """The requests of one coordinator that wait for their answers.

    Args:
        store: Keeps the mailbox.
    """

    def __init__(self, store: MailboxStore) -> None:
        self._store = store
        self._reader = _Reader()

    def expect(self, message_id: str) -> Answer:
        """Return a place for an answer, until `forget`.

        Raises:
            InvalidMessageError: A request with this id is under way.
        """
        reader = self._reader
        if message_id in reader.waiting:
            raise InvalidMessageError(
                f"a request with message_id {message_id!r:.80} is under way; give each its own"
            )
        answer = reader.waiting[message_id] = Answer(reader.mailbox)
        return answer

    def forget(self, message_id: str) -> None:
        """Let go of the place; somebody else reads from now on."""
        reader = self._reader
        del reader.waiting[message_id]
        if reader.waiting:
            reader.pass_on()
        else:
            # Deleting the mailbox must not meet the answer to a later request in it.
            self._reader = _Reader()

    async def wait(self, answer: Answer, until: float) -> bool:
        """Return whether the answer came before a time of the loop's clock."""
        reader = self._reader
        loop = asyncio.get_running_loop()
        while answer.found is None:
            left = until - loop.time()
            if left <= 0:
                return False
            answer.bell.clear()
            if reader.busy:
                try:
                    async with asyncio.timeout(left):
                        await answer.bell.wait()
                except TimeoutError:
                    return answer.found is not None
                continue
            reader.busy = True
            try:
                await self._read(reader, left)
            except CoordinatorConnectionError as error:
                answer.error = error
                await asyncio.sleep(min(AGAIN, max(0.0, until - loop.time())))
            finally:
                reader.busy = False
        return True

    async def _read(self, reader: _Reader, seconds: float) -> None:
        acks, reader.done = reader.done, []
        order = Order(
            mailboxes=(reader.mailbox,),
            want=BATCH,
            lease=LEASE,
            most=EVER,
            wait=seconds,
            acks=acks,
        )
        try:
            taken = await self._store.take(order)
        except BaseException:
            reader.done = acks + reader.done  # acknowledging twice is harmless
            raise
        for delivery, entry in taken.entries:
            reader.done.append(delivery)
            try:
                message, headers = open_body(entry)
            except InvalidMessageError:
                continue  # no answer that anybody could read
            answer = reader.waiting.get((headers or {}).get(ANSWERS, ""))
            if answer is not None and answer.found is None:
                answer.found = (message, headers or {})
                answer.bell.set()

    async def leave(self, answer: Answer) -> None:
        """Delete the mailbox, if the request was the last; to be called after `forget`."""
        if answer.mailbox is not self._reader.mailbox:
            async with parting():  # else its time to live does it
                await self._store.drop(answer.mailbox)
