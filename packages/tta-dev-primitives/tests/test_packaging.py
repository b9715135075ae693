"""What an installed `tta-dev-primitives` promises to those who import it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

import tta_dev_primitives

NAME = "tta_dev_primitives"
NEIGHBORS = ("tta_observability_integration", "tta_agent_coordination", "keploy_framework")
HOME = Path(str(tta_dev_primitives.__file__)).parent

OPTIONAL = {
    # Where a third-party module may be imported, and which: each belongs to an extra.
    "cli": {"rich", "typer"},
    "core/validate.py": {"pydantic"},
    "testing/pytest_plugin.py": {"pytest"},
}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, where nothing has been imported yet."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def imported_modules(source: Path) -> Iterator[str]:
    """Yield the first part of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def test_all_is_a_tuple_without_repeats() -> None:
    exported = tta_dev_primitives.__all__

    assert isinstance(exported, tuple)
    assert len(exported) == len(set(exported))


def test_every_exported_name_exists_and_is_listed() -> None:
    missing = [name for name in tta_dev_primitives.__all__ if not hasattr(tta_dev_primitives, name)]

    assert missing == []
    assert set(tta_dev_primitives.__all__) <= set(dir(tta_dev_primitives))


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    name = "no_such_name"

    with pytest.raises(AttributeError, match=r"'tta_dev_primitives'.*'no_such_name'"):
        getattr(tta_dev_primitives, name)


def test_the_version_is_that_of_the_distribution() -> None:
    assert tta_dev_primitives.__version__ == distribution("tta-dev-primitives").version


def test_type_checkers_find_the_marker() -> None:
    assert (HOME / "py.typed").is_file()


def test_nothing_is_required() -> None:
    requires = distribution("tta-dev-primitives").requires or []

    assert [line for line in requires if "extra ==" not in line] == []


@pytest.mark.parametrize("entry", distribution("tta-dev-primitives").entry_points, ids=str)
def test_every_entry_point_loads(entry: object) -> None:
    found = [one for one in distribution("tta-dev-primitives").entry_points if one == entry]

    assert found[0].load() is not None


def test_using_every_exported_name_needs_no_neighbor() -> None:
    done = run(
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NEIGHBORS!r}))\n"  # a `None` here refuses the import
        f"import {NAME} as module\n"
        "for name in module.__all__: getattr(module, name)\n"
    )

    assert done.returncode == 0, done.stderr


def test_using_every_exported_name_loads_no_third_party_module() -> None:
    done = run(
        "import sys\n"
        "before = set(sys.modules)\n"
        f"import {NAME} as module\n"
        "for name in module.__all__:\n"
        "    if name != '__version__': getattr(module, name)\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))\n"
    )

    assert done.returncode == 0, done.stderr
    foreign = set(done.stdout.split()) - sys.stdlib_module_names - {NAME}
    assert foreign == set()


def test_composing_loads_no_asyncio() -> None:
    """It comes with the first run, for it costs more than all that composing needs."""
    done = run(
        "import sys\n"
        f"from {NAME} import Sequential, in_thread, step\n"
        "async def same(value: int) -> int: return value\n"
        "workflow = Sequential([same, same]) >> same >> (step(abs) | in_thread(abs))\n"
        "print('asyncio' in sys.modules)\n"
        "print(*workflow.run(-7))\n"
    )

    assert done.stdout.split() == ["False", "7", "7"], done.stderr


def test_an_import_reads_no_metadata() -> None:
    done = run(f"import sys, {NAME}; print('importlib.metadata' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "place", sorted(p.relative_to(HOME).as_posix() for p in HOME.rglob("*.py"))
)
def test_a_module_imports_the_standard_library_and_its_own_package_only(place: str) -> None:
    allowed = {
        name for where, names in OPTIONAL.items() if place.startswith(where) for name in names
    }

    assert set(imported_modules(HOME / place)) - sys.stdlib_module_names - {NAME} <= allowed
