"""What virtual time promises: nothing waits, everything happens in its order, nothing hangs."""

import asyncio
import concurrent.futures
import functools
import math
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.errors import ConfigurationError, NestedRunError
from tta_dev_primitives.testing import (
    DeadlockError,
    RealTimeLimitError,
    VirtualTimeLoop,
    run_virtual,
)
from tta_dev_primitives.testing.session import VirtualTime


def now() -> float:
    return asyncio.get_running_loop().time()


def loop() -> VirtualTimeLoop:
    return cast("VirtualTimeLoop", asyncio.get_running_loop())


@contextmanager
def taking_less_than(seconds: float) -> Generator[None]:
    """Generous bounds, to tell milliseconds from virtual hours."""
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < seconds


class TestSleeping:
    def test_an_hour_of_sleeps_takes_no_hour(self) -> None:
        """3,600 sleeps of a second end at 3,600 virtual seconds, in a moment."""

        async def main() -> float:
            for _ in range(3600):
                await asyncio.sleep(1)
            return now()

        with taking_less_than(10):
            assert run_virtual(main()) == 3600

    def test_time_starts_at_zero_or_where_told(self) -> None:
        """The first reading is 0, or `start`."""

        async def main() -> float:
            return now()

        assert run_virtual(main()) == 0
        assert run_virtual(main(), start=12.5) == 12.5

    def test_time_stands_still_while_code_runs(self) -> None:
        """However long a computation takes, no virtual time passes."""

        async def main() -> float:
            deadline = time.perf_counter() + 0.02
            while time.perf_counter() < deadline:  # noqa: ASYNC110 - it is real time that passes
                await asyncio.sleep(0)
            return now()

        assert run_virtual(main()) == 0

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
    def test_sleepers_wake_in_the_order_of_their_times(self, delays: list[float]) -> None:
        """Each wakes exactly at its own time, earlier ones first."""

        async def main() -> list[tuple[float, float]]:
            woken: list[tuple[float, float]] = []

            async def sleeper(delay: float) -> None:
                await asyncio.sleep(delay)
                woken.append((delay, now()))

            async with asyncio.TaskGroup() as group:
                for delay in delays:
                    group.create_task(sleeper(delay))
            return woken

        woken = run_virtual(main())
        assert [delay for delay, _ in woken] == pytest.approx(sorted(delays), abs=1e-8)
        assert all(at == pytest.approx(delay, abs=1e-8) for delay, at in woken)

    @pytest.mark.parametrize("start", [0.0, 1e7, 1e9, 1e12])
    def test_timers_fire_however_late_it_is(self, start: float) -> None:
        """Where a float can no longer tell nanoseconds, timers still fall due."""

        async def main() -> float:
            fired = asyncio.Event()
            loop().call_later(0, fired.set)
            await fired.wait()
            await asyncio.sleep(0.1)
            await asyncio.sleep(100)
            return now()

        assert run_virtual(main(), start=start, real_limit=5) == pytest.approx(start + 100.1)

    def test_ten_years_are_reached(self) -> None:
        """The loop is asked for a day at most; longer sleeps end all the same."""
        years = 10 * 365 * 86400.0
        assert run_virtual(asyncio.sleep(years, result="awake")) == "awake"

    def test_a_timer_cannot_be_set_for_nan(self) -> None:
        """NaN has no place in the order of timers."""

        async def main() -> None:
            loop().call_at(math.nan, print)

        with pytest.raises(ValueError, match="NaN"):
            run_virtual(main())

    def test_a_timer_that_never_comes_can_be_cancelled(self) -> None:
        """`call_later(inf)` gives a handle like any other."""

        async def main() -> bool:
            handle = loop().call_later(math.inf, print)
            handle.cancel()
            return handle.cancelled()

        assert run_virtual(main())


class TestStandardTools:
    def test_asyncio_timeout_fires_at_its_time(self) -> None:
        """`asyncio.timeout` counts virtual seconds."""

        async def main() -> float:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.sleep(10)
            return now()

        assert run_virtual(main()) == 5

    def test_wait_for_fires_at_its_time(self) -> None:
        """`asyncio.wait_for` counts virtual seconds."""

        async def main() -> float:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 7)
            return now()

        assert run_virtual(main()) == 7

    def test_a_task_group_takes_as_long_as_its_slowest_task(self) -> None:
        """Tasks sleep beside one another."""

        async def main() -> float:
            async with asyncio.TaskGroup() as group:
                for seconds in range(100):
                    group.create_task(asyncio.sleep(seconds))
            return now()

        assert run_virtual(main()) == 99

    def test_the_class_is_a_loop_factory(self) -> None:
        """`asyncio.Runner` takes it, plain or with arguments."""
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(asyncio.sleep(60))
            assert runner.get_loop().time() == 60
        with asyncio.Runner(loop_factory=functools.partial(VirtualTimeLoop, start=5)) as runner:
            assert runner.get_loop().time() == 5

    def test_what_the_coroutine_raises_arrives(self) -> None:
        """An exception passes through as itself."""

        async def main() -> None:
            await asyncio.sleep(1)
            message = "wrong"
            raise LookupError(message)

        with pytest.raises(LookupError, match="wrong"):
            run_virtual(main())

    def test_debug_mode_works(self) -> None:
        """Debug mode finds nothing slow where no time passes."""
        with asyncio.Runner(debug=True, loop_factory=VirtualTimeLoop) as runner:
            runner.run(asyncio.sleep(60))


class TestThreads:
    def test_time_waits_for_a_thread(self) -> None:
        """No timer overtakes a job in an executor."""

        async def main() -> tuple[list[str], float]:
            order: list[str] = []

            async def sleeper() -> None:
                await asyncio.sleep(0.001)
                order.append("sleeper")

            async with asyncio.TaskGroup() as group:
                group.create_task(sleeper())
                await asyncio.to_thread(time.sleep, 0.05)
                order.append("thread")
            return order, now()

        assert run_virtual(main()) == (["thread", "sleeper"], 0.001)

    def test_a_timeout_around_a_thread_counts_virtual_seconds(self) -> None:
        """A thread that takes real time takes no virtual time."""

        async def main() -> str:
            async with asyncio.timeout(0.001):
                return await asyncio.to_thread(lambda: time.sleep(0.05) or "done")

        assert run_virtual(main()) == "done"

    def test_a_pool_of_ones_own_is_waited_for_too(self) -> None:
        """`run_in_executor` with another executor counts as well."""

        async def main() -> float:
            job = loop().run_in_executor(pool, time.sleep, 0.05)
            await asyncio.wait([job], timeout=1)
            assert job.done()
            return now()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert run_virtual(main()) == 0

    def test_idle_threads_of_the_executor_hold_nothing_up(self) -> None:
        """After its jobs an executor keeps its threads; a thousand jumps pay nothing for them."""

        async def main() -> None:
            await asyncio.to_thread(int)
            for _ in range(1000):
                await asyncio.sleep(1)

        with taking_less_than(10):
            run_virtual(main())

    def test_a_thread_that_calls_back_is_heard(self) -> None:
        """A thread started by hand may wake a task that nothing else could wake."""
        threads: list[threading.Thread] = []

        async def main() -> bool:
            woken = asyncio.Event()
            loop_of_main = loop()

            def work() -> None:
                time.sleep(0.02)
                loop_of_main.call_soon_threadsafe(woken.set)

            threads.append(threading.Thread(target=work))
            threads[0].start()
            await woken.wait()
            return woken.is_set()

        assert run_virtual(main())
        threads[0].join()

    def test_a_stuck_thread_is_named(self) -> None:
        """A job that never ends is an error that names it, not a test that hangs."""
        release = threading.Event()

        def stuck() -> None:
            release.wait(60)

        async def main() -> None:
            try:
                await asyncio.to_thread(stuck)
            finally:
                release.set()
                # To end the thread takes as long as it takes.
                loop()._real_limit = 60.0  # pyright: ignore[reportPrivateUsage]

        with pytest.raises(RealTimeLimitError, match=r"in an executor: .*stuck"):
            run_virtual(main(), real_limit=0.1)

    def test_other_threads_keep_real_time(self) -> None:
        """A loop in another thread, and the engine's clock there, read real time."""

        async def elsewhere() -> float:
            before, real = clock.now(), time.perf_counter()
            assert abs(before - real) < 60
            await asyncio.sleep(0.01)
            return clock.now() - before

        async def main() -> float:
            await asyncio.sleep(1e6)
            return await asyncio.to_thread(lambda: asyncio.run(elsewhere()))

        assert 0.005 < run_virtual(main()) < 60


class TestSockets:
    def test_bytes_that_are_there_come_before_the_next_timer(self) -> None:
        """A conversation over a socket is not overtaken by a timeout."""

        async def main() -> tuple[bytes, float]:
            left, right = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=left)
            far_reader, far_writer = await asyncio.open_connection(sock=right)
            answer = b""
            async with asyncio.timeout(0.001):
                for _ in range(20):
                    writer.write(b"ping\n")
                    assert await far_reader.readline() == b"ping\n"
                    far_writer.write(b"pong\n")
                    answer = await reader.readline()
            for stream in (writer, far_writer):
                stream.close()
                await stream.wait_closed()
            return answer, now()

        assert run_virtual(main()) == (b"pong\n", 0)

    def test_a_peer_in_another_thread_has_a_little_real_time(self) -> None:
        """With `io_wait` longer than the peer takes, its answer comes before the timer."""
        left, right = socket.socketpair()

        def peer() -> None:
            time.sleep(0.02)
            right.sendall(b"late\n")

        thread = threading.Thread(target=peer)

        async def main() -> bytes:
            thread.start()
            reader, writer = await asyncio.open_connection(sock=left)
            async with asyncio.timeout(3600):
                line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

        with right:
            assert run_virtual(main(), io_wait=20) == b"late\n"
        thread.join()

    def test_a_silent_peer_is_overtaken_by_the_timer(self) -> None:
        """A timeout on a socket that stays silent fires, after `io_wait` real seconds."""

        async def main() -> float:
            left, right = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=left)
            with right, pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await reader.readline()
            writer.close()
            await writer.wait_closed()
            return now()

        assert run_virtual(main(), io_wait=0.01) == 30

    def test_waiting_for_a_socket_alone_is_bounded(self) -> None:
        """Without any timer a silent socket is waited for until the real limit."""

        async def main() -> None:
            left, right = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=left)
            try:
                with right:
                    await reader.readline()
            finally:
                writer.close()

        with pytest.raises(RealTimeLimitError, match=r"readuntil|_wait_for_data"):
            run_virtual(main(), real_limit=0.1)

    def test_a_subprocess_is_waited_for(self) -> None:
        """Its output arrives, though it takes real time."""

        async def main() -> bytes:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('hello')", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            return out.strip()

        assert run_virtual(main()) == b"hello"


class TestNothingHangs:
    def test_a_deadlock_names_every_task_and_its_place(self) -> None:
        """Where nothing can happen any more, the message says who waits, in what, and where."""

        async def consumer() -> None:
            await asyncio.Queue[int]().get()

        async def main() -> None:
            task = asyncio.create_task(consumer(), name="the consumer")
            await task

        with pytest.raises(DeadlockError) as caught:
            run_virtual(main())
        message = str(caught.value)
        assert "the consumer: " in message
        assert "waits in Queue.get at test_virtual_time.py:" in message
        assert "every task waits at 0 virtual seconds" in message

    def test_sleeping_forever_is_a_deadlock(self) -> None:
        """A sleep until infinity is no timer that will ever come."""
        with pytest.raises(DeadlockError, match="waits in sleep"):
            run_virtual(asyncio.sleep(math.inf))

    def test_a_deadlock_after_an_hour_tells_the_time(self) -> None:
        """The message says at which virtual second everything stopped."""

        async def main() -> None:
            await asyncio.sleep(3600)
            await asyncio.Event().wait()

        with pytest.raises(DeadlockError, match="3600 virtual seconds"):
            run_virtual(main())

    @pytest.mark.parametrize("pause", [0, 1])
    def test_an_endless_loop_is_bounded(self, pause: float) -> None:
        """A loop without an end stops at the real limit, whether virtual time passes or not."""

        async def main() -> None:
            while True:  # noqa: ASYNC110 - the endless loop itself
                await asyncio.sleep(pause)

        with taking_less_than(20), pytest.raises(RealTimeLimitError, match="real seconds"):
            run_virtual(main(), real_limit=0.1)

    def test_tasks_are_cancelled_and_cleaned_up_after_a_deadlock(self) -> None:
        """`finally` blocks run, and the loop is closed."""
        cleaned: list[str] = []

        async def main() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(10)
                cleaned.append("main")

        with pytest.raises(DeadlockError):
            run_virtual(main())
        assert cleaned == ["main"]

    def test_a_running_loop_is_refused(self) -> None:
        """Inside a running loop the error says to await, and the coroutine is closed."""

        async def main() -> None:
            run_virtual(asyncio.sleep(1))

        with pytest.raises(NestedRunError, match="await"):
            run_virtual(main())

    @pytest.mark.parametrize(
        "options",
        [{"start": -1}, {"start": math.nan}, {"io_wait": math.inf}, {"real_limit": -0.5}],
    )
    def test_bad_numbers_are_refused(self, options: dict[str, Any]) -> None:
        """The error names the option and the value."""
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            VirtualTimeLoop(**options)


class TestAdvance:
    def test_it_stops_between_two_timers(self) -> None:
        """All that falls due until then has happened, nothing later."""

        async def main() -> None:
            ticks: list[float] = []

            async def tick() -> None:
                while True:
                    await asyncio.sleep(1)
                    ticks.append(now())

            task = asyncio.create_task(tick())
            await loop().advance(3.5)
            assert (ticks, now()) == ([1, 2, 3], 3.5)
            await loop().advance(0.5)
            assert (ticks, now()) == ([1, 2, 3, 4], 4)
            task.cancel()

        run_virtual(main())

    def test_zero_lets_everything_ready_happen(self) -> None:
        """`advance(0)` returns when every other task waits."""

        async def main() -> int:
            count = 0

            async def busy() -> None:
                nonlocal count
                for _ in range(100):
                    await asyncio.sleep(0)
                    count += 1

            task = asyncio.create_task(busy())
            await loop().advance(0)
            await task
            return count

        assert run_virtual(main()) == 100

    def test_without_autojump_time_moves_only_so(self) -> None:
        """A sleep does not end by itself; an advance ends it at its own time."""

        async def main() -> None:
            task = asyncio.create_task(asyncio.sleep(10))
            await loop().advance(9)
            assert not task.done()
            await loop().advance(1)
            assert task.done()

        manual = functools.partial(VirtualTimeLoop, autojump=False)
        with asyncio.Runner(loop_factory=manual) as runner:
            runner.run(main())

    def test_without_autojump_a_forgotten_advance_is_an_error(self) -> None:
        """The message says when the next timer is and what moves time."""
        manual = functools.partial(VirtualTimeLoop, autojump=False)
        with (
            asyncio.Runner(loop_factory=manual) as runner,
            pytest.raises(DeadlockError, match=r"next timer is at 10 s .* advance\(\)"),
        ):
            runner.run(asyncio.sleep(10))

    def test_two_advances_at_once_each_stop_at_their_own_time(self) -> None:
        """The nearer one returns first."""

        async def main() -> list[float]:
            reached: list[float] = []

            async def go(seconds: float) -> None:
                await loop().advance(seconds)
                reached.append(now())

            await asyncio.gather(go(5), go(2))
            return reached

        assert run_virtual(main()) == [2, 5]

    def test_a_cancelled_advance_holds_nothing_up(self) -> None:
        """Time goes on past a target that nobody waits for."""

        async def main() -> float:
            task = asyncio.create_task(loop().advance(5))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(100)
            return now()

        assert run_virtual(main()) == 101

    @pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
    def test_it_goes_forward_only(self, seconds: float) -> None:
        """The error names the number."""

        async def main() -> None:
            await loop().advance(seconds)

        with pytest.raises(ConfigurationError, match="zero or more"):
            run_virtual(main())


class TestEngineClock:
    def test_the_engine_reads_virtual_time(self) -> None:
        """`core.clock` gives the running loop's reading."""

        async def main() -> tuple[float, float]:
            await asyncio.sleep(42)
            return clock.now(), now()

        assert run_virtual(main()) == (42, 42)

    def test_the_clock_is_real_again_afterwards(self) -> None:
        """Also after an error, and only when the last virtual loop has closed."""
        before = clock.now
        with pytest.raises(DeadlockError):
            run_virtual(asyncio.sleep(math.inf))
        assert clock.now is before
        first, second = VirtualTimeLoop(start=1), VirtualTimeLoop(start=2)
        assert clock.now() == 2
        second.close()
        assert clock.now() == 1
        first.close()
        assert clock.now is before

    def test_closing_twice_is_harmless(self) -> None:
        """A loop may be closed more than once."""
        before = clock.now
        one, other = VirtualTimeLoop(), VirtualTimeLoop()
        one.close()
        one.close()
        assert clock.now is not before
        other.close()
        assert clock.now is before

    def test_elapsed_time_in_error_notes_is_virtual(self) -> None:
        """An error after a minute of virtual time says so."""

        async def fail(value: int) -> int:
            await asyncio.sleep(60)
            raise ValueError(value)

        async def main() -> list[str]:
            with pytest.raises(ValueError, match="1") as caught:
                await (step(fail) >> str).execute(1)
            return caught.value.__notes__

        assert "after 60.000000 s" in run_virtual(main())[0]


class TestSession:
    def test_it_runs_one_coroutine_after_another(self) -> None:
        """Time goes on from run to run."""
        with VirtualTime() as session:
            assert session.run(asyncio.sleep(10, result="rested")) == "rested"
            session.run(asyncio.sleep(5))
            assert session.now == 15

    def test_tasks_go_on_while_time_advances(self) -> None:
        """A task that a run leaves behind lives on until the session ends."""
        events: list[str] = []

        async def background() -> None:
            try:
                await asyncio.sleep(5)
                events.append("woke")
                await asyncio.Event().wait()
            finally:
                events.append("cancelled")

        async def start() -> "asyncio.Task[None]":
            return asyncio.create_task(background())

        with VirtualTime() as session:
            task = session.run(start())
            session.advance(4)
            assert events == []
            session.advance(1)
            assert events == ["woke"]
        assert events == ["woke", "cancelled"]
        assert task.cancelled()

    def test_an_unused_session_closes_its_loop(self) -> None:
        """The clock is real again though nothing ran."""
        before = clock.now
        with VirtualTime():
            assert clock.now is not before
        assert clock.now is before

    def test_a_running_loop_is_refused(self) -> None:
        """In an async test the error names the marker."""

        async def main() -> None:
            session.run(asyncio.sleep(1))

        with VirtualTime() as session, pytest.raises(NestedRunError, match=r"mark\.virtual_time"):
            asyncio.run(main())
