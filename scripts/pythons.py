"""Finds the Python interpreters of this machine.

An interpreter counts only after it has run: a version manager puts commands on the path that exist
and cannot run, because their version is not switched on.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UV = os.environ.get("UV", "uv")
"""The running uv: `uv run` names itself, also where a broken one is first on the path."""

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
"""The minor versions that the packages promise to run on; the classifiers say the same."""

CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The minor version that runs this script, and so the workspace's own environment."""


def _output(*command: str) -> str:
    """Return what a command prints, or nothing if it cannot run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""

    return done.stdout.strip() if done.returncode == 0 else ""


def _candidates(version: str) -> Iterator[str]:
    """Yield places where this version may be, the nearest first."""
    if found := _output(UV, "python", "find", "--system", "--no-project", version):
        yield found

    name = f"python{version}"
    if on_path := shutil.which(name):
        yield on_path

    root = os.environ.get("PYENV_ROOT") or _output("pyenv", "root")
    if root:
        yield from map(str, sorted(Path(root, "versions").glob(f"{version}.*/bin/{name}")))


def find(version: str) -> str | None:
    """Return the path of an interpreter of this minor version that runs, or None."""
    ask = "import sys; print('{}.{}\\n{}'.format(*sys.version_info[:2], sys.executable))"
    for candidate in _candidates(version):
        reported, _, executable = _output(candidate, "-I", "-c", ask).partition("\n")
        if reported == version:
            return executable
    return None
