"""Every example in a docstring runs and gives what it shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tta_dev_primitives

_OPTIONAL = {"cli": ("typer", "rich"), "core.validate": ("pydantic",)}
_MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tta_dev_primitives.__path__, "tta_dev_primitives.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", _MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    """With the module's own names, as a reader sees them."""
    for place, needed in _OPTIONAL.items():
        if name.startswith(f"tta_dev_primitives.{place}"):
            for package in needed:
                pytest.importorskip(package, reason=f"the extra for {package} is not installed")
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    assert results.failed == 0
