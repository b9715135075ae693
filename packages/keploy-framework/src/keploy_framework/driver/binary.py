"""Finding the Keploy binary, and which version it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import KeployError, OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("BINARY_VARIABLE", "Binary", "clean_environment", "find_binary")

BINARY_VARIABLE: Final = "KEPLOY_BINARY"
"""Names the binary where it is on no path."""

_VERSION: Final = re.compile(r"(?<![\w.])v?(\d+)(?:\.(\d+))?(?:\.(\d+))?((?:-[\w.]+)?)(?![\w.])")
_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Binary:
    """A Keploy binary.

    Attributes:
        path: Where it is.
        version: Its version as three numbers; what is missing is 0.
        text: Its version as it says it, `3.6.23` or `3-dev`.
    """

    path: Path
    version: tuple[int, int, int]
    text: str


def find_binary(path: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Binary:
    """Find the Keploy binary and ask it for its version.

    Args:
        path: Where it is. None looks at `KEPLOY_BINARY`, on the path, and in `~/.keploy/bin`.
        environ: The environment; that of the process by default.

    Raises:
        OptionError: There is none at `path`, or where `KEPLOY_BINARY` says, or none at all.
        KeployError: It cannot be run, or says no version.
    """
    environ = os.environ if environ is None else environ
    place = _place(path, environ)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own binary
            [str(place), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=clean_environment(environ),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KeployError(f"{place} cannot be run: {error}") from error
    found = _VERSION.search(done.stdout) or _VERSION.search(done.stderr)
    if found is None:
        said = " ".join((done.stdout + done.stderr).split())
        raise KeployError(f"{place} --version says no version, but {said!r:.100}; is it Keploy?")
    numbers = tuple(int(number or 0) for number in found.groups()[:3])
    return Binary(place, (numbers[0], numbers[1], numbers[2]), found[0].removeprefix("v"))


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without `KEPLOY_*`: it goes before the configuration that we write."""
    return {
        name: value for name, value in environ.items() if not name.upper().startswith("KEPLOY_")
    }


def _place(path: Path | str | None, environ: Mapping[str, str]) -> Path:
    named = path if path is not None else environ.get(BINARY_VARIABLE)
    if named:
        place = Path(named)
        if not place.is_file():
            source = "" if path is not None else f"{BINARY_VARIABLE} names "
            raise OptionError(f"there is no Keploy binary: {source}{place} is no file")
        return place.absolute()
    on_path = shutil.which("keploy", path=environ.get("PATH"))
    if on_path is not None:
        return Path(on_path)
    own = Path(environ.get("HOME", "~")).expanduser() / ".keploy" / "bin" / "keploy"
    if own.is_file():
        return own
    raise OptionError(
        "there is no Keploy binary: none on the path and none in ~/.keploy/bin; name it with "
        f"{BINARY_VARIABLE}, or work without it: `tta-keploy replay` needs none"
    )
