"""Fixtures for all tests of this package."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

from tta_dev_primitives.core import engine
from tta_dev_primitives.observability import metrics
from tta_dev_primitives.testing import preserved_observers


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files.

    On for one file at a time, so that it never watches the tests of another package.
    """
    with blockbuster_ctx(scanned_modules=["tta_dev_primitives"]) as watch:
        # Another thread may be stopped at any line, also at one where it holds a lock: what it
        # imports just now, or a lock that stands around a few lines. `with` goes unseen anyway.
        lock = watch.functions["threading.Lock.acquire"]
        lock.can_block_in("<frozen importlib._bootstrap>", "acquire")
        lock.can_block_in("performance/flights.py", "join")
        lock.can_block_in("performance/results.py", "_put")
        yield


@pytest.fixture(autouse=True)
def observers_as_before() -> Iterator[None]:
    """Put process-wide observers back, so that no test hears what another one installed."""
    with preserved_observers():
        yield


@pytest.fixture(params=["off", "recorder"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which most programs run, with nothing counted yet."""
    monkeypatch.setattr(metrics, "_recorder", metrics.MetricsRecorder())
    metrics.enable_observability()
    if request.param == "off":
        engine.silence()
    return str(request.param)
