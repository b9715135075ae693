"""Traces: S3-FIFO stands well above LRU on all of them, and the figures are right."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.performance.policies import POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "traces.py"


def load() -> Any:
    """Import the benchmark from its file: it is no part of the package."""
    spec = importlib.util.spec_from_file_location("cache_traces", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


traces = load()


def small_zipf(seed: int) -> list[int]:
    rng = random.Random(seed)
    return rng.choices(range(2_000), weights=[1 / rank for rank in range(1, 2_001)], k=20_000)


def with_scans(seed: int) -> list[int]:
    trace: list[int] = []
    for index in range(0, 20_000, 500):
        trace += small_zipf(seed)[index : index + 500]
        trace += range(10_000 + index, 10_200 + index)
    return trace


@pytest.mark.parametrize("make", [small_zipf, with_scans])
@pytest.mark.parametrize("room", [20, 200])
def test_s3_fifo_closes_two_fifths_of_the_gap_from_lru_to_the_optimum(
    make: Callable[[int], list[int]], room: int
) -> None:
    """On small traces; the benchmark measures large ones."""
    trace = make(7)
    least, most = traces.lru(trace, room), traces.optimum(trace, room)
    reached = traces.replay("s3-fifo")(trace, room)
    assert least < reached < most
    assert (reached - least) / (most - least) > 0.4


def test_the_models_of_the_benchmark_agree_with_the_policies() -> None:
    """LRU as a policy is LRU as `OrderedDict` has it; nothing beats the optimum."""
    trace = small_zipf(3)
    assert traces.replay("lru")(trace, 50) == traces.lru(trace, 50)
    assert all(traces.replay(name)(trace, 50) <= traces.optimum(trace, 50) for name in POLICIES)
    assert traces.optimum([1, 2, 3, 1, 2, 3], 2) == pytest.approx(2 / 6)


def test_the_table_shows_every_policy_with_the_share_of_the_gap() -> None:
    """As the mean of all cells, with the worst one."""
    cells = [
        traces.Cell(trace="t", share=0.1, room=1, lru=0.2, optimum=0.6, ratios={"x": 0.4}),
        traces.Cell(trace="t", share=0.5, room=5, lru=0.4, optimum=0.8, ratios={"x": 0.5}),
    ]
    assert traces.gap_closed(cells, "x") == pytest.approx(0.375)
    lines = traces.as_markdown(cells, {"x": 1.5}).splitlines()
    assert lines[-1] == "| x | 0.400 | 0.500 | 38% | 25% | 1.50 |"
    assert len({line.count("|") for line in lines}) == 1


def test_the_traces_are_what_they_say() -> None:
    """As many requests as asked for, the same from the same seed; a scan's keys never return."""
    for make in (traces.scan_and_loop, traces.drift):
        made = make(requests=30_000)
        assert len(made) == 30_000
        assert made == make(requests=30_000)
    mixed = traces.scan_and_loop(requests=30_000)
    once = [key for key in mixed if key >= traces.KEYS]
    assert len(once) == len(set(once)) == 2_400
    looped = [key for key in mixed if key < 0]
    assert looped[:5_000] == list(range(-5_000, 0))
    steep = traces.zipf(1.0, requests=20_000)
    assert steep.count(0) == pytest.approx(20_000 / 12.09, rel=0.15)


@pytest.mark.slow
def test_the_cost_is_measured_against_the_cache_of_the_standard_library() -> None:
    """Which is the same LRU as the plain one."""
    trace = traces.zipf(1.0, requests=5_000)
    assert traces.c_lru(trace, 100) == traces.lru(trace, 100)
    assert traces.relative_cost(trace, 100, traces.replay("s3-fifo"), rounds=3) > 0
