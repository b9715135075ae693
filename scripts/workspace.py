"""What the packages of this workspace are, read from their `pyproject.toml`.

The other scripts ask here, so that a new package needs a folder and nothing else.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = "tta-dev-primitives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One distribution of the workspace.

    Attributes:
        name: Name of the distribution.
        module: Name to import.
        version: Version in the source tree.
        folder: Where it lies.
        extras: Names of its extras.
        requires: Names of the distributions it names, in its dependencies or in any extra.
        test_requirements: What its tests need besides.
    """

    name: str
    module: str
    version: str
    folder: Path
    extras: tuple[str, ...]
    requires: frozenset[str]
    test_requirements: tuple[str, ...]

    @property
    def tests(self) -> Path:
        """Folder of its tests."""
        return self.folder / "tests"


def _distribution(requirement: str) -> str:
    """Return the normalized name that a requirement begins with."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(folder: Path) -> Package:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    project = table["project"]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    requirements = [
        *project["dependencies"],
        *(line for extra in extras.values() for line in extra),
    ]
    return Package(
        name=project["name"],
        module=table["tool"]["uv"]["build-backend"]["module-name"],
        version=project["version"],
        folder=folder,
        extras=tuple(extras),
        requires=frozenset(map(_distribution, requirements)),
        test_requirements=tuple(table["dependency-groups"]["test"]),
    )


def packages() -> tuple[Package, ...]:
    """Return all packages, the core first, then by name."""
    found = [_read(path.parent) for path in ROOT.glob("packages/*/pyproject.toml")]
    return tuple(sorted(found, key=lambda package: (package.name != CORE, package.name)))


def select(names: Iterable[str]) -> tuple[Package, ...]:
    """Return the packages with these names; all of them if there are none.

    Raises:
        LookupError: If a name is not one of the workspace.
    """
    wanted = set(names)
    every = packages()
    if unknown := wanted - {package.name for package in every}:
        known = ", ".join(package.name for package in every)
        raise LookupError(f"no such package: {', '.join(sorted(unknown))} (there are: {known})")

    return tuple(package for package in every if not wanted or package.name in wanted)
