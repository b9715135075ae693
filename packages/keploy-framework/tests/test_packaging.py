"""What an installed `keploy-framework` promises to those who import it."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

import keploy_framework

NEIGHBORS = ("tta_dev_primitives", "tta_observability_integration", "tta_agent_coordination")


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
    exported = keploy_framework.__all__

    assert isinstance(exported, tuple)
    assert list(exported) == sorted(exported)
    assert public_names(keploy_framework) <= set(exported)
    assert all(hasattr(keploy_framework, name) for name in exported)


def test_the_version_is_that_of_the_distribution() -> None:
    assert keploy_framework.__version__ == distribution("keploy-framework").version


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    name = "no_such_name"

    with pytest.raises(AttributeError, match=r"'keploy_framework'.*'no_such_name'"):
        getattr(keploy_framework, name)


def test_type_checkers_find_the_marker() -> None:
    assert (Path(str(keploy_framework.__file__)).parent / "py.typed").is_file()


def test_an_import_needs_no_neighbor() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NEIGHBORS!r}))\n"  # a `None` here refuses the import
        "import keploy_framework\n"
        "print(keploy_framework.__version__)"
    )

    done = run(code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == keploy_framework.__version__


def test_an_import_reads_no_metadata() -> None:
    done = run("import sys, keploy_framework; print('importlib.metadata' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr
