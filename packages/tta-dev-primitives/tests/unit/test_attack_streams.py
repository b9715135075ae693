"""Streams and threads handled roughly: abandoned, read twice, closed while read, raced."""

# What is done here is wrong on purpose, or has types that nobody would write down.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import Batch, Map, Parallel, StreamPrimitive, add_observer, in_thread, step
from tta_dev_primitives.core import engine
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tta_dev_primitives.core.record import Call, Record


class Recording:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.started_ids: list[int] = []
        self.ended_ids: list[int] = []

    def started(self, call: Call, /) -> None:
        """Keep the start."""
        self.started_ids.append(call.span_id)

    def ended(self, record: Record, /) -> None:
        """Keep the end."""
        self.ended_ids.append(record.span_id)


class Pieces:
    """An async iterator that is no generator, such as a client's answer."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.number = 0
        self.closed = 0

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> int:
        """Wait, then give the next number."""
        await asyncio.sleep(1)
        self.number += 1
        if self.number == self.fail_at:
            message = "line broke"
            raise OSError(message)
        return self.number

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


def test_a_source_that_is_no_generator_is_closed_by_error_and_by_cancellation() -> None:
    """A generator closes itself then; other iterators are told."""

    async def main() -> None:
        failing = Pieces(fail_at=2)
        with pytest.raises(OSError, match="line broke"):
            await StreamPrimitive(lambda _: failing).stream(1).collect()  # type: ignore[call-overload]
        assert failing.closed
        slow = Pieces()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await StreamPrimitive(lambda _: slow).stream(1).collect()  # type: ignore[call-overload]
        assert slow.closed

    run_virtual(main())


def test_a_second_reader_is_refused_and_the_first_reads_on() -> None:
    """Nor can the stream be closed under its reader."""
    closed: list[int] = []

    async def numbers(count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                await asyncio.sleep(1)
                yield number
        finally:
            closed.append(count)

    async def main() -> None:
        stream = StreamPrimitive(numbers).stream(3)
        reader = asyncio.ensure_future(stream.collect())
        await asyncio.sleep(0.5)
        with pytest.raises(RuntimeError, match="read by another task"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="read by another task"):
            await stream.aclose()
        assert await reader == [0, 1, 2]
        await stream.aclose()
        assert closed == [3]

    run_virtual(main())


def test_a_source_that_ignores_its_closing_does_not_keep_the_ones_before_it_open() -> None:
    """Python says what is wrong with it."""
    first = Pieces()

    async def ignores(items: Any) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                continue

    async def main() -> None:
        from tta_dev_primitives import Stream

        generator = ignores(first)
        stream = Stream(generator, before=first)
        await anext(stream)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            await stream.aclose()
        assert first.closed == 1

    # Python complains once more when it frees the generator.
    with _quiet():
        run_virtual(main())


class _quiet:  # noqa: N801 - reads as a function
    """Let nothing be printed for a generator that cannot be freed."""

    def __enter__(self) -> None:
        self.hook, sys.unraisablehook = sys.unraisablehook, lambda _: None

    def __exit__(self, *_: object) -> None:
        gc.collect()
        sys.unraisablehook = self.hook


async def test_a_stream_that_is_dropped_ends_its_records() -> None:
    """At once, while the loop closes the generator soon."""
    recording = Recording()
    add_observer(recording)
    opened: list[int] = []

    async def numbers(count: int) -> AsyncIterator[int]:
        opened.append(1)
        try:
            for number in range(count):
                yield number
        finally:
            opened.clear()

    for workflow in (StreamPrimitive(numbers), step(lambda n: n) >> numbers >> Map(str)):
        stream = await workflow.execute(3)
        await anext(stream)
        del stream
        for _ in range(5):
            await asyncio.sleep(0)
        assert not opened
        assert sorted(recording.started_ids) == sorted(recording.ended_ids)


# --- threads and loops ----------------------------------------------------------------------------


async def _same(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("mode", ["bare", "counted", "framed"])
def test_one_workflow_runs_in_eight_threads_at_once(mode: str) -> None:
    """Each with its own loop, none with the result or the records of another."""
    recording = Recording()
    if mode == "bare":
        engine.install_defaults()
    elif mode == "framed":
        add_observer(recording)
    workflow = step(_same) >> (step(_same) | str) >> Batch(_same) >> in_thread(list)
    workflow.run(0)  # imports are done here: a thread that waits for one counts as blocking
    together = threading.Barrier(8)
    results: dict[int, set[str]] = {}

    def work(number: int) -> None:
        together.wait()
        results[number] = {str(workflow.run(number)) for _ in range(20)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: {str([n, str(n)])} for n in range(8)}
    assert len(set(recording.ended_ids)) == len(recording.ended_ids)
    assert sorted(recording.started_ids) == sorted(recording.ended_ids)


def test_first_runs_that_race_install_the_defaults_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of them runs unobserved, nor takes the recorder away again."""
    installed: list[int] = []
    real = engine._install_defaults or engine._ask_package

    def install() -> None:
        installed.append(1)
        pause.wait(0.01)
        real()

    pause = threading.Event()
    seen: list[engine.Listening | None] = []
    for _ in range(5):
        installed.clear()
        seen.clear()
        monkeypatch.setattr(engine, "_recorder", None)
        monkeypatch.setattr(engine, "_install_defaults", install)
        monkeypatch.setattr(engine, "listening", engine._PENDING)
        together = threading.Barrier(8)

        def work(together: threading.Barrier = together) -> None:
            together.wait()
            seen.append(engine.state_for_run(engine._PENDING))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert installed == [1]
        assert len(set(map(id, seen))) == 1
        assert seen[0] is not None
        assert seen[0].recorder is not None


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", ["plain", "old factory", "factory", "eager factory"])
def test_any_task_factory_will_do(kind: str, debug: bool) -> None:  # noqa: FBT001
    """Also one that knows nothing of context variables; also in asyncio's debug mode."""

    def old(loop: asyncio.AbstractEventLoop, work: Any) -> asyncio.Task[Any]:
        return asyncio.Task(work, loop=loop)

    def new(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(work, loop=loop, **options)

    factory: Any = {
        "plain": None,
        "old factory": old,
        "factory": new,
        "eager factory": getattr(asyncio, "eager_task_factory", new),
    }[kind]

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        assert await Parallel([_same, len, _same]).execute("x") == ["x", 1, "x"]
        assert await Parallel([_same, len], max_concurrency=1).execute("x") == ["x", 1]
        assert await Batch(_same).execute(range(20)) == list(range(20))
        with pytest.raises(TypeError):
            await Parallel([_same, abs]).execute("x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Parallel([_same, lambda _: asyncio.sleep(9)]).execute("x")

    asyncio.run(main(), debug=debug)


async def test_a_task_that_cannot_be_started_leaves_no_sibling() -> None:
    """The factory's error arrives once those that run have ended."""
    loop = asyncio.get_running_loop()
    made = 0
    before = asyncio.all_tasks()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        if made > 1:
            work.close()
            raise MemoryError
        return asyncio.Task(work, loop=loop, **options)

    for workflow in (
        Parallel([asyncio.sleep] * 3),
        Parallel([asyncio.sleep] * 3, max_concurrency=2),
    ):
        made = 0
        loop.set_task_factory(factory)
        try:
            with pytest.raises(MemoryError):
                await workflow.execute(9)
        finally:
            loop.set_task_factory(None)
        assert asyncio.all_tasks() == before


async def test_an_error_of_the_last_branch_ends_the_first_at_once() -> None:
    """Of any class: no branch waits for one that nobody will wake."""
    for error in (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt):

        async def fails(_: Any, error: type[BaseException] = error) -> None:
            await asyncio.sleep(0)
            raise error

        async def waits(_: Any) -> None:
            await asyncio.Event().wait()

        with pytest.raises(error):
            await Parallel([waits, fails], on_error="collect").execute(1)
