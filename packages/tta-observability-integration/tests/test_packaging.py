"""What an installed `tta-observability-integration` promises to those who import it."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

import tta_observability_integration

NEIGHBORS = ("tta_dev_primitives", "tta_agent_coordination", "keploy_framework")


def public_names(module: ModuleType) -> set[str]:
    """Return what a module offers: no private names, nothing that it only happens to hold."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and not isinstance(value, ModuleType)
    }


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, where nothing has been imported yet."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_all_is_a_sorted_tuple_of_the_public_names() -> None:
    exported = tta_observability_integration.__all__

    assert isinstance(exported, tuple)
    assert list(exported) == sorted(exported)
    assert public_names(tta_observability_integration) <= set(exported)
    assert all(hasattr(tta_observability_integration, name) for name in exported)


def test_the_version_is_that_of_the_distribution() -> None:
    assert (
        tta_observability_integration.__version__
        == distribution("tta-observability-integration").version
    )


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    name = "no_such_name"

    with pytest.raises(AttributeError, match=r"'tta_observability_integration'.*'no_such_name'"):
        getattr(tta_observability_integration, name)


def test_type_checkers_find_the_marker() -> None:
    assert (Path(str(tta_observability_integration.__file__)).parent / "py.typed").is_file()


def test_an_import_needs_no_neighbor() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NEIGHBORS!r}))\n"  # a `None` here refuses the import
        "import tta_observability_integration\n"
        "print(tta_observability_integration.__version__)"
    )

    done = run(code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == tta_observability_integration.__version__


def test_an_import_reads_no_metadata() -> None:
    done = run(
        "import sys, tta_observability_integration; print('importlib.metadata' in sys.modules)"
    )

    assert done.stdout.strip() == "False", done.stderr


def test_every_entry_point_loads() -> None:
    entries = distribution("tta-observability-integration").entry_points

    assert [entry.name for entry in entries if callable(entry.load())] == ["opentelemetry"]
