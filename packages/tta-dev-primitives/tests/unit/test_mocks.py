"""What `MockPrimitive` does, remembers and asserts."""

import asyncio
import itertools
import math
import unittest.mock
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any, TypeAlias, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.sequential import Sequential, SequentialPrimitive
from tta_dev_primitives.errors import ConfigurationError, PathError
from tta_dev_primitives.testing import Mock, MockCall, MockPrimitive, run_virtual
from tta_dev_primitives.testing.effects import MockExhaustedError


async def called_with(mock: MockPrimitive[Any], *inputs: object) -> MockPrimitive[Any]:
    for one in inputs:
        await mock.execute(one)
    return mock


class TestAnswer:
    async def test_it_returns_what_it_is_told(self) -> None:
        """`return_value` comes back as itself, every time."""
        value = object()
        mock = MockPrimitive(return_value=value)
        assert await mock.execute(1) is value
        assert await mock.execute(2) is value

    async def test_it_returns_none_when_told_nothing(self) -> None:
        """Without options a mock returns None."""
        mock: MockPrimitive[None] = MockPrimitive()
        await mock.execute(1)
        assert mock.calls[0].status == "ok"
        assert mock.calls[0].result is None

    @pytest.mark.parametrize("error", [ValueError("wrong"), ValueError])
    async def test_it_raises_what_it_is_told(self, error: Any) -> None:
        """An instance is raised as itself, a class as a new instance."""
        mock = MockPrimitive(side_effect=error)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the identity is checked
            await mock.execute(1)
        assert caught.value is error or isinstance(error, type)

    async def test_an_instance_raised_often_has_a_short_traceback(self) -> None:
        """Tracebacks do not pile up from call to call."""
        error = ValueError("wrong")
        mock = MockPrimitive(side_effect=error)
        lengths: list[int] = []
        for _ in range(5):
            with pytest.raises(ValueError, match="wrong"):
                await mock.execute(1)
            trace, length = error.__traceback__, 0
            while trace is not None:
                trace, length = trace.tb_next, length + 1
            lengths.append(length)
        assert len(set(lengths)) == 1

    async def test_it_calls_a_function_as_a_step_is_called(self) -> None:
        """With the input; or the context and the input; synchronous or not."""

        async def with_context(context: WorkflowContext, value: int) -> str:
            return f"{context.correlation_id}:{value}"

        async def later(value: int) -> int:
            await asyncio.sleep(0)
            return value + 1

        context = WorkflowContext(correlation_id="c-1")
        assert await MockPrimitive(side_effect=lambda value: value * 2).execute(4) == 8
        assert await MockPrimitive(side_effect=lambda: "nothing").execute(4) == "nothing"
        assert await MockPrimitive(side_effect=later).execute(4) == 5
        assert await MockPrimitive(side_effect=with_context).execute(context, 4) == "c-1:4"

    async def test_a_lone_context_parameter_gets_the_context(self) -> None:
        """As for steps, the annotation or the name decides."""
        context = WorkflowContext(correlation_id="c-1")
        mock = MockPrimitive(side_effect=lambda context: context.correlation_id)
        assert await mock.execute(context, 1) == "c-1"

    async def test_a_mock_of_the_standard_library_is_a_function_too(self) -> None:
        """`unittest.mock.AsyncMock` may decide what is returned."""
        inner = unittest.mock.AsyncMock(return_value="page")
        assert await MockPrimitive(side_effect=inner).execute("cats") == "page"
        inner.assert_awaited_once_with("cats")

    async def test_items_are_given_one_for_each_call_and_exceptions_raised(self) -> None:
        """An iterable is a script of results and failures."""
        mock = MockPrimitive(side_effect=[1, ValueError("second"), KeyError, 4])
        assert await mock.execute(None) == 1
        with pytest.raises(ValueError, match="second"):
            await mock.execute(None)
        with pytest.raises(KeyError):
            await mock.execute(None)
        assert await mock.execute(None) == 4

    async def test_an_exhausted_script_is_a_clear_error_every_time(self) -> None:
        """The message counts the calls; a further call fails in the same way."""
        mock = MockPrimitive(side_effect=["only"])
        await mock.execute(None)
        for _ in range(2):
            with pytest.raises(MockExhaustedError, match=r"call 2 .* side_effect has only 1 item"):
                await mock.execute(None)

    async def test_a_script_may_be_endless(self) -> None:
        """A generator is read item by item."""
        mock = MockPrimitive(side_effect=itertools.count())
        assert [await mock.execute(None) for _ in range(3)] == [0, 1, 2]

    @given(st.lists(st.one_of(st.integers(), st.builds(ValueError, st.text())), max_size=20))
    def test_a_script_is_followed_to_the_letter(self, script: list[int | ValueError]) -> None:
        """Call i gives item i, returned or raised; the records say the same."""
        mock = MockPrimitive(side_effect=script)

        async def main() -> None:
            for item in script:
                if isinstance(item, ValueError):
                    with pytest.raises(ValueError) as caught:  # noqa: PT011 - identity is checked
                        await mock.execute(None)
                    assert caught.value is item
                else:
                    assert await mock.execute(None) == item

        run_virtual(main())
        assert [call.error or call.result for call in mock.calls] == [item or 0 for item in script]


class TestOptions:
    def test_a_result_and_a_side_effect_contradict(self) -> None:
        """The error shows both."""
        contradiction: dict[str, Any] = {"return_value": 1, "side_effect": [2]}
        with pytest.raises(ConfigurationError, match=r"return_value=1, side_effect=\[2\]"):
            MockPrimitive(**contradiction)

    def test_a_result_of_none_contradicts_too(self) -> None:
        """None is a result like any other."""
        contradiction: dict[str, Any] = {"return_value": None, "side_effect": [2]}
        with pytest.raises(ConfigurationError, match="return_value=None"):
            MockPrimitive(**contradiction)

    @pytest.mark.parametrize("odd", [5, "text", b"bytes"])
    def test_a_side_effect_of_no_known_kind_is_refused(self, odd: Any) -> None:
        """The error shows it and points to `return_value`."""
        with pytest.raises(ConfigurationError, match="a fixed result is return_value="):
            MockPrimitive(side_effect=odd)

    @pytest.mark.parametrize("odd", [-1, math.nan, "soon", object()])
    def test_a_latency_of_no_known_kind_is_refused(self, odd: Any) -> None:
        """A negative or missing number fails where the mock is made."""
        with pytest.raises(ConfigurationError, match="latency"):
            MockPrimitive(latency=odd)

    @pytest.mark.parametrize("odd", [-1, math.nan, "soon", None])
    @pytest.mark.parametrize("by", ["item", "function"])
    def test_a_bad_latency_of_one_call_fails_that_call(self, by: str, odd: Any) -> None:
        """The error shows the number, and the record has it."""
        mock = MockPrimitive(latency=[odd] if by == "item" else lambda _: odd)
        with pytest.raises(ConfigurationError, match="zero or more seconds"):
            run_virtual(mock.execute(1))
        assert mock.calls[0].status == "error"

    def test_a_name_must_fit_into_a_path(self) -> None:
        """As for every primitive."""
        with pytest.raises(ConfigurationError, match="a/b"):
            MockPrimitive("a/b")

    def test_unknown_options_are_errors(self) -> None:
        """A misspelt option is not swallowed."""
        misspelt: dict[str, Any] = {"returns": 1}
        with pytest.raises(TypeError, match="returns"):
            MockPrimitive(**misspelt)

    def test_the_short_name_is_the_same_class(self) -> None:
        """`Mock` is `MockPrimitive`."""
        assert Mock is MockPrimitive

    def test_types_follow_the_options(self) -> None:
        """The output type is that of the result, of the function or of the items."""
        assert_type(MockPrimitive(return_value=1), MockPrimitive[int])
        assert_type(MockPrimitive(side_effect=str.upper), MockPrimitive[str])
        items: list[int | ValueError] = []
        MockPrimitive(side_effect=items)
        assert_type(MockPrimitive(), MockPrimitive[None])


class TestLatency:
    @pytest.mark.parametrize(
        ("latency", "expected"),
        [(2, [2, 2, 2]), (float, [0, 1, 2]), ([3, 0, 1.5], [3, 0, 1.5])],
    )
    def test_each_call_takes_its_time(self, latency: Any, expected: list[float]) -> None:
        """A number, a function of the input, or one number for each call."""
        mock: MockPrimitive[None] = MockPrimitive(latency=latency)
        run_virtual(called_with(mock, 0, 1, 2))
        assert [call.ended - call.started for call in mock.calls if call.ended is not None] == (
            expected
        )

    def test_a_failing_call_takes_its_time_too(self) -> None:
        """The error comes after the latency."""

        async def main() -> float:
            with pytest.raises(ValueError, match="wrong"):
                await mock.execute(1)
            return asyncio.get_running_loop().time()

        mock = MockPrimitive(side_effect=ValueError("wrong"), latency=5)
        assert run_virtual(main()) == 5

    def test_latencies_that_are_used_up_are_a_clear_error(self) -> None:
        """As for results."""
        mock: MockPrimitive[None] = MockPrimitive(latency=[1])
        with pytest.raises(MockExhaustedError, match="latency has only 1 item"):
            run_virtual(called_with(mock, 1, 2))

    def test_an_infinite_latency_ends_by_a_timeout_only(self) -> None:
        """For tests of what waits for a step that hangs."""

        async def main() -> float:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await mock.execute(1)
            return asyncio.get_running_loop().time()

        mock: MockPrimitive[None] = MockPrimitive(latency=math.inf)
        assert run_virtual(main()) == 30
        assert mock.calls[0].status == "cancelled"

    def test_without_latency_the_loop_is_not_yielded_to(self) -> None:
        """Other tasks do not run in between, so a mock adds no order of its own."""
        order: list[str] = []

        async def other() -> None:
            order.append("other")

        async def main() -> None:
            task = asyncio.create_task(other())
            await MockPrimitive(return_value=1).execute(1)
            order.append("mock")
            await task

        run_virtual(main())
        assert order == ["mock", "other"]


class TestRecords:
    async def test_each_call_is_recorded(self) -> None:
        """Input, context, result and status, by identity."""
        context, given_input = WorkflowContext(), ["input"]
        mock = MockPrimitive(return_value="result")
        await mock.execute(context, given_input)
        (call,) = mock.calls
        assert call.input_data is given_input
        assert call.context is context
        assert (call.status, call.result, call.error) == ("ok", "result", None)
        assert call.ended is not None
        assert call.started <= call.ended

    async def test_records_are_frozen(self) -> None:
        """A test cannot change what it sees by accident."""
        mock = await called_with(MockPrimitive(return_value=1), 1)
        with pytest.raises(FrozenInstanceError):
            mock.calls[0].result = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

    async def test_a_failed_call_is_recorded_with_its_error(self) -> None:
        """The very exception."""
        error = ValueError("wrong")
        mock = MockPrimitive(side_effect=error)
        with pytest.raises(ValueError, match="wrong"):
            await mock.execute(1)
        assert (mock.calls[0].status, mock.calls[0].error) == ("error", error)

    async def test_a_cancelled_call_is_recorded_as_cancelled(self) -> None:
        """And the cancellation passes on."""
        mock: MockPrimitive[None] = MockPrimitive(latency=math.inf)
        task = asyncio.ensure_future(mock.execute(1))
        await asyncio.sleep(0)
        assert mock.calls[0].status == "running"
        assert mock.calls[0].ended is None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mock.calls[0].status == "cancelled"
        assert isinstance(mock.calls[0].error, asyncio.CancelledError)

    @given(st.lists(st.integers(0, 20), max_size=20), st.integers(1, 5))
    def test_the_most_calls_at_once_are_known(self, latencies: list[int], limit: int) -> None:
        """`max_concurrency` is the high-water mark, here of a semaphore."""
        mock: MockPrimitive[None] = MockPrimitive(latency=[*latencies, *[1] * limit])

        async def main() -> None:
            gate = asyncio.Semaphore(limit)

            async def one() -> None:
                async with gate:
                    await mock.execute(None)

            async with asyncio.TaskGroup() as group:
                for _ in range(len(latencies) + limit):
                    group.create_task(one())

        run_virtual(main())
        assert mock.max_concurrency <= limit
        if not latencies:
            assert mock.max_concurrency == limit

    async def test_reset_forgets_the_calls(self) -> None:
        """The script goes on where it stands."""
        mock = MockPrimitive(side_effect=[1, 2])
        await mock.execute("a")
        mock.reset_mock()
        assert (mock.called, mock.call_count, mock.calls, mock.max_concurrency) == (
            False,
            0,
            (),
            0,
        )
        assert await mock.execute("b") == 2
        assert mock.inputs == ("b",)

    async def test_a_reset_while_a_call_runs_forgets_that_call(self) -> None:
        """It does not come back when it ends."""
        mock: MockPrimitive[None] = MockPrimitive(latency=math.inf)
        task = asyncio.ensure_future(mock.execute(1))
        await asyncio.sleep(0)
        mock.reset_mock()
        task.cancel()
        await asyncio.wait([task])
        assert not mock.called


Assertion: TypeAlias = Callable[[MockPrimitive[Any]], None]

FAILURES: list[tuple[list[int], Assertion, str, str]] = [
    ([], lambda m: m.assert_called(), "at least one call", "no call"),
    ([1], lambda m: m.assert_not_called(), "no call", "1 call"),
    ([], lambda m: m.assert_called_once(), "exactly one call", "no call"),
    ([1, 2], lambda m: m.assert_called_once(), "exactly one call", "2 calls"),
    ([], lambda m: m.assert_called_with(7), "last call with 7", "no call"),
    ([7, 8], lambda m: m.assert_called_with(7), "last call with 7", "last call with 8"),
    ([8], lambda m: m.assert_called_once_with(7), "one call with 7", "one call with 8"),
    ([7, 7], lambda m: m.assert_called_once_with(7), "one call with 7", "2 calls"),
    ([1, 2], lambda m: m.assert_any_call(7), "a call with 7", "2 calls"),
    ([1, 2], lambda m: m.assert_has_calls([2, 1]), "[2, 1] in this order", "2 calls"),
    ([1, 5, 2], lambda m: m.assert_has_calls([1, 2]), "[1, 2] in this", "3 calls"),
    ([1], lambda m: m.assert_has_calls([1, 1], any_order=True), "[1, 1]", "with [1]"),
]


class TestAssertions:
    async def test_they_pass_where_they_hold(self) -> None:
        """Each with what it is for."""
        mock: MockPrimitive[None] = MockPrimitive()
        mock.assert_not_called()
        await mock.execute("a")
        mock.assert_called()
        mock.assert_called_once()
        mock.assert_called_with("a")
        mock.assert_called_once_with("a")
        await called_with(mock, "b", "c")
        mock.assert_called()
        mock.assert_called_with("c")
        mock.assert_any_call("b")
        mock.assert_has_calls(["a", "b"])
        mock.assert_has_calls(["b", "c"])
        mock.assert_has_calls([])
        mock.assert_has_calls(["c", "a"], any_order=True)
        mock.assert_called_with(unittest.mock.ANY)

    @pytest.mark.parametrize(("inputs", "assertion", "expected", "actual"), FAILURES)
    async def test_a_failure_shows_expected_actual_and_the_calls(
        self,
        inputs: list[int],
        assertion: Assertion,
        expected: str,
        actual: str,
    ) -> None:
        """One message that can be read at a glance."""
        mock = await called_with(MockPrimitive("search", return_value="page"), *inputs)
        with pytest.raises(AssertionError) as caught:
            assertion(mock)
        first, second, third, *rest = str(caught.value).splitlines()
        assert first == "mock 'search'"
        assert second.startswith("expected: ")
        assert expected in second
        assert third.startswith("  actual: ")
        assert actual in third
        assert rest[1:] == [f"  {i}. {one!r} -> 'page'" for i, one in enumerate(inputs, 1)]

    async def test_many_calls_are_cut_short(self) -> None:
        """Ten are shown, the rest is counted."""
        mock = await called_with(MockPrimitive(return_value=1), *range(25))
        with pytest.raises(AssertionError, match="… and 15 more"):
            mock.assert_not_called()

    async def test_failed_and_running_calls_are_shown_as_such(self) -> None:
        """What came of each call stands beside it."""
        mock = MockPrimitive(side_effect=[ValueError("wrong")])
        with pytest.raises(ValueError, match="wrong"):
            await mock.execute("a")
        with pytest.raises(AssertionError, match=r"1\. 'a' -> error ValueError\('wrong'\)"):
            mock.assert_not_called()

    def test_a_misspelt_assertion_is_an_error(self) -> None:
        """Unlike a bare `unittest.mock.Mock`, which accepts any name."""
        mock: Any = MockPrimitive()
        with pytest.raises(AttributeError):
            mock.assert_called_onec()


def search(query: str) -> list[str]:
    raise ConnectionError(query)


class TestInAWorkflow:
    async def test_it_takes_the_place_and_the_name_of_a_step(self) -> None:
        """The original stays, and the mock at hand sees the calls of its renamed copy."""
        workflow = step(search) >> len
        mock = MockPrimitive(return_value=["a", "b"])
        replaced = workflow.replace("sequential/search", mock)
        assert_type(replaced, SequentialPrimitive[str, int])
        assert await replaced.execute("cats") == 2
        mock.assert_called_once_with("cats")
        assert [path for path, _ in replaced.walk()][1] == "sequential/search"
        assert workflow.find("sequential/search") is not replaced.find("sequential/search")

    async def test_a_name_of_its_own_is_kept(self) -> None:
        """Paths then show the mock's name."""
        mock = MockPrimitive("fake", return_value=["a"])
        replaced = (step(search) >> len).replace("sequential/search", mock)
        assert await replaced.execute("cats") == 1
        assert replaced.find("sequential/fake") is mock

    async def test_it_fits_whatever_its_neighbours_annotate(self) -> None:
        """A step that returns a list may be replaced by one that fails."""
        mock = MockPrimitive(side_effect=ConnectionError("down"))
        replaced = (step(search) >> len).replace("sequential/search", mock)
        with pytest.raises(ConnectionError, match="down") as caught:
            await replaced.execute("cats")
        assert "sequential/search" in caught.value.__notes__[0]

    async def test_it_composes_with_operators(self) -> None:
        """A mock is a primitive."""
        first, second = MockPrimitive(return_value=2), MockPrimitive(side_effect=lambda v: v + 1)
        assert await (first >> second >> str).execute("x") == "3"
        first.assert_called_once_with("x")
        second.assert_called_once_with(2)

    async def test_one_mock_may_stand_in_several_places(self) -> None:
        """It sees the calls of all of them, in order."""
        mock = MockPrimitive(side_effect=lambda value: value + 1)
        assert await Sequential([mock, mock, mock]).execute(0) == 3
        assert mock.inputs == (0, 1, 2)

    async def test_the_context_of_the_run_is_seen(self) -> None:
        """All steps of a run share one context."""
        context = WorkflowContext()
        mock = MockPrimitive(return_value=["a"])
        await (step(search) >> len).replace("sequential/search", mock).execute(context, "cats")
        assert mock.calls[0].context is context

    def test_a_path_that_does_not_exist_is_told(self) -> None:
        """The error lists what there is."""
        with pytest.raises(PathError, match="search, len"):
            (step(search) >> len).replace("sequential/serach", MockPrimitive(return_value=1))

    def test_a_call_record_can_be_made_by_hand(self) -> None:
        """It is a plain record: equal when its fields are."""
        context = WorkflowContext()
        one: MockCall[int]
        one, other = (
            MockCall(
                input_data=1,
                context=context,
                status="ok",
                result=2,
                error=None,
                started=0.0,
                ended=1.0,
            )
            for _ in range(2)
        )
        assert one == other
