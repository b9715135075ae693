"""Fixtures of several test files: processes that record."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_FORK_WARNING = "ignore:This process:DeprecationWarning"  # of 3.12: the recorder has a thread
_RECORD = """
    import os, signal, sys, time
    from keploy_framework.model import Direction
    from keploy_framework.recording.recorder import Recorder
    from keploy_framework.recording.redaction import Unredacted

    recorder = Recorder(sys.argv[1], redact=Unredacted())
    def record(path, count=1):
        for _ in range(count):
            exchange = recorder.open(Direction.INBOUND, "GET", f"http://t/{path}", ())
            exchange.response_head(200, "", ())
            exchange.response_piece(b"x" * 100)
            exchange.end()
    def rest():
        # A signal that comes just before a sleep begins does not end it: none may be long.
        for _ in range(6000):
            time.sleep(0.05)
"""


class Processes:
    """Starts processes that record, and hears what they say."""

    def run(self, folder: Path, code: str, **environ: str) -> subprocess.Popen[bytes]:
        """Run code that can `record` in a process of its own."""
        text = textwrap.dedent(_RECORD) + textwrap.dedent(code)
        return subprocess.Popen(
            [sys.executable, "-W", _FORK_WARNING, "-c", text, str(folder)],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def output(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end; return what it said on both channels."""
        out, err = process.communicate(timeout=120)
        return (out + err).decode()

    def ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it has said something."""
        assert process.stdout is not None
        assert process.stdout.readline()


@pytest.fixture(scope="session")
def processes() -> Processes:
    return Processes()
