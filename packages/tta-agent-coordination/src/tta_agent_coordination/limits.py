"""Checks of options that are durations or counts, so that all of them complain alike."""

from __future__ import annotations

import math

from tta_agent_coordination.errors import ConfigurationError

__all__ = ("MAX_SECONDS", "check_count", "check_fraction", "check_seconds", "check_text")

MAX_SECONDS = 10 * 365 * 86_400.0
"""The longest duration: ten years. Milliseconds of anything longer would lose their last digits."""


def check_seconds(option: str, value: object, *, zero: bool = False) -> float:
    """Return `value` as seconds.

    Args:
        option: The name of the option, for the error.
        value: What was given.
        zero: Whether zero is allowed.

    Raises:
        ConfigurationError: It is no number, not a number (NaN), negative, or over ten years.

    Example:
        >>> check_seconds("wait", 2)
        2.0
        >>> check_seconds("wait", -1, zero=True)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        tta_agent_coordination.errors.ConfigurationError: wait must be a number of seconds, ...
    """
    # Compared before it is converted: an int may be too large for a float.
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (value > 0 or (zero and value == 0))
        and value <= MAX_SECONDS
    ):
        return float(value)
    least = "zero or more" if zero else "more than zero"
    raise ConfigurationError(
        f"{option} must be a number of seconds, {least} and at most ten years, not {value!r:.60}"
    )


def check_count(option: str, value: object, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """Return `value` as a whole number from `least` to `most`.

    Raises:
        ConfigurationError: It is not one.

    Example:
        >>> check_count("max_messages", 10)
        10
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ConfigurationError(
        f"{option} must be a whole number from {least} to {most}, not {value!r:.60}"
    )


def check_text(option: str, value: object) -> str:
    """Return `value` as a text that is not empty.

    Raises:
        ConfigurationError: It is not one.

    Example:
        >>> check_text("topic", "news")
        'news'
    """
    if isinstance(value, str) and value:
        return value
    raise ConfigurationError(f"{option} must be a text that is not empty, not {value!r:.60}")


def check_fraction(option: str, value: object) -> float:
    """Return `value` as a number from 0 to 1.

    Raises:
        ConfigurationError: It is not one.
    """
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and not math.isnan(value)
        and 0 <= value <= 1
    ):
        return float(value)
    raise ConfigurationError(f"{option} must be a number from 0 to 1, not {value!r:.60}")
