"""Doubles for steps of workflows, made of recordings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from keploy_framework.errors import IncompleteAnswerError, KeployError, UnrecordedCallError
from keploy_framework.matching import Miss
from keploy_framework.mock import decoded, mock_primitive
from keploy_framework.model import Direction, Exchange, Failure, Omitted, Piece, Request, Response

if TYPE_CHECKING:
    from keploy_framework.model import Headers

JSON: Headers = (("Content-Type", "application/problem+json; charset=utf-8"),)


def missed(request: Request) -> Miss:
    return Miss(f"{request.method} {request.url}", None, (), played=False, hint="")


def exchange(body: bytes = b"", headers: Headers = (), **changed: object) -> Exchange:
    """Return a recorded call."""
    response = Response(200, "OK", headers, (Piece(0.0, body),))
    fields: dict[str, object] = {
        "id": "1",
        "direction": Direction.OUTBOUND,
        "request": Request("GET", "http://example.com/"),
        "response": response,
        "started_at": 0,
        "ended_at": 0,
    }
    return Exchange(**{**fields, **changed})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("body", "headers", "value"),
    [
        (b'{"a": [1]}', JSON, {"a": [1]}),
        (b'{"a": [1]}', (), '{"a": [1]}'),
        ("é".encode(), (("Content-Type", "text/plain"),), "é"),
        (b"\xff", (), b"\xff"),
    ],
)
def test_a_body_is_decoded_as_its_type_says(body: bytes, headers: Headers, value: object) -> None:
    """JSON to what it says, text to text, anything else stays bytes."""
    assert decoded(exchange(body, headers)) == value


def test_what_has_no_body_raises_and_says_why() -> None:
    """A failed call, a call without an answer, a body that was not stored."""
    omitted = Response(200, "OK", omitted=Omitted(1, "0", "too long"))

    with pytest.raises(IncompleteAnswerError, match=r"failed: builtins\.OSError: down"):
        decoded(exchange(failure=Failure("builtins.OSError", "down")))
    with pytest.raises(IncompleteAnswerError, match="no answer"):
        decoded(exchange(response=None))
    with pytest.raises(IncompleteAnswerError, match=r"not stored \(too long\)"):
        decoded(exchange(response=omitted))


async def test_recorded_calls_are_played_one_for_each_call_of_the_step() -> None:
    """A workflow runs on with what was recorded; one call too many is an error that says so."""
    pytest.importorskip("tta_dev_primitives")
    from tta_dev_primitives import step

    async def search(query: str) -> object:
        raise AssertionError(query)

    def shown(found: object) -> str:
        return f"<{found}>"

    double = mock_primitive([exchange(b"one"), exchange(b"two")], decoded)
    workflow = (step(search) >> shown).replace("sequential/search", double)

    assert [await workflow.execute("cats") for _ in range(2)] == ["<one>", "<two>"]
    with pytest.raises(UnrecordedCallError, match=r"all 2 recorded calls were played.*'cats'"):
        await workflow.execute("cats")
    assert len(double.calls) == 3


async def test_a_double_may_find_its_answer_by_the_request_of_the_step() -> None:
    """With a responder, the input decides, in whatever order the calls come."""
    pytest.importorskip("tta_dev_primitives")

    class Responder:
        def answer(self, request: Request) -> Exchange | Miss | None:
            if request.url.endswith("none"):
                return None
            return exchange(request.url.encode()) if request.url.endswith("/a") else missed(request)

    def asked(query: object) -> Request:
        return Request("GET", f"http://example.com/{query}")

    double = mock_primitive(Responder(), decoded, request=asked, name="search")

    assert await double.execute("a") == "http://example.com/a"
    for query in ("x", "none"):
        with pytest.raises(UnrecordedCallError, match=f"no recording answers GET .*/{query}"):
            await double.execute(query)


def test_a_source_and_a_request_that_do_not_fit_are_refused_at_once() -> None:
    """A responder needs a request, recorded calls have no use for one."""
    pytest.importorskip("tta_dev_primitives")

    class Responder:
        def answer(self, request: Request) -> Exchange | Miss | None:
            raise AssertionError(request)

    with pytest.raises(KeployError, match="give `request`"):
        mock_primitive(Responder(), decoded)
    with pytest.raises(KeployError, match="are played in their order"):
        mock_primitive([], decoded, request=lambda query: Request("GET", str(query)))


def test_without_the_core_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest of the mocks works without it."""
    monkeypatch.setitem(sys.modules, "tta_dev_primitives", None)
    monkeypatch.setitem(sys.modules, "tta_dev_primitives.testing", None)

    with pytest.raises(KeployError, match="uv add tta-dev-primitives"):
        mock_primitive([], decoded)
