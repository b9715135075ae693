"""Which exchanges are recorded: patterns to include and exclude, and a sampled fraction."""

from __future__ import annotations

import random
import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from keploy_framework.errors import OptionError
from keploy_framework.model import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("Selection",)


class Selection:
    """Decides which exchanges are recorded.

    A pattern is a path (`/health`, `/static/*`), a path with its method (`GET /users/*`), or an
    absolute URL (`https://api.example.com/*`); `*` also matches `/`. The query does not count.
    Paths speak of inbound exchanges only, URLs of both directions; a direction of which no
    `include` pattern speaks is not narrowed by `include`.

    Args:
        include: When not empty, only what matches one of these is recorded.
        exclude: What matches one of these is not recorded, whatever `include` says.
        sample: The fraction of inbound exchanges that is recorded, from 0 to 1.
        seed: Makes the sample the same each time.

    Attributes:
        takes_all: Whether everything is recorded.

    Raises:
        OptionError: A pattern or the fraction is none.

    >>> chosen = Selection(include=["/api/*"], exclude=["DELETE /api/*"])
    >>> chosen.takes(Direction.INBOUND, "GET", "http://testserver/api/users?page=2")
    True
    >>> chosen.takes(Direction.INBOUND, "DELETE", "http://testserver/api/users")
    False
    """

    def __init__(
        self,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sample: float = 1.0,
        seed: int | None = None,
    ) -> None:
        given = cast("object", sample)
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
            raise OptionError(f"sample must be a fraction from 0 to 1, not {given!r:.60}")
        inclusions = [_pattern("include", text) for text in _listed("include", include)]
        exclusions = [_pattern("exclude", text) for text in _listed("exclude", exclude)]
        self._include = _by_direction(inclusions)
        self._exclude = _by_direction(exclusions)
        self._sample = sample
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self.takes_all: bool = not inclusions and not exclusions and sample == 1
        self._matches = cast(
            "Callable[[Direction, str, str], bool]", lru_cache(maxsize=1024)(self._decide)
        )

    def takes(self, direction: Direction, method: str, url: str) -> bool:
        """Say whether this exchange is recorded."""
        if self.takes_all:
            return True
        if not self._matches(direction, method, url.partition("?")[0].partition("#")[0]):
            return False
        if direction is Direction.OUTBOUND or self._sample == 1:
            return True
        return self._random.random() < self._sample

    def _decide(self, direction: Direction, method: str, url: str) -> bool:
        path = urlsplit(url).path or "/"
        subjects = (f"{method} {path}", f"{method} {url}")
        include = self._include[direction]
        exclude = self._exclude[direction]
        if include and not any(rule.match(text) for rule in include for text in subjects):
            return False
        return not any(rule.match(text) for rule in exclude for text in subjects)


def _listed(option: str, patterns: object) -> Sequence[object]:
    """Refuse what is no list of patterns; one bare string would be read letter by letter."""
    if isinstance(patterns, str) or not isinstance(patterns, (list, tuple, set, frozenset)):
        raise OptionError(f"{option} must be a list of patterns, not {patterns!r:.60}")
    return list(cast("Sequence[object]", patterns))


def _pattern(option: str, text: object) -> tuple[bool, re.Pattern[str]]:
    """Compile one pattern; say whether it is a whole URL."""
    if not isinstance(text, str) or not text.strip():
        raise OptionError(f"{option} holds {text!r:.60}, which is no pattern")
    method, space, rest = text.strip().partition(" ")
    if not space:
        method, rest = "*", method
    absolute = "://" in rest
    if not absolute and not rest.startswith(("/", "*")):
        raise OptionError(
            f"{option} holds {text!r:.60}: a pattern is a path that begins with '/', or a URL "
            "with its scheme; a method may stand before it"
        )
    return absolute, re.compile(translate(f"{method.upper()} {rest.strip()}"))


def _by_direction(
    patterns: Sequence[tuple[bool, re.Pattern[str]]],
) -> dict[Direction, tuple[re.Pattern[str], ...]]:
    """Sort patterns by the direction that they speak of."""
    return {
        Direction.INBOUND: tuple(rule for _, rule in patterns),
        Direction.OUTBOUND: tuple(rule for absolute, rule in patterns if absolute),
    }
