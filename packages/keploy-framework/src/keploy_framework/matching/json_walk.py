"""The differences of two JSON values, by one walk whose cost grows with what is unequal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from keploy_framework.matching.difference import Difference
from keploy_framework.matching.json_value import Number, Repeated, canonical, plain, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.matching.difference import DifferenceKind, Excuses
    from keploy_framework.matching.json_value import JSON
    from keploy_framework.matching.same_secrets import SameSecrets

__all__ = ("MOST", "STRICT", "JSONRules", "json_differences")

MOST: Final = 1000
"""More differences than this are not listed."""

# Down to this depth, equal parts are passed over by one comparison; below, they are walked, so that
# the cost stays linear when everything is deep.
_COMPARED: Final = 16
_PAIRED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class JSONRules:
    """How JSON is compared.

    Attributes:
        numbers: "text": 1.0 is not 1; "value": it is.
        order: "strict": the elements of an array stand in the recorded order; "ignore": in any.
        schema_only: Whether only types and keys are compared, not values.
    """

    numbers: Literal["text", "value"] = "text"
    order: Literal["strict", "ignore"] = "strict"
    schema_only: bool = False


STRICT: Final = JSONRules()
"""Everything counts."""


class _Walk:
    def __init__(
        self, rules: JSONRules, secrets: SameSecrets | None, excuses: Excuses | None, most: int
    ) -> None:
        self._rules = rules
        self._secrets = secrets
        self._excuses = excuses
        self._most = most
        self.found: list[Difference] = []
        self._waiting: list[tuple[str, str, int, JSON, JSON]] = []

    def run(self, path: str, place: str, expected: JSON, actual: JSON) -> list[Difference]:
        """Walk both values; return the differences that nothing excuses."""
        self._waiting.append((path, place, 0, expected, actual))
        while self._waiting and len(self.found) < self._most:
            self._step(*self._waiting.pop())
        return self.found

    def _add(self, path: str, kind: DifferenceKind, expected: JSON, actual: JSON, at: str) -> None:
        difference = Difference(path, kind, plain(expected), plain(actual), at)
        if self._excuses is None or not self._excuses(difference):
            self.found.append(difference)

    def _step(self, path: str, place: str, depth: int, expected: JSON, actual: JSON) -> None:
        if depth < _COMPARED and _equal(expected, actual) and not self._has_secrets():
            return
        if isinstance(expected, dict) and isinstance(actual, dict):
            self._objects(path, place, depth, expected, actual)
        elif isinstance(expected, list) and isinstance(actual, list):
            self._arrays(path, place, depth, expected, actual)
        elif type_name(expected) != type_name(actual):
            self._add(path, "type", expected, actual, place)
        elif not self._rules.schema_only and not self._same(expected, actual):
            self._add(path, "value", expected, actual, place)

    def _has_secrets(self) -> bool:
        """Say whether equal texts have to be looked at: their placeholders may contradict."""
        return self._secrets is not None

    def _same(self, expected: JSON, actual: JSON) -> bool:
        if isinstance(expected, str) and isinstance(actual, str) and self._secrets is not None:
            return self._secrets.same(expected, actual)
        if expected == actual:
            return True
        if isinstance(expected, Number) and isinstance(actual, Number):
            if self._rules.numbers == "text" or not (
                expected.text[-1].isdigit() and actual.text[-1].isdigit()
            ):
                return False
            return Decimal(expected.text) == Decimal(actual.text)
        return False

    def _objects(
        self, path: str, place: str, depth: int, expected: dict[str, JSON], actual: dict[str, JSON]
    ) -> None:
        below: list[tuple[str, str, int, JSON, JSON]] = []
        for key, value in expected.items():
            if key not in actual:
                self._add(f"{path}.{key}", "missing", value, None, f"{place}.{key}")
                continue
            below.append((f"{path}.{key}", f"{place}.{key}", depth + 1, value, actual[key]))
        for key, value in actual.items():
            if key not in expected:
                self._add(f"{path}.{key}", "added", None, value, f"{place}.{key}")
        self._waiting += reversed(below)

    def _arrays(
        self, path: str, place: str, depth: int, expected: list[JSON], actual: list[JSON]
    ) -> None:
        if self._rules.schema_only:
            self._elements(path, place, depth, expected, actual)
            return
        if self._rules.order == "ignore":
            expected, actual = self._unpaired(path, expected, actual)
            if not expected and not actual:
                return
        start, end = _common(expected, actual) if depth < _COMPARED else (0, 0)
        if self._has_secrets():
            start = end = 0
        mine = expected[start : len(expected) - end]
        theirs = actual[start : len(actual) - end]
        if len(mine) != len(theirs):
            self._lengths(path, place, start, expected, actual, mine, theirs)
            if not mine or not theirs:
                return
        elif (
            self._rules.order == "strict"
            and len(mine) > 1
            and depth < _COMPARED
            and _permuted(mine, theirs)
        ):
            self._add(path, "order", expected, actual, place)
            return
        shared = min(len(mine), len(theirs))
        self._waiting += [
            (path, f"{place}[{start + number}]", depth + 1, mine[number], theirs[number])
            for number in range(shared - 1, -1, -1)
        ]

    def _lengths(
        self,
        path: str,
        place: str,
        start: int,
        expected: Sequence[JSON],
        actual: Sequence[JSON],
        mine: list[JSON],
        theirs: list[JSON],
    ) -> None:
        at = place if mine and theirs else f"{place}[{start}]"
        difference = Difference(path, "length", len(expected), len(actual), at)
        if self._excuses is None or not self._excuses(difference):
            self.found.append(difference)

    def _elements(
        self, path: str, place: str, depth: int, expected: list[JSON], actual: list[JSON]
    ) -> None:
        """Compare the shape of every element with that of its partner, or of the first."""
        if not expected:
            return
        for number in range(len(actual) - 1, -1, -1):
            partner = expected[number] if number < len(expected) else expected[0]
            self._waiting.append((path, f"{place}[{number}]", depth + 1, partner, actual[number]))

    def _unpaired(
        self, path: str, expected: list[JSON], actual: list[JSON]
    ) -> tuple[list[JSON], list[JSON]]:
        """Return the elements that have no equal partner on the other side."""
        left = list(range(len(actual)))
        by_text: dict[str, list[int]] = {}
        for number in reversed(left):
            text = canonical(actual[number])
            if text is not None:
                by_text.setdefault(text, []).append(number)
        gone: set[int] = set()
        without: list[JSON] = []
        for value in expected:
            text = canonical(value)
            same = by_text.get(text) if text is not None else None
            if same and _equal(actual[same[-1]], value):
                gone.add(same.pop())
            else:
                without.append(value)
        rest = [number for number in left if number not in gone]
        if max(len(without), len(rest)) > _PAIRED:
            return without, [actual[number] for number in rest]
        # What is left may differ by noise only; each takes the first partner that is excused.
        lonely: list[JSON] = []
        for value in without:
            for number in rest:
                trial = _Walk(self._rules, None, self._excuses, 1)
                if not trial.run(path, path, value, actual[number]):
                    rest.remove(number)
                    break
            else:
                lonely.append(value)
        return lonely, [actual[number] for number in rest]


def _equal(expected: JSON, actual: JSON) -> bool:
    try:
        return expected == actual
    except RecursionError:
        return False


def _typed(value: JSON) -> tuple[type, object]:
    return type(value), value


def _common(expected: list[JSON], actual: list[JSON]) -> tuple[int, int]:
    """Return how many elements are equal at the start, and how many more at the end."""
    shared = min(len(expected), len(actual))
    start = 0
    while start < shared and _equal(expected[start], actual[start]):
        start += 1
    end = 0
    while end < shared - start and _equal(expected[-1 - end], actual[-1 - end]):
        end += 1
    return start, end


def _permuted(expected: list[JSON], actual: list[JSON]) -> bool:
    if not any(isinstance(value, (list, dict, Repeated)) for value in expected):
        try:
            return Counter(map(_typed, expected)) == Counter(map(_typed, actual))
        except TypeError:  # the actual elements cannot be hashed: they are of other types
            return False
    texts = [canonical(value) for value in expected]
    if None in texts:
        return False
    return Counter(texts) == Counter(canonical(value) for value in actual)


def json_differences(
    expected: JSON,
    actual: JSON,
    *,
    rules: JSONRules | None = None,
    path: str = "body",
    place: str | None = None,
    secrets: SameSecrets | None = None,
    excuses: Excuses | None = None,
    most: int = MOST,
) -> list[Difference]:
    """Return how two JSON values differ.

    Args:
        expected: What was recorded, as `parsed` returns it.
        actual: What came.
        rules: How they are compared; by default everything counts.
        path: What the values are called in paths.
        place: What they are called for people; by default the path.
        secrets: Which placeholder stands for which; None compares them as text.
        excuses: Says which differences do not count.
        most: After how many differences the walk ends; at least 1.

    Example:
        >>> from keploy_framework.matching.json_value import parsed
        >>> for difference in json_differences(parsed('{"a": [1, 2]}'), parsed('{"a": [1, 3]}')):
        ...     print(difference)
        body.a[1]: 2 became 3
    """
    walk = _Walk(rules or STRICT, secrets, excuses, most)
    return walk.run(path, path if place is None else place, expected, actual)
