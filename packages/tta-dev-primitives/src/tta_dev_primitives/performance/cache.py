"""`CachePrimitive` and `cached`: results are kept, least recently used ones go first.

What is kept and for how long is decided by `LRU`, an object without a clock or a loop; the
primitive acts on its decisions. Keys: `keys.py`. Callers that arrive together: `flights.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections import OrderedDict
from collections.abc import Awaitable
from types import CoroutineType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import (
    MISSING,
    FunctionPrimitive,
    Run,
    WorkflowContext,
    WorkflowPrimitive,
    as_primitive,
    check_name,
    nested_awaitable,
    path_safe,
)
from tta_dev_primitives.core.decorated import DecoratedFunction
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.core.wrapper import Wrapper, called, whole_step
from tta_dev_primitives.errors import CompositionError, ConfigurationError, ReentryError
from tta_dev_primitives.performance.flights import Flight, leading, twin
from tta_dev_primitives.performance.keys import Unkeyable, key_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

__all__ = (
    "LRU",
    "Cache",
    "CacheOptions",
    "CachePrimitive",
    "CacheStats",
    "CachedFunction",
    "cached",
)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_TTL = 3600.0


class CacheOptions(TypedDict, total=False):
    """The options of a cache; see `CachePrimitive`."""

    max_size: int
    ttl_seconds: float | None
    ttl: float | None
    context_fields: Sequence[str] | None
    clock: Callable[[], float] | None
    name: str | None


class CacheStats:
    """What a cache has done so far: a copy that does not change.

    Attributes:
        hits: Calls answered without running the step: from the cache, or by a run that another
            caller had begun.
        misses: Calls that ran the step, or shared the failure of another caller's run.
        expirations: Results dropped because they were too old.
        evictions: Results dropped to make room.
        bypasses: Calls whose input has no key; they ran the step and kept nothing.
        size: Results that are kept now.
    """

    __slots__ = ("bypasses", "evictions", "expirations", "hits", "misses", "size")

    def __init__(
        self,
        *,
        hits: int = 0,
        misses: int = 0,
        expirations: int = 0,
        evictions: int = 0,
        bypasses: int = 0,
        size: int = 0,
    ) -> None:
        self.hits: int = hits
        self.misses: int = misses
        self.expirations: int = expirations
        self.evictions: int = evictions
        self.bypasses: int = bypasses
        self.size: int = size

    @property
    def hit_rate(self) -> float:
        """Hits as a share of hits and misses, from 0 to 1; 0.0 before the first call."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"CacheStats(hit_rate={self.hit_rate:.3f}, {shown})"


class LRU:
    """At most so many values, each for so long; the least recently used one makes room.

    Args:
        max_size: The most values.
        ttl: How long a value is good, in seconds.

    Example:
        >>> lru = LRU(max_size=1, ttl=10.0)
        >>> lru.put("a", 1, now=0.0)
        >>> lru.get("a", now=9.9), lru.get("a", now=10.0, default=None)
        (1, None)
    """

    __slots__ = ("_max_size", "_ttl", "evictions", "expirations", "kept")

    def __init__(self, *, max_size: int, ttl: float) -> None:
        self.kept: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        """Each value with the time from which on it is too old, the most recently used one last."""
        self._max_size = max_size
        self._ttl = ttl
        self.evictions: int = 0
        self.expirations: int = 0

    def get(self, key: Hashable, now: float, default: Any = MISSING) -> Any:
        """Return the value at `key`, now the most recently used, or `default`."""
        kept = self.kept
        found = kept.get(key)
        if found is None:
            return default
        try:
            if now < found[1]:
                kept.move_to_end(key)
                return found[0]
            del kept[key]
        except KeyError:  # another thread was faster
            return default
        self.expirations += 1
        return default

    def put(self, key: Hashable, value: object, now: float) -> None:
        """Keep `value` at `key` from now on."""
        kept = self.kept
        kept.pop(key, None)
        kept[key] = (value, now + self._ttl)
        while len(kept) > self._max_size:
            kept.popitem(last=False)
            self.evictions += 1


class CachePrimitive(Wrapper[TIn, TOut]):
    """Keeps a step's results and answers equal inputs from them.

    Inputs are equal when nothing tells them apart: types count at every level, the order of a
    dict's keys does not. Where the step can see the context, `context.data` counts as well, so
    that callers with different data never share a result. An input without a key goes through
    uncached. Calls that arrive while the result is computed wait for it, and the step runs once;
    when the caller that computes is cancelled, another takes over. Errors are not kept, and
    neither are iterators. Results are handed out as they are, not copied: treat them as read-only.

    Args:
        primitive: The step: a primitive or a callable.
        max_size: The most results that are kept. Default: 1000.
        ttl_seconds: How long a result is good; `math.inf` for as long as there is room. Default:
            3600.
        ttl: The same under another name.
        context_fields: The names in `context.data` that count, instead of all of it; none for an
            empty list.
        clock: Gives monotonic seconds. Default: the engine's clock, which a loop of virtual time
            replaces by its own.
        name: Default: `cache`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, or both `ttl` and `ttl_seconds` are given.
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
        primitive: WorkflowPrimitive[In, Out],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: Callable[[In], Awaitable[Out]],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: Callable[[In], Out],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Awaitable[Out]],
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CachePrimitive[In, Out],
        primitive: Callable[[WorkflowContext, In], Out],
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
    def __init__(
        self,
        primitive: Any,
        *,
        max_size: int = 1000,
        ttl_seconds: float | None = None,
        ttl: float | None = None,
        context_fields: Sequence[str] | None = None,
        clock: Callable[[], float] | None = None,
        name: str | None = None,
    ) -> None:
        inner = whole_step(primitive, role="step of Cache")
        self._steps = (inner,)
        self._size = check_count("max_size", max_size)
        if ttl is not None and ttl_seconds is not None:
            message = "ttl and ttl_seconds of Cache are the same time; give one of them"
            raise ConfigurationError(message)
        given = ttl if ttl_seconds is None else ttl_seconds
        self._ttl = check_seconds("ttl", _TTL if given is None else given, infinite=True)
        self.fields: tuple[str, ...] | None = _checked_fields(context_fields)
        if clock is not None and not callable(cast("object", clock)):
            message = f"clock must be a function that gives seconds, not {clock!r:.60}"
            raise ConfigurationError(message)
        self._name = check_name(name) if name is not None else None
        self.store: _Store = _Store(LRU(max_size=self._size, ttl=self._ttl), clock)
        self._refresh()

    def _refresh(self) -> None:
        """Work out what depends on the step inside."""
        self._plain = self.fields == () or not _sees_context(self._steps[0])

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Any:
        copy = super()._with_nodes(nodes)
        # Results of another step are no results of this one.
        copy.store = _Store(LRU(max_size=self._size, ttl=self._ttl), self.store.clock)
        copy._refresh()  # noqa: SLF001 - a copy of this very class
        return copy

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How much is kept."""
        return (f"keeps {self._size}",)

    def cache_stats(self) -> CacheStats:
        """Return what the cache has done so far."""
        return self.store.stats()

    def cache_clear(self) -> None:
        """Forget all results; one that is being computed reaches its callers but is not kept."""
        self.store.clear()

    def _key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        """Return the key of a call, or `MISSING` where it has none."""
        try:
            return self._make_key(context, input_data)
        except Unkeyable:
            return cast("Hashable", MISSING)

    def _make_key(self, context: WorkflowContext, input_data: Any) -> Hashable:
        if self._plain:
            return key_of(input_data)
        return key_of(input_data), key_of(_chosen(context, self.fields))

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        store = self.store
        if engine.listening is None:
            if self._plain and input_data.__class__ is str:
                key: Hashable = input_data
            else:
                key = self._key(context, input_data)
            found = store.kept.get(key)
            if found is not None:
                # The most frequent case, so `LRU.get` is written out here once more.
                if (store.clock or clock.now)() < found[1]:
                    try:  # noqa: SIM105 - `suppress` costs as much as the whole hit
                        store.kept.move_to_end(key)
                    except KeyError:  # another thread has dropped it since
                        pass
                    store.hits += 1
                    return found[0]
                store.look_up(key)
            try:
                return await self._miss(key, input_data, lambda: self.start(context, input_data))
            except Exception as error:
                notes.locate(error, self, 0, context)
                raise
        with Run(self, context, site) as run:
            run.index = 0
            key = self._key(context, input_data)
            found = store.look_up(key)
            if found is not MISSING:
                store.hits += 1
                run.note(cache="hit")
                return found
            if key is MISSING:
                run.note(cache="bypass")
            else:
                run.note(cache="shared" if key in store.flights else "miss")
            return await self._miss(key, input_data, lambda: run.call(0, input_data))

    async def _miss(  # noqa: C901, PLR0912 - one way out for each end of a run
        self,
        key: Hashable,
        input_data: Any,
        start: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Answer a call that found nothing kept: wait for a run that is under way, or run."""
        store = self.store
        if key is MISSING:
            store.bypasses += 1
            return self._checked(await start())
        loop = asyncio.get_running_loop()
        flight = store.flights.get(key)
        if flight is None or flight.loop is not loop:
            flight = store.take_off(key, flight, loop)
        else:
            if flight.would_wait_for_itself():
                message = (
                    f"the step of {self.name!r} waits for the result that it is to compute, "
                    f"for the input {self._shown(input_data):.200}"
                )
                raise ReentryError(message)
            try:
                landed = await flight.wait()
            finally:
                if flight.adrift:
                    store.forget(key, flight)
            if landed:
                return store.outcome(flight)
        store.misses += 1
        token = flight.begin()
        try:
            result = self._checked(await start())
        except Exception as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess] - a step is awaited by a task
                store.pass_on(key, flight)  # an answer to this caller's cancellation, not to others
            else:
                store.forget(key, flight)
                flight.finish(error=error)
            raise
        except BaseException:
            store.pass_on(key, flight)
            raise
        finally:
            leading.reset(token)
        if _spent_once_read(result):
            store.pass_on(key, flight)
        else:
            if store.forget(key, flight):
                store.lru.put(key, result, store.now())
            flight.finish(result)
        return result

    def _shown(self, input_data: Any) -> str:
        return repr(input_data)

    def _checked(self, result: Any) -> Any:
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self._steps[0].name, result)
        return result


Cache = CachePrimitive

_ONCE = ("__next__", "__aiter__", "__await__")


def _spent_once_read(result: object) -> bool:
    """Whether only the first reader would get anything: an iterator, or an awaitable."""
    kind = type(result)
    return any([hasattr(kind, name) for name in _ONCE])  # noqa: C419 - a third of the cost


class _Store:
    """What is kept and under way, and what was counted; a function's step shares its calls'."""

    __slots__ = ("bypasses", "clock", "flights", "hits", "kept", "lru", "misses")

    def __init__(self, lru: LRU, clock: Callable[[], float] | None) -> None:
        self.lru: LRU = lru
        self.kept: OrderedDict[Hashable, tuple[Any, float]] = lru.kept
        self.clock: Callable[[], float] | None = clock
        self.flights: dict[Hashable, Flight] = {}
        self.hits: int = 0
        self.misses: int = 0
        self.bypasses: int = 0

    def now(self) -> float:
        return (self.clock or clock.now)()

    def look_up(self, key: Hashable) -> Any:
        """Return what is kept at `key`, or `MISSING`."""
        return MISSING if key is MISSING else self.lru.get(key, self.now())

    def stats(self) -> CacheStats:
        return CacheStats(
            hits=self.hits,
            misses=self.misses,
            expirations=self.lru.expirations,
            evictions=self.lru.evictions,
            bypasses=self.bypasses,
            size=len(self.lru.kept),
        )

    def clear(self) -> None:
        self.lru.kept.clear()
        self.flights.clear()

    def take_off(
        self, key: Hashable, found: Flight | None, loop: asyncio.AbstractEventLoop
    ) -> Flight:
        """Register a run, unless one is under way in another loop, which cannot be shared."""
        flight = Flight(loop)
        if found is None or not found.loop.is_running():
            self.flights[key] = flight
        return flight

    def forget(self, key: Hashable, flight: Flight) -> bool:
        """Take a run off the list; False when it was not on it, as after `clear`."""
        if self.flights.get(key) is not flight:
            return False
        del self.flights[key]
        return True

    def pass_on(self, key: Hashable, flight: Flight) -> None:
        """Let another caller compute; nothing is left where none waits."""
        if not flight.hand_over():
            self.forget(key, flight)

    def outcome(self, flight: Flight) -> Any:
        """Return or raise what another caller's run came to."""
        error = flight.error
        if error is None:
            self.hits += 1
            return flight.value
        self.misses += 1
        try:
            raise twin(error)
        finally:
            del flight, error  # they refer to what refers to this frame


def _checked_fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    if fields is None:
        return None
    listed = () if isinstance(fields, str) else tuple(fields)
    if isinstance(fields, str) or not all(isinstance(name, str) for name in listed):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a checker
        message = f"context_fields must be a list of names in context.data, not {fields!r:.80}"
        raise ConfigurationError(message)
    return listed


def _sees_context(node: WorkflowPrimitive[Any, Any]) -> bool:
    """Whether `node` could let its result depend on the context; in doubt it could."""
    if type(node) is FunctionPrimitive:
        return node.form.startswith("context")
    if type(node) is SequentialPrimitive or type(node).__dict__.get("passes_context"):
        return any(_sees_context(child) for child in node.nodes)
    return True


# --- functions ----------------------------------------------------------------------------------


class CachedFunction(DecoratedFunction[P, R]):
    """A function whose results are kept; made by `@cached`."""

    cache: CachePrimitive[Any, Any]
    """What keeps the results."""

    def cache_stats(self) -> CacheStats:
        """Return what the cache has done so far, in calls and in workflows."""
        return self.cache.cache_stats()

    def cache_clear(self) -> None:
        """Forget all results; one that is being computed reaches its callers but is not kept."""
        self.cache.cache_clear()


class _FunctionCache(CachePrimitive[Any, Any]):
    """A cache whose keys are made from a function's arguments, however they are written."""

    call_key: _CallKey

    def _refresh(self) -> None:
        self._plain = False


class _CallCache(_FunctionCache):
    """Its input is a call: the function and its arguments."""

    def _make_key(self, context: WorkflowContext, input_data: Any) -> Hashable:  # noqa: ARG002
        function, args, kwargs = input_data
        return self.call_key.key(function, args, kwargs, self.fields)

    def _shown(self, input_data: Any) -> str:
        _, args, kwargs = input_data
        return ", ".join([*map(repr, args), *(f"{name}={v!r}" for name, v in kwargs.items())])


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
        return self.call_key.key(node.function, args, {}, self.fields)


class _CallKey:
    """Makes keys from the arguments of one function."""

    __slots__ = ("_count", "_signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            message = f"@cached cannot read the parameters of {function!r:.80}"
            raise CompositionError(message) from None
        self._signature = signature
        kinds = [p.kind for p in signature.parameters.values()]
        plain = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._count = len(kinds) if plain.issuperset(kinds) else -1

    def key(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        fields: tuple[str, ...] | None,
    ) -> Hashable:
        """Return the key of a call.

        Raises:
            Unkeyable: An argument has no key.
            TypeError: The function does not take these arguments.
        """
        bound = function.__class__ is MethodType
        owner = function.__self__ if bound else None
        if kwargs or len(args) + bound != self._count:
            full = (owner, *args) if bound else args
            matched = self._signature.bind(*full, **kwargs)
            matched.apply_defaults()
            args = tuple(matched.arguments.values())
            args = args[1:] if bound else args
        keys = tuple([_argument_key(value, fields) for value in args])
        return (_Owner.of(owner), keys) if bound else keys


def _argument_key(value: Any, fields: tuple[str, ...] | None) -> Hashable:
    if not isinstance(value, WorkflowContext):
        return key_of(value)
    return WorkflowContext, key_of(_chosen(value, fields))


def _chosen(context: WorkflowContext, fields: tuple[str, ...] | None) -> dict[str, Any]:
    """Return what counts of `context.data`."""
    data = context.data
    return data if fields is None else {name: data[name] for name in fields if name in data}


class _Owner:
    """The identity of the object that a method belongs to; does not keep it alive."""

    __slots__ = ("_hash", "_reference")

    def __init__(self, owner: object) -> None:
        try:
            self._reference = weakref.ref(owner)
        except TypeError:
            raise Unkeyable(type(owner).__qualname__) from None
        self._hash = id(owner)

    @classmethod
    def of(cls, owner: object) -> Hashable:
        """Return what tells `owner` from all others while it lives."""
        return (type, owner) if isinstance(owner, type) else cls(owner)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Owner):
            return False
        mine = self._reference()
        return mine is not None and mine is other._reference()


class _Caching(Protocol):
    """What `cached(...)` without a function gives."""

    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...


@overload
def cached(
    function: Callable[P, R], /, **options: Unpack[CacheOptions]
) -> CachedFunction[P, R]: ...
@overload
def cached(**options: Unpack[CacheOptions]) -> _Caching: ...
def cached(function: Any = MISSING, /, **options: Unpack[CacheOptions]) -> Any:  # noqa: C901 - two ways to call, told apart here
    """Keep a function's results; a decorator, bare or with options.

    The function is called as before, has `cache_stats()` and `cache_clear()`, and is a primitive
    that shares the same results. Arguments count however they are written: by position, by name
    or by default. Of an argument that is a `WorkflowContext`, its `data` counts. A method keeps
    results apart by object, and does not keep the objects alive. A synchronous function may be
    cached too; only asynchronous ones share a run that is under way.

    Args:
        function: The function; left out, `cached(...)` is a decorator.
        options: Those of `CachePrimitive`.

    Raises:
        CompositionError: What is given is no function, or a generator function.
        ConfigurationError: An option is out of range.

    Example:
        >>> @cached(max_size=1000, ttl=3600)
        ... def length(text: str) -> int:
        ...     return len(text)
        >>> length("four"), length(text="four"), length.cache_stats().hit_rate
        (4, 4, 0.5)
    """
    if function is MISSING:
        CachePrimitive(as_primitive(len), **options)

        def decorator(given: Any) -> Any:
            return cached(given, **options)

        return decorator
    if not callable(function) or (
        isinstance(cast("object", function), WorkflowPrimitive)
        and not isinstance(cast("object", function), DecoratedFunction)
    ):
        message = f"@cached is for functions; for {function!r:.80} write CachePrimitive(...)"
        raise CompositionError(message)
    asynchronous = is_async(function)
    named: CacheOptions = {"name": path_safe(function.__name__), **options}
    call = _CallKey(function)
    calls = _CallCache(called(function), **named)
    calls.call_key = call

    def make_step(primitive: FunctionPrimitive[Any, Any]) -> WorkflowPrimitive[Any, Any]:
        made = _StepCache(primitive, **named)
        made.call_key = call
        made.store = calls.store
        return made

    async def around(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if engine.listening is None:  # a hit needs no run around it
            try:
                found = calls.store.look_up(call.key(function, args, kwargs, calls.fields))
            except Unkeyable:
                found = MISSING
            if found is not MISSING:
                calls.store.hits += 1
                return found
        return await calls.execute((function, args, kwargs))

    def around_plain(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        store = calls.store
        try:
            key = call.key(function, args, kwargs, calls.fields)
        except Unkeyable:
            store.bypasses += 1
            return function(*args, **kwargs)
        found = store.look_up(key)
        if found is not MISSING:
            store.hits += 1
            return found
        store.misses += 1
        result: object = function(*args, **kwargs)
        if not _spent_once_read(result):
            store.lru.put(key, result, store.now())
        return cast("Any", result)

    made = CachedFunction[Any, Any](
        function, around=around if asynchronous else around_plain, make_step=make_step
    )
    made.cache = calls
    return made
