"""`ParallelPrimitive`: several steps on one input, at once.

The overloads outnumber the code: the result's type follows from the container and the policy, and
checkers find it only if each combination is spelled out.
"""

# One run has a class of its own, which reads the options of the primitive.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import (
    Composite,
    as_primitive,
    check_concurrency,
    check_name,
    is_count,
    path_safe,
)
from tta_dev_primitives.errors import CompositionError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core.base import AsyncStep, SyncStep, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.outcome import Outcome
    from tta_dev_primitives.core.race import Race

__all__ = ("ErrorPolicy", "FanOut", "Parallel", "ParallelPrimitive", "fan_out")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
Each = TypeVar("Each")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")

ErrorPolicy: TypeAlias = Literal["fail_fast", "collect", "first_success"]
"""What a failing branch means for the others."""

_POLICIES = ("fail_fast", "collect", "first_success")
_new: Any = object.__new__


class ParallelPrimitive(Composite[TIn, TOut]):
    """Runs its branches at once on the same input; waits for all of them.

    A list gives a list in the order of the branches, a dict a dict with the same keys,
    `Parallel.of(a, b)` a tuple whose types checkers follow, and `a | b | c` a list.

    | policy | a branch fails | gives |
    |---|---|---|
    | `on_error="fail_fast"` | the others are cancelled, its error is raised itself | all results |
    | `on_error="collect"` | the others go on | an `Outcome` for each branch |
    | `on_error="first_success"` | the others go on | the first result; the rest is cancelled |
    | `quorum=n` | the others go on while n can still succeed | n results in branch order |

    Whatever happens, no branch still runs when the call returns or raises.

    Args:
        branches: A list of steps, or a dict of them; at least one.
        on_error: What an error means; default `fail_fast`.
        quorum: Succeed with the first `quorum` results; 1 to the number of branches. Not together
            with `on_error`.
        max_concurrency: How many branches run at the same time, at least 1. Default: all.
        name: Default: `parallel`.

    Raises:
        CompositionError: No branches, or something that is no step.
        ConfigurationError: An option out of range, or a policy that does not exist.
        ExceptionGroup: From the call: with `first_success`, every branch failed.
        QuorumError: From the call: fewer than `quorum` branches can succeed.

    Example:
        >>> Parallel({"upper": str.upper, "length": len}).run("abc")
        {'upper': 'ABC', 'length': 3}
    """

    kind = "parallel"

    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: Sequence[AsyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: Sequence[SyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: Sequence[AsyncStep[I, O] | SyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, O]],
        branches: Mapping[str, AsyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, O]],
        branches: Mapping[str, SyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, O]],
        branches: Mapping[str, AsyncStep[I, O] | SyncStep[I, O]],
        *,
        on_error: Literal["fail_fast"] = ...,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[Outcome[O]]],
        branches: Sequence[AsyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[Outcome[O]]],
        branches: Sequence[SyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[Outcome[O]]],
        branches: Sequence[AsyncStep[I, O] | SyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, Outcome[O]]],
        branches: Mapping[str, AsyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, Outcome[O]]],
        branches: Mapping[str, SyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, dict[str, Outcome[O]]],
        branches: Mapping[str, AsyncStep[I, O] | SyncStep[I, O]],
        *,
        on_error: Literal["collect"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, O],
        branches: Sequence[AsyncStep[I, O]] | Mapping[str, AsyncStep[I, O]],
        *,
        on_error: Literal["first_success"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, O],
        branches: Sequence[SyncStep[I, O]] | Mapping[str, SyncStep[I, O]],
        *,
        on_error: Literal["first_success"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, O],
        branches: (
            Sequence[AsyncStep[I, O] | SyncStep[I, O]]
            | Mapping[str, AsyncStep[I, O] | SyncStep[I, O]]
        ),
        *,
        on_error: Literal["first_success"],
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: Sequence[AsyncStep[I, O]] | Mapping[str, AsyncStep[I, O]],
        *,
        quorum: int,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: Sequence[SyncStep[I, O]] | Mapping[str, SyncStep[I, O]],
        *,
        quorum: int,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[I, list[O]],
        branches: (
            Sequence[AsyncStep[I, O] | SyncStep[I, O]]
            | Mapping[str, AsyncStep[I, O] | SyncStep[I, O]]
        ),
        *,
        quorum: int,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        branches: Any,
        *,
        on_error: ErrorPolicy | None = None,
        quorum: int | None = None,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(branches, Mapping):
            keyed = cast("Mapping[object, object]", branches)
            for key in keyed:
                if not isinstance(key, str) or not key:
                    message = f"a branch of Parallel has the key {key!r}; keys are texts"
                    raise CompositionError(message)
            self._keys = tuple(cast("Mapping[str, object]", keyed))
            self._labels = tuple(path_safe(key) for key in self._keys)
            steps = [as_primitive(s, role=f"branch {k!r} of Parallel") for k, s in keyed.items()]
        elif isinstance(branches, Sequence) and not isinstance(branches, str):
            listed = cast("Sequence[object]", branches)
            steps = [
                as_primitive(s, role=f"branch {n} of Parallel") for n, s in enumerate(listed, 1)
            ]
        else:
            message = f"Parallel takes a list or dict of steps, not {type(branches).__name__}"
            raise CompositionError(message)
        if not steps:
            message = "Parallel needs at least one branch; it was given none"
            raise CompositionError(message)
        if on_error is not None and on_error not in _POLICIES:
            message = f"on_error must be one of {', '.join(_POLICIES)}, not {on_error!r}"
            raise ConfigurationError(message)
        if quorum is not None:
            if on_error is not None:
                message = f"give quorum={quorum!r} or on_error={on_error!r}, not both"
                raise ConfigurationError(message)
            if not is_count(quorum) or not 1 <= quorum <= len(steps):
                message = (
                    f"quorum must be 1 to {len(steps)}, the number of branches, not {quorum!r}"
                )
                raise ConfigurationError(message)
        check_concurrency(max_concurrency)
        self._steps = tuple(steps)
        self._policy: str = "quorum" if quorum is not None else (on_error or "fail_fast")
        self._quorum = quorum or 1
        self._limit = max_concurrency
        self._name = check_name(name) if name is not None else None

    _keys: tuple[str, ...] | None = None
    _as_tuple: bool = False
    _policy: str = "fail_fast"
    _quorum: int = 1
    _limit: int | None = None

    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        d: WorkflowPrimitive[I, D],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C, D]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        d: WorkflowPrimitive[I, D],
        e: WorkflowPrimitive[I, E],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C, D, E]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        d: WorkflowPrimitive[I, D],
        e: WorkflowPrimitive[I, E],
        f: WorkflowPrimitive[I, F],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C, D, E, F]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        d: WorkflowPrimitive[I, D],
        e: WorkflowPrimitive[I, E],
        f: WorkflowPrimitive[I, F],
        g: WorkflowPrimitive[I, G],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C, D, E, F, G]]: ...
    @overload
    @staticmethod
    def of(
        a: WorkflowPrimitive[I, A],
        b: WorkflowPrimitive[I, B],
        c: WorkflowPrimitive[I, C],
        d: WorkflowPrimitive[I, D],
        e: WorkflowPrimitive[I, E],
        f: WorkflowPrimitive[I, F],
        g: WorkflowPrimitive[I, G],
        h: WorkflowPrimitive[I, H],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> ParallelPrimitive[I, tuple[A, B, C, D, E, F, G, H]]: ...
    @staticmethod
    def of(*branches: Any, max_concurrency: int | None = None, name: str | None = None) -> Any:
        """Fan out to 2 to 8 primitives; gives a tuple, each place with its own type.

        Functions are lifted with `step` first, so that checkers see their types.
        """
        made: ParallelPrimitive[Any, Any] = ParallelPrimitive[Any, Any](
            list(branches), max_concurrency=max_concurrency, name=name
        )
        made._as_tuple = True
        return made

    @property
    def edge_labels(self) -> tuple[str, ...] | None:
        """The keys of the branches, where they have keys."""
        return self._keys

    @property
    def signature(self) -> tuple[Any, Any]:
        """The first annotated input type of a branch, and the container that comes out."""
        taken = next((t for t in (s.signature[0] for s in self.nodes) if t is not Any), Any)
        if self._policy == "first_success":
            return taken, Any
        if self._keys is not None and self._policy != "quorum":
            return taken, dict
        return taken, tuple if self._as_tuple else list

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        race = _race_class()(self, context)
        if engine.listening is None:
            await race.run(input_data, self.calls, race.branch)
            if race.failure is None:
                return race.take_result()
            raise race.take_failure()
        with race.heard(site) as run:
            await race.run(input_data, run.calls, race.watched_by(run))
            if race.failure is None:
                return race.take_result()
            raise race.take_failure()


@cache
def _race_class() -> type[Race]:
    """Return what runs the branches."""
    from tta_dev_primitives.core.race import Race  # noqa: PLC0415 - with the first fan-out

    return Race


class FanOut(ParallelPrimitive[TIn, list[Each]]):
    """A fan-out that `|` made: another `|` adds a branch to it instead of nesting it."""

    if TYPE_CHECKING:  # what `fan_out` makes of it

        @overload  # type: ignore[override]  # mypy: it extends where the base nests
        def __or__(self: FanOut[I, A], other: WorkflowPrimitive[I, B], /) -> FanOut[I, A | B]: ...
        @overload
        def __or__(
            self: FanOut[I, A], other: Callable[[I], Awaitable[B]], /
        ) -> FanOut[I, A | B]: ...
        @overload
        def __or__(self: FanOut[I, A], other: Callable[[I], B], /) -> FanOut[I, A | B]: ...
        @overload
        def __or__(
            self: FanOut[I, A], other: Callable[[WorkflowContext, I], Awaitable[B]], /
        ) -> FanOut[I, A | B]: ...
        @overload
        def __or__(
            self: FanOut[I, A], other: Callable[[WorkflowContext, I], B], /
        ) -> FanOut[I, A | B]: ...
        @overload
        def __or__(
            self: FanOut[I, A], other: Callable[[], Awaitable[B]], /
        ) -> FanOut[I, A | B]: ...
        @overload
        def __or__(self: FanOut[I, A], other: Callable[[], B], /) -> FanOut[I, A | B]: ...
        def __or__(self, other: Any, /) -> Any:
            """Add a branch."""

        also = __or__  # type: ignore[assignment]  # as above
        """The same as `|`; type checkers follow a lambda here, but not after an operator."""

    @property
    def type_name(self) -> str:
        """`parallel`, for that is what it is."""
        return "parallel"


def fan_out(
    left: WorkflowPrimitive[Any, Any], right: WorkflowPrimitive[Any, Any]
) -> FanOut[Any, Any]:
    """Put two primitives side by side: what `|` makes.

    Only an unnamed left operand that an operator built is extended; everything else nests, so an
    operand never changes what it means.
    """
    steps: tuple[WorkflowPrimitive[Any, Any], ...] = (left,)
    if type(left) is FanOut and left._name is None:
        steps = left.nodes
    made: FanOut[Any, Any] = _new(FanOut)
    made._steps = (*steps, right)
    return made


Parallel = ParallelPrimitive
