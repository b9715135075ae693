"""Single values in a key: numbers, dates, ids and paths, as texts and whole numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.errors import Unkeyable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ("BY_IDENTITY", "SCALARS", "late_scalar")

BY_IDENTITY = "is compared by identity"
"""Why most of what has no key has none."""


def _moment(value: Any) -> Hashable:
    zone: object = value.tzinfo
    if zone is None:
        return value.isoformat(), value.fold
    named = type(zone)
    if named.__module__ == "datetime" and named.__qualname__ == "timezone":
        return value.isoformat(), value.fold, repr(zone)
    return value.isoformat(), value.fold, _zone(zone)


def _zone(zone: object) -> Hashable:
    key = getattr(zone, "key", None)
    if type(zone).__module__.split(".")[0] != "zoneinfo" or key is None:
        raise Unkeyable.of("value", type(zone).__qualname__, BY_IDENTITY)
    return cast("str", key)


SCALARS: dict[type, Callable[[Any], Hashable]] = {
    float: float.hex,  # NaN equals itself here, and -0.0 is not 0.0
    complex: lambda value: (value.real.hex(), value.imag.hex()),
    range: lambda value: (value.start, value.stop, value.step),
    type(...): lambda value: None,  # noqa: ARG005 - there is only one
}

_LATE: dict[tuple[str, str], Callable[[Any], Hashable]] = {
    ("datetime", "date"): lambda value: value.isoformat(),
    ("datetime", "datetime"): _moment,
    ("datetime", "time"): _moment,
    ("datetime", "timedelta"): lambda value: (value.days, value.seconds, value.microseconds),
    ("datetime", "timezone"): repr,
    ("zoneinfo", "ZoneInfo"): _zone,
    ("decimal", "Decimal"): str,  # 1.0 and 1.00 are equal, but not the same
    ("fractions", "Fraction"): lambda value: (value.numerator, value.denominator),
    ("uuid", "UUID"): lambda value: (value.int, value.is_safe.name),
    ("pathlib", "PosixPath"): str,
    ("pathlib", "WindowsPath"): str,
    ("pathlib", "PurePosixPath"): str,
    ("pathlib", "PureWindowsPath"): str,
}
"""Classes of modules that are not loaded for this: who has such a value has loaded its module."""


def late_scalar(kind: type) -> Callable[[Any], Hashable] | None:
    """Return what makes a text or a number of a value of `kind`, where that is one of `_LATE`."""
    place = kind.__module__.split(".")[0]
    make = _LATE.get((place, kind.__qualname__))
    if make is None or getattr(sys.modules.get(place), kind.__qualname__, None) is not kind:
        return None  # a class may call itself as it likes
    SCALARS[kind] = make
    return make
