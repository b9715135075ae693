"""An exchange that is being recorded: it takes the parts as they pass, and hands over the whole."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.model import (
    Direction,
    Exchange,
    Failure,
    Message,
    Omitted,
    Piece,
    Request,
    Response,
)
from keploy_framework.recording.sink import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.model import Headers
    from keploy_framework.recording.intake import Intake
    from keploy_framework.recording.sink import RequestHead

__all__ = ("OPEN_COST", "Hash", "OpenExchange")

OPEN_COST = 4096
"""What an exchange holds from its beginning on, in bytes: headers, bookkeeping, a short body."""
_BARE_COST = 2048
_PIECE_COST = 96
_NOT_STORED = frozenset({"keploy-last-testcase", "keploy-test-id", "keploy-test-set-id"})


class OpenExchange:
    """Takes the parts of one exchange, see `ExchangeWriter`; made by `Recorder.open`."""

    __slots__ = (
        "_answer",
        "_began",
        "_direction",
        "_done",
        "_elapsed",
        "_failure",
        "_head",
        "_held",
        "_intake",
        "_message_size",
        "_messages",
        "_parent",
        "_question",
        "_request",
        "_spare",
        "_started",
        "_trailers",
        "id",
    )

    def __init__(
        self,
        intake: Intake,
        direction: Direction,
        request: RequestHead | Callable[[], RequestHead | None],
        parent: str | None,
    ) -> None:
        self._intake = intake
        self._direction = direction
        self._request = request
        self._parent = parent
        self._head: tuple[int, str, Headers, str] | None = None
        self._trailers: Headers = ()
        self._question = _NOTHING
        self._answer = _NOTHING
        self._messages: list[Message] = []
        self._message_size = 0
        self._failure: Failure | None = None
        self._held = OPEN_COST
        self._spare = OPEN_COST - _BARE_COST
        self._done = False
        self._elapsed = 0.0
        self.id: str = intake.next_id()
        self._started = intake.wall_ns()
        self._began = intake.monotonic()
        intake.under_way.add(self)

    def request_piece(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        if data and not self._done:
            if self._question is _NOTHING:
                self._question = _Body()
            self._add(self._question, data)

    def response_head(
        self, status: int, reason: str, headers: Headers, http_version: str = "1.1"
    ) -> None:
        """Take the head of the final answer."""
        if not self._done:
            self._head = (status, reason, headers, http_version)

    def response_piece(self, data: bytes) -> None:
        """Take a piece of the answer's body."""
        if data and not self._done:
            if self._answer is _NOTHING:
                self._answer = _Body()
            self._add(self._answer, data)

    def trailers(self, headers: Headers) -> None:
        """Take the trailers of the answer."""
        if not self._done:
            self._trailers += headers

    def message(
        self, sender: Literal["client", "server"], data: str | bytes, close_code: int | None = None
    ) -> None:
        """Take a WebSocket message, or a close."""
        if self._done:
            return
        intake = self._intake
        try:
            if self._failure is not None:  # it was too long already
                return
            size = len(data)  # of characters: a bound on memory, not a length on the wire
            self._message_size += size
            if self._message_size > intake.max_body and not intake.store_large:
                self._failure = Failure(
                    "keploy_framework.TooLong",
                    f"only the first messages are stored: they were more than {intake.max_body} "
                    "bytes; record with store_large=True to keep all",
                )
            elif self._hold(size + _PIECE_COST):
                at = intake.monotonic() - self._began
                stored = data if isinstance(data, str) else bytes(data)
                self._messages.append(Message(at, sender, stored, close_code))
        except Exception as error:  # noqa: BLE001 - the traffic goes on
            self._broken(error)

    def end(self) -> None:
        """The answer is whole."""
        if not self._done:
            self._hand_over()

    def fail(self, error: BaseException) -> None:
        """The exchange ended with `error` before the answer was whole."""
        if not self._done:
            self._failure = failure_of(error)
            self._hand_over()

    def cut_off(self) -> str:
        """End it because the recording ends; return what was asked if nothing of it is kept.

        An answer that has begun is kept as far as it came, as if its client had left then.
        """
        if self._done:
            return ""
        if self._direction is Direction.INBOUND and self._head is not None:
            self.fail(IncompleteAnswerError("the recording ended before the answer did"))
            return ""
        asked = self._asked()
        self._give_up()
        return "a request that cannot be read" if asked is None else f"{asked[0]} {asked[1]}"

    def _add(self, body: _Body, data: bytes) -> None:
        """Take a piece of a body: hold it, or hash it once the body is too long to hold."""
        intake = self._intake
        try:
            at = intake.monotonic() - self._began
            if type(data) is not bytes:
                data = bytes(data)
            body.size += len(data)
            if body.hash is not None:
                body.hash.update(data)
                if body.long is not None:
                    self._pass_on(body, at, data)
            elif body.size <= intake.max_body:
                cost = len(data) + _PIECE_COST
                if cost <= self._spare:  # as `_hold` does, without a call for each piece
                    self._spare -= cost
                    body.pieces.append((at, data))
                elif self._hold(cost):
                    body.pieces.append((at, data))
            else:
                body.pieces.append((at, data))
                self._outgrow(body)
        except Exception as error:  # noqa: BLE001 - the traffic goes on
            self._broken(error)

    def _outgrow(self, body: _Body) -> None:
        """Go over from holding a body to hashing it, and to passing it on if it is stored."""
        intake = self._intake
        pieces, body.pieces = body.pieces, []
        hashed = sha256()
        for _, data in pieces:
            hashed.update(data)
        held = sum(len(data) + _PIECE_COST for _, data in pieces[:-1])
        self._held -= held
        intake.memory.give_back(held)
        body.hash = hashed
        if intake.store_large:
            answer = body is self._answer
            headers: Headers = ()
            if not answer:
                asked = self._asked()
                headers = asked[2] if asked is not None else ()
            elif self._head is not None:
                headers = self._head[2]
            body.long = f"{self.id}-{'response' if answer else 'request'}.body"
            intake.spool.put(partial(intake.journal.begin_long, body.long, headers))
            for at, data in pieces:
                self._pass_on(body, at, data)

    def _pass_on(self, body: _Body, at: float, data: bytes) -> None:
        """Give a piece of a long body to the writing thread."""
        memory, journal = self._intake.memory, self._intake.journal
        if body.long is None:
            return
        cost = len(data) + _PIECE_COST
        if memory.take(cost):
            memory.hand_over(cost)
            self._intake.spool.put(partial(journal.add_long, body.long, at, data, cost))
        else:
            self._intake.spool.put(partial(journal.drop_long, body.long))
            body.long = None
            body.reason = "it did not fit into the memory of the recorder"

    def _hold(self, size: int) -> bool:
        """Hold memory; give the exchange up when there is none."""
        if size <= self._spare:
            self._spare -= size
            return True
        if self._intake.memory.take(size):
            self._held += size
            return True
        self._intake.drop()
        self._give_up()
        return False

    def _broken(self, error: BaseException) -> None:
        self._intake.failed(error)
        self._give_up()

    def _give_up(self) -> None:
        """Record nothing of this exchange."""
        if self._done:
            return
        self._done = True
        intake = self._intake
        intake.under_way.discard(self)
        for body in (self._question, self._answer):
            if body.long is not None:
                intake.spool.put(partial(intake.journal.drop_long, body.long))
        self._question = self._answer = _NOTHING
        self._messages = []
        intake.memory.give_back(self._held)

    def _hand_over(self) -> None:
        """Give the whole exchange to the writing thread."""
        self._done = True
        intake = self._intake
        intake.under_way.discard(self)
        try:
            self._elapsed = intake.monotonic() - self._began
            intake.memory.hand_over(self._held)
            intake.spool.put(self._write)
        except Exception as error:  # noqa: BLE001 - the traffic goes on
            intake.failed(error)

    def _write(self) -> None:
        """Write the exchange (on the writing thread)."""
        journal = self._intake.journal
        long = self._question.long, self._answer.long
        if self._asked() is not None:
            journal.write(self._build, long)
        else:
            for name in filter(None, long):
                journal.drop_long(name)
        self._question = self._answer = _NOTHING
        self._messages = []
        self._intake.memory.give_back(self._held, handed_over=True)

    def _asked(self) -> RequestHead | None:
        """Return the head of the request; None if it cannot be read."""
        if callable(self._request):
            told = self._request()
            if told is None:
                return None
            self._request = told
        return self._request

    def _build(self) -> Exchange:
        """Make the record of the exchange."""
        method, url, headers, version = cast("RequestHead", self._request)
        question, answer = self._question, self._answer
        response = None
        if self._head is not None:
            status, reason, response_headers, response_version = self._head
            response = Response(
                status,
                reason,
                response_headers,
                tuple(Piece(at, data) for at, data in answer.pieces),
                response_version,
                self._trailers,
                answer.omitted(self._intake.max_body),
            )
        return Exchange(
            id=self.id,
            direction=self._direction,
            request=Request(
                method,
                url,
                tuple(pair for pair in headers if pair[0].lower() not in _NOT_STORED),
                b"".join([data for _, data in question.pieces]),
                version,
                question.omitted(self._intake.max_body),
            ),
            response=response,
            started_at=self._started,
            ended_at=self._started + round(self._elapsed * 1e9),
            failure=self._failure,
            parent=self._parent,
            messages=tuple(self._messages),
        )


class Hash(Protocol):
    """What `hashlib` makes; its type has no public name."""

    def update(self, data: bytes, /) -> None:
        """Take more of what is hashed."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of what was taken."""
        ...


class _Body:
    """A body on its way: its pieces while it is short, its hash once it is long."""

    __slots__ = ("hash", "long", "pieces", "reason", "size")

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.size = 0
        self.hash: Hash | None = None
        self.long: str | None = None
        self.reason = ""

    def omitted(self, limit: int) -> Omitted | None:
        """Return what to store in the place of a long body."""
        if self.hash is None:
            return None
        reason = self.reason or f"it was longer than {limit} bytes"
        return Omitted(self.size, self.hash.hexdigest(), reason)


_NOTHING: Final = _Body()
"""The body of those that have none; nothing is ever added to it."""
