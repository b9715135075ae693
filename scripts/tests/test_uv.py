"""The commands find a uv that works, whatever else is in the way."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pythons import UV
from workspace import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are shell scripts")


def found(*path: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Source the script with this PATH, and print the uv that it settled on."""
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run(
        [shell, "-euc", '. scripts/lib/uv.sh && printf "%s" "$UV"'],
        cwd=ROOT,
        env={"PATH": os.pathsep.join(map(str, path)), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def stand_in(folder: Path, body: str) -> Path:
    """Put a command named uv into a folder."""
    folder.mkdir()
    (folder / "uv").write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    (folder / "uv").chmod(0o755)
    return folder


def test_a_uv_that_runs_is_taken(tmp_path: Path) -> None:
    good = stand_in(tmp_path / "good", f'exec "{UV}" "$@"')

    assert found(good, cache=tmp_path).stdout == str(good / "uv")


def test_a_broken_uv_does_not_hide_a_good_one_behind_it(tmp_path: Path) -> None:
    broken = stand_in(tmp_path / "broken", "exit 127")
    good = stand_in(tmp_path / "good", f'exec "{UV}" "$@"')

    assert found(broken, good, cache=tmp_path).stdout == str(good / "uv")
