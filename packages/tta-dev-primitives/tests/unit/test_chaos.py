"""Chaos: what is done to which calls, and that a seed says so."""

from __future__ import annotations

import asyncio
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_dev_primitives import Parallel, step
from tta_dev_primitives.core.notes import path_of
from tta_dev_primitives.errors import (
    CircuitOpenError,
    CompositionError,
    ConfigurationError,
    NestedAwaitableError,
    PathError,
)
from tta_dev_primitives.recovery import CircuitBreakerPrimitive, Fallback, RetryPrimitive
from tta_dev_primitives.testing import ChaosPrimitive, inject_chaos, run_virtual
from tta_dev_primitives.testing.chaos import ChaosPlan


async def echo(value: Any) -> Any:
    return value


async def outcomes(workflow: Any, calls: int) -> list[bool]:
    """Return which calls ended well."""
    return [
        not isinstance((await asyncio.gather(call, return_exceptions=True))[0], ConnectionError)
        for call in (workflow.execute(number) for number in range(calls))
    ]


async def test_the_same_seed_strikes_the_same_calls() -> None:
    """And another seed others."""
    runs = [
        await outcomes(inject_chaos(step(echo), fault=ConnectionError, rate=0.3, seed=seed), 200)
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


@settings(max_examples=30)
@given(seed=st.integers() | st.text(), rate=st.floats(0.0, 1.0))
def test_a_plan_strikes_about_as_many_calls_as_its_rate_says(seed: int | str, rate: float) -> None:
    """Each call is decided by itself, whatever was decided before."""
    plan = ChaosPlan(fault=True, rate=rate, seed=seed)
    struck = [plan.decide(call).fault for call in range(1, 401)]
    assert abs(sum(struck) / 400 - rate) < 0.15
    again = ChaosPlan(fault=True, rate=rate, seed=seed)
    assert [again.decide(call).fault for call in range(400, 0, -1)] == struck[::-1]


@settings(max_examples=30)
@given(seed=st.integers(), low=st.floats(0, 10), width=st.floats(0, 10))
def test_what_else_is_done_does_not_change_which_calls_are_struck(
    seed: int, low: float, width: float
) -> None:
    """Latency is drawn after the decision, and lies between its bounds."""
    bare = ChaosPlan(fault=True, rate=0.5, seed=seed)
    late = ChaosPlan(fault=True, rate=0.5, seed=seed, latency=(low, low + width))
    for call in range(1, 50):
        assert bare.decide(call).fault == late.decide(call).fault
        if late.decide(call).fault:
            assert low <= late.decide(call).latency <= low + width


async def test_rate_zero_strikes_none_and_rate_one_all() -> None:
    """Both ends are exact."""
    assert all(await outcomes(inject_chaos(step(echo), fault=ConnectionError, rate=0), 100))
    assert not any(await outcomes(inject_chaos(step(echo), fault=ConnectionError), 100))


async def test_calls_are_struck_by_number() -> None:
    """From 1, in the order in which they begin."""
    struck = inject_chaos(step(echo), fault=ConnectionError, calls=[2, 3, 5])
    assert await outcomes(struck, 6) == [True, False, False, True, False, True]
    assert [injection.call for injection in struck.injections] == [2, 3, 5]
    assert struck.call_count == 6


def test_latency_is_waited_for_before_the_step() -> None:
    """Fixed, or drawn between bounds; repeatable."""

    async def main(workflow: Any) -> list[float]:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        for _ in range(5):
            began = loop.time()
            assert await workflow.execute("x") == "x"
            took.append(loop.time() - began)
        return took

    assert run_virtual(main(inject_chaos(step(echo), latency=2.5))) == [2.5] * 5
    drawn = [
        run_virtual(main(inject_chaos(step(echo), latency=(1.0, 3.0), seed=4))) for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5
    assert all(1.0 <= seconds <= 3.0 for seconds in drawn[0])


@pytest.mark.parametrize(
    "fault", [ConnectionError("reset"), ConnectionError, lambda: ConnectionError("made")]
)
async def test_a_fault_is_an_exception_or_what_makes_one(fault: Any) -> None:
    """Its traceback does not grow, and its note has the path."""
    struck = inject_chaos(step(echo), fault=fault)
    depths: list[int] = []
    for _ in range(3):
        with pytest.raises(ConnectionError) as caught:
            await struck.execute("x")
        depths.append(len(caught.traceback))
        assert path_of(caught.value) == "echo"
    assert len(set(depths)) == 1


@pytest.mark.parametrize(("after", "ran"), [(False, 0), (True, 1)])
async def test_a_fault_may_come_after_the_step_has_acted(*, after: bool, ran: int) -> None:
    """The caller then does not know what happened, as when an answer is lost."""
    calls: list[str] = []

    async def act(value: str) -> str:
        calls.append(value)
        return value

    with pytest.raises(ConnectionError):
        await inject_chaos(step(act), fault=ConnectionError, after=after).execute("x")
    assert len(calls) == ran


async def test_an_outcome_takes_the_place_of_the_result() -> None:
    """It is made of the real one."""
    struck = inject_chaos(step(echo), outcome=lambda text: text[:2], calls=[2])
    assert [await struck.execute("whole") for _ in range(3)] == ["whole", "wh", "whole"]

    async def late(text: str) -> str:
        return text

    with pytest.raises(NestedAwaitableError):
        await inject_chaos(step(echo), outcome=late).execute("x")


async def test_a_path_says_which_step_it_is() -> None:
    """The original workflow stays, names and paths too."""
    workflow = step(echo) >> Fallback(step(str.upper), fallback=str.lower) >> len
    down = inject_chaos(workflow, "sequential/fallback/upper", fault=ConnectionError)
    assert [path for path, _ in workflow.walk()] == [
        path for path, _ in down.walk() if path != "sequential/fallback/upper/upper"
    ]
    assert await workflow.execute("four") == 4
    assert await down.execute("four") == 4
    placed = down.find("sequential/fallback/upper")
    assert isinstance(placed, ChaosPrimitive)
    assert len(placed.injections) == 1


async def test_several_paths_draw_each_for_themselves() -> None:
    """Otherwise all of them would fail in the same calls."""
    workflow = Parallel([step(echo), step(echo, name="other"), step(echo, name="third")])
    paths = ["parallel/echo", "parallel/other", "parallel/third"]
    down = inject_chaos(workflow, paths, outcome=lambda _: None, rate=0.5, seed=3)
    for number in range(50):
        await down.execute(number)
    struck = [
        [injection.call for injection in placed.injections]
        for placed in (down.find(path) for path in paths)
        if isinstance(placed, ChaosPrimitive)
    ]
    assert len({tuple(calls) for calls in struck}) == 3
    again = inject_chaos(workflow, paths[1], outcome=lambda _: None, rate=0.5, seed=3)
    for number in range(50):
        await again.execute(number)
    alone = again.find(paths[1])
    assert isinstance(alone, ChaosPrimitive)
    assert [injection.call for injection in alone.injections] == struck[1]


async def test_a_path_inside_another_is_found_too() -> None:
    """The workflow itself, a composite in it and a step of that."""
    workflow = RetryPrimitive(step(echo) >> str, max_attempts=1, name="top")
    down = inject_chaos(
        workflow, ["top", "top/sequential", "top/sequential/echo"], outcome=lambda one: (one,)
    )
    result: object = await down.execute(1)
    assert result == (("(1,)",),)


@pytest.mark.parametrize("path", ["sequential/none", "other"])
def test_a_path_where_nothing_stands_is_an_error(path: str) -> None:
    """A chaos that strikes nothing would prove nothing."""
    with pytest.raises(PathError):
        inject_chaos(step(echo) >> str, path, fault=ConnectionError)


def test_a_breaker_can_be_tried_with_it() -> None:
    """Ten calls in a row fail, then the provider is well again."""
    provider = inject_chaos(step(echo), fault=ConnectionError, calls=range(1, 11))
    breaker = CircuitBreakerPrimitive(provider, failure_threshold=3, recovery_timeout=10.0)

    async def main() -> tuple[int, float]:
        rejected = 0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await breaker.execute("x")
            except CircuitOpenError:
                rejected += 1
            except ConnectionError:
                pass
            else:
                return rejected, loop.time()
            await asyncio.sleep(1)

    rejected, seconds = run_virtual(main())
    assert provider.call_count == 11
    assert (rejected, seconds) == (72, 82.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "something to do"),
        ({"latency": 0.0}, "something to do"),
        ({"latency": -1.0}, "latency"),
        ({"latency": math.nan}, "latency"),
        ({"latency": math.inf}, "latency"),
        ({"latency": True}, "latency"),
        ({"latency": "1"}, "latency"),
        ({"latency": (2.0, 1.0)}, "from the least to the most"),
        ({"latency": (1.0, 2.0, 3.0)}, "pair"),
        ({"fault": "reset"}, "fault must be"),
        ({"fault": ConnectionError, "outcome": len}, "fault or outcome"),
        ({"outcome": 3}, "outcome must be"),
        ({"outcome": len, "after": True}, "no fault"),
        ({"fault": ConnectionError, "rate": 50}, "fraction"),
        ({"fault": ConnectionError, "rate": -0.1}, "fraction"),
        ({"fault": ConnectionError, "rate": math.nan}, "fraction"),
        ({"fault": ConnectionError, "rate": True}, "fraction"),
        ({"fault": ConnectionError, "rate": 0.5, "calls": [1]}, "give one of them"),
        ({"fault": ConnectionError, "calls": []}, "calls"),
        ({"fault": ConnectionError, "calls": [0]}, "calls"),
        ({"fault": ConnectionError, "calls": [True]}, "calls"),
        ({"fault": ConnectionError, "calls": "12"}, "calls"),
        ({"fault": ConnectionError, "calls": 3}, "calls"),
        ({"fault": ConnectionError, "seed": 1.5}, "seed"),
        ({"fault": ConnectionError, "path": []}, "no path"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    """Before there is a call."""
    with pytest.raises(ConfigurationError, match=said):
        inject_chaos(step(echo), **options)


async def test_a_copy_that_is_unpickled_counts_from_the_start() -> None:
    """Its calls are its own."""
    struck = inject_chaos(step(echo), fault=ConnectionError, calls=[1])
    with pytest.raises(ConnectionError):
        await struck.execute("x")
    again = pickle.loads(pickle.dumps(struck))  # noqa: S301 - our own bytes
    assert again.call_count == 0
    with pytest.raises(ConnectionError):
        await again.execute("x")
    assert struck.call_count == 1
    assert struck.draw("tree").count("echo") >= 1


async def test_what_it_cannot_wrap_is_refused() -> None:
    """A function is no workflow, and a fault must be an exception."""
    with pytest.raises(ConfigurationError, match="takes a workflow"):
        inject_chaos(echo, fault=ConnectionError)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with pytest.raises(CompositionError):
        ChaosPrimitive(3, fault=ConnectionError)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(ConfigurationError, match="no exception"):
        await inject_chaos(step(echo), fault=lambda: "reset").execute("x")  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
