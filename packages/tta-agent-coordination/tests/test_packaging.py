"""What an installed `tta-agent-coordination` promises to those who import it."""

import subprocess
import sys
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

import tta_agent_coordination
from tta_agent_coordination.coordinators.redis_store import SCRIPTS

NEIGHBORS = ("tta_dev_primitives", "tta_observability_integration", "keploy_framework")


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
    exported = tta_agent_coordination.__all__

    assert isinstance(exported, tuple)
    assert list(exported) == sorted(exported)
    assert public_names(tta_agent_coordination) <= set(exported)
    assert all(hasattr(tta_agent_coordination, name) for name in exported)


def test_the_version_is_that_of_the_distribution() -> None:
    assert tta_agent_coordination.__version__ == distribution("tta-agent-coordination").version


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    name = "no_such_name"

    with pytest.raises(AttributeError, match=r"'tta_agent_coordination'.*'no_such_name'"):
        getattr(tta_agent_coordination, name)


def test_type_checkers_find_the_marker() -> None:
    assert (Path(str(tta_agent_coordination.__file__)).parent / "py.typed").is_file()


def test_every_script_is_installed() -> None:
    """And every file of them is used: as a script, or as a part of one."""
    folder = files("tta_agent_coordination.coordinators") / "lua"
    installed = {
        file.name.removesuffix(".lua"): file.read_text("utf-8") for file in folder.iterdir()
    }
    first_lines = [text.partition("\n")[0] for text in installed.values()]
    parts = {name for line in first_lines if line.startswith("--! ") for name in line.split()[1:]}
    elsewhere = {name for name in parts if "/" in name}

    assert elsewhere < parts
    assert set(installed) == set(SCRIPTS) | parts - elsewhere
    assert all(script.text.strip() for script in SCRIPTS.values())


def test_an_import_needs_no_neighbor() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NEIGHBORS!r}))\n"  # a `None` here refuses the import
        "import tta_agent_coordination\n"
        "print(tta_agent_coordination.__version__)"
    )

    done = run(code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == tta_agent_coordination.__version__


def test_an_import_reads_no_metadata() -> None:
    done = run("import sys, tta_agent_coordination; print('importlib.metadata' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr
