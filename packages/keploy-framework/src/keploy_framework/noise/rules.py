"""Which differences are noise: the rules of the configuration, of a test set and of a test case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keploy_framework.errors import FormatError
from keploy_framework.noise.kinds import family, text_of, typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keploy_framework.noise.kinds import TypedPattern
    from keploy_framework.results import CaseDifference

__all__ = ("NoiseRules",)

_STRUCTURE: Final = frozenset({"missing", "added", "type", "length"})


class NoiseRules:
    """Rules by path. A rule without patterns excuses all that is under its path; one with patterns
    excuses a changed value that one of them finds, and never a part that is missing or new.

    Paths are exact, without array indexes; letter case counts in bodies, not in header names. The
    entries of a test case override those of its set, and those the global ones, path by path. Call
    the object with a difference to ask whether it is excused.

    Args:
        case: Entries of the test case: dotted paths with their patterns.
        test_set: Entries of its set.
        everywhere: Entries for all sets.

    Raises:
        FormatError: A pattern is no regular expression.

    Example:
        >>> rules = NoiseRules({"body.id": (r"^[0-9]+$",), "header.Date": ()})
        >>> sorted(rules.paths)
        ['body.id', 'header.date']
    """  # noqa: D205 - the two sentences are one rule

    __slots__ = ("_rules",)

    def __init__(
        self,
        case: Mapping[str, Sequence[str]] | None = None,
        *,
        test_set: Mapping[str, Sequence[str]] | None = None,
        everywhere: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        merged: dict[str, Sequence[str]] = {}
        for level in (everywhere, test_set, case):
            for path, patterns in (level or {}).items():
                merged[_spelled(path)] = patterns
        self._rules: dict[str, tuple[TypedPattern, ...]] = {
            path: tuple(_compiled(path, pattern) for pattern in patterns)
            for path, patterns in merged.items()
        }

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all rules."""
        return tuple(self._rules)

    def asserts(self, path: str) -> bool:
        """Say whether a typed rule tells what stays true at a path, or below it.

        Example:
            >>> rules = NoiseRules({"body.user.id": (r"^(?P<tta_counter>[0-9]+)$",), "body.at": ()})
            >>> rules.asserts("body.user.id"), rules.asserts("body.user"), rules.asserts("body.at")
            (True, True, False)
        """
        spelled = _spelled(path)
        return any(
            (own == spelled or own.startswith(f"{spelled}."))
            and any(pattern.kind is not None for pattern in patterns)
            for own, patterns in self._rules.items()
        )

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    def __call__(self, difference: CaseDifference, /) -> bool:
        """Say whether a difference is noise."""
        if not self._rules:
            return False
        path = _spelled(difference.path)
        own = self._rules.get(path)
        if own is not None:
            return not own or _allowed(own, difference)
        # A shorter path excuses what is under it, if it has no patterns.
        while "." in path:
            path = path.rpartition(".")[0]
            above = self._rules.get(path)
            if above is not None:
                return not above
        return False


def _spelled(path: str) -> str:
    section, dot, rest = path.partition(".")
    section = section.lower()
    return section + dot + (rest.lower() if section in {"header", "trailer"} else rest)


def _compiled(path: str, pattern: str) -> TypedPattern:
    found = typed(pattern)
    if found is None:
        raise FormatError(f"noise of {path}: {pattern!r:.80} is no regular expression")
    return found


def _allowed(patterns: tuple[TypedPattern, ...], difference: CaseDifference) -> bool:
    if difference.kind == "order":
        return any(pattern.kind == "order" for pattern in patterns)
    if difference.kind in _STRUCTURE:
        return False
    expected, actual = text_of(difference.expected), text_of(difference.actual)
    if (
        expected is None
        or actual is None
        or family(difference.expected) != family(difference.actual)
    ):
        return False
    return any(pattern.allows(expected, actual) for pattern in patterns)
