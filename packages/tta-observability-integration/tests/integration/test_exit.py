"""How many spans arrive, however a process ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tta_dev_primitives")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sink

SCRIPT = """
import asyncio, os, signal, sys
import tta_observability_integration as observability
from tta_dev_primitives import step

async def plus(value):
    return value + 1

def check(ready):
    if not ready:
        sys.exit("observability was not initialized")

check(observability.initialize_observability(
    otlp_endpoint=sys.argv[1], enable_prometheus=False, shutdown_timeout=float(sys.argv[3])))
flow = step(plus) >> plus >> plus >> plus  # five spans a run

async def many(runs):
    for number in range(runs):
        await flow.execute(number)

asyncio.run(many(int(sys.argv[2]) // 5))
"""

# urllib3 leaves the closing of pooled sockets to the garbage collector.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")

ENDS = {
    "return": "",
    "sys.exit": "sys.exit(3)",
    "exception": "raise RuntimeError('the end')",
    "SIGINT": "os.kill(os.getpid(), signal.SIGINT)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGTERM in asyncio": """
async def wait():
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()
asyncio.run(wait())
""",
}
CODES = {
    "return": 0,
    "sys.exit": 3,
    "exception": 1,
    "SIGINT": -signal.SIGINT,
    "SIGTERM": -signal.SIGTERM,
    "SIGTERM in asyncio": -signal.SIGTERM,
}


def run(url: str, spans: int, end: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the script in a process of its own, where OTLP's own time limit is never over."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1000"
    return subprocess.run(
        [sys.executable, *WARNINGS, "-c", SCRIPT + end, url, str(spans), str(timeout)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env=environment,
    )


@pytest.mark.parametrize("how", list(ENDS))
def test_every_span_arrives_however_the_process_ends(sink: Sink, how: str) -> None:
    """10,000 quick ones, ended by return, exit, exception or signal, with the usual exit code."""
    done = run(sink.url, 10_000, ENDS[how])

    assert done.returncode == CODES[how], done.stderr
    assert len(sink.spans) == 10_000
    assert len({span.span_id for span in sink.spans}) == 10_000
    if how == "return":
        assert done.stderr == ""


def test_a_forked_child_delivers_its_own_spans(sink: Sink) -> None:
    """Those of the parent are delivered once, by the parent."""
    end = """
child = os.fork()
asyncio.run(many(100))
if child:
    os.waitpid(child, 0)
"""
    done = run(sink.url, 1_000, end)

    assert done.returncode == 0, done.stderr
    assert len(sink.spans) == 1_000 + 2 * 500
    assert len({span.span_id for span in sink.spans}) == 2_000


@pytest.fixture
def dead(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a collector that refuses, or that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("dead", ["refusing", "silent"], indirect=True)
def test_a_dead_collector_delays_the_end_by_a_second_at_most(dead: str) -> None:
    """By its time limit, which is a second; and is worth one line."""
    end = """
import atexit, time
began = time.monotonic()
atexit._run_exitfuncs()
print(time.monotonic() - began)
"""
    done = run(dead, 1_000, end, timeout=1)

    assert done.returncode == 0, done.stderr
    assert 1 <= float(done.stdout) < 60  # of the 1000 that the exporter would take
    (line,) = done.stderr.splitlines()
    assert "took no span for 1 s while shutting down; 1000 are dropped" in line


@pytest.mark.parametrize("dead", ["refusing", "silent"], indirect=True)
def test_a_dead_collector_does_not_slow_the_workflow(dead: str) -> None:
    """No call waits for it, while it has been asked to take what came before."""
    end = """
from tta_observability_integration import setup

async def asked():
    while setup._runtime.spans._in_flight < 512:  # a batch
        await asyncio.sleep(0.01)

asyncio.run(asked())
asyncio.run(many(10_000))
print(setup._runtime.spans._in_flight, setup._runtime.spans.exported)
"""
    done = run(dead, 3_000, end, timeout=0.2)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "512 0\n"
