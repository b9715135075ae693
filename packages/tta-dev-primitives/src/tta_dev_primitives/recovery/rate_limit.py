"""`RateLimitPrimitive`: a step that starts only as often as a rate limiter allows."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import check_name, nested_awaitable
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.functions import is_async
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Failed, StandBy, tuned, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.bulkhead import deadline_of
from tta_dev_primitives.recovery.load.gcra import Rate
from tta_dev_primitives.recovery.load.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.errors import RateLimitedError
    from tta_dev_primitives.recovery.load.costs import Cost

__all__ = ("RateLimitOptions", "RateLimitPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


_NO_WAIT = 1e-3  # seconds; less than this is the cost of looking


class RateLimitOptions(TypedDict, total=False):
    """The options of a RateLimitPrimitive."""

    limiter: RateLimiter | Rate
    cost: Callable[[Any], Cost] | None
    usage: Callable[[Any], Cost | None] | None
    headers: Callable[[Any], Mapping[str, str] | None] | None
    name: str | None


class RateLimitPrimitive(StandBy[TIn, TOut]):
    """Starts a step only as often as a limiter allows; see `RateLimiter` for who waits how long.

    A step that fails or is cancelled has used what was taken for it: the other side has counted it.

    Args:
        primitive: The step: a primitive or a callable.
        limiter: A limiter, which may be shared with other steps; or one `Rate`.
        cost: Function of the input that estimates the units besides the one request, such as
            tokens. Required where a rate counts any.
        usage: Function of the result that tells the units that were used in truth, or None where
            the result does not say. Not asked about a stream.
        headers: Function of the result, or of the exception that the step raised, that returns the
            headers of the response, or None; the limiter learns from them.
        name: Default: `rate_limit`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range or contradicts another; from the call: `cost`
            or `usage` returned no cost.
        RateLimitedError: From the call: its turn would come too late. It has `retry_after`.

    Example:
        >>> limiter = RateLimiter(Rate(500), Rate(90_000, unit="tokens"))
        >>> async def ask(prompt: str) -> dict[str, int]:
        ...     return {"tokens": 12}
        >>> limited = RateLimitPrimitive(
        ...     ask, limiter=limiter, cost=len, usage=lambda answer: answer["tokens"]
        ... )
        >>> limited.run("How many?")
        {'tokens': 12}
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: RateLimitPrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[RateLimitOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RateLimitPrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[RateLimitOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RateLimitPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[RateLimitOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: RateLimitPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[RateLimitOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        limiter: RateLimiter | Rate | None = None,
        cost: Callable[[Any], Cost] | None = None,
        usage: Callable[[Any], Cost | None] | None = None,
        headers: Callable[[Any], Mapping[str, str] | None] | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of RateLimit", streams=True),)
        self._name = check_name(name) if name is not None else None
        if isinstance(limiter, Rate):
            limiter = RateLimiter(limiter, name=self.name)
        if not isinstance(limiter, RateLimiter):
            message = (
                f"limiter must be a RateLimiter or a Rate, as in RateLimitPrimitive(step, "
                f"limiter=Rate(60)), not {notes.shown_value(limiter)}"
            )
            raise ConfigurationError(message)
        for option, function in (("cost", cost), ("usage", usage), ("headers", headers)):
            if function is not None and (
                not callable(cast("object", function)) or is_async(function)
            ):
                shown = notes.shown_value(function)
                message = f"{option} must be a function that answers at once, not {shown}"
                raise ConfigurationError(message)
        weighed = sorted({rate.unit for rate in limiter.rates} - {"requests"})
        if weighed and cost is None:
            message = (
                f"{limiter.name!r} counts {', '.join(weighed)}, but no cost= tells how many of "
                f"them an input takes"
            )
            raise ConfigurationError(message)
        if not weighed and (cost is not None or usage is not None):
            option = "cost" if cost is not None else "usage"
            message = f"{option}= is given, but {limiter.name!r} counts nothing but requests"
            raise ConfigurationError(message)
        self._limiter: RateLimiter = limiter
        self._admit = limiter.start_one
        self._cost = cost
        self._usage = usage
        self._headers = headers
        self._idle = cost is None and headers is None

    @property
    def limiter(self) -> RateLimiter:
        """Whose rates hold."""
        return self._limiter

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The rates."""
        rates = self._limiter.rates
        return (", ".join(f"{r.limit:g} {r.unit} per {r.per:g} s" for r in rates),)

    async def _execute_impl(  # noqa: C901, PLR0912 - written out for speed
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                return await self._followed(context, input_data, site)
        if not self._idle:
            return await self._followed(context, input_data, site)
        limiter = self._limiter
        began = start = limiter.start_one()
        if began is None or start is None:
            began = clock.now()
            deadline = deadline_of(context)
            refused = self._refusal(place, context) if deadline is None else None
            if refused is not None:
                try:
                    raise refused
                finally:
                    del refused  # it refers to this frame
            try:
                await limiter.wait_for_one(deadline)
            except BaseException as error:
                if place is not None:
                    place.ended(began, error)
                if isinstance(error, Exception):
                    notes.locate(error, self, None, context or fresh_context(began))
                raise
            start = began if place is None else clock.now()
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            if type(result) in engine.unfinished:
                await self._complete(result)
        except BaseException as error:
            self._after(error, Failed(context, input_data, began, place))
            raise
        else:
            if place is not None:
                if start == began:
                    (place.well or place.stand_alone(self))(began)
                else:  # it has waited, which was no time of the step's
                    place.open(self)[0].took(clock.now() - start)
                    place.ended(began)
            return result

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl
    if not TYPE_CHECKING:  # the signatures are those of the base
        execute = _shortcut = tuned(StandBy.execute)

    def _refusal(
        self, place: engine.Site | None, context: WorkflowContext | None = None
    ) -> RateLimitedError | None:
        began = clock.now()
        late = self._limiter.refusal()
        return None if late is None else self._told(late, context, place, began)

    async def _complete(self, result: Any) -> None:
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self._steps[0].name, result)

    def _after(self, error: BaseException, failed: Failed) -> None:
        if failed.place is not None:
            failed.place.went_wrong(self, failed.began or 0.0, error)
        if isinstance(error, Exception):
            notes.locate(error, self, 0, failed.context)

    async def _followed(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens, or where there is more to do than to wait for a turn."""
        if context is None:
            context, site = fresh_context(clock.now()), None
        limiter, headers = self._limiter, self._headers
        with Run(self, context, site) as run:
            cost = None if self._cost is None else self._cost(input_data)
            began = clock.now()
            async with limiter.reserve(cost, deadline=deadline_of(context)) as grant:
                waited = clock.now() - began
                if waited > _NO_WAIT:
                    run.note(waited=waited)
                try:
                    result = run.checked(await run.call(0, input_data))
                except Exception as error:
                    if headers is not None:
                        self._learn(headers(error))
                    raise
                run.own()  # what is raised below, the functions that were given raise
                if headers is not None:
                    self._learn(headers(result))
                if self._usage is not None and result.__class__ is not engine.stream_type:
                    used = self._usage(result)
                    if used is not None:
                        grant.settle(used)
            return result

    def _learn(self, headers: Mapping[str, str] | None) -> None:
        if headers is not None:
            self._limiter.observe(headers)
