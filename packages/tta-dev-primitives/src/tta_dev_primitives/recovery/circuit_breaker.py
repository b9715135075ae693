"""`CircuitBreakerPrimitive` and `CircuitBreaker`: a step that keeps failing is not called.

What passes is decided by a `Breaker`, or by a `BreakerStore` where several processes share the
state; the primitive asks, calls and tells. The file is longer than the house rule allows because
of the overloads that keep the types of a step, in the wrapper's form and in the decorator's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock as engine_clock
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.base import MISSING, WorkflowPrimitive, check_name, path_safe
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import LongWay, Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError
from tta_dev_primitives.recovery.breakers.breaker import Breaker, config_of
from tta_dev_primitives.recovery.breakers.config import BreakerSettings
from tta_dev_primitives.recovery.breakers.state import REJECTED
from tta_dev_primitives.recovery.breakers.store import StoreGate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.breakers.breaker import Judge, StateHook
    from tta_dev_primitives.recovery.breakers.config import BreakerConfig, CallOutcome
    from tta_dev_primitives.recovery.breakers.state import Circuit
    from tta_dev_primitives.recovery.breakers.store import BreakerStore, Permit
    from tta_dev_primitives.recovery.classification.classify import RetryOn

__all__ = ("CircuitBreaker", "CircuitBreakerOptions", "CircuitBreakerPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")


class CircuitBreakerOptions(BreakerSettings, total=False):
    """The options of a CircuitBreaker; see `CircuitBreakerPrimitive`."""

    breaker: Breaker | None
    config: BreakerConfig | None
    on: RetryOn | None
    on_state_change: StateHook | None
    clock: Callable[[], float] | None
    store: BreakerStore | None
    store_timeout: float
    name: str | None


class CircuitBreakerPrimitive(Wrapper[TIn, TOut]):
    """Calls a step while it works, and rejects calls at once while it does not.

    The breaker is *closed* at first: calls pass. After too many failures (in a row, or as a rate
    over a window; or too many slow calls) it is *open*: calls are rejected with a
    `CircuitOpenError`, and the step has time to recover. Then it is *half-open*: a few calls pass
    as probes; they close it, or the first that fails opens it again. The call that trips it comes
    out with its own result or error.

    Cancellation and `Filtered` are neither failure nor success, and so are errors that do not
    count; a probe that ends so gives its place to the next. What a call does after the breaker
    has changed its state does not count. A step that streams counts when its stream ends; as a
    probe, when its first item is there.

    Args:
        primitive: The step: a primitive or a callable.
        failure_threshold: Failures in a row that open it. Default: 5 where no rate is given.
        on: Which errors are failures: exception classes, kinds of errors as in
            `recovery.classification.classify`, or a function that gets the exception and answers
            at once. Default: those that speak against the health of what was called
            (`recovery.classification.classify.counts_as_failure`): not wrong code, a wrong request
            or key, or what was refused on this side.
        on_state_change: A synchronous function that is told of each `StateChange`. What it raises
            is logged once.
        breaker: A `Breaker` to use in place of one of its own, to share it or to hold it in hand;
            no other option but `name` goes with it.
        config: A `BreakerConfig` in place of the settings.
        clock: Gives monotonic seconds. Default: the engine's clock.
        store: Where the state is kept, by `name`, which must then be given. While the store does
            not answer properly, calls go through as if there were no breaker. A step that streams
            counts when its first item is there; `retry_after` of a rejection is None.
        store_timeout: The longest to wait for an answer of the store, in seconds. Default: 0.25.
        name: In paths, and the breaker's name. Default: `circuit_breaker`.
        settings: The others are those of `BreakerConfig`: `failure_rate`, `slow_call_rate`,
            `slow_call_seconds`, `window_calls`, `window_seconds`, `minimum_calls`,
            `recovery_timeout`, `half_open_max_calls`, `success_threshold`, `half_open_timeout`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, or two contradict each other.
        CircuitOpenError: From the call: it was rejected, and the step was not called.

    Example:
        >>> def ask(question: str) -> str:
        ...     raise ConnectionError("no route to host")
        >>> guarded = CircuitBreakerPrimitive(ask, failure_threshold=2, recovery_timeout=30.0)
        >>> for attempt in (1, 2, 3):
        ...     try:
        ...         guarded.run("how is it?")
        ...     except Exception as error:
        ...         print(type(error).__name__)
        ConnectionError
        ConnectionError
        CircuitOpenError
        >>> guarded.breaker.state
        'open'
    """

    _opens_frame = True
    passes_context = True
    _gate: StoreGate | None = None
    _breaker: Breaker
    _circuit: Circuit
    _judge: Judge

    @overload
    def __init__(
        self: CircuitBreakerPrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[CircuitBreakerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CircuitBreakerPrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[CircuitBreakerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CircuitBreakerPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[CircuitBreakerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CircuitBreakerPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[CircuitBreakerOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        breaker: Breaker | None = None,
        config: BreakerConfig | None = None,
        on: RetryOn | None = None,
        on_state_change: StateHook | None = None,
        clock: Callable[[], float] | None = None,
        store: BreakerStore | None = None,
        store_timeout: float = 0.25,
        name: str | None = None,
        **settings: Unpack[BreakerSettings],
    ) -> None:
        self._steps = (whole_step(primitive, role="step of CircuitBreaker", streams=True),)
        self._name = check_name(name) if name is not None else None
        limit = check_seconds("store_timeout", store_timeout)
        if breaker is not None:
            others: dict[str, object] = {
                "config": config,
                "on": on,
                "on_state_change": on_state_change,
                "clock": clock,
                "store": store,
                **settings,
            }
            _check_breaker(breaker, [key for key, value in others.items() if value is not None])
            self._breaker = breaker
        elif store is not None:
            if name is None:
                message = "a circuit breaker with a store needs the name that it has there: name="
                raise ConfigurationError(message)
            if clock is not None:
                message = "a circuit breaker with a store goes by the store's clock; leave clock="
                raise ConfigurationError(message)
            self._gate = StoreGate(
                store,
                name,
                config_of(config, settings),
                timeout=limit,
                on=on,
                on_state_change=on_state_change,
            )
        else:
            self._breaker = Breaker(
                self.name, config, on=on, on_state_change=on_state_change, clock=clock, **settings
            )
        self._settle_in()

    def _settle_in(self) -> None:
        """Keep at hand what a call needs."""
        if self._gate is not None:
            self._breaker = _NOT_HERE
            self._judge = self._gate.judge
        else:
            self._judge = self._breaker.judge
        self._circuit = self._breaker.circuit

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for derived in ("_circuit", "_judge"):
            state.pop(derived, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._settle_in()

    @property
    def breaker(self) -> Breaker:
        """The breaker: its state and statistics, and `open`, `isolate`, `close`, `reset`.

        Raises:
            ConfigurationError: The state is kept by a store.
        """
        if self._gate is not None:
            message = f"the state of circuit breaker {self.name!r} is kept by its store"
            raise ConfigurationError(message)
        return self._breaker

    @property
    def store_failures(self) -> int:
        """How often the store did not give a proper answer; 0 without a store."""
        return 0 if self._gate is None else self._gate.store_failures

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The breaker's name, where it is not that of the step."""
        if self._gate is not None or self._breaker.name == self.name:
            return ("while it works",)
        return (f"while {self._breaker.name!r} is closed",)

    if not TYPE_CHECKING:  # the signatures are those of the base

        async def execute(  # noqa: ANN201 - as above
            self,
            context=MISSING,  # noqa: ANN001 - as the base has it
            input_data=MISSING,  # noqa: ANN001 - as above
        ):
            """Run the step; see `WorkflowPrimitive.execute`."""
            if type(context) is self._takes and input_data is MISSING:
                state = engine.listening
                circuit = self._circuit
                permit = circuit.passing
                if permit < 0:
                    if state is None:  # as `Breaker.acquire` begins, only sooner
                        breaker = self._breaker
                        wait = circuit.shut - (breaker.clock or engine_clock.now)()
                        if wait > 0:
                            circuit.count_rejection()
                            raise CircuitOpenError(breaker.name, wait)
                elif not circuit.attentive and (
                    state is None
                    or (
                        (place := self._heard_at) is not None
                        and place.state is state
                        and not state.log_possible()
                    )
                ):
                    direct = self._quick
                    start = engine_clock.now()
                    try:
                        result = await direct(context)
                        streams = type(result) in engine.unfinished
                        if streams:
                            await self._complete(result)
                    except BaseException as error:
                        place = None if state is None else place
                        self._fell(error, None, permit, 0.0, place, start)
                        raise
                    if streams or circuit.attentive:
                        self._succeeded(permit, result, 0.0)
                    if state is not None:
                        place.well(start)
                    return result
            with LongWay(self, context, input_data) as run:
                return await run

        _shortcut = execute

    async def _execute_impl(  # noqa: C901 - written out for speed
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        circuit = self._circuit
        permit = circuit.passing
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                permit = REJECTED
        if permit < 0:
            if place is not None or engine.listening is not None or self._gate is not None:
                if context is None:
                    context, site = fresh_context(engine_clock.now()), None
                return await self._observed(context, input_data, site)
            try:
                permit = self._breaker.acquire()
            except CircuitOpenError as error:
                engine.hide_frame(error)  # so that it is as short as one that `execute` raises
                raise
        start = engine_clock.now() if context is None or place is not None else 0.0
        began = self._breaker.now() if circuit.attentive else 0.0
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            streams = type(result) in engine.unfinished
            if streams:
                await self._complete(result)
        except BaseException as error:
            self._fell(error, context, permit, began, place, start)
            raise
        if streams or circuit.attentive:
            self._succeeded(permit, result, began)
        if place is not None:
            (place.well or place.stand_alone(self))(start)
        return result

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl

    def _fell(
        self,
        error: BaseException,
        context: WorkflowContext | None,
        permit: int,
        began: float,
        place: engine.Site | None,
        start: float,
    ) -> None:
        """Give the permit of a call that failed back, count it, and note where the error arose."""
        self._settle(permit, error, began)
        if place is not None:
            place.went_wrong(self, start, error)
        if isinstance(error, Exception):
            notes.locate(error, self, 0, context or fresh_context(start))

    async def _observed(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens, or with a store."""
        gate = self._gate
        leave: Permit | None = None
        permit = REJECTED
        with Run(self, context, site) as run:
            try:
                if gate is None:
                    permit = self._breaker.acquire()
                else:
                    leave = await gate.enter()
            except CircuitOpenError as error:
                run.note(rejected=True, circuit=error.state)
                raise
            began = 0.0 if self._judge.slow_after is None else self._now()
            try:
                result = run.checked(await run.call(0, input_data))
                if result.__class__ is engine.stream_type:
                    await result.prime()
            except GeneratorExit as error:  # nothing can be awaited any more
                self._settle(permit, error, began)
                raise
            except BaseException as error:
                if gate is None:
                    self._settle(permit, error, began)
                else:
                    await gate.leave(leave, self._outcome(error, began))
                raise
            if gate is None:
                self._succeeded(permit, result, began)
            else:
                await gate.leave(leave, self._outcome(None, began))
            return result

    def _outcome(self, error: BaseException | None, began: float) -> CallOutcome:
        timed = self._judge.slow_after is not None
        return self._judge.outcome(error, self._now() - began if timed else 0.0)

    def _settle(self, permit: int, error: BaseException | None, began: float) -> None:
        if self._gate is None:
            self._breaker.release(permit, self._outcome(error, began))

    def _succeeded(self, permit: int, result: Any, began: float) -> None:
        """Count a call that gave a result; that of a stream, when it has ended."""
        outcome = self._outcome(None, began)
        if result.__class__ is engine.stream_type and self._circuit.passing == permit:
            # Let through while closed, so nobody waits for the permit: the stream may yet fail.
            def ended(error: BaseException | None) -> None:
                judged = outcome if error is None else self._judge.outcome(error)
                self._breaker.release(permit, judged)

            result.when_ended(ended)
        else:
            self._breaker.release(permit, outcome)

    def _now(self) -> float:
        return engine_clock.now() if self._gate is not None else self._breaker.now()


_NOT_HERE = Breaker()  # stands where a store has the state
_NOT_HERE.isolate()


def _check_breaker(breaker: object, others: list[str]) -> None:
    """Check what is given as `breaker`, and that nothing beside it says the same.

    Raises:
        ConfigurationError: It is no breaker, or something does.
    """
    if not isinstance(breaker, Breaker):
        message = f"breaker must be a Breaker, not {notes.shown_value(breaker)}"
        raise ConfigurationError(message)
    if others:
        message = (
            f"breaker and {others[0]} of CircuitBreaker are both given; a Breaker has its own "
            f"settings: Breaker({breaker.name!r}, {others[0]}=...)"
        )
        raise ConfigurationError(message)


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Breaking(Protocol):
        """What `CircuitBreaker(...)` without a step gives: it takes a primitive or a function."""

        @overload
        def __call__(
            self, primitive: WorkflowPrimitive[In, Out], /
        ) -> CircuitBreakerPrimitive[In, Out]: ...
        @overload
        def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...


@overload
def CircuitBreaker(
    primitive: WorkflowPrimitive[In, Out], /, **options: Unpack[CircuitBreakerOptions]
) -> CircuitBreakerPrimitive[In, Out]: ...
@overload
def CircuitBreaker(
    primitive: Callable[P, C], /, **options: Unpack[CircuitBreakerOptions]
) -> DecoratedFunction[P, C]: ...
@overload
def CircuitBreaker(**options: Unpack[CircuitBreakerOptions]) -> _Breaking: ...
def CircuitBreaker(  # noqa: N802 - stands for the class, as a decorator too
    primitive: Any = MISSING, /, **options: Unpack[CircuitBreakerOptions]
) -> Any:
    """Put a circuit breaker around a primitive, or decorate an asynchronous function with one.

    Each function that is decorated has a breaker of its own, named as the function, unless
    `breaker=` gives one; that also keeps it in hand.

    Args:
        primitive: A primitive gives a `CircuitBreakerPrimitive`; an asynchronous function gives a
            function with the same signature that is a primitive as well. Left out,
            `CircuitBreaker(...)` is a decorator; `@CircuitBreaker` alone is `@CircuitBreaker()`.
        options: Those of `CircuitBreakerPrimitive`.

    Raises:
        CompositionError: What is given is neither.
        ConfigurationError: An option is out of range, or two contradict each other.

    Example:
        >>> @CircuitBreaker(failure_threshold=3, recovery_timeout=30.0)
        ... async def fetch(url: str) -> str:
        ...     return f"the page at {url}"
        >>> import asyncio
        >>> asyncio.run(fetch("example.org"))
        'the page at example.org'
    """
    if primitive is MISSING:
        _for_a_function(options, "circuit_breaker")

        def decorator(given: Any) -> Any:
            return cast("Any", CircuitBreaker(given, **options))

        return decorator
    given: dict[str, Any] = dict(options)
    if WorkflowPrimitive not in type(cast("object", primitive)).__mro__:
        given = _for_a_function(options, getattr(primitive, "__name__", "circuit_breaker"))
    return decorate_async(primitive, CircuitBreakerPrimitive, given, decorator="CircuitBreaker")


def _for_a_function(options: CircuitBreakerOptions, name: str) -> dict[str, Any]:
    """Return the options of a function's breaker, which its calls and its step share."""
    named: CircuitBreakerOptions = {"name": path_safe(name), **options}
    checked = CircuitBreakerPrimitive(_nothing, **named)
    if named.get("store") is not None:
        return dict(named)
    return {"name": named["name"], "breaker": checked.breaker}


async def _nothing() -> None:
    """Stand in for the step while there is only its breaker."""
