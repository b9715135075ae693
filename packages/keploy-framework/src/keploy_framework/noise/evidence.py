"""What changes from replay to replay is noise, and of which kind; what only changed once is not.

A recording is replayed twice or more. Where the replays differ among themselves, the value is
volatile, and a pattern that fits every run keeps what can still be asserted of it. Where they agree
with each other and not with the recording, something has changed: that is a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import OptionError
from keploy_framework.noise.kinds import family, instant, text_of, typed_pattern
from keploy_framework.noise.text_pattern import alternatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.noise.kinds import NoiseKind
    from keploy_framework.results import CaseDifference

__all__ = ("Evidence", "classify")

_AROUND: Final = 120.0
_FEWEST: Final = 2
_ORDER: Final = "^(?P<tta_order>.*)$"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the replays say of one path.

    Attributes:
        path: The path, in the words of noise files.
        kind: Of which kind the value is; None if it changes in a way that has no name here.
        pattern: The pattern that asserts the kind; "" without one.
        values: What stood there: in the recording, then in each replay.
        unproven: Whether the replays did not begin from the same state, so that a change may be the
            work of the case itself.
        reason: Why it is noise or why it is none, in a sentence.
    """

    path: str
    kind: NoiseKind | None
    pattern: str
    values: tuple[object, ...]
    unproven: bool
    reason: str

    @property
    def is_noise(self) -> bool:
        """Whether a rule can be made of it."""
        return self.kind is not None and not self.unproven

    @property
    def entry(self) -> tuple[str, tuple[str, ...]]:
        """The path and its patterns, as an entry of noise."""
        return self.path, (self.pattern,) if self.pattern else ()


def classify(
    passes: Sequence[Sequence[CaseDifference]],
    *,
    proven: bool = True,
    recorded_at: float | None = None,
    replayed_at: Sequence[float] = (),
) -> list[Evidence]:
    """Return what the differences of several replays say, one entry a path, sorted.

    Args:
        passes: For each replay, its differences from the recording.
        proven: Whether each replay began from the same state: there was a reset, or the method is
            safe. Otherwise nothing is called noise.
        recorded_at: When the case was recorded, in seconds since the epoch; None if not known.
        replayed_at: When each replay was, in the same unit; or nothing. With both, a value that is
            the time of each run is found even where two replays fell into the same second.

    Raises:
        OptionError: There are fewer than two replays, or as many times as replays are not given.

    Example:
        >>> from keploy_framework.matching import Difference
        >>> first = [Difference("body.id", "value", 7, 8, "body.id")]
        >>> second = [Difference("body.id", "value", 7, 9, "body.id")]
        >>> classify([first, second])[0].kind
        'counter'
    """
    if len(passes) < _FEWEST:
        raise OptionError(f"noise is found by two replays or more, not by {len(passes)}")
    if replayed_at and len(replayed_at) != len(passes):
        raise OptionError(f"{len(replayed_at)} times were given for {len(passes)} replays")
    times = (recorded_at, *replayed_at) if recorded_at is not None and replayed_at else ()
    by_path: dict[str, dict[str, list[CaseDifference | None]]] = {}
    for number, differences in enumerate(passes):
        for change in differences:
            places = by_path.setdefault(change.path, {})
            place = places.setdefault(f"{change.place}\0{change.kind}", [None] * len(passes))
            place[number] = change
    return [
        _path(path, list(places.values()), times, proven=proven)
        for path, places in sorted(by_path.items())
    ]


def _path(
    path: str, places: list[list[CaseDifference | None]], times: Sequence[float], *, proven: bool
) -> Evidence:
    """Judge one path: all its places have to be of the same kind."""
    found = [_place(path, changes, times, proven=proven) for changes in places]
    first = found[0]
    none = next((each for each in found if each.kind is None), None)
    if none is not None:
        return none
    if any(each.pattern != first.pattern for each in found):
        return _joined(path, found, proven=proven)
    return first


def _joined(path: str, found: list[Evidence], *, proven: bool) -> Evidence:
    """Look for one pattern that fits the values of all places of a path."""
    first = found[0]
    kinds = {each.kind for each in found}
    if len(kinds) == 1 and first.kind != "order":
        runs = [[text_of(value) or "" for value in each.values] for each in found]
        made = typed_pattern([value for run in runs for value in run])
        if made is not None and made[0] == first.kind:
            return Evidence(path, made[0], made[1], first.values, not proven, first.reason)
        patterns = sorted({each.pattern for each in found})
        pattern = patterns[0] if len(patterns) == 1 else "|".join(patterns)
        if "(?P<" not in pattern or len(patterns) == 1:
            return Evidence(path, first.kind, pattern, first.values, not proven, first.reason)
    if path == "body.text" or ("text" in kinds and "order" not in kinds):
        # The lines of a text, or values that have more than one thing in them.
        pattern = alternatives([each.pattern for each in found])
        return Evidence(path, "text", pattern, first.values, not proven, first.reason)
    reason = "it changes in every replay, and its places are of different kinds"
    return Evidence(path, None, "", first.values, not proven, reason)


def _place(  # noqa: PLR0911 - one return for each thing that can be the matter
    path: str, changes: list[CaseDifference | None], times: Sequence[float], *, proven: bool
) -> Evidence:
    known = next(change for change in changes if change is not None)
    values = (
        known.expected,
        *(known.expected if change is None else change.actual for change in changes),
    )
    if known.kind == "order":
        if len({repr(value) for value in values[1:]}) == 1:
            return _none(path, values, "every replay has the same other order", proven=proven)
        reason = "the same elements come in another order each time"
        return Evidence(path, "order", _ORDER, values, not proven, reason)
    if known.kind != "value":
        return _none(path, values, "its shape changes, which no pattern excuses", proven=proven)
    plain = [text for value in values if (text := text_of(value)) is not None]
    if len(plain) < len(values) or len(set(map(family, values))) > 1:
        return _none(path, values, "its type changes", proven=proven)
    if len(set(plain[1:])) == 1 and not _follows(plain, times):
        reason = "the replays agree with each other: it has changed, it does not vary"
        return _none(path, values, reason, proven=proven)
    made = typed_pattern(plain)
    if made is None:
        return _none(path, values, "it changes in every replay, in no known way", proven=proven)
    reason = f"it is another {_NAMES[made[0]]} in each run"
    return Evidence(path, made[0], made[1], values, not proven, reason)


_NAMES: Final[dict[NoiseKind, str]] = {
    "uuid": "UUID",
    "time": "point in time",
    "counter": "and higher number",
    "token": "token",
    "order": "order",
    "float": "and nearly equal number",
    "number": "number",
    "text": "text, in its numbers, times or tokens",
}


def _none(path: str, values: tuple[object, ...], reason: str, *, proven: bool) -> Evidence:
    return Evidence(path, None, "", values, not proven, reason)


def _follows(values: Sequence[str], times: Sequence[float]) -> bool:
    """Say whether each value is the time of its run, give or take two minutes."""
    if len(times) != len(values):
        return False
    moments = [instant(value) for value in values]
    return all(
        moment is not None and abs(moment - time) <= _AROUND
        for moment, time in zip(moments, times, strict=True)
    )
