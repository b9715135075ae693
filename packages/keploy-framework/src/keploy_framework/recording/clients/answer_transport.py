"""An asyncio transport that is connected to a recording."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.clients.failures import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keploy_framework.recording.clients.conversation import Conversation
    from keploy_framework.recording.clients.seam import Interception

__all__ = ("AnswerTransport",)


class AnswerTransport(asyncio.Transport):
    """Gives a protocol the answer to what it writes, segment by segment, on the loop's clock.

    Args:
        loop: The loop of the protocol.
        protocol: Is given the answer.
        conversation: Finds the answer.
        interception: Says how fast it is played.
        failed: Is given what the call ends with instead of an answer: `UnrecordedCallError`, or
            what was recorded. The transport is closed then.
        forward: Takes over a call that goes to the network.
        ready: Says whether the protocol's reader has taken what it was given; the next segment
            waits for `resume_reading` otherwise. None: it always has.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        conversation: Conversation,
        interception: Interception,
        *,
        failed: Callable[[BaseException, Trouble | None], None],
        forward: Callable[[AnswerTransport], None],
        ready: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._interception = interception
        self._failed = failed
        self._forward = forward
        self._ready = ready
        self._asked = False
        self._closing = False
        self._paused = False
        self._lost = False
        self._next: asyncio.Handle | None = None
        self._started = 0.0
        self.conversation = conversation
        self.forwarded: asyncio.Transport | None = None
        """The real transport, once the call has gone to the network."""

    # --- what a protocol asks of a transport ------------------------------------------------

    def write(self, data: Any) -> None:
        """Take what the client sends; the answer comes with the loop's next turn."""
        if self.forwarded is not None:
            self.forwarded.write(data)
            return
        if self._closing:
            return
        conversation = self.conversation
        before = len(conversation.segments)
        conversation.feed(bytes(data))
        if conversation.whole and not self._asked:
            self._asked = True
            self._started = self._loop.time()
            try:
                found = conversation.answer()
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
                self._next = self._loop.call_soon(self._end_with, error, None)
                return
            if not found:
                self._next = self._loop.call_soon(self._forward, self)
                return
            self._schedule()
        elif self._asked and (len(conversation.segments) > before or conversation.hangs_up):
            self._schedule()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Take parts that the client sends at once."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """The client sends no more."""

    def can_write_eof(self) -> bool:
        """Half closed connections are of no use here."""
        return False

    def pause_reading(self) -> None:
        """Hold the answer back."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on with the answer."""
        self._paused = False
        self.go_on()

    def is_reading(self) -> bool:
        """Whether the answer goes on."""
        return not self._paused and not self._closing

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing

    def close(self) -> None:
        """Close it, as the client."""
        if self.forwarded is not None:
            self.forwarded.close()
        self._lose(None)

    def abort(self) -> None:
        """Close it at once."""
        self.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the answer to another protocol."""
        if isinstance(protocol, asyncio.Protocol):
            self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is no socket and no certificate to tell of."""
        if self.forwarded is not None:
            return self.forwarded.get_extra_info(name, default)
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def get_write_buffer_size(self) -> int:
        """Nothing is ever buffered."""
        return 0

    # --- the play -----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Go on, if the reader is ready and nothing is under way."""
        if self._asked and self._next is None:
            self._schedule()

    def _schedule(self) -> None:
        """Let the loop call `_step` when the next segment is due."""
        if self._next is not None or self._closing or self._paused or self.forwarded is not None:
            return
        if self._ready is not None and not self._ready():
            return
        conversation = self.conversation
        if conversation.segments:
            at = conversation.segments[0].at
        elif conversation.trouble is not None or conversation.hangs_up:
            at = 0.0 if conversation.trouble is None else conversation.end
        else:
            return
        due = self._started + self._interception.due(at)
        if self._interception.speed and due > self._loop.time():
            self._next = self._loop.call_at(due, self._step)
        else:
            self._next = self._loop.call_soon(self._step)

    def _step(self) -> None:
        """Give the protocol its next segment, or the end."""
        self._next = None
        if self._closing:
            return
        conversation = self.conversation
        if conversation.segments:
            self._protocol.data_received(conversation.segments.popleft().data)
            self._schedule()
            return
        self._end()

    def _end(self) -> None:
        """Come to the end of what was recorded."""
        conversation = self.conversation
        found = conversation.trouble
        exchange = conversation.exchange
        failure = exchange.failure if exchange is not None else None
        if found is None or failure is None or found is Trouble.CUT:
            self._lose(None)
        elif found is Trouble.RESET:
            self._lose(ConnectionResetError(failure.text))
        elif found is Trouble.LEFT:
            request = conversation.request
            self._end_with(
                IncompleteAnswerError(
                    f"the recorded answer to {request.method} {request.url} ends here: the client "
                    "that was recorded stopped reading"
                ),
                None,
            )
        else:
            self._end_with(TimeoutError(failure.text), found)

    def _end_with(self, error: BaseException, found: Trouble | None) -> None:
        """End the call with an error of its own."""
        self._next = None
        if not self._closing:
            self._failed(error, found)

    def _lose(self, error: Exception | None) -> None:
        """Tell the protocol that the connection is gone, once."""
        if self._lost:
            return
        self._lost = self._closing = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._loop.call_soon(self._protocol.connection_lost, error)
