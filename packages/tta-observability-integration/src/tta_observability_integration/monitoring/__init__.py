"""Dashboards for Grafana and alerting rules for Prometheus, as files to begin with.

They are static: what is reviewed, checked by promtool and imported by hand is the same text. That
every name in them is on a real metrics page, the tests hold.
"""

from __future__ import annotations

import errno
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from os import PathLike

__all__ = ("FILES", "read_file", "write_files")

FILES = ("agents.json", "alerts.yml", "workflows.json")
"""What there is: two dashboards, and the rules."""


def read_file(name: str) -> str:
    """Return the text of one of `FILES`.

    Args:
        name: One of `FILES`.

    Raises:
        ValueError: There is no such file.

    Example:
        >>> read_file("workflows.json")[0]
        '{'
    """
    if name not in FILES:
        raise ValueError(f"there is no {name!r}; there are {', '.join(FILES)}")
    return _source(name).read_text(encoding="utf-8")


def write_files(folder: str | PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Write all files into a folder, which is made if there is none.

    Args:
        folder: Where to.
        overwrite: Replace files that are there already, and may have been edited. Default: write
            nothing where one of them is.

    Returns:
        The paths, in the order of `FILES`.

    Raises:
        FileExistsError: One of them is there already, or the folder is a file.
        OSError: The folder cannot be made or written.
        ValueError: The folder is the empty text, or no path at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_files(folder)]
        ['agents.json', 'alerts.yml', 'workflows.json']
    """
    if not os.fspath(folder):  # as from a shell variable that is not set
        raise ValueError("no folder is named; '.' is the present one")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / name for name in FILES]
    if not overwrite:
        for path in paths:
            if path.exists():
                raise FileExistsError(errno.EEXIST, "is there already", str(path))
    for name, path in zip(FILES, paths, strict=True):
        path.write_bytes(_source(name).read_bytes())
    return paths


def _source(name: str) -> Traversable:
    return files(__name__).joinpath(name)
