"""Keploy's own verdicts, for those who ask for them: what it forgives, this forgives.

It forgives more than `answer_differences`: bodies that are no JSON are not compared, the order of
arrays does not count, noise paths match by substring.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from keploy_framework.matching.flaky_headers import VOLATILE_HEADERS
from keploy_framework.matching.json_value import NotJSONError, Number, Repeated, parsed, type_name
from keploy_framework.matching.json_walk import JSONRules, json_differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keploy_framework.matching.json_value import JSON
    from keploy_framework.model import Headers

__all__ = ("KeployNoise", "KeployVerdict", "go_number", "keploy_verdict")


_SMALLEST_PLAIN: Final = 1e-6
_SMALLEST_LONG: Final = 1e21


@dataclass(frozen=True, slots=True)
class KeployVerdict:
    """What Keploy would say of an answer."""

    status: bool
    headers: bool
    body: bool

    @property
    def passed(self) -> bool:
        """Whether everything agrees."""
        return self.status and self.headers and self.body


class _Patterns:
    """The patterns of an entry; none means that everything is excused."""

    __slots__ = ("_compiled", "empty")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.empty: bool = not patterns
        self._compiled: list[re.Pattern[str]] = []
        for pattern in patterns:
            try:
                self._compiled.append(re.compile(pattern))
            except re.error:
                continue  # Keploy takes a pattern that it cannot compile as one that never matches

    def match(self, value: JSON) -> bool:
        """Say whether a scalar is excused by a pattern; what is empty excuses without looking."""
        text = _text(value)
        return text is not None and any(pattern.search(text) for pattern in self._compiled)


def _text(value: JSON) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return go_number(value.text)
    return value if isinstance(value, str) else None


def go_number(text: str) -> str:
    """Return a number as Go writes a float64 in JSON: plain from 1e-6 up to 1e21."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    exact = Decimal(repr(value)).normalize()
    if _SMALLEST_PLAIN <= abs(value) < _SMALLEST_LONG:
        return format(exact, "f")
    sign, digits, exponent = exact.as_tuple()
    power = len(digits) - 1 + int(exponent)
    rest = "".join(map(str, digits[1:]))
    mantissa = f"{digits[0]}.{rest}" if rest else str(digits[0])
    return f"{'-' * sign}{mantissa}e{power:+d}"


class KeployNoise:
    """Noise entries as Keploy reads them.

    Args:
        entries: Entries of a test case: ``body.a.b``, ``header.Name``, ``body``, ``header``, each
            with its patterns.
        body: Entries for bodies from the configuration, without the first word.
        header: Entries for headers, likewise.
    """

    __slots__ = ("_body", "_globals", "_headers", "_paths")

    def __init__(
        self,
        entries: Mapping[str, Sequence[str]] | None = None,
        *,
        body: Mapping[str, Sequence[str]] | None = None,
        header: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        entries = entries or {}
        self._body = "body" in entries or list((body or {}).get("*", ())[:1]) == ["*"]
        merged = {key.lower(): patterns for key, patterns in (body or {}).items() if key != "*"}
        heads = {key.lower(): patterns for key, patterns in (header or {}).items()}
        for path, patterns in entries.items():
            words = path.split(".")
            if words[0] == "body" and len(words) > 1:
                merged[".".join(words[1:]).lower()] = patterns
            elif words[0] == "header":
                heads[words[-1].lower()] = patterns
        longest = sorted(merged.items(), key=lambda item: (-len(item[0]), item[0]))
        self._globals = {key: _Patterns(found) for key, found in longest if "." not in key}
        self._paths = [(key, _Patterns(found)) for key, found in longest if "." in key]
        self._headers = sorted(
            ((key, _Patterns(found)) for key, found in heads.items()),
            key=lambda item: (-len(item[0]), item[0]),
        )

    @property
    def whole_body(self) -> bool:
        """Whether bodies are not compared at all."""
        return self._body

    def path(self, path: str) -> _Patterns | None:
        """Return the longest entry that is a part of the path."""
        for key, patterns in self._paths:
            if key in path:
                return patterns
        return None

    def key(self, key: str) -> _Patterns | None:
        """Return the entry for a key at any depth."""
        return self._globals.get(key.lower())

    def names(self, name: str) -> bool:
        """Say whether an entry speaks of a header."""
        return any(key in name.lower() for key, _ in self._headers)

    def header(self, name: str, value: str) -> bool:
        """Say whether a header does not count; ``header`` alone hides all of them."""
        lowered = name.lower()
        for key, patterns in self._headers:
            if key in lowered:
                return patterns.empty or patterns.match(value)
        return any(key in {"header", "*"} for key, _ in self._headers)


def keploy_verdict(
    expected: tuple[int, Headers, bytes],
    actual: tuple[int, Headers, bytes],
    *,
    noise: KeployNoise | None = None,
    ignore_ordering: bool = True,
    compare_all: bool = False,
    auto_header_noise: bool = False,
    schema_match: bool = False,
    pass_additions: bool = False,
) -> KeployVerdict:
    """Return what Keploy would say.

    Args:
        expected: Status, headers and decompressed body that were recorded.
        actual: Status, headers and decompressed body that came.
        noise: What is excused.
        ignore_ordering: Whether the elements of arrays may stand in any order.
        compare_all: Whether bodies that are no JSON are compared, too.
        auto_header_noise: Whether times, and ids of requests and traces, in headers that both
            answers have may differ (`disableAutoHeaderNoise` off).
        schema_match: Whether only the keys and types of JSON count (`schemaMatch`).
        pass_additions: Whether a body passes that has only gained fields
            (`autoPassHTTPResponseSchemaAddition`).

    Example:
        >>> verdict = keploy_verdict((200, (), b"[1, 2]"), (200, (), b"[2, 1]"))
        >>> verdict.passed
        True
    """
    noise = noise or KeployNoise()
    how = _How(
        ordered=not ignore_ordering,
        every=compare_all,
        schema=schema_match,
        additions=pass_additions,
    )
    body = _body(expected[2], actual[2], noise, how)
    volatile = VOLATILE_HEADERS if auto_header_noise else frozenset[str]()
    return KeployVerdict(
        status=expected[0] == actual[0],
        headers=_headers(expected[1], actual[1], noise, volatile, body_passed=body),
        body=body,
    )


class _How(NamedTuple):
    """How bodies are compared: in order, all kinds, types only, additions allowed."""

    ordered: bool
    every: bool
    schema: bool
    additions: bool


def _body(  # noqa: PLR0911 - one for each way to be sure
    expected: bytes, actual: bytes, noise: KeployNoise, how: _How
) -> bool:
    try:
        came = parsed(actual)
        is_json = True
    except NotJSONError:
        came, is_json = None, False
    if noise.whole_body:
        return True
    if not is_json:
        return not how.every or expected == actual
    try:
        recorded = parsed(expected)
    except NotJSONError:
        return expected == actual
    if type_name(recorded) != type_name(came):
        return False
    if how.schema:
        return not json_differences(recorded, came, rules=JSONRules(schema_only=True), most=1)
    try:
        comparison = _Comparison(noise, ordered=how.ordered, additions=how.additions)
        return comparison.same("", recorded, came, relaxed=False)
    except RecursionError:
        # So deep that only the walk without recursion, which excuses nothing, can say.
        return not json_differences(recorded, came, most=1)


class _Comparison:
    """One comparison of two JSON values; ``relaxed`` is under an entry with patterns."""

    def __init__(self, noise: KeployNoise, *, ordered: bool, additions: bool) -> None:
        self._noise = noise
        self._ordered = ordered
        self._additions = additions

    def same(self, path: str, expected: JSON, actual: JSON, *, relaxed: bool) -> bool:
        """Say whether Keploy takes the values for equal."""
        expected, actual = _last(expected), _last(actual)
        if type_name(expected) != type_name(actual):
            return False
        entry = self._noise.path(path) if path else None
        if not isinstance(expected, (dict, list)):
            return relaxed or _scalars(expected, actual, entry)
        if entry is not None and entry.empty:
            return True
        relaxed = relaxed or entry is not None
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._objects(path, expected, actual, relaxed=relaxed)
        if isinstance(expected, list) and isinstance(actual, list):
            return self._arrays(path, expected, actual, relaxed=relaxed)
        return False

    def _objects(
        self, path: str, expected: dict[str, JSON], actual: dict[str, JSON], *, relaxed: bool
    ) -> bool:
        prefix = f"{path}." if path else ""
        for key, value in expected.items():
            below = prefix + key.lower()
            everywhere, entry = self._noise.key(key), self._noise.path(below)
            if any(found is not None and found.empty for found in (everywhere, entry)):
                continue
            if key not in actual:
                return False
            if everywhere is not None and _key_excuses(everywhere, value, actual[key]):
                continue
            if not self.same(below, value, actual[key], relaxed=relaxed):
                return False
        return self._additions or all(
            self._excused(prefix, key, actual[key]) for key in actual.keys() - expected.keys()
        )

    def _excused(self, prefix: str, key: str, value: JSON) -> bool:
        """Say whether a key that was not recorded is excused."""
        found = (self._noise.key(key), self._noise.path(prefix + key.lower()))
        return any(entry is not None and (entry.empty or entry.match(value)) for entry in found)

    def _arrays(
        self, path: str, expected: list[JSON], actual: list[JSON], *, relaxed: bool
    ) -> bool:
        if len(expected) != len(actual):
            return False
        if self._ordered:
            return all(
                self.same(path, mine, theirs, relaxed=relaxed)
                for mine, theirs in zip(expected, actual, strict=True)
            )
        left = list(actual)
        for mine in expected:
            # An equal element is taken before one that is only excused.
            number = next((n for n, theirs in enumerate(left) if mine == theirs), None)
            if number is None:
                number = next(
                    (
                        n
                        for n, theirs in enumerate(left)
                        if self.same(path, mine, theirs, relaxed=relaxed)
                    ),
                    None,
                )
            if number is None:
                return False
            del left[number]
        return True


def _last(value: JSON) -> JSON:
    return value.values[-1] if isinstance(value, Repeated) else value


def _scalars(expected: JSON, actual: JSON, entry: _Patterns | None) -> bool:
    if isinstance(expected, Number) and isinstance(actual, Number):
        if go_number(expected.text) == go_number(actual.text):
            return True
    elif expected == actual:
        return True
    return entry is not None and (entry.empty or entry.match(actual))


def _key_excuses(entry: _Patterns, expected: JSON, actual: JSON) -> bool:
    if isinstance(_last(expected), (dict, list)):
        return type_name(_last(expected)) == type_name(_last(actual))
    return entry.match(_last(actual))


def _headers(
    expected: Headers,
    actual: Headers,
    noise: KeployNoise,
    volatile: frozenset[str],
    *,
    body_passed: bool,
) -> bool:
    mine, theirs = _values(expected), _values(actual)
    for name in {**mine, **theirs}:
        if mine.get(name) == theirs.get(name):
            continue
        if name == "content-length" and body_passed and name in mine and name in theirs:
            continue
        # What a case says of a header itself holds; a header that only one side has is a change.
        if name in volatile and name in mine and name in theirs and not noise.names(name):
            continue
        if not noise.header(name, (theirs.get(name) or mine.get(name) or [""])[0]):
            return False
    return True


def _values(headers: Headers) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for name, value in headers:
        result.setdefault(name.lower(), []).append(value)
    return result
