"""What an exception says of its kind: by its class, its structured codes and its HTTP status.

Nothing is imported of any provider or client: a class is known by its top package and its name,
and attributes are read where they are there. `classify_error` is the way in, and it loads this
module when the first failure is to be told; only the tables stand here, and how they are read.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.recovery.classification.classify import ErrorKind

__all__ = ("kind_of", "kind_of_type")

_BODY_READ = 65_536  # characters; a longer text is no structured error
_HTTPX: dict[str, ErrorKind] = {
    "InvalidURL": "invalid_request",
    "LocalProtocolError": "invalid_request",
    "NetworkError": "network",
    "ProxyError": "network",
    "RemoteProtocolError": "network",
    "TimeoutException": "timeout",
    "TooManyRedirects": "invalid_request",
    "UnsupportedProtocol": "invalid_request",
}
# What the clients made by one generator (openai, anthropic, groq, …) have in common. Their other
# classes say no more than the status.
_GENERATED: dict[str, ErrorKind] = {
    "APIConnectionError": "network",
    "APITimeoutError": "timeout",
    "ContentFilterFinishReasonError": "content_policy",
    "ContractSpendLimitReachedError": "auth",
    "CredentialsError": "auth",
    "EnforcedSpendLimitReachedError": "auth",
    "LengthFinishReasonError": "context_length",
    "OrganizationOnHoldError": "auth",
    "WebSocketConnectionClosedError": "network",
}
_TYPES: dict[str, dict[str, ErrorKind | None]] = {
    "aiohttp": {
        "ClientConnectionError": "network",
        "ClientConnectorCertificateError": "auth",
        "ClientPayloadError": "network",
        "InvalidURL": "invalid_request",
        "ServerFingerprintMismatch": "auth",
        "ServerTimeoutError": "timeout",
    },
    "anthropic": {**_GENERATED},
    "asyncio": {"IncompleteReadError": "network"},
    "botocore": {
        "ConnectTimeoutError": "timeout",
        "ConnectionClosedError": "network",
        "ConnectionError": "network",
        "CredentialRetrievalError": "auth",
        "HTTPClientError": "network",
        "NoCredentialsError": "auth",
        "ParamValidationError": "invalid_request",
        "PartialCredentialsError": "auth",
        "ReadTimeoutError": "timeout",
    },
    "builtins": {"ConnectionError": "network", "TimeoutError": "timeout"},
    "google": {
        "DefaultCredentialsError": "auth",
        "RefreshError": "auth",
        "TransportError": "network",
    },
    "groq": {**_GENERATED},
    "http": {
        "BadStatusLine": "network",
        "IncompleteRead": "network",
        "RemoteDisconnected": "network",
    },
    "httpcore": {**_HTTPX},
    "httpcore2": {**_HTTPX},
    "httpx": {**_HTTPX},
    "httpx2": {**_HTTPX},
    "litellm": {
        "BudgetExceededError": "auth",
        "ContentPolicyViolationError": "content_policy",
        "ContextWindowExceededError": "context_length",
    },
    "mistralai": {"NoResponseError": "network"},
    "openai": {**_GENERATED},
    "redis": {
        "AuthenticationError": "auth",
        "BusyLoadingError": "overloaded",
        "ConnectionError": "network",
        "TimeoutError": "timeout",
    },
    "requests": {
        "ChunkedEncodingError": "network",
        "ConnectTimeout": "timeout",
        "ConnectionError": "network",
        "InvalidSchema": "invalid_request",
        "InvalidURL": "invalid_request",
        "MissingSchema": "invalid_request",
        "Timeout": "timeout",
        "TooManyRedirects": "invalid_request",
    },
    "socket": {"gaierror": "network", "herror": "network"},
    "ssl": {"SSLCertVerificationError": "auth", "SSLError": "network"},
    "tta_dev_primitives": {"CircuitOpenError": "rejected", "RejectedError": "rejected"},
    "urllib": {"HTTPError": None, "URLError": "network"},  # the first has a status
    "urllib3": {
        "MaxRetryError": "network",
        "NameResolutionError": "network",
        "NewConnectionError": "network",
        "ProtocolError": "network",
        "ProxyError": "network",
        "SSLError": "network",
        "TimeoutError": "timeout",
    },
    "websockets": {"ConnectionClosed": "network"},
}
_CODES: dict[ErrorKind, tuple[str, ...]] = {
    "rate_limit": (
        "limitexceededexception",
        "provisionedthroughputexceededexception",
        "rate_limit_error",
        "rate_limit_exceeded",
        "rate_limited",
        "requestlimitexceeded",
        "requestthrottled",
        "resource_exhausted",
        "servicequotaexceededexception",
        "throttledexception",
        "throttling",
        "throttlingexception",
        "too_many_requests",
        "toomanyrequestsexception",
    ),
    "overloaded": (
        "engine_overloaded",
        "modelnotreadyexception",
        "overloaded",
        "overloaded_error",
        "service_unavailable",
        "serviceunavailable",
        "serviceunavailableexception",
        "slow_down",
        "slowdown",
        "unavailable",
    ),
    "context_length": (
        "context_length_exceeded",
        "request_too_large",
        "string_above_max_length",
    ),
    "content_policy": (
        "content_filter",
        "content_policy_violation",
        "moderation_blocked",
        "responsibleaipolicyviolation",
    ),
    "auth": (
        "accessdenied",
        "accessdeniedexception",
        "account_deactivated",
        "authentication_error",
        "billing_error",
        "billing_hard_limit_reached",
        "expiredtoken",
        "expiredtokenexception",
        "incompletesignature",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_organization",
        "invalidclienttokenid",
        "invalidsignatureexception",
        "missingauthenticationtoken",
        "notauthorized",
        "permission_denied",
        "permission_error",
        "signaturedoesnotmatch",
        "unauthenticated",
        "unrecognizedclientexception",
    ),
    "not_found": (
        "deploymentnotfound",
        "model_decommissioned",
        "model_not_found",
        "not_found",
        "not_found_error",
        "resourcenotfoundexception",
    ),
    "timeout": (
        "deadline_exceeded",
        "modeltimeoutexception",
        "requesttimeout",
        "requesttimeoutexception",
        "timeout_error",
    ),
    "server_error": (
        "data_loss",
        "internal",
        "internal_server_error",
        "internalfailure",
        "internalservererror",
        "internalserverexception",
        "modelerrorexception",
        "modelstreamerrorexception",
        "server_error",
    ),
}
_KIND_OF_CODE: dict[str, ErrorKind] = {
    code: kind for kind, codes in _CODES.items() for code in codes
}
# Said of many things, so that the status knows better where there is one.
_KIND_OF_VAGUE_CODE: dict[str, ErrorKind] = {
    "api_error": "server_error",
    "bad_request": "invalid_request",
    "failed_precondition": "invalid_request",
    "invalid_argument": "invalid_request",
    "invalid_request_error": "invalid_request",
    "out_of_range": "invalid_request",
    "unimplemented": "invalid_request",
    "validationexception": "invalid_request",
}
_KIND_OF_STATUS: dict[int, ErrorKind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "not_found",
    407: "auth",
    408: "timeout",
    409: "unknown",  # a conflict, a lock or something too early passes
    410: "not_found",
    413: "context_length",
    423: "unknown",
    424: "unknown",
    425: "unknown",
    429: "rate_limit",
    499: "unknown",  # the connection was closed on this side
    501: "invalid_request",
    503: "overloaded",
    504: "timeout",
    522: "timeout",
    524: "timeout",
    529: "overloaded",
}
_NETWORK_ERRNOS = frozenset(
    getattr(errno, name)
    for name in ("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETRESET", "ENETUNREACH")
    if hasattr(errno, name)
)
_CLIENT, _SERVER, _END = 400, 500, 600


def kind_of(error: BaseException) -> ErrorKind:
    """Return the kind of one exception that is no group; `unknown` if nothing tells it."""
    kind = _by_type(error)
    if kind is not None:
        return kind
    vague: ErrorKind | None = None
    for code in _codes(error):
        word = code.lower()
        kind = _KIND_OF_CODE.get(word)
        if kind is not None:
            return kind
        vague = vague or _KIND_OF_VAGUE_CODE.get(word)
    kind = _by_status(error)
    return kind or vague or "unknown"


def kind_of_type(kind: type[BaseException]) -> ErrorKind | None:
    """Return the kind of all exceptions of one type; None where the exception itself is asked."""
    for cls in kind.__mro__:
        known = _TYPES.get(cls.__module__.partition(".")[0])
        if known is not None and cls.__name__ in known:
            return known[cls.__name__]
    return None


def _by_type(error: BaseException) -> ErrorKind | None:
    kind = kind_of_type(type(error))
    if kind is not None:
        return kind
    if isinstance(error, OSError) and error.errno in _NETWORK_ERRNOS:
        return "network"
    return None


def _by_status(error: BaseException) -> ErrorKind | None:
    """Return what the HTTP status says: None where there is none, or one that is no error."""
    status = _status(error)
    if status is None:
        return None
    kind = _KIND_OF_STATUS.get(status)
    if kind is None and status >= _CLIENT:
        return "server_error" if status >= _SERVER else "invalid_request"
    return kind


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "status"):
        status = _as_status(_read(error, name))
        if status is not None:
            return status
    response = _read(error, "response")
    metadata = _entry(response, "ResponseMetadata")  # of botocore
    if metadata is not None:
        return _as_status(_entry(metadata, "HTTPStatusCode"))
    for name in ("status_code", "status"):
        status = _as_status(_read(response, name))
        if status is not None:
            return status
    # Last, since aiohttp warns where its old name for the status is read.
    return _as_status(_read(error, "code"))


def _as_status(value: object) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():  # noqa: PLR2004 - digits of a status
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < _END:  # noqa: PLR2004 - the first status
        return int(value)
    return None


def _codes(error: BaseException) -> Iterator[str]:
    """Yield what names the reason of an error, from the most exact to the vaguest."""
    status = _read(error, "status")
    if not isinstance(status, int):  # see `_status`
        code = _read(error, "code")
        if callable(code) and _is_of(error, "grpc"):
            code = _read(_called(code), "name")
        if isinstance(code, str):
            yield code
    code = _read(error, "error_code")
    if isinstance(code, str):
        yield code
    response = _read(error, "response")
    for body in (_read(error, "body"), _read(error, "details"), response):
        yield from _codes_in(body)
    if _read(response, "is_closed") is True and not isinstance(_read(error, "body"), dict):
        yield from _codes_in(_called(_read(response, "json")))
    for name in ("type", "status"):
        value = _read(error, name)
        if isinstance(value, str):
            yield value


def _codes_in(body: Any) -> Iterator[str]:
    if isinstance(body, (str, bytes)):
        body = _parsed(body)
    inner: Any = _entry(body, "error") or _entry(body, "Error")
    if not isinstance(inner, dict):
        inner = body
    for found in (
        _entry(inner, "code"),
        _entry(inner, "Code"),
        _entry(_entry(inner, "details"), "error_code"),
        _entry(_entry(inner, "innererror"), "code"),
        _entry(inner, "type"),
        _entry(inner, "status"),
    ):
        if isinstance(found, str):
            yield found


def _parsed(text: str | bytes) -> object:
    if len(text) > _BODY_READ or text.lstrip()[:1] not in {"{", b"{"}:
        return None
    import json  # noqa: PLC0415 - only for a failure whose body nobody has parsed

    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _entry(mapping: Any, key: str) -> Any:
    return cast("dict[str, Any]", mapping).get(key) if isinstance(mapping, dict) else None


def _read(thing: object, name: str) -> Any:
    """Return an attribute; None where it is not there, or its property raises."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - whatever it is, it tells no kind
        return None


def _called(function: Any) -> Any:
    try:
        return function()
    except Exception:  # noqa: BLE001 - such as a body that was not read
        return None


def _is_of(error: BaseException, package: str) -> bool:
    return any(cls.__module__.partition(".")[0] == package for cls in type(error).__mro__)
