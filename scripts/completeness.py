"""Requires that every public name of a package is fully typed.

Pyright measures this with `--verifytypes`, but succeeds with names whose type is only partly known,
and with a package of which it saw nothing; hence this wrapper.
"""

import json
import subprocess
import sys
from typing import Any

from workspace import packages


def verify(module: str) -> list[str]:
    """Return what is wrong with the public types of a module; nothing, if they are complete."""
    command = ["pyright", "--verifytypes", module, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
        completeness = report["typeCompleteness"]
    except (json.JSONDecodeError, KeyError):
        return [f"{module}: pyright gave no report:\n{done.stdout}{done.stderr}"]

    if not completeness.get("pyTypedPath"):
        return [f"{module}: no py.typed"]

    problems = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in completeness["symbols"]
        if symbol["isExported"]
        for diagnostic in symbol["diagnostics"]
        if diagnostic["severity"] == "error"
    ]
    score = completeness["completenessScore"]
    # A package without a public name has nothing to complete, and pyright gives it a score of 0.
    if any(completeness["exportedSymbolCounts"].values()) and score < 1:
        problems.append(f"{module}: {score:.2%} of the public names are fully typed, not 100 %")
    return problems


def main() -> int:
    """Check all packages of the workspace."""
    problems = [problem for package in packages() for problem in verify(package.module)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
