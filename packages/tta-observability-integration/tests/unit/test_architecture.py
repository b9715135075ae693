import ast
import sys
from pathlib import Path

import tta_observability_integration

SOURCE = Path(str(tta_observability_integration.__file__)).parent
NEIGHBORS = {"tta_dev_primitives", "tta_agent_coordination", "keploy_framework"}
HEAVY = {"opentelemetry", "prometheus_client"}


def imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Return the packages that a module imports, or those it imports when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(tree.body) if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_one_module_alone_knows_the_workflow_engine() -> None:
    """Everything else speaks to it through protocols."""
    knowing = {path.name for path in SOURCE.glob("**/*.py") if imported(path) & NEIGHBORS}

    assert knowing == {"attach.py"}


def test_what_refuses_to_start_imports_no_sdk() -> None:
    """A refusal within 50 ms leaves no time for one."""
    for name in (
        "__init__",
        "agents",
        "attach",
        "names",
        "observer",
        "protocols",
        "settings",
        "setup",
    ):
        assert not imported(SOURCE / f"{name}.py", top_level=True) & HEAVY, name


def test_literal_names_stand_in_one_module() -> None:
    """No other module spells an attribute or metric."""
    for path in SOURCE.glob("**/*.py"):
        if path.name == "names.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(("tta.", "tta_primitive", "exception.")), path


def test_the_oldest_python_can_read_it() -> None:
    """No syntax that came after 3.11."""
    for path in SOURCE.glob("**/*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))
    assert sys.version_info >= (3, 11)
