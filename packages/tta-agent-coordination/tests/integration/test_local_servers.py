"""The servers that this package starts for tests: how they come up, fail to, and end."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tta_agent_coordination import ConfigurationError, NotReplicatedError, RedisMessageCoordinator
from tta_agent_coordination.testing import (
    WRITER,
    LocalCluster,
    LocalSentinel,
    RedisServer,
    sample,
    servers,
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def script(folder: Path, text: str) -> str:
    """Make a program of a shell script."""
    program = folder / "server"
    program.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    program.chmod(0o755)
    return str(program)


def test_a_program_that_is_not_there_is_named_with_the_package_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"no program 'redis-sever' .* apt install"):
        RedisServer("redis-sever")


def test_a_server_that_ends_at_once_is_not_waited_for(program: str) -> None:
    server = RedisServer(program, ("--no-such-option", "1"), timeout=60)
    with pytest.raises(TimeoutError, match="did not start"):
        server.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    server = RedisServer(script(tmp_path, "exec sleep 60"), timeout=0.1)
    with pytest.raises(TimeoutError, match="did not start"):
        server.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid


def test_a_server_keeps_its_port_and_can_be_closed_twice(program: str) -> None:
    server = RedisServer(program)
    with server:
        port = server.port
        server.stop(kill=True)
        server.start()
        assert server.port == port
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="a port that is held cannot be listened on")
def test_a_server_keeps_its_port_while_it_is_stopped(program: str) -> None:
    """Nobody else is given it meanwhile."""
    with RedisServer(program) as server:
        server.stop(kill=True)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.port))
        server.start()


def test_a_server_that_wants_its_port_for_itself_alone_gets_it(
    program: str, tmp_path: Path
) -> None:
    """It ends at once where it does not; then the port is not kept for it."""
    taken = tmp_path / "taken"
    once = script(tmp_path, f'[ -e {taken} ] && exec {program} "$@"; touch {taken}; exit 1')
    with RedisServer(once) as server:
        assert server.pid


def test_where_no_port_can_be_held_servers_and_clusters_start_all_the_same(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only Linux lets a port be listened on that somebody holds."""
    monkeypatch.setattr(servers, "sys", SimpleNamespace(platform="darwin"))

    with RedisServer(program) as server, LocalCluster(program) as group:
        ports = {server.port, *(node.port for node in group.servers)}

        assert len(ports - {0}) == 1 + len(group.servers)
        port = server.port
        server.stop()
        server.start()
        assert server.port == port


def test_a_server_that_stands_still_is_ended_all_the_same(program: str) -> None:
    with RedisServer(program) as server:
        server._timeout = 0.2  # pyright: ignore[reportPrivateUsage] - of its end alone
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_cluster_whose_port_is_taken_takes_another(program: str, taken: int) -> None:
    """And carries messages; its nodes keep the arguments that they were given."""
    cluster = LocalCluster(program)
    cluster.servers[1].port = taken
    cluster.servers[1].arguments = ("--maxclients", "123", *cluster.servers[1].arguments)
    with cluster:
        assert taken not in {server.port for server in cluster.servers}
        async with cluster.client() as client:
            coordinator = RedisMessageCoordinator(client, uuid.uuid4().hex)
            await coordinator.send_many([sample("m1")])
            assert await coordinator.receive(WRITER) is not None
        node: Any = cluster.servers[1].client()
        async with node:
            assert await node.config_get("maxclients") == {"maxclients": "123"}


def test_a_cluster_that_does_not_come_together_is_closed(program: str, tmp_path: Path) -> None:
    apart = LocalCluster(program, timeout=0.1)
    for server in apart.servers:  # at a port where it does not listen, none finds another
        server.arguments = ("--cluster-announce-bus-port", "1", *server.arguments)
    for cluster in (apart, LocalCluster(script(tmp_path, "exit 1"))):
        with pytest.raises(TimeoutError, match="did not"):
            cluster.start()
        for server in cluster.servers:
            with pytest.raises(RuntimeError, match="not running"):
                _ = server.pid


@pytest.mark.parametrize("nodes", [2, 0, True, "3"])
def test_a_cluster_has_at_least_three_nodes(nodes: int) -> None:
    with pytest.raises(ConfigurationError, match="nodes must be a whole number from 3"):
        LocalCluster("sh", nodes)


async def test_a_sentinel_leads_to_the_master(program: str) -> None:
    """And the replica is in step."""
    with LocalSentinel(program, replicas=1, down_after=60) as group:
        async with group.client(socket_timeout=120) as client:
            assert (await client.role())[0] == b"master"
            coordinator = RedisMessageCoordinator(client, "p", min_replicas=1, replica_timeout=2)
            confirmed = False
            async with asyncio.timeout(60):
                while not confirmed:  # it may be slow, for once
                    with suppress(NotReplicatedError):
                        await coordinator.send_many([sample("m1")])
                        confirmed = True
        replica: Any = group.replicas[0].client()
        async with replica:
            assert await replica.keys("*")
        group.watcher.stop()
        group.watcher.start()  # it remembers what it has learned
        async with group.client() as client:
            assert (await client.role())[0] == b"master"
    with pytest.raises(RuntimeError, match="not running"):
        _ = group.watcher.pid


def test_a_sentinel_that_does_not_come_up_is_closed(program: str, tmp_path: Path) -> None:
    apart = LocalSentinel(program, replicas=1, timeout=0.1)
    apart.replicas[0].arguments += ("--masterauth", "of no account")
    for group in (apart, LocalSentinel(script(tmp_path, "exit 1"))):
        with pytest.raises(TimeoutError, match="did not"):
            group.start()
        for server in (group.master, *group.replicas, group.watcher):
            with pytest.raises(RuntimeError, match="not running"):
                _ = server.pid
