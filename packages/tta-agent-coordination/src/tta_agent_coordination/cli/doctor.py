"""Whether a server is fit for mailboxes: what is wrong, and what to do about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import CoordinatorConnectionError, MessageCoordinatorError
from tta_agent_coordination.server.names import check_prefix, root_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_agent_coordination.cli.session import Session

__all__ = ("Finding", "Verdict", "examine", "judge")

OLDEST = (6, 2)
"""The first version that has all commands that are used."""
SKEW = 1.0
"""A machine's clock may differ from the server's by so many seconds."""
FULL = 0.8
"""From this share of its memory on, a server is nearly full."""
SLOW = 0.05
"""A round trip that takes longer (seconds) is worth a word."""


class Verdict(str, Enum):  # noqa: UP042 - like the other enums of the package
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What was looked at.
        verdict: How bad it is.
        found: What was found.
        advice: What to do about it; empty where nothing need be done.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


async def examine(session: Session) -> list[Finding]:
    """Look at a server.

    Raises:
        CoordinatorConnectionError: It cannot be reached.
        CoordinatorAccessError: It does not let this account in.
    """
    began = time.perf_counter()
    await session.command("PING")
    trip = time.perf_counter() - began
    findings = [_connection(session, trip)]
    try:
        info = await _info(session)
    except CoordinatorConnectionError:
        raise
    except MessageCoordinatorError as error:
        findings.append(
            Finding(
                check="info",
                verdict=Verdict.WARNING,
                found=str(error)[:200],
                advice="let the account run INFO, or look at memory, persistence and version "
                "yourself",
            )
        )
    else:
        findings += judge(info)
        findings.append(_topology(session, info))
    findings.append(await _scripting(session))
    findings.append(await _clock(session))
    return findings


def _connection(session: Session, trip: float) -> Finding:
    verdict = Verdict.OK if trip <= SLOW else Verdict.WARNING
    advice = "" if trip <= SLOW else "run workers nearer to the server; each step is a round trip"
    found = f"{session.url} answers in {trip * 1000:.1f} ms"
    return Finding(check="connection", verdict=verdict, found=found, advice=advice)


async def _info(session: Session) -> dict[str, str]:
    # A table; or, from the client of a cluster, a table for each node.
    table = cast("dict[str, object]", await session.command("INFO"))
    if "redis_version" not in table:
        table = cast("dict[str, object]", next(iter(table.values())))
    return {name: str(value) for name, value in table.items()}


def judge(info: Mapping[str, str]) -> list[Finding]:
    """Tell what a server's INFO means for mailboxes.

    Args:
        info: Its lines, by name.
    """
    return [_version(info), _role(info), _memory(info), _evicted(info), *_persistence(info)]


def _version(info: Mapping[str, str]) -> Finding:
    maker = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "unknown")
    try:
        numbers = tuple(map(int, info.get("redis_version", "").split(".")[:2]))
    except ValueError:
        numbers = ()
    if numbers and numbers < OLDEST:
        return Finding(
            check="version",
            verdict=Verdict.FAILURE,
            found=f"{maker} {version}",
            advice="upgrade the server to Redis 7.0 or later, or Valkey",
        )
    return Finding(check="version", verdict=Verdict.OK, found=f"{maker} {version}")


def _role(info: Mapping[str, str]) -> Finding:
    if info.get("role") == "slave":
        return Finding(
            check="role",
            verdict=Verdict.FAILURE,
            found=f"a replica of {info.get('master_host')}:{info.get('master_port')}",
            advice="connect to the primary, or through Sentinel (redis+sentinel://)",
        )
    replicas = info.get("connected_slaves", "0")
    return Finding(check="role", verdict=Verdict.OK, found=f"primary, replicas: {replicas}")


def _memory(info: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    most, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    found = f"{used >> 20} MiB of {f'{most >> 20} MiB' if most else 'no limit'}, policy {policy}"
    verdict, advice = Verdict.OK, ""
    if policy != "noeviction":
        # Our keys without an expiry are safe from volatile policies; those that only help are not.
        severe = most and policy.startswith("allkeys")
        verdict = Verdict.FAILURE if severe else Verdict.WARNING
        advice = (
            "the server may delete messages when it is full: "
            "CONFIG SET maxmemory-policy noeviction (and in its configuration file)"
        )
    elif most and used > FULL * most:
        verdict = Verdict.WARNING
        advice = "when it is full, nothing can be sent: receive what waits, or raise maxmemory"
    return Finding(check="memory", verdict=verdict, found=found, advice=advice)


def _evicted(info: Mapping[str, str]) -> Finding:
    evicted = int(info.get("evicted_keys", "0"))
    if evicted:
        return Finding(
            check="eviction",
            verdict=Verdict.WARNING,
            found=f"{evicted} keys deleted for want of memory since the server started",
            advice="messages may be among them: set noeviction, and raise maxmemory",
        )
    return Finding(check="eviction", verdict=Verdict.OK, found="no key was ever evicted")


def _persistence(info: Mapping[str, str]) -> list[Finding]:
    aof = info.get("aof_enabled") == "1"
    failed = [
        name
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if info.get(name, "ok") != "ok"
    ]
    findings = [
        Finding(check="persistence", verdict=Verdict.OK, found="append-only file")
        if aof
        else Finding(
            check="persistence",
            verdict=Verdict.WARNING,
            found="no append-only file",
            advice="a crash of the server loses what came after its last snapshot, or all: "
            "CONFIG SET appendonly yes (and in its configuration file)",
        )
    ]
    if failed:
        findings.append(
            Finding(
                check="writing to disk",
                verdict=Verdict.FAILURE,
                found=f"failed at the last time: {', '.join(failed)}",
                advice="look at the server's log and at its disk; it may refuse to accept messages",
            )
        )
    return findings


def _topology(session: Session, info: Mapping[str, str]) -> Finding:
    clustered = info.get("cluster_enabled") == "1"
    knows = hasattr(session.client, "get_nodes")
    if clustered and not knows:
        return Finding(
            check="topology",
            verdict=Verdict.FAILURE,
            found="a node of a cluster, and the URL is that of a single server",
            advice="use redis+cluster:// and RedisCluster",
        )
    return Finding(
        check="topology", verdict=Verdict.OK, found="cluster" if clustered else "single server"
    )


async def _scripting(session: Session) -> Finding:
    """Try what coordinators do, on keys that do not exist and are not made."""
    root = root_key(check_prefix(session.prefix), "?doctor").encode()
    inbox = root + b":i:doctor"
    steps = "redis.call('EXISTS',KEYS[1]);redis.call('PEXPIRE',KEYS[1],1);return 1"
    try:
        await session.command("EVAL", steps, 1, root, key=root)
        await session.command("BLPOP", inbox, 0.001, key=inbox)
    except CoordinatorConnectionError:
        raise
    except MessageCoordinatorError as error:
        return Finding(
            check="scripts",
            verdict=Verdict.FAILURE,
            found=str(error)[:300],
            advice="the account needs scripts and data commands for its keys: "
            "ACL SETUSER name ~{" + check_prefix(session.prefix) + ":* "
            "+@read +@write +@scripting +@blocking +@connection",
        )
    return Finding(check="scripts", verdict=Verdict.OK, found="may run, read and write")


async def _clock(session: Session) -> Finding:
    before = time.time()
    try:
        seconds, micros = cast("list[bytes]", await session.command("TIME"))
    except CoordinatorConnectionError:
        raise
    except MessageCoordinatorError as error:
        return Finding(
            check="clock", verdict=Verdict.FAILURE, found=str(error)[:200],
            advice="let the account run TIME: scripts need the server's clock",
        )  # fmt: skip
    after = time.time()
    skew = int(seconds) + int(micros) / 1e6 - (before + after) / 2
    bad = abs(skew) > SKEW + (after - before) / 2
    return Finding(
        check="clock",
        verdict=Verdict.WARNING if bad else Verdict.OK,
        found=f"the server's is {abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this "
        "machine's",
        advice="messages with deliver_at come early or late by this: run an NTP service on both"
        if bad
        else "",
    )
