"""`ParallelPrimitive`: several steps on one input, at once.

The overloads outnumber the code: the result's type follows from the container and the policy, and
checkers find it only if each combination is spelled out.
"""

# One run has a class of its own, which reads the options of the primitive.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import copy_context
from functools import cache
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import (
    Composite,
    Run,
    as_primitive,
    check_concurrency,
    check_name,
    is_count,
    nested_awaitable,
    path_safe,
)
from tta_dev_primitives.errors import CompositionError, ConfigurationError, QuorumError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from contextvars import Context

    from tta_dev_primitives.core.base import AsyncStep, SyncStep, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.crew import Crew
    from tta_dev_primitives.core.outcome import Outcome

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
        race = _Race(self, context)
        if engine.listening is None:
            await race.run(input_data, self.calls, race.branch)
            if race.failure is None:
                return race.take_result()
            raise race.take_failure()
        with Run(self, context, site) as run:
            await race.run(input_data, run.calls, race.watched_by(run))
            if race.failure is None:
                return race.take_result()
            raise race.take_failure()


@cache
def _crew_class() -> type[Crew]:
    """Return what starts and awaits the branches."""
    from tta_dev_primitives.core.crew import Crew  # noqa: PLC0415 - with the first fan-out

    return Crew


class _Race:
    """One run of a Parallel: what each branch gave, and when that is enough."""

    __slots__ = (
        "context",
        "crew",
        "done",
        "errors",
        "failure",
        "frame",
        "owner",
        "result",
        "results",
        "running",
        "sites",
        "starting",
        "todo",
    )

    def __init__(self, owner: ParallelPrimitive[Any, Any], context: WorkflowContext) -> None:
        self.owner = owner
        self.context = context
        self.crew = _crew_class()()
        self.results: list[Any] = [_NOT_DONE] * len(owner.nodes)
        self.errors: list[tuple[int, Exception]] = []
        self.done = 0
        self.result: Any = None
        self.failure: Exception | None = None
        self.sites: tuple[engine.Site, ...] = ()
        self.frame: engine.Frame | None = None
        self.todo: Iterator[tuple[int, Any]] = iter(())
        self.running = 0
        self.starting = False

    async def run(
        self,
        input_data: Any,
        calls: tuple[Callable[[WorkflowContext, Any], Awaitable[Any]], ...],
        branch: Callable[[int, Any, Any], Coroutine[Any, Any, None]],
    ) -> None:
        """Start the branches, wait for all, and let the policy decide: `result` or `failure`."""
        crew, limit = self.crew, self.owner._limit
        try:
            if limit is None or limit >= len(calls):
                for index, call in enumerate(calls):
                    crew.start(branch(index, call, input_data))
                    if crew.stopping:
                        break
            else:
                self.todo = iter(enumerate(calls))
                self._fill(branch, input_data, copy_context())
        except BaseException as error:  # noqa: BLE001 - a task that could not be started
            crew.escape(error)  # raised by `drain`, once those that run are done
        await crew.drain()
        self._decide()
        self.errors = []  # as they are handed over, lest they tie a cycle

    def watched_by(self, run: Run) -> Callable[[int, Any, Any], Coroutine[Any, Any, None]]:
        """Return what runs a branch for whoever listens to `run`."""
        self.frame = run.frame
        if run.frame is not None:
            return self.framed_branch
        if run.site is not None:
            self.sites = run.site.open(self.owner)
            return self.counted_branch
        return self.branch

    def take_result(self) -> Any:
        """Hand over the result; the frames of an error among it hold this object."""
        result, self.result = self.result, None
        return result

    def take_failure(self) -> Exception:
        """Hand over the error to raise; to keep it would tie it and its traceback into a cycle."""
        failure, self.failure = self.failure, None
        return cast("Exception", failure)

    def _fill(self, branch: Any, input_data: Any, variables: Context) -> None:
        """Start branches while there is room; each that ends makes room for another."""
        if self.starting:  # a branch that ended while it was started: the loop below goes on
            return

        async def relay(index: int, call: Any) -> None:
            await branch(index, call, input_data)
            self.running -= 1
            self._fill(branch, input_data, variables)

        self.starting = True
        try:
            while self.running < (self.owner._limit or 1) and not self.crew.stopping:
                following = next(self.todo, None)
                if following is None:
                    return
                self.running += 1
                # Each branch sees the variables as they were when the call began, not those that
                # an earlier branch left behind.
                self.crew.start(relay(*following), variables.copy())
        finally:
            self.starting = False

    async def branch(self, index: int, call: Any, input_data: Any) -> None:
        """Run one branch where nobody listens."""
        try:
            result = await call(self.context, input_data)
        except BaseException as error:  # noqa: BLE001 - the policy decides
            self.failed(index, error)
        else:
            self.succeeded(index, result)

    async def counted_branch(self, index: int, call: Any, input_data: Any) -> None:
        """Run one branch where only the recorder listens."""
        site = self.sites[index]
        started = clock.now()
        try:
            result = await call(self.context, input_data)
        except BaseException as error:  # noqa: BLE001 - the policy decides
            site.failed(clock.now() - started, error)
            self.failed(index, error)
        else:
            site.took(clock.now() - started)
            self.succeeded(index, result)

    async def framed_branch(self, index: int, call: Any, input_data: Any) -> None:
        """Run one branch in a frame of its own."""
        frame = cast("engine.Frame", self.frame).branch(index)
        engine.current.set(frame)  # in this task's own variables: nothing to reset
        try:
            result = await engine.observe(frame, index, call, self.context, input_data)
        except BaseException as error:  # noqa: BLE001 - the policy decides
            self.failed(index, error)
        else:
            self.succeeded(index, result)

    def succeeded(self, index: int, result: Any) -> None:
        """Take a branch's result."""
        if result.__class__ is CoroutineType:
            self.failed(index, nested_awaitable(self.owner.nodes[index].name, result))
            return
        self.results[index] = result
        self.done += 1
        policy = self.owner._policy
        if (policy == "first_success") or (policy == "quorum" and self.done == self.owner._quorum):
            self.crew.stop()

    def failed(self, index: int, error: BaseException) -> None:
        """Take a branch's error."""
        if not isinstance(error, Exception):
            self.crew.escape(error)
            return
        engine.hide_frame(error)  # that of the branch
        notes.locate(error, self.owner, index, self.context)
        self.errors.append((index, error))
        policy = self.owner._policy
        if policy == "fail_fast" or (
            policy == "quorum" and len(self.results) - len(self.errors) < self.owner._quorum
        ):
            self.crew.stop()

    def _decide(self) -> None:
        owner, results, errors = self.owner, self.results, self.errors
        policy = owner._policy
        if policy == "fail_fast":
            if errors:
                self.failure = self._first_error()
            elif owner._keys is not None:
                self.result = dict(zip(owner._keys, results, strict=True))
            else:
                self.result = tuple(results) if owner._as_tuple else results
            return
        errors.sort(key=_by_index)
        if policy == "collect":
            self.result = self._outcomes()
            return
        succeeded = [result for result in results if result is not _NOT_DONE]
        if policy == "quorum":
            if len(succeeded) >= owner._quorum:
                self.result = succeeded[: owner._quorum]
            else:
                self.failure = self._no_quorum(len(succeeded))
        elif succeeded:
            self.result = succeeded[0]
        else:
            message = f"all {len(results)} branches of {owner.name!r} failed"
            self.failure = ExceptionGroup(message, [error for _, error in errors])

    def _first_error(self) -> Exception:
        """Return the error that came first; later ones, of branches cut short, as its notes."""
        (_, first), *later = self.errors
        for index, error in later:
            notes.remark(
                first,
                f"branch {self.owner.segments[index]!r} failed too, while it was being "
                f"cancelled: {notes.shown_error(error)}",
            )
        return first

    def _outcomes(self) -> Any:
        from tta_dev_primitives.core.outcome import Outcome  # noqa: PLC0415 - only where asked for

        failed = dict(self.errors)
        outcomes: list[Outcome[Any]] = [
            Outcome(error=failed[index]) if index in failed else Outcome(value=result)
            for index, result in enumerate(self.results)
        ]
        if self.owner._keys is not None:
            return dict(zip(self.owner._keys, outcomes, strict=True))
        return outcomes

    def _no_quorum(self, succeeded: int) -> QuorumError:
        owner, causes = self.owner, tuple(error for _, error in self.errors)
        told = "; ".join(
            f"{owner.segments[index]}: {notes.shown_error(error)}" for index, error in self.errors
        )
        message = (
            f"{owner.name!r} needs {owner._quorum} of {len(self.results)} branches, but "
            f"{len(causes)} failed: {told}"
        )
        return QuorumError(message, required=owner._quorum, succeeded=succeeded, errors=causes)


_NOT_DONE: Any = type("_NotDone", (), {"__slots__": ()})()


def _by_index(failed: tuple[int, Exception]) -> int:
    return failed[0]


class FanOut(ParallelPrimitive[TIn, list[Each]]):
    """A fan-out that `|` made: another `|` adds a branch to it instead of nesting it."""

    @overload  # type: ignore[override]  # mypy: it extends where the base nests
    def __or__(self: FanOut[I, A], other: WorkflowPrimitive[I, B], /) -> FanOut[I, A | B]: ...
    @overload
    def __or__(self: FanOut[I, A], other: Callable[[I], Awaitable[B]], /) -> FanOut[I, A | B]: ...
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
    def __or__(self: FanOut[I, A], other: Callable[[], Awaitable[B]], /) -> FanOut[I, A | B]: ...
    @overload
    def __or__(self: FanOut[I, A], other: Callable[[], B], /) -> FanOut[I, A | B]: ...
    def __or__(self, other: Any, /) -> Any:
        """Add a branch."""
        return super().__or__(other)

    @overload  # type: ignore[override]  # mypy: it extends where the base nests
    def also(self: FanOut[I, A], other: WorkflowPrimitive[I, B], /) -> FanOut[I, A | B]: ...
    @overload
    def also(self: FanOut[I, A], other: Callable[[I], Awaitable[B]], /) -> FanOut[I, A | B]: ...
    @overload
    def also(self: FanOut[I, A], other: Callable[[I], B], /) -> FanOut[I, A | B]: ...
    @overload
    def also(
        self: FanOut[I, A], other: Callable[[WorkflowContext, I], Awaitable[B]], /
    ) -> FanOut[I, A | B]: ...
    @overload
    def also(
        self: FanOut[I, A], other: Callable[[WorkflowContext, I], B], /
    ) -> FanOut[I, A | B]: ...
    @overload
    def also(self: FanOut[I, A], other: Callable[[], Awaitable[B]], /) -> FanOut[I, A | B]: ...
    @overload
    def also(self: FanOut[I, A], other: Callable[[], B], /) -> FanOut[I, A | B]: ...
    def also(self, other: Any, /) -> Any:
        """Add a branch, as `|` does."""
        return super().also(other)

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
