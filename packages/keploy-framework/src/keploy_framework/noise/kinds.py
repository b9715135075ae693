"""Kinds of values that change from run to run, and what stays true of each of them.

A typed rule is a pattern whose one group is named after the kind, as in ``^(?P<tta_uuid>…)$``.
Keploy reads it as the plain pattern that it is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from keploy_framework.noise.text_pattern import text_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("NoiseKind", "TypedPattern", "family", "instant", "text_of", "typed", "typed_pattern")

NoiseKind: TypeAlias = Literal[
    "uuid", "time", "counter", "token", "order", "float", "number", "text"
]
"""uuid: another UUID. time: another point in time, written alike. counter: a number that only
grows. token: made by chance. order: the same elements. float: nearly the same number. number: any
number, a duration perhaps. text: the same text around numbers, times and tokens."""

_UUID: Final = (
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}",
)
_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
_HTTP_DATE: Final = (
    "[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} (?:GMT|[+-][0-9]{4})"
)
_ISO: Final = f"{_DATE}[T ]{_CLOCK}(?: ?(?:Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}}))?"
_TIMES: Final = (_HTTP_DATE, _ISO, _DATE)
_EPOCHS: Final = ((10, 1), (13, 10**3), (16, 10**6), (19, 10**9))
_YEAR: Final = 366 * 86_400
_EARLIEST: Final = 946_684_800  # 2000-01-01
_LATEST: Final = 4_102_444_800  # 2100-01-01
_EPOCH: Final = re.compile(r"[0-9]{10,19}(?:\.[0-9]{1,9})?")
_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_TYPED: Final = re.compile(
    r"\(\?P<tta_(uuid|time|counter|token|order|float|number|text)(?:_e([0-9]{1,2}))?>"
)
_SEPARATORS: Final = "/=_:.,;- ?&#|@\"'()[]<>{}"
_TOKEN_LENGTH: Final = 8
_LONG_TOKEN: Final = 16
_HEX: Final = ("0-9a-f", "0-9A-F")
_LONGEST_WORD: Final = 40
_JITTER: Final = 0.01
_STEP: Final = 10_000


@dataclass(frozen=True, slots=True)
class TypedPattern:
    """A pattern, and for a typed one its kind and how far numbers may be apart.

    Attributes:
        pattern: The regular expression, as it is in the file.
        kind: The kind that its group names; None for a pattern that names none.
        tolerance: For "float": the largest relative distance.
    """

    pattern: re.Pattern[str]
    kind: NoiseKind | None
    tolerance: float = 0.0

    def allows(self, expected: str, actual: str) -> bool:  # noqa: PLR0911 - one a kind
        """Say whether a value may stand in the place of the recorded one."""
        match = self.pattern.search(actual)
        if match is None:
            return False
        if self.kind is None or self.kind in {"uuid", "token", "number", "text"}:
            return True
        if self.kind == "order":  # it speaks of elements, not of values
            return False
        before = self.pattern.search(expected)
        if before is None:
            return False
        old, new = before[1], match[1]
        if self.kind == "time":
            return instant(new) is not None
        if self.kind == "counter":
            return int(new) >= int(old)
        return _near(old, new, self.tolerance)


def typed(pattern: str) -> TypedPattern | None:
    """Return a pattern of a noise file, ready for use; None if it is no regular expression."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return None
    name = _TYPED.search(pattern)
    if name is None:
        return TypedPattern(compiled, None)
    kind = next(kind for kind in get_args(NoiseKind) if kind == name[1])
    return TypedPattern(compiled, kind, 10.0 ** -int(name[2]) if name[2] else 0.0)


def text_of(value: object) -> str | None:
    """Return a scalar as patterns see it; None for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    return value if isinstance(value, str) else None


def family(value: object) -> str:
    """Return the type of a scalar in JSON: numbers are of one type."""
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def instant(text: str) -> float | None:
    """Return the point in time that a text names, in seconds since the epoch; None if none.

    Example:
        >>> instant("1970-01-01T00:01:00Z"), instant("1700000000123"), instant("v1.2")
        (60.0, 1700000000.123, None)
    """
    if _EPOCH.fullmatch(text):
        whole, _, fraction = text.partition(".")
        unit = dict(_EPOCHS).get(len(whole))
        if unit is None or (fraction and unit != 1):
            return None
        seconds = float(text) / unit
        return seconds if _EARLIEST <= seconds < _LATEST else None
    try:
        if re.fullmatch(_HTTP_DATE, text):
            return parsedate_to_datetime(text).timestamp()
        if re.fullmatch(f"{_ISO}|{_DATE}", text):
            cleaned = text.replace(",", ".").replace(" UTC", "Z").replace("Z", "+00:00")
            cleaned = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", cleaned)
            moment = datetime.fromisoformat(cleaned)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return None


def _near(old: str, new: str, tolerance: float) -> bool:
    a, b = float(old), float(new)
    return math.isfinite(b) and abs(a - b) <= tolerance * max(abs(a), abs(b))


def typed_pattern(values: Sequence[str]) -> tuple[NoiseKind, str] | None:
    r"""Return of which kind the values of several runs are, and the pattern that asserts it.

    Args:
        values: What stood at one place: the recording first, then each replay, in order.

    Returns:
        The kind and the pattern; None if the values are of no kind that is known, or all alike.

    Example:
        >>> typed_pattern(["ord-17", "ord-18", "ord-19"])
        ('counter', '^ord\\-(?P<tta_counter>[0-9]+)$')
    """
    if len(set(values)) < 2:  # noqa: PLR2004 - one value is no change
        return None
    if (whole := _kind(values)) is not None:
        return whole[0], f"^{whole[1]}$"
    before, after = _beside_decimals(values, *_frame(values))
    inner = [value[len(before) : len(value) - len(after)] for value in values]
    if all(inner) and (before or after):
        part = _kind(inner) or _tokens(inner)
        if part is not None and part[0] not in {"float", "number"}:
            return part[0], f"^{re.escape(before)}{part[1]}{re.escape(after)}$"
    token = _tokens(values)
    if token is not None:
        return token[0], f"^{token[1]}$"
    text = text_pattern(values)
    return None if text is None else ("text", f"^(?P<tta_text>{text})$")


def _frame(values: Sequence[str]) -> tuple[str, str]:
    """Return what all values begin and end with, up to where a word begins or ends."""
    first, last = min(values), max(values)
    shared = min(map(len, values))
    start = 0
    while start < shared and first[start] == last[start]:
        start += 1
    while start and first[start - 1] not in _SEPARATORS:
        start -= 1
    turned = [value[start:][::-1] for value in values]
    low, high = min(turned), max(turned)
    end = 0
    while end < min(map(len, turned)) and low[end] == high[end]:
        end += 1
    while end and low[end - 1] not in _SEPARATORS:
        end -= 1
    return first[:start], low[:end][::-1]


def _beside_decimals(values: Sequence[str], before: str, after: str) -> tuple[str, str]:
    """Return a frame that cuts no decimal in two: neither half of `12.5 s` counts anything."""
    whole = re.search(r"(?<![0-9.])[0-9]+\.$", before)
    if whole and all(re.match(r"[0-9]+(?!\.?[0-9])", value[len(before) :]) for value in values):
        before = before[: whole.start()]
    fraction = re.match(r"\.[0-9]+(?![0-9.])", after)
    ends = [value[: len(value) - len(after)] for value in values]
    if fraction and all(re.search(r"(?<![0-9.])[0-9]+$", end) for end in ends):
        after = after[fraction.end() :]
    return before, after


def _kind(values: Sequence[str]) -> tuple[NoiseKind, str] | None:
    for pattern in _UUID:
        if all(re.fullmatch(pattern, value) for value in values):
            return "uuid", f"(?P<tta_uuid>{pattern})"
    for pattern in _TIMES:
        if all(re.fullmatch(pattern, value) and instant(value) is not None for value in values):
            return "time", f"(?P<tta_time>{pattern})"
    if _are_epochs(values):
        return "time", r"(?P<tta_time>[0-9]{10,19}(?:\.[0-9]{1,9})?)"
    if all(re.fullmatch("(?:0|[1-9][0-9]{0,17})", value) for value in values):
        numbers = [int(value) for value in values]
        steps = [b - a for a, b in pairwise(numbers)]
        if all(0 < step <= _STEP for step in steps):
            return "counter", "(?P<tta_counter>[0-9]+)"
    if all(re.fullmatch(_NUMBER, value) for value in values):
        return _numbers(values)
    return None


def _are_epochs(values: Sequence[str]) -> bool:
    """Say whether numbers are times of runs: one after the other, and not far apart."""
    moments = [instant(value) for value in values]
    known = [moment for moment in moments if moment is not None]
    return len(known) == len(values) and known == sorted(known) and known[-1] - known[0] < _YEAR


def _numbers(values: Sequence[str]) -> tuple[NoiseKind, str]:
    floats = [float(value) for value in values]
    largest = max(map(abs, floats))
    apart = (max(floats) - min(floats)) / largest if largest else 0.0
    if any("." in value or "e" in value.lower() for value in values) and apart <= _JITTER:
        digits = max(1, min(15, math.floor(-math.log10(apart * 10)))) if apart else 15
        return "float", f"(?P<tta_float_e{digits}>{_NUMBER})"
    return "number", f"(?P<tta_number>{_NUMBER})"


def _tokens(values: Sequence[str]) -> tuple[NoiseKind, str] | None:
    shortest, longest = min(map(len, values)), max(map(len, values))
    if shortest < _TOKEN_LENGTH or longest > 2 * shortest:
        return None
    for letters in (*_HEX, "0-9A-Za-z", "0-9A-Za-z_-", "0-9A-Za-z+/=_.~-"):
        if all(re.fullmatch(f"[{letters}]+", value) for value in values):
            break
    else:
        return None
    # Versions and addresses have dots, too; only long ones are taken for tokens.
    if shortest < _LONG_TOKEN and any("." in value for value in values):
        return None
    # Words are not made by chance: most of the values have digits in them, or change of case.
    if not all(_by_chance(value) for value in values):
        return None
    if letters not in _HEX and longest > _LONG_TOKEN:  # some encodings drop what they cannot say
        shortest, longest = shortest - shortest // 10, longest + longest // 10
    count = f"{{{shortest}}}" if shortest == longest else f"{{{shortest},{longest}}}"
    return "token", f"(?P<tta_token>[{letters}]{count})"


def _by_chance(value: str) -> bool:
    if any(map(str.isdigit, value)) and any(map(str.isalpha, value)):
        return True
    if len(value) > _LONGEST_WORD:
        return True
    inner = value[1:]
    return len(value) > 11 and inner != inner.lower() and inner != inner.upper()  # noqa: PLR2004
