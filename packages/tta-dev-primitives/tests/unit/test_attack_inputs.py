"""Odd callables, values and exceptions: what a step does or gives never breaks the engine."""

# What is done here is wrong on purpose, or has types that nobody would write down.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import gc
import pickle
import sys
import weakref
from dataclasses import dataclass
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from tta_dev_primitives import (
    Assign,
    Batch,
    Conditional,
    Filter,
    Loop,
    Map,
    Parallel,
    Router,
    StreamPrimitive,
    Switch,
    WorkflowContext,
    add_observer,
    in_thread,
    step,
)
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import Filtered, QuorumError, RoutingError
from tta_dev_primitives.testing import run_virtual

MODES = ["bare", "counted", "framed"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Run with nobody, the default recorder, or an observer listening."""
    if request.param == "bare":
        engine.install_defaults()
    elif request.param == "framed":
        add_observer(NullObserver())
    return str(request.param)


async def same(value: Any) -> Any:
    """Give the input back."""
    return value


def double(value: int) -> int:
    """Double, synchronously."""
    return 2 * value


class Hostile:
    """A value that refuses whatever it is asked."""

    def _refuse(self, *_: object) -> Any:
        message = "hostile"
        raise RuntimeError(message)

    __repr__ = __str__ = __eq__ = __bool__ = __hash__ = __len__ = __getattr__ = _refuse


HOSTS: dict[str, Any] = {
    "leaf": step(same),
    "chain": step(same) >> same,
    "context chain": step(same) >> (lambda context, value: value),
    "fan-out": Parallel([same, same]),
    "collect": Parallel([same], on_error="collect"),
    "quorum": Parallel([same, same], quorum=1),
    "first": Parallel([same, same], on_error="first_success"),
    "conditional": Conditional(lambda _: True, same),
    "switch": Switch(lambda _: 1, {1: same}),
    "router": Router({"x": same}, selector=lambda _: "x"),
    "loop": Loop(same, until=lambda _: True, max_iterations=1),
    "thread": in_thread(lambda value: value),
    "batch": step(lambda value: [value]) >> Batch(same),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_value_that_refuses_everything_passes_through(name: str, mode: str) -> None:
    """The engine asks nothing of what it hands on."""
    value = Hostile()
    result = HOSTS[name].run(value)
    while result is not value:
        result = result[0] if isinstance(result, list) else result.value


def test_an_error_about_a_value_without_a_repr_is_still_that_error() -> None:
    """The value is named by its type."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    for workflow, kind in (
        (Filter(lambda _: False), Filtered),
        (Switch(lambda value: value, {1: same}), RoutingError),
        (Router({"x": same}, selector=lambda value: value), RoutingError),
        (Assign(a=same), TypeError),
        (Batch(same), TypeError),
        (Map(same), TypeError),
        (StreamPrimitive(lambda value: value), TypeError),  # type: ignore[arg-type, return-value]
    ):
        with pytest.raises(kind, match="<Shy>"):
            workflow.run(Shy())  # type: ignore[attr-defined]


# --- callables ----------------------------------------------------------------------------------


class Methods:
    """Callables of every kind."""

    def method(self, extra: int, value: int) -> int:
        """Add."""
        return value + extra

    async def later(self, extra: int, value: int) -> int:
        """Add, asynchronously."""
        return value + extra

    @staticmethod
    async def static(value: int) -> int:
        """Add one."""
        return value + 1

    @classmethod
    def of_class(cls, value: int) -> int:
        """Add one."""
        return value + 1


class Awaiting:
    """An object whose call is asynchronous."""

    async def __call__(self, value: int, *rest: int, **options: int) -> int:
        """Add one."""
        return value + 1 + len(rest) + len(options)


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(Methods().method, 1),
        functools.partial(Methods().later, 1),
        functools.partial(functools.partial(Methods().later, 1)),
        Methods.static,
        Methods.__dict__["static"],
        Methods.of_class,
        Awaiting(),
        functools.partial(Awaiting()),
        (1).__add__,
        lambda value, extra=1: value + extra,
        lambda value, /: value + 1,
        lambda *values: values[0] + 1,
        lambda value, **options: value + 1 + len(options),
        Mock(side_effect=lambda value: value + 1),
        MagicMock(side_effect=lambda value: value + 1),
        AsyncMock(side_effect=lambda value: value + 1),
    ],
    ids=[
        "partial method",
        "partial async method",
        "partial of partial",
        "static method",
        "static method object",
        "class method",
        "async object",
        "partial async object",
        "C method",
        "default",
        "positional-only",
        "any arguments",
        "any options",
        "mock",
        "magic mock",
        "async mock",
    ],
)
def test_any_callable_that_takes_a_value_is_a_step(function: Any, mode: str) -> None:
    """Whatever it is made of; building one ends, also where every attribute exists."""
    assert (step(function) >> same).run(1) == 2
    assert Parallel([function, function]).run(1) == [2, 2]


# --- exceptions ---------------------------------------------------------------------------------


class Slotted(Exception):  # noqa: N818 - a name for the test
    """An exception with slots."""

    __slots__ = ("code",)


@dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818 - a name for the test
    """An exception that cannot be changed."""

    code: int = 5


class Silent(Exception):  # noqa: N818 - a name for the test
    """An exception without a text."""

    def __str__(self) -> str:
        raise RuntimeError


class Delegating(Exception):  # noqa: N818 - a name for the test
    """An exception that looks for its attributes elsewhere, in vain."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def _own_notes() -> Exception:
    error = ValueError("own notes")
    vars(error)["__notes__"] = None
    return error


ERRORS = [
    Slotted,
    Frozen,
    Silent,
    Delegating,
    _own_notes,
    functools.partial(StopAsyncIteration, "stop"),
    functools.partial(ExceptionGroup, "group", [ValueError(1)]),
]
ERROR_IDS = ["slots", "frozen", "no text", "any attribute", "own notes", "stop", "group"]


@pytest.mark.parametrize("make", ERRORS, ids=ERROR_IDS)
@pytest.mark.parametrize("name", [name for name in HOSTS if name not in {"collect", "first"}])
def test_an_exception_of_any_make_arrives_as_itself(name: str, make: Any, mode: str) -> None:
    """Our note is left out where it cannot be put."""
    error = make()

    async def fails(value: Any) -> Any:
        raise error

    def swap(workflow: Any) -> Any:
        if not workflow.nodes:
            return step(fails)
        return workflow._with_nodes(
            tuple(
                step(fails) if getattr(n, "function", None) is same else n for n in workflow.nodes
            )
        )

    workflow = swap(HOSTS[name])
    if name == "batch":
        workflow = Batch(fails)
    with pytest.raises((type(error), QuorumError)) as raised:
        workflow.run([1])
    caught = raised.value
    assert (caught.errors[0] if isinstance(caught, QuorumError) else caught) is error


@pytest.mark.parametrize("make", ERRORS, ids=ERROR_IDS)
def test_a_later_error_without_a_text_does_not_hide_the_first(make: Any, mode: str) -> None:
    """In a fan-out and in a batch."""

    async def first(_: Any) -> None:
        await asyncio.sleep(1)
        message = "first"
        raise LookupError(message)

    async def second(_: Any) -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise make() from None

    async def either(item: int) -> None:
        await (first, second)[item](item)

    for workflow in (Parallel([second, first]), Batch(either)):
        with pytest.raises(LookupError, match="first"):
            run_virtual(workflow.execute([0, 1]))


async def test_a_group_with_an_interrupt_and_a_generator_exit_pass() -> None:
    """They are no exceptions that a policy could hold back, and no task is left."""
    before = asyncio.all_tasks()
    for error in (BaseExceptionGroup("group", [KeyboardInterrupt()]), GeneratorExit()):

        async def fails(value: Any, error: BaseException = error) -> Any:
            raise error

        async def waits(value: Any) -> Any:
            await asyncio.Event().wait()

        for workflow in (
            step(same) >> fails,
            Parallel([waits, fails], on_error="collect"),
            step(lambda _: [1, 2]) >> Batch(fails, on_error="collect"),
        ):
            with pytest.raises(type(error)):
                await workflow.execute(1)
            assert asyncio.all_tasks() == before


def test_a_stop_iteration_of_a_step_ends_no_loop_of_ours(mode: str) -> None:
    """Python itself makes a RuntimeError of it where it leaves a coroutine."""
    for workflow in (
        step(same) >> iter([]).__next__,
        Parallel([same, iter([]).__next__]),
        step(lambda _: [1]) >> Batch(iter([]).__next__),
    ):
        with pytest.raises(RuntimeError, match="StopIteration"):
            workflow.run(1)


# --- copies and garbage ---------------------------------------------------------------------------

COPIES: dict[str, Any] = {
    "leaf": step(double),
    "chain": step(double) >> same >> double,
    "long chain": functools.reduce(lambda a, b: a >> b, [double] * 500, step(double)),
    "fan-out": step(double) | same,
    "keyed": Parallel({"a": double, "b": same}, quorum=1),
    "conditional": Conditional(same, double, same),
    "switch": Switch(double, {2: same}, double),
    "router": Router({"a": same}, selector=None, default_route="a"),
    "loop": Loop(double, until=same, max_iterations=3),
    "batch": Batch(double),
    "thread": in_thread(double),
    "filter": Filter(same),
    "assign": Assign(a=same),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_workflow_can_be_pickled_and_copied_before_and_after_it_ran(name: str, mode: str) -> None:
    """What runs leave behind is not part of it."""
    given = {"batch": [1], "filter": [1], "assign": {}}.get(name, 1)
    workflow = COPIES[name]
    for _ in range(2):
        expected = workflow.run(given)
        for made in (
            copy.copy(workflow),
            copy.deepcopy(workflow),
            pickle.loads(pickle.dumps(workflow)),  # noqa: S301 - our own bytes
        ):
            assert made is not workflow
            assert made.run(given) == expected
            assert [path for path, _ in made.walk()] == [path for path, _ in workflow.walk()]


def test_what_cannot_be_pickled_is_named() -> None:
    """By Python's own error."""
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(step(double) >> (lambda value: value))


def _dropped(build: Any, *, collect: bool) -> None:
    workflow = build()
    gone = weakref.ref(workflow)
    for _ in range(3):
        workflow.run([1])
    del workflow
    if collect:
        gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", HOSTS)
def test_a_workflow_that_is_dropped_is_freed_without_the_collector(name: str, mode: str) -> None:
    """Neither a global nor a cycle keeps it."""
    gc.collect()
    gc.disable()
    try:
        # A task that asyncio cancels before it began leaves a cycle of its own on some Pythons.
        _dropped(lambda: copy.copy(HOSTS[name]), collect=name in {"first", "quorum"})
    finally:
        gc.enable()


class Marker:
    """Something that a failing step holds."""


@pytest.mark.parametrize(
    "build",
    [
        step,
        lambda fails: step(same) >> fails,
        lambda fails: step(same) >> (lambda context, value: value) >> fails,
        lambda fails: Parallel([same, fails]),
        lambda fails: Parallel([fails, fails], on_error="collect"),
        lambda fails: Parallel([fails, fails], on_error="first_success"),
        lambda fails: Parallel([fails, same, same], quorum=3),
        lambda fails: Parallel([fails, same, same], max_concurrency=1),
        lambda fails: Conditional(lambda _: True, fails),
        lambda fails: Loop(fails, until=lambda _: True, max_iterations=1),
        Batch,
        lambda fails: Batch(fails, on_error="collect"),
    ],
    ids=[
        "leaf",
        "chain",
        "context chain",
        "fan-out",
        "collect",
        "first",
        "quorum",
        "limited",
        "conditional",
        "loop",
        "batch",
        "collecting batch",
    ],
)
def test_what_a_failing_step_held_is_freed_with_its_exception(build: Any, mode: str) -> None:
    """No cycle of ours ties the traceback to a frame."""
    held: list[weakref.ref[Marker]] = []

    async def fails(value: Any) -> Any:
        marker = Marker()
        held.append(weakref.ref(marker))
        await asyncio.sleep(0)
        raise ValueError(value)

    async def main() -> None:
        with contextlib.suppress(ValueError, QuorumError, ExceptionGroup):
            await build(fails).execute([1, 2])
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        assert held
        assert [reference() for reference in held] == [None] * len(held)
    finally:
        gc.enable()


@pytest.mark.slow
def test_memory_stays_flat_over_many_runs(mode: str) -> None:
    """What a run builds is gone after it."""
    workflow = step(same) >> (step(same) | double) >> (lambda pair: pair[0])

    async def runs(count: int) -> None:
        for _ in range(count):
            await workflow.execute(1)

    async def main() -> int:
        await runs(2_000)
        gc.collect()
        before = sys.getallocatedblocks()
        await runs(10_000)
        gc.collect()
        return sys.getallocatedblocks() - before

    assert asyncio.run(main()) < 1_000


# --- contexts -----------------------------------------------------------------------------------


class OwnContext(WorkflowContext):
    """A context of the user's own."""

    __slots__ = ("user",)


async def test_a_context_of_a_class_of_ones_own_is_handed_on(mode: str) -> None:
    """As the same object."""
    context = OwnContext(data={"a": 1})
    context.user = "u"  # type: ignore[attr-defined]
    seen = await (step(same) >> (lambda context, _: context)).execute(context, 1)
    assert seen is context


async def test_two_runs_may_share_a_context_at_once(mode: str) -> None:
    """The one that ends first takes nothing from the other."""
    context = WorkflowContext(correlation_id="shared")

    async def waits(seconds: float) -> float:
        await asyncio.sleep(seconds)
        if seconds:
            raise ValueError(seconds)
        return seconds

    workflow = step(same) >> waits
    results = await asyncio.gather(
        *[workflow.execute(context, n) for n in (0.0, 0.002, 0.0)], return_exceptions=True
    )
    assert [str(r) for r in results] == ["0.0", "0.002", "0.0"]
    assert notes.path_of(results[1]) == "sequential/waits"  # type: ignore[arg-type]
    assert context.started is None
