"""`SemanticCachePrimitive`: a step that also answers from what was asked in other words.

It stands inside an exact cache, `CachePrimitive(SemanticCachePrimitive(ask, …))`: the same input is
answered there, at once and with one run for all who ask; only what is new comes to the index.
"""

from __future__ import annotations

import math
import operator
import os
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, notes
from tta_dev_primitives.core.base import check_name
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.performance.semantic import SemanticTier
from tta_dev_primitives.performance.worth import is_complete, spent_once_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("SemanticCacheOptions", "SemanticCachePrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


class SemanticCacheOptions(TypedDict, total=False):
    """The options of a SemanticCachePrimitive."""

    tier: SemanticTier
    text: Callable[[Any], str]
    scope: Callable[[Any], str]
    ttl: float
    max_size: int
    same: Callable[[Any, Any], bool]
    name: str | None


class SemanticCachePrimitive(Wrapper[TIn, TOut]):
    """Serves an answer that was given to other words, where the tier's second check agrees.

    What fails, is a stream, or is no whole answer (`is_complete`) is not kept. A failure of the
    index or of the check is a miss. Of the answers served, the share that the tier samples is
    computed as well: a fresh answer that differs is served in place of the kept one, and counts as
    a false hit in `tier.stats()`.

    Args:
        primitive: The step: a primitive or a callable.
        tier: Proposes and checks; see `SemanticTier`.
        text: Function of the input that returns what is asked, as the index compares it.
        scope: Function of the input that returns all else that counts, as text: model,
            temperature, tenant. Nothing is served from one scope to another. `lambda _: ""` says
            that nothing else counts.
        ttl: How long an answer is served, in seconds. Default: 3600.
        max_size: The most answers that are kept; those least recently used go. Default: 1000.
        same: Function of two answers that says whether they say the same. Default: `==`.
        name: Default: `semantic_cache`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, or missing; from the call: `text` or `scope`
            returned no text.

    Example:
        >>> from tta_dev_primitives.performance import Candidate
        >>> class Alike:
        ...     held: list[tuple[str, str]] = []
        ...
        ...     async def nearest(self, text: str, scope: str, limit: int) -> list[Candidate]:
        ...         return [Candidate(held, key, 0.9) for held, key in self.held]
        ...
        ...     async def add(self, text: str, scope: str, key: str) -> None:
        ...         self.held.append((text, key))
        >>> def words(text: str) -> set[str]:
        ...     return set(text.split()) - {"it", "this"}
        >>> tier = SemanticTier(Alike(), verify=lambda a, b: words(a) == words(b), check_rate=0)
        >>> cached = SemanticCachePrimitive(str.upper, tier=tier, text=str, scope=lambda _: "")
        >>> [cached.run(text) for text in ("is it safe", "is this safe", "is it not safe")]
        ['IS IT SAFE', 'IS IT SAFE', 'IS IT NOT SAFE']
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: SemanticCachePrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[SemanticCacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SemanticCachePrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[SemanticCacheOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        tier: SemanticTier | None = None,
        text: Callable[[Any], str] | None = None,
        scope: Callable[[Any], str] | None = None,
        ttl: float = 3600.0,
        max_size: int = 1000,
        same: Callable[[Any, Any], bool] = operator.eq,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of SemanticCache"),)
        self._name = check_name(name) if name is not None else None
        if not isinstance(tier, SemanticTier):
            message = f"tier must be a SemanticTier, not {notes.shown_value(tier)}"
            raise ConfigurationError(message)
        for option, function in (("text", text), ("scope", scope), ("same", same)):
            if not callable(function) or is_async(function):
                shown = notes.shown_value(function)
                message = f"{option} must be a function that answers at once, not {shown}"
                raise ConfigurationError(message)
        self._tier = tier
        self._text = cast("Callable[[Any], str]", text)
        self._scope = cast("Callable[[Any], str]", scope)
        self._same = same
        self._answers = _Answers(
            check_count("max_size", max_size), check_seconds("ttl", ttl, infinite=True)
        )

    @property
    def tier(self) -> SemanticTier:
        """Who proposes and checks; its `stats()` tell how often that was wrong."""
        return self._tier

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Any:
        copy = super()._with_nodes(nodes)
        # Answers of another step are none of this one.
        copy._answers = self._answers.anew()  # noqa: SLF001 - a copy of this very class
        return copy

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        with Run(self, context, site) as run:
            text = self._asked("text", self._text, input_data)
            scope = self._asked("scope", self._scope, input_data)
            hit = await self._tier.find(text, scope)
            kept = None if hit is None else self._answers.find(hit.key, clock.now())
            run.note(hit=kept is not None)
            if hit is not None and kept is not None:
                if not hit.sampled:
                    return kept.value
                result = run.checked(await run.call(0, input_data))
                same = bool(self._same(kept.value, result))
                self._tier.checked(same=same)
                if not same:
                    self._answers.drop(hit.key)
                return result
            result = run.checked(await run.call(0, input_data))
            if is_complete(result) and not spent_once_read(result):
                key = self._answers.keep(result, clock.now())
                await self._tier.learn(text, scope, key=key)
            return result

    def _asked(self, option: str, function: Callable[[Any], str], input_data: object) -> str:
        found = cast("object", function(input_data))
        if not isinstance(found, str):
            message = f"{option} of {self.name!r} returned {notes.shown_value(found)}, not a text"
            raise ConfigurationError(message)
        return found


class _Answer:
    """A kept answer, which may be None."""

    __slots__ = ("until", "value")

    def __init__(self, value: object, until: float) -> None:
        self.value = value
        self.until = until


class _Answers:
    """Answers by a name that the index remembers, the least recently used first."""

    __slots__ = ("_held", "_max_size", "_names", "_own", "_ttl")

    def __init__(self, max_size: int, ttl: float) -> None:
        self._max_size = max_size
        self._ttl = ttl
        self._held: OrderedDict[str, _Answer] = OrderedDict()
        # An index can outlive this process: the names of another one mean nothing here.
        self._own = os.urandom(8).hex()
        self._names = count()

    def find(self, key: str, now: float) -> _Answer | None:
        """Return the answer of that name, unless it is gone or too old."""
        answer = self._held.get(key)
        if answer is None:
            return None
        if now >= answer.until:
            self.drop(key)
            return None
        self._held.move_to_end(key)
        return answer

    def keep(self, value: object, now: float) -> str:
        """Keep an answer; returns its name, which is never used again."""
        key = f"{self._own}-{next(self._names)}"
        self._held[key] = _Answer(value, now + self._ttl if self._ttl < math.inf else math.inf)
        if len(self._held) > self._max_size:
            self._held.popitem(last=False)
        return key

    def drop(self, key: str) -> None:
        """Forget an answer."""
        self._held.pop(key, None)

    def anew(self) -> _Answers:
        """Return the same, empty."""
        return _Answers(self._max_size, self._ttl)

    def __reduce__(self) -> tuple[type[_Answers], tuple[int, float]]:
        return _Answers, (self._max_size, self._ttl)  # a copy keeps answers of its own
