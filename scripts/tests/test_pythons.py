"""An interpreter counts only if it runs and is what its name says."""

import os
import sys
from pathlib import Path

import pytest

import pythons

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


def command(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without uv, version manager or any Python; commands can be put into the folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setattr(pythons, "UV", str(folder / "uv"))
    return folder


def test_nothing_is_found_where_nothing_is(bare: Path) -> None:
    assert bare.is_dir()
    assert pythons.find("3.12") is None


def test_a_command_that_exists_and_cannot_run_does_not_count(bare: Path) -> None:
    command(bare / "python3.12", "exit 127")

    assert pythons.find("3.12") is None


def test_a_command_of_another_version_does_not_count(bare: Path) -> None:
    command(bare / "python2.0", f'exec "{sys.executable}" "$@"')

    assert pythons.find("2.0") is None


def test_a_working_command_on_the_path_is_found(bare: Path) -> None:
    command(bare / f"python{pythons.CURRENT}", f'exec "{sys.executable}" "$@"')

    assert pythons.find(pythons.CURRENT) is not None


def test_a_version_that_the_version_manager_has_not_switched_on_is_found(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(bare / f"python{pythons.CURRENT}", "exit 127")
    root = bare.parent / "pyenv"
    place = root / "versions" / f"{pythons.CURRENT}.9" / "bin" / f"python{pythons.CURRENT}"
    command(place, f'exec "{sys.executable}" "$@"')
    monkeypatch.setenv("PYENV_ROOT", str(root))

    assert pythons.find(pythons.CURRENT) is not None
