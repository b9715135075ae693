"""Checks of options that are durations or counts, so that all of them complain alike."""

from __future__ import annotations

import math
from typing import cast

from tta_dev_primitives.core.base import is_count
from tta_dev_primitives.errors import ConfigurationError

__all__ = ("check_count", "check_seconds")


def check_seconds(
    option: str, value: object, *, zero: bool = False, infinite: bool = False
) -> float:
    """Return `value` as seconds.

    Args:
        option: The name of the option, for the error.
        value: What was given.
        zero: Whether zero is allowed.
        infinite: Whether infinity is allowed.

    Raises:
        ConfigurationError: It is no number, not a number (NaN), negative, or not allowed.
    """
    allowed = "zero or more" if zero else "more than zero"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
        if (seconds > 0 or (zero and seconds == 0)) and (infinite or seconds != math.inf):
            return seconds
    finite = "" if infinite else " and finite"
    shown = f"{value!r:.60}"
    message = f"{option} must be a number of seconds, {allowed}{finite}, not {shown}"
    raise ConfigurationError(message)


def check_count(option: str, value: object) -> int:
    """Return `value` as a whole number of at least 1.

    Raises:
        ConfigurationError: It is not one.
    """
    if is_count(value) and cast("int", value) >= 1:
        return cast("int", value)
    shown = f"{value!r:.60}"
    message = f"{option} must be a whole number of at least 1, not {shown}"
    raise ConfigurationError(message)
