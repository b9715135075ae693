"""`HedgePrimitive` and `Hedge`: a second attempt beside one that takes unusually long.

`HedgeBudget` decides whether, a delay or a `Percentile` when; neither has a clock or a loop.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType
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

from tta_dev_primitives.core import clock, engine, frames, notes
from tta_dev_primitives.core.base import MISSING, check_name, nested_awaitable
from tta_dev_primitives.core.crew import Crew
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.recovery.load.hedge_budget import HedgeBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.load.percentile import DelayLike

__all__ = ("Hedge", "HedgeOptions", "HedgePrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")

_FRACTION = 0.05


class HedgeOptions(TypedDict, total=False):
    """The options of a Hedge; see `HedgePrimitive`."""

    delay: float | DelayLike
    max_hedges: int
    budget: float | HedgeBudget | None
    allow: Callable[[], bool] | None
    name: str | None


class HedgePrimitive(Wrapper[TIn, TOut]):
    """Starts a step a second time where the first attempt takes longer than a delay.

    The first attempt that succeeds gives the result; the others are cancelled, and are over when
    the call returns. A failure does not end the call while another attempt runs. Where all have
    failed, the first error itself comes out, and the others are its notes. An attempt that fails
    while no other runs ends the call at once: a hedge helps against slowness, a Retry against
    failure.

    Meant for steps that may run twice without harm, such as a model's answer. A step that streams
    cannot be hedged, and a synchronous one holds up the loop, so that no hedge could start.

    Args:
        primitive: The step: a primitive or a callable.
        delay: Seconds until a hedge is sent, and again until the next; or a `Percentile`, which
            learns from first attempts: `Percentile(0.95)` hedges the slowest twentieth.
        max_hedges: The most hedges for one call. Default: 1.
        budget: Hedges per call over all calls, as a fraction; a `HedgeBudget`, which can be shared;
            or None for no bound. Default: 0.05.
        allow: Asked before each hedge, which is not sent unless it answers True: such as whether a
            circuit breaker is closed.
        name: Default: `hedge`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range.

    Example:
        >>> import asyncio
        >>> waits = iter([60.0, 0.0])
        >>> async def ask(question: str) -> str:
        ...     await asyncio.sleep(next(waits))
        ...     return "the answer"
        >>> HedgePrimitive(ask, delay=0.01).run("the question")
        'the answer'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: HedgePrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[HedgeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: HedgePrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[HedgeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: HedgePrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[HedgeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: HedgePrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[HedgeOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        delay: float | DelayLike | None = None,
        max_hedges: int = 1,
        budget: float | HedgeBudget | None = _FRACTION,
        allow: Callable[[], bool] | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Hedge"),)
        self._name = check_name(name) if name is not None else None
        if delay is None:
            message = "Hedge needs its delay, in seconds or as a Percentile: Hedge(..., delay=0.2)"
            raise ConfigurationError(message)
        self._seconds: float | None = None
        self._learned: DelayLike | None = None
        if callable(getattr(delay, "observe", None)) and callable(getattr(delay, "current", None)):
            self._learned = cast("DelayLike", delay)
        else:
            self._seconds = check_seconds("delay", delay, zero=True)
        self._max_hedges = check_count("max_hedges", max_hedges)
        if budget is None or isinstance(budget, HedgeBudget):
            self._budget = budget
        else:
            self._budget = HedgeBudget(budget)
        if allow is not None and (not callable(cast("object", allow)) or is_async(allow)):
            shown = notes.shown_value(allow)
            message = f"allow must be a function that answers at once, not {shown}"
            raise ConfigurationError(message)
        self._allow = allow

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How many run at most, and after which delay."""
        after = repr(self._learned) if self._seconds is None else f"{self._seconds:g} s"
        return (f"at most {1 + self._max_hedges}, each after {after}",)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        with Run(self, context, site) as run:
            race = _Race(self, run, input_data)
            await race.run()
            run.note(attempts=race.started)
            if race.won:
                return run.checked(race.take_result())
            run.index = 0
            run.attempt, failure = race.take_failure()
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame: no reference cycle

    @property
    def max_hedges(self) -> int:
        """The most hedges for one call."""
        return self._max_hedges

    def current_delay(self) -> float | None:
        """Return the seconds until a hedge is sent, and count the call; None for never."""
        if self._budget is not None:
            self._budget.earn()
        return self._seconds if self._learned is None else self._learned.current()

    def learn(self, seconds: float) -> None:
        """Take the duration of a first attempt."""
        if self._learned is not None:
            self._learned.observe(seconds)

    def may_hedge(self) -> bool:
        """Whether a hedge may be sent; if so, it is paid for."""
        if self._allow is not None and self._allow() is not True:
            return False
        return self._budget is None or self._budget.take()


class _Race:
    """One run of a Hedge: its attempts, and how they ended."""

    __slots__ = (
        "began",
        "crew",
        "delay",
        "errors",
        "first_over",
        "input_data",
        "observed",
        "owner",
        "result",
        "running",
        "started",
        "timer",
        "won",
    )

    def __init__(self, owner: HedgePrimitive[Any, Any], run: Run, input_data: object) -> None:
        self.owner = owner
        self.observed = run
        self.input_data = input_data
        self.crew = Crew()
        self.delay: float | None = owner.current_delay()
        self.errors: list[tuple[int, Exception]] = []
        self.result: Any = None
        self.won = False
        self.started = 0
        self.running = 0
        self.began = clock.now()
        self.first_over = False
        self.timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Start the first attempt, and others when their time has come; wait for all of them."""
        try:
            self._start()
        except BaseException as error:  # noqa: BLE001 - a task that could not be started
            self.crew.escape(error)  # raised by `drain`
        try:
            await self.crew.drain()
        finally:
            if self.timer is not None:
                self.timer.cancel()

    def take_result(self) -> Any:
        """Hand over the result; the frames of an error among it hold this object."""
        result, self.result = self.result, None
        return result

    def take_failure(self) -> tuple[int, Exception]:
        """Hand over the first error and the number of its attempt; later ones are its notes."""
        (number, first), *later = self.errors
        for attempt, error in later:
            if error is not first:
                notes.remark(first, f"attempt {attempt} failed too: {notes.shown_error(error)}")
        self.errors = []  # to keep it would tie it and its traceback into a cycle
        return number, first

    def _start(self) -> None:
        """Start the next attempt, and a timer for the one after it."""
        self.started += 1
        self.running += 1
        self.crew.start(self._attempt(self.started))
        more = self.started <= self.owner.max_hedges and not self.crew.stopping and self.running
        if more and self.delay is not None:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(self.delay, self._hedge)

    def _hedge(self) -> None:
        """Start another attempt, unless it is not wanted or not allowed."""
        self.timer = None
        if self.crew.stopping or not self.running:
            return
        try:
            if self.owner.may_hedge():
                self._start()
        except BaseException as error:  # noqa: BLE001 - raised by `drain`, once all are done
            self.crew.escape(error)

    async def _attempt(self, number: int) -> None:
        """Run the step once."""
        owner, run = self.owner, self.observed
        call = run.calls[0]
        try:
            if run.frame is not None:
                frame = run.frame.branch(0)
                engine.current.set(frame)  # in this task's own variables: nothing to reset
                result = await frames.observe(frame, 0, call, run.context, self.input_data, number)
            elif run.site is not None:
                site = run.site.open(owner)[0]
                result = await engine.count(site, call, run.context, self.input_data)
            else:
                result = await call(run.context, self.input_data)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(owner.nodes[0].name, result)  # noqa: TRY301 - a failure of the step
            if result.__class__ is engine.stream_type:
                raise await _refused(owner, result)  # noqa: TRY301 - as above
        except BaseException as error:  # noqa: BLE001 - the race decides
            self._failed(number, error)
        else:
            self._succeeded(number, result)

    def _succeeded(self, number: int, result: Any) -> None:
        self.running -= 1
        if self.won:
            return  # another was quicker, though in the same pass
        self.won = True
        self.result = result
        if number == 1 or not self.first_over:
            # The duration of the first attempt, or at least so much of it. That of a hedge that
            # won would make the slow calls look quick, and the delay ever shorter.
            self.owner.learn(clock.now() - self.began)
        self.crew.stop()

    def _failed(self, number: int, error: BaseException) -> None:
        self.running -= 1
        self.first_over = self.first_over or number == 1
        if not isinstance(error, Exception):
            self.crew.escape(error)
        elif not self.won:
            engine.hide_frame(error)  # that of the attempt
            self.errors.append((number, error))


async def _refused(owner: HedgePrimitive[Any, Any], stream: Any) -> ConfigurationError:
    """Close a stream, and return the error that says why."""
    await stream.aclose()
    return CompositionError(
        f"the step {owner.nodes[0].name!r} of {owner.name!r} streams: of several attempts at a "
        f"stream, none is the first to succeed; hedge a step that returns its whole result"
    )


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Hedging(Protocol):
        """What `Hedge(...)` without a step gives: it takes a primitive or a function."""

        @overload
        def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> HedgePrimitive[In, Out]: ...
        @overload
        def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...


@overload
def Hedge(
    primitive: WorkflowPrimitive[In, Out], /, **options: Unpack[HedgeOptions]
) -> HedgePrimitive[In, Out]: ...
@overload
def Hedge(
    primitive: Callable[P, C], /, **options: Unpack[HedgeOptions]
) -> DecoratedFunction[P, C]: ...
@overload
def Hedge(**options: Unpack[HedgeOptions]) -> _Hedging: ...
def Hedge(primitive: Any = MISSING, /, **options: Unpack[HedgeOptions]) -> Any:  # noqa: N802
    """Hedge a primitive, or decorate an asynchronous function.

    Args:
        primitive: A primitive gives a `HedgePrimitive`; an asynchronous function gives a function
            with the same signature that is a primitive as well. Left out, `Hedge(...)` is a
            decorator.
        options: Those of `HedgePrimitive`.

    Raises:
        CompositionError: What is given is neither.
        ConfigurationError: An option is missing or out of range.

    Example:
        >>> @Hedge(delay=0.2)
        ... async def fetch(url: str) -> str:
        ...     return f"the page at {url}"
        >>> import asyncio
        >>> asyncio.run(fetch("example.org"))
        'the page at example.org'
    """
    return decorate_async(primitive, HedgePrimitive, dict(options), decorator="Hedge")
