"""Names that are loaded when they are first used (PEP 562), for the packages' `__init__`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("lazy_exports",)


def lazy_exports(
    package: str, places: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose names live in its modules.

    Args:
        package: The package's `__name__`.
        places: The module of each name, relative to the package.
    """
    space = vars(sys.modules[package])

    def load(name: str) -> object:
        """Load the module that has `name`."""
        place = places.get(name)
        if place is None:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        value: object = getattr(import_module(f"{package}.{place}"), name)
        space[name] = value
        return value

    def listing() -> list[str]:
        """List the package's names, loaded or not."""
        return sorted({*space, *places})

    return load, listing
