"""The pytest plugin, each time in a pytest of its own."""

import ast
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

UNRELATED = [option for name in ("randomly", "xdist", "cov") for option in ("-p", f"no:{name}")]

WORKFLOW = """
import asyncio
import pytest
from tta_dev_primitives import step
from tta_dev_primitives.testing import MockPrimitive, VirtualTimeLoop

def search(query: str) -> list[str]:
    raise ConnectionError(query)

answer = step(search) >> len
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> "Run":
    return Run(pytester)


class Run:
    """Runs a test file in a fresh pytest, with our plugin found by its entry point."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, code: str, *options: str) -> pytest.RunResult:
        self.pytester.makepyfile(WORKFLOW + code)
        return self.pytester.runpytest_subprocess(
            *UNRELATED, "-W", "error", "--strict-markers", *options
        )


def test_loading_it_loads_nothing_of_ours(pytester: pytest.Pytester) -> None:
    """A project that has the package installed pays for no more than `import` of the package."""
    listing = "sorted(name for name in sys.modules if name.startswith('tta_dev_primitives.'))"
    pytester.makepyfile(
        f"""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.get_plugin("tta_dev_primitives") is not None
            print("loaded:", {listing})
        """
    )
    ran = pytester.runpytest_subprocess("-s")
    ran.assert_outcomes(passed=1)
    bare = subprocess.run(
        [sys.executable, "-c", f"import sys, tta_dev_primitives; print({listing})"],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in ran.outlines if "loaded:" in line]
    loaded = set(ast.literal_eval(line.partition("loaded: ")[2].rstrip(".")))
    assert loaded - set(ast.literal_eval(bare.stdout)) == {
        "tta_dev_primitives.testing",
        "tta_dev_primitives.testing.pytest_plugin",
    }


def test_the_fixtures_and_the_marker_are_listed(run: Run) -> None:
    """`pytest --fixtures` and `--markers` explain them."""
    run("", "--fixtures").stdout.fnmatch_lines_random(
        ["virtual_time*", "workflow_records*", "mock_primitive*", "no_leaked_tasks*"]
    )
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.virtual_time(start=0.0*"])


def test_a_synchronous_test_runs_coroutines_in_virtual_time(run: Run) -> None:
    """The fixtures work together without any plugin for async tests."""
    result = run(
        """
def test_it(virtual_time, workflow_records, mock_primitive):
    found = mock_primitive(return_value=["a"], latency=3600)
    workflow = answer.replace("sequential/search", found)
    assert virtual_time.run(workflow.execute("cats")) == 1
    assert virtual_time.now == 3600
    assert [r.duration for r in workflow_records] == [3600, 0, 3600]
    found.assert_called_once_with("cats")
    virtual_time.advance(5)
    assert virtual_time.now == 3605
""",
        "-p",
        "no:anyio",
    )
    result.assert_outcomes(passed=1)


def test_a_marked_async_test_needs_no_other_plugin(run: Run) -> None:
    """The marker works on functions, methods and whole classes, and takes options."""
    result = run(
        """
@pytest.mark.virtual_time
async def test_function(mock_primitive):
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600

@pytest.mark.virtual_time(start=50)
class TestClass:
    @pytest.mark.parametrize("seconds", [1, 2])
    async def test_method(self, seconds):
        self.seen = seconds
        await asyncio.sleep(seconds)
        assert asyncio.get_running_loop().time() == 50 + self.seen
""",
        "-p",
        "no:anyio",
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_a_marked_test_also_runs_beside_anyio(run: Run, mode: str) -> None:
    """The plugin of anyio leaves it to the marker, in both of its modes."""
    result = run(
        """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.virtual_time
async def test_marked(no_leaked_tasks):
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

@pytest.mark.anyio
async def test_unmarked():
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
""",
        "-o",
        f"anyio_mode={mode}",
    )
    result.assert_outcomes(passed=2)


def test_anyio_runs_on_a_virtual_loop(run: Run) -> None:
    """With the loop factory in its backend, async fixtures share the loop."""
    result = run(
        """
@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualTimeLoop}

@pytest.fixture
async def rested():
    await asyncio.sleep(60)
    yield asyncio.get_running_loop()
    await asyncio.sleep(60)

@pytest.mark.anyio
async def test_it(rested):
    before = rested.time()
    assert before >= 60
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop() is rested
    assert rested.time() == before + 3600
"""
    )
    result.assert_outcomes(passed=1)


def test_hypothesis_runs_each_example_in_virtual_time(run: Run) -> None:
    """The marker reaches the function inside `@given`."""
    result = run(
        """
from hypothesis import HealthCheck, given, settings, strategies as st

@pytest.mark.virtual_time
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6))
async def test_it(seconds):
    await asyncio.sleep(seconds)
    assert asyncio.get_running_loop().time() == seconds
""",
        "-p",
        "no:anyio",
    )
    result.assert_outcomes(passed=1)


def test_a_marked_test_that_is_not_async_is_told(run: Run) -> None:
    """It would not be run in virtual time, so it fails."""
    result = run(
        """
@pytest.mark.virtual_time
def test_it():
    pass
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it is marked virtual_time but is not async*"])


def test_the_fixture_in_an_async_test_points_to_the_marker(run: Run) -> None:
    """A running loop cannot run another one."""
    result = run(
        """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_it(virtual_time):
    virtual_time.run(asyncio.sleep(1))
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*use @pytest.mark.virtual_time instead of the fixture*"])


def test_a_deadlock_fails_the_test_and_names_the_place(run: Run) -> None:
    """The run goes on with the next test."""
    result = run(
        """
@pytest.mark.virtual_time
async def test_stuck():
    await asyncio.Event().wait()

@pytest.mark.virtual_time
async def test_next():
    await asyncio.sleep(1)
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*test_stuck waits in Event.wait at *"])


@pytest.mark.parametrize("plugin", ["anyio", "virtual_time"])
def test_a_leaked_task_fails_an_async_test(run: Run, plugin: str) -> None:
    """Requesting `no_leaked_tasks` is enough."""
    result = run(
        f"""
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.{plugin}
async def test_leaking(no_leaked_tasks):
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    await asyncio.sleep(0)

@pytest.mark.{plugin}
async def test_tidy(no_leaked_tasks):
    await asyncio.create_task(asyncio.sleep(0))
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*forgotten: sleep waits in sleep*"])


def test_observers_do_not_reach_the_next_test(run: Run) -> None:
    """`workflow_records` listens for one test."""
    result = run(
        """
from tta_dev_primitives.core import engine

def test_first(workflow_records):
    assert len(engine.observers()) == 1
    assert step(str.upper).run("a") == "A"
    assert len(workflow_records) == 1

def test_second():
    assert engine.observers() == ()
"""
    )
    result.assert_outcomes(passed=2)


def test_a_workflow_test_case_runs_under_pytest(run: Run) -> None:
    """Failures are reported as those of any unittest case."""
    result = run(
        """
from tta_dev_primitives.testing import WorkflowTestCase

class AnswerTest(WorkflowTestCase):
    async def test_good(self):
        workflow, found = self.mock(answer, "sequential/search", return_value=[1], latency=60)
        self.assertEqual(await self.execute(workflow, "cats"), 1)

    async def test_leaking(self):
        self.task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
        await asyncio.sleep(0)
""",
        "-o",
        "anyio_mode=auto",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*forgotten: sleep waits in sleep*"])
