"""Classification: what kind of failure an exception is, told by type, status and code."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import (
    CircuitOpenError,
    CompositionError,
    ConfigurationError,
    Filtered,
    RateLimitedError,
    TimeoutExceededError,
)
from tta_dev_primitives.recovery import RetryPrimitive
from tta_dev_primitives.recovery.classification.classify import (
    ERROR_KINDS,
    classify_error,
    classify_with,
    counts_as_failure,
    is_failure,
    matcher,
    may_pass,
    stop_classifying_with,
)

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.classification.classify import ErrorKind

RETRIED = {"rate_limit", "overloaded", "server_error", "network", "timeout", "unknown", "rejected"}
COUNTED = RETRIED - {"rejected"}


def stand_in(module: str, name: str, *bases: type, **attributes: object) -> Exception:
    """Return an error with the class name, module and attributes of a library's."""
    cls = type(name, bases or (Exception,), {"__module__": module})
    error: Exception = cls("words that must not matter: rate limit, timeout, 429")
    vars(error).update(attributes)
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request"),
        (401, "auth"),
        (402, "auth"),
        (403, "auth"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "unknown"),
        (413, "context_length"),
        (422, "invalid_request"),
        (429, "rate_limit"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "overloaded"),
        (504, "timeout"),
        (529, "overloaded"),
        (200, "unknown"),
    ],
)
def test_an_http_status_tells_the_kind(status: int, kind: str) -> None:
    """On the error, or on its response, whatever the client calls it."""

    class Response:
        def __init__(self, name: str) -> None:
            setattr(self, name, status)

    assert classify_error(stand_in("unheard_of", "ApiError", status_code=status)) == kind
    assert classify_error(stand_in("unheard_of", "ApiError", status=status)) == kind
    assert classify_error(stand_in("unheard_of", "ApiError", code=status)) == kind
    for name in ("status_code", "status"):
        assert classify_error(stand_in("unheard_of", "ApiError", response=Response(name))) == kind


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"code": "context_length_exceeded", "status_code": 400}, "context_length"),
        ({"code": "content_policy_violation", "status_code": 400}, "content_policy"),
        ({"code": "content_filter", "status_code": 400}, "content_policy"),
        ({"code": "insufficient_quota", "status_code": 429}, "auth"),
        ({"code": "model_not_found", "status_code": 400}, "not_found"),
        ({"code": None, "type": "invalid_request_error", "status_code": 401}, "auth"),
        ({"type": "overloaded_error", "status_code": 200}, "overloaded"),
        ({"body": {"error": {"type": "overloaded_error"}}}, "overloaded"),
        ({"body": {"error": {"code": "context_length_exceeded"}}}, "context_length"),
        ({"body": {"code": "invalid_api_key"}}, "auth"),
        ({"body": '{"code": "rate_limited"}', "status_code": 400}, "rate_limit"),
        ({"body": "{" * 100_000, "status_code": 500}, "server_error"),
        ({"body": '{"a":' * 30_000, "status_code": 500}, "server_error"),
        ({"body": b"\xff{", "status_code": 503}, "overloaded"),
        ({"status": "RESOURCE_EXHAUSTED", "code": 429}, "rate_limit"),
        ({"status": "INVALID_ARGUMENT", "code": 400}, "invalid_request"),
        ({"status": "DEADLINE_EXCEEDED"}, "timeout"),
        (
            {"body": {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}},
            "content_policy",
        ),
        ({"type": "invalid_request_error"}, "invalid_request"),
        ({"type": "api_error", "status_code": 200}, "server_error"),
        ({"code": True, "status_code": True, "body": 7, "response": object()}, "unknown"),
        ({"code": "code", "type": "type", "body": {"error": "text"}}, "unknown"),
    ],
)
def test_a_providers_code_says_more_than_the_status(
    attributes: dict[str, object], kind: str
) -> None:
    """It is compared as a whole; words of a message are never looked at."""
    assert classify_error(stand_in("provider", "APIStatusError", **attributes)) == kind


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 429, "rate_limit"),
        ("ModelNotReadyException", 429, "overloaded"),
        ("ModelErrorException", 424, "server_error"),
        ("AccessDeniedException", 403, "auth"),
        ("ValidationException", 400, "invalid_request"),
        ("NotYetKnown", 502, "server_error"),
    ],
)
def test_the_response_of_botocore_is_a_dict(code: str, status: int, kind: str) -> None:
    """With the code of the service, and the status below its metadata."""
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert classify_error(stand_in("botocore.exceptions", "ClientError", response=response)) == kind


def test_the_code_of_grpc_is_a_method() -> None:
    """It is called only on an error of grpc; others may do anything when called."""

    class Code:
        name = "UNAVAILABLE"

    def surprise() -> Code:
        return Code()

    assert classify_error(stand_in("grpc.aio._call", "AioRpcError", code=surprise)) == "overloaded"
    assert classify_error(stand_in("elsewhere", "Odd", code=surprise)) == "unknown"


@pytest.mark.parametrize(
    ("module", "name", "kind"),
    [
        ("openai", "APITimeoutError", "timeout"),
        ("openai", "APIConnectionError", "network"),
        ("anthropic", "APIConnectionError", "network"),
        ("openai", "ContentFilterFinishReasonError", "content_policy"),
        ("litellm.exceptions", "ContextWindowExceededError", "context_length"),
        ("httpx", "ReadTimeout", "unknown"),  # its base says so, see the next test
        ("httpx", "TimeoutException", "timeout"),
        ("httpx", "RemoteProtocolError", "network"),
        ("aiohttp.client_exceptions", "ServerTimeoutError", "timeout"),
        ("botocore.exceptions", "NoCredentialsError", "auth"),
        ("requests.exceptions", "ConnectionError", "network"),
        ("mine", "TimeoutException", "unknown"),
    ],
)
def test_a_class_is_known_by_its_package_and_its_name(module: str, name: str, kind: str) -> None:
    """A class of the same name elsewhere is another one."""
    assert classify_error(stand_in(module, name)) == kind


def test_the_nearest_known_class_decides() -> None:
    """A subclass is what its base is, unless it is known itself."""
    base = type(stand_in("openai", "APIConnectionError"))
    assert classify_error(stand_in("openai", "APITimeoutError", base)) == "timeout"
    assert classify_error(stand_in("mine", "Lost", base)) == "network"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (TimeoutExceededError("late"), "timeout"),
        (ConnectionResetError(), "network"),
        (socket.gaierror(), "network"),
        (ssl.SSLCertVerificationError(), "auth"),
        (ssl.SSLError(), "network"),
        (OSError(errno.EHOSTUNREACH, "no route"), "network"),
        (OSError(errno.ENOENT, "no file"), "unknown"),
        (asyncio.IncompleteReadError(b"", 1), "network"),
        (ValueError("429"), "unknown"),
        (TypeError(), "bug"),
        (UnboundLocalError(), "bug"),
        (ModuleNotFoundError(), "bug"),
        (CompositionError(), "bug"),
        (RateLimitedError("later"), "rejected"),
        (CircuitOpenError("mail", 1.0), "rejected"),
        (Filtered("held"), "unknown"),
        (asyncio.CancelledError(), "unknown"),
        (KeyboardInterrupt(), "unknown"),
    ],
)
def test_exceptions_of_python_and_of_ours_have_a_kind(error: BaseException, kind: str) -> None:
    """By type, and by the number of an `OSError`."""
    assert classify_error(error) == kind


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_each_kind_is_retried_and_counted_as_the_table_says(kind: ErrorKind) -> None:
    """The table in the text of the module."""
    import tta_dev_primitives.recovery.classification.classify as module

    row = next(r for r in str(module.__doc__).splitlines() if r.startswith(f"| `{kind}`"))
    retried, counted = (cell.strip() == "yes" for cell in row.split("|")[3:5])

    class MarkedError(Exception):
        pass

    @classify_with
    def of_mine(error: Exception) -> ErrorKind | None:
        return kind if isinstance(error, MarkedError) else None

    try:
        assert may_pass(MarkedError()) == retried == (kind in RETRIED)
        assert counts_as_failure(MarkedError()) == counted == (kind in COUNTED)
        assert matcher(kind)(MarkedError())
    finally:
        stop_classifying_with(of_mine)


async def test_a_retry_follows_the_kinds_by_default() -> None:
    """A wrong key is not tried again, an overload is."""
    calls = 0

    async def fails(error: Exception) -> None:
        nonlocal calls
        calls += 1
        raise error

    for error, expected in ((stand_in("p", "E", status_code=401), 1), (ConnectionError(), 3)):
        calls = 0
        with pytest.raises(type(error)):
            await RetryPrimitive(fails, initial_delay=0).execute(error)
        assert calls == expected


def test_kinds_and_classes_can_be_asked_for_together() -> None:
    """In `on=`: any of them matches."""
    rule = matcher(("rate_limit", LookupError))
    assert rule(stand_in("p", "E", status_code=429))
    assert rule(KeyError())
    assert not rule(stand_in("p", "E", status_code=500))
    wrong: Any = "rate_limits"
    with pytest.raises(ConfigurationError, match=r"kinds of errors \(rate_limit, over"):
        matcher(wrong)


# --- causes and groups --------------------------------------------------------------------------


def test_an_error_that_tells_nothing_is_what_it_was_raised_from() -> None:
    """Only by `raise ... from`; a bug in the chain is not this error's."""
    outer, middle = RuntimeError("no answer"), LookupError()
    outer.__cause__, middle.__cause__ = middle, stand_in("p", "E", status_code=429)
    assert classify_error(outer) == "rate_limit"
    middle.__cause__ = TypeError()
    assert classify_error(outer) == "unknown"
    middle.__cause__, outer.__context__ = None, TimeoutError()
    assert classify_error(outer) == "unknown"


def test_a_cycle_of_causes_ends__case_35() -> None:
    """`raise e from e`, and a cycle of three (case 35)."""
    one, two, three = RuntimeError(), RuntimeError(), RuntimeError()
    one.__cause__ = one
    assert classify_error(one) == "unknown"
    one.__cause__, two.__cause__, three.__cause__ = two, three, one
    assert classify_error(one) == "unknown"
    assert may_pass(one)


def test_all_leaves_of_a_group_decide__case_45() -> None:
    """One fatal leaf is enough against a retry; cancellation is no leaf (case 45)."""
    fatal, passing = stand_in("p", "E", status_code=401), ConnectionError()
    deep = ExceptionGroup(
        "a", [passing, ExceptionGroup("b", [passing, ExceptionGroup("c", [fatal])])]
    )
    assert classify_error(deep) == "auth"
    assert not may_pass(deep)
    assert counts_as_failure(deep)
    alike = ExceptionGroup("a", [passing, ExceptionGroup("b", [TimeoutError()])])
    assert classify_error(alike) == "network"
    assert may_pass(alike)
    cancelled = BaseExceptionGroup("a", [passing, asyncio.CancelledError()])
    assert not is_failure(cancelled)
    assert not counts_as_failure(cancelled)
    assert matcher(("network", "timeout"))(alike)
    assert not matcher("network")(alike)


def test_a_group_of_any_depth_is_classified() -> None:
    """Without recursion."""
    error: Exception = stand_in("p", "E", status_code=429)
    for _ in range(5_000):
        error = ExceptionGroup("deeper", [error])
    assert classify_error(error) == "rate_limit"


def test_attributes_that_raise_or_warn_are_passed_over() -> None:
    """Properties of strange exceptions run no harm, and an old name is not read."""

    class StrangeError(Exception):
        status = 429

        @property
        def body(self) -> object:
            raise RuntimeError

        @property
        def code(self) -> int:
            raise DeprecationWarning

    assert classify_error(StrangeError()) == "rate_limit"


ATTRIBUTES = ("status_code", "status", "code", "error_code", "type", "body", "details", "response")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "type", "details", "status"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(ATTRIBUTES), anything))
def test_every_error_has_a_kind_whatever_it_carries(attributes: dict[str, object]) -> None:
    """Always one of the kinds, never an exception."""
    assert classify_error(stand_in("provider", "ApiError", **attributes)) in ERROR_KINDS
