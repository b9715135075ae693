"""Every example in a docstring runs and gives what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import tta_agent_coordination

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tta_agent_coordination.__path__, "tta_agent_coordination.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    """With the module's own names, as a reader sees them."""
    if name.startswith("tta_agent_coordination.cli."):
        for package in ("typer", "rich"):
            pytest.importorskip(package, reason="the extra cli is not installed")
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert results.failed == 0
