"""`RetryPrimitive` and `Retry`: another attempt after a failure, with growing, random pauses.

What to do after a failure is decided by `Attempts`, an object without a clock, a loop or a sleep;
the primitive acts on its decisions.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import MISSING, nested_awaitable
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Failed, StandBy, decorate_async, tuned, whole_step
from tta_dev_primitives.recovery.classification.classify import asked_to_stop
from tta_dev_primitives.recovery.retries.attempts import Attempts
from tta_dev_primitives.recovery.retries.options import Policy, RetryEvent
from tta_dev_primitives.recovery.retries.sharing import close_pool, open_pool, outer_pool, time_left

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.retries.budget import RetryBudget
    from tta_dev_primitives.recovery.retries.option_types import RetryOptions

__all__ = ("Retry", "RetryPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")


# What a run has to do: just call the step (the only one that is false, for it is asked most often);
# look after a clock or a budget besides; all that `_repeat` does, from the first attempt on; or
# first of all find that out.
_PLAIN, _GUARDED, _FULL, _UNKNOWN = 0, 1, 2, 3


class RetryPrimitive(StandBy[TIn, TOut]):
    """Runs a step again when it fails, up to `max_attempts` times, with pauses between.

    When no attempt is left, the last exception itself comes out; its note names the attempt and
    tells what was tried before. Cancellation, `KeyboardInterrupt`, `SystemExit`, `GeneratorExit`
    and `Filtered` always pass at once, and so does every failure of a task that has been cancelled.

    No pause is begun that would reach `max_elapsed`, `context.deadline` or the end of a Timeout
    around it: the failure comes out now.

    Where the exception tells how long its provider asks to wait (a `Retry-After` header, a field of
    the body; see `recovery.classification.hints`), the pause is that long at least, and jitter is
    added above.

    Retries inside a Retry, however deep, share the retries of the outermost one, so that layers do
    not multiply calls; `independent=True` takes one out of this. (A Retry that stands inside the
    body of a function, where a workflow cannot see it, shares from the second attempt on.)

    A step that streams is retried until its first item is there; after that, the consumer has seen
    part of the result.

    Args:
        primitive: The step: a primitive or a callable.
        max_attempts: The most calls, the first one included. Default: 3.
        backoff_factor: Each pause can be this many times as long as the one before. Default: 2.0.
        initial_delay: The longest first pause, in seconds; zero for no pauses. Default: 0.5.
        max_delay: The longest pause, in seconds. Default: 30, or `initial_delay` where that is
            longer.
        jitter: `full` (default) draws each pause from zero to its bound, `equal` from half the
            bound up, `none` takes the bound.
        schedule: The pauses as one value, in place of the four options above; see
            `recovery.retries.schedules`.
        on: What is retried: an exception class, a tuple of them, or a function that gets the
            exception and answers at once. A group of exceptions is retried if all in it are.
            Default: every `Exception` but `TypeError`, `NameError`, `AttributeError`,
            `AssertionError`, `ImportError` and wrong set-ups of this package, which do not pass.
        until: A function that gets the result and says whether it is good enough; if not, the step
            is run again. When no attempt is left, the last result comes out as it is. A stream is
            not asked about.
        max_elapsed: Seconds after the start of the Retry by which the last attempt begins.
            Default: no limit.
        min_attempt_time: Seconds that an attempt needs: no further one is begun with less left of
            `max_elapsed` or a deadline. Default: 0.
        hint: Finds the seconds that an exception asks to wait, in place of
            `recovery.classification.hints`.
        max_hint: The most that such a wish counts for, in seconds; zero to ignore them all.
            Default: 60.
        budget: A bound on retries over all calls; see `RetryBudget`. Default: none.
        on_retry: A function, synchronous or asynchronous, that is told of each retry before its
            pause. What it raises comes out in place of a retry, with the step's error as its
            context.
        independent: Whether it counts by itself when it stands inside another Retry.
        rng: Where jitter comes from; `random.Random(1)` makes pauses repeatable.
        name: Default: `retry`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, or contradicts another.

    Example:
        >>> answers = iter([OSError("reset"), "fine"])
        >>> def ask(question: str) -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError):
        ...         raise answer
        ...     return answer
        >>> RetryPrimitive(ask, initial_delay=0.001).run("how is it?")
        'fine'
    """

    _opens_frame = True
    passes_context = True
    _encloses = False
    _idle = False

    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RetryPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[RetryOptions],
    ) -> None: ...
    def __init__(self, primitive: Any, **options: Unpack[RetryOptions]) -> None:
        self._steps = (whole_step(primitive, role="step of Retry", streams=True),)
        self._policy = Policy(**options)
        self._name = self._policy.name
        self._mode = _UNKNOWN  # no default of the class, as in `Wrapper`

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How often the step runs at most."""
        return (f"at most {self._policy.limit} attempts",)

    async def _execute_impl(  # noqa: C901 - written out for speed
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                return await self._observed(context or fresh_context(clock.now()), input_data, None)
        mode = self._mode
        if mode:
            mode = self._look_inside()
            if mode == _FULL:
                if context is None:
                    context, site = fresh_context(clock.now()), None
                if place is not None:
                    return await self._observed(context, input_data, site)
                return await self._repeat(context, input_data, None)
        # The same as `_repeat` does, for the first attempt, which mostly is the only one.
        began = clock.now() if context is None or place is not None or mode else None
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            if type(result) in engine.unfinished:
                await self._complete(result)
            elif mode and self._policy.budget is not None:
                self._policy.budget.earn()
        except BaseException as error:
            more = self._after(error, Failed(context, input_data, began, place, site))
            if more is None:
                raise
        else:
            if place is not None and began is not None:
                (place.well or place.stand_alone(self))(began)
            return result
        return await more

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl
    if not TYPE_CHECKING:  # the signatures are those of the base
        execute = _shortcut = tuned(StandBy.execute)

    def _shortened(self, direct: Callable[[Any], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        budget = self._policy.budget
        return direct if budget is None else _earning(direct, budget)

    async def _complete(self, result: Any) -> None:
        await super()._complete(result)
        if self._policy.budget is not None:
            self._policy.budget.earn()

    def _after(self, error: BaseException, failed: Failed) -> Coroutine[Any, Any, Any] | None:
        context, input_data, began = failed.context, failed.input_data, failed.began
        if failed.place is not None:
            engine.hide_frame(error)
            return self._observed(context, input_data, failed.site, began, error)
        if not isinstance(error, Exception):
            return None
        attempts = self._attempts(began)
        delay = self._judge(attempts, error, context)
        if delay is None:
            return None
        return self._repeat(context, input_data, None, attempts, delay, error)

    async def _observed(
        self,
        context: WorkflowContext,
        input_data: Any,
        site: engine.Site | None,
        began: float | None = None,
        failure: BaseException | None = None,
    ) -> Any:
        """Run where somebody listens; where the recorder does, the first attempt may be over."""
        try:
            with Run(self, context, site) as run:
                if failure is None or began is None:
                    return await self._repeat(context, input_data, run)
                run.take_over(began, failure)
                attempts = self._attempts(began)
                delay = (
                    self._judge(attempts, failure, context)
                    if isinstance(failure, Exception)
                    else None
                )
                if delay is None or not isinstance(failure, Exception):
                    run.own()  # `_judge` has noted it
                    raise failure
                run.own()
                return await self._repeat(context, input_data, run, attempts, delay, failure)
        finally:
            failure = None  # as above

    async def _repeat(  # noqa: C901, PLR0912, PLR0915 - one loop, whose parts share their variables
        self,
        context: WorkflowContext,
        input_data: Any,
        run: Run | None,
        attempts: Attempts | None = None,
        delay: float | None = None,
        failure: Exception | None = None,
    ) -> Any:
        """Run the step until there is nothing more to try.

        `run` is given where somebody listens; `attempts`, the `delay` that follows and its
        `failure`, where the first attempt is over.
        """
        policy = self._policy
        if failure is not None and attempts is not None and delay is not None:
            if policy.on_retry is not None:
                await self._tell(context, attempts, failure, None, delay)
            failure = None  # its traceback leads to whoever awaits this
        pool = outer = None
        if self._mode == _UNKNOWN:
            self._look_inside()
        shares = self._encloses or attempts is not None
        if attempts is None and (self._encloses or policy.clocked):
            attempts = self._attempts()
        if shares and attempts is not None:
            pool = attempts.pool
            outer = open_pool(pool)
        number = 1
        try:
            while True:
                result: Any = None
                if delay is not None and attempts is not None:
                    try:
                        await asyncio.sleep(delay)
                    except BaseException:
                        attempts.unused()
                        raise
                number = 1 if attempts is None else attempts.number
                try:
                    if run is None:
                        result = await self.start(context, input_data)
                        if result.__class__ is CoroutineType:
                            raise nested_awaitable(self._steps[0].name, result)  # noqa: TRY301 - a failure of the step
                    else:
                        result = run.checked(await run.call(0, input_data, attempt=number))
                    streams = result.__class__ is engine.stream_type
                    if streams:
                        await result.prime()
                except Exception as error:
                    attempts = attempts or self._attempts()
                    delay = self._judge(attempts, error, context)
                    if delay is None:
                        raise
                    if policy.on_retry is not None:
                        await self._tell(context, attempts, error, None, delay)
                else:
                    good, delay = streams or policy.accepts(result), None
                    attempts = attempts or (None if good else self._attempts())
                    if not good and attempts is not None and not asked_to_stop():
                        delay = attempts.refused(clock.now(), time_left(context))
                    if good or attempts is None or delay is None:
                        if good and policy.budget is not None:
                            policy.budget.earn()
                        if run is not None:
                            run.note(attempts=number)
                        return result
                    if policy.on_retry is not None:
                        await self._tell(context, attempts, None, result, delay)
                if pool is None:
                    pool = attempts.pool
                    outer = open_pool(pool)
        except Exception as error:
            notes.locate(error, self, None, context)  # where `_judge` has not done so
            if run is not None:
                run.own()  # it is noted
                run.note(attempts=number)
            engine.hide_frame(error)
            raise
        finally:
            if pool is not None:
                close_pool(pool, outer)

    def _attempts(self, started: float | None = None) -> Attempts:
        policy = self._policy
        shared = None if policy.independent else outer_pool()
        return Attempts(policy, started=clock.now() if started is None else started, pool=shared)

    def _judge(
        self, attempts: Attempts, error: Exception, context: WorkflowContext
    ) -> float | None:
        """Decide about a failure, and note on the error where it arose if it is to come out."""
        number = attempts.number
        try:
            delay = (
                None if asked_to_stop() else attempts.failed(clock.now(), error, time_left(context))
            )
        except Exception as own:
            notes.locate(own, self, None, context)
            raise
        if delay is None:
            began = attempts.started if context.started is None else context.started
            history = attempts.history(began)
            notes.locate(error, self, 0, context, attempt=number, history=history)
        else:
            notes.forget(error)
        return delay

    async def _tell(
        self,
        context: WorkflowContext,
        attempts: Attempts,
        error: Exception | None,
        result: object,
        delay: float,
    ) -> None:
        """Tell the hook of the retry that follows."""
        policy = self._policy
        try:
            event = RetryEvent(
                name=self.name,
                attempt=attempts.number - 1,
                error=error,
                result=result,
                delay=delay,
                elapsed=clock.now() - attempts.started,
            )
            await policy.tell(event)
        except BaseException as own:
            attempts.unused()
            if own.__context__ is None and own is not error:
                own.__context__ = error  # which was caught by whoever awaits this
            if isinstance(own, Exception):
                notes.locate(own, self, None, context)
            raise

    def _look_inside(self) -> int:
        """Find out what runs have to do.

        If there is a Retry inside, it must find a pool from the first attempt. One that a
        function's body calls is seen by nobody: it finds the pool from the second attempt on.
        Setting a context variable before each first attempt would cost as much as three awaits.
        """
        if self._mode != _UNKNOWN:
            return self._mode
        policy = self._policy
        self._encloses = any(isinstance(node, RetryPrimitive) for _, node in self._steps[0].walk())
        if self._encloses or policy.until is not None:
            self._mode = _FULL
        else:
            guarded = policy.clocked or policy.budget is not None
            self._mode = _GUARDED if guarded else _PLAIN
        self._idle = self._mode != _FULL
        return self._mode

    def _copy(self) -> Any:
        copy = super()._copy()
        copy._mode = _UNKNOWN  # noqa: SLF001 - a copy of this very class
        copy._idle = False  # noqa: SLF001 - as above
        return copy


def _earning(
    step: Callable[[Any], Awaitable[Any]], budget: RetryBudget
) -> Callable[[Any], Awaitable[Any]]:
    """Return what runs the step and counts its successes, but for results that are none yet."""

    async def earning(input_data: Any) -> Any:
        try:
            result = await step(input_data)
        except BaseException as error:
            engine.hide_frame(error)
            raise
        if type(result) not in engine.unfinished:
            budget.earn()
        return result

    return earning


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Retrying(Protocol):
        """What `Retry(...)` without a step gives: it takes a primitive or a function."""

        @overload
        def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> RetryPrimitive[In, Out]: ...
        @overload
        def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...


@overload
def Retry(
    primitive: WorkflowPrimitive[In, Out], /, **options: Unpack[RetryOptions]
) -> RetryPrimitive[In, Out]: ...
@overload
def Retry(
    primitive: Callable[P, C], /, **options: Unpack[RetryOptions]
) -> DecoratedFunction[P, C]: ...
@overload
def Retry(**options: Unpack[RetryOptions]) -> _Retrying: ...
def Retry(primitive: Any = MISSING, /, **options: Unpack[RetryOptions]) -> Any:  # noqa: N802
    """Retry a primitive, or decorate an asynchronous function with retries.

    Args:
        primitive: A primitive gives a `RetryPrimitive`; an asynchronous function gives a function
            with the same signature that is a primitive as well. Left out, `Retry(...)` is a
            decorator; `@Retry` alone is `@Retry()`.
        options: Those of `RetryPrimitive`.

    Raises:
        CompositionError: What is given is neither.
        ConfigurationError: An option is out of range.

    Example:
        >>> @Retry(max_attempts=3, backoff_factor=2.0)
        ... async def fetch(url: str) -> str:
        ...     return f"the page at {url}"
        >>> import asyncio
        >>> asyncio.run(fetch("example.org"))
        'the page at example.org'
    """
    return decorate_async(primitive, RetryPrimitive, dict(options), decorator="Retry")
