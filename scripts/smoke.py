"""Shows that installed packages work outside the workspace: `python -I smoke.py NAME=VERSION ...`.

Runs on the interpreter that the packages are installed for, with the standard library only, and
must not be started with the workspace on the module path.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from pathlib import Path


def check(name: str, version: str) -> list[str]:
    """Return what is wrong with an installed distribution.

    Args:
        name: Name of the distribution.
        version: Version that must be installed.
    """
    distribution = importlib.metadata.distribution(name)
    if distribution.version != version:
        return [f"{name}: version {distribution.version} is installed, not {version}"]

    problems: list[str] = []
    module = importlib.import_module(name.replace("-", "_"))
    home = Path(str(module.__file__)).resolve().parent
    if not home.is_relative_to(Path(sysconfig.get_path("purelib")).resolve()):
        problems.append(f"{name}: imported from {home}, not from the installed wheel")
    if module.__version__ != version:
        problems.append(f"{name}: __version__ is {module.__version__}, not {version}")
    problems += [
        f"{name}: {wanted} is not in the wheel"
        for wanted in ("py.typed",)
        if not (home / wanted).is_file()
    ]
    if not any(path.name == "LICENSE" for path in distribution.files or ()):
        problems.append(f"{name}: LICENSE is not in the wheel")
    problems += [
        f"{name}: {public} is in __all__ and does not exist"
        for public in module.__all__
        if not hasattr(module, public)
    ]
    for entry in distribution.entry_points:
        # A plug-in of a host that is not installed has nobody to load it.
        if entry.group == "pytest11" and importlib.util.find_spec("pytest") is None:
            continue
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            problems.append(
                f"{name}: entry point {entry.name} = {entry.value} does not load: {error}"
            )
    return problems


def main(arguments: list[str]) -> int:
    """Check each `NAME=VERSION`."""
    if not arguments:
        print("usage: python -I smoke.py NAME=VERSION ...")
        return 2

    problems: list[str] = []
    for argument in arguments:
        name, _, version = argument.partition("=")
        problems += check(name, version)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
