"""Ten thousand at once hold their memory, and importing the core loads nothing foreign."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FOREIGN = """
import sys
before = set(sys.modules)
import tta_dev_primitives
from tta_dev_primitives import WorkflowPrimitive, Sequential, Parallel
import asyncio
asyncio.run(Parallel([len, str]).execute("x"))
for name in tta_dev_primitives.__all__:
    if name != "Validate":
        getattr(tta_dev_primitives, name)
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names) - {"tta_dev_primitives"}))
"""

_LIGHT = """
import sys
from tta_dev_primitives import WorkflowPrimitive, Sequential, Parallel
extra = {m for m in sys.modules if m.startswith("tta_dev_primitives")}
print(sorted(extra))
"""


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_importing_and_running_the_core_loads_no_third_party_module() -> None:
    """Not even when every public name is touched and a workflow runs observed."""
    assert _python(_FOREIGN) == "[]\n"


def test_the_usual_import_loads_only_the_modules_that_it_needs() -> None:
    """Records, streams, metrics and the rest come with their first use."""
    assert eval(_python(_LIGHT)) == [  # noqa: S307 - a list that we printed
        "tta_dev_primitives",
        "tta_dev_primitives._exports",
        "tta_dev_primitives.core",
        "tta_dev_primitives.core.base",
        "tta_dev_primitives.core.clock",
        "tta_dev_primitives.core.context",
        "tta_dev_primitives.core.engine",
        "tta_dev_primitives.core.notes",
        "tta_dev_primitives.core.parallel",
        "tta_dev_primitives.core.sequential",
        "tta_dev_primitives.errors",
    ]


_CROWD = """
import asyncio, resource
from tta_dev_primitives import step
async def wait(value):
    await asyncio.sleep(0.01)
    return value
workflow = step(wait) >> (step(wait) | wait) >> sum
async def main():
    results = await asyncio.gather(*[workflow.execute(n) for n in range(10_000)])
    assert results == [2 * n for n in range(10_000)]
    assert asyncio.all_tasks() == {asyncio.current_task()}
asyncio.run(main())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_ten_thousand_concurrent_executions_stay_under_a_gigabyte_and_leave_no_task() -> None:
    """The whole process, interpreter and all; in truth some kilobytes for each."""
    assert int(_python(_CROWD)) < 1_000_000_000
