"""Fallback: alternatives by kind of failure, a value of last resort, and what hooks are told."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Filtered
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import Fallback, FallbackPrimitive
from tta_dev_primitives.recovery.fallbacks.alternatives import Alternatives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.recovery.classification.classify import ErrorKind
    from tta_dev_primitives.recovery.fallbacks.alternatives import FallbackEvent


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield []
    else:
        with collect_records() as records:
            yield records


class RefusedError(Exception):
    """An error of a provider."""

    def __init__(self, status_code: int = 500, code: str | None = None) -> None:
        super().__init__(code or status_code)
        self.status_code = status_code
        self.code = code


TOO_LONG = RefusedError(400, "context_length_exceeded")
BUSY = RefusedError(429)


def step(name: str, error: BaseException | None = None, calls: list[str] | None = None) -> Any:
    """Return a step that gives its name, or raises."""

    async def run(value: str) -> str:
        if calls is not None:
            calls.append(name)
        if error is not None:
            raise error
        return f"{name}: {value}"

    run.__name__ = name
    return run


async def test_the_kind_of_the_failure_chooses_the_step(listening: list[Record]) -> None:
    """A longer model for a prompt that is too long, the general one for the rest."""
    for error, expected in ((TOO_LONG, "long"), (BUSY, "spare"), (ValueError(), "spare")):
        fallback = FallbackPrimitive(
            step("first", error), fallback=step("spare"), by_kind={"context_length": step("long")}
        )
        assert await fallback.execute("x") == f"{expected}: x"
        if listening:
            assert listening[-1].attributes["used"] == expected


async def test_after_the_step_of_a_kind_come_the_general_ones_in_order() -> None:
    """Each step runs once at most, and each failure is asked for its kind."""
    calls: list[str] = []
    fallback = Fallback(
        step("first", BUSY, calls),
        [step("second", TOO_LONG, calls), step("third", None, calls)],
        by_kind={
            "context_length": step("long", BUSY, calls),
            "rate_limit": step("other", BUSY, calls),
        },
    )
    assert await fallback.execute("x") == "third: x"
    assert calls == ["first", "other", "second", "long", "third"]


async def test_a_kind_that_is_not_named_comes_out() -> None:
    """Where there is no general fallback; the error itself, with nothing to add."""
    fallback = Fallback(step("first", BUSY), by_kind={"context_length": step("long")})
    with pytest.raises(RefusedError) as caught:
        await fallback.execute("x")
    assert caught.value is BUSY
    assert vars(BUSY)["fallback_errors"] == ()


async def test_one_step_may_serve_several_kinds() -> None:
    """It is one node of the workflow, also where it is a general fallback."""
    other = step("other")
    fallback = Fallback(step("first", BUSY), by_kind={"rate_limit": other, "overloaded": other})
    assert len(fallback.nodes) == 2
    assert fallback.edge_labels == ("primary", "on rate_limit, overloaded")
    assert await fallback.execute("x") == "other: x"
    general = Fallback(step("first", BUSY), [step("a"), other], by_kind={"rate_limit": other})
    assert len(general.nodes) == 3
    assert await general.execute("x") == "other: x"


kinds: st.SearchStrategy[ErrorKind] = st.sampled_from(["rate_limit", "timeout", "network"])
failures = st.sampled_from([RefusedError(429), TimeoutError(), ConnectionError(), ValueError()])


@given(
    st.integers(0, 4),
    st.dictionaries(kinds, st.integers(5, 7)),
    st.lists(st.none() | failures, min_size=12, max_size=12),
)
def test_no_step_is_started_twice_and_every_general_one_is_started(
    general: int, by_kind: dict[ErrorKind, int], events: list[Exception | None]
) -> None:
    """General steps come in their order; the step of a kind only after a failure of that kind."""
    order = Alternatives(tuple(range(1, general + 1)), by_kind)
    for error in events:
        before = list(order.started)
        index = order.next() if error is None else order.after(error)
        assert order.started == ([*before, index] if index is not None else before)
        if error is None:
            assert index is None or index <= general
    assert len(set(order.started)) == len(order.started)
    assert [i for i in order.started if 0 < i <= general] == list(range(1, general + 1))


# --- the value ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, "", [], "sorry"])
async def test_the_value_is_the_result_when_all_have_failed(
    value: object, listening: list[Record]
) -> None:
    """Any value, None too; alone or after steps; the record says so."""
    for fallback in (
        Fallback(step("first", BUSY), value=value),
        Fallback(step("first", BUSY), [step("second", BUSY)], value=value),
        Fallback(step("first", BUSY), [step("second", BUSY)], value=value, start_after=5),
    ):
        assert await fallback.execute("x") is value
        if listening:
            assert (listening[-1].attributes["used"], listening[-1].status) == ("value", "ok")


async def test_the_value_is_not_used_for_what_is_no_failure() -> None:
    """`Filtered` and cancellation pass."""
    for signal in (Filtered("held"), asyncio.CancelledError()):
        with pytest.raises(type(signal)):
            await Fallback(step("first", signal), value="sorry").execute("x")


# --- hooks --------------------------------------------------------------------------------------


async def test_the_hook_is_told_of_each_failure_before_the_next_step() -> None:
    """With the error, its kind, and the step that takes over; asynchronous hooks are awaited."""
    told: list[tuple[str | None, str]] = []

    def note(event: FallbackEvent) -> None:
        told.append((event.kind, event.step))

    async def note_later(event: FallbackEvent) -> None:
        await asyncio.sleep(0)
        note(event)

    for hook in (note, note_later):
        told.clear()
        fallback = Fallback(
            step("first", BUSY), [step("second", TimeoutError())], value="sorry", on_fallback=hook
        )
        assert await fallback.execute("x") == "sorry"
        assert told == [("rate_limit", "second"), ("timeout", "value")]


async def test_the_hook_is_not_told_when_nothing_takes_over() -> None:
    """Then the error comes out."""
    told: list[FallbackEvent] = []
    fallback = Fallback(
        step("first", BUSY), by_kind={"timeout": step("spare")}, on_fallback=told.append
    )
    with pytest.raises(RefusedError):
        await fallback.execute("x")
    assert told == []


async def test_a_broken_hook_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""

    def broken(event: FallbackEvent) -> None:
        raise ZeroDivisionError(repr(event))

    fallback = Fallback(step("first", BUSY), fallback=step("spare"), on_fallback=broken)
    with caplog.at_level(logging.WARNING):
        assert await fallback.execute("x") == "spare: x"
    assert "on_fallback of 'fallback' failed" in caplog.text


async def test_the_primarys_error_is_seen_by_hooks_and_not_by_later_errors__case_51() -> None:
    """Nothing that is raised after a fallback succeeded refers to it (case 51)."""
    seen: list[Exception | None] = []
    primary = ConnectionError("first")

    async def later(value: str) -> str:
        raise LookupError(value)

    hooked = Fallback(
        step("first", primary), fallback=step("spare"), on_fallback=lambda e: seen.append(e.error)
    )
    with pytest.raises(LookupError) as caught:
        await (hooked >> later).execute("x")
    assert seen == [primary]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert primary.__context__ is None
    assert not getattr(primary, "__notes__", [])


async def test_an_error_inside_a_fallback_does_not_refer_to_the_primarys__case_51() -> None:
    """A step that fails and handles it has the context that it has alone (case 51)."""
    contexts: list[BaseException | None] = []

    async def looks(value: str) -> str:
        try:
            raise LookupError(value)
        except LookupError as error:
            contexts.append(error.__context__)
        return value

    assert await Fallback(step("first", BUSY), fallback=looks).execute("x") == "x"
    assert contexts == [None]


def test_options_that_are_wrong_are_refused() -> None:
    """When built, with what would be right."""
    steps: dict[str, Callable[..., Any]] = {"timeout": step("spare")}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"by_kind": {}}, ConfigurationError, "by_kind of Fallback is empty"),
        ({"by_kind": {"timeouts": step("a")}}, ConfigurationError, "'timeouts', which is no kind"),
        ({"by_kind": [("timeout", step("a"))]}, CompositionError, "a dict of kinds"),
        ({"by_kind": {"timeout": 7}}, CompositionError, "fallback for 'timeout' of Fallback"),
        ({"by_kind": steps, "start_after": 1}, ConfigurationError, "none is given"),
        ({"value": 1, "start_after": 1}, ConfigurationError, "none is given"),
        ({"fallback": step("a"), "start_after": -1}, ConfigurationError, "zero or more"),
        ({"fallback": step("a"), "start_after": float("inf")}, ConfigurationError, "finite"),
        ({"fallback": step("a"), "on_fallback": 7}, ConfigurationError, "a function of a Fallback"),
    ]
    for options, kind, match in cases:
        with pytest.raises(kind, match=match):
            FallbackPrimitive(step("first"), **options)
