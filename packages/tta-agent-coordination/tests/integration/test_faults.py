"""A few runs of the faults that `python -m benchmarks.faults` repeats and counts.

Real processes that are killed, real servers that restart or stand still.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tta_agent_coordination.testing import LocalSentinel, RedisServer

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
# Not `benchmarks`: other packages have a folder of this name too.
NAME = "mailbox_benchmarks"


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
kills: Any = importlib.import_module(f"{NAME}.faults.kills")
loads: Any = importlib.import_module(f"{NAME}.faults.loads")
LATE = 60.0
"""Seconds that a machine may pause; nobody looks by himself so soon, and
`python -m benchmarks.faults` tells exactly how soon it is."""
FEW = loads.Load(messages=200, rate=200, lease=2.0, consumers=1)


@pytest.mark.usefixtures("patient")
async def test_what_a_killed_consumer_held_comes_again_when_its_lease_ends(program: str) -> None:
    """To somebody who waits, on a queue where nothing else happens; once."""
    with RedisServer(program) as server:
        found = await kills.kills(server.port, 2, lease=0.5)

    assert (found.runs, found.lost, found.doubled) == (2, 0, 0)
    assert max(found.delays) <= LATE


async def test_killed_consumers_lose_nothing_under_load(program: str) -> None:
    with RedisServer(program) as server:
        found = await loads.under_load(str(server.port), FEW, loads.killing(1))

    assert (found.confirmed, found.lost, found.doubled) == (200, 0, 0)


async def test_a_server_that_starts_again_has_lost_and_doubled_nothing(program: str) -> None:
    """Neither does one that stands still; consumers go on by themselves."""
    aof = ("--appendonly", "yes", "--appendfsync", "always")
    with RedisServer(program, aof) as server:
        restarted = await loads.under_load(str(server.port), FEW, loads.restart(server, 0.3))
        stalled = await loads.under_load(str(server.port), FEW, loads.stall(server, 1.5))

    for found in (restarted, stalled):
        assert (found.confirmed, found.lost, found.doubled) == (200, 0, 0)
        assert found.resumed is not None
        assert found.resumed <= LATE


async def test_a_fail_over_loses_nothing_that_replicas_confirmed(program: str) -> None:
    load = loads.Load(messages=200, rate=200, lease=2.0, work=0.008, consumers=1, min_replicas=1)
    with LocalSentinel(program, down_after=1000) as group:
        where = f"sentinel:{group.watcher.port}"
        found = await loads.under_load(where, load, loads.failover(group, 0.1, told=True))

    assert (found.confirmed, found.lost) == (200, 0)


async def test_a_loss_is_counted_named_and_shown_with_what_the_server_still_holds(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that cannot count would find nothing lost, whatever happens."""
    monkeypatch.setattr(loads, "PATIENCE", 1.0)
    load = loads.Load(messages=100, rate=100, at=0.1, lease=2.0, consumers=1)
    with RedisServer(program) as server:

        async def forget(crew: Any) -> None:
            client: Any = server.client()
            async with client:
                for member in crew.members:
                    await member.kill()
                await client.flushall()
                await client.set("foreign", "1")

        found = await loads.under_load(str(server.port), load, forget)

    assert found.lost >= 20
    assert [clue for clue in found.clues if clue.startswith("m")] == list(found.clues[: found.lost])
    assert any(":writer}:m:*:r5" in clue for clue in found.clues)
    assert "foreign" not in "".join(found.clues)
