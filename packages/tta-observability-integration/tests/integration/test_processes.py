"""Children: of `os.fork`, of a server that forks workers, and of `multiprocessing`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tta_dev_primitives")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import multiprocessing, os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor
import tta_observability_integration as observability
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from tta_dev_primitives import step

class Lines(SpanExporter):
    def export(self, spans):
        with open(sys.argv[1], "a") as file:
            file.writelines(f"{os.getpid()} {span.name}\\n" for span in spans)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass

def initialize():
    assert observability.initialize_observability(
        span_exporter=Lines(), prometheus_port=0, shutdown_timeout=60
    )

def work(number):
    return step(str, name=f"w{number}").run(number)

def whole(number):
    initialize()
    return work(number)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
"""

# urllib3 and pools leave the closing of sockets to the garbage collector; forking beside threads
# is what is tried here.
WARNINGS = ("-W", "ignore::ResourceWarning", "-W", "ignore::DeprecationWarning")


def run(tmp_path: Path, method: str, code: str) -> Counter[str]:
    """Run the script; return how often the span of which name arrived."""
    script, out = tmp_path / "script.py", tmp_path / "spans"
    script.write_text(SCRIPT + "\n".join(f"    {line}" for line in code.splitlines()))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, *WARNINGS, str(script), str(out), method],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Counter(line.split()[1] for line in out.read_text().splitlines())


def named(*numbers: int) -> Counter[str]:
    """Return one span for each number."""
    return Counter(f"w{number}.execute" for number in numbers)


def test_a_child_of_multiprocessing_delivers_what_it_made(tmp_path: Path) -> None:
    """It ends without `atexit`."""
    code = """
initialize()
work(0)
child = context.Process(target=work, args=(1,))
child.start()
child.join()
assert child.exitcode == 0
"""
    assert run(tmp_path, "fork", code) == named(0, 1)


def test_the_workers_of_a_pool_deliver_what_they_made(tmp_path: Path) -> None:
    """They take many tasks, and are forked by a thread."""
    code = """
initialize()
with ProcessPoolExecutor(2, mp_context=context) as pool:
    assert list(pool.map(work, range(20))) == [str(n) for n in range(20)]
"""
    assert run(tmp_path, "fork", code) == named(*range(20))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_that_sets_it_up_itself_delivers_what_it_made(tmp_path: Path, method: str) -> None:
    """However it was started; a pool does so in each worker."""
    code = """
child = context.Process(target=whole, args=(100,))
child.start()
child.join()
assert child.exitcode == 0
with ProcessPoolExecutor(2, mp_context=context, initializer=initialize) as pool:
    assert list(pool.map(work, range(6))) == [str(n) for n in range(6)]
"""
    assert run(tmp_path, method, code) == named(100, *range(6))


def test_workers_that_a_server_forks_deliver_until_they_are_told_to_end(tmp_path: Path) -> None:
    """As gunicorn does it: set up before, own handlers in the child, SIGTERM, `sys.exit`."""
    code = """
initialize()
address = observability.metrics_address()
work(0)
children = []
for number in range(1, 4):
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        assert observability.is_observability_enabled()
        assert observability.metrics_address() is None
        work(number)
        os.write(tell, b"x")
        while True:  # `signal.pause` would not wake for one that came just before it
            time.sleep(0.05)
    children.append(child)
    os.read(told, 1)
assert observability.metrics_address() == address
for child in children:
    os.kill(child, signal.SIGTERM)
    assert os.waitpid(child, 0)[1] == 0
work(4)
"""
    assert run(tmp_path, "fork", code) == named(0, 1, 2, 3, 4)


def test_a_child_that_only_starts_a_program_sends_nothing(tmp_path: Path) -> None:
    """Nor does it disturb the parent."""
    code = """
import subprocess
initialize()
work(0)
subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=lambda: None)
work(1)
"""
    assert run(tmp_path, "fork", code) == named(0, 1)
