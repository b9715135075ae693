"""`WorkflowTestCase`: tests of workflows in the form of `unittest`, in virtual time."""

from __future__ import annotations

import asyncio
import sys
import unittest
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.observability.tracing import collect_records
from tta_dev_primitives.testing.effects import NOT_GIVEN
from tta_dev_primitives.testing.leaks import LeakedTaskError, describe_tasks, no_leaked_tasks
from tta_dev_primitives.testing.mocks import MockPrimitive
from tta_dev_primitives.testing.observing import preserved_observers
from tta_dev_primitives.testing.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.testing.effects import Latency

__all__ = ("LoopFactory", "WorkflowTestCase")

In = TypeVar("In")
Out = TypeVar("Out")
LoopFactory: TypeAlias = "type[asyncio.AbstractEventLoop] | staticmethod[..., VirtualTimeLoop]"
W = TypeVar("W", bound="WorkflowPrimitive[Any, Any]")


class WorkflowTestCase(unittest.IsolatedAsyncioTestCase):
    """A test case whose tests run in virtual time, with mocks and records at hand.

    Each test runs on a loop of its own, from 0 virtual seconds. What it changes about observers is
    put back when it has ended. A task that still runs after the last clean-up fails the test.

    Example:
        >>> from tta_dev_primitives import step
        >>> async def search(query: str) -> list[str]:
        ...     raise ConnectionError("no network in tests")
        >>> answer = step(search) >> len
        >>> class AnswerTest(WorkflowTestCase):
        ...     async def test_counts_what_was_found(self) -> None:
        ...         workflow, found = self.mock(
        ...             answer, "sequential/search", return_value=["a page"], latency=30
        ...         )
        ...         self.assertEqual(await self.execute(workflow, "cats"), 1)
        ...         found.assert_called_once_with("cats")
        ...         self.assertEqual(self.record("sequential/search").duration, 30)
        >>> outcome = AnswerTest("test_counts_what_was_found").run()
        >>> outcome.wasSuccessful()
        True
    """

    loop_factory: ClassVar[LoopFactory] = VirtualTimeLoop
    """Makes the loop of each test; for other settings,
    `staticmethod(partial(VirtualTimeLoop, ...))`."""

    _records: list[Record] | None = None

    async def execute(
        self,
        workflow: WorkflowPrimitive[In, Out],
        input_data: In,
        *,
        context: WorkflowContext | None = None,
    ) -> Out:
        """Run a workflow, and fail if it leaves a task behind.

        Args:
            workflow: The workflow.
            input_data: Its input.
            context: The run's context. Default: a fresh one.

        Returns:
            What the workflow returns.

        Raises:
            LeakedTaskError: A task that the run started still runs.
        """
        with no_leaked_tasks():
            return await workflow.execute(context or WorkflowContext(), input_data)

    def mock(
        self,
        workflow: W,
        path: str,
        *,
        return_value: object = NOT_GIVEN,
        side_effect: object = None,
        latency: Latency = 0.0,
    ) -> tuple[W, MockPrimitive[object]]:
        """Return a copy of a workflow with a mock in one place, and the mock.

        Args:
            workflow: The workflow; it stays as it is.
            path: The place, as `workflow.walk()` spells it.
            return_value: As for `MockPrimitive`.
            side_effect: As for `MockPrimitive`.
            latency: As for `MockPrimitive`.

        Raises:
            PathError: Nothing stands at the path.
            ConfigurationError: The options contradict each other.
        """
        options: dict[str, Any] = {"side_effect": side_effect, "latency": latency}
        if return_value is not NOT_GIVEN:
            options["return_value"] = return_value
        mock: MockPrimitive[object] = MockPrimitive(**options)
        return workflow.replace(path, mock), mock

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, as `VirtualTimeLoop.advance` does.

        Args:
            seconds: How far, zero or more.
        """
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            await loop.advance(seconds)
        else:  # another `loop_factory` was chosen
            await asyncio.sleep(seconds)

    @property
    def records(self) -> tuple[Record, ...]:
        """The record of every call that has ended in this test, children before parents."""
        return tuple(self._records or ())

    def record(self, path: str) -> Record:
        """Return the one record of a path.

        Raises:
            AssertionError: There is none or more than one; the message lists what there is.
        """
        found = [record for record in self.records if record.path == path]
        if len(found) != 1:
            paths = "".join(f"\n  {record.path} ({record.status})" for record in self.records)
            message = f"expected one record of {path!r}, found {len(found)}; recorded:{paths}"
            raise self.failureException(message)
        return found[0]

    # --- how unittest runs it ---------------------------------------------------------------

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test; called by unittest."""
        with preserved_observers(), collect_records() as self._records:
            self.addAsyncCleanup(self._find_leaks)  # the first to be added is the last to run
            return super().run(result)

    def debug(self) -> None:
        """Run the test without collecting its result; called by debuggers."""
        with preserved_observers(), collect_records() as self._records:
            self.addAsyncCleanup(self._find_leaks)
            try:
                super().debug()
            finally:
                # After an error unittest leaves the loop open until the test is garbage.
                runner: asyncio.Runner | None = getattr(self, "_asyncioRunner", None)
                setattr(self, "_asyncioRunner", None)  # noqa: B010 - unittest's own, unknown to checkers
                if runner is not None:
                    runner.close()

    async def _find_leaks(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            message = f"{len(left)} task(s) still run after the test:\n{describe_tasks(left)}"
            raise LeakedTaskError(message)

    if sys.version_info < (3, 13):  # where unittest does not ask for `loop_factory`

        def _setupAsyncioRunner(self) -> None:  # noqa: N802 - unittest's own name
            self._asyncioRunner = asyncio.Runner(debug=True, loop_factory=self.loop_factory)
