"""Building sagas: what is accepted, what is refused, and how they stand in a workflow."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import Sequential, step
from tta_dev_primitives.core.context import WorkflowContext  # noqa: TC001 - steps are looked at
from tta_dev_primitives.core.graph import describe
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.recovery import CompensationPrimitive, MemoryJournal, Retry, Saga
from tta_dev_primitives.testing import MockPrimitive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def reserve(order: str) -> str:
    return f"room for {order}"


def release(reservation: str) -> None: ...


async def charge(reservation: str) -> int:
    return len(reservation)


async def refund(context: WorkflowContext, amount: int) -> None: ...


async def fails(value: object) -> object:
    raise ConnectionError


async def test_spec_1_saga() -> None:
    """Saga compensation pattern."""
    done: list[object] = []

    def create_user(data: object) -> object:
        done.append(("created", data))
        return "user 7"

    def delete_user(user: object) -> None:
        done.append(("deleted", user))

    def send_email(user: object) -> object:
        if len(done) > 2:
            raise ConnectionError
        done.append(("sent", user))
        return user

    def send_cancellation(user: object) -> None: ...

    # Saga compensation pattern
    saga = Saga()
    saga.add_step(create_user, rollback=delete_user)
    saga.add_step(send_email, rollback=send_cancellation)
    await saga.execute({"user_data": {...}})

    assert done == [("created", {"user_data": {...}}), ("sent", "user 7")]
    with pytest.raises(ConnectionError):
        await saga.execute({"user_data": {...}})
    assert done[3:] == [("deleted", "user 7")]


def test_one_class_has_two_names() -> None:
    """And every form of building gives the same."""
    assert Saga is CompensationPrimitive
    built = [
        Saga().add_step(reserve, rollback=release).add_step(charge, refund),
        CompensationPrimitive(steps=[(reserve, release), (charge, refund)]),
        CompensationPrimitive([(reserve, release), [charge, refund]]),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType] - a list, as from JSON
    ]
    assert len({saga.describe() for saga in built}) == 1


def test_steps_and_compensations_have_paths() -> None:
    """Steps in order, then compensations in the order in which they would run."""
    saga = Saga([(reserve, release), (charge, refund), bin], name="booking")
    assert [path for path, _ in saga.walk()] == [
        "booking",
        "booking/reserve",
        "booking/charge",
        "booking/bin",
        "booking/refund",
        "booking/release",
    ]
    assert [child.label for child in describe(saga).children] == [
        "first",
        "then",
        "then",
        "undoes charge",
        "undoes reserve",
    ]
    assert "undoes charge: refund" in saga.draw()
    assert "refund" in saga.draw("mermaid")
    assert "refund" in saga.draw("svg")
    assert saga.signature[0] is str


async def test_a_node_is_replaced_by_its_path() -> None:
    """A step or a compensation; the rest stays, and so does the original."""
    undo = MockPrimitive("release", return_value=None)
    saga: Any = Saga([(reserve, release), (fails, None)])
    tested = saga.replace("compensation/release", undo)
    with pytest.raises(ConnectionError):
        await tested.execute("x")
    assert [call.input_data for call in undo.calls] == ["room for x"]
    works = saga.replace("compensation/fails", str.upper)
    assert await works.execute("x") == "ROOM FOR X"
    with pytest.raises(ConnectionError):
        await saga.execute("x")


async def test_a_copy_has_its_own_steps() -> None:
    """What is added to one is not in the other."""
    saga = Saga([(reserve, release)])
    for other in (saga.named("other"), copy.copy(saga), pickle.loads(pickle.dumps(saga))):  # noqa: S301 - our own bytes
        other.add_step(charge)
        assert await other.execute("x") == 10
        assert len(saga.nodes) == 2
    assert await saga.execute("x") == "room for x"


async def test_steps_are_fixed_by_the_first_run() -> None:
    """During it and after it; a copy takes more."""
    saga = Saga()

    async def adds(value: object) -> object:
        with pytest.raises(ConfigurationError, match="'compensation' has run already"):
            saga.add_step(reserve)
        return value

    saga.add_step(adds)
    assert await saga.execute("x") == "x"
    with pytest.raises(ConfigurationError, match=r"saga\.named"):
        saga.add_stage([reserve])
    assert await saga.named("longer").add_step(reserve).execute("x") == "room for x"


async def test_a_saga_that_contains_itself_is_refused() -> None:
    """Directly, through a chain, as a compensation; and it stays as it was."""
    saga = Saga().add_step(reserve)
    for inner in (saga, saga >> reserve, Sequential([Retry(saga)])):
        with pytest.raises(CompositionError, match="contains itself"):
            saga.add_step(inner)
        with pytest.raises(CompositionError, match="contains itself"):
            saga.add_step(reserve, rollback=inner)
    assert await saga.execute("x") == "room for x"


async def test_a_saga_is_a_step_of_a_workflow() -> None:
    """On either side of an operator, with its own path."""
    saga = Saga([(reserve, release), (charge, refund)])
    workflow = step(str.strip) >> saga >> str
    assert await workflow.execute(" x ") == "10"
    assert workflow.find("sequential/compensation/refund").name == "refund"


async def test_a_saga_without_steps_says_so() -> None:
    """When it is run, for they may still come; at once where an empty list was given."""
    with pytest.raises(CompositionError, match="'compensation' has no steps; add them with add_s"):
        await Saga().execute(1)
    with pytest.raises(CompositionError, match="steps of Saga is empty"):
        Saga([])
    with pytest.raises(CompositionError, match="needs at least one step"):
        Saga().add_stage({})


def generates(value: object) -> Iterator[object]:
    yield value


async def generates_later(value: object) -> AsyncIterator[object]:
    yield value


def four(a: object, b: object, c: object, d: object) -> None: ...
def order_first(order: str, reservation: str) -> None: ...
def both_first(order: str, reservation: str, more: str) -> None: ...
def generates_three(context: object, given: object, result: object) -> Iterator[object]:
    yield result


async def generates_three_later(context: Any, given: Any, result: Any) -> AsyncIterator[object]:
    yield result


def needs_keyword(context: Any, given: Any, result: Any, *, reason: str) -> None: ...


@pytest.mark.parametrize(
    ("undo", "message"),
    [
        (3, "rollback of step 1 of Saga must be a primitive or a callable, not 3"),
        ("undo", "must be a primitive or a callable"),
        (four, "'four' needs 4 arguments"),
        (order_first, r"takes \(order, reservation\); a compensation with 2 parameters gets the c"),
        (both_first, r"takes \(order, reservation, more\)"),
        (generates, "generator function"),
        (generates_later, "generator function"),
        (generates_three, "generator function"),
        (generates_three_later, "generator function"),
        (needs_keyword, "keyword argument reason"),
    ],
)
def test_an_undo_that_cannot_be_called_is_refused(undo: Any, message: str) -> None:
    """When the saga is built, in both ways to build one."""
    with pytest.raises(CompositionError, match=message):
        Saga().add_step(reserve, rollback=undo)
    with pytest.raises(CompositionError, match=message):
        Saga(steps=[(reserve, undo)])


untyped: Any = Saga  # what follows is wrong on purpose, and a checker says so


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: untyped().add_step(generates), "step 1 of Saga: 'generates' is a generator"),
        (lambda: untyped().add_step(None), "step 1 of Saga must be a primitive or a callable"),
        (lambda: untyped([reserve, 3]), "step 2 of Saga must be a primitive"),
        (lambda: untyped([(reserve, release, 1)]), "must be .do, undo., or .do, None.; it has 3"),
        (lambda: untyped([()]), "it has 0 parts"),
        (lambda: untyped("steps"), "steps of Saga is a list of .do, undo., not a str"),
        (lambda: untyped({"a": reserve}), "not a dict"),
        (lambda: untyped().add_step(charge).add_step(reserve), "charge"),
        (lambda: untyped().add_step(reserve, undo_failed=True), "has no rollback"),
        (lambda: untyped().add_step(reserve, release, undo_failed=1), "must be True or False"),
        (lambda: untyped().add_stage(reserve), "takes a list or dict of .do, undo., not function"),
        (lambda: untyped().add_stage({1: reserve}), "keys are texts"),
        (lambda: untyped().add_stage([reserve, (charge, four)]), "step 2 of stage 1 of Saga"),
    ],
)
def test_what_is_no_step_is_refused(build: Callable[[], object], message: str) -> None:
    """With which step it is."""
    with pytest.raises(CompositionError, match=message):
        build()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "3", 10**400])
@pytest.mark.parametrize("option", ["compensation_timeout", "total_timeout"])
def test_a_time_that_is_none_is_refused(option: str, value: Any) -> None:
    """Negative, zero, no number, not finite."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=f"{option} of Saga must be a number of seconds"):
        Saga(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"undo_failed": "yes"}, "undo_failed of Saga must be True or False, not 'yes'"),
        ({"journal": "saga.log"}, "journal of Saga must have the methods append, read, unfin"),
        ({"journal": MemoryJournal(), "codec": 3}, "codec of Saga must have the methods encode"),
        ({"name": "a/b"}, "a step's name"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    """When the saga is built."""
    with pytest.raises(ConfigurationError, match=message):
        Saga(**options)


def test_a_codec_without_a_journal_is_refused() -> None:
    """It would write nothing."""
    from tta_dev_primitives.recovery.saga.journal import JsonSagaCodec

    with pytest.raises(ConfigurationError, match="give the journal as well"):
        Saga(codec=JsonSagaCodec())


def test_a_saga_loads_no_journal_before_one_is_used() -> None:
    """Nor what only journals need."""
    code = (
        "import sys; from tta_dev_primitives.recovery import Saga; "
        "Saga().add_step(abs).run(1); "
        "print('tta_dev_primitives.recovery.saga.journal' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
