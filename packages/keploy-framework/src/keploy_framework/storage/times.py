"""Timestamps as Keploy writes them: RFC 3339 with nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ("from_rfc3339", "to_rfc3339")

_FORM = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[Tt ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d+))?\s*"
    r"(?:([Zz])|([-+])(\d{2}):?(\d{2}))?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def to_rfc3339(nanoseconds: int) -> str:
    """Return the time as text, in UTC, without needless zeros.

    >>> to_rfc3339(1_721_658_928_729_611_191)
    '2024-07-22T14:35:28.729611191Z'
    >>> to_rfc3339(1_721_658_928_500_000_000)
    '2024-07-22T14:35:28.5Z'
    """
    seconds, rest = divmod(nanoseconds, _SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}{f'.{rest:09d}'.rstrip('0')}Z" if rest else f"{text}Z"


def from_rfc3339(text: str) -> int | None:
    """Return the nanoseconds since the epoch; None for what is no time, 0 for times before it.

    >>> from_rfc3339("2024-07-22T20:05:28.729611191+05:30")
    1721658928729611191
    >>> from_rfc3339("0001-01-01T00:00:00Z")
    0
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    *date, fraction, _, sign, hours, minutes = found.groups()
    zone = UTC
    try:
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(offset if sign == "+" else -offset)
        moment = datetime(*map(int, date), tzinfo=zone)  # type: ignore[arg-type, misc]
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    seconds = since.days * 86_400 + since.seconds
    return max(0, seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0")))
