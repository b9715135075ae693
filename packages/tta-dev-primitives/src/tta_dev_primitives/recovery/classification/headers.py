"""What the response headers of model providers say about their rate limits.

Read are `retry-after` and `retry-after-ms`, the `x-ratelimit-*` family as OpenAI spells it
(`x-ratelimit-remaining-tokens`, times such as `6m0s`), and Anthropic's (`anthropic-ratelimit-
tokens-remaining`, times as RFC 3339 dates). What cannot be read is taken as not said: a strange
header must not stop a call.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Said", "lower_keys", "read_duration", "read_limits", "read_retry_after")

_PARTS = re.compile(r"([0-9]*\.?[0-9]+)(h|ms|m|s|us|µs|μs|ns)")
_LONGEST = 64  # characters of a duration
_SECONDS = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
}


class Said(NamedTuple):
    """What a response says of one limit; None for what it does not say.

    Attributes:
        limit: The whole limit, in units.
        remaining: The units that are left.
        reset: Seconds until the whole limit is there again.
    """

    limit: float | None
    remaining: float | None
    reset: float | None


def lower_keys(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with names in lower case, as they compare."""
    return {str(name).lower(): str(value) for name, value in headers.items()}


def read_duration(text: str) -> float | None:
    """Return a duration in seconds: a plain number, or as Go writes one.

    Example:
        >>> [read_duration(text) for text in ("6m0s", "1s", "20ms", "1h2m3.5s", "7", "soon", "-1")]
        [360.0, 1.0, 0.02, 3723.5, 7.0, None, None]
    """
    text = text.strip()
    if len(text) > _LONGEST:  # no duration; and to take it apart would take long
        return None
    plain = _number(text)
    if plain is not None:
        return plain
    parts = list(_PARTS.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    return seconds if seconds < math.inf else None


def read_limits(headers: Mapping[str, str], unit: str, *, unix_time: float) -> Said:
    """Return what headers say of the limit that counts `unit`.

    Args:
        headers: With names in lower case.
        unit: Such as `requests`, `tokens` or `input_tokens`.
        unix_time: The wall clock, in seconds since the epoch; only to read a date by.

    Example:
        >>> read_limits(
        ...     {"x-ratelimit-limit-tokens": "9000", "x-ratelimit-reset-tokens": "6m0s"},
        ...     "tokens",
        ...     unix_time=0.0,
        ... )
        Said(limit=9000.0, remaining=None, reset=360.0)
    """
    word = unit.replace("_", "-").lower()

    def said(what: str) -> str:
        plain = headers.get(f"x-ratelimit-{what}-{word}", "")
        return plain or headers.get(f"anthropic-ratelimit-{word}-{what}", "")

    reset = said("reset")
    seconds = read_duration(reset)
    if seconds is None and reset:
        seconds = _until(_rfc_3339(reset), unix_time)
    return Said(_number(said("limit")), _number(said("remaining")), seconds)


def read_retry_after(headers: Mapping[str, str], *, unix_time: float) -> float | None:
    """Return the seconds of `retry-after-ms` or `retry-after`, or None.

    Args:
        headers: With names in lower case.
        unix_time: The wall clock, in seconds since the epoch; only to read a date by.

    Example:
        >>> read_retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, unix_time=50.0)
        10.0
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        seconds = _until(_http_date(text), unix_time)
    return seconds


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _until(date: float | None, unix_time: float) -> float | None:
    return None if date is None else max(0.0, date - unix_time)


def _rfc_3339(text: str) -> float | None:
    from datetime import UTC, datetime  # noqa: PLC0415 - only for a date

    try:
        date = datetime.fromisoformat(text.strip())
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> float | None:
    from datetime import UTC  # noqa: PLC0415 - only for a date
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - only for a date

    try:
        date = parsedate_to_datetime(text)
        # Without a zone, or with `-0000`, it is UTC (RFC 9110, section 5.6.7), not local time.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
