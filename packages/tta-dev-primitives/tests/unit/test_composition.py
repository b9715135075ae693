"""Steps are composed with `>>`, `|`, `then` and `also`, from primitives and from any callable."""

# Lambdas at an operator and in `step` have no types for pyright, by design; here they are tested.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import operator
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import (
    Parallel,
    ParallelPrimitive,
    Sequential,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    in_thread,
    step,
)
from tta_dev_primitives.core.base import Composite
from tta_dev_primitives.errors import (
    CompositionError,
    ConfigurationError,
    NestedAwaitableError,
    NestedRunError,
    PathError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def add(amount: int) -> Any:
    """Return a step that adds."""

    async def plus(value: int) -> int:
        return value + amount

    return plus


def tree(amounts: list[int], shape: st.DataObject) -> WorkflowPrimitive[int, int]:
    """Chain steps in an arbitrary grouping."""
    if len(amounts) == 1:
        return step(add(amounts[0]))
    cut = shape.draw(st.integers(1, len(amounts) - 1))
    return tree(amounts[:cut], shape) >> tree(amounts[cut:], shape)


@given(st.lists(st.integers(), min_size=1, max_size=12), st.data(), st.integers())
def test_however_a_chain_is_grouped_it_gives_the_same_result_and_is_flat(
    amounts: list[int], shape: st.DataObject, start: int
) -> None:
    """`a >> (b >> c)` equals `(a >> b) >> c`."""
    workflow = tree(amounts, shape)
    assert workflow.run(start) == start + sum(amounts)
    assert len(workflow.nodes) == (len(amounts) if len(amounts) > 1 else 0)


@given(st.lists(st.integers(), min_size=2, max_size=12), st.integers())
def test_a_fan_out_gives_its_results_in_the_order_of_its_branches(
    amounts: list[int], start: int
) -> None:
    """`a | b | c` is one flat fan-out."""
    workflow = functools.reduce(operator.or_, [step(add(amount)) for amount in amounts])
    assert workflow.run(start) == [start + amount for amount in amounts]
    assert len(workflow.nodes) == len(amounts)
    assert isinstance(workflow, ParallelPrimitive)


def test_composing_changes_no_operand() -> None:
    """A workflow may be used in several others."""
    shared = step(add(1)) >> add(2)
    first, second = shared >> add(10), shared >> add(20)
    pair = shared | shared
    assert (shared.run(0), first.run(0), second.run(0), pair.run(0)) == (3, 13, 23, [3, 3])
    assert [len(w.nodes) for w in (shared, first, second)] == [2, 3, 3]
    wider = pair | add(5)
    assert (len(pair.nodes), len(wider.nodes)) == (2, 3)


def test_a_right_operand_and_a_configured_fan_out_nest() -> None:
    """Only what `|` built, unnamed and on the left, is extended."""
    one, two, three = step(add(1)), step(add(2)), step(add(3))
    assert (one | (two | three)).run(0) == [1, [2, 3]]
    assert (Parallel([one, two]) | three).run(0) == [[1, 2], 3]
    assert ((one | two).named("pair") | three).run(0) == [[1, 2], 3]


def test_a_named_chain_inside_a_chain_keeps_its_level() -> None:
    """`>>` flattens plain chains; a name makes a chain a thing of its own."""
    inner = (step(add(1)) >> add(2)).named("inner")
    outer = inner >> add(3)
    assert list(outer.children) == ["inner", "plus"]
    assert outer.run(0) == 6


def test_functions_stand_on_either_side_of_an_operator() -> None:
    """A primitive on one side is enough."""
    assert (add(1) >> step(add(2))).run(0) == 3
    assert (add(1) | step(add(2))).run(0) == [1, 2]
    assert (step(add(1)) >> str).run(0) == "1"
    assert step(add(1)).then(lambda n: n * 2).also(str).run(1) == [4, "1"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda value: value + 1, 2),
        (
            lambda context, value: (type(context).__mro__[-2].__name__, value),
            ("WorkflowContext", 1),
        ),
        (lambda: 7, 7),
        (int, 1),
        (str, "1"),
        (functools.partial(operator.add, 4), 5),
        (lambda value, factor=3: value * factor, 3),
        (lambda *values: values, (1,)),
        ((1).__add__, 2),
    ],
    ids=["input", "both", "none", "class", "text", "partial", "default", "star", "method"],
)
def test_callables_are_called_by_their_required_parameters(function: Any, expected: object) -> None:
    """None, the input, or the context and the input."""
    assert step(function).run(1) == expected
    assert (step(add(0)) >> function).run(1) == expected


def test_a_lone_parameter_annotated_as_context_gets_the_context() -> None:
    """So does one that is merely called `context`."""

    def annotated(run: WorkflowContext) -> str:
        return run.correlation_id

    named: Any = lambda context: context.correlation_id  # noqa: E731 - no annotation, on purpose
    context = WorkflowContext(correlation_id="req-1")
    untyped: Any = step(annotated)
    assert untyped.run(context, 0) == "req-1"
    assert step(named).run(context, 0) == "req-1"


class Adder:
    """Callable objects are steps too."""

    async def __call__(self, value: int) -> int:
        """Add one, asynchronously."""
        return value + 1

    def method(self, context: WorkflowContext, value: int) -> int:
        """Bound methods lose `self`."""
        return value + len(context.data)


def test_callable_objects_and_bound_methods_are_steps() -> None:
    """With or without `async`."""
    assert (step(Adder()) >> Adder().method).run(1) == 2
    assert step(Adder()).name == "adder"


@pytest.mark.parametrize(
    ("culprit", "told"),
    [
        (5, "not 5 (int)"),
        (None, "not None (NoneType)"),
        ([len], "use Parallel"),
        ("text", "not 'text' (str)"),
        (lambda data, ctx: data, "takes the context first: (ctx, data)"),
        (lambda a, b, c: a, "needs 3 arguments (a, b, c)"),
        (functools.partial(print), None),
        (lambda value, *, key: value, "keyword argument key"),
    ],
    ids=["int", "None", "list", "str", "swapped", "three", "partial", "keyword"],
)
def test_what_is_no_step_is_refused_with_its_name_and_place(culprit: Any, told: str | None) -> None:
    """The error tells which operand or which element, and what to do."""
    if told is None:
        assert step(culprit).run("") is None
        return
    with pytest.raises(CompositionError) as operand:
        _ = step(add(1)) >> culprit
    assert told in str(operand.value)
    assert "right operand of >>" in str(operand.value)
    with pytest.raises(CompositionError, match=r"step 2 of Sequential"):
        Sequential([add(1), culprit])


def test_a_coroutine_instead_of_a_function_is_refused_and_closed() -> None:
    """Nothing is left that was never awaited."""
    with pytest.raises(CompositionError, match="without calling it"):
        _ = step(add(1)) >> add(2)(3)


@pytest.mark.parametrize("kind", [Sequential, Parallel])
def test_an_empty_composite_is_refused(kind: Any) -> None:
    """A run of nothing is not a pass."""
    with pytest.raises(CompositionError, match="at least one"):
        kind([])
    with pytest.raises(CompositionError, match="list"):
        kind("ab")


def test_annotated_types_that_cannot_fit_are_refused_when_composed() -> None:
    """Not only by the type checker."""

    def to_text(value: int) -> str:
        return str(value)

    def total(values: list[int]) -> int:
        return sum(values)

    def wide(value: object) -> float:
        return 1.0

    def count(value: float) -> int:
        return 1

    with pytest.raises(CompositionError, match=r"'to_text' gives str, but 'total' takes list"):
        _ = step(to_text) >> total  # pyright: ignore[reportOperatorIssue] - that is the point
    with pytest.raises(CompositionError, match="cannot be chained"):
        Sequential([to_text, total])
    assert (step(to_text) >> wide >> count >> count).run(1) == 1


def calls_of(work: Callable[[], object]) -> int:
    """Count the function calls, of Python and of C, that `work` makes."""
    count = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_chain_of_ten_thousand_builds_in_linear_time_and_runs() -> None:
    """Each link costs the same number of calls, and nothing recurses."""

    def build(length: int) -> Any:
        one: WorkflowPrimitive[int, int] = step(add(1))
        workflow: Any = one
        for _ in range(length - 1):
            workflow = workflow >> one
        assert len(workflow.nodes) == length
        return workflow

    short, long = calls_of(lambda: build(1_000)), calls_of(lambda: build(10_000))
    assert long == pytest.approx(10 * short, rel=0.02)
    assert build(10_000).run(0) == 10_000


def test_deeply_nested_groups_flatten_without_recursion() -> None:
    """Right-nested chains are as deep as they are long."""
    workflow: Any = step(add(1)) >> add(1)
    for _ in range(5_000):
        workflow = step(add(1)) >> workflow
    assert workflow.run(0) == 5_002


def test_a_composite_that_contains_itself_is_refused() -> None:
    """The path at which it is met again is told."""

    class Builder(Composite[int, int]):
        async def _execute_impl(self, context: Any, input_data: int, site: Any = None) -> int:
            return await self.calls[0](context, input_data)

    builder = Builder()
    builder._steps = (  # pyright: ignore[reportPrivateUsage] - no public way makes a cycle
        step(add(1)),
        Sequential([add(1), builder], name="outer"),
    )
    with pytest.raises(CompositionError, match="contains itself, at builder/outer/builder"):
        builder.run(1)


# --- running --------------------------------------------------------------------------------------


async def test_execute_takes_the_input_or_the_context_and_the_input() -> None:
    """Both forms of the specification, also by keyword."""
    workflow = step(lambda context, value: (context.data.get("k"), value)) >> tuple
    context = WorkflowContext(data={"k": 1})
    assert await workflow.execute(5) == (None, 5)
    assert await workflow.execute(context, 5) == (1, 5)
    assert await workflow.execute(context=context, input_data=5) == (1, 5)
    assert await workflow.execute(input_data=5) == (None, 5)
    assert await step(add(1)).execute(input_data=5) == 6


@pytest.mark.parametrize("workflow", [step(add(1)), step(add(1)) >> add(2)], ids=["leaf", "chain"])
async def test_swapped_or_missing_arguments_are_named(workflow: Any) -> None:
    """The error says which order is right."""
    with pytest.raises(TypeError, match=r"wrong order.*execute\(context, input_data\)"):
        await workflow.execute(1, WorkflowContext())
    with pytest.raises(TypeError, match="as its context"):
        await workflow.execute(1, 2)
    with pytest.raises(TypeError, match="but no input"):
        await workflow.execute(WorkflowContext())
    with pytest.raises(TypeError, match="needs the input"):
        await workflow.execute()


async def test_run_inside_a_loop_says_to_await() -> None:
    """It cannot wait without blocking the loop that it waits for."""
    with pytest.raises(NestedRunError, match=r"await plus.execute"):
        step(add(1)).run(1)


def test_run_keeps_one_loop_per_thread_between_calls() -> None:
    """A client that a step opened in one call still works in the next."""
    import asyncio

    async def loop_of(_: object) -> object:
        return asyncio.get_running_loop()

    assert step(loop_of).run(0) is step(loop_of).run(0)


def synchronous(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """Return a function that is not async, but returns what an async one does."""
    return lambda value: function(value)  # noqa: PLW0108 - the function itself is async


async def forgot() -> int:
    """Give a number, when awaited."""
    return 1


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize(
    "build",
    [
        step,
        lambda wrong: step(add(0)) >> wrong,
        lambda wrong: step(add(0)) >> wrong >> add(1),
        lambda wrong: Parallel([wrong, add(1)]),
        lambda wrong: Sequential([synchronous(wrong)]),
    ],
    ids=["alone", "last", "between", "branch", "synchronous"],
)
def test_a_forgotten_await_inside_a_step_names_the_step(build: Any, observed: bool) -> None:  # noqa: FBT001
    """An awaitable inside an awaitable is an error, and nothing is left unawaited."""
    from tta_dev_primitives.core import engine

    async def wrong(_: object) -> Any:
        return forgot()

    if not observed:
        engine.install_defaults()
    with pytest.raises(NestedAwaitableError, match=r"missing `await`"):
        build(wrong).run(0)


def test_a_synchronous_function_that_returns_an_awaitable_is_awaited() -> None:
    """Such as a lambda that calls an async function."""
    assert step(synchronous(add(1))).run(1) == 2
    assert (step(add(0)) >> synchronous(add(1))).run(1) == 2


def test_in_thread_runs_elsewhere_with_the_context_variables() -> None:
    """And refuses what is asynchronous already."""
    import contextvars
    import threading

    variable = contextvars.ContextVar("variable", default="unset")

    def work(value: int) -> tuple[int, str, bool]:
        return value, variable.get(), threading.current_thread() is threading.main_thread()

    async def prepare(value: int) -> int:
        variable.set("set")
        return value

    assert (step(prepare) >> in_thread(work)).run(1) == (1, "set", False)
    with pytest.raises(CompositionError, match="synchronous"):
        in_thread(add(1))


class Custom(WorkflowPrimitive[str, dict[str, str]]):
    """A primitive by subclassing, with no constructor of its own."""

    async def _execute_impl(self, context: Any, input_data: str) -> dict[str, str]:
        return {"result": input_data}


class Own(WorkflowPrimitive[int, int]):
    """One that overrides `execute` itself."""

    async def execute(self, context: Any, input_data: Any = None) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - as a careless author would
        """Answer."""
        return 42


class Twice(SequentialPrimitive[int, int]):
    """A subclass of a composite that does its own thing."""

    async def _execute_impl(self, context: WorkflowContext, input_data: int) -> int:
        return 2 * await self.nodes[0].execute(context, input_data)


def test_subclasses_work_alone_and_in_a_workflow() -> None:
    """Whatever they override is what runs."""
    assert Custom().run("x") == {"result": "x"}
    assert (Custom() >> len).run("x") == 1
    assert (step(add(1)) >> Own()).run(1) == 42
    assert Twice([add(1)]).run(1) == 4
    assert (step(add(0)) >> Twice([add(1)]).named("twice")).run(1) == 4


def test_a_subclass_without_an_implementation_says_so() -> None:
    """When it runs: abstract bases may exist."""

    class Empty(WorkflowPrimitive[int, int]):
        pass

    with pytest.raises(ConfigurationError, match="defines no `async def _execute_impl"):
        Empty().run(1)


# --- names, paths, replacing ---------------------------------------------------------------------


def test_names_come_from_functions_and_classes() -> None:
    """In snake case, without `Primitive`."""
    assert [step(add(1)).name, step(str.upper).name, step(lambda x: x).name] == [
        "plus",
        "upper",
        "lambda",
    ]
    assert [Custom().name, (step(add(1)) >> add(1)).name, (step(add(1)) | add(1)).name] == [
        "custom",
        "sequential",
        "parallel",
    ]


@pytest.mark.parametrize("name", ["", "a/b", "a[0]", 5, None])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: Any) -> None:
    """Empty, no text, or with the characters that paths use."""
    with pytest.raises(ConfigurationError, match="name"):
        step(add(1)).named(name)


def test_siblings_of_one_name_are_numbered() -> None:
    """Others are not."""
    workflow = (step(add(1)) >> str >> len >> add(2)).named("flow")
    assert [path for path, _ in workflow.walk()] == [
        "flow",
        "flow/plus[0]",
        "flow/str",
        "flow/len",
        "flow/plus[1]",
    ]


def test_keys_are_path_segments() -> None:
    """Percent-encoded where they must be."""
    workflow = Parallel({"a": add(1), "b/c": add(2)}, name="fan")
    assert list(workflow.children) == ["a", "b%2Fc"]
    assert workflow.find("fan/b%2Fc").run(0) == 2
    assert workflow.run(0) == {"a": 1, "b/c": 2}


def test_any_node_is_replaced_by_path_and_the_original_stays() -> None:
    """For a test, types intact."""
    inner = Parallel({"left": add(1), "right": add(2)}, name="fan")
    workflow = (step(add(0)) >> inner >> dict).named("flow")
    replaced = workflow.replace("flow/fan/right", lambda _: 99)
    assert replaced.run(1) == {"left": 2, "right": 99}
    assert workflow.run(1) == {"left": 2, "right": 3}
    assert [path for path, _ in replaced.walk()] == [path for path, _ in workflow.walk()]
    assert type(replaced) is type(workflow)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("other", "the workflow is called 'flow'"),
        ("flow/x", "inside 'flow' stands plus, str"),
        ("flow/str/x", "inside 'flow/str' stands nothing"),
        ("", "the workflow is called 'flow'"),
    ],
)
def test_a_path_where_nothing_stands_is_answered_by_what_does(path: str, told: str) -> None:
    """In `find` and in `replace`."""
    workflow = (step(add(0)) >> str).named("flow")
    with pytest.raises(PathError, match=told):
        workflow.find(path)
    with pytest.raises(PathError, match=told):
        workflow.replace(path, add(1))


def test_the_workflow_itself_cannot_be_replaced_inside_itself() -> None:
    """There would be nothing left to hold it."""
    with pytest.raises(PathError, match="the workflow itself"):
        step(add(1)).named("flow").replace("flow", add(2))


def test_a_replacement_must_fit() -> None:
    """As any step must."""

    def to_text(value: int) -> str:
        return str(value)

    def length(value: str) -> int:
        return len(value)

    def broken(value: int) -> bytes:
        return b""

    with pytest.raises(CompositionError, match="cannot be chained"):
        (step(to_text) >> length).named("flow").replace("flow/to_text", broken)


def test_the_loop_of_a_thread_ends_with_the_thread() -> None:
    """No socket stays open."""
    import asyncio
    import threading

    loops: list[asyncio.AbstractEventLoop] = []

    async def keep(_: object) -> None:
        loops.append(asyncio.get_running_loop())

    thread = threading.Thread(target=lambda: step(keep).run(0))
    thread.start()
    thread.join()
    assert loops[0].is_closed()


def test_a_loop_that_was_closed_between_two_calls_is_replaced() -> None:
    """`run` does not fail on a loop that somebody else has closed."""
    import asyncio

    async def loop_of(_: object) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    first = step(loop_of).run(0)
    first.close()
    second = step(loop_of).run(0)
    assert second is not first
    assert not second.is_closed()
