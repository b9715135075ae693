"""What a `WorkflowTestCase` brings: virtual time, mocks, records, and no task left behind."""

import asyncio
import functools
import io
import unittest
from typing import assert_type

import pytest

from tta_dev_primitives.core import clock, engine
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.errors import ConfigurationError, PathError
from tta_dev_primitives.testing import MockPrimitive, VirtualTimeLoop, WorkflowTestCase


def search(query: str) -> list[str]:
    raise ConnectionError(query)


answer = step(search) >> len


def outcome(case: type[WorkflowTestCase]) -> unittest.TestResult:
    """Run all tests of a case as unittest does."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite)


def problem(case: type[WorkflowTestCase]) -> str:
    """Run a case of one test that must go wrong, and return what is reported."""
    result = outcome(case)
    assert not result.wasSuccessful()
    return "\n".join(text for _, text in result.errors + result.failures)


class TestAnswer(WorkflowTestCase):
    """Runs under pytest as it stands."""

    async def asyncSetUp(self) -> None:
        await asyncio.sleep(100)

    async def test_a_mock_stands_in_for_a_step(self) -> None:
        """`mock` gives the replaced workflow and the mock, the workflow's type intact."""
        workflow, found = self.mock(answer, "sequential/search", return_value=["a", "b"])
        assert_type(workflow, SequentialPrimitive[str, int])
        assert_type(found, MockPrimitive[object])
        assert await self.execute(workflow, "cats") == 2
        found.assert_called_once_with("cats")

    async def test_time_is_virtual_and_starts_at_zero(self) -> None:
        """A latency of an hour takes no hour; each test has a loop of its own."""
        workflow, _ = self.mock(answer, "sequential/search", return_value=[], latency=3600)
        assert clock.now() == 100
        await self.execute(workflow, "cats")
        assert asyncio.get_running_loop().time() == 3700

    async def test_records_tell_virtual_time(self) -> None:
        """`record` finds the record of a path."""
        workflow, _ = self.mock(answer, "sequential/search", return_value=[], latency=30)
        await self.execute(workflow, "cats")
        assert self.record("sequential/search").duration == 30
        assert [record.path for record in self.records] == [
            "sequential/search",
            "sequential/len",
            "sequential",
        ]

    async def test_a_missing_record_is_told_with_what_there_is(self) -> None:
        """The message lists the paths."""
        workflow, _ = self.mock(answer, "sequential/search", return_value=[])
        await self.execute(workflow, "cats")
        with pytest.raises(AssertionError, match=r"found 0; recorded:\n  sequential/search \(ok\)"):
            self.record("sequential/serach")

    async def test_a_context_may_be_given(self) -> None:
        """Else the run has a fresh one."""
        context = WorkflowContext(correlation_id="c-1")
        workflow, found = self.mock(answer, "sequential/search", return_value=[])
        await self.execute(workflow, "cats", context=context)
        await self.execute(workflow, "dogs")
        assert found.calls[0].context is context
        assert found.calls[1].context is not context

    async def test_time_can_be_advanced(self) -> None:
        """A background task comes as far as time goes."""
        workflow, found = self.mock(answer, "sequential/search", return_value=[], latency=10)
        task = asyncio.ensure_future(workflow.execute("cats"))
        await self.advance(9)
        assert found.calls[0].status == "running"
        await self.advance(1)
        assert found.calls[0].status == "ok"
        await task

    async def test_wrong_paths_and_options_are_errors(self) -> None:
        """They are those of `replace` and of the mock."""
        with pytest.raises(PathError):
            self.mock(answer, "sequential/serach")
        with pytest.raises(ConfigurationError):
            self.mock(answer, "sequential/search", return_value=1, side_effect=[2])

    def test_synchronous_tests_work_as_ever(self) -> None:
        """They may run a workflow by `run`, and its records are there."""
        workflow, _ = self.mock(answer, "sequential/search", return_value=["a"])
        assert workflow.run("cats") == 1
        assert self.record("sequential").status == "ok"


def test_a_task_that_the_run_leaves_fails_the_run() -> None:
    """The message names the task."""
    left: list[asyncio.Task[None]] = []

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            async def careless(value: int) -> int:
                left.append(asyncio.create_task(asyncio.sleep(10), name="left behind"))
                await asyncio.sleep(0)
                return value

            await self.execute(step(careless) >> str, 1)

        async def asyncTearDown(self) -> None:
            await asyncio.wait(left)

    assert "left behind: sleep waits in sleep" in problem(Case)


def test_a_task_that_the_test_leaves_fails_the_test() -> None:
    """It is looked for after the last clean-up."""

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            self.left = asyncio.create_task(asyncio.Event().wait(), name="left behind")

    assert "1 task(s) still run after the test:\n  left behind: " in problem(Case)


def test_a_clean_up_may_end_tasks() -> None:
    """What tear-down and clean-ups cancel is no leak."""

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            task = asyncio.create_task(asyncio.Event().wait())
            self.addAsyncCleanup(asyncio.wait, [task])
            self.addCleanup(task.cancel)

    assert outcome(Case).wasSuccessful()


def test_observers_are_put_back_after_each_test() -> None:
    """What a test installs, the next one does not hear."""

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            engine.add_observer(NullObserver())

    before = engine.observers(), engine.listening, clock.now
    assert outcome(Case).wasSuccessful()
    assert (engine.observers(), engine.listening, clock.now) == before


def test_a_deadlock_is_an_error_of_the_test() -> None:
    """It does not hang, and names the task."""

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            await asyncio.Event().wait()

    assert "waits in Event.wait" in problem(Case)


def test_the_loop_can_be_set_up_otherwise() -> None:
    """With other settings, or as an ordinary loop."""

    class Later(WorkflowTestCase):
        loop_factory = staticmethod(functools.partial(VirtualTimeLoop, start=50))

        async def test_it(self) -> None:
            assert clock.now() == 50

    class Real(WorkflowTestCase):
        loop_factory = asyncio.SelectorEventLoop

        async def test_it(self) -> None:
            assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
            await self.advance(0.001)

    assert outcome(Later).wasSuccessful()
    assert outcome(Real).wasSuccessful()


def test_debug_runs_the_test_and_lets_its_error_through() -> None:
    """As `unittest.TestCase.debug` does."""

    class Case(WorkflowTestCase):
        async def test_it(self) -> None:
            workflow, _ = self.mock(answer, "sequential/search", side_effect=OSError("down"))
            await self.execute(workflow, "cats")

    with pytest.raises(OSError, match="down"):
        Case("test_it").debug()
