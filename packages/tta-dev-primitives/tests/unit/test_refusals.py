"""A refusal is told when it is read, and is an exception like any other in every way of reading."""

from __future__ import annotations

import copy
import gc
import pickle
import traceback
import weakref
from typing import TYPE_CHECKING, Any, cast

import pytest

from tta_dev_primitives import Bulkhead, CircuitBreakerPrimitive, RateLimiter, Sequential
from tta_dev_primitives import WorkflowContext as Context
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.errors import (
    BulkheadFullError,
    CircuitOpenError,
    RateLimitedError,
    RejectedError,
)
from tta_dev_primitives.recovery import BulkheadPrimitive, Rate, RateLimitPrimitive
from tta_dev_primitives.testing import run_virtual
from tta_dev_primitives.testing.observing import preserved_observers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tta_dev_primitives import WorkflowPrimitive

FULL = "'pool' has no room in its queue (max_queue=0): 1 running of 1, 0 waiting; try again later"


async def work(order: str) -> str:
    return order


@pytest.fixture(autouse=True, params=["off", "recorder"])
def observed(request: pytest.FixtureRequest) -> Generator[None]:
    """Both ways in which most programs run."""
    with preserved_observers():
        if request.param == "off":
            engine.silence()
        yield


def full() -> BulkheadPrimitive[str, str]:
    pool = Bulkhead(1, max_queue=0, name="pool")
    assert pool.try_acquire()
    return BulkheadPrimitive(work, bulkhead=pool)


def used_up() -> RateLimitPrimitive[str, str]:
    limiter = RateLimiter(Rate(1, per=1e6), max_wait=0, name="limit")
    assert limiter.try_acquire()
    return RateLimitPrimitive(work, limiter=limiter)


REFUSING: dict[str, Callable[[], WorkflowPrimitive[str, str]]] = {
    "bulkhead": full,
    "rate_limit": used_up,
}
refusing = pytest.mark.parametrize("kind", REFUSING)


def pickled(error: Any) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes


async def refused(wrapper: WorkflowPrimitive[str, str], *context: Context) -> RejectedError:
    """Return what the third run is refused with: by then, it takes the shortest way."""
    caught: RejectedError | None = None
    for _ in range(3):
        with pytest.raises(RejectedError) as raised:
            await cast("Any", wrapper).execute(*context, "order")
        caught = raised.value
    assert caught is not None
    return caught


async def test_the_text_is_that_of_the_moment_of_the_refusal() -> None:
    """However late it is read."""
    wrapper = full()
    error = await refused(wrapper)
    wrapper.bulkhead.release()
    wrapper.bulkhead.resize(7)

    assert str(error) == FULL
    assert error.args == (FULL,)
    assert repr(error) == f"BulkheadFullError({FULL!r})"


async def test_arguments_can_be_read_first_and_set() -> None:
    """As with any exception."""
    error = await refused(full())
    assert error.args == (FULL,)
    other = await refused(full())
    other.args = ("mine",)
    assert str(other) == "mine"


@refusing
async def test_the_note_tells_place_and_request(kind: str) -> None:
    """Once, and the same however often it is read."""
    error = await refused(REFUSING[kind]())

    (note,) = error.__notes__
    assert note.startswith(f"in workflow step {kind}, after 0.")
    assert error.__notes__ == [note]
    assert notes.path_of(error) == kind


@refusing
async def test_the_note_has_the_id_of_the_callers_context(kind: str) -> None:
    """And the time in it is that of the run, though the context is free for another by then."""
    context = Context(correlation_id="mine")
    error = await refused(REFUSING[kind](), context)

    assert error.__notes__[0].startswith(f"in workflow step {kind}, after 0.")
    assert error.__notes__[0].endswith("correlation id mine")
    assert context.started is None


@refusing
async def test_a_chain_lengthens_the_path(kind: str) -> None:
    """There is one note still, and each run has an id of its own."""
    chain: Any = Sequential([work, REFUSING[kind]()], name="chain")
    errors = [await refused(chain) for _ in range(2)]

    for error in errors:
        (note,) = error.__notes__
        assert note.startswith(f"in workflow step chain/{kind}, after 0.")
    assert len({error.__notes__[0].rpartition(" ")[2] for error in errors}) == 2


@refusing
async def test_notes_of_others_stand_beside_ours(kind: str) -> None:
    """They can be added before ours was read, and the list is the exception's own."""
    error = await refused(REFUSING[kind]())
    error.add_note("seen by me")
    error.__notes__.append("and by me")

    assert [note.partition(",")[0] for note in error.__notes__] == [
        f"in workflow step {kind}",
        "seen by me",
        "and by me",
    ]


@refusing
async def test_a_note_can_be_forgotten(kind: str) -> None:
    """Where the refusal was made good, a later raise starts afresh."""
    error = await refused(REFUSING[kind]())
    notes.forget(error)
    assert notes.path_of(error) is None
    assert error.__notes__ == []


def test_a_refusal_of_the_users_own_has_no_note() -> None:
    """So `hasattr` says no, as for any exception."""
    error = RejectedError("busy", retry_after=2.0)
    assert not hasattr(error, "__notes__")
    error.add_note("first")
    assert error.__notes__ == ["first"]
    assert (str(error), error.args, error.retry_after) == ("busy", ("busy",), 2.0)


@refusing
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
async def test_a_copy_tells_the_same(kind: str, again: Callable[[Any], Any], *, read: bool) -> None:
    """Also in another process, where there is no workflow."""
    error = await refused(REFUSING[kind]())
    if read:
        assert str(error)
        assert error.__notes__
    made = again(error)

    assert type(made) is type(error)
    assert (str(made), made.args, made.retry_after) == (str(error), error.args, error.retry_after)
    assert made.__notes__ == error.__notes__


@refusing
async def test_a_traceback_shows_text_and_note(kind: str) -> None:
    """Made by the interpreter's own means."""
    error = await refused(REFUSING[kind]())
    shown = traceback.format_exception(error)

    assert shown[-2].endswith(f"{error}\n")
    assert shown[-1].startswith(f"in workflow step {kind}, after")


@pytest.mark.parametrize("state", ["open", "isolated"])
async def test_a_rejection_of_a_breaker_is_copied_whole(state: str) -> None:
    """With all its facts and notes."""
    wrapper = CircuitBreakerPrimitive(work, name="guard")
    getattr(wrapper.breaker, state.removesuffix("d") if state == "isolated" else state)()
    with pytest.raises(CircuitOpenError) as raised:
        await wrapper.execute("order")
    raised.value.add_note("mine")
    made = pickled(raised.value)

    assert (made.name, made.state, made.retry_after) == ("guard", state, raised.value.retry_after)
    assert str(made) == str(raised.value)
    assert made.__notes__ == raised.value.__notes__


def test_a_wait_that_would_be_too_long_is_told_by_its_length() -> None:
    """It is refused before it waits, and counted from now."""

    async def run() -> None:
        limiter = RateLimiter(Rate(1, per=10), max_wait=3)
        limited = RateLimitPrimitive(work, limiter=limiter)
        assert await limited.execute("a") == "a"
        error = await refused(limited)
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 10.0
        assert str(error) == (
            "'rate_limit' lets this call start in 10 s, but only 3 s are left to wait"
        )

    run_virtual(run())


async def test_refusals_are_counted() -> None:
    """Each once, whichever way it took."""
    wrapper = full()
    await refused(wrapper)
    await refused(wrapper, Context())
    with pytest.raises(BulkheadFullError):
        await wrapper.bulkhead.acquire()
    assert wrapper.bulkhead.refused == 7
    assert wrapper.bulkhead.running == 1


def opened() -> CircuitBreakerPrimitive[str, str]:
    breaker = CircuitBreakerPrimitive(work)
    breaker.breaker.open()
    return breaker


@pytest.mark.parametrize("kind", [*REFUSING, "circuit_breaker"])
@pytest.mark.parametrize("given", [True, False], ids=["with a context", "without"])
async def test_a_refusal_is_gone_with_its_last_reader(kind: str, *, given: bool) -> None:
    """An overload refuses by the thousand, and nothing of that waits for the garbage collector."""
    wrapper: Any = {**REFUSING, "circuit_breaker": opened}[kind]()
    kept: list[weakref.ref[Exception]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            try:
                await (wrapper.execute(Context(), "order") if given else wrapper.execute("order"))
            except (RejectedError, CircuitOpenError) as error:
                kept.append(weakref.ref(error))
        assert [ref() for ref in kept] == [None] * 4
    finally:
        gc.enable()
