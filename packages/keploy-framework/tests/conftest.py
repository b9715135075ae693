"""Fixtures for all tests of this package."""

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

import pytest
from blockbuster import blockbuster_ctx

CONTEXTS: dict[str, Callable[..., object]] = {
    name: cache(import_module(f"{name}._transports.default").create_ssl_context)
    for name in ("httpx", "httpx2")
}


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


@pytest.fixture(scope="module", autouse=True)
def patient_and_light_clients() -> Iterator[None]:
    """Let clients that are given no time wait for a minute, and read certificates only once.

    Their own 5 s are short where the machine is busy; to read all certificates for each client
    takes 20 ms, more than most tests do with it. For one file at a time, as above.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, making in CONTEXTS.items():
            patch.setattr(f"{name}._transports.default.create_ssl_context", making)
            for limit in ("connect", "read", "write", "pool"):
                patch.setattr(f"{name}._config.DEFAULT_TIMEOUT_CONFIG.{limit}", 60.0)
        yield


@pytest.fixture
async def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass at once, by the clock of the loop; from any thread, without a wait.

    They are over at the loop's next turn: what waits for less than that ends then.
    """
    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0.0

    def add(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    def let_pass(seconds: float) -> None:
        loop.call_soon_threadsafe(add, seconds)

    monkeypatch.setattr(loop, "time", lambda: real() + passed)
    return let_pass
