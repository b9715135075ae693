"""`AdaptivePrimitive`: as many runs of a step at once as its latency shows to be good."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import check_name
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.bulkhead import Bulkhead, deadline_of
from tta_dev_primitives.recovery.classification.classify import classify_error, matcher
from tta_dev_primitives.recovery.load.concurrency import GradientLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.recovery.classification.classify import RetryOn
    from tta_dev_primitives.recovery.load.concurrency import ConcurrencyLimit

__all__ = ("AdaptiveOptions", "AdaptivePrimitive", "is_overload")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")

_OVERLOAD = frozenset({"rate_limit", "overloaded", "timeout"})


def is_overload(error: Exception) -> bool:
    """Whether an exception says that there is too much to do on the other side."""
    return classify_error(error) in _OVERLOAD


class AdaptiveOptions(TypedDict, total=False):
    """The options of an AdaptivePrimitive."""

    limit: ConcurrencyLimit | None
    max_queue: int | None
    queue_timeout: float | None
    on: RetryOn | None
    name: str | None


class AdaptivePrimitive(Wrapper[TIn, TOut]):
    """Runs a step under a bulkhead whose size follows the step's latency.

    Results and signs of overload change the limit; other failures and cancelled calls do not, for
    they say nothing about it. A stream counts with the time to its first item.

    Args:
        primitive: The step: a primitive or a callable.
        limit: Finds the limit: a `GradientLimit` (default), an `AIMDLimit`, or one of your own. It
            belongs to this primitive alone.
        max_queue: As for `Bulkhead`. Default: 1000.
        queue_timeout: As for `Bulkhead`. Default: no limit but `context.deadline`.
        on: Which exceptions are overload, as for `Retry`. Default: those that `classify_error`
            calls `rate_limit`, `overloaded` or `timeout`.
        name: Default: `adaptive`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range.
        BulkheadFullError: From the call: the queue is full, or the wait took too long.

    Example:
        >>> async def ask(question: str) -> str:
        ...     return f"{question} Indeed."
        >>> AdaptivePrimitive(ask).run("Is it so?")
        'Is it so? Indeed.'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: AdaptivePrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[AdaptiveOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptivePrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[AdaptiveOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptivePrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[AdaptiveOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AdaptivePrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[AdaptiveOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        limit: ConcurrencyLimit | None = None,
        max_queue: int | None = 1000,
        queue_timeout: float | None = None,
        on: RetryOn | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Adaptive", streams=True),)
        self._name = check_name(name) if name is not None else None
        limit = GradientLimit() if limit is None else limit
        if not callable(getattr(limit, "update", None)) or not hasattr(limit, "limit"):
            shown = notes.shown_value(limit)
            message = f"limit must be a GradientLimit, an AIMDLimit or alike, not {shown}"
            raise ConfigurationError(message)
        self._limit = limit
        self._overload = is_overload if on is None else matcher(on)
        self._bulkhead = Bulkhead(
            limit.limit, max_queue=max_queue, queue_timeout=queue_timeout, name=self.name
        )
        self._guard = _Guard()

    @property
    def bulkhead(self) -> Bulkhead:
        """Whose permits are taken, with the limit of now."""
        return self._bulkhead

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        bulkhead = self._bulkhead
        with Run(self, context, site) as run:
            await bulkhead.acquire(deadline=deadline_of(context))
            streams = False
            try:
                in_flight = bulkhead.running
                began = clock.now()
                try:
                    result = run.checked(await run.call(0, input_data))
                    if result.__class__ is engine.stream_type:
                        streams = True
                        result.when_ended(lambda _: bulkhead.release())  # pyright: ignore[reportUnknownLambdaType] - streams are loaded late
                        await result.prime()
                except Exception as error:
                    if self._overload(error):
                        self._learn(began, in_flight, dropped=True)
                    raise
                self._learn(began, in_flight, dropped=False)
                return result
            finally:
                if not streams:
                    bulkhead.release()

    def _learn(self, began: float, in_flight: int, *, dropped: bool) -> None:
        with self._guard.lock:
            now = clock.now()
            limit = self._limit.update(now, now - began, in_flight, dropped=dropped)
            if limit != self._bulkhead.max_concurrency:
                self._bulkhead.resize(limit)


class _Guard:
    """A lock that a copy of its owner has anew."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_Guard], tuple[()]]:
        return _Guard, ()
