"""The `tta-agents` command, called in this process, on a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from typer.testing import CliRunner

from tta_agent_coordination import AgentId, FailureType, RedisMessageCoordinator
from tta_agent_coordination.cli import main
from tta_agent_coordination.cli.app import app
from tta_agent_coordination.cli.doctor import Verdict, judge
from tta_agent_coordination.cli.looking import tail
from tta_agent_coordination.cli.output import ago, clock_time
from tta_agent_coordination.cli.session import opened
from tta_agent_coordination.registries import RedisAgentRegistry
from tta_agent_coordination.registries.records import AgentDescription
from tta_agent_coordination.testing import WRITER, sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typer.testing import Result

    from tta_agent_coordination.cli.looking import Seen
    from tta_agent_coordination.testing import RedisServer


class Command:
    """The command, on a server and a prefix of the test's own."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = f"cli:{uuid.uuid4().hex}"

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """Run it, and check how it exits."""
        options = ["--url", self.server.url, "--prefix", self.prefix]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run it, and return what it tells machines."""
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def do(self, work: Callable[[RedisMessageCoordinator], Awaitable[object]]) -> None:
        """Let a coordinator do something."""

        async def main() -> None:
            async with self.server.client() as client:
                options: dict[str, Any] = {"backoff_base": 1000, "backoff_max": 1000}
                await work(RedisMessageCoordinator(client, self.prefix, **options))

        asyncio.run(main())


@pytest.fixture
def command(redis_server: RedisServer) -> Command:
    """The command."""
    return Command(redis_server)


@pytest.fixture
def filled(command: Command) -> Command:
    """The command, where a mailbox holds a message of each kind."""

    async def fill(coordinator: RedisMessageCoordinator) -> None:
        messages = [sample(f"m{n}", payload={"n": n, "text": "\x1b[31mred"}) for n in range(5)]
        await coordinator.send_many(messages)
        for failure in (FailureType.PERMANENT, FailureType.TRANSIENT, None):
            received = await coordinator.receive(WRITER, 1000)
            assert received is not None
            if failure is not None:
                await coordinator.nack(WRITER, received.token, failure, "no\npaint")

    command.do(fill)
    return command


def test_queues_are_counted(filled: Command) -> None:
    (row,) = filled.json("queues")

    assert (row["type"], row["instance"]) == ("writer", None)
    assert row["ready"] == {"9": 0, "5": 2, "1": 0}
    assert (row["scheduled"], row["leased"], row["dead"]) == (1, 1, 1)
    text = filled("queues").stdout.splitlines()
    assert text[0].startswith("AGENT\tREADY 9")
    assert text[1].startswith("writer\t0\t2\t0\t1\t1\t1\t0\t")


def test_names_of_any_form_are_found(command: Command) -> None:
    odd = AgentId(type="a:b {c}*", instance="é /1")
    command.do(lambda coordinator: coordinator.send_many([sample("m", recipient=odd)]))

    (row,) = command.json("queues", "--watch")

    assert (row["type"], row["instance"]) == ("a:b {c}*", "é /1")
    assert len(command.json("peek", odd.type, "--instance", "é /1")) == 1


def test_a_prefix_without_mailboxes_shows_none(command: Command) -> None:
    assert command.json("queues") == []
    assert command.json("peek", "writer") == []
    assert command.json("agents") == []


def test_peek_takes_nothing_out(filled: Command) -> None:
    for _ in range(2):
        rows = filled.json("peek", "writer")
        assert {row["message_id"]: row["state"] for row in rows} == {
            "m1": "scheduled", "m2": "leased", "m3": "ready", "m4": "ready",
        }  # fmt: skip
    assert [row["message_id"] for row in filled.json("peek", "writer", "-n", "1")] == [
        "m3", "m1", "m2",
    ]  # fmt: skip


def test_messages_cannot_steer_the_terminal(filled: Command) -> None:
    assert "\x1b" not in filled("peek", "writer").stdout
    assert "no\\x0apaint" in filled("dead", "list", "writer").stdout


def test_dead_letters_are_listed_and_shown(filled: Command) -> None:
    (row,) = filled.json("dead", "list", "writer")
    assert (row["dead_letter_id"], row["failure"]) == ("m0", "permanent")
    assert filled.json("dead", "list", "writer", "--failure", "timeout") == []

    shown = filled.json("dead", "show", "writer", "m0")
    assert shown["message"]["payload"]["n"] == 0
    assert "dead_letter_id\tm0" in filled("dead", "show", "writer", "m0").stdout
    missing = filled("dead", "show", "writer", "nope", code=1)
    assert missing.stderr == "tta-agents: writer has no dead letter 'nope'\n"


def test_redrive_puts_dead_letters_back(filled: Command) -> None:
    assert "not there" in filled("redrive", "writer", "nope", code=1).stderr
    assert filled("redrive", "writer", "m0").stdout == "redriven: 1\n"
    (row,) = filled.json("queues")
    assert (row["ready"]["5"], row["dead"]) == (3, 0)


def test_what_concerns_all_is_asked_for(filled: Command) -> None:
    """Where nobody can answer, it is refused; nothing has happened then."""
    for arguments in (("redrive", "writer"), ("purge", "writer"), ("purge", "writer", "--dead")):
        assert "add --yes" in filled(*arguments, code=2).stderr
    assert "add --dead" in filled("purge", "writer", "m0", code=2).stderr
    (row,) = filled.json("queues")
    assert (row["ready"]["5"], row["scheduled"], row["dead"]) == (2, 1, 1)


def test_purge_deletes_what_waits_and_no_more(filled: Command) -> None:
    assert filled.json("purge", "writer", "--yes") == {"purged": 3}
    assert filled.json("purge", "writer", "--dead", "m0", "-y") == {"purged": 1}
    (row,) = filled.json("queues")
    assert (row["leased"], row["dead"]) == (1, 0)


def test_agents_are_listed_with_what_they_can_do(command: Command) -> None:
    async def register() -> None:
        async with command.server.client() as client:
            registry = RedisAgentRegistry(client, command.prefix)
            registry.register(AgentDescription(AgentId(type="writer", instance="1"), ["poems"]))
            await registry.flush()

    asyncio.run(register())

    (row,) = command.json("agents")
    assert (row["name"], row["capabilities"]) == ("writer/1", ["poems"])
    assert "writer/1\talive\tpoems" in command("agents").stdout


async def test_tail_sees_every_message_that_is_sent_from_now_on(redis_server: RedisServer) -> None:
    """Also those that were received before anybody looked."""
    prefix = f"tail:{uuid.uuid4().hex}"
    async with opened(redis_server.url, prefix) as session:
        coordinator = session.coordinator
        await coordinator.send_many([sample("before")])
        seen: asyncio.Queue[Seen] = asyncio.Queue()
        following = asyncio.create_task(tail(session, None, seen.put_nowait))
        probes = 0
        while seen.empty():  # until it is seen to look
            await coordinator.send_many([sample(f"probe {probes}")])
            probes += 1
            await asyncio.sleep(0.05)
        await coordinator.send_many([sample("quick")])
        for received in await coordinator.receive_many(WRITER, 1000, 600):
            await coordinator.ack(WRITER, received.token)
        while (first := await asyncio.wait_for(seen.get(), 60)).message_id.startswith("probe"):
            pass
        await coordinator.send_many([sample("other", recipient=AgentId(type="painter"))])
        other = await asyncio.wait_for(seen.get(), 60)
        following.cancel()
        await asyncio.wait([following])

    assert first.message_id == "quick"
    assert (other.message_id, other.agent_id.type, other.state) == ("other", "painter", "ready")


def test_the_doctor_finds_a_new_server_in_order(command: Command) -> None:
    """It has no append-only file; that is a warning, with what to do."""
    findings = {row["check"]: row for row in command.json("doctor")}

    assert set(findings) >= {"connection", "version", "memory", "scripts", "clock", "persistence"}
    assert findings["persistence"]["verdict"] == "warning"
    assert "appendonly yes" in findings["persistence"]["advice"]
    assert command.json("queues") == []  # it leaves nothing behind


@pytest.mark.parametrize(
    ("facts", "check", "verdict"),
    [
        ({"redis_version": "5.0.7"}, "version", Verdict.FAILURE),
        ({"redis_version": "odd"}, "version", Verdict.OK),
        ({"role": "slave", "master_host": "db"}, "role", Verdict.FAILURE),
        ({"maxmemory": "100", "maxmemory_policy": "allkeys-lru"}, "memory", Verdict.FAILURE),
        ({"maxmemory": "0", "maxmemory_policy": "volatile-ttl"}, "memory", Verdict.WARNING),
        ({"maxmemory": "100", "used_memory": "90"}, "memory", Verdict.WARNING),
        ({"evicted_keys": "3"}, "eviction", Verdict.WARNING),
        ({"aof_enabled": "1"}, "persistence", Verdict.OK),
        ({"rdb_last_bgsave_status": "err"}, "writing to disk", Verdict.FAILURE),
    ],
)
def test_what_the_doctor_thinks_of_a_server(
    facts: dict[str, str], check: str, verdict: Verdict
) -> None:
    (finding,) = [finding for finding in judge(facts) if finding.check == check]

    assert finding.verdict is verdict
    assert bool(finding.advice) == (verdict is not Verdict.OK)


def test_the_doctor_says_which_rights_are_missing(command: Command) -> None:
    async def account(coordinator: RedisMessageCoordinator) -> None:
        async with command.server.client() as client:
            await cast("Any", client).execute_command(
                "ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@connection", "+info", "+time"
            )

    command.do(account)
    url = command.server.url.replace("//", "//poor:pw@")
    result = CliRunner().invoke(app, ["doctor", "--json", "--url", url])

    assert result.exit_code == 1
    findings = {row["check"]: row for row in json.loads(result.stdout)}
    assert findings["scripts"]["verdict"] == "failure"
    assert "+@scripting" in findings["scripts"]["advice"]


def test_mailboxes_for_answers_and_keys_of_others_are_no_queues(command: Command) -> None:
    async def fill(coordinator: RedisMessageCoordinator) -> None:
        client: Any = command.server.client()
        async with client:
            await client.set(f"{{{command.prefix}:?answers}}:m:*:r5", "x")
            await client.set(f"{{{command.prefix}:kind}}:m:odd", "x")
        await coordinator.send_many([sample("m")])

    command.do(fill)

    assert [row["type"] for row in command.json("queues")] == ["writer"]


def test_a_time_that_is_not_known_is_left_out() -> None:
    """Such as when a message was sent that was received before anybody looked."""
    assert (clock_time(None), ago(None)) == ("", "")
    assert clock_time(0) == "1970-01-01T00:00:00+00:00"


def test_redrive_says_which_dead_letters_it_is_about(filled: Command) -> None:
    result = filled("redrive", "writer", "--failure", "permanent", code=2)

    assert "put back those that died of permanent of 1 dead letters of writer" in result.stderr


def test_an_agent_must_have_a_type(command: Command) -> None:
    assert "1 to 256" in command("peek", "", code=2).stderr


def test_without_the_extra_the_command_says_how_to_get_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['typer'] = None\n"
        "from tta_agent_coordination.cli import main\n"
        "main(['queues'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "uv add 'tta-agent-coordination[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="tta-agents")

    assert script.load() is main


def test_an_account_without_info_is_examined_all_the_same(command: Command) -> None:
    """What cannot be known is a warning."""
    arguments = ("ACL", "SETUSER", "blind", "on", ">pw", "~*", "+@all", "-info")

    async def account() -> None:
        async with command.server.client() as client:
            await cast("Any", client).execute_command(*arguments)

    asyncio.run(account())
    url = command.server.url.replace("//", "//blind:pw@")
    result = CliRunner().invoke(app, ["doctor", "--json", "--url", url])

    assert result.exit_code == 0, result.output
    findings = {row["check"]: row for row in json.loads(result.stdout)}
    assert findings["info"]["verdict"] == "warning"
    assert findings["scripts"]["verdict"] == "ok"


def test_what_cannot_be_read_is_shown_as_such(command: Command) -> None:
    async def spoil(coordinator: RedisMessageCoordinator) -> None:
        await coordinator.send_many([sample("m1")])
        async with command.server.client() as client:
            key = f"{{{command.prefix}:writer}}:m:*:r5"
            await client.rpush(key, b"nonsense", b"9 0 5 1 0 new - - -\n\n{}")

    command.do(spoil)

    rows = command.json("peek", "writer")
    assert [row["message_id"] for row in rows] == ["m1", "(unreadable)", "new"]
    assert "(unreadable)" in command("peek", "writer").stdout


def test_the_command_starts_as_a_module(redis_server: RedisServer) -> None:
    arguments = ["doctor", "--url", redis_server.url]
    done = subprocess.run(
        [sys.executable, "-m", "tta_agent_coordination.cli", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CHECK\tVERDICT\tFOUND")
