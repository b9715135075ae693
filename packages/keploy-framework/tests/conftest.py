"""Fixtures for all tests of this package."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files.

    On for one file at a time, so that it never watches the tests of another package.
    """
    with blockbuster_ctx(scanned_modules=["keploy_framework"]) as blocking:
        for function in blocking.functions.values():
            # Before 0.28, the client looks at its certificates when it is made.
            function.can_block_in("httpx/_config.py", "load_ssl_context_verify")
        yield
