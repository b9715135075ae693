"""`MockPrimitive`: a step that does what a test tells it, and remembers how it was called.

Put it in the place of a real step with `workflow.replace(path, mock)`. It follows
`unittest.mock`: what `side_effect` may be, and how the assertions are called. Latency is
`asyncio.sleep`, so in virtual time it costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Literal, Never, TypeVar, cast, overload

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.base import WorkflowPrimitive, check_name
from tta_dev_primitives.core.frozen import Frozen
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.testing.effects import NOT_GIVEN, delay_of, effect_of, pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.testing.effects import ContextEffect, Latency

__all__ = ("Mock", "MockCall", "MockPrimitive")

TOut = TypeVar("TOut", covariant=True)
R = TypeVar("R")
S = TypeVar("S")

_SHOWN = 10  # calls in a message; the first ones tell what went wrong


class MockCall(Frozen, Generic[R]):
    """One call of a mock."""

    __slots__ = ("context", "ended", "error", "input_data", "result", "started", "status")

    input_data: object
    """The input itself, not a copy: a step that changes it later changes it here."""
    context: WorkflowContext
    """The run's context."""
    status: Literal["running", "ok", "error", "cancelled"]
    """How the call ended, or that it has not."""
    result: R | None
    """What was returned; None when `status` is not `ok`."""
    error: BaseException | None
    """What was raised, a cancellation included."""
    started: float
    """The engine's clock at the start, in seconds; virtual seconds in virtual time."""
    ended: float | None
    """The engine's clock at the end; None while the call runs."""


class MockPrimitive(WorkflowPrimitive[object, TOut]):
    """A step for tests: it returns or raises what it is told, and records its calls.

    It takes any input, so it fits wherever its output type does; a mock that only raises fits
    everywhere.

    Args:
        name: Its name in paths. Default: in `workflow.replace` the name of the step whose place it
            takes, else `mock`.
        return_value: What every call returns. Default: None.
        side_effect: In place of `return_value`: an exception or exception class, which is raised;
            a function, called as a step is (input, or context and input, synchronous or not); or
            an iterable with one item for each call, where items that are exceptions are raised.
        latency: Seconds that each call takes before it returns or raises: a number, a function of
            the input, or an iterable with one number for each call. Infinity never ends. Default:
            0, which does not yield to the event loop.

    Raises:
        ConfigurationError: `return_value` and `side_effect` are both given, a latency is negative,
            or an option is of no kind that is listed.

    Example:
        >>> from tta_dev_primitives import step
        >>> async def search(query: str) -> list[str]:
        ...     raise ConnectionError("no network in tests")
        >>> found = MockPrimitive(return_value=["a page"])
        >>> (step(search) >> len).replace("sequential/search", found).run("cats")
        1
        >>> found.assert_called_once_with("cats")
    """

    @overload
    def __init__(
        self: MockPrimitive[Never],
        name: str | None = None,
        *,
        side_effect: BaseException | type[BaseException],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        side_effect: Callable[[Any], Awaitable[S]],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        side_effect: Callable[[Any], S],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        side_effect: ContextEffect[Awaitable[S]],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        side_effect: ContextEffect[S],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        side_effect: Iterable[S | BaseException | type[BaseException]],
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[S],
        name: str | None = None,
        *,
        return_value: S,
        latency: Latency = 0.0,
    ) -> None: ...
    @overload
    def __init__(
        self: MockPrimitive[None], name: str | None = None, *, latency: Latency = 0.0
    ) -> None: ...
    def __init__(
        self,
        name: str | None = None,
        *,
        return_value: Any = NOT_GIVEN,
        side_effect: Any = None,
        latency: Latency = 0.0,
    ) -> None:
        self._name = check_name(name) if name is not None else None
        if side_effect is not None and return_value is not NOT_GIVEN:
            message = (
                f"a mock takes return_value or side_effect, not both: return_value="
                f"{return_value!r}, side_effect={side_effect!r}"
            )
            raise ConfigurationError(message)
        self._return_value = None if return_value is NOT_GIVEN else return_value
        self._answer: Callable[[WorkflowContext, object], Any] = (
            self._returned if side_effect is None else effect_of(side_effect)
        )
        self._delay = delay_of(latency)
        # `replace` may put a renamed copy into the workflow: what it records must be seen here.
        self._ledger: _Ledger[TOut] = _Ledger()

    @property
    def signature(self) -> tuple[Any, Any]:
        """Any input, any output: what is composed with a mock is for the type checker to judge."""
        return Any, Any

    def _returned(self, context: WorkflowContext, input_data: object) -> Any:
        del context, input_data
        return self._return_value

    async def _execute_impl(self, context: WorkflowContext, input_data: object) -> TOut:
        ledger = self._ledger
        number = ledger.begin(context, input_data)
        try:
            if self._delay is not None:
                await pause(self._delay(input_data))
            result = self._answer(context, input_data)
            if hasattr(result, "__await__"):
                result = await result
        except asyncio.CancelledError as error:
            ledger.end(number, "cancelled", error=error)
            raise
        except BaseException as error:
            ledger.end(number, "error", error=error)
            raise
        ledger.end(number, "ok", result=result)
        return cast("TOut", result)

    # --- what was seen ----------------------------------------------------------------------

    @property
    def calls(self) -> tuple[MockCall[TOut], ...]:
        """Every call so far in the order of their starts, those that still run included."""
        return tuple(self._ledger.calls.values())

    @property
    def inputs(self) -> tuple[object, ...]:
        """The input of every call so far."""
        return tuple(call.input_data for call in self._ledger.calls.values())

    @property
    def call_count(self) -> int:
        """How often it was called."""
        return len(self._ledger.calls)

    @property
    def called(self) -> bool:
        """Whether it was called at all."""
        return bool(self._ledger.calls)

    @property
    def max_concurrency(self) -> int:
        """The most calls that ran at the same time."""
        return self._ledger.most

    def reset_mock(self) -> None:
        """Forget all calls. An iterable goes on where it stands, as in `unittest.mock`."""
        self._ledger.clear()

    # --- assertions -------------------------------------------------------------------------

    def assert_called(self) -> None:
        """Fail unless there was a call.

        Raises:
            AssertionError: There was none.
        """
        if not self.called:
            self._fail("at least one call", "no call")

    def assert_not_called(self) -> None:
        """Fail if there was a call.

        Raises:
            AssertionError: There was one.
        """
        if self.called:
            self._fail("no call", self._count())

    def assert_called_once(self) -> None:
        """Fail unless there was exactly one call.

        Raises:
            AssertionError: There were none or several.
        """
        if self.call_count != 1:
            self._fail("exactly one call", self._count())

    def assert_called_with(self, input_data: object, /) -> None:
        """Fail unless the last call had this input, by `==`.

        Raises:
            AssertionError: It had another, or there was no call.
        """
        if not self.called or self.inputs[-1] != input_data:
            actual = f"last call with {self.inputs[-1]!r}" if self.called else "no call"
            self._fail(f"last call with {input_data!r}", actual)

    def assert_called_once_with(self, input_data: object, /) -> None:
        """Fail unless there was exactly one call and it had this input.

        Raises:
            AssertionError: There were none or several, or the input was another.
        """
        if self.call_count != 1 or self.inputs[0] != input_data:
            actual = f"one call with {self.inputs[0]!r}" if self.call_count == 1 else self._count()
            self._fail(f"exactly one call with {input_data!r}", actual)

    def assert_any_call(self, input_data: object, /) -> None:
        """Fail unless some call had this input.

        Raises:
            AssertionError: None had.
        """
        if not any(seen == input_data for seen in self.inputs):
            self._fail(f"a call with {input_data!r}", self._count())

    def assert_has_calls(self, inputs: Iterable[object], /, *, any_order: bool = False) -> None:
        """Fail unless there were calls with these inputs, one after the other without a gap.

        Args:
            inputs: The inputs that are expected; there may be calls before and after them.
            any_order: Only ask that each is there, as often as it is expected.

        Raises:
            AssertionError: They are not there.
        """
        wanted = list(inputs)
        seen = list(self.inputs)
        if any_order:
            missing = [one for one in wanted if not _take(seen, one)]
            if missing:
                self._fail(f"calls with {wanted!r} in any order", f"none with {missing!r}")
        elif not any(
            seen[at : at + len(wanted)] == wanted for at in range(len(seen) - len(wanted) + 1)
        ):
            self._fail(f"calls with {wanted!r} in this order", self._count())

    def _count(self) -> str:
        count = self.call_count
        return "no call" if not count else f"{count} call{'s' if count > 1 else ''}"

    def _fail(self, expected: str, actual: str) -> Never:
        lines = [
            f"  {number}. {call.input_data!r} -> {_outcome(call)}"
            for number, call in enumerate(self.calls[:_SHOWN], 1)
        ]
        if self.call_count > _SHOWN:
            lines.append(f"  … and {self.call_count - _SHOWN} more")
        seen = "\n".join(("\ncalls, with their inputs:", *lines)) if lines else ""
        message = f"mock {self.name!r}\nexpected: {expected}\n  actual: {actual}{seen}"
        raise AssertionError(message)


Mock = MockPrimitive


class _Ledger(Generic[R]):
    """The calls of a mock, shared with its renamed copies."""

    def __init__(self) -> None:
        self.calls: dict[int, MockCall[R]] = {}
        self.most = 0
        self._running: set[int] = set()
        self._next = 0

    def begin(self, context: WorkflowContext, input_data: object) -> int:
        number = self._next
        self._next += 1
        self._running.add(number)
        self.most = max(self.most, len(self._running))
        self.calls[number] = MockCall(
            input_data=input_data,
            context=context,
            status="running",
            result=None,
            error=None,
            started=clock.now(),
            ended=None,
        )
        return number

    def end(
        self,
        number: int,
        status: Literal["ok", "error", "cancelled"],
        *,
        result: Any = None,
        error: BaseException | None = None,
    ) -> None:
        self._running.discard(number)
        call = self.calls.get(number)
        if call is not None:  # else the mock was reset while the call ran
            self.calls[number] = MockCall(
                input_data=call.input_data,
                context=call.context,
                status=status,
                result=result,
                error=error,
                started=call.started,
                ended=clock.now(),
            )

    def clear(self) -> None:
        self.calls.clear()
        self._running.clear()
        self.most = 0


def _take(seen: list[object], wanted: object) -> bool:
    """Take one equal item out of a list; say whether there was one."""
    for index, one in enumerate(seen):
        if one == wanted:
            del seen[index]
            return True
    return False


def _outcome(call: MockCall[Any]) -> str:
    if call.status == "ok":
        return repr(call.result)
    return f"{call.status} {call.error!r}" if call.status == "error" else call.status
