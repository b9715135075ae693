"""Fixtures for all tests of this package."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

from tta_dev_primitives.testing import preserved_observers

# A machine that is busy with something else is no finding.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files."""
    with blockbuster_ctx(scanned_modules=["tta_dev_primitives"]) as watched:
        # A client library that looks up its own version when a client is made; not our call.
        watched.functions["os.stat"].can_block_in("importlib/metadata/__init__.py", {"mtime"})
        yield


@pytest.fixture(autouse=True)
def observers_as_before() -> Iterator[None]:
    """Put process-wide observers back, so that no test hears what another one installed."""
    with preserved_observers():
        yield
