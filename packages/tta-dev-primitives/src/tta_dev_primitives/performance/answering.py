"""`Answering`: how a cache answers a call, from the lookup to the run of its step.

Executed by itself, with nobody listening, a call is one coroutine, `execute`: hits, misses and
those who wait. A second coroutine would cost a third of a hit, a tenth of a miss, and a twentieth
of a herd. All other calls (in a workflow, observed, with a store that is shared, or for what is
past its time) find a fresh result in `_execute_impl`, and all else in `_obtain`. What is to be
decided for both is decided by `Kept`.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import (
    MISSING,
    WorkflowContext,
    WorkflowPrimitive,
    nested_awaitable,
)
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper
from tta_dev_primitives.errors import ReentryError
from tta_dev_primitives.performance.flights import leading
from tta_dev_primitives.performance.keys import LONGEST
from tta_dev_primitives.performance.results import Stale

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from tta_dev_primitives.performance.flights import Flight
    from tta_dev_primitives.performance.kept import Kept
    from tta_dev_primitives.performance.options import Settings
    from tta_dev_primitives.performance.policies import Entry
    from tta_dev_primitives.performance.store_guard import GuardedStore

__all__ = ("Answering",)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)

_NO_DATA = WorkflowContext()
_OWN_KEYS = (str, int)
_enter: Callable[..., Coroutine[Any, Any, Any]] = WorkflowPrimitive.execute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - the class itself has no type arguments


class Answering(Wrapper[TIn, TOut]):
    """A wrapper that answers from what it keeps, from a run under way, or by a run of its own."""

    _opens_frame = True
    settings: Settings
    store: Kept
    _plain: bool
    """Whether the context is no part of a key."""

    def _key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        """Return the key of a call, or `MISSING` where it has none."""
        raise NotImplementedError

    def _shown(self, input_data: Any) -> str:
        """Return an input as an error's text shows it."""
        return notes.shown_value(input_data, 200)

    if not TYPE_CHECKING:  # the signatures are those of the base

        async def execute(  # noqa: ANN201, C901, PLR0912, PLR0915 - as above; one coroutine
            self,
            context=MISSING,  # noqa: ANN001 - as the base has it
            input_data=MISSING,  # noqa: ANN001 - as above
        ):
            """Run the step; see `WorkflowPrimitive.execute`."""
            run = None
            kind = type(context)
            if kind is not self._takes or input_data is not MISSING:
                run = self._settle_in(context, input_data)
            elif (state := engine.listening) is not None and (
                (place := self._heard_at) is None
                or place.state is not state
                or state.log_possible()
            ):
                run = _enter(self, context)
            else:
                began = start = clock.now()
                store = self.store
                key = context  # as `_key` would say, but for a text that is too long: not found
                entry = store.entries.get(key)
                if entry is not None:
                    value = entry.value  # before its time is looked at: see `Results`
                    if began < entry.until:
                        entry.uses += 1
                        if state is not None:
                            place.ended(began)
                        return value
                if (
                    state is not None
                    or entry is not None
                    or (kind is str and len(key) > LONGEST)
                    or self.settings.shared is not None
                ):
                    place = None if state is None else place
                    run = self._obtain(key, entry, key, None, place, None, began)
            if run is not None:
                try:
                    return await run
                except BaseException as error:
                    engine.hide_frame(error)
                    raise
            flight = store.flights.get(key)
            try:
                loop = store.running_loop()
                if flight is None:
                    flight = store.take_off(key, loop, None)
                elif flight.loop is loop and leading.get() is None:
                    turn = asyncio.Future(loop=loop)
                    flight.join(turn, loop)
                    try:
                        await turn
                    except BaseException:
                        store.gave_up(key, flight, turn)
                        raise
                    if flight.done:
                        return store.outcome(flight)
                    if flight.leave(turn):
                        flight.loop = loop
                        start = clock.now()  # the wait was none of the step's
                    else:
                        flight = None
                else:
                    flight = None
                if flight is None:  # in another loop or thread, or within another run
                    return await self._obtain(key, None, key, None, None, None, began)
                flight.parent = leading.get()
                token = leading.set(flight)
                try:
                    result = await self._quick(key)
                    if type(result) is CoroutineType:
                        self._checked(result)
                except BaseException as error:
                    result = self._failed(key, flight, error)
                    if result is MISSING:
                        raise
                    return result
                finally:
                    leading.reset(token)
                store.counts.misses += 1
                store.landed(key, flight, result, start)
            except Exception as error:
                if flight is not None:  # else it is noted already
                    notes.locate(error, self, 0, fresh_context(began))
                raise
            return result

        _shortcut = execute

    def _settle_in(self, context: Any, input_data: Any) -> Coroutine[Any, Any, Any]:
        """Start a run that `execute` does not know, and let it know further ones of the kind.

        It knows texts or whole numbers, whichever came last: they are their own keys.

        Raises:
            TypeError: Two arguments in the wrong order, or none.
        """
        run = _enter(self, context, input_data)
        if type(context) in _OWN_KEYS and self._plain and input_data is MISSING:
            if self._bound is None:
                self._bind()
            if self._direct is not None:
                self._quick = self._direct
                self._takes = type(context)  # last: a thread that sees it sees the other as well
        return run

    async def _execute_impl(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
        began = clock.now()
        key: Any
        if place is None and engine.listening is not None:
            if context is None:  # the outermost call, see `core/wrapper.py`
                context, site = fresh_context(began), None
            work = self._observed(context, input_data, site, began)
        else:
            # As `_key` would say, but for a text that is too long: it is not found.
            plain = self._plain and type(input_data) in _OWN_KEYS
            key = input_data if plain else self._key(context or _NO_DATA, input_data)
            entry = self.store.entries.get(key)
            if entry is not None:
                value = entry.value  # before its time is looked at: see `Results`
                if began < entry.until:
                    entry.uses += 1
                    if place is not None:
                        place.ended(began)
                    return value
            work = self._obtain(key, entry, input_data, context, place, None, began)
        try:
            return await work
        except BaseException as error:
            engine.hide_frame(error)
            raise

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl

    async def _observed(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None, began: float
    ) -> Any:
        """Answer a call that somebody wants a record of."""
        with Run(self, context, site) as run:
            run.index = 0
            key = self._key(context, input_data)
            entry = self.store.entries.get(key)
            return await self._obtain(key, entry, input_data, context, None, run, began)

    async def _obtain(  # noqa: C901, PLR0912, PLR0915 - one coroutine, as above
        self,
        key: Any,
        entry: Entry | None,
        input_data: Any,
        context: WorkflowContext | None,
        place: engine.Site | None,
        run: Run | None,
        began: float,
    ) -> Any:
        """Answer a call that is not answered at once.

        Args:
            key: The call's key, or an input that is to be its own key but is too long for that.
            entry: What is kept there: nothing, or what wants a second look.
            input_data: The input.
            context: The run's context; None where none was needed so far.
            place: Where the call is counted.
            run: What observes it; there is no place then.
            began: When it began, by the engine's clock.
        """
        store = self.store
        try:
            if key.__class__ is str and len(key) > LONGEST:
                key = self._key(context or _NO_DATA, input_data)
                entry = store.entries.get(key)
            start = began
            while True:
                if entry is not None:
                    found = store.answer(key)
                    if found is not MISSING:
                        if found.__class__ is Stale:
                            self.renew(key, context or fresh_context(began), input_data)
                            found = found.value
                        return _noted(run, "hit", found)
                elif key is MISSING:
                    store.counts.bypasses += 1
                    _noted(run, "bypass")
                    return self._checked(await self._started(run, place, context, input_data))
                loop = store.running_loop()
                flight = store.flights.get(key)
                if flight is None or not flight.within_reach(loop):
                    flight = store.take_off(key, loop, entry)
                    if flight is not None:
                        _noted(run, "miss")
                        break
                else:
                    turn = asyncio.Future[None](loop=loop)
                    if not flight.join(turn, loop):
                        raise self.reentered(input_data)  # noqa: TRY301 - noted like any other
                    _noted(run, "shared")
                    try:
                        await turn
                    except BaseException:
                        store.gave_up(key, flight, turn)
                        raise
                    if flight.leave(turn):
                        flight.loop = loop
                        start = clock.now()  # the wait was none of the step's
                        break
                    if flight.done:
                        return store.outcome(flight)
                entry = store.entries.get(key)  # nobody computes it any more: look again
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
                result = self._checked(await self._started(run, place, context, input_data))
            except BaseException as error:
                spare = self._failed(key, flight, error)
                if spare is MISSING:
                    raise
                return _noted(run, "stale", spare)
            finally:
                leading.reset(token)
            store.counts.misses += 1
            kept = store.landed(key, flight, result, start)
            if kept and name is not None and shared is not None:
                await shared.keep(name, result, self.settings.ttl)
        except BaseException as error:
            if place is not None:
                place.ended(began, error)
                place = None
            if run is None and isinstance(error, Exception):
                notes.locate(error, self, 0, context or fresh_context(began))
            raise
        finally:
            if place is not None:
                place.ended(began)
        return result

    def _failed(self, key: Hashable, flight: Flight, error: BaseException) -> Any:
        """Say that a run has failed: to those who wait, or to one of them, whose turn it now is.

        Returns:
            What stands in for its result; `MISSING` where the error is to be raised.
        """
        store = self.store
        if not isinstance(error, Exception):
            store.counts.cancellations += 1
        elif asyncio.current_task().cancelling():  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess] - a step is awaited by a task
            store.counts.errors += 1  # an answer to this caller's cancellation
        else:
            return store.failed(key, flight, error)
        store.pass_on(key, flight)
        return MISSING

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

    # --- renewing in the background ---------------------------------------------------------

    def renew(self, key: Hashable, context: WorkflowContext, input_data: Any) -> None:
        """Start a task that renews a result, unless there is a run for its key already."""
        from tta_dev_primitives.performance.renewing import detached, start  # noqa: PLC0415 - few caches renew

        outliving = detached(context)
        start(self.store, key, lambda flight: self._renewing(key, flight, outliving, input_data))

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

    def _checked(self, result: Any) -> Any:
        """Return a step's result, unless the step forgot an `await`."""
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self._steps[0].name, result)
        return result

    def _shared_name(self, shared: GuardedStore, key: Hashable) -> str | None:
        """Return the name in the shared store of what is kept at `key`; None where it has none."""
        return shared.key_for(key)


def _noted(run: Run | None, what: str, value: Any = None) -> Any:
    """Note on the record what became of a call, and return its value."""
    if run is not None:
        run.note(cache=what)
    return value
