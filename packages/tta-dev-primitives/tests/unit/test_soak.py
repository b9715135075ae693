"""A short soak of the whole recovery stack; the long one is `python -m benchmarks.soak`."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def load() -> Any:
    """Import the soak from its file: it is no part of the package."""
    spec = importlib.util.spec_from_file_location("recovery_soak", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
async def test_many_mixed_calls_leave_nothing_behind() -> None:
    """Every call has one outcome, no task is left, and the loop has nothing to complain of."""
    blocks, outcomes, left, complaints = await load().soak(10_000, seed=7)

    assert sum(outcomes.values()) == 10_000
    assert outcomes["cancelled"] > 100
    assert outcomes["local"] > 10
    assert (left, complaints) == (0, 0)
    assert blocks[-1] < 1.1 * blocks[0]
