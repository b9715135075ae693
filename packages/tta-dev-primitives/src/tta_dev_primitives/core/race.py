"""`Race`: one run of a Parallel, from the start of its branches to what its policy decides."""

# It reads the options of the primitive whose run it is.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.core import clock, engine, frames, notes
from tta_dev_primitives.core.base import nested_awaitable
from tta_dev_primitives.core.crew import Crew
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import QuorumError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.outcome import Outcome
    from tta_dev_primitives.core.parallel import ParallelPrimitive

__all__ = ("Race",)


class Race:
    """One run of a Parallel: what each branch gave, and when that is enough."""

    __slots__ = (
        "bearable",
        "context",
        "crew",
        "done",
        "enough",
        "errors",
        "failure",
        "frame",
        "owner",
        "result",
        "results",
        "sites",
    )

    sites: tuple[engine.Site, ...]  # where the recorder listens
    frame: frames.Frame  # where somebody else does

    def __init__(self, owner: ParallelPrimitive[Any, Any], context: WorkflowContext) -> None:
        branches = len(owner.nodes)
        policy = owner._policy
        self.owner: ParallelPrimitive[Any, Any] = owner
        self.context: WorkflowContext = context
        self.crew: Crew = Crew()
        self.results: list[Any] = [_NOT_DONE] * branches
        self.errors: list[tuple[int, Exception]] = []
        self.done: int = 0
        self.enough: int = owner._quorum if policy in _ENDS_EARLY else 0  # so many results end it
        self.bearable: int = 0 if policy == "fail_fast" else branches  # so many errors do not
        if policy == "quorum":
            self.bearable -= owner._quorum
        self.result: Any = None
        self.failure: Exception | None = None

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
                _Turns(self, limit, calls, branch, input_data).fill()
        except BaseException as error:  # noqa: BLE001 - a task that could not be started
            crew.escape(error)  # raised by `drain`, once those that run are done
            await crew.drain()
        if self.done + len(self.errors) < len(crew.tasks):  # not all ended while they were started
            await crew.drain()
        self._decide()
        self.errors = []  # as they are handed over, lest they tie a cycle

    def heard(self, site: engine.Site | None) -> Run:
        """Return what sees to whoever listens to this run."""
        return Run(self.owner, self.context, site)

    def watched_by(self, run: Run) -> Callable[[int, Any, Any], Coroutine[Any, Any, None]]:
        """Return what runs a branch for whoever listens to `run`."""
        if run.frame is not None:
            self.frame = run.frame
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
        frame = self.frame.branch(index)
        engine.current.set(frame)  # in this task's own variables: nothing to reset
        try:
            result = await frames.observe(frame, index, call, self.context, input_data)
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
        if self.done == self.enough:
            self.crew.stop()

    def failed(self, index: int, error: BaseException) -> None:
        """Take a branch's error."""
        if not isinstance(error, Exception):
            self.crew.escape(error)
            return
        engine.hide_frame(error)  # that of the branch
        notes.locate(error, self.owner, index, self.context)
        self.errors.append((index, error))
        if len(self.errors) > self.bearable:
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


class _Turns:
    """Lets a limited number of branches run at the same time: each that ends makes room."""

    __slots__ = (
        "branch",
        "input_data",
        "limit",
        "race",
        "running",
        "starting",
        "todo",
        "variables",
    )

    def __init__(
        self,
        race: Race,
        limit: int,
        calls: tuple[Any, ...],
        branch: Callable[[int, Any, Any], Coroutine[Any, Any, None]],
        input_data: Any,
    ) -> None:
        self.race = race
        self.limit = limit
        self.todo = iter(enumerate(calls))
        self.branch = branch
        self.input_data = input_data
        self.variables = copy_context()
        self.running = 0
        self.starting = False

    def fill(self) -> None:
        """Start branches while there is room."""
        if self.starting:  # a branch that ended while it was started: the loop below goes on
            return
        crew = self.race.crew
        self.starting = True
        try:
            while self.running < self.limit and not crew.stopping:
                following = next(self.todo, None)
                if following is None:
                    return
                self.running += 1
                # Each branch sees the variables as they were when the call began, not those that
                # an earlier branch left behind.
                crew.start(self._relay(*following), self.variables.copy())
        finally:
            self.starting = False

    async def _relay(self, index: int, call: Any) -> None:
        await self.branch(index, call, self.input_data)
        self.running -= 1
        self.fill()


_ENDS_EARLY = ("first_success", "quorum")
_NOT_DONE: Any = type("_NotDone", (), {"__slots__": ()})()


def _by_index(failed: tuple[int, Exception]) -> int:
    return failed[0]
