"""Conditional, Switch and Router run one of several steps; Loop runs one several times."""

# Lambdas at an operator and in `step` have no types for pyright, by design; here they are tested.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import (
    Assign,
    Conditional,
    Filter,
    Loop,
    Router,
    Switch,
    Validate,
    WorkflowContext,
    step,
)
from tta_dev_primitives.core.validate import input_schema, output_schema
from tta_dev_primitives.errors import (
    CompositionError,
    ConfigurationError,
    DataValidationError,
    LoopLimitError,
    RoutingError,
)


def short(data: str) -> bool:
    """Whether a text has fewer than three letters."""
    return len(data) < 3


def by_three(number: int) -> int:
    """Return what is left after dividing by three."""
    return number % 3


def above_five(number: int) -> bool:
    """Whether a number is larger than five."""
    return number > 5


def answer(name: str) -> Any:
    """Return a step that answers with its name."""

    async def route(value: Any) -> str:
        return name

    return route


@pytest.mark.parametrize(
    "condition",
    [
        lambda ctx, data: len(data) < 3,
        lambda data: len(data) < 3,
        step(short),
    ],
    ids=["both", "input", "primitive"],
)
def test_a_condition_sees_the_context_and_the_input(condition: Any) -> None:
    """In the order of the specification."""
    workflow = Conditional(condition, answer("short"), answer("long"))
    assert [workflow.run("ab"), workflow.run("abc")] == ["short", "long"]


def test_an_asynchronous_condition_is_awaited() -> None:
    """A coroutine alone would always be true."""

    async def never(value: object) -> bool:
        return False

    assert Conditional(never, answer("yes"), answer("no")).run(1) == "no"


def test_without_a_false_branch_the_input_passes_through() -> None:
    """Unchanged."""
    assert Conditional(above_five, str).run(3) == 3


def test_a_switch_runs_the_named_case_or_the_default() -> None:
    """Keys may be any hashable value."""
    workflow = Switch(by_three, {0: answer("none"), 1: answer("one")}, answer("more"))
    assert [workflow.run(n) for n in (3, 4, 5)] == ["none", "one", "more"]


@pytest.mark.parametrize("key", ["x", 9, [1]], ids=str)
def test_a_case_that_does_not_exist_is_named_with_those_that_do(key: Any) -> None:
    """Also when it cannot be a key at all."""
    with pytest.raises(RoutingError, match=r"no case .*; its cases are 'a', 'b'") as raised:
        Switch(lambda _: key, {"a": len, "b": len}).run("")
    assert (raised.value.selected, raised.value.routes) == (key, ("a", "b"))


ROUTES = {"fast": answer("fast"), "balanced": answer("balanced"), "quality": answer("quality")}
COSTS = {"fast": 1.0, "balanced": 3.0, "quality": 10.0}
make_router: Any = Router  # what it refuses, type checkers refuse as well
make_conditional: Any = Conditional


def test_the_tier_is_read_from_the_input_then_from_the_context() -> None:
    """A key or an attribute."""
    router = Router(ROUTES)
    context = WorkflowContext(data={"tier": "quality"})
    assert router.run({"tier": "balanced", "prompt": "…"}) == "balanced"
    assert router.run(SimpleNamespace(tier="fast")) == "fast"
    assert router.run(context, {"prompt": "…"}) == "quality"
    assert router.run(context, {"tier": "fast"}) == "fast"


def test_a_selector_decides_before_anything_else() -> None:
    """Synchronous or not, with the context or not."""

    async def select(context: WorkflowContext, data: Any) -> str:
        return str(context.data["want"])

    router = Router(ROUTES, selector=select, default_route="fast")
    assert router.run(WorkflowContext(data={"want": "quality"}), {"tier": "fast"}) == "quality"
    assert router.run(WorkflowContext(data={"want": "unknown"}), {}) == "fast"


@given(st.floats(0, 20), st.permutations(list(ROUTES)))
def test_with_a_budget_the_last_affordable_route_is_taken_and_charged(
    budget: float, order: list[str]
) -> None:
    """Whatever the order, nothing is spent that is not there."""
    router = Router({name: ROUTES[name] for name in order}, costs=COSTS)
    context = WorkflowContext(budget=budget)
    affordable = [name for name in order if COSTS[name] <= budget]
    if not affordable:
        with pytest.raises(RoutingError, match="of its budget left, but the routes cost"):
            router.run(context, {})
        assert context.spent == 0
        return
    assert router.run(context, {}) == affordable[-1]
    assert context.spent == COSTS[affordable[-1]] <= budget


def test_a_budget_is_shared_by_the_run_and_falls_back_to_the_default() -> None:
    """The second call sees what the first one left."""
    router = Router(ROUTES, costs=COSTS, default_route="fast")
    context = WorkflowContext(budget=12)
    assert (router >> router >> router).run(context, {}) == "fast"
    assert context.spent == 12
    assert router.run(context, {}) == "fast"
    assert context.remaining_budget == 0


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Router({}), "at least one"),
        (lambda: make_router([len]), "routes, a dict"),
        (lambda: make_router({"a": 5}), "route 'a' of Router"),
        (lambda: make_router({1: len}), "names are texts"),
        (lambda: Router(ROUTES, default_route="x"), "'x' is no route; the routes are 'fast'"),
        (lambda: Router(ROUTES, costs={"fast": 1}), "no cost for the route 'balanced'"),
        (lambda: Router(ROUTES, costs={**COSTS, "x": 1}), "'x', which is no route"),
        (lambda: Router(ROUTES, costs={**COSTS, "fast": float("nan")}), "finite number"),
        (lambda: Router(ROUTES, costs={**COSTS, "fast": -1}), "finite number"),
        (lambda: make_router(ROUTES, selector=5), "selector of Router"),
        (lambda: Switch(len, {}), "at least one"),
        (lambda: make_conditional("x", len), "condition of Conditional"),
    ],
    ids=[str(number) for number in range(12)],
)
def test_a_router_that_cannot_work_is_refused_when_built(build: Any, told: str) -> None:
    """With the culprit."""
    with pytest.raises((ConfigurationError, CompositionError), match=told):
        build()


@pytest.mark.parametrize(
    ("router", "input_data", "told"),
    [
        (Router(ROUTES), {}, "nothing chooses a route of 'router'"),
        (Router(ROUTES), {"tier": "turbo"}, "no route 'turbo'; the routes are 'fast', 'balanced'"),
        (Router(ROUTES, selector=lambda _: None), {}, "returned None"),
        (Router(ROUTES, selector=lambda _: ["x"]), {}, r"no route \['x'\]"),
    ],
    ids=["nothing", "tier", "None", "unhashable"],
)
def test_a_route_that_does_not_exist_is_answered_by_those_that_do(
    router: Any, input_data: Any, told: str
) -> None:
    """Each way of not choosing has its own words."""
    with pytest.raises(RoutingError, match=told):
        router.run(input_data)


def test_a_loop_ends_when_its_condition_holds() -> None:
    """The step runs at least once."""

    def half(number: int) -> int:
        return number // 2

    def small(number: int) -> bool:
        return number < 10

    halve = Loop(half, until=small, max_iterations=20)
    assert (halve.run(1000), halve.run(1)) == (7, 0)


def test_a_loop_that_reaches_its_bound_says_so_or_returns() -> None:
    """By choice."""

    @step
    def add(number: int) -> int:
        return number + 1

    with pytest.raises(LoopLimitError, match="bound of 3 iterations") as raised:
        Loop(add, until=lambda n: False, max_iterations=3).run(0)
    assert (raised.value.iterations, raised.value.value) == (3, 3)
    assert Loop(add, until=lambda n: False, max_iterations=3, on_limit="return").run(0) == 3


@pytest.mark.parametrize(
    "options",
    [{"max_iterations": 0}, {"max_iterations": 2.5}, {"max_iterations": 1, "on_limit": "x"}],
    ids=str,
)
def test_a_loop_needs_a_bound(options: Any) -> None:
    """A whole number of at least 1."""
    make_loop: Any = Loop
    with pytest.raises(ConfigurationError, match=r"max_iterations|on_limit"):
        make_loop(len, until=bool, **options)


def test_assign_adds_results_and_passes_the_rest_on() -> None:
    """The input is not changed."""
    wrong: Any = 5
    given_data = {"text": "four", "length": 0}
    workflow = Assign(length=lambda d: len(d["text"]), shout=lambda d: d["text"].upper())
    assert workflow.run(given_data) == {"text": "four", "length": 4, "shout": "FOUR"}
    assert given_data == {"text": "four", "length": 0}
    with pytest.raises(TypeError, match="adds to a dict"):
        workflow.run(wrong)
    with pytest.raises(CompositionError, match="at least one"):
        Assign()


@pytest.mark.parametrize(
    ("given_data", "kept"),
    [
        ([1, 2, 3, 4], [2, 4]),
        ((1, 2), (2,)),
        ({1, 2}, {2}),
        (frozenset({1, 2}), frozenset({2})),
        (range(5), [0, 2, 4]),
        ((n for n in (1, 2)), [2]),
    ],
    ids=["list", "tuple", "set", "frozenset", "range", "generator"],
)
def test_a_filter_drops_items_and_keeps_the_kind_of_collection(given_data: Any, kept: Any) -> None:
    """Where there is such a kind."""

    def even(number: int) -> bool:
        return number % 2 == 0

    assert Filter(even).run(given_data) == kept


# --- validation ----------------------------------------------------------------------------------


def test_validation_turns_data_into_the_model_or_names_the_fields() -> None:
    """All of them, with the value."""
    pydantic = pytest.importorskip("pydantic", reason="the extra pydantic is not installed")

    class Item(pydantic.BaseModel):
        price: float

    class Order(pydantic.BaseModel):
        id: int
        items: list[Item]

    workflow = Validate(Order) >> (lambda order: order.items[0].price)
    assert workflow.run({"id": "3", "items": [{"price": 1}]}) == 1.0
    with pytest.raises(DataValidationError, match=r"fit .*Order: id: .*'x'; items.0.price: ") as e:
        workflow.run({"id": "x", "items": [{"price": "y"}, {}]})
    assert e.value.fields == ("id", "items.0.price", "items.1.price")
    assert "items.1.price: this field is missing" in str(e.value)
    with pytest.raises(DataValidationError, match="the input itself: Invalid JSON"):
        Validate(Order, json=True).run("{")
    with pytest.raises(DataValidationError, match="leave out json=True"):
        Validate(Order, json=True).run({})
    with pytest.raises(DataValidationError, match="valid integer"):
        Validate(int, strict=True).run("3")
    assert input_schema(workflow)["required"] == ["id", "items"]


def test_the_schema_of_a_workflow_follows_from_its_annotations() -> None:
    """Nothing annotated accepts anything."""
    pytest.importorskip("pydantic", reason="the extra pydantic is not installed")

    def count(words: list[str]) -> dict[str, int]:
        return {}

    workflow = step(count) >> len
    assert input_schema(workflow) == {"type": "array", "items": {"type": "string"}}
    assert output_schema(step(count)) == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
    }
    assert input_schema(step(lambda x: x)) == {}
    no_type: Any = object.__subclasshook__
    with pytest.raises(ConfigurationError, match="makes no schema"):
        Validate(no_type)
