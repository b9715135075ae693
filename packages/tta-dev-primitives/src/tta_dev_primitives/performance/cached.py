"""`cached`: the decorator that keeps a function's results."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, engine
from tta_dev_primitives.core.base import (
    MISSING,
    WorkflowContext,
    WorkflowPrimitive,
    as_primitive,
    path_safe,
)
from tta_dev_primitives.core.decorated import DecoratedFunction
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.core.wrapper import called
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Unkeyable
from tta_dev_primitives.performance.call_keys import CallKey
from tta_dev_primitives.performance.flights import ThreadTurn, leading, running_loop, unlisted
from tta_dev_primitives.performance.primitive import CachePrimitive
from tta_dev_primitives.performance.results import Stale

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tta_dev_primitives.core.functions import FunctionPrimitive
    from tta_dev_primitives.performance.flights import Flight
    from tta_dev_primitives.performance.kept import Kept
    from tta_dev_primitives.performance.option_types import CachedOptions
    from tta_dev_primitives.performance.stats import CacheStats
    from tta_dev_primitives.performance.store_guard import GuardedStore

__all__ = ("CachedFunction", "cached")

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Q = ParamSpec("Q")
T = TypeVar("T")
Self_ = TypeVar("Self_")
TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)

_POLL = 0.05  # seconds between two looks at a run whose loop may have stopped


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Method(Protocol[TIn, Q, TOut]):
        def __call__(self, instance: TIn, /, *args: Q.args, **kwargs: Q.kwargs) -> TOut: ...


class CachedFunction(DecoratedFunction[P, R]):
    """A function whose results are kept; made by `@cached`."""

    cache: CachePrimitive[Any, Any]
    """What keeps the results."""
    _owner: type | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        """Hear that it is a method: then its first argument is an object, also when not bound."""
        if isinstance(self._function, staticmethod):
            return
        inner = self._around
        self._owner = owner

        def around(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return inner(*_bound(owner, function, args), kwargs)

        self._around = around

    if TYPE_CHECKING:  # a bound method has the same

        @overload
        def __get__(self, instance: None, owner: type, /) -> Self: ...
        @overload
        def __get__(
            self: _Method[Self_, Q, T], instance: Self_, owner: type | None = None, /
        ) -> CachedFunction[Q, T]: ...
        def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...

    def cache_stats(self, *, reset: bool = False) -> CacheStats:
        """Return what the cache has done so far, in calls and in workflows.

        Args:
            reset: Whether the figures begin anew.
        """
        return self.cache.cache_stats(reset=reset)

    def cache_clear(self) -> None:
        """Forget all results; one that is being computed reaches its callers but is not kept."""
        self.cache.cache_clear()

    def cache_invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; one that is being computed is not kept.

        Returns:
            Whether there was anything to forget.
        """
        call = (*_bound(self._owner, self._function, args), kwargs)
        return self.cache.cache_invalidate(call)

    async def aclose(self) -> None:
        """Cancel the tasks that renew results; see `CachePrimitive.aclose`."""
        await self.cache.aclose()


def _bound(owner: type | None, function: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return a method as it is called on an object, also where it was called on its class."""
    if owner is None or function.__class__ is MethodType or not args:
        return function, args
    return (
        (MethodType(function, args[0]), args[1:])
        if isinstance(args[0], owner)
        else (function, args)
    )


class _FunctionCache(CachePrimitive[Any, Any]):
    """A cache whose keys are made from a function's arguments, however they are written."""

    call_key: CallKey

    if not TYPE_CHECKING:  # no input is its own key, so there is nothing to shorten
        execute = WorkflowPrimitive.execute

    def _refresh(self) -> None:
        self._plain = False

    def _shared_name(self, shared: GuardedStore, key: Hashable) -> str | None:
        # With the names, so that one who has reordered the parameters is served nothing old.
        return shared.key_for((self.call_key.names, key))


class _CallCache(_FunctionCache):
    """Its input is a call: the function and its arguments."""

    def _make_key(self, context: WorkflowContext, input_data: Any) -> Hashable:  # noqa: ARG002
        function, args, kwargs = input_data
        return self.call_key.key(function, args, kwargs, self.settings.fields)

    def _shown(self, input_data: Any) -> str:
        _, args, kwargs = input_data
        shown = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        return ", ".join(shown)[:200]


class _StepCache(_FunctionCache):
    """Its input is the step's; the function gets what a step gets."""

    def _make_key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        node = cast("FunctionPrimitive[Any, Any]", self._steps[0])
        if node.form == "input":
            args: tuple[Any, ...] = (input_data,)
        elif node.form == "context, input":
            args = (context, input_data)
        else:
            args = (context,) if node.form == "context" else ()
        return self.call_key.key(node.function, args, {}, self.settings.fields)


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Caching(Protocol):
        """What `cached(...)` without a function gives."""

        def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...


@overload
def cached(
    function: Callable[P, R], /, **options: Unpack[CachedOptions]
) -> CachedFunction[P, R]: ...
@overload
def cached(**options: Unpack[CachedOptions]) -> _Caching: ...
def cached(function: Any = MISSING, /, **options: Any) -> Any:
    """Keep a function's results; a decorator, bare or with options.

    The function is called as before, has `cache_stats()`, `cache_clear()` and
    `cache_invalidate(...)`, and is a primitive that shares the same results. Arguments count
    however they are written: by position, by name or by default. Of an argument that is a
    `WorkflowContext`, its `data` counts. A method keeps results apart by object, and does not keep
    the objects alive. Calls that arrive together share a run: asynchronous ones in all loops,
    synchronous ones in all threads (a thread whose loop runs does not wait, but computes).

    Args:
        function: The function; left out, `cached(...)` is a decorator.
        options: Those of `CachePrimitive`; and `ignore`, names of parameters that do not count.
            Parameters that shape a model's answer are refused there, unless `allow_reserved` is
            true. `stale_ttl` and `store` are for asynchronous functions.

    Raises:
        CompositionError: What is given is no function, or a generator function.
        ConfigurationError: An option is out of range, or two contradict each other.

    Example:
        >>> @cached(max_size=1000, ttl=3600)
        ... def length(text: str) -> int:
        ...     return len(text)
        >>> length("four"), length(text="four"), length.cache_stats().hit_rate
        (4, 4, 0.5)
    """
    ignore = options.pop("ignore", ())
    allow_reserved = options.pop("allow_reserved", False)
    if function is MISSING:
        CachePrimitive(as_primitive(len), **options)

        def decorator(given: Any) -> Any:
            return cached(given, ignore=ignore, allow_reserved=allow_reserved, **options)

        return decorator
    if not callable(function) or (
        isinstance(cast("object", function), WorkflowPrimitive)
        and not isinstance(cast("object", function), DecoratedFunction)
    ):
        message = f"@cached is for functions; for {function!r:.80} write CachePrimitive(...)"
        raise CompositionError(message)
    named: dict[str, Any] = {"name": path_safe(function.__name__), **options}
    call_key = CallKey(function, ignore=ignore, allow_reserved=allow_reserved)
    calls = _CallCache(called(function), **named)
    calls.call_key = call_key
    if calls.settings.shared is not None and not is_async(function):
        message = (
            f"store is awaited, and {function.__name__!r} is synchronous: make it asynchronous, "
            f"or leave out the store"
        )
        raise ConfigurationError(message)
    if calls.settings.stale_ttl and not is_async(function):
        message = (
            f"stale_ttl renews results in a task, and {function.__name__!r} is synchronous: "
            f"stale_if_error works without one"
        )
        raise ConfigurationError(message)

    def make_step(primitive: FunctionPrimitive[Any, Any]) -> WorkflowPrimitive[Any, Any]:
        made = _StepCache(primitive, **named)
        made.call_key = call_key
        made.settings, made.store = calls.settings, calls.store
        return made

    made = CachedFunction[Any, Any](
        function,
        around=_asynchronous(calls) if is_async(function) else _synchronous(calls),
        make_step=make_step,
    )
    made.cache = calls
    return made


def _asynchronous(calls: _CallCache) -> Callable[..., Any]:
    """Return what happens on a call of an asynchronous function."""
    store, key_of_call, fields = calls.store, calls.call_key.key, calls.settings.fields
    entries, lone = store.entries, _lone_text_is_key(calls)

    async def around(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if engine.listening is None:  # a hit needs no run around it
            if (
                lone
                and not kwargs
                and len(args) == 1
                and args[0].__class__ is str
                and function.__class__ is not MethodType
            ):
                entry = entries.get(args)
                if entry is not None:
                    value = entry.value  # before the time is looked at: see `Kept`
                    if clock.now() < entry.until:
                        entry.uses += 1
                        return value
            try:
                key = key_of_call(function, args, kwargs, fields)
            except Unkeyable:
                key = MISSING
            found = store.answer(key)
            if found is not MISSING:
                if found.__class__ is Stale:
                    calls.renew(key, WorkflowContext(), (function, args, kwargs))
                    return found.value
                return found
        return await calls.execute((function, args, kwargs))

    return around


def _lone_text_is_key(calls: _CallCache) -> bool:
    """Whether a call with one text has the tuple of its arguments for its key: asked once."""
    function = cast("FunctionPrimitive[Any, Any]", calls.nodes[0]).function
    try:
        return calls.call_key.key(function, ("",), {}, calls.settings.fields) == ("",)
    except (TypeError, Unkeyable):
        return False


def _synchronous(calls: _CallCache) -> Callable[..., Any]:  # noqa: C901 - as below
    """Return what happens on a call of a synchronous function."""
    store, key_of_call, fields = calls.store, calls.call_key.key, calls.settings.fields

    def around(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: C901 - one loop, as in `CachePrimitive`
        try:
            key = key_of_call(function, args, kwargs, fields)
        except Unkeyable:
            store.counts.bypasses += 1
            return function(*args, **kwargs)
        while True:
            entry = store.entries.get(key)
            found = MISSING if entry is None else store.answer(key)
            if found is not MISSING:
                return found
            flight = store.flights.get(key)
            if flight is None or not flight.within_reach(None):
                flight = store.take_off(key, None, entry)
                if flight is None:
                    continue
                break
            turn = ThreadTurn()
            if not flight.join(turn, None):
                raise calls.reentered((function, args, kwargs))
            if running_loop() is not None:
                flight.leave(turn)
                flight = unlisted()  # waiting would hold up the loop: computed, and not kept
                break
            while not turn.done() and flight.within_reach(None):
                turn.wait(_POLL)
            if flight.leave(turn):
                flight.loop = None
                break
            if flight.done:
                return store.outcome(flight)
        return _led(store, key, flight, lambda: function(*args, **kwargs))

    return around


def _led(store: Kept, key: Hashable, flight: Flight, compute: Callable[[], Any]) -> Any:
    """Compute in this thread."""
    token = flight.begin()
    began = clock.now()
    try:
        result = compute()
    except Exception as error:
        spare = store.failed(key, flight, error)
        if spare is MISSING:
            raise
        return spare
    except BaseException:
        store.counts.cancellations += 1
        store.pass_on(key, flight)
        raise
    finally:
        leading.reset(token)
    store.counts.misses += 1
    store.landed(key, flight, result, began)
    return result
