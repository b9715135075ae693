"""Ports for servers, and the harness that records whole corpora and foreign applications."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
# Not `benchmarks`: other packages have a folder of this name too.
_NAME = "keploy_benchmarks"


@pytest.fixture(scope="session")
def harness() -> Callable[[str], Any]:
    """Import modules of the benchmarks, as `python -m benchmarks` does in its place."""
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _NAME, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
    return lambda module: importlib.import_module(f"{_NAME}.{module}")


@pytest.fixture
def free_port() -> Generator[Callable[[], int]]:
    """Find ports at which nobody listens, and that nobody else is given until the test is over."""
    with ExitStack() as held:

        def find() -> int:
            holder = held.enter_context(socket.socket())
            # Whoever asks for any port gets another one; a server may be told to listen at this
            # one, since servers reuse addresses.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            port: int = holder.getsockname()[1]
            if sys.platform != "linux":  # elsewhere, it would be in the way of the server
                holder.close()
            return port

        yield find
