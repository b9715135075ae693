"""Doubles for steps of workflows: they return what was recorded, and remember how they were called.

The one module that knows ``tta_dev_primitives``, and only when a double is made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast

from keploy_framework.errors import IncompleteAnswerError, KeployError, UnrecordedCallError
from keploy_framework.model import header_value
from keploy_framework.recording.clients.seam import Interception

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keploy_framework.model import Exchange, Request
    from keploy_framework.recording.clients.seam import Responder
    from tta_dev_primitives.testing import MockPrimitive

__all__ = ("decoded", "mock_primitive")

T = TypeVar("T")


def decoded(exchange: Exchange) -> object:
    """Return the body of an answer: what JSON says, else text, else bytes.

    Raises:
        IncompleteAnswerError: The exchange failed, or its body was not stored.

    Example:
        >>> from keploy_framework.model import Direction, Exchange, Piece, Request, Response
        >>> response = Response(
        ...     200,
        ...     "OK",
        ...     (("content-type", "application/json"),),
        ...     (Piece(0.1, b'{"a": '), Piece(0.2, b"1}")),
        ... )
        >>> decoded(Exchange("1", Direction.OUTBOUND, Request("GET", "http://a/"), response, 0, 0))
        {'a': 1}
    """
    response, failure = exchange.response, exchange.failure
    if failure is not None or response is None:
        reason = f"{failure.kind}: {failure.text}" if failure is not None else "no answer"
        raise IncompleteAnswerError(f"the recorded call failed: {reason}")
    if response.omitted is not None:
        raise IncompleteAnswerError(
            f"the body of the recorded call was not stored ({response.omitted.reason}); "
            "record it with store_large=True"
        )
    kind = (header_value(response.headers, "content-type") or "").partition(";")[0].strip().lower()
    body = response.body
    if kind == "application/json" or kind.endswith("+json"):
        return cast("object", json.loads(body))
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def mock_primitive(
    source: Iterable[Exchange] | Responder,
    answer: Callable[[Exchange], T],
    *,
    request: Callable[[object], Request] | None = None,
    name: str | None = None,
) -> MockPrimitive[T]:
    """Return a `MockPrimitive` that answers as it was recorded.

    Put it in the place of the step that makes the calls: ``workflow.replace(path, double)``.

    Args:
        source: The recorded calls, which are played in their order, one for each call of the step;
            or, together with ``request``, what finds the one that answers (see `Play`).
        answer: Makes of a recorded exchange what the step returns, or raises: `decoded`, or a
            function of one's own.
        request: Makes of the step's input the request that the step would send.
        name: The name of the double in paths. Default: that of the step whose place it takes.

    Raises:
        KeployError: tta-dev-primitives is not installed, or ``request`` does not fit ``source``.
        UnrecordedCallError: When called: nothing answers, or every recorded call was played.

    Example:
        ```text
        search = mock_primitive(exchanges, decoded)
        workflow = (step(call_search) >> rank).replace("sequential/call_search", search)
        ```
    """
    try:
        from tta_dev_primitives.testing import MockPrimitive  # noqa: PLC0415 - only if installed
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != "tta_dev_primitives":
            raise
        raise KeployError(
            "a double for a step needs tta-dev-primitives, which is not installed: "
            "`uv add tta-dev-primitives`"
        ) from None
    respond = _in_turn(source, request) if not hasattr(source, "answer") else None
    if respond is None:
        respond = _found(cast("Responder", source), request)

    def effect(input_data: object) -> T:
        return answer(respond(input_data))

    return MockPrimitive(name, side_effect=effect)


def _in_turn(
    source: object, request: Callable[[object], Request] | None
) -> Callable[[object], Exchange]:
    """Return what plays recorded calls one after the other."""
    if request is not None:
        raise KeployError(
            "`request` tells which recording answers, which takes a responder such as `Play`; "
            "recorded calls alone are played in their order"
        )
    exchanges = tuple(cast("Iterable[Exchange]", source))
    waiting = iter(exchanges)

    def respond(input_data: object) -> Exchange:
        exchange = next(waiting, None)
        if exchange is None:
            raise UnrecordedCallError(
                f"all {len(exchanges)} recorded calls were played, and the step is called again "
                f"with {input_data!r:.100}"
            )
        return exchange

    return respond


def _found(
    responder: Responder, request: Callable[[object], Request] | None
) -> Callable[[object], Exchange]:
    """Return what asks a responder."""
    if request is None:
        raise KeployError(
            "a responder finds a recording by a request: give `request`, a function that makes one "
            "of the step's input"
        )
    interception = Interception(frozenset(), responder=responder)

    def respond(input_data: object) -> Exchange:
        asked = request(input_data)
        exchange = interception.ask(asked)
        if exchange is None:
            raise UnrecordedCallError(f"no recording answers {asked.method} {asked.url}")
        return exchange

    return respond
