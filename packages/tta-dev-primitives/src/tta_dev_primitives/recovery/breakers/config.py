"""`BreakerConfig`: when a circuit breaker opens, for how long, and how it closes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("BreakerConfig", "BreakerSettings", "BreakerState", "CallOutcome")

BreakerState: TypeAlias = Literal["closed", "open", "half_open", "isolated"]
"""`closed`: calls pass. `open`: they are rejected until a time has passed. `half_open`: a few
probes pass and decide. `isolated`: rejected until somebody closes it by hand."""

CallOutcome: TypeAlias = Literal["success", "slow", "failure", "slow_failure", "cancelled"]
"""How a call that was let through ended. `slow` is a success that took too long, `slow_failure` a
failure that did. `cancelled` says nothing about the step: the call was given up, or it raised an
error that does not count."""

_WINDOW = 100
_MINIMUM = 10


class BreakerSettings(TypedDict, total=False):
    """The settings of a breaker; see `BreakerConfig`."""

    failure_threshold: int | None
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_seconds: float | None
    window_calls: int | None
    window_seconds: float | None
    minimum_calls: int | None
    recovery_timeout: float
    half_open_max_calls: int
    success_threshold: int
    half_open_timeout: float


class BreakerConfig:
    """When a breaker opens, for how long, and what closes it; checked, and never changed.

    Args:
        failure_threshold: Failures in a row that open it, at least 1. Default: 5 where no rate is
            given, else None: failures in a row do not matter.
        failure_rate: The fraction of failed calls in the window that opens it: more than 0, at
            most 1.
        slow_call_rate: The fraction of slow calls in the window that opens it, successes
            included: more than 0, at most 1. Needs `slow_call_seconds`. A slow probe then counts
            as a failed one.
        slow_call_seconds: A call that takes longer is slow. Needs `slow_call_rate`.
        window_calls: Rates are taken over this many calls. Default, where a rate is given without
            `window_seconds`: 100.
        window_seconds: Rates are taken over the calls of the last seconds, in its place.
        minimum_calls: Rates say nothing before the window holds so many calls. Default: 10, or
            `window_calls` where that is less.
        recovery_timeout: How long it stays open before probes are let through, in seconds, more
            than zero. Default: 60.
        half_open_max_calls: The most probes at the same time. Default: 1.
        success_threshold: Probes that must succeed to close it; the first that fails opens it
            again. Default: 1.
        half_open_timeout: The longest it stays half-open, in seconds, before it opens again: so a
            probe that hangs, or a process that died with one, does not hold it up for good.
            Default: 300.

    Raises:
        ConfigurationError: A value is out of range, or two contradict each other.

    Example:
        >>> BreakerConfig(failure_rate=0.5, window_seconds=30.0)
        BreakerConfig(failure_rate=0.5, window_seconds=30.0, minimum_calls=10)
    """

    __slots__ = (
        "failure_rate",
        "failure_threshold",
        "half_open_max_calls",
        "half_open_timeout",
        "minimum_calls",
        "recovery_timeout",
        "slow_call_rate",
        "slow_call_seconds",
        "success_threshold",
        "window_calls",
        "window_seconds",
    )

    failure_threshold: int | None
    """Failures in a row that open it; None where they do not matter."""
    failure_rate: float | None
    """The fraction of failed calls that opens it."""
    slow_call_rate: float | None
    """The fraction of slow calls that opens it."""
    slow_call_seconds: float | None
    """A call that takes longer is slow."""
    window_calls: int | None
    """Rates are taken over this many calls; None without rates, or where the window is in time."""
    window_seconds: float | None
    """Rates are taken over so many seconds."""
    minimum_calls: int | None
    """Rates say nothing before the window holds so many calls; None without rates."""
    recovery_timeout: float
    """Seconds from open to half-open."""
    half_open_max_calls: int
    """The most probes at the same time."""
    success_threshold: int
    """Probes that must succeed to close it."""
    half_open_timeout: float
    """The longest it stays half-open, in seconds."""

    def __init__(
        self,
        *,
        failure_threshold: int | None = None,
        failure_rate: float | None = None,
        slow_call_rate: float | None = None,
        slow_call_seconds: float | None = None,
        window_calls: int | None = None,
        window_seconds: float | None = None,
        minimum_calls: int | None = None,
        recovery_timeout: float = 60.0,
        half_open_max_calls: int = 1,
        success_threshold: int = 1,
        half_open_timeout: float = 300.0,
    ) -> None:
        if (slow_call_rate is None) != (slow_call_seconds is None):
            given = "slow_call_seconds" if slow_call_rate is None else "slow_call_rate"
            missing = "slow_call_rate" if slow_call_rate is None else "slow_call_seconds"
            message = f"{given} of a breaker means nothing without {missing}; give both"
            raise ConfigurationError(message)
        rated = failure_rate is not None or slow_call_rate is not None
        if failure_threshold is None and not rated:
            failure_threshold = 5
        if window_calls is not None and window_seconds is not None:
            message = (
                "a breaker has one window: give window_calls or window_seconds, not both "
                f"(window_calls={window_calls!r}, window_seconds={window_seconds!r})"
            )
            raise ConfigurationError(message)
        if not rated:
            windowed = {
                "window_calls": window_calls,
                "window_seconds": window_seconds,
                "minimum_calls": minimum_calls,
            }
            unused = [option for option, value in windowed.items() if value is not None]
            if unused:
                message = (
                    f"{unused[0]} of a breaker means nothing without failure_rate or slow_call_rate"
                )
                raise ConfigurationError(message)
        elif window_seconds is None:
            window_calls = check_count(
                "window_calls", _WINDOW if window_calls is None else window_calls
            )
        if rated and minimum_calls is None:
            minimum_calls = min(_MINIMUM, window_calls or _MINIMUM)
        if minimum_calls is not None and check_count("minimum_calls", minimum_calls) > (
            window_calls or minimum_calls
        ):
            message = (
                f"minimum_calls ({minimum_calls!r}) is more than window_calls ({window_calls!r}) "
                f"can hold, so the breaker could never open"
            )
            raise ConfigurationError(message)
        values: dict[str, object] = {
            "failure_threshold": _optional(check_count, "failure_threshold", failure_threshold),
            "failure_rate": _optional(_check_rate, "failure_rate", failure_rate),
            "slow_call_rate": _optional(_check_rate, "slow_call_rate", slow_call_rate),
            "slow_call_seconds": _optional(check_seconds, "slow_call_seconds", slow_call_seconds),
            "window_calls": window_calls,
            "window_seconds": _optional(check_seconds, "window_seconds", window_seconds),
            "minimum_calls": minimum_calls,
            "recovery_timeout": check_seconds("recovery_timeout", recovery_timeout),
            "half_open_max_calls": check_count("half_open_max_calls", half_open_max_calls),
            "success_threshold": check_count("success_threshold", success_threshold),
            "half_open_timeout": check_seconds("half_open_timeout", half_open_timeout),
        }
        for option, value in values.items():
            object.__setattr__(self, option, value)

    def __setattr__(self, option: str, value: object) -> None:
        message = f"a BreakerConfig does not change; make another with {option}={value!r:.60}"
        raise AttributeError(message)

    def __delattr__(self, option: str) -> None:
        message = f"a BreakerConfig does not change; {option} stays"
        raise AttributeError(message)

    def as_settings(self) -> BreakerSettings:
        """Return what this was made of, to change some of it or to send it elsewhere.

        Example:
            >>> config = BreakerConfig(failure_threshold=3)
            >>> BreakerConfig(**{**config.as_settings(), "recovery_timeout": 5.0})
            BreakerConfig(failure_threshold=3, recovery_timeout=5.0)
        """
        settings: BreakerSettings = {
            "failure_threshold": self.failure_threshold,
            "failure_rate": self.failure_rate,
            "slow_call_rate": self.slow_call_rate,
            "slow_call_seconds": self.slow_call_seconds,
            "window_calls": self.window_calls,
            "window_seconds": self.window_seconds,
            "minimum_calls": self.minimum_calls,
            "recovery_timeout": self.recovery_timeout,
            "half_open_max_calls": self.half_open_max_calls,
            "success_threshold": self.success_threshold,
            "half_open_timeout": self.half_open_timeout,
        }
        return settings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BreakerConfig):
            return NotImplemented
        return self.as_settings() == other.as_settings()

    def __hash__(self) -> int:
        return hash(tuple(self.as_settings().values()))

    def __reduce__(self) -> tuple[object, tuple[BreakerSettings]]:
        return _rebuilt, (self.as_settings(),)

    def __repr__(self) -> str:
        usual = _USUAL
        shown = (
            f"{option}={value!r}"
            for option, value in self.as_settings().items()
            if value != usual.get(option)
        )
        return f"BreakerConfig({', '.join(shown)})"


_USUAL: dict[str, object] = {
    "recovery_timeout": 60.0,
    "half_open_max_calls": 1,
    "success_threshold": 1,
    "half_open_timeout": 300.0,
}


def _rebuilt(settings: BreakerSettings) -> BreakerConfig:
    return BreakerConfig(**settings)


def _optional(check: Callable[[str, object], object], option: str, value: object) -> object:
    return None if value is None else check(option, value)


def _check_rate(option: str, value: object) -> float:
    """Return `value` as a fraction that can be reached.

    Raises:
        ConfigurationError: It is no number above 0 and up to 1.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    hint = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value <= 100:  # noqa: PLR2004 - a percentage
        hint = f"; {value:g} % is {value / 100:g}"
    message = (
        f"{option} of a breaker is a fraction, more than 0 and at most 1, not "
        f"{shown_value(value)}{hint}"
    )
    raise ConfigurationError(message)
