"""`CachePrimitive`: answers equal inputs from the results that it keeps.

How a call is answered: `answering.py`. What is kept, how long, and what is counted: `results.py`.
Callers that arrive together: `flights.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core.base import MISSING, WorkflowContext, check_name
from tta_dev_primitives.core.functions import FunctionPrimitive
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.core.wrapper import whole_step
from tta_dev_primitives.errors import Unkeyable
from tta_dev_primitives.performance.answering import Answering
from tta_dev_primitives.performance.kept import Kept
from tta_dev_primitives.performance.keys import key_of
from tta_dev_primitives.performance.model_keys import context_key
from tta_dev_primitives.performance.options import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.performance.option_types import CacheOptions
    from tta_dev_primitives.performance.stats import CacheStats

__all__ = ("Cache", "CachePrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


class CachePrimitive(Answering[TIn, TOut]):
    """Keeps a step's results and answers equal inputs from them.

    Inputs are equal when nothing tells them apart: types count at every level, the order of a
    dict's keys does not. Where the step can see the context, `context.data` counts as well, so
    that callers with different data never share a result. An input without a key goes through
    uncached. Calls that arrive while the result is computed wait for it, and the step runs once,
    also for callers in other threads; when the caller that computes is cancelled, another takes
    over. Iterators and streams are not kept, and neither are answers that were cut short or
    refused. Results are handed out as they are: treat them as read-only, or ask for copies.

    Args:
        primitive: The step: a primitive or a callable.
        max_size: The most results that are kept. Default: 1000, or no bound where there is a
            `max_weight`.
        max_weight: The most that the results weigh together; needs `weigh`. Default: no bound.
        weigh: What a result weighs, more than zero, such as its length. What weighs more than the
            bound is not kept.
        eviction: What makes room: `s3-fifo` keeps what came back, `lru` what was used last, `lfu`
            what was used most often, `fifo` what is newest. Default: `s3-fifo`.
        ttl_seconds: How long a result is good; `math.inf` for as long as there is room. Default:
            3600.
        ttl: The same under another name.
        jitter: The share of the time to live, from 0 to 1, by which it is shortened at random, so
            that results which were computed together do not end together. Default: 0.
        rng: Where jitter comes from; `random.Random(1)` makes it repeatable.
        stale_ttl: For how long after its time a result is still handed out at once, while one task
            in the background renews it, in seconds. If renewing fails the result stays, up to this
            limit. The task belongs to the cache: see `aclose`. Default: 0.
        stale_if_error: For how long after its time a result stands in when the step fails, in
            seconds. Default: 0.
        cache_errors: Classes of exceptions that are kept, each with its seconds; the class nearest
            to the error's own counts, and each caller gets a copy. Default: none is kept.
        should_cache: Says whether a result is kept. Default: `is_complete`, which refuses model
            answers that were cut short, refused or empty.
        copy: `none`: all callers share one object. `copy` or `deepcopy`: what is kept is a copy,
            and each caller that did not compute it gets one of its own. Default: `none`.
        cost: What a result cost, for `saved_cost` in the statistics.
        usage: How many tokens a result took, for `saved_tokens`.
        context_fields: The names in `context.data` that count, instead of all of it; none for an
            empty list.
        store: What other processes share results through: any `CacheStore`, or a `GuardedStore`
            with options of its own. It is asked when there is no result here, by one caller for
            all who wait, and is given what is kept, for `ttl` seconds. A store that is slow, down
            or full of rubbish is as good as none. A copy with another step in it has no store.
        namespace: What the results in the store belong to, and of which version of the code they
            are, such as `answers:v1`: one for each step. Needed with a `CacheStore`; a
            `GuardedStore` has its own.
        clock: Gives monotonic seconds. Default: the engine's clock, which a loop of virtual time
            replaces by its own.
        name: Default: `cache`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, or two contradict each other.
        ReentryError: From the call: the step waits for the result that it is to compute.

    Example:
        >>> lengths = CachePrimitive(len, max_size=100)
        >>> lengths.run("four"), lengths.run("four"), lengths.cache_stats().hits
        (4, 4, 1)
    """

    passes_context = True

    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    def __init__(self, primitive: Any, **options: Any) -> None:
        inner = whole_step(primitive, role="step of Cache")
        self._steps = (inner,)
        name = options.pop("name", None)
        self._name = check_name(name) if name is not None else None
        self.settings: Settings = Settings(**options)
        self.store: Kept = Kept(self.settings)
        self._refresh()

    def _refresh(self) -> None:
        """Work out what depends on the step inside."""
        self._plain = self.settings.fields == () or not _sees_context(self._steps[0])

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Any:
        copy = super()._with_nodes(nodes)
        # Results of another step are no results of this one, here and in a store.
        copy.settings = self.settings.without_store()
        copy.store = Kept(copy.settings)
        copy._refresh()  # noqa: SLF001 - a copy of this very class
        return copy

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How much is kept."""
        settings = self.settings
        if settings.weigh is not None:
            return (f"keeps a weight of {settings.max_weight:g}",)
        return (f"keeps {settings.max_size}",)

    # --- what is kept -----------------------------------------------------------------------

    def cache_stats(self, *, reset: bool = False) -> CacheStats:
        """Return what the cache has done so far, or since the last reset.

        Args:
            reset: Whether the figures begin anew; what is counted at the same time is not lost.
        """
        return self.store.stats(reset=reset)

    def cache_clear(self) -> None:
        """Forget all results; one that is being computed reaches its callers but is not kept.

        Of a store, nothing that was written before now is used here any more; other processes go
        on to use what it holds.
        """
        self.store.clear()
        if self.settings.shared is not None:
            self.settings.shared.forget()

    def cache_invalidate(self, input_data: TIn, context: WorkflowContext | None = None) -> bool:
        """Forget the result for one input; one that is being computed is not kept.

        In a store it is not read any more; it is removed there, or overwritten, by the next call
        for this input. Until then other processes use it, and what they hold in memory as long as
        it is good.

        Args:
            input_data: The input.
            context: The context, where its data counts. Default: one without data.

        Returns:
            Whether there was anything to forget in memory.
        """
        key = self._key(context or WorkflowContext(), input_data)
        shared = self.settings.shared
        if shared is not None and key is not MISSING:
            name = self._shared_name(shared, key)
            if name is not None:
                shared.distrust(name)
        return self.store.drop(key)

    async def aclose(self) -> None:
        """Cancel the tasks that renew results, and wait for those of this loop.

        Results can still be computed and handed out afterwards, but none past its time.
        """
        store = self.store
        store.closed = True
        here = asyncio.get_running_loop()
        mine: list[asyncio.Task[None]] = []
        for task in list(store.refreshing):
            loop = task.get_loop()
            if loop is here:
                task.cancel()
                mine.append(task)
            elif loop.is_running():
                loop.call_soon_threadsafe(task.cancel)
        if mine:
            await asyncio.wait(mine)

    async def __aenter__(self) -> Self:
        """Return the cache; it is closed at the end of the block."""
        self.store.closed = False
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    # --- keys -------------------------------------------------------------------------------

    def _key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        """Return the key of a call, or `MISSING` where it has none."""
        try:
            return self._make_key(context, input_data)
        except Unkeyable:
            return cast("Hashable", MISSING)

    def _make_key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        if self._plain:
            # Alone, a whole number needs no mark of its type: no other input has one for its key.
            return input_data if input_data.__class__ is int else key_of(input_data)
        return key_of(input_data), context_key(context, self.settings.fields)


Cache = CachePrimitive


def _sees_context(node: WorkflowPrimitive[Any, Any]) -> bool:
    """Whether `node` could let its result depend on the context; in doubt it could."""
    if type(node) is FunctionPrimitive:
        return node.form.startswith("context")
    if type(node) is SequentialPrimitive or type(node).__dict__.get("passes_context"):
        return any(_sees_context(child) for child in node.nodes)
    return True
