"""`ThrottlePrimitive`: refuse calls on this side, where the other side would refuse them anyway.

Client-side throttling: Beyer and others, Site Reliability Engineering (Google, 2016), chapter 21,
"Handling Overload".
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, notes
from tta_dev_primitives.core.base import check_name
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import ConfigurationError, ThrottledError
from tta_dev_primitives.recovery.adaptive import is_overload
from tta_dev_primitives.recovery.breakers.windows import TimeWindow
from tta_dev_primitives.recovery.classification.classify import matcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.recovery.classification.classify import RetryOn

__all__ = ("Throttle", "ThrottleOptions", "ThrottlePrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


class Throttle:
    """How likely a call is refused here: `max(0, (requests - k * accepts) / (requests + 1))`.

    Requests are the calls of the window, those that were refused here included; accepts are those
    that the other side did not refuse. With `k` of 2, nothing is refused here until the other side
    refuses more than half; beyond that, about twice as many calls pass as it accepts, and one more,
    so that its recovery is found out: what passes then doubles with about each window. Calls that
    are under way count when they end.

    One can be shared by the steps that use the same service, in any thread.

    Args:
        k: More than 1; the less, the sooner calls are refused here. Default: 2.0.
        window: Seconds that count. Default: 120.
        rng: Draws; `random.Random(1)` makes them repeatable.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> throttle = Throttle()
        >>> for _ in range(9):
        ...     throttle.ended(0.0, accepted=False)
        >>> throttle.probability(0.0)
        0.9
    """

    __slots__ = ("_lock", "_rng", "_window", "k", "window")

    def __init__(
        self, *, k: float = 2.0, window: float = 120.0, rng: random.Random | None = None
    ) -> None:
        self.k: float = check_seconds("k", k)
        if self.k <= 1:
            message = f"k must be more than 1, or calls that are accepted are refused, not {k!r}"
            raise ConfigurationError(message)
        self.window: float = check_seconds("window", window)
        if rng is not None and not isinstance(cast("object", rng), random.Random):
            message = f"rng must be a random.Random, not {notes.shown_value(rng)}"
            raise ConfigurationError(message)
        self._rng = rng or random.Random()  # noqa: S311 - no secret
        self._window = TimeWindow(self.window)
        self._lock = threading.Lock()

    def probability(self, now: float) -> float:
        """Return how likely a call is refused here at `now`."""
        with self._lock:
            return self._probability(now)

    def refuses(self, now: float) -> bool:
        """Decide about a call that begins at `now`; one that is refused is counted."""
        with self._lock:
            chance = self._probability(now)
            if chance <= 0 or self._rng.random() >= chance:
                return False
            self._window.add(now, failed=True, slow=False)
            return True

    def ended(self, now: float, *, accepted: bool) -> None:
        """Count a call that was let through, and whether the other side accepted it."""
        with self._lock:
            self._window.add(now, failed=not accepted, slow=False)

    def _probability(self, now: float) -> float:
        self._window.trim(now)
        requests = self._window.calls
        accepts = requests - self._window.failures
        return max(0.0, (requests - self.k * accepts) / (requests + 1))

    def __reduce__(self) -> tuple[Callable[..., Throttle], tuple[Any, ...]]:
        return _rebuild, (self.k, self.window, self._rng)  # a copy counts calls of its own


def _rebuild(k: float, window: float, rng: random.Random) -> Throttle:
    return Throttle(k=k, window=window, rng=rng)


class ThrottleOptions(TypedDict, total=False):
    """The options of a ThrottlePrimitive."""

    throttle: Throttle | None
    on: RetryOn | None
    name: str | None


class ThrottlePrimitive(Wrapper[TIn, TOut]):
    """Runs a step, unless the other side refuses so much that trying again is of no use.

    Args:
        primitive: The step: a primitive or a callable.
        throttle: Decides; can be shared. Default: one with the values that `Throttle` has.
        on: Which exceptions are refusals of the other side, as for `Retry`. Default: those that
            `classify_error` calls `rate_limit`, `overloaded` or `timeout`. Any other failure was
            accepted; a call that was cancelled does not count.
        name: Default: `throttle`.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range.
        ThrottledError: From the call: it was refused here.

    Example:
        >>> async def ask(question: str) -> str:
        ...     return f"{question} Indeed."
        >>> ThrottlePrimitive(ask).run("Is it so?")
        'Is it so? Indeed.'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: ThrottlePrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[ThrottleOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ThrottlePrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[ThrottleOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ThrottlePrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[ThrottleOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ThrottlePrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[ThrottleOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        throttle: Throttle | None = None,
        on: RetryOn | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Throttle", streams=True),)
        self._name = check_name(name) if name is not None else None
        throttle = Throttle() if throttle is None else throttle
        if not isinstance(cast("object", throttle), Throttle):
            message = f"throttle must be a Throttle, not {notes.shown_value(throttle)}"
            raise ConfigurationError(message)
        self._throttle = throttle
        self._refused = is_overload if on is None else matcher(on)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        throttle = self._throttle
        with Run(self, context, site) as run:
            if throttle.refuses(clock.now()):
                chance = throttle.probability(clock.now())
                message = (
                    f"{self.name!r} refused the call here, as it now does {chance:.0%} of them, "
                    f"since what it calls refuses most; try again later"
                )
                raise ThrottledError(message)
            try:
                result = run.checked(await run.call(0, input_data))
            except Exception as error:
                throttle.ended(clock.now(), accepted=not self._refused(error))
                raise
            throttle.ended(clock.now(), accepted=True)
            return result
