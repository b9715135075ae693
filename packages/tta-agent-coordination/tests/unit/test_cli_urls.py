"""Where the `tta-agents` command finds its server: URLs of every form, right and wrong."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from typer.testing import CliRunner

from tta_agent_coordination import AgentId, RedisMessageCoordinator
from tta_agent_coordination.cli.app import app
from tta_agent_coordination.cli.session import UsageProblem, connect, shown_url
from tta_agent_coordination.testing import RedisServer, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.testing import LocalCluster


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("redis://127.0.0.1:1", 3),
        ("redis://nobody:secret@{place}", 3),
        ("redis+sentinel://127.0.0.1:1/main", 3),
        ("http://user:secret@host", 2),
        ("redis+sentinel://host", 2),
        ("redis://host:port", 2),
        ("nonsense", 2),
        ("redis+cluster://127.0.0.1:1", 3),
        ("redis+cluster://127.0.0.1:1/3", 2),
        ("redis+cluster://{place}", 3),
        ("redis://127.0.0.1:1/abc", 2),
        ("redis+sentinel://127.0.0.1:1/main/abc", 2),
        ("redis://{place}?no_such_option=1", 2),
        ("redis://user:secret@[::1", 2),
        ("rediss://127.0.0.1:1?ssl_ca_certs=/no/such/file", 2),
        ("unix:///no/such.sock", 3),
        ("redis://{place}999999999", 1),
    ],
)
def test_errors_are_one_line_without_the_password(
    redis_server: RedisServer, url: str, code: int
) -> None:
    place = redis_server.url.removeprefix("redis://")
    result = CliRunner().invoke(app, ["queues", "--url", url.format(place=place)])

    assert result.exit_code == code, result.output
    assert result.stderr.startswith("tta-agents: ")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.output


def test_a_prefix_must_be_some_text(redis_server: RedisServer) -> None:
    result = CliRunner().invoke(app, ["queues", "--url", redis_server.url, "--prefix", ""])

    assert result.exit_code == 2
    assert result.stderr == "tta-agents: key_prefix must be a text that is not empty, not ''\n"


def test_a_server_that_wants_a_password_and_is_given_none_says_so(program: str) -> None:
    with RedisServer(program, ("--requirepass", "secret")) as server:
        result = CliRunner().invoke(app, ["queues", "--url", server.url])
        named = server.url.replace("//", "//:secret@")
        assert CliRunner().invoke(app, ["queues", "--url", named]).exit_code == 0

    assert result.exit_code == 3
    assert "the server wants a password, and was given none" in result.stderr


def test_a_sentinel_that_knows_no_master_is_told_without_internals() -> None:
    url = "redis+sentinel://127.0.0.1:1/main"
    result = CliRunner().invoke(app, ["queues", "--url", url])

    assert "No master found for 'main'; " in result.stderr


def test_a_cluster_is_looked_at_as_a_server_is(cluster: Callable[[], LocalCluster]) -> None:
    node = cluster().servers[0]
    prefix = f"cli:{uuid.uuid4().hex}"
    place = ["--json", "--prefix", prefix, "--url", f"redis+cluster://127.0.0.1:{node.port}"]

    async def fill() -> None:
        client = cluster().client()
        coordinator = RedisMessageCoordinator(client, prefix)
        kinds = [AgentId(type=f"kind{n}") for n in range(5)]
        # All at once: a client of a cluster does not bear that, so one call goes ahead.
        await asyncio.gather(
            *(coordinator.send_many([sample("m", recipient=kind)]) for kind in kinds)
        )
        await client.aclose()

    asyncio.run(fill())
    queues, agents, doctor = (
        CliRunner().invoke(app, [name, *place]) for name in ("queues", "agents", "doctor")
    )
    assert not doctor.exception, doctor.output

    assert [row["type"] for row in json.loads(queues.stdout)] == [f"kind{n}" for n in range(5)]
    assert json.loads(agents.stdout) == []
    findings = {row["check"]: row for row in json.loads(doctor.stdout)}
    assert findings["topology"]["found"] == "cluster"
    assert findings["version"]["found"].startswith("Redis ")
    single = CliRunner().invoke(app, ["doctor", "--json", "--url", node.url])
    findings = {row["check"]: row for row in json.loads(single.stdout)}
    assert "redis+cluster://" in findings["topology"]["advice"]


def test_urls_of_every_kind_make_a_client() -> None:
    for url in (
        "rediss://u:p@host:6380/1?ssl_cert_reqs=none",
        "unix:///tmp/redis.sock?db=2",
        "redis+cluster://host:7000",
    ):
        assert connect(url) is not None
    sentinel = connect(
        "rediss+sentinel://u:p%40@a:1,b/main/3?ssl_cert_reqs=none&sentinel_password=s"
    )
    options = sentinel.connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("u", "p@", 3)
    with pytest.raises(UsageProblem):
        connect("ftp://x")


def test_a_url_is_shown_without_its_secrets() -> None:
    assert shown_url("redis://:secret@host:1/0?password=secret") == "redis://host:1/0"
