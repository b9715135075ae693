"""`CachePrimitive`: answers equal inputs from the results that it keeps.

What is kept, for how long and what is counted is decided by `Kept`; this shell awaits what is to be
awaited. Callers that arrive together: `flights.py`.

This file is longer than the house rule allows because overloads and options fill half of it, and
because a run is one coroutine: a second one would cost a third of a hit.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import MISSING, WorkflowContext, check_name, nested_awaitable
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.functions import FunctionPrimitive
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import ReentryError, Unkeyable
from tta_dev_primitives.performance.flights import leading
from tta_dev_primitives.performance.kept import Kept, Stale
from tta_dev_primitives.performance.keys import LONGEST, key_of
from tta_dev_primitives.performance.model_keys import context_key
from tta_dev_primitives.performance.options import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.performance.flights import Flight
    from tta_dev_primitives.performance.option_types import CacheOptions
    from tta_dev_primitives.performance.stats import CacheStats
    from tta_dev_primitives.performance.store_guard import GuardedStore

__all__ = ("Cache", "CachePrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


class CachePrimitive(Wrapper[TIn, TOut]):
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

    _opens_frame = True
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

    def _shared_name(self, shared: GuardedStore, key: Hashable) -> str | None:
        """Return the name in the shared store of what is kept at `key`; None where it has none."""
        return shared.key_for(key)

    def _shown(self, input_data: Any) -> str:
        return notes.shown_value(input_data, 200)

    # --- running ----------------------------------------------------------------------------

    async def _execute_impl(  # noqa: C901, PLR0911, PLR0912, PLR0915 - one coroutine: a second costs a third of a hit
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        store = self.store
        run: Run | None = None
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
        began = start = clock.now()
        if place is not None or engine.listening is None:
            kind = input_data.__class__
            plain = self._plain and (kind is str or kind is int)
            # As `_make_key` would say; one that is too long is not found, and is asked for below.
            key = input_data if plain else self._key(context or _NO_DATA, input_data)
            entry = store.entries.get(key)
            if entry is not None:
                value = entry.value  # before its time is looked at: see `Kept`
                if began < entry.until:
                    entry.uses += 1
                    if place is not None:
                        place.ended(began)
                    return value
            elif plain and kind is str and len(input_data) > LONGEST:
                key = self._key(_NO_DATA, input_data)
                entry = store.entries.get(key)
        else:
            if context is None:  # the outermost call, see `core/wrapper.py`
                context, site = fresh_context(began), None
            key, entry = MISSING, None
            run = Run(self, context, site)
            run.__enter__()
            run.index = 0
        try:
            if run is not None:
                key = self._key(run.context, input_data)
            while True:
                if run is not None or entry is not None:
                    found = store.answer(key)
                    if found is not MISSING:
                        if found.__class__ is Stale:
                            self.renew(key, context or fresh_context(began), input_data)
                            found = found.value
                        return _noted(run, "hit", found)
                if key is MISSING:
                    store.counts.bypasses += 1
                    _noted(run, "bypass")
                    return self._checked(await self._started(run, place, context, input_data))
                loop = store.running_loop()
                flight = store.flights.get(key) if store.flights else None
                if flight is None or not flight.within_reach(loop):
                    flight = store.take_off(key, loop)
                    if flight is None:
                        continue
                    newer = store.entries.get(key)
                    if newer is not None and newer is not entry:
                        entry = newer  # another thread has just put it there
                        store.pass_on(key, flight)
                        continue
                    if run is not None:
                        run.note(cache="miss")
                else:
                    turn = loop.create_future()
                    if not flight.join(turn):
                        raise self.reentered(input_data)  # noqa: TRY301 - noted like any other
                    if run is not None:
                        run.note(cache="shared")
                    try:
                        await turn
                    except BaseException:
                        if flight.leave(turn):
                            store.pass_on(key, flight)  # it was this caller's turn
                        store.counts.cancellations += 1
                        raise
                    if not flight.leave(turn):
                        if flight.done:
                            return store.outcome(flight)
                        entry = store.entries.get(key)  # nobody computes it any more: look again
                        continue
                    flight.loop = loop
                    start = clock.now()  # the wait was none of the step's
                break
            flight.parent = leading.get()
            token = leading.set(flight)
            shared = self.settings.shared
            name: str | None = None
            try:
                if shared is not None:
                    name = self._shared_name(shared, key)
                    elsewhere = None if name is None else await shared.find(name)
                    if elsewhere is not None:
                        store.received(key, flight, elsewhere, start)
                        return _noted(run, "store", elsewhere.value)
                direct = self._direct
                if direct is not None and place is None and run is None:
                    result = await direct(input_data)
                else:
                    result = await self._started(run, place, context, input_data)
                if result.__class__ is CoroutineType:
                    self._checked(result)
            except Exception as error:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess] - a step is awaited by a task
                    store.counts.errors += 1
                    store.pass_on(key, flight)  # an answer to this caller's cancellation
                    raise
                spare = store.failed(key, flight, error)
                if spare is MISSING:
                    raise
                return _noted(run, "stale", spare)
            except BaseException:
                store.counts.cancellations += 1
                store.pass_on(key, flight)
                raise
            finally:
                leading.reset(token)
            store.counts.misses += 1
            kept = store.landed(key, flight, result, start)
            if kept and name is not None and shared is not None:
                await shared.keep(name, result, self.settings.ttl)
        except BaseException as error:
            if run is not None:
                run.__exit__(type(error), error, None)
                run = None
            else:
                if place is not None:
                    place.ended(began, error)
                    place = None
                if isinstance(error, Exception):
                    notes.locate(error, self, 0, context or fresh_context(began))
            raise
        finally:
            if run is not None:
                run.__exit__(None, None, None)
            elif place is not None:
                place.ended(began)
        return result

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl

    def _started(
        self,
        run: Run | None,
        place: engine.Site | None,
        context: WorkflowContext | None,
        input_data: Any,
    ) -> Awaitable[Any]:
        """Start the step, and see to it that its call is counted or observed."""
        if run is not None:
            return run.call(0, input_data)
        if place is None:
            return self.start(context, input_data)
        # Where there is no context, the step is one that takes none.
        call = cast("Any", self.calls_at(place)[0])
        return engine.count(place.open(self)[0], call, cast("Any", context), input_data)

    def reentered(self, input_data: Any) -> ReentryError:
        """Return the error for a call that would wait for itself, and count it."""
        self.store.counts.errors += 1
        return ReentryError(
            f"the step of {self.name!r} waits for the result that it is to compute, "
            f"for the input {self._shown(input_data)}"
        )

    def _checked(self, result: Any) -> Any:
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self._steps[0].name, result)
        return result

    # --- renewing in the background ---------------------------------------------------------

    def renew(self, key: Hashable, context: WorkflowContext, input_data: Any) -> None:
        """Start a task that renews a result, unless there is a run for its key already."""
        store = self.store
        loop = asyncio.get_running_loop()
        found = store.flights.get(key)
        if found is not None and found.within_reach(loop):
            return
        flight = store.take_off(key, loop)
        if flight is None:
            return
        work = self._renewing(key, flight, _detached(context), input_data)
        # Not every task factory takes a context.
        task: asyncio.Task[None] = _foreign_variables().run(loop.create_task, work)
        store.refreshing.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            store.refreshing.discard(task)
            # Here, since a task that is cancelled before it has begun runs nothing of its own.
            if not (flight.done or flight.adrift):
                store.pass_on(key, flight)

        task.add_done_callback(ended)

    async def _renewing(
        self, key: Hashable, flight: Flight, context: WorkflowContext, input_data: Any
    ) -> None:
        store = self.store
        flight.begin()
        began = clock.now()
        try:
            result = self._checked(await self._steps[0].execute(context, input_data))
        except Exception as error:  # noqa: BLE001 - counted; the value that is there stays
            store.refresh_failed(key, flight, error)
        else:
            store.counts.refreshes += 1
            shared = self.settings.shared
            if store.landed(key, flight, result, began) and shared is not None:
                name = self._shared_name(shared, key)
                if name is not None:
                    await shared.keep(name, result, self.settings.ttl)


Cache = CachePrimitive


_NO_DATA = WorkflowContext()


def _noted(run: Run | None, what: str, value: Any = None) -> Any:
    """Note on the record what became of a call, and return its value."""
    if run is not None:
        run.note(cache=what)
    return value


def _detached(context: WorkflowContext) -> WorkflowContext:
    """Return a context for work that goes on when the run has ended: without its bounds."""
    return WorkflowContext(
        correlation_id=context.correlation_id,
        data=dict(context.data),
        parent_span_context=context.parent_span_context,
        workflow_id=context.workflow_id,
        session_id=context.session_id,
        tags=dict(context.tags),
        baggage=dict(context.baggage),
    )


def _foreign_variables() -> Context:
    """Return a copy of the context variables without this package's own, which tell of the run."""
    made = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith("tta_dev_primitives."):
            made.run(variable.set, value)
    return made


def _sees_context(node: WorkflowPrimitive[Any, Any]) -> bool:
    """Whether `node` could let its result depend on the context; in doubt it could."""
    if type(node) is FunctionPrimitive:
        return node.form.startswith("context")
    if type(node) is SequentialPrimitive or type(node).__dict__.get("passes_context"):
        return any(_sees_context(child) for child in node.nodes)
    return True
