"""Classification of real errors of real clients, as far as they are installed."""

from __future__ import annotations

import http.client
import urllib.error
import warnings
from email.message import Message
from typing import Any

import pytest

from tta_dev_primitives.recovery.classification.classify import classify_error


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ConnectError", "network"),
        ("ConnectTimeout", "timeout"),
        ("PoolTimeout", "timeout"),
        ("ReadError", "network"),
        ("ReadTimeout", "timeout"),
        ("RemoteProtocolError", "network"),
        ("TooManyRedirects", "invalid_request"),
        ("UnsupportedProtocol", "invalid_request"),
    ],
)
def test_a_transport_error_of_httpx(name: str, kind: str) -> None:
    """By its class."""
    httpx = pytest.importorskip("httpx")
    assert classify_error(getattr(httpx, name)("words")) == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, None, "rate_limit"),
        (502, None, "server_error"),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_length"),
        (400, {"error": {"message": "context_length_exceeded"}}, "invalid_request"),
        (400, ["no object"], "invalid_request"),
    ],
)
def test_a_status_error_of_httpx(status: int, body: Any, kind: str) -> None:
    """By the status, and by the code in a body that was read."""
    httpx = pytest.importorskip("httpx")
    response = httpx.Response(status, json=body, request=httpx.Request("POST", "https://x.test"))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert classify_error(caught.value) == kind


def test_a_body_of_httpx_that_was_not_read_is_left_alone() -> None:
    """Classifying waits for nothing and reads nothing."""
    httpx = pytest.importorskip("httpx")
    read: list[int] = []

    class Body(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Any:
            read.append(1)
            yield b"{}"

    request = httpx.Request("POST", "https://x.test")
    response = httpx.Response(503, stream=Body(), request=request)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert classify_error(caught.value) == "overloaded"
    assert read == []


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (
            400,
            {"type": "invalid_request_error", "code": "context_length_exceeded"},
            "context_length",
        ),
        (401, {"type": "invalid_request_error", "code": None}, "auth"),
        (404, {"type": "invalid_request_error", "code": "model_not_found"}, "not_found"),
        (429, {"type": "tokens", "code": "rate_limit_exceeded"}, "rate_limit"),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, "auth"),
        (503, {}, "overloaded"),
    ],
)
def test_a_status_error_of_openai(status: int, error: dict[str, Any], kind: str) -> None:
    """As its client makes it of a response."""
    openai = pytest.importorskip("openai")
    httpx = pytest.importorskip(openai.APIError.__init__.__annotations__["request"].split(".")[0])
    response = httpx.Response(
        status, json={"error": error}, request=httpx.Request("POST", "https://x.test")
    )
    cls = openai.RateLimitError if status == 429 else openai.APIStatusError
    assert classify_error(cls("words", response=response, body=error)) == kind


def test_errors_of_aiohttp_are_told_without_its_warnings() -> None:
    """`code` warns where it is read, so it is not."""
    aiohttp = pytest.importorskip("aiohttp")
    yarl, multidict = pytest.importorskip("yarl"), pytest.importorskip("multidict")
    headers = multidict.CIMultiDictProxy(multidict.CIMultiDict())
    info = aiohttp.RequestInfo(yarl.URL("https://x.test"), "GET", headers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classify_error(aiohttp.ClientResponseError(info, (), status=429)) == "rate_limit"
        assert classify_error(aiohttp.ServerTimeoutError()) == "timeout"
        assert classify_error(aiohttp.ServerDisconnectedError()) == "network"


def test_errors_of_redis_are_told_by_their_class() -> None:
    """Its `ConnectionError` and `TimeoutError` are not Python's."""
    exceptions = pytest.importorskip("redis.exceptions")
    assert classify_error(exceptions.ConnectionError()) == "network"
    assert classify_error(exceptions.TimeoutError()) == "timeout"
    assert classify_error(exceptions.AuthenticationError()) == "auth"


def test_errors_of_the_standard_librarys_http_client() -> None:
    """One with a status is told by it, though its base is an `URLError`."""
    error = urllib.error.HTTPError("https://x.test", 429, "words", Message(), None)
    assert classify_error(error) == "rate_limit"
    error.close()
    assert classify_error(urllib.error.URLError("no route")) == "network"
    assert classify_error(http.client.RemoteDisconnected("closed")) == "network"
