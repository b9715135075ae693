"""A call that is cancelled at any moment ends at once, whole, and leaves nothing behind.

Every workflow below is run again and again; the n-th run is cancelled before the n-th callback of
the loop, so each place where a call can be cut is cut once, in each of the three ways to run.
"""

# What is done here is wrong on purpose, or has types that nobody would write down.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import (
    Aggregate,
    Assign,
    Batch,
    Conditional,
    Filter,
    Loop,
    Map,
    Parallel,
    Router,
    Sequential,
    StreamPrimitive,
    Switch,
    add_observer,
    step,
)
from tta_dev_primitives.core import engine
from tta_dev_primitives.testing import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tta_dev_primitives.core.record import Call, Record

MODES = ["bare", "counted", "framed"]


class Stepwise(VirtualTimeLoop):
    """A loop that tells before each of its callbacks that it is about to run."""

    before: Callable[[], None] | None = None

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback that tells of itself first."""

        def told(*arguments: Any) -> None:
            if self.before is not None:
                self.before()
            callback(*arguments)

        return super().call_soon(told, *args, context=context)


class Recording:
    """An observer that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Call]] = []

    def started(self, call: Call, /) -> None:
        """Keep the start."""
        self.told.append(("started", call))

    def ended(self, record: Record, /) -> None:
        """Keep the end."""
        self.told.append(("ended", record))

    def check(self) -> None:
        """Check that each start has one end, and that children live within their parents."""
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        parents: dict[int, int] = {}
        for position, (what, call) in enumerate(self.told):
            seen = starts if what == "started" else ends
            assert call.span_id not in seen, f"{what} twice: {call.path}"
            seen[call.span_id] = position
            parents[call.span_id] = call.parent_span_id
        assert starts.keys() == ends.keys()
        for span, parent in parents.items():
            assert starts[span] < ends[span]
            if parent:
                assert starts[parent] < starts[span]
                assert ends[span] < ends[parent]
        self.told.clear()


opened: Counter[str] = Counter()
"""What user code holds open; all zero when nothing is left."""


async def work(value: Any) -> Any:
    """Wait twice, with something open that takes a turn to close."""
    opened["work"] += 1
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(1)
    finally:
        try:
            await asyncio.sleep(0)
        finally:
            opened["work"] -= 1
    return value


async def quick(value: Any) -> Any:
    """Wait for nothing."""
    return value


async def fails(value: Any) -> Any:
    """Wait, and fail."""
    await asyncio.sleep(0.5)
    raise ValueError(value)


async def items(value: Any) -> AsyncIterator[Any]:
    """Yield three items, with waits between them."""
    opened["items"] += 1
    try:
        for number in range(3):
            await asyncio.sleep(0.1)
            yield number
    finally:
        try:
            await asyncio.sleep(0)
        finally:
            opened["items"] -= 1


def whole(stage: Any) -> Any:
    """Read what a stage streams."""
    return StreamPrimitive(items) >> stage >> Aggregate(list)


async def reads(value: Any) -> Any:
    """Read a stream of its own within a step."""
    async with (StreamPrimitive(items) >> Map(work)).stream(value) as stream:
        return [item async for item in stream]


WORKFLOWS: dict[str, Any] = {
    "leaf": step(work),
    "chain": step(work) >> quick >> work,
    "context chain": step(work) >> (lambda context, value: value) >> work,
    "fan-out": step(work) | quick | work,
    "limited": Parallel([work, quick, quick, work], max_concurrency=1),
    "fail fast": Parallel([work, fails, quick]),
    "collect": Parallel([work, fails, quick], on_error="collect"),
    "first": Parallel([fails, work, work], on_error="first_success"),
    "quorum": Parallel([work, fails, work, quick], quorum=2),
    "no quorum": Parallel([work, fails, fails], quorum=3),
    "conditional": Conditional(work, step(work) >> work, quick),
    "switch": Switch(work, {1: work}),
    "router": Router({"x": work}, selector=lambda _: "x"),
    "loop": Loop(work, until=lambda _: False, max_iterations=2, on_limit="return"),
    "batch": step(lambda _: range(4)) >> Batch(work, max_concurrency=2),
    "streamed batch": Sequential([items, Batch(work, max_concurrency=2)]),
    "failing batch": step(lambda _: range(4)) >> Batch(fails, max_concurrency=2),
    "collecting batch": step(lambda _: range(3)) >> Batch(fails, on_error="collect"),
    "assign": step(lambda value: {"v": value}) >> Assign(a=work, b=quick),
    "stream": whole(Map(work)),
    "filtered stream": whole(Filter(lambda n: n != 1)),
    "stream in branches": Parallel([reads, whole(Map(quick))]),
    "nested": Parallel([Sequential([work, Parallel([work, quick], quorum=1)], name="s"), work]),
}


def listen(mode: str) -> Recording | None:
    """Run as with nobody, the default recorder, or an observer listening."""
    if mode == "bare":
        engine.install_defaults()
    elif mode == "framed":
        recording = Recording()
        add_observer(recording)
        return recording
    return None


class Cutter:
    """Runs a workflow in one task and cancels that at given moments."""

    def __init__(self, loop: Stepwise, workflow: Any) -> None:
        self.loop = loop
        self.workflow = workflow
        self.variables: list[Any] = []

    async def main(self) -> Any:
        """Run the workflow, and tell what the caller sees afterwards."""
        try:
            return await self.workflow.execute(1)
        finally:
            self.variables.append(engine.current.get())

    async def cut(self, *moments: int) -> tuple[asyncio.Task[Any], int]:
        """Run, cancelling before the given callbacks; return the task and how many cuts came."""
        passed = cuts = 0
        task: asyncio.Task[Any] = self.loop.create_task(self.main())

        def before() -> None:
            nonlocal passed, cuts
            if not task.done() and passed in moments and task.cancel():
                cuts += 1
            passed += 1

        self.loop.before = before
        await asyncio.wait([task])
        self.loop.before = None
        assert task.cancelled() or isinstance(task.exception(), (Exception, type(None)))
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"left a task, cut at {moments}"
        assert not +opened, f"{opened} left open, cut at {moments}"
        assert self.variables in ([], [None])
        self.variables.clear()
        return task, cuts


def stepwise(main: Callable[[Stepwise], Any]) -> None:
    """Run on a stepwise loop."""
    loop = Stepwise()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main(loop))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_call_cancelled_at_any_moment_is_cancelled_and_leaves_nothing(
    name: str, mode: str
) -> None:
    """The caller gets `CancelledError`, never a result or another error."""
    recording = listen(mode)

    async def main(loop: Stepwise) -> None:
        cutter = Cutter(loop, WORKFLOWS[name])
        moment = 0
        for moment in range(10_000):
            task, cuts = await cutter.cut(moment)
            if recording is not None:
                recording.check()
            if not cuts:
                break
            assert task.cancelled(), f"cut at {moment}: {task!r}"
        assert moment >= 3

    stepwise(main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["nested", "failing batch", "stream in branches", "quorum"])
def test_a_call_cancelled_again_while_it_ends_leaves_nothing_either(name: str, mode: str) -> None:
    """A second cancellation may cut what a step closes, but not what we close."""
    recording = listen(mode)

    async def patient(value: Any) -> Any:
        try:
            return await WORKFLOWS[name].execute(value)
        finally:
            assert {t for t in asyncio.all_tasks() if not t.done()} <= outer

    outer: set[Any] = set()

    async def main(loop: Stepwise) -> None:
        cutter = Cutter(loop, step(patient) >> quick)
        for moment in range(1, 10_000):
            cuts = 0
            for later in range(1, 8):
                opened.clear()
                outer.clear()
                outer.update(asyncio.all_tasks())
                passed = 0
                task = loop.create_task(cutter.main())
                outer.add(task)
                cuts = 0

                def before(task: Any = task, at: Any = (moment, moment + later)) -> None:
                    nonlocal passed, cuts
                    if passed in at and not task.done():
                        cuts += task.cancel()
                    passed += 1

                loop.before = before
                await asyncio.wait([task])
                loop.before = None
                assert task.cancelled() or isinstance(task.exception(), (Exception, type(None)))
                assert asyncio.all_tasks() == {asyncio.current_task()}
                if recording is not None:
                    recording.check()
                assert task.cancelled() or not cuts
            if not cuts:
                break

    stepwise(main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_deadline_at_any_moment_is_a_timeout(name: str, mode: str) -> None:
    """`asyncio.timeout` finds its own cancellation, and the task group goes on."""
    listen(mode)

    async def main(loop: Stepwise) -> None:
        for tenths in range(25):
            task = asyncio.current_task()
            assert task is not None
            try:
                async with asyncio.timeout(tenths / 10), asyncio.TaskGroup() as group:
                    group.create_task(WORKFLOWS[name].execute(1))
                    await WORKFLOWS[name].execute(1)
            except TimeoutError:
                pass
            except (ExceptionGroup, ValueError, RuntimeError):
                pass  # the workflow's own, which came first
            assert task.cancelling() == 0
            assert asyncio.all_tasks() == {task}
            assert not +opened

    stepwise(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_step_that_cancels_its_own_caller_is_obeyed(mode: str) -> None:
    """Before it waits for anything, which on newer Pythons is while it is being started."""
    listen(mode)

    async def main(_: Stepwise) -> None:
        for build in (
            lambda stop: Parallel([work, stop, work]),
            lambda stop: Parallel([work, stop, work], on_error="collect", max_concurrency=2),
            lambda stop: step(lambda _: range(5)) >> Batch(stop, max_concurrency=2),
            lambda stop: step(quick) >> stop >> work,
        ):

            async def stop(value: Any) -> Any:
                task.cancel()  # noqa: B023 - of this turn: it ends before the next
                await asyncio.sleep(0)
                return value

            task = asyncio.ensure_future(build(stop).execute(1))
            await asyncio.wait([task])
            assert task.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not +opened

    stepwise(main)


@pytest.mark.parametrize("escape", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_is_raised_once_the_siblings_have_ended(
    escape: type[BaseException], mode: str
) -> None:
    """It does not end the loop with them still running, nor is it an outcome."""
    recording = listen(mode)

    async def interrupted(value: Any) -> Any:
        raise escape

    async def late(value: Any) -> Any:
        await asyncio.sleep(0.1)
        raise escape

    async def main(_: Stepwise) -> None:
        for branch in (interrupted, late):
            for workflow in (
                Parallel([work, branch, work]),
                Parallel([work, branch, work], on_error="collect", max_concurrency=2),
                step(lambda _: range(5)) >> Batch(branch, max_concurrency=2, on_error="collect"),
            ):
                with pytest.raises(escape):
                    await workflow.execute(1)
                assert asyncio.all_tasks() == {asyncio.current_task()}
                assert not +opened
                if recording is not None:
                    recording.check()

    stepwise(main)


def test_closing_a_call_that_was_never_finished_raises_nothing() -> None:
    """Not even from another context, as when a loop is dropped with calls under way."""
    add_observer(Recording())

    async def waits(value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    for workflow in (step(waits), step(waits) >> waits, Loop(waits, until=bool, max_iterations=1)):
        call = workflow.execute(1)
        contextvars.copy_context().run(call.send, None)
        call.close()
        assert engine.current.get() is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [None, 2])
def test_all_branches_are_cancelled_at_once_and_may_close_in_peace(
    mode: str, limit: int | None
) -> None:
    """None runs on while another closes, and a second cancellation does not cut the closing."""
    listen(mode)
    told: list[tuple[str, float]] = []

    async def branch(_: Any) -> None:
        now = asyncio.get_running_loop().time
        try:
            await asyncio.sleep(100)
        finally:
            told.append(("cancelled", now()))
            await asyncio.sleep(5)
            told.append(("closed", now()))

    async def main(loop: Stepwise) -> None:
        for workflow in (
            Parallel([branch, branch, branch], max_concurrency=limit),
            step(lambda _: range(3)) >> Batch(branch, max_concurrency=limit or 3),
        ):
            told.clear()
            began = loop.time()
            task = asyncio.ensure_future(workflow.execute(1))
            for _ in range(3):
                await asyncio.sleep(1)
                task.cancel()
            await asyncio.wait([task])
            running = limit or 3
            assert task.cancelled()
            assert told == [("cancelled", began + 1)] * running + [("closed", began + 6)] * running

    stepwise(main)
