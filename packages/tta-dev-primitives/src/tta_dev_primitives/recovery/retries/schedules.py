"""Schedules: how long a Retry waits after each failed attempt, as values that can be combined.

A schedule is immutable, knows no clock and holds no state; `pauses(rng)` starts one run of it. The
same schedule and the same seed give the same pauses. What holds for all of them:

- No pause is negative, NaN or longer than `LONGEST`, however many attempts there are.
- `a.capped(x).capped(y)` is `a.capped(min(x, y))`.
- `a.then(b, after=0)` is `b`; `a.then(b, after=m).then(c, after=m + n)` is
  `a.then(b.then(c, after=n), after=m)`; and a cap of the whole is a cap of its parts.
- `a + constant(0)` and `constant(0) + a` are `a`; without jitter, `a + b` is `b + a`.
- `a.jittered("none")` is `a`; `full` stays between zero and `a`, `equal` between half of `a` and
  `a`.

("Is" means: gives the same pauses.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tta_dev_primitives.core.base import is_count
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    import random

__all__ = (
    "LONGEST",
    "Jitter",
    "Pauses",
    "Schedule",
    "constant",
    "decorrelated",
    "exponential",
    "linear",
    "listed",
)

Jitter: TypeAlias = Literal["full", "equal", "none"]
Pauses: TypeAlias = Iterator[float]
"""The pauses of one run, in seconds; without an end."""

LONGEST = 365 * 86_400.0
"""No pause is longer, in seconds: a year."""

_JITTERS = ("full", "equal", "none")


class Schedule:
    """How long to wait after each failed attempt; see this module's functions.

    Schedules compare and hash by what they are made of, and can be pickled.

    Example:
        >>> import random
        >>> from itertools import islice
        >>> quick_then_slow = constant(0.1).then(exponential(1.0).capped(5.0), after=2)
        >>> list(islice(quick_then_slow.pauses(random.Random(1)), 6))
        [0.1, 0.1, 1.0, 2.0, 4.0, 5.0]
    """

    __slots__ = ("_parts",)

    def __init__(self, *parts: Any) -> None:
        self._parts: tuple[Any, ...] = parts

    def pauses(self, rng: random.Random) -> Pauses:
        """Start a run: the pauses after attempt 1, 2, 3 and so on, in seconds.

        Args:
            rng: Where jitter comes from.
        """
        raise NotImplementedError

    def capped(self, seconds: float) -> Schedule:
        """Return this schedule with no pause longer than `seconds` (zero or more).

        Raises:
            ConfigurationError: `seconds` is no such number.
        """
        return _Capped(self, _seconds("cap", seconds, zero=True))

    def jittered(self, jitter: Jitter = "full") -> Schedule:
        """Return this schedule with random pauses, so that callers do not return together.

        Args:
            jitter: `full` draws each from zero to the pause, `equal` from half of it up; `none`
                leaves it.

        Raises:
            ConfigurationError: There is no such jitter.
        """
        if jitter not in _JITTERS:
            message = f"jitter must be 'full', 'equal' or 'none', not {jitter!r}"
            raise ConfigurationError(message)
        return self if jitter == "none" else _Jittered(self, jitter)

    def then(self, other: Schedule, *, after: int) -> Schedule:
        """Return the first `after` pauses of this schedule, then those of `other`, from its first.

        Args:
            other: What follows.
            after: Zero or more.

        Raises:
            ConfigurationError: An argument is of the wrong kind.
        """
        if not is_count(after) or after < 0:
            message = f"after must be a whole number of at least 0, not {after!r:.60}"
            raise ConfigurationError(message)
        return _Chain(self, check_schedule("other", other), after)

    def __add__(self, other: Schedule) -> Schedule:
        """Return a schedule each of whose pauses is the sum of one of each."""
        if not isinstance(cast("object", other), Schedule):
            return NotImplemented
        return _Sum(self, other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other._parts == self._parts

    def __hash__(self) -> int:
        return hash((type(self), self._parts))

    def __reduce__(self) -> tuple[type[Schedule], tuple[Any, ...]]:
        return type(self), self._parts

    def __repr__(self) -> str:
        parts = ", ".join(repr(part) for part in self._parts)
        return f"{type(self).__name__.lstrip('_').lower()}({parts})"


def check_schedule(option: str, value: object) -> Schedule:
    """Return `value` if it is a schedule.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, Schedule):
        return value
    message = (
        f"{option} must be a schedule, such as exponential(0.5).capped(30.0), not {value!r:.60}"
    )
    raise ConfigurationError(message)


def constant(seconds: float) -> Schedule:
    """Return a schedule that always waits `seconds` (zero or more).

    Raises:
        ConfigurationError: `seconds` is no such number.
    """
    return _Constant(_seconds("seconds", seconds, zero=True))


def linear(initial: float, step: float) -> Schedule:
    """Return a schedule whose pauses grow by the same amount each time.

    Args:
        initial: The first pause, in seconds; zero or more.
        step: How much longer each next one is, in seconds; zero or more.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        >>> import random
        >>> from itertools import islice
        >>> list(islice(linear(1.0, 0.5).pauses(random.Random(1)), 4))
        [1.0, 1.5, 2.0, 2.5]
    """
    return _Linear(_seconds("initial", initial, zero=True), _seconds("step", step, zero=True))


def exponential(initial: float = 0.5, factor: float = 2.0) -> Schedule:
    """Return a schedule each of whose pauses is `factor` times the one before.

    Args:
        initial: The first pause, in seconds; zero or more.
        factor: At least 1.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        >>> import random
        >>> from itertools import islice
        >>> pauses = exponential(0.5).capped(5.0).pauses(random.Random(1))
        >>> [round(pause, 2) for pause in islice(pauses, 6)]
        [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    """
    return _Exponential(_seconds("initial", initial, zero=True), check_factor("factor", factor))


def decorrelated(initial: float = 0.5, factor: float = 3.0, maximum: float = 30.0) -> Schedule:
    """Return a schedule that draws each pause from `initial` to `factor` times the one before.

    The "decorrelated jitter" of the AWS Architecture Blog: pauses grow on average, while those of
    two callers have little to do with each other.

    Args:
        initial: The shortest pause, in seconds; zero or more. The first is drawn from here to
            `factor` times this.
        factor: At least 1.
        maximum: The longest pause, in seconds; what is drawn above it counts as this.

    Raises:
        ConfigurationError: A number is out of range.
    """
    low = _seconds("initial", initial, zero=True)
    high = _seconds("maximum", maximum, zero=True)
    if high < low:
        message = f"maximum ({maximum!r}) is less than initial ({initial!r})"
        raise ConfigurationError(message)
    return _Decorrelated(low, check_factor("factor", factor), high)


def listed(*seconds: float) -> Schedule:
    """Return a schedule of the given pauses, in seconds; the last is repeated.

    Raises:
        ConfigurationError: There is none, or one is no number of zero or more.

    Example:
        >>> import random
        >>> from itertools import islice
        >>> list(islice(listed(0.1, 1, 10).pauses(random.Random(1)), 5))
        [0.1, 1.0, 10.0, 10.0, 10.0]
    """
    if not seconds:
        message = "listed() needs at least one pause, in seconds"
        raise ConfigurationError(message)
    return _Listed(*(_seconds("a pause", value, zero=True) for value in seconds))


def check_factor(option: str, value: object) -> float:
    """Return `value` as a factor.

    Raises:
        ConfigurationError: It is no finite number of at least 1.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value < LONGEST:
        return float(value)
    message = f"{option} must be a number from 1 up to {LONGEST:.0f}, not {value!r:.60}"
    raise ConfigurationError(message)


def _seconds(option: str, value: object, *, zero: bool) -> float:
    seconds = check_seconds(option, value, zero=zero)
    if seconds > LONGEST:
        message = f"{option} must be at most {LONGEST:.0f} seconds, which is a year, not {value!r}"
        raise ConfigurationError(message)
    return seconds


class _Constant(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        del rng
        return repeat(self._parts[0])


class _Linear(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        del rng
        pause, step = self._parts
        while True:
            yield min(pause, LONGEST)
            pause += step


class _Exponential(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        del rng
        pause, factor = self._parts
        while True:
            yield pause
            pause = min(pause * factor, LONGEST)  # a product never overflows: inf at worst


class _Decorrelated(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        initial, factor, maximum = self._parts
        pause = initial
        while True:
            pause = min(rng.uniform(initial, min(pause * factor, LONGEST)), maximum)
            yield pause


class _Listed(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        del rng
        return chain(self._parts, repeat(self._parts[-1]))


class _Capped(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        inner, cap = self._parts
        for pause in inner.pauses(rng):
            yield min(pause, cap)


class _Jittered(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        inner, jitter = self._parts
        least = 0.5 if jitter == "equal" else 0.0
        for pause in inner.pauses(rng):
            yield min(rng.uniform(pause * least, pause), pause)  # rounding may go above


class _Chain(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        first, second, after = self._parts
        yield from islice(first.pauses(rng), after)
        yield from second.pauses(rng)


class _Sum(Schedule):
    __slots__ = ()

    def pauses(self, rng: random.Random) -> Pauses:
        first, second = self._parts
        for a, b in zip(first.pauses(rng), second.pauses(rng), strict=False):
            yield min(a + b, LONGEST)
