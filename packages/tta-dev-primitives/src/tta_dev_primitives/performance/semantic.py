"""`SemanticTier`: an answer to a question that was worded otherwise, if a second check agrees.

Texts that are alike are not texts that mean the same: a question and its negation are nearer to
each other than two wordings of one question. So likeness only proposes; nothing is served unless
`verify` says that both ask for the same, and everything besides the text (model, temperature,
tenant) is equal. How often that was wrong all the same is measured, on a share of the hits.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import random
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ("Candidate", "SemanticHit", "SemanticIndex", "SemanticStats", "SemanticTier")

_log = logging.getLogger("tta_dev_primitives")


class Candidate(NamedTuple):
    """A text that an index holds and that is like the one asked for.

    Attributes:
        text: The text, as it was added.
        key: The name under which its answer is kept.
        score: How like it is; 1 for the same.
    """

    text: str
    key: str
    score: float


class SemanticIndex(Protocol):
    """Finds texts that are alike, inside one scope."""

    async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
        """Return at most `limit` texts that were added in `scope`, the nearest first."""
        ...

    async def add(self, text: str, scope: str, key: str) -> None:
        """Take in a text whose answer is kept under `key`."""
        ...


class SemanticHit(NamedTuple):
    """An answer that may be served.

    Attributes:
        key: The name under which it is kept.
        text: The text that it answered.
        score: How like that text is to the one asked for.
        sampled: Whether this hit is one to be checked: compute the answer as well, and tell
            `SemanticTier.checked` whether the two say the same.
    """

    key: str
    text: str
    score: float
    sampled: bool


class SemanticStats:
    """What a tier has done so far: a copy that does not change.

    Attributes:
        lookups: Texts that were asked for.
        hits: Those for which an answer was served.
        proposed: Candidates that were like enough.
        refused: Of these, those that `verify` did not take for the same.
        errors: Failures of the index or of `verify`; each is a miss.
        checked: Hits whose answer was compared with a fresh one.
        false_hits: Of these, those where the two did not say the same.
    """

    __slots__ = ("checked", "errors", "false_hits", "hits", "lookups", "proposed", "refused")

    def __init__(self, **counts: int) -> None:
        self.lookups: int = counts.get("lookups", 0)
        self.hits: int = counts.get("hits", 0)
        self.proposed: int = counts.get("proposed", 0)
        self.refused: int = counts.get("refused", 0)
        self.errors: int = counts.get("errors", 0)
        self.checked: int = counts.get("checked", 0)
        self.false_hits: int = counts.get("false_hits", 0)

    @property
    def false_hit_rate(self) -> float | None:
        """False hits as a share of the checked ones, from 0 to 1; None before the first check."""
        return self.false_hits / self.checked if self.checked else None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"SemanticStats(false_hit_rate={self.false_hit_rate}, {shown})"


class SemanticTier:
    """Proposes kept answers for texts that are alike, and serves none without a second check.

    Args:
        index: Finds texts that are alike.
        verify: Says whether two texts ask for the same: (asked, kept) -> bool, or an awaitable of
            it. Only True itself counts as yes.
        threshold: The likeness from which on a text is proposed at all, above 0 and at most 1.
            Default: 0.8.
        limit: The most candidates that are verified for one text. Default: 3.
        check_rate: The share of hits, from 0 to 1, that are to be checked. Default: 0.05.
        timeout: The longest that one look-up may take, in seconds. Default: 1.
        rng: Chooses which hits are checked. Default: not repeatable.

    Raises:
        ConfigurationError: An option is out of range, or `verify` cannot be called.

    Example:
        >>> import asyncio
        >>> class Alike:
        ...     def __init__(self) -> None:
        ...         self.held: list[tuple[str, str, str]] = []
        ...
        ...     async def nearest(self, text: str, scope: str, limit: int) -> list[Candidate]:
        ...         return [Candidate(t, k, 0.9) for t, s, k in self.held if s == scope][:limit]
        ...
        ...     async def add(self, text: str, scope: str, key: str) -> None:
        ...         self.held.append((text, scope, key))
        >>> tier = SemanticTier(Alike(), verify=lambda a, b: ("not" in a) == ("not" in b))
        >>> async def main() -> list[bool]:
        ...     await tier.learn("is it safe", "m:v1", key="k1")
        ...     asked = ("is this safe", "is it not safe")
        ...     return [await tier.find(text, "m:v1") is not None for text in asked]
        >>> asyncio.run(main()), tier.stats().refused
        ([True, False], 1)
    """

    def __init__(
        self,
        index: SemanticIndex,
        *,
        verify: Callable[[str, str], bool | Awaitable[bool]],
        threshold: float = 0.8,
        limit: int = 3,
        check_rate: float = 0.05,
        timeout: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        for name in ("nearest", "add"):
            if not callable(getattr(index, name, None)):
                message = f"index must be a SemanticIndex; {index!r:.60} lacks {name}"
                raise ConfigurationError(message)
        if not callable(cast("object", verify)):
            message = (
                "verify must be a function of two texts that says whether they ask for the same; "
                f"likeness alone serves the answer to the opposite question; got {verify!r:.60}"
            )
            raise ConfigurationError(message)
        self._index = index
        self._verify = verify
        self._threshold = _share("threshold", threshold, zero=False)
        self._limit = check_count("limit", limit)
        self._check_rate = _share("check_rate", check_rate, zero=True)
        self._timeout = check_seconds("timeout", timeout)
        self._rng = rng or random.Random()  # noqa: S311 - which hits are checked is no secret
        self._counts: dict[str, int] = dict.fromkeys(SemanticStats.__slots__, 0)
        self._warned = False

    def stats(self) -> SemanticStats:
        """Return what the tier has done so far."""
        return SemanticStats(**self._counts)

    async def find(self, text: str, scope: str) -> SemanticHit | None:
        """Return the kept answer to a text that asks for the same, or None.

        Args:
            text: What is asked.
            scope: All else that counts, such as the shared key of the request without the text;
                only what was learnt in the same scope is looked at.
        """
        self._counts["lookups"] += 1
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._verified(text, scope)
        except Exception as error:  # noqa: BLE001 - an index or a check of the user's can raise anything
            self._failed("looking for a text", error)
            return None
        if found is None:
            return None
        self._counts["hits"] += 1
        sampled = self._rng.random() < self._check_rate
        return SemanticHit(found.key, found.text, found.score, sampled)

    async def learn(self, text: str, scope: str, *, key: str) -> bool:
        """Take in a text whose answer is kept under `key`; whether the index has taken it."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._index.add(text, scope, key)
        except Exception as error:  # noqa: BLE001 - an index of the user's can raise anything
            self._failed("adding a text", error)
            return False
        return True

    def checked(self, *, same: bool) -> None:
        """Take note of whether a sampled hit said the same as a fresh answer."""
        self._counts["checked"] += 1
        self._counts["false_hits"] += not same

    async def _verified(self, text: str, scope: str) -> Candidate | None:
        candidates = await self._index.nearest(text, scope, self._limit)
        for candidate in list(candidates)[: self._limit]:
            if not self._threshold <= candidate.score < math.inf:
                continue
            self._counts["proposed"] += 1
            verdict = self._verify(text, candidate.text)
            if inspect.isawaitable(verdict):
                verdict = await verdict
            if verdict is True:
                return candidate
            self._counts["refused"] += 1
        return None

    def _failed(self, what: str, error: Exception) -> None:
        """Count a failure, and log the first one, without any text."""
        self._counts["errors"] += 1
        if not self._warned:
            self._warned = True
            _log.warning(
                "semantic tier: %s failed with %s; calls go on without it, and further failures "
                "are only counted",
                what,
                type(error).__qualname__,
            )


def _share(option: str, value: object, *, zero: bool) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
        if 0 < number <= 1 or (zero and number == 0):
            return number
    allowed = "from 0 to 1" if zero else "above 0 and at most 1"
    message = f"{option} must be a share {allowed}, not {value!r:.60}"
    raise ConfigurationError(message)
