"""The benchmarks measure what they say, and every row of their report can be run.

Longer than other files, since the folder is no part of the package and is loaded once, here.
"""

import asyncio
import dataclasses
import gc
import importlib
import importlib.util
import json
import math
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.testing import preserved_observers, run_virtual

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
# Not `benchmarks`: other packages have a folder of this name too.
NAME = "engine_benchmarks"


def load() -> ModuleType:
    """Import the folder as a package, as `python -m benchmarks` does in its place."""
    spec = importlib.util.spec_from_file_location(
        NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


load()
beside: Any = importlib.import_module(f"{NAME}.beside")
crowd: Any = importlib.import_module(f"{NAME}.crowd")
failures: Any = importlib.import_module(f"{NAME}.failures")
hit_ratios: Any = importlib.import_module(f"{NAME}.hit_ratios")
main: Any = importlib.import_module(f"{NAME}.main")
measure: Any = importlib.import_module(f"{NAME}.measure")
observing: Any = importlib.import_module(f"{NAME}.observing")
peers: Any = importlib.import_module(f"{NAME}.peers")
report: Any = importlib.import_module(f"{NAME}.report")
row: Any = importlib.import_module(f"{NAME}.row")
rows: Any = importlib.import_module(f"{NAME}.rows")
subjects: Any = importlib.import_module(f"{NAME}.subjects")
wrappers: Any = importlib.import_module(f"{NAME}.wrappers")

TINY = measure.Effort(rounds=2, block=0.0, fresh=1, failures=1, crowd=20, long=100, requests=20_000)


class Machine:
    """A machine whose calls take known times; it may change its speed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slowness = 1.0
        self.log: list[str] = []

    def call(self, name: str, seconds: float) -> Callable[[int], Awaitable[int]]:
        async def run(value: int) -> int:
            self.log.append(name)
            self.now += seconds * self.slowness
            return value

        return run

    def clock(self) -> float:
        return self.now


class Loop:
    """A peer that is a loop: it does the work and nothing else."""

    statement = "import asyncio"
    concurrent = False

    def chain(self, steps: Sequence[Callable[[int], Awaitable[int]]]) -> Any:
        async def run(value: int) -> int:
            for step in steps:
                value = await step(value)
            return value

        return run

    def fan_out(self, branches: Sequence[Callable[[int], Awaitable[int]]]) -> Any:
        return subjects.gathered(branches)


class Broken(Loop):
    """A peer that cannot be built."""

    def chain(self, steps: Sequence[Callable[[int], Awaitable[int]]]) -> Any:
        message = "no more than two steps"
        raise NotImplementedError(message)

    def fan_out(self, branches: Sequence[Callable[[int], Awaitable[int]]]) -> Any:
        return None


class Wrong(Loop):
    """A peer that is quick because it leaves the work out."""

    def chain(self, steps: Sequence[Callable[[int], Awaitable[int]]]) -> Any:
        async def run(value: int) -> int:
            return value - 1

        return run


def outcome(
    median: float | None, *, budget: float | None = 1.3, broken: str | None = None, **more: Any
) -> Any:
    ours = None if median is None else measure.figure([median])
    return row.Outcome(
        row=row.Row(
            key="chain.10.input.off",
            title="ten steps",
            against="the loop",
            unit="x",
            budget=budget,
            measure=None,
            with_peers=True,
        ),
        measured=row.Measured(ours=ours, broken=broken, **more),
    )


MACHINE = report.Machine(
    python="CPython 3.11.7",
    system="Linux x86_64",
    cores=2,
    load_before=0.25,
    load_after=1.0,
    effort="quick",
)


async def test_each_round_begins_at_another_place_in_the_allocators_pools() -> None:
    """Else a row may stand where each call begins and ends a pool, and another may not."""
    places: list[int] = []

    async def call(_: int) -> None:
        places.append(id(bytes(100)))

    effort = dataclasses.replace(TINY, rounds=20)
    await measure.compare(call, {"subject": call}, effort)

    assert len(set(places[-3 * effort.rounds :: 3])) > effort.rounds / 2


def test_a_figure_is_the_median_between_the_quartiles() -> None:
    """Quartiles include both ends of the data."""
    found = measure.figure([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.low, found.median, found.high, found.rounds) == (2.0, 3.0, 4.0, 5)


def test_a_single_value_is_a_figure() -> None:
    """Then all three are the value."""
    found = measure.figure([1.5])
    assert (found.low, found.median, found.high, found.rounds) == (1.5, 1.5, 1.5, 1)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.nan]])
def test_no_figure_is_made_of_nothing_or_of_nan(values: list[float]) -> None:
    """A missing measurement must not look like one."""
    with pytest.raises(ValueError, match="figure"):
        measure.figure(values)


@given(st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1))
def test_quartiles_enclose_the_median_and_lie_within_the_data(values: list[float]) -> None:
    """The law of a figure, whatever the data."""
    found = measure.figure(values)
    slack = 1 + 1e-9
    assert min(values) <= found.low * slack
    assert found.low <= found.median * slack
    assert found.median <= found.high * slack
    assert found.high <= max(values) * slack


@given(st.lists(st.floats(min_value=1.0, max_value=100.0), min_size=1))
def test_one_outlier_does_not_move_the_median_out_of_the_data(values: list[float]) -> None:
    """An interrupted round is not what is reported."""
    found = measure.figure([*values, *values, 1e9])
    assert found.median <= max(values)


async def test_a_block_holds_as_many_calls_as_fit_its_time() -> None:
    """A thousand calls of a microsecond last a millisecond."""
    machine = Machine()
    runs = await measure.runs_per_block(machine.call("a", 1e-6), 1e-3, clock=machine.clock)
    assert runs == pytest.approx(1000, rel=0.01)


async def test_a_slow_call_is_timed_once_per_block() -> None:
    """Peers may need longer for one call than a block lasts."""
    machine = Machine()
    assert await measure.runs_per_block(machine.call("a", 0.5), 1e-3, clock=machine.clock) == 1


async def test_an_interruption_does_not_make_blocks_too_short() -> None:
    """The quickest of three tries decides how many calls a block holds."""
    machine = Machine()
    inner = machine.call("a", 1e-6)

    async def interrupted(value: int) -> int:
        if len(machine.log) in {0, 7, 50}:
            machine.now += 1.0
        return await inner(value)

    runs = await measure.runs_per_block(interrupted, 1e-3, clock=machine.clock)
    assert runs == pytest.approx(1000, rel=0.01)


async def test_a_subject_stands_between_two_baselines() -> None:
    """Baseline, subject, baseline, and the next subject shares the baseline in the middle."""
    machine = Machine()
    effort = measure.Effort(rounds=1, block=1.0, fresh=1, failures=1, crowd=1, long=1, requests=1)
    await measure.compare(
        machine.call("base", 1.0),
        {"a": machine.call("a", 1.0), "b": machine.call("b", 1.0)},
        effort,
        clock=machine.clock,
    )
    assert machine.log[-5:] == ["base", "a", "base", "b", "base"]


async def test_nobody_always_comes_first() -> None:
    """The order of the subjects rotates from round to round."""
    machine = Machine()
    effort = measure.Effort(rounds=2, block=1.0, fresh=1, failures=1, crowd=1, long=1, requests=1)
    await measure.compare(
        machine.call("base", 1.0),
        {"a": machine.call("a", 1.0), "b": machine.call("b", 1.0)},
        effort,
        clock=machine.clock,
    )
    assert machine.log[-10:] == [
        *("base", "a", "base", "b", "base"),
        *("base", "b", "base", "a", "base"),
    ]


@pytest.mark.slow
@settings(max_examples=10)  # each example builds up a block by single calls
@given(st.floats(min_value=0.1, max_value=1000.0), st.floats(min_value=1.0, max_value=1.05))
def test_a_ratio_holds_though_the_machine_slows_down(ratio: float, drift: float) -> None:
    """What slows baseline and subject alike cancels out, up to its change within a round."""
    machine = Machine()

    def clock() -> float:
        machine.slowness *= drift ** (1 / 4)
        return machine.now

    effort = measure.Effort(rounds=5, block=0.02, fresh=1, failures=1, crowd=1, long=1, requests=1)
    found = asyncio.run(
        measure.compare(
            machine.call("base", 1.0), {"a": machine.call("a", ratio)}, effort, clock=clock
        )
    )
    assert found["a"].median == pytest.approx(ratio, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("one", rows.ROWS, ids=lambda one: one.key)
async def test_every_row_can_be_run(one: Any) -> None:
    """Each gives a figure, or says which module is not part of this version."""
    (found,) = await main.measured([one], TINY, {})
    facts = " ".join(found.measured.facts)
    assert "could not be run" not in facts
    assert found.measured.broken is None
    assert found.measured.ours is not None or "no module tta_dev_primitives." in facts


def test_keys_of_rows_are_unique_and_of_a_known_family() -> None:
    """A key names one row, on the command line and in the reasons."""
    keys = [one.key for one in rows.ROWS]
    assert len(keys) == len(set(keys))
    assert {one.family for one in rows.ROWS} == set(rows.FAMILIES)


def test_each_reason_belongs_to_a_row() -> None:
    """A reason whose row is gone would never be read."""
    reasons: Any = importlib.import_module(f"{NAME}.reasons")
    assert set(reasons.REASONS) <= {one.key for one in rows.ROWS}
    assert reasons.reason("chain.none") == "not explained yet"


async def test_a_row_that_fails_stops_no_other() -> None:
    """It says why instead."""

    async def fails(effort: object, peers: object) -> object:
        message = "no such thing"
        raise RuntimeError(message)

    bad = row.Row(key="chain.bad", title="", against="", unit="", budget=1.0, measure=fails)
    good = next(one for one in rows.ROWS if one.key == "chain.noise")
    first, second = await main.measured([bad, good], TINY, {})
    assert first.measured.facts == ("could not be run: RuntimeError: no such thing",)
    assert second.measured.ours is not None


async def test_what_the_collector_has_set_apart_stays_so() -> None:
    """Who froze it, as these tests do, would else pay for it in every collection."""
    gc.freeze()
    await main.measured(rows.select(["chain.noise"]), TINY, {})
    assert gc.get_freeze_count()


async def test_peers_stand_beside_ours_and_absent_ones_say_why() -> None:
    """A peer that is absent, cannot be built or does other work has a text, never a figure."""
    found = {
        "loop": Loop(),
        "broken": Broken(),
        "wrong": Wrong(),
        "absent": "not installed",
    }
    (one,) = await main.measured(rows.select(["chain.10.input.off"]), TINY, found)
    told = one.measured.peers
    assert isinstance(told["loop"], measure.Figure)
    assert told["broken"] == "NotImplementedError: no more than two steps"
    assert told["wrong"].startswith("WrongResultError: returned 0; the baseline returned 1")
    assert told["absent"] == "not installed"


@pytest.mark.parametrize(
    "key", ["fan-out.10.suspending.off", "length.run", "failure.siblings", "crowd.chain"]
)
async def test_a_peer_can_stand_in_every_family(key: str) -> None:
    """It has a figure there, or a reason."""
    one, *_ = await main.measured(rows.select([key]), TINY, {"loop": Loop()})
    assert one.measured.peers["loop"]


def test_a_peer_whose_sibling_outlives_the_call_has_no_time() -> None:
    """Who leaves the sibling running returns soon, and has not done the work."""
    chosen = rows.select(["failure.siblings.fail_fast"])
    (one,) = run_virtual(main.measured(chosen, TINY, {"loop": Loop(), "none": Broken()}))
    assert one.measured.peers["loop"] == "raised ValueError, sibling still ran after the call"
    assert one.measured.peers["none"] == "has nothing to compare"
    assert isinstance(one.measured.peers["asyncio.TaskGroup"], measure.Figure)


def unchanged(step: Any) -> Any:
    """Wrap nothing around a step."""
    return step


def fails_to_wrap(step: Any) -> Any:
    message = f"no {step.__name__}"
    raise NotImplementedError(message)


@pytest.mark.parametrize(
    "key", [one.key for one in rows.ROWS if one.role not in {None, "eviction"}]
)
async def test_a_library_that_wraps_a_step_stands_in_the_rows_of_its_role(key: str) -> None:
    """It has a figure; one that cannot wrap it or is absent has a reason; others do not stand."""
    (one,) = rows.select([key])
    names = peers.GUARDS[one.role]
    found: dict[str, Any] = {f"{names[0]} 1.0": {one.role: unchanged}, "langgraph": "absent"}
    if len(names) > 1:
        found[names[1]] = "not installed"
    (got,) = await main.measured([one], TINY, found)
    told = {name: why for name, why in got.measured.peers.items() if name != "bare await"}
    assert isinstance(told.pop(f"{names[0]} 1.0"), measure.Figure)
    assert told == ({names[1]: "not installed"} if len(names) > 1 else {})


async def test_a_library_that_cannot_wrap_a_step_says_why() -> None:
    """The others in its row are measured all the same."""
    found = {"tenacity 1": {"retry": fails_to_wrap}, "stamina 1": {"retry": unchanged}}
    (one,) = await main.measured(rows.select(["wrapper.retry.off"]), TINY, found)
    assert one.measured.peers["tenacity 1"] == "NotImplementedError: no passes"
    assert isinstance(one.measured.peers["stamina 1"], measure.Figure)


def test_workflows_and_libraries_that_wrap_do_not_stand_in_each_others_rows() -> None:
    """A name that is in no role is a workflow."""
    found: dict[str, Any] = {"hyx 1": {}, "loop": Loop(), "tenacity": "absent"}
    assert set(peers.beside_role(found, None)) == {"loop"}
    assert set(peers.beside_role(found, "retry")) == {"hyx 1", "tenacity"}
    assert set(peers.beside_role(found, "bulkhead")) == {"hyx 1"}


@pytest.mark.parametrize("name", peers.NAMES)
def test_every_peer_has_a_module_and_is_found_with_all_its_roles(name: str) -> None:
    """One that is not installed says so; one that is has what its roles promise."""
    assert (FOLDER / "peers" / f"{name.replace('-', '_')}.py").is_file()
    ((label, peer),) = peers.find([name]).items()
    assert label.partition(" ")[0] == name
    if isinstance(peer, str):
        assert peer == "not installed (dependency group `bench`)"
    elif name not in peers.WORKFLOWS:
        roles = {role for role, names in peers.GUARDS.items() if name in names}
        assert set(peer) == roles - {"eviction"}


async def test_what_has_no_single_flight_is_named_beside_its_figure() -> None:
    """Its misses are cheaper, since they do less."""
    found: dict[str, Any] = {"cachetools 1": {"cache": unchanged}}
    (one,) = await main.measured(rows.select(["wrapper.cache-miss.off"]), TINY, found)
    assert "without single flight" in " ".join(one.measured.facts)
    (one,) = await main.measured(rows.select(["wrapper.cache-miss.off"]), TINY, {})
    assert one.measured.facts == ()


async def test_every_timed_miss_is_one() -> None:
    """The cache is full before, and each call asks for another key."""
    asked: list[int] = []

    async def step(value: int) -> int:
        asked.append(value)
        return 1

    missing = await wrappers._always_missing(step)
    filled = len(asked)
    assert filled > peers.ROOM
    assert await missing(1) == await missing(1) == 1
    assert len(set(asked)) == filled + 2


async def test_a_policy_that_falls_below_lru_misses_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one trace is enough, whatever the mean."""
    good = hit_ratios.traces.replay

    def one_bad_trace(name: str) -> Any:
        def run(trace: Sequence[int], room: int) -> Any:
            return 0.0 if min(trace) < 0 else good(name)(trace, room)

        return run

    monkeypatch.setattr(hit_ratios.traces, "replay", one_bad_trace)
    (one,) = await main.measured(rows.select(["cache.hit-ratio"]), TINY, {})
    assert one.measured.broken == "below LRU in scan + loop @ 1%, scan + loop @ 10%"
    assert row.verdict(one) == "missed"


async def test_the_part_that_is_left_is_what_was_not_gained() -> None:
    """LRU leaves all of it; a peer without the distribution is named."""
    cells = [
        hit_ratios.traces.Cell(
            trace="t", share=0.1, room=1, lru=0.2, optimum=0.6, ratios={"x": 0.5, "lru": 0.2}
        )
    ]
    assert hit_ratios._left_open(cells, "x").median == pytest.approx(25)
    assert hit_ratios._left_open(cells, "lru").median == pytest.approx(100)
    replays, reasons = hit_ratios._replays({"theine": "not installed", "cachebox 1": {}})
    assert set(replays) == {"s3-fifo", "cachebox 1, LFU"}
    assert reasons == {"theine": "not installed"}


def test_a_mapping_of_others_is_replayed_as_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that evicts as LRU does has the hits of LRU."""

    class Bounded(OrderedDict[int, None]):
        def __init__(self, room: int) -> None:
            super().__init__()
            self.room = room

        def get(self, key: int, default: Any = None) -> Any:
            if key not in self:
                return default
            self.move_to_end(key)
            return self[key]

        def __setitem__(self, key: int, value: None) -> None:
            super().__setitem__(key, value)
            if len(self) > self.room:
                self.popitem(last=False)

    library: Any = ModuleType("bounded_mappings")
    library.Bounded = Bounded
    monkeypatch.setitem(sys.modules, "bounded_mappings", library)
    trace = hit_ratios.traces.zipf(1.0, 5_000)
    run = hit_ratios.traces._as_mapping("bounded_mappings", "Bounded")
    assert run(trace, 50) == hit_ratios.traces.lru(trace, 50)


def test_a_peer_that_is_not_installed_is_told() -> None:
    """A name without a distribution gives a text."""
    assert peers.find(["no-such-distribution"]) == {
        "no-such-distribution": "not installed (dependency group `bench`)"
    }


@pytest.mark.parametrize("mode", observing.MODES)
async def test_a_mode_is_left_as_it_was_entered(mode: str) -> None:
    """Whoever listened before listens afterwards."""
    with preserved_observers():
        before = engine.listening
        with observing.observed(mode):
            assert await subjects.chain("input", 2)(1) == 1
            state = engine.listening
        assert engine.listening is before
    if mode == "off":
        assert state is None
    else:
        assert state is not None
        assert state.always_framed == (mode in {"frames", "observer"})
        assert bool(state.live) == (mode == "observer")


async def test_frames_of_ours_and_of_steps_are_told_apart() -> None:
    """A step that is called without a library has none between."""
    with pytest.raises(ValueError, match="cannot use 1") as raised:
        await failures.raises(1)
    error = raised.value
    # This test's own frame is not one of the benchmarks', so it counts as a library's.
    assert failures.frames_between(error) == 1
    error.__cause__ = error  # a cycle of causes must not hang
    assert failures.frames_between(error) == 1


async def test_a_gate_opens_when_all_have_come() -> None:
    """So that the executions of a crowd are under way at the same time."""
    gate = crowd.Gate(2)
    first = asyncio.create_task(gate(1))
    await asyncio.sleep(0)
    assert not first.done()
    assert await gate(2) == 2
    assert await first == 1


@pytest.mark.parametrize("subject", ["bare", "chain", "fan-out"])
async def test_a_crowd_leaves_nobody_behind(subject: str) -> None:
    """All results are right and no task is left."""
    with preserved_observers():
        news = await crowd.run(subject, 10)
    assert (news["left"], news["wrong"]) == (0, 0)
    assert news["peak"] is None or news["peak"] > 1


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (outcome(1.304), "met"),
        (outcome(1.306), "missed"),
        (outcome(9.0, budget=None), "no budget"),
        (outcome(1.0, broken="2 tasks left"), "missed"),
        (outcome(None), "not measured"),
    ],
)
def test_a_verdict_compares_what_is_shown(found: Any, expected: str) -> None:
    """A budget is missed by its figure, or by a condition that was not held."""
    assert row.verdict(found) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1.2345, "x", "1.23x"),
        (57.04, "x", "57x"),
        (57.46, "x", "57.5x"),
        (1848.2, "x", "1,848x"),
        (0.0421, "ms", "0.04 ms"),
        (0.0, "", "0"),
        (1000.0, "MB", "1,000 MB"),
    ],
)
def test_figures_show_three_digits(value: float, unit: str, expected: str) -> None:
    """More would be noise."""
    assert report.shown(value, unit) == expected


def test_the_report_names_the_machine_the_best_peer_and_what_was_missed() -> None:
    """Text and page tell the same."""
    told = {
        "asyncio.gather": measure.figure([0.5]),
        "slow 1": measure.figure([400.0]),
        "slower 2": measure.figure([500.0]),
        "absent": "not installed",
    }
    found = [outcome(1.4, peers=told, facts=("a fact",))]
    for text in (report.as_text(found, MACHINE), report.as_markdown(found, MACHINE)):
        assert "CPython 3.11.7, Linux x86_64, 2 cores, load 0.2 to 1.0, quick run" in text
        assert "slow 1: 400x" in text
        assert "1 rows: 1 missed" in text
        assert "absent: not installed" in text
        assert "a fact" in text
    assert "### Budgets that are missed, and why" in report.as_markdown(found, MACHINE)


def test_the_report_can_be_read_by_programs() -> None:
    """JSON has every figure, with its quartiles."""
    found = [outcome(1.25, peers={"loop": measure.figure([1.0, 2.0, 3.0]), "absent": "why"})]
    read = json.loads(report.as_json(found, MACHINE))
    (one,) = read["rows"]
    assert (one["ours"]["median"], one["budget"], one["verdict"]) == (1.25, 1.3, "met")
    assert one["peers"]["loop"] == {"median": 2.0, "low": 1.5, "high": 2.5, "rounds": 3}
    assert one["peers"]["absent"] == {"absent": "why"}
    assert read["machine"]["cores"] == 2


@given(st.text(alphabet="ab\n", max_size=20), st.text(alphabet="cd|", max_size=20))
def test_a_page_keeps_everything_outside_the_markers(page: str, text: str) -> None:
    """Writing twice changes only what is between them, and is as good as once."""
    once = report.put_into(page, "first")
    assert report.put_into(once, "first") == once
    twice = report.put_into(once, text)
    assert twice.startswith(page.rstrip())
    assert text in twice
    assert "first" not in twice
    assert report.put_into(twice, "first") == once


def test_a_page_that_lost_a_marker_is_refused() -> None:
    """Nobody's text is overwritten by guessing."""
    once = report.put_into("page", "text")
    with pytest.raises(ValueError, match="only one of the markers"):
        report.put_into(once.partition("<!-- end")[0], "text")


def test_rows_are_chosen_by_key_beginning_or_pattern() -> None:
    """A beginning ends before a dot, so `chain.1` is nobody."""
    assert rows.select([]) == rows.ROWS
    assert [one.key for one in rows.select(["chain.noise"])] == ["chain.noise"]
    assert {one.family for one in rows.select(["fan-out", "import"])} == {"fan-out", "import"}
    assert {one.key.split(".")[1] for one in rows.select(["chain.100.*"])} == {"100"}
    with pytest.raises(LookupError, match=r"no row matches 'chain\.1'"):
        rows.select(["chain.1"])


@pytest.mark.parametrize("wrong", [["--rows", "nothing"], ["--peers", "nobody"], ["--fast"]])
def test_a_wrong_command_line_says_what_is_wrong(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one message, no traceback."""
    with pytest.raises(SystemExit) as stopped:
        main.main(wrong)
    assert stopped.value.code == 2
    assert wrong[-1] in capsys.readouterr().err


def test_the_command_lists_rows_with_their_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    """Without measuring."""
    assert main.main(["--list", "--rows", "import"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "at most 1.1 x" in lines[0]
    assert "no budget" in lines[1]


def test_the_command_writes_what_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table on the terminal, JSON in one file, a page in another."""
    page, data = tmp_path / "page.md", tmp_path / "data.json"
    page.write_text("# Performance\n", encoding="utf-8")
    arguments = ["--quick", "--peers", "none", "--rows", "failure.frames"]
    with preserved_observers():
        code = main.main([*arguments, "--json", str(data), "--markdown", str(page)])
    assert code == 0
    assert "2 rows: 2 met" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").startswith("# Performance\n\n<!-- begin benchmarks")
    assert len(json.loads(data.read_text(encoding="utf-8"))["rows"]) == 2


def test_the_rows_of_the_summary_exist() -> None:
    """A row that was renamed would vanish from the first page without a word."""
    assert set(report.SUMMARY) <= {one.key for one in rows.ROWS}
