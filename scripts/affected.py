"""Which packages a change concerns, for the matrix of the CI.

Reads paths, as from `git diff --name-only A B`, and prints `packages=[...]`, a line in the form of
GitHub's step outputs. A package is concerned if one of its files changed, or if a package among its
requirements is concerned. Whatever the packages share concerns all of them.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath

from workspace import CORE, Package, packages

APART = frozenset({"docs", "README.md"})
"""Places at the top that no package's tests read. Everything else there is shared by all."""


def dependents(names: Iterable[str], every: Iterable[Package]) -> set[str]:
    """Return these packages and all that need them, directly or through others."""
    every = tuple(every)
    reached = set(names)
    while more := {p.name for p in every if p.requires & reached} - reached:
        reached |= more
    return reached


def affected(changed: Iterable[str], every: Iterable[Package]) -> list[str]:
    """Return the names of the packages that changed files concern, in the order of `every`.

    Args:
        changed: Paths from the top of the repository, as git prints them.
        every: The packages of the workspace.
    """
    every = tuple(every)
    folders = {package.folder.name: package.name for package in every}
    touched: set[str] = set()
    for line in changed:
        top, *below = PurePosixPath(line).parts
        name = folders.get(below[0]) if top == "packages" and below else None
        if name is not None:
            touched.add(name)
        elif top not in APART:
            touched.update(folders.values())
    # The others find the core at run time, by protocol, without naming it as a requirement.
    if CORE in touched:
        touched.update(folders.values())
    reached = dependents(touched, every)
    return [package.name for package in every if package.name in reached]


def main(lines: Iterable[str]) -> int:
    """Print the step output for the changed paths."""
    changed = [line.strip() for line in lines if line.strip()]
    print(f"packages={json.dumps(affected(changed, packages()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
