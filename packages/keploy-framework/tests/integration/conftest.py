"""The harness that records whole corpora and foreign applications, for the tests of it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

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
