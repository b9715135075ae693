"""What both type checkers see of composed workflows, held to the corpus beside this file.

`bad` holds mis-compositions: each line marked `# BAD: reason` must be flagged by pyright and by
mypy, both in their strict modes, and no other line. `good` holds compositions that must pass, as
must `protocols.py`; where a line reveals a type, both checkers must see the one in its comment.
After ` / mypy: ` stands what mypy sees where it is known to see less.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

for checker in ("mypy", "pyright"):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed here", allow_module_level=True)

# What it says does not depend on the Python that runs it: the settings name one.
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent
ROOT = PACKAGE.parent.parent
AT_LEAST = 60  # of each kind, as promised

Line = tuple[str, int]  # file below this folder, and line number from 1


@dataclass(slots=True)
class Seen:
    """What one checker says of the whole corpus."""

    errors: dict[Line, list[str]] = field(default_factory=dict[Line, list[str]])
    revealed: dict[Line, str] = field(default_factory=dict[Line, str])

    def flag(self, file: str, line: int, message: str) -> None:
        self.errors.setdefault((_below(file), line), []).append(message)


def _below(file: str) -> str:
    return (ROOT / file).resolve().relative_to(HERE).as_posix()


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    # Both exit with 1 when they flag something; anything else is a failure of their own.
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def run_pyright() -> Seen:
    seen = Seen()
    report = json.loads(
        _run(
            "pyright",
            "--outputjson",
            f"--pythonpath={sys.executable}",
            f"--project={HERE}",
        )
    )
    for found in report["generalDiagnostics"]:
        line = found["range"]["start"]["line"] + 1
        message: str = found["message"]
        revealed = re.fullmatch(r'Type of ".*" is "(.*)"', message, re.DOTALL)
        if found["severity"] == "information" and revealed:
            seen.revealed[_below(found["file"]), line] = revealed[1]
        else:
            seen.flag(found["file"], line, message)
    return seen


def run_mypy() -> Seen:
    seen = Seen()
    corpus = [str(HERE / name) for name in ("bad", "good", "protocols.py")]
    # The corpus is a package below this one, so that its files can share their steps.
    report = _run("mypy", "--hide-error-context", *corpus, MYPYPATH=str(PACKAGE))
    for text in report.splitlines():
        found = re.fullmatch(r"(.+?\.py):(\d+): (error|note): (.*)", text)
        if not found:
            continue
        file, line, kind, message = found[1], int(found[2]), found[3], found[4]
        revealed = re.fullmatch(r'Revealed type is "(.*)"', message)
        if revealed:
            seen.revealed[_below(file), line] = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", revealed[1])
        elif kind == "error":
            seen.flag(file, line, message)
    return seen


def marked() -> dict[Line, str]:
    return {
        (f"bad/{file.name}", number): text
        for file in sorted((HERE / "bad").glob("*.py"))
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if "# BAD: " in text
    }


def expected(checker: str) -> dict[Line, str]:
    types: dict[Line, str] = {}
    for file in sorted((HERE / "good").glob("*.py")):
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            call, _, comment = text.partition("  # ")
            if "reveal_type(" in call:
                both, _, mypy = comment.partition(" / mypy: ")
                types[f"good/{file.name}", number] = mypy if mypy and checker == "mypy" else both
    return types


@pytest.fixture(scope="module")
def checkers() -> dict[str, Seen]:
    """Both checkers, run once each, at the same time."""
    with ThreadPoolExecutor() as pool:
        runs = {"pyright": pool.submit(run_pyright), "mypy": pool.submit(run_mypy)}
        return {name: run.result() for name, run in runs.items()}


both = pytest.mark.parametrize("checker", ["pyright", "mypy"])


@both
def test_every_marked_line_is_flagged(checkers: dict[str, Seen], checker: str) -> None:
    """A workflow that cannot fit is an error in the editor."""
    flagged = checkers[checker].errors
    assert [text.strip() for line, text in marked().items() if line not in flagged] == []


@both
def test_no_other_line_is_flagged(checkers: dict[str, Seen], checker: str) -> None:
    """A workflow that fits raises no false alarm, nor does a correct line among wrong ones."""
    flagged = checkers[checker].errors
    assert {line: found for line, found in flagged.items() if line not in marked()} == {}


@both
def test_every_revealed_type_is_the_one_in_its_comment(
    checkers: dict[str, Seen], checker: str
) -> None:
    """Both checkers follow the types through every operator and wrapper, and see the same."""
    seen, wanted = checkers[checker].revealed, expected(checker)
    assert {line: seen.get(line) for line in wanted} == wanted


@both
def test_no_revealed_type_has_a_hole(checkers: dict[str, Seen], checker: str) -> None:
    """Nothing that was revealed is, or contains, `Any`, `Unknown` or an unsolved variable."""
    hole = re.compile(r"\b(Any|Unknown|Never)\b|@")
    revealed = checkers[checker].revealed
    assert {line: found for line, found in revealed.items() if hole.search(found)} == {}


def test_the_corpus_is_large_enough() -> None:
    """There are at least sixty lines of each kind, and none of them twice."""
    bad = [re.sub(r"^\w+ = ", "", text).partition("  # BAD: ")[0] for text in marked().values()]
    good = [
        text.partition("  # ")[0].strip()
        for file in (HERE / "good").glob("*.py")
        for text in file.read_text(encoding="utf-8").splitlines()
        if "reveal_type(" in text
    ]
    assert len(set(bad)) == len(bad) >= AT_LEAST
    assert len(set(good)) == len(good) >= AT_LEAST
