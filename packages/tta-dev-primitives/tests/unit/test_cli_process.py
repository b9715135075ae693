"""The `tta` command as a process: signals, pipes, a missing extra, a real terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")
with_the_extra = pytest.mark.skipif(
    find_spec("typer") is None or find_spec("rich") is None,
    reason="the extra cli is not installed",
)

FLOW = """
import asyncio
from tta_dev_primitives import Parallel, step

async def wait(text):
    print("waiting", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up", flush=True)

async def shout(text):
    return text.upper()

async def fail(text):
    raise LookupError("no such document")

async def tokens(text):
    for word in ("one ", "two "):
        yield word

async def endless(text):
    number = 0
    while True:
        number += 1
        yield number

slow = (step(str.strip) >> wait).named("slow")
broken = (step(str.strip) >> Parallel({"good": shout, "bad": fail})).named("broken")
many = (step(str.strip) >> Parallel([step(shout, name=f"s{i}") for i in range(200)])).named("many")
stream = step(tokens)
no_end = step(endless)
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A directory with a file of workflows."""
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tta_dev_primitives.cli", *arguments]


@with_the_extra
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ctrl_c_cancels_the_run_and_exits_130(flow: Path, options: list[str]) -> None:
    """The steps clean up, no traceback is shown, and --json still writes its document."""
    process = subprocess.Popen(
        command("run", "flow.py:slow", "-i", '"x"', *options),
        cwd=flow,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = process.stderr if options else process.stdout
    assert told is not None
    assert told.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cleaned up" in stdout + stderr
    assert "Traceback" not in stderr
    if options:
        document = json.loads(stdout)
        assert (document["status"], document["result"]) == ("interrupted", None)
        assert document["steps"][-1]["status"] == "cancelled"
    else:
        assert "tta: interrupted; was at slow/wait" in stderr


def test_without_the_extra_the_command_names_it_and_exits_2(flow: Path) -> None:
    """The first thing a user of the bare package sees must say what to install."""
    code = (
        "import sys; sys.modules['typer'] = None\nfrom tta_dev_primitives.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=flow, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "tta: the command needs typer, which is not installed; "
        "add it with: uv add 'tta-dev-primitives[cli]'\n"
    )


def test_importing_the_entry_point_loads_neither_typer_nor_rich() -> None:
    """The extra is needed by who runs the command, not by who imports the package."""
    code = (
        "import sys, tta_dev_primitives.cli\n"
        "print(sorted({'typer', 'rich', 'click'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@with_the_extra
def test_a_reader_that_leaves_early_ends_an_endless_stream(flow: Path) -> None:
    """`tta run ... | head` ends quietly, and the stream's source is closed."""
    process = subprocess.Popen(
        command("run", "flow.py:no_end"),
        cwd=flow,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "1\n"
    process.stdout.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


@with_the_extra
def test_a_terminal_that_cannot_show_a_sign_shows_its_code(flow: Path) -> None:
    """Box characters on an ASCII terminal are no reason to fail."""
    ran = subprocess.run(
        command("graph", "flow.py:slow"),
        cwd=flow,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "\\u2514\\u2500\\u2500 wait" in ran.stdout


# --- in a terminal ------------------------------------------------------------------------------


def in_terminal(flow: Path, *arguments: str, stdout_too: bool) -> tuple[str, str]:
    """Run the command with a terminal as its standard error; returns what came on each."""
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        command(*arguments),
        cwd=flow,
        stdout=slave if stdout_too else subprocess.PIPE,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "24"},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    stdout = b"" if process.stdout is None else process.stdout.read()
    if process.stdout is not None:
        process.stdout.close()
    process.wait(timeout=30)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return plain.replace("\r\n", "\n"), stdout.decode()


@with_the_extra
def test_a_terminal_shows_the_tree_with_the_state_of_each_step(flow: Path) -> None:
    """What went well, what failed, and then the failure."""
    shown, _ = in_terminal(flow, "run", "flow.py:broken", "-i", '"x"', stdout_too=True)
    assert re.search(r"✗ broken  [\d.]+ (s|ms|µs)", shown)
    assert re.search(r"    ✗ bad: fail  [\d.]+ (s|ms|µs)", shown)
    assert re.search(r"  ✓ strip  [\d.]+ (s|ms|µs)", shown)
    assert shown.index("✗ bad") < shown.index("LookupError: no such document")


@with_the_extra
def test_the_tree_stays_out_of_what_is_piped_on(flow: Path) -> None:
    """With stdout in a pipe the tree is in the terminal and the result in the pipe."""
    shown, piped = in_terminal(flow, "run", "flow.py:stream", "-i", '"x"', stdout_too=False)
    assert piped == "one two \n"
    assert "tokens" in shown
    assert "one two" not in shown


@with_the_extra
def test_a_workflow_larger_than_the_terminal_is_shown_in_part(flow: Path) -> None:
    """The tree never scrolls; it says how many steps it leaves out."""
    shown, _ = in_terminal(flow, "run", "flow.py:many", "-i", '"x"', stdout_too=True)
    assert re.search(r"… \d+ more steps", shown)
    assert "✓ many" in shown


@with_the_extra
def test_a_document_comes_without_a_tree(flow: Path) -> None:
    """--json is for machines, also in a terminal."""
    shown, _ = in_terminal(flow, "run", "flow.py:many", "-i", '"x"', "--json", stdout_too=True)
    assert json.loads(shown)["status"] == "ok"


@with_the_extra
def test_bench_shows_its_progress_in_a_terminal_only(flow: Path) -> None:
    """A long measurement says how far it is."""
    shown, table = in_terminal(flow, "bench", "chain-10", "--turns", "3", stdout_too=False)
    assert "chain-10: 3 of 3" in shown
    assert "chain-10: " not in table
