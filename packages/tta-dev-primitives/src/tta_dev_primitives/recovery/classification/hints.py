"""How long a provider asks its callers to wait, as its exceptions tell it.

No client library is known by name: what is looked at are the attributes that their exceptions have
in common. Read here is only what is in memory already, and only so much of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tta_dev_primitives.recovery.classification.headers import (
    lower_keys,
    read_duration,
    read_limits,
    read_retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Hint", "hint_of", "parse_delay")

Hint: TypeAlias = Callable[[Exception], float | None]
"""Finds the seconds to wait that an exception asks for; None where it does not ask."""

_MAX_LINKS = 64  # exceptions that are looked at
_MAX_NODES = 256  # headers, or parts of a body, that are looked at
_MAX_BODY = 65_536  # characters of a body that nobody has parsed
_MAX_TEXT = 64  # characters of a number, a duration or a date
_EPOCH = 1e9  # a number of seconds from here on is a point in time
_UNITS = ("requests", "tokens", "input-tokens", "output-tokens")
_FIELDS = {
    "retrydelay": 1.0,
    "retryafter": 1.0,
    "retryafterseconds": 1.0,
    "retryafterms": 1e-3,
    "retryaftermilliseconds": 1e-3,
}
_OPENINGS = ("{", "[", b"{", b"[")


def hint_of(error: BaseException, *, wall: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a provider asks to wait before the next call.

    Looked at, in this order: a number `retry_after` on the exception; the headers of the exception
    or of its `response` (`retry-after-ms`, `retry-after` in seconds or as an HTTP date, then the
    reset of a rate limit of which nothing remains); a body that is in memory (`body`, `details`,
    or what the response has read), for fields such as Google's `retryDelay: "52s"`. If the
    exception says nothing, the one that it was raised from is asked. Of a group, the longest wait
    holds.

    Args:
        error: The exception.
        wall: Seconds since the epoch: the wall clock, with which a date is compared.

    Returns:
        Zero or more and finite, however absurdly long; zero also for a date that has passed. None
        if nothing is asked for, or nothing that can be understood.

    Example:
        >>> class Busy(Exception):
        ...     headers = {"Retry-After": "120"}
        >>> hint_of(Busy())
        120.0
    """
    if error.__cause__ is None and _says_nothing(error):
        return None
    found: float | None = None
    links: list[BaseException] = [error]
    for link in links:  # grows, up to a bound that also ends circles
        asked = None
        if isinstance(link, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", link)
            links.extend(group.exceptions[: max(0, _MAX_LINKS - len(links))])
        else:
            asked = _asked(link, wall)
        if asked is not None:
            found = asked if found is None else max(found, asked)
        elif link.__cause__ is not None and len(links) < _MAX_LINKS:
            links.append(link.__cause__)
    return found


def parse_delay(value: object) -> float | None:
    """Return the seconds that a field means.

    Args:
        value: A number of seconds, also as a text; a duration such as `52s`, `1m30s` or `250ms`; a
            `timedelta`; or a mapping of `seconds` and `nanos`.

    Returns:
        Zero or more and finite; zero for a negative number; None if it cannot be understood.

    Example:
        >>> [parse_delay(value) for value in ("52s", "1m30s", 2, {"seconds": 3}, "soon")]
        [52.0, 90.0, 2.0, 3.0, None]
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            seconds = float(value)
        except OverflowError:
            return None
        return max(0.0, seconds) if math.isfinite(seconds) else None
    if isinstance(value, str):
        return read_duration(value) if len(value) <= _MAX_TEXT else None
    if isinstance(value, Mapping):  # a duration of Protocol Buffers
        parts = cast("Mapping[str, Any]", value)
        whole, nanos = parse_delay(parts.get("seconds")), parse_delay(parts.get("nanos", 0))
        return None if whole is None else whole + (nanos or 0.0) * 1e-9
    total = getattr(value, "total_seconds", None)
    return parse_delay(total()) if callable(total) else None


def _asked(error: BaseException, wall: Callable[[], float]) -> float | None:
    """Return what this very exception asks for."""
    if _says_nothing(error):
        return None
    try:
        own = parse_delay(getattr(error, "retry_after", None))
        if own is not None:
            return own
        response = getattr(error, "response", None)
        for headers in (getattr(error, "headers", None), *_headers_of(response)):
            found = _from_headers(headers, wall)
            if found is not None:
                return found
        bodies = (getattr(error, "body", None), getattr(error, "details", None))
        for body in (*bodies, *_bodies_of(response)):
            found = _from_body(body)
            if found is not None:
                return found
    except Exception:  # noqa: BLE001 - a hint that cannot be read is no hint, and hides no error
        return None
    return None


def _says_nothing(error: BaseException) -> bool:
    """Whether an exception, of a built-in class and no group, has nothing of anybody's on it."""
    if type(error).__module__ != "builtins" or isinstance(error, BaseExceptionGroup):
        return False
    kept = vars(error)
    return not kept or (len(kept) == 1 and "__notes__" in kept)


def _headers_of(response: object) -> tuple[object, ...]:
    if isinstance(response, Mapping):  # botocore's
        parts = cast("Mapping[str, Any]", response)
        metadata: Any = parts.get("ResponseMetadata") or {}
        return parts.get("headers"), metadata.get("HTTPHeaders")
    return (getattr(response, "headers", None),)


def _bodies_of(response: object) -> tuple[object, ...]:
    if isinstance(response, Mapping):
        return (cast("object", response),)
    # Where httpx and requests keep what they have read; asking them for it could read it now.
    kept = getattr(response, "__dict__", None)
    content = cast("dict[str, object]", kept).get("_content") if isinstance(kept, dict) else None
    return content, getattr(response, "body", None)


def _from_headers(headers: object, wall: Callable[[], float]) -> float | None:
    items = getattr(headers, "items", None)
    if not callable(items):
        return None
    pairs = islice(cast("Iterable[tuple[str, str]]", items()), _MAX_NODES)
    lower = lower_keys({name: value for name, value in pairs if len(value) <= _MAX_TEXT})
    now = wall()
    found = read_retry_after(lower, unix_time=now)
    if found is not None:
        return found
    said = [read_limits(lower, unit, unix_time=now) for unit in _UNITS]
    resets = [limit.reset for limit in said if limit.remaining == 0 and limit.reset is not None]
    for family in ("x-ratelimit", "ratelimit"):
        reset = parse_delay(lower.get(f"{family}-reset"))
        if reset is not None and parse_delay(lower.get(f"{family}-remaining", "0")) == 0:
            resets.append(max(0.0, reset - now) if reset >= _EPOCH else reset)
    return max(resets, default=None)


def _from_body(body: object) -> float | None:
    """Search a body, parsed or not, for the fields that say how long to wait."""
    if isinstance(body, (bytes, str)):
        if len(body) > _MAX_BODY or body.lstrip()[:1] not in _OPENINGS:
            return None
        import json  # noqa: PLC0415 - only for a body that nobody has parsed

        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return None
    nodes: list[object] = [body]
    for node in nodes:  # as above
        room = max(0, _MAX_NODES - len(nodes))
        if isinstance(node, Mapping):
            pairs = list(islice(cast("Mapping[object, object]", node).items(), _MAX_NODES))
            for key, value in pairs:
                plain = key.replace("_", "").replace("-", "").lower() if type(key) is str else ""
                scale = _FIELDS.get(plain)
                found = None if scale is None else parse_delay(value)
                if scale is not None and found is not None:
                    return found * scale
            nodes.extend(value for _, value in pairs[:room])
        elif isinstance(node, Sequence) and not isinstance(node, (str, bytes, bytearray)):
            nodes.extend(islice(cast("Sequence[object]", node), room))
    return None
