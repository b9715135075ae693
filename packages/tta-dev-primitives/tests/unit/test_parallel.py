"""Branches run at once; whatever happens to one, none is left when the call ends."""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import Any

import pytest

from tta_dev_primitives import (
    Conditional,
    Outcome,
    Parallel,
    Sequential,
    WorkflowContext,
    add_observer,
    step,
)
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompositionError, ConfigurationError, QuorumError
from tta_dev_primitives.testing import run_virtual

MODES = ["bare", "counted", "framed"]


def listen(mode: str) -> None:
    """Run as with nobody, the default recorder, or an observer listening."""
    if mode == "bare":
        engine.install_defaults()
    elif mode == "framed":
        add_observer(NullObserver())


class Probe:
    """A branch that works for a while and tells what became of it."""

    def __init__(self, seconds: float = 0.0, error: BaseException | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.state = "not started"

    async def __call__(self, value: Any) -> Any:
        """Work, then fail or return the input."""
        self.state = "running"
        try:
            await asyncio.sleep(self.seconds)
            if self.error is not None:
                raise self.error
        except asyncio.CancelledError:
            self.state = "cancelled"
            raise
        except BaseException:
            self.state = "failed"
            raise
        self.state = "done"
        return value


def others() -> set[asyncio.Task[Any]]:
    """Return the tasks beside this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_fail_fast_raises_the_first_error_as_itself_and_cancels_the_rest(mode: str) -> None:
    """The siblings have ended before the call raises."""
    listen(mode)
    error = ValueError("first")
    bad, slow, quick = Probe(1.0, error), Probe(100.0), Probe(0.0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="first") as raised:
            await Parallel([slow, bad, quick]).execute(1)
        assert raised.value is error
        assert loop.time() == pytest.approx(1.0)
        assert [p.state for p in (bad, slow, quick)] == ["failed", "cancelled", "done"]
        assert not others()

    run_virtual(main())


def test_a_later_error_of_a_cancelled_sibling_is_a_note_on_the_first() -> None:
    """It is not lost, and does not replace the cause."""

    async def stubborn(value: int) -> int:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            message = "while closing"
            raise OSError(message) from None
        return value

    with pytest.raises(ValueError, match="first") as raised:
        run_virtual(Parallel([stubborn, Probe(1, ValueError("first"))]).execute(1))
    assert any(
        "'stubborn' failed too" in n and "OSError: while closing" in n
        for n in raised.value.__notes__
    )


@pytest.mark.parametrize("mode", MODES)
def test_collect_gives_an_outcome_for_each_branch(mode: str) -> None:
    """All run to their end."""
    listen(mode)
    error = ValueError("x")
    listed = run_virtual(Parallel([Probe(2), Probe(1, error)], on_error="collect").execute(7))
    assert listed == [Outcome(value=7), Outcome(error=error)]
    assert [outcome.ok for outcome in listed] == [True, False]
    assert listed[0].unwrap() == 7
    with pytest.raises(ValueError, match="x"):
        listed[1].unwrap()
    keyed = run_virtual(
        Parallel({"a": Probe(), "b": Probe(0, error)}, on_error="collect").execute(7)
    )
    assert keyed == {"a": Outcome(value=7), "b": Outcome(error=error)}


@pytest.mark.parametrize("mode", MODES)
def test_first_success_gives_one_result_and_cancels_the_rest(mode: str) -> None:
    """Errors before it do not matter."""
    listen(mode)
    slow = Probe(100)
    branches = {"bad": Probe(1, ValueError()), "good": Probe(2), "slow": slow}
    result = run_virtual(Parallel(branches, on_error="first_success").execute(5))
    assert (result, slow.state) == (5, "cancelled")


def test_first_success_with_none_raises_all_errors_as_a_group() -> None:
    """In branch order, not in the order of failing."""
    errors = [ValueError("a"), KeyError("b")]
    workflow = Parallel([Probe(2, errors[0]), Probe(1, errors[1])], on_error="first_success")
    with pytest.raises(ExceptionGroup, match="all 2 branches of 'parallel' failed") as raised:
        run_virtual(workflow.execute(1))
    assert list(raised.value.exceptions) == errors


@pytest.mark.parametrize("mode", MODES)
def test_a_quorum_gives_its_results_in_branch_order(mode: str) -> None:
    """However late the first of them came."""
    listen(mode)

    async def name(value: Any) -> str:
        await asyncio.sleep(3)
        return f"late {value}"

    slow = Probe(100)
    branches = [name, Probe(1, ValueError()), Probe(1), slow]
    assert run_virtual(Parallel(branches, quorum=2).execute("x")) == ["late x", "x"]
    assert slow.state == "cancelled"


def test_a_quorum_out_of_reach_fails_at_once_and_names_the_branches() -> None:
    """It does not wait for branches that cannot help any more."""
    slow = Probe(100)
    workflow = Parallel(
        {"a": Probe(1, ValueError("no")), "b": Probe(2, KeyError("k")), "c": slow}, quorum=2
    )
    with pytest.raises(
        QuorumError, match=r"needs 2 of 3.*a: ValueError: no; b: KeyError"
    ) as raised:
        run_virtual(workflow.execute(1))
    assert slow.state == "cancelled"
    assert (raised.value.required, raised.value.succeeded) == (2, 0)
    assert [type(error) for error in raised.value.errors] == [ValueError, KeyError]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("mode", MODES)
def test_no_more_branches_run_at_a_time_than_allowed(limit: int, mode: str) -> None:
    """And all of them run."""
    listen(mode)
    running = peak = 0

    async def branch(value: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1
        return value

    results = run_virtual(Parallel([branch] * 5, max_concurrency=limit).execute(1))
    assert (results, peak) == ([1] * 5, min(limit, 5))


def test_branches_do_not_see_the_context_variables_of_each_other() -> None:
    """Also where one starts after another has ended."""
    variable = contextvars.ContextVar("variable", default="outer")

    async def branch(value: str) -> str:
        before = variable.get()
        variable.set("changed")
        return before

    for limit in (None, 1):
        assert Parallel([branch] * 3, max_concurrency=limit).run("x") == ["outer"] * 3


def test_the_context_is_one_object_for_all_branches() -> None:
    """What one writes, a later step reads."""

    def write(context: WorkflowContext, value: int) -> int:
        context.data[f"k{value}"] = value
        return value

    context = WorkflowContext()
    workflow = Parallel([write, lambda ctx, value: write(ctx, value + 1)])
    workflow.run(context, 1)
    assert context.data == {"k1": 1, "k2": 2}


def test_of_gives_a_tuple() -> None:
    """Each place with its own type."""
    assert Parallel.of(step(str), step(float)).run(1) == ("1", 1.0)


def test_cancelling_the_call_cancels_and_drains_every_branch() -> None:
    """Cancellation reaches the caller, not an error made of it."""
    probes = [Probe(100), Probe(100)]

    async def main() -> None:
        task = asyncio.create_task(Parallel(probes).execute(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [p.state for p in probes] == ["cancelled", "cancelled"]
        assert not others()

    run_virtual(main())


def test_a_branch_that_swallows_cancellation_does_not_swallow_the_callers() -> None:
    """The call waits for it, and is cancelled all the same."""

    async def stubborn(value: int) -> int:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
        return value

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(Parallel([stubborn, Probe(100)]).execute(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() == pytest.approx(6.0)
        assert not others()

    run_virtual(main())


def test_a_deadline_around_a_fan_out_expires_as_a_timeout() -> None:
    """`asyncio.timeout` finds its own cancellation again."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await Parallel([Probe(100), Probe(0.5)]).execute(1)
        assert not others()

    run_virtual(main())


def test_a_branch_that_is_cancelled_from_inside_cancels_the_call() -> None:
    """Cancellation is never counted as a failure or a result."""

    async def gives_up(value: int) -> int:
        raise asyncio.CancelledError

    sibling = Probe(100)
    make: Any = Parallel

    async def main() -> None:
        for options in ({}, {"on_error": "collect"}, {"on_error": "first_success"}):
            with pytest.raises(asyncio.CancelledError):
                await make([gives_up, sibling], **options).execute(1)
        assert not others()

    run_virtual(main())


@pytest.mark.parametrize("escape", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_branch_leaves_no_task_behind(escape: type[BaseException]) -> None:
    """It is not an error of the branch: no policy holds it back."""

    async def interrupted(value: int) -> int:
        raise escape

    sibling = Probe(100)
    with pytest.raises(escape):
        asyncio.run(Parallel([sibling, interrupted], on_error="collect").execute(1))
    assert sibling.state in {"cancelled", "not started"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"on_error": "ignore"}, "fail_fast, collect, first_success, not 'ignore'"),
        ({"quorum": 0}, "1 to 2"),
        ({"quorum": 3}, "1 to 2"),
        ({"quorum": True}, "1 to 2"),
        ({"quorum": 1, "on_error": "collect"}, "not both"),
        ({"max_concurrency": 0}, "at least 1"),
        ({"max_concurrency": 1.5}, "at least 1"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: Any, told: str) -> None:
    """When built, with the value and the range."""
    with pytest.raises(ConfigurationError, match=told):
        Parallel([len, str], **options)


def test_a_key_that_is_no_text_is_refused() -> None:
    """Keys become parts of paths."""
    wrong: Any = {5: len}
    with pytest.raises(CompositionError, match="key 5"):
        Parallel(wrong)


def _random_workflow(rng: random.Random, depth: int) -> Any:
    """Build a random tree of composites over branches that wait, fail or return."""
    if depth == 0 or rng.random() < 0.3:
        error = ValueError("random") if rng.random() < 0.25 else None
        return Probe(rng.choice([0.0, 0.1, 0.5, 2.0]), error)
    inner = [_random_workflow(rng, depth - 1) for _ in range(rng.randint(1, 4))]
    kind = rng.randrange(6)
    limit = rng.choice([None, 1, 2])
    if kind == 0:
        return Sequential(inner)
    if kind == 1:
        return Conditional(lambda _: rng.random() < 0.5, inner[0], inner[-1])
    policies: list[dict[str, Any]] = [
        {"on_error": "collect"},
        {"on_error": "first_success"},
        {"quorum": rng.randint(1, len(inner))},
        {},
    ]
    make: Any = Parallel
    return make(inner, max_concurrency=limit, **policies[kind - 2])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_ten_thousand_random_runs_leave_no_task(mode: str) -> None:
    """Over all policies, nested, a third of them cancelled at a random moment."""
    listen(mode)
    rng = random.Random(f"leaks {mode}")

    async def main() -> None:
        for _ in range(3_334):
            workflow = Parallel([_random_workflow(rng, 3)], on_error="collect")
            task = asyncio.create_task(workflow.execute(1))
            if rng.random() < 0.33:
                await asyncio.sleep(rng.choice([0.0, 0.05, 0.1, 0.3, 0.6, 2.1]))
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                assert isinstance(task.result(), list)
            assert not others()
            assert engine.current.get() is None

    run_virtual(main())
