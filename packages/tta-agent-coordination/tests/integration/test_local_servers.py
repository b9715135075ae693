"""The servers that this package starts for tests: how they come up, fail to, and end."""

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tta_agent_coordination import ConfigurationError, RedisMessageCoordinator
from tta_agent_coordination.testing import WRITER, LocalCluster, LocalSentinel, RedisServer, sample


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


def test_a_server_that_stands_still_is_ended_all_the_same(program: str) -> None:
    with RedisServer(program, timeout=1.5) as server:
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
    for cluster in (LocalCluster(program, timeout=0), LocalCluster(script(tmp_path, "exit 1"))):
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
    with LocalSentinel(program, replicas=1) as group:
        async with group.client() as client:
            assert (await client.role())[0] == b"master"
            await RedisMessageCoordinator(client, "p", min_replicas=1).send_many([sample("m1")])
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
