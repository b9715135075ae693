"""The verdict on one case: how what came differs from what was recorded, and what excuses it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from keploy_framework.matching import (
    FRAMING_HEADERS,
    Difference,
    MatchRules,
    answer_differences,
    body_differences,
)
from keploy_framework.model import Direction, Exchange, Piece, Request, Response, header_value
from keploy_framework.noise import NoiseRules
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.replay.asserted import broken, left_standing, with_recorded_names
from keploy_framework.storage.documents import Document, render
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.http import decode_http, encode_http
from keploy_framework.storage.tree import load_placed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keploy_framework.matching import SameSecrets
    from keploy_framework.model import Message
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.replay.plan import PlannedCase

__all__ = ("Verdict", "judged")

_SOCKET_HEADERS: Final = FRAMING_HEADERS | {
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "upgrade",
}
_HTTP: Final = MatchRules()
_SOCKET: Final = MatchRules(ignored_headers=_SOCKET_HEADERS)
_BLANK: Final = Request("GET", "http://localhost/")
_ERROR: Final = 500


class Verdict(NamedTuple):
    """What is to be said of a case.

    Attributes:
        differences: Those that count.
        excused: Those that do not.
        actual: What came, without its secrets; None if it is what was recorded.
    """

    differences: tuple[Difference, ...]
    excused: tuple[Difference, ...]
    actual: Exchange | None


def judged(
    case: PlannedCase,
    expected: Exchange,
    actual: Exchange,
    *,
    secrets: SameSecrets,
    redact: Redactor,
    follows: Callable[[Difference], bool] | None = None,
    pieces: bool = False,
) -> Verdict:
    """Compare what came with what was recorded.

    Args:
        case: The case.
        expected: What was recorded.
        actual: What came, with all its secrets.
        secrets: Which placeholder stands for which, for all cases of the set.
        redact: Takes the secrets out of what is shown.
        follows: Says which differences follow from the answers to other cases.
        pieces: Whether the pieces of the answer have to be the recorded ones, not only their bytes.
    """
    if _is_same(expected, actual) and not case.redacted and not case.assertions:
        found = _piece_differences(expected, actual) if pieces else []
        return Verdict(tuple(found), (), None)
    actual = _as_served(expected, actual)
    known = secrets if case.redacted else None
    shown = redact.exchange(actual) if case.redacted else actual
    noise = NoiseRules() if case.keploy is not None else case.noise
    excuses = _Excuses(noise, follows)
    found = _counting(case, expected, (actual, shown), known, excuses)
    if pieces and not found:
        found = _piece_differences(expected, shown)
    if not case.redacted and (found or excuses.excused or case.assertions):
        # What is told of it holds no secret: neither of the recording, nor of the replay.
        shown = redact.exchange(actual)
        safe = _Excuses(noise, follows)
        told = _counting(case, redact.exchange(expected), (shown, shown), None, safe)
        if pieces and not told:
            told = _piece_differences(expected, shown)
        if told and found:
            found = told
        if safe.excused:
            excuses = safe
    return Verdict(tuple(found), tuple(excuses.excused), shown)


def _counting(
    case: PlannedCase,
    expected: Exchange,
    came: tuple[Exchange, Exchange],
    secrets: SameSecrets | None,
    excuses: _Excuses,
) -> list[Difference]:
    """Return the differences that count: by our rules or Keploy's, or by what the case asserts.

    ``came`` is what came, with its secrets and as it may be told.
    """
    actual, shown = came
    strict = _compared(case, expected, shown, secrets, excuses)
    if case.keploy is None and not case.assertions:
        return strict
    before, now = _comparable(case, expected, shown)
    if before is None or now is None:
        return strict
    named = with_recorded_names(now, secrets)
    found = strict
    if case.keploy is not None:
        paths = [each.path for each in excuses.excused]
        found = case.keploy.differences(strict, before, named, follows=paths)
    if case.assertions:
        raw = named if actual is shown else _comparable(case, expected, actual)[1] or named
        asserted = broken(case.assertions, before, raw, named)
        found = [*left_standing([*asserted, *found], case.noise, excuses.follow)]
    excuses.excused += [each for each in strict if each not in found]
    return found


class _Excuses:
    """Says which differences do not count, and remembers them."""

    def __init__(self, noise: NoiseRules, follows: Callable[[Difference], bool] | None) -> None:
        self._noise = noise
        self._follows = follows
        self.excused: list[Difference] = []

    def __call__(self, difference: Difference, /) -> bool:
        if not self._noise(difference):
            return self.follow(difference)
        self._remember(difference)
        return True

    def follow(self, difference: Difference) -> bool:
        """Say whether a difference only follows from earlier answers."""
        if self._follows is None or not self._follows(difference):
            return False
        self._remember(difference)
        return True

    def _remember(self, difference: Difference) -> None:
        if difference not in self.excused:
            self.excused.append(difference)


def _is_same(expected: Exchange, actual: Exchange) -> bool:
    """Say whether two exchanges are equal at first sight, as most are."""
    a, b = expected.response, actual.response
    return (
        a is not None
        and b is not None
        and a.status == b.status
        and a.headers == b.headers
        and a.trailers == b.trailers
        and a.omitted is None
        and b.omitted is None
        and expected.failure is None
        and actual.failure is None
        and not expected.messages
        and not actual.messages
        and a.body == b.body
    )


def _as_served(expected: Exchange, actual: Exchange) -> Exchange:
    """Return what a client would have seen where a server answers for a failed application."""
    response = expected.response
    if (
        response is None
        or response.status != _ERROR
        or expected.failure is not None
        or actual.failure is None
        or actual.response is not None
    ):
        return actual
    headers = tuple(
        line for line in response.headers if line[0].lower() in {"content-type", "content-length"}
    )
    # Each server has words of its own for this; the recorded one is not here to say them.
    made = Response(_ERROR, response.reason, headers, response.pieces)
    return replace(actual, response=made, failure=None)


def _compared(
    case: PlannedCase,
    expected: Exchange,
    actual: Exchange,
    secrets: SameSecrets | None,
    excuses: _Excuses,
) -> list[Difference]:
    before, now = _comparable(case, expected, actual)
    found: list[Difference] = []
    if before is not None and now is not None:
        rules = _SOCKET if case.is_websocket else _HTTP
        found += answer_differences(before, now, rules=rules, secrets=secrets, excuses=excuses)
        if case.is_websocket:
            found += _messages(expected.messages, actual.messages, secrets, excuses)
    elif now is not None:
        found.append(Difference("status", "added", None, now.status))
    elif before is not None:
        found.append(Difference("status", "missing", before.status, None))
    return found + _failures(expected, actual)


def _comparable(
    case: PlannedCase, expected: Exchange, actual: Exchange
) -> tuple[Response | None, Response | None]:
    """Return both answers, the second one with what the first has lost when it was recorded."""
    before, now = expected.response, actual.response
    if before is None or now is None:
        return before, now
    if expected.failure is not None and trouble(expected.failure) is Trouble.LEFT:
        now = _prefix(now, len(before.body))
    if not case.stored.exact and case.stored.kind == "Http":
        now = _as_keploy_stores(now, actual)
    return before, now


def _failures(expected: Exchange, actual: Exchange) -> list[Difference]:
    """Compare whether the answers were whole; why one was not is each server's own."""
    before, now = expected.failure, actual.failure
    if before is None and now is not None:
        return [Difference("failure", "added", None, f"{now.kind}: {now.text}", "the answer's end")]
    if before is not None and now is None and trouble(before) is not Trouble.LEFT:
        said = f"{before.kind}: {before.text}"
        return [Difference("failure", "missing", said, None, "the answer's end")]
    return []


def _prefix(response: Response, length: int) -> Response:
    """Return an answer cut where the recorded client left."""
    pieces: list[Piece] = []
    for piece in response.pieces:
        if length <= 0:
            break
        pieces.append(Piece(piece.at, piece.data[:length]))
        length -= len(piece.data)
    return replace(response, pieces=tuple(pieces))


def _as_keploy_stores(response: Response, actual: Exchange) -> Response:
    """Return an answer with the losses that Keploy's form has: the recorded one has them too."""
    exchange = Exchange("", Direction.INBOUND, _BLANK, response, actual.started_at, actual.ended_at)
    tree = encode_http(exchange, "actual", test_set="actual").tree
    data = render([Document(tree)])
    _, stored = next(iter(load_placed(data, "the answer")))
    spec = Fields(stored, "the answer", data).required("spec")
    decoded = decode_http(spec, "actual", Direction.INBOUND, lambda _fields, _path: b"")
    return decoded.response or response


def _messages(
    expected: Sequence[Message],
    actual: Sequence[Message],
    secrets: SameSecrets | None,
    excuses: _Excuses,
) -> list[Difference]:
    """Compare what the server said, in order."""
    before = [message for message in expected if message.sender == "server"]
    now = [message for message in actual if message.sender == "server"]
    found: list[Difference] = []
    for number, (old, new) in enumerate(zip(before, now, strict=False), 1):
        place = f"message {number} of the server"
        if type(old.data) is not type(new.data) or (old.close_code is None) != (
            new.close_code is None
        ):
            found.append(Difference("body", "type", _shown(old), _shown(new), place))
            continue
        if old.close_code != new.close_code:
            found.append(Difference("body", "value", old.close_code, new.close_code, place))
        if old.data == new.data and secrets is None:
            continue
        inner = body_differences(
            _bytes(old), _bytes(new), secrets=secrets, excuses=excuses, path="body"
        )
        found += [replace(each, place=f"{place}: {each.place or each.path}") for each in inner]
    if len(before) != len(now):
        found.append(
            Difference("body", "length", len(before), len(now), "the messages of the server")
        )
    return [each for each in found if not excuses(each)]


def _bytes(message: Message) -> bytes:
    data = message.data
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")


def _shown(message: Message) -> str | bytes:
    return f"a close, {message.close_code}" if message.close_code is not None else message.data


def _piece_differences(expected: Exchange, actual: Exchange) -> list[Difference]:
    """Compare where the pieces of two equal answers end."""
    before, now = expected.response, actual.response
    if before is None or now is None:
        return []
    if header_value(before.headers, "content-length") is not None:
        return []  # it is no stream: in how many reads it came is the network's work
    old = [len(piece.data) for piece in before.pieces if piece.data]
    new = [len(piece.data) for piece in now.pieces if piece.data]
    if old == new:
        return []
    if len(old) == len(new) and before.body != now.body:
        return []  # what is excused may make any piece longer
    if len(old) != len(new):
        return [Difference("body", "length", len(old), len(new), "the pieces of the answer")]
    pairs = enumerate(zip(old, new, strict=True), 1)
    at = next(number for number, (a, b) in pairs if a != b)
    place = f"piece {at} of the answer, bytes"
    return [Difference("body", "value", old[at - 1], new[at - 1], place)]
