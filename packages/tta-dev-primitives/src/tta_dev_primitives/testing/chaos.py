"""Chaos for tests: steps that are late, fail or answer wrongly, the same way in every run.

`inject_chaos(workflow, "sequential/search", fault=ConnectionError, rate=0.1, seed=1)` gives a copy
of a workflow in which the step at that path fails in a tenth of its calls. What is done to a call
is drawn from the seed, the path and the call's number alone, so a run that went wrong can be
repeated, and what else is done does not change it. Latency is `asyncio.sleep`: in virtual time it
costs nothing.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core.base import WorkflowPrimitive, is_count, nested_awaitable
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.testing.effects import pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("ChaosOptions", "ChaosPlan", "ChaosPrimitive", "Fault", "Injection", "inject_chaos")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
W = TypeVar("W", bound=WorkflowPrimitive[Any, Any])

Fault: TypeAlias = "BaseException | Callable[[], BaseException]"
"""An exception, or what makes one: an exception class, a function without arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What is done to one call."""

    call: int
    """The number of the call, from 1."""
    latency: float = 0.0
    """Seconds that it waits before the step is called."""
    fault: bool = False
    """Whether the fault is raised."""
    outcome: bool = False
    """Whether the result is replaced."""


class ChaosOptions(TypedDict, total=False):
    """What is done to a step, and to which calls; see `ChaosPrimitive`."""

    latency: float | tuple[float, float]
    fault: Fault | None
    after: bool
    outcome: Callable[[Any], Any] | None
    rate: float
    calls: Iterable[int] | None
    seed: int | str


class ChaosPlan:
    """Says what is done to each call, from the seed and the call's number alone.

    Args:
        latency: Seconds to wait, or the least and the most.
        fault: Whether there is a fault to raise.
        outcome: Whether there is a way to replace results.
        rate: The fraction of calls that something is done to.
        calls: The numbers of the calls that something is done to, in place of a rate.
        seed: Another seed, other calls.

    Example:
        >>> plan = ChaosPlan(fault=True, rate=0.25, seed=1)
        >>> [call for call in range(1, 13) if plan.decide(call).fault]
        [2, 5]
    """

    __slots__ = ("_calls", "_fault", "_latency", "_outcome", "_rate", "_seed")

    def __init__(
        self,
        *,
        latency: tuple[float, float] = (0.0, 0.0),
        fault: bool = False,
        outcome: bool = False,
        rate: float = 1.0,
        calls: frozenset[int] | None = None,
        seed: int | str = 0,
    ) -> None:
        self._latency = latency
        self._fault = fault
        self._outcome = outcome
        self._rate = rate
        self._calls = calls
        self._seed = seed

    def decide(self, call: int) -> Injection:
        """Return what is done to call number `call`, from 1."""
        rng = random.Random(f"{self._seed}/{call}")  # noqa: S311 - repeatable on purpose
        struck = rng.random() < self._rate if self._calls is None else call in self._calls
        if not struck:
            return Injection(call=call)
        return Injection(
            call=call,
            latency=rng.uniform(*self._latency),
            fault=self._fault,
            outcome=self._outcome,
        )


class ChaosPrimitive(Wrapper[TIn, TOut]):
    """Does to some calls of a step what a bad day would; made by `inject_chaos`.

    A call that is struck waits for `latency`, then raises `fault`, or calls the step and gives its
    result through `outcome`.

    Args:
        primitive: The step: a primitive or a callable.
        latency: Seconds that a struck call waits first, zero or more: a number, or the least and
            the most, between which each call draws its own.
        fault: What a struck call raises: an exception, an exception class, or a function without
            arguments that makes one.
        after: Raise the fault when the step has ended well: it has acted, and the caller does not
            know. Default: before, and the step is not called.
        outcome: A function of the step's result that gives what takes its place, as
            `lambda result: ""`.
        rate: The fraction of calls that are struck, from 0 to 1. Default: 1.
        calls: The numbers of the calls that are struck, from 1; in place of `rate`.
        seed: A number or a text; another seed strikes other calls. Default: 0.
        name: Default: the name of the step, so that paths stay.

    Raises:
        CompositionError: `primitive` is no step, or a generator function.
        ConfigurationError: An option is out of range, contradicts another, or there is nothing to
            do.

    Example:
        >>> broken = ChaosPrimitive(str.upper, fault=ConnectionError("reset"), calls=[2])
        >>> broken.run("one")
        'ONE'
        >>> try:
        ...     broken.run("two")
        ... except ConnectionError as error:
        ...     print(error)
        reset
        >>> broken.run("three")
        'THREE'
        >>> [injection.call for injection in broken.injections]
        [2]
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: ChaosPrimitive[In, Out],
        primitive: WorkflowPrimitive[In, Out],
        *,
        name: str | None = None,
        **options: Unpack[ChaosOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ChaosPrimitive[In, Out],
        primitive: Callable[[In], Out],
        *,
        name: str | None = None,
        **options: Unpack[ChaosOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        latency: float | tuple[float, float] = 0.0,
        fault: Fault | None = None,
        after: bool = False,
        outcome: Callable[[Any], Any] | None = None,
        rate: float = 1.0,
        calls: Iterable[int] | None = None,
        seed: int | str = 0,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of chaos"),)
        self.name = self._steps[0].name if name is None else name
        bounds = _check_latency(latency)
        if not (
            fault is None or isinstance(fault, BaseException) or callable(cast("object", fault))
        ):
            message = f"fault must be an exception or what makes one, not {shown_value(fault)}"
            raise ConfigurationError(message)
        if outcome is not None and not callable(cast("object", outcome)):
            message = (
                f"outcome must be a function of the result, not {shown_value(outcome)}; a fixed "
                f"one is outcome=lambda result: ..."
            )
            raise ConfigurationError(message)
        if fault is not None and outcome is not None:
            message = "a call raises or returns; give fault or outcome, or put one chaos on another"
            raise ConfigurationError(message)
        if after and fault is None:
            message = "after=True says when the fault is raised, and there is no fault"
            raise ConfigurationError(message)
        if fault is None and outcome is None and bounds == (0.0, 0.0):
            message = "chaos needs something to do: latency=, fault= or outcome="
            raise ConfigurationError(message)
        if not isinstance(cast("object", seed), (int, str)):  # what Python seeds by its value
            message = f"seed must be a whole number or a text, not {shown_value(seed)}"
            raise ConfigurationError(message)
        self._fault = fault
        self._after = after
        self._outcome = outcome
        self._plan = ChaosPlan(
            latency=bounds,
            fault=fault is not None,
            outcome=outcome is not None,
            rate=_check_rate(rate, calls),
            calls=None if calls is None else _check_calls(calls),
            seed=seed,
        )
        # Shared with copies: `replace` may put a renamed one into the workflow.
        self._ledger = _Ledger()

    @property
    def injections(self) -> tuple[Injection, ...]:
        """What was done so far, in the order of the calls that it was done to."""
        return tuple(self._ledger.injections)

    @property
    def call_count(self) -> int:
        """How many calls there were, struck or not."""
        return self._ledger.count

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """That this is no part of the workflow."""
        return ("chaos",)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        injection = self._ledger.begin(self._plan)
        with Run(self, context, site) as run:
            if injection.latency:
                await pause(injection.latency)
            if injection.fault and not self._after:
                raise self._made()
            result = run.checked(await run.call(0, input_data))
            run.own()
            if injection.fault:
                raise self._made()
            if injection.outcome and self._outcome is not None:
                result = self._outcome(result)
                if result.__class__ is CoroutineType:
                    raise nested_awaitable("outcome", result)
            return result

    def _made(self) -> BaseException:
        """Return the fault; an instance that is raised again starts with a traceback of its own."""
        fault = self._fault
        made = fault if isinstance(fault, BaseException) else cast("Any", fault)()
        if not isinstance(made, BaseException):
            message = f"the function given as fault made {shown_value(made)}, which is no exception"
            raise ConfigurationError(message)
        return made.with_traceback(None)


class _Ledger:
    """What was done, shared by the copies of a step."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.count = 0
        self.injections: list[Injection] = []

    def begin(self, plan: ChaosPlan) -> Injection:
        number = next(self._numbers)
        self.count = max(self.count, number)
        injection = plan.decide(number)
        if injection.latency or injection.fault or injection.outcome:
            self.injections.append(injection)
        return injection

    def __reduce__(self) -> tuple[type[_Ledger], tuple[()]]:
        return _Ledger, ()


@overload
def inject_chaos(workflow: W, path: str | Iterable[str], **options: Unpack[ChaosOptions]) -> W: ...
@overload
def inject_chaos(
    workflow: WorkflowPrimitive[In, Out], path: None = None, **options: Unpack[ChaosOptions]
) -> ChaosPrimitive[In, Out]: ...
def inject_chaos(
    workflow: Any, path: str | Iterable[str] | None = None, **options: Unpack[ChaosOptions]
) -> Any:
    """Return a copy of a workflow in which some calls of some steps go wrong; the original stays.

    Args:
        workflow: The workflow.
        path: Which step, or several, as `walk()` spells them. Each draws for itself. None: the
            workflow as a whole.
        options: What is done, and to which calls: those of `ChaosPrimitive`.

    Returns:
        The copy. `find(path)` gives the `ChaosPrimitive` that stands there now, with what it did.

    Raises:
        PathError: Nothing stands at a path.
        ConfigurationError: An option is out of range, or there is nothing to do.

    Example:
        >>> from tta_dev_primitives import step
        >>> from tta_dev_primitives.recovery import Fallback
        >>> workflow = Fallback(step(str.upper), fallback=str.lower) >> len
        >>> down = inject_chaos(workflow, "sequential/fallback/upper", fault=ConnectionError)
        >>> down.run("four")
        4
        >>> down.find("sequential/fallback/upper").injections[0].fault
        True
    """
    if not isinstance(cast("object", workflow), WorkflowPrimitive):
        message = f"inject_chaos takes a workflow, not {shown_value(workflow)}"
        raise ConfigurationError(message)
    changed: WorkflowPrimitive[Any, Any] = workflow
    if path is None:
        return ChaosPrimitive[Any, Any](changed, **options)
    paths = [path] if isinstance(path, str) else list(path)
    if not paths:
        message = "inject_chaos was given no path, so nothing would go wrong"
        raise ConfigurationError(message)
    # Later paths may lie below earlier ones, which get a level deeper: the deepest first.
    for place in sorted(set(paths), key=lambda text: (-text.count("/"), text)):
        seeded: ChaosOptions = {**options, "seed": f"{options.get('seed', 0)}/{place}"}
        if place == changed.name:
            changed = ChaosPrimitive[Any, Any](changed, **seeded)
        else:
            changed = changed.replace(
                place, ChaosPrimitive[Any, Any](changed.find(place), **seeded)
            )
    return changed


def _check_latency(latency: object) -> tuple[float, float]:
    """Return the least and the most seconds.

    Raises:
        ConfigurationError: They are not seconds, or in the wrong order.
    """
    if not isinstance(latency, tuple):
        seconds = check_seconds("latency", latency, zero=True)
        return seconds, seconds
    bounds = cast("tuple[object, ...]", latency)
    if len(bounds) != 2:  # noqa: PLR2004 - the least and the most
        message = f"latency is seconds, or a pair of them, not {shown_value(bounds)}"
        raise ConfigurationError(message)
    least, most = (check_seconds("latency", bound, zero=True) for bound in bounds)
    if least > most:
        message = f"latency goes from the least to the most, not from {least:g} s to {most:g} s"
        raise ConfigurationError(message)
    return least, most


def _check_rate(rate: object, calls: object) -> float:
    """Return the fraction of calls.

    Raises:
        ConfigurationError: It is none, or calls are given as well.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        message = f"rate is a fraction from 0 to 1, not {shown_value(rate)}"
        raise ConfigurationError(message)
    if calls is not None and rate != 1:
        message = "rate and calls both say which calls are struck; give one of them"
        raise ConfigurationError(message)
    return float(rate)


def _check_calls(calls: object) -> frozenset[int]:
    """Return the numbers of calls.

    Raises:
        ConfigurationError: They are not whole numbers from 1, or there are none.
    """
    found: list[object] = []
    if isinstance(calls, Iterable):
        found = list(cast("Iterable[object]", calls))
    if not found or not all(_is_number(number) for number in found):
        message = f"calls are the numbers of calls, from 1, not {shown_value(found or calls)}"  # pyright: ignore[reportUnknownArgumentType] - isinstance leaves the items open
        raise ConfigurationError(message)
    return frozenset(cast("list[int]", found))


def _is_number(candidate: object) -> bool:
    return is_count(candidate) and cast("int", candidate) >= 1
