"""An exception arrives as itself, with one note that says where in the workflow it arose."""

from __future__ import annotations

import asyncio
import pickle
import re
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import tta_dev_primitives.errors as errors_module
from tta_dev_primitives import (
    Batch,
    Conditional,
    Filter,
    Loop,
    Parallel,
    Router,
    Sequential,
    Switch,
    WorkflowContext,
    add_observer,
    step,
)
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import Filtered, LoopLimitError, RoutingError, TTAError
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from tta_dev_primitives import WorkflowPrimitive


class ModelError(RuntimeError):
    """A user's own error."""


async def fails(value: Any) -> Any:
    """Fail."""
    await asyncio.sleep(2)
    message = "no answer"
    raise ModelError(message)


async def passes(value: Any) -> Any:
    """Pass."""
    return value


NESTED = [
    (step(fails).named("leaf"), "leaf"),
    (step(passes) >> fails >> passes, "sequential/fails"),
    (step(passes) >> fails >> fails, "sequential/fails[0]"),
    ((step(passes) | fails).named("fan"), "fan/fails"),
    (Parallel({"a/b": fails}, name="fan"), "fan/a%2Fb"),
    (
        Sequential([passes, Parallel([passes, Sequential([fails], name="s")])]),
        "sequential/parallel/s/fails",
    ),
    (Conditional(lambda _: True, fails), "conditional/fails"),
    (Switch(lambda _: "x", {"x": fails}), "switch/x"),
    (Router({"fast": fails}, default_route="fast"), "router/fast"),
    (Loop(fails, until=lambda _: True, max_iterations=2), "loop/fails"),
    (Batch(fails), "batch/fails"),
]


@pytest.mark.parametrize("mode", ["bare", "counted", "framed"])
@pytest.mark.parametrize(("workflow", "path"), NESTED, ids=[path for _, path in NESTED])
def test_the_note_tells_path_elapsed_time_and_correlation_id(
    workflow: WorkflowPrimitive[Any, Any], path: str, mode: str
) -> None:
    """Once, with whoever listens."""
    if mode == "bare":
        engine.install_defaults()
    elif mode == "framed":
        add_observer(NullObserver())
    context = WorkflowContext(correlation_id="req-7")
    with pytest.raises(ModelError, match="no answer") as raised:
        run_virtual(workflow.execute(context, [1]))
    ours = [note for note in raised.value.__notes__ if "workflow step" in note]
    assert ours == [f"in workflow step {path}, after 2.000000 s, correlation id req-7"]
    assert notes.path_of(raised.value) == path
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("mode", ["bare", "counted", "framed"])
@pytest.mark.parametrize(("workflow", "path"), NESTED, ids=[path for _, path in NESTED])
def test_at_most_two_frames_of_ours_per_level_stand_in_the_traceback(
    workflow: WorkflowPrimitive[Any, Any], path: str, mode: str
) -> None:
    """The rest is the user's."""
    if mode == "bare":
        engine.install_defaults()
    elif mode == "framed":
        add_observer(NullObserver())

    async def main() -> None:
        with pytest.raises(ModelError) as raised:
            await workflow.execute([1])
        frames = traceback.extract_tb(raised.value.__traceback__)
        ours = [f.name for f in frames if "tta_dev_primitives" in f.filename]
        levels = path.count("/") + 1
        assert len(ours) <= 2 * levels, ours
        assert frames[-1].name == "fails"

    run_virtual(main())


def test_a_workflow_executed_inside_a_step_is_part_of_the_path() -> None:
    """Whether it was given the context or not."""
    inner = (step(passes) >> fails).named("inner")

    async def with_context(context: WorkflowContext, value: int) -> int:
        return await inner.execute(context, value)

    context = WorkflowContext(correlation_id="req-8")
    with pytest.raises(ModelError) as raised:
        run_virtual((step(passes) >> with_context).named("outer").execute(context, 1))
    assert notes.path_of(raised.value) == "outer/with_context/inner/fails"
    assert len(raised.value.__notes__) == 1


def test_an_exception_that_is_raised_again_in_another_run_gets_a_new_note() -> None:
    """A shared instance does not collect the paths of all its runs."""
    error = ValueError("shared")

    def raises(value: int) -> int:
        raise error

    for name in ("first", "second"):
        with pytest.raises(ValueError, match="shared"):
            Sequential([raises], name=name).run(1)
    assert notes.path_of(error) == "second/raises"
    assert len(error.__notes__) == 1


def test_notes_of_the_users_own_stay() -> None:
    """Ours is added beside them."""

    def raises(value: int) -> int:
        error = ValueError("x")
        error.add_note("mine")
        raise error

    with pytest.raises(ValueError, match="x") as raised:
        Sequential([Sequential([raises], name="s"), len]).run(1)
    assert raised.value.__notes__[0] == "mine"
    assert len(raised.value.__notes__) == 2
    notes.forget(raised.value)
    assert raised.value.__notes__ == ["mine"]
    assert notes.path_of(raised.value) is None


def test_an_exception_with_a_note_can_be_pickled() -> None:
    """Where this package is not installed the note is still a text."""
    nothing: dict[str, int] = {}
    with pytest.raises(KeyError) as raised:
        Sequential([nothing.__getitem__]).run("k")
    copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own bytes
    assert copy.__notes__ == raised.value.__notes__
    assert type(copy.__notes__[0]) is str


def test_cancellation_carries_no_note() -> None:
    """It is no failure."""

    async def main() -> None:
        task = asyncio.create_task((step(passes) >> fails).execute(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert not getattr(raised.value, "__notes__", [])

    run_virtual(main())


def test_a_failing_condition_is_the_composites_own_failure() -> None:
    """Its path ends at the composite."""

    def broken(value: int) -> bool:
        raise ModelError

    with pytest.raises(ModelError) as raised:
        (step(passes) >> Conditional(broken, passes)).run(1)
    assert notes.path_of(raised.value) == "sequential/conditional"


def test_a_filtered_value_ends_the_chain_as_itself() -> None:
    """With the value that was held back."""
    after: list[int] = []

    def large(number: int) -> bool:
        return number > 5

    held: Any = Filter(large)  # on a single value, which its types leave to chance
    with pytest.raises(Filtered, match="held back 3") as raised:
        (held >> after.append).run(3)
    assert (raised.value.value, after) == (3, [])


_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "CompensationError": ("told", [LookupError("cause"), ValueError("undoing")]),
    "MissingExtraError": ("feature", "extra"),
}


def _examples() -> list[TTAError]:
    made: list[TTAError] = []
    for name in errors_module.__all__:
        cls = getattr(errors_module, name)
        made.append(cls(*_ARGUMENTS.get(name, ("told",))))
    made.append(RoutingError("told", selected="x", routes=("a", "b")))
    made.append(LoopLimitError("told", iterations=3, value=[1]))
    return made


@pytest.mark.parametrize(
    "error", _examples(), ids=[f"{n}-{type(e).__name__}" for n, e in enumerate(_examples())]
)
def test_every_error_is_a_tta_error_and_can_be_pickled(error: TTAError) -> None:
    """With its attributes."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(copy, TTAError)
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    """Every class is drawn, with its built-in."""
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors_module.__doc__ or ""))
    assert set(drawn) == set(errors_module.__all__) - {"TTAError"}
    for name, builtin in drawn.items():
        if builtin:
            assert issubclass(
                getattr(errors_module, name), getattr(__import__("builtins"), builtin)
            )
