"""The `tta-agents` command in this process: how it begins and ends, and what a terminal shows."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import runpy
import select
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

import redis
import typer
from redis.exceptions import NoPermissionError

from tta_agent_coordination import CoordinatorConnectionError, RedisMessageCoordinator, SyncSender
from tta_agent_coordination.cli import app as commands
from tta_agent_coordination.cli import dead, doctor, main, options
from tta_agent_coordination.cli.doctor import Verdict, examine
from tta_agent_coordination.cli.output import Board, Listing
from tta_agent_coordination.cli.session import Session, opened
from tta_agent_coordination.testing import WRITER, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_agent_coordination.testing import RedisServer


END = "\x03"  # nothing else writes that


class Terminal:
    """A terminal whose other end is in our hands."""

    def __init__(self) -> None:
        self.master, other = pty.openpty()
        self.reading = os.fdopen(os.dup(other), "r", encoding="utf-8")
        self.writing = os.fdopen(other, "w", encoding="utf-8")
        os.set_blocking(self.master, False)

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process run in it; to be called in the test: pytest changes both before."""
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdin", self.reading)
        monkeypatch.setattr(sys, "stdout", self.writing)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def shown(self) -> str:
        """Return what has been shown since."""
        self.writing.write(END)
        self.writing.flush()
        text = b""
        while not text.endswith(END.encode()):  # the system passes it on in pieces, when it likes
            assert select.select([self.master], [], [], 30)[0]
            text += os.read(self.master, 65536)
        return text.decode().removesuffix(END)

    def close(self) -> None:
        """Close both ends."""
        self.reading.close()
        self.writing.close()
        os.close(self.master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal of the test's own."""
    made = Terminal()
    yield made
    monkeypatch.undo()
    made.close()


@pytest.fixture
def place(redis_server: RedisServer) -> list[str]:
    """Where the command works: arguments."""
    return ["--url", redis_server.url, "--prefix", uuid.uuid4().hex]


def test_it_ends_with_the_code_of_its_command(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["queues", *place])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("AGENT\t")


def test_it_is_a_module_that_can_be_run(
    place: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tta-agents", "agents", *place])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tta_agent_coordination.cli", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("AGENT\t")


def test_an_interrupt_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["queues"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "tta-agents: interrupted\n"


def test_a_command_that_returns_has_gone_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def done(**_: Any) -> None:
        """Return, as typer does not."""

    monkeypatch.setattr(commands, "app", done)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0


def test_a_program_may_catch_what_is_written(
    place: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a stream that has no encoding."""
    caught = io.StringIO()
    monkeypatch.setattr(sys, "stdout", caught)
    with pytest.raises(SystemExit):
        main(["queues", *place])

    assert caught.getvalue().startswith("AGENT\t")


@pytest.mark.parametrize("absent", ["typer", "rich"])
def test_a_missing_extra_is_named(
    absent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("tta_agent_coordination.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert f"needs {absent}" in capsys.readouterr().err


def test_another_module_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tta_agent_coordination.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        main([])


def test_a_terminal_shows_a_table(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.attach(monkeypatch)
    board = Board(as_document=False, live=False)
    listing = Listing(columns=("ID",), empty="nobody is here")
    board.show(listing)
    assert "nobody is here" in terminal.shown()
    listing.add(["m-1\x1b[2J"], {})
    board.show(listing)
    shown = terminal.shown()
    assert "m-1" in shown
    assert "\x1b[2J" not in shown  # nobody else steers the terminal
    board.close()


def test_a_live_table_is_drawn_in_place(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.attach(monkeypatch)
    board = Board(as_document=False, live=True)
    assert board.live
    for name in ("first", "second"):
        listing = Listing(columns=("ID",))
        listing.add([name], {})
        board.show(listing)
    board.close()
    shown = terminal.shown()
    assert shown.index("first") < shown.index("second")


async def test_a_table_is_redrawn_each_second(
    terminal: Terminal, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.attach(monkeypatch)
    monkeypatch.setattr(options, "EVERY", 0.001)
    looks = 0

    async def look(_: Session) -> Listing:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise CoordinatorConnectionError("away")
        return Listing(columns=("ID",))

    async with opened(redis_server.url, "x") as session:
        with pytest.raises(CoordinatorConnectionError):
            await options.show(session, look, as_document=False, watch=True)
    assert looks == 3
    assert "nothing there" in terminal.shown()


def test_a_terminal_is_asked(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.attach(monkeypatch)
    terminal.type("y\n")
    dead.sure("delete all", yes=False)
    terminal.type("n\n")
    with pytest.raises(typer.Exit):
        dead.sure("delete all", yes=False)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_tail_ends_when_nobody_reads_any_more(
    form: list[str], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And writes a line for each message until then."""
    prefix = uuid.uuid4().hex
    reading, writing = os.pipe()
    lines: list[str] = []
    ended = threading.Event()

    def send() -> None:
        """Send until a line has come, then close our end, and go on until it is noticed."""
        with redis.Redis(port=redis_server.port) as client:
            sender = SyncSender(client, prefix)
            source = os.fdopen(reading, encoding="utf-8")
            number = 0
            os.set_blocking(reading, False)
            while not ended.wait(0.01):
                sender.send_message(sample("x").sender, WRITER, sample(f"m{number}"))
                number += 1
                if not lines and (line := source.readline()):
                    lines.append(line)
                    source.close()
            if not lines:
                source.close()

    thread = threading.Thread(target=send)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        thread.start()
        try:
            with pytest.raises(SystemExit) as code:
                main(["tail", "writer", *form, "--url", redis_server.url, "--prefix", prefix])
        finally:
            ended.set()
            thread.join()
            monkeypatch.undo()

    assert code.value.code == 1
    assert "writer" in lines[0]


class Refusing:
    """A client whose server refuses one command."""

    def __init__(self, client: Any, refused: str, error: Exception) -> None:
        self._client = client
        self._refused = refused
        self._error = error

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == self._refused:
            raise self._error
        return await self._client.execute_command(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def session_of(client: Any) -> Session:
    return Session(
        client=client, prefix="x", coordinator=RedisMessageCoordinator(client), url="redis://x"
    )


@pytest.mark.parametrize("command", ["INFO", "EVAL", "TIME"])
async def test_a_server_that_goes_away_meanwhile_is_away(
    command: str, redis_server: RedisServer
) -> None:
    async with redis_server.client() as client:
        session = session_of(Refusing(client, command, OSError("gone")))
        with pytest.raises(CoordinatorConnectionError, match="gone"):
            await examine(session)


async def test_an_account_that_may_not_ask_the_time_is_told(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SLOW", 60.0)  # a busy machine is another matter
    async with redis_server.client() as client:
        refusing = Refusing(client, "TIME", NoPermissionError("NOPERM"))
        findings = {one.check: one for one in await examine(session_of(refusing))}
    assert findings["clock"].verdict is Verdict.FAILURE
    assert findings["connection"].verdict is Verdict.OK


@pytest.mark.parametrize(
    "reply",
    [
        {"redis_version": "7.0.1", "cluster_enabled": "1"},
        {"10.0.0.1:7000": {"redis_version": "7.0.1", "cluster_enabled": "1"}},
    ],
    ids=["a table", "a table for each node"],
)
async def test_a_node_of_a_cluster_is_no_single_server(
    reply: dict[str, Any], redis_server: RedisServer
) -> None:
    class Told(Refusing):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            if args[0] == "INFO":
                return reply
            return await super().execute_command(*args, **options)

    async with redis_server.client() as client:
        told = Told(client, "", OSError())
        findings = {one.check: one for one in await examine(session_of(told))}
    assert findings["topology"].verdict is Verdict.FAILURE
    assert findings["version"].found == "Redis 7.0.1"


async def test_many_scheduled_messages_are_looked_through(redis_server: RedisServer) -> None:
    """So many at a time, among the timers of leases; no more than asked for."""
    from datetime import UTC, datetime, timedelta

    from tta_agent_coordination.cli.looking import CHUNK, peek

    prefix = uuid.uuid4().hex
    async with opened(redis_server.url, prefix) as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        await session.coordinator.send_many(
            [sample(f"m{n}") for n in range(CHUNK + 5)], deliver_at=later
        )
        assert len(await peek(session, WRITER, CHUNK + 2)) == CHUNK + 2
        assert len(await peek(session, WRITER, 3)) == 3
        await asyncio.sleep(0)
