"""The `tta-agents` command in a terminal, and as other programs use it."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")

from tta_agent_coordination import RedisMessageCoordinator
from tta_agent_coordination.testing import sample

if TYPE_CHECKING:
    from tta_agent_coordination.testing import RedisServer

pytestmark = pytest.mark.slow  # each starts the command as a process


def heed_interrupts() -> None:
    """Let an interrupt do what it does in a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, server: RedisServer, prefix: str, *arguments: str) -> None:
        self.master, other = pty.openpty()
        self.seen = b""
        command = [sys.executable, "-m", "tta_agent_coordination.cli", *arguments]
        self.process = subprocess.Popen(
            [*command, "--url", server.url, "--prefix", prefix],
            stdin=other,
            stdout=other,
            stderr=subprocess.PIPE,
            # Where the tests run in the background, interrupts may be ignored.
            preexec_fn=heed_interrupts,  # noqa: PLW1509 - no other thread is at work here
        )
        os.close(other)
        os.set_blocking(self.master, False)

    def expect(self, text: str) -> None:
        """Read until a text was shown."""
        end = time.monotonic() + 120
        while text.encode() not in self.seen:
            assert time.monotonic() < end, self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its code, and what it said on the error stream."""
        _, said = self.process.communicate(timeout=120)
        os.close(self.master)
        return self.process.returncode, said.decode()


@pytest.fixture
def prefix(redis_server: RedisServer) -> str:
    """A prefix with a message."""
    name = uuid.uuid4().hex

    async def fill() -> None:
        async with redis_server.client() as client:
            await RedisMessageCoordinator(client, name).send_many([sample("m1"), sample("m2")])

    asyncio.run(fill())
    return name


def test_a_live_table_is_redrawn_until_interrupted(redis_server: RedisServer, prefix: str) -> None:
    terminal = Terminal(redis_server, prefix, "queues", "--watch")
    terminal.expect("writer")
    terminal.expect("\x1b[1A")  # the cursor went up: it was drawn again
    terminal.process.send_signal(signal.SIGINT)

    code, said = terminal.end()
    assert (code, "Traceback" in said) == (130, False)


def test_a_terminal_is_asked_before_anything_is_deleted(
    redis_server: RedisServer, prefix: str
) -> None:
    for answer, code in (("n", 1), ("y", 0)):
        terminal = Terminal(redis_server, prefix, "purge", "writer")
        os.write(terminal.master, f"{answer}\n".encode())
        found, said = terminal.end()
        assert found == code
        assert "delete 2 ready and 0 scheduled messages of writer for good?" in said


def test_a_reader_that_has_seen_enough_is_no_error(redis_server: RedisServer, prefix: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tta_agent_coordination.cli", "tail", "--url", redis_server.url,
         "--prefix", prefix],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    end = time.monotonic() + 120

    async def send(number: int) -> None:
        async with redis_server.client() as client:
            await RedisMessageCoordinator(client, prefix).send_many([sample(f"t{number}")])

    number = 0
    while process.poll() is None and time.monotonic() < end:
        asyncio.run(send(number))
        number += 1
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (1, b"")
