"""What lies in a mailbox, read without taking anything out of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tta_agent_coordination.coordinators.entries import open_body, unpack
from tta_agent_coordination.errors import InvalidMessageError
from tta_agent_coordination.server.names import unquoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tta_agent_coordination.cli.session import Session
    from tta_agent_coordination.coordinators.entries import Entry
    from tta_agent_coordination.models import AgentId

__all__ = ("Seen", "peek", "server_time", "tail")

CHUNK = 500
LOOK = 0.25
"""Seconds between two looks of `tail`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message in a mailbox. Times are seconds since 1970 by the server's clock.

    Attributes:
        agent_id: Whose mailbox.
        state: ready, scheduled, leased or gone (received and settled before it was looked at).
        message_id: Its id.
        priority: 9, 5 or 1.
        attempts: How often it was delivered.
        enqueued_at: When it was accepted.
        due_at: When it becomes ready, or its lease ends.
        headers: What travels with it.
        payload: Its content; None where it cannot be read.
    """

    agent_id: AgentId
    state: str
    message_id: str
    priority: int | None = None
    attempts: int | None = None
    enqueued_at: float | None = None
    due_at: float | None = None
    headers: Mapping[str, str] | None = None
    payload: Mapping[str, Any] | None = None


async def server_time(session: Session) -> float:
    """Return the server's time in seconds since 1970."""
    seconds, micros = cast("list[bytes]", await session.command("TIME"))
    return int(seconds) + int(micros) / 1e6


async def peek(session: Session, agent_id: AgentId, limit: int) -> list[Seen]:
    """Return messages of a mailbox: up to `limit` that are ready, scheduled, and leased each."""
    base = session.base(agent_id)
    found: list[Seen] = []
    for level in (b"9", b"5", b"1"):
        left = limit - len(found)
        if left <= 0:
            break
        key = base + b":r" + level
        entries = await session.command("LRANGE", key, 0, left - 1, key=key)
        found += [_seen(agent_id, "ready", entry) for entry in entries]
    for state, letter, table in (("scheduled", b"D", b":y"), ("leased", b"L", b":h")):
        found += await _timed(session, agent_id, base, state, letter, table, limit)
    return found


async def _timed(
    session: Session,
    agent_id: AgentId,
    base: bytes,
    state: str,
    letter: bytes,
    table: bytes,
    limit: int,
) -> list[Seen]:
    names: list[bytes] = []
    start = 0
    while len(names) < limit:
        # Both kinds of timers are in one order; ours are looked for among them.
        chunk = cast(
            "list[bytes]",
            await session.command("ZRANGE", base + b":t", start, start + CHUNK - 1, key=base),
        )
        names += [member[1:] for member in chunk if member.startswith(letter)]
        start += CHUNK
        if len(chunk) < CHUNK:
            break
    names = names[:limit]
    if not names:
        return []
    members = [letter + name for name in names]
    due = await session.command("ZMSCORE", base + b":t", *members, key=base)
    entries = await session.command("HMGET", base + table, *names, key=base)
    return [
        _seen(agent_id, state, entry, float(at) / 1000)
        for entry, at in zip(entries, due, strict=True)
        if entry is not None and at is not None  # it may have moved on meanwhile
    ]


def _seen(agent_id: AgentId, state: str, data: bytes, due: float | None = None) -> Seen:
    try:
        entry = unpack(data)
    except (ValueError, KeyError):
        return Seen(agent_id=agent_id, state=state, message_id="(unreadable)", due_at=due)
    payload, headers = _content(entry)
    return Seen(
        agent_id=agent_id,
        state=state,
        message_id=entry.message_id,
        priority=entry.level,
        attempts=entry.attempts,
        enqueued_at=entry.enqueued / 1000,
        due_at=due,
        headers=headers,
        payload=payload,
    )


def _content(entry: Entry) -> tuple[Mapping[str, Any] | None, Mapping[str, str] | None]:
    try:
        message, headers = open_body(entry)
    except InvalidMessageError:
        return None, None
    return message.payload, headers


async def tail(
    session: Session, agent_id: AgentId | None, tell: Callable[[Seen], None]
) -> NoReturn:
    """Tell of messages as they are sent, without end; whose id a mailbox remembers, none is missed.

    A mailbox remembers ids for the window of deduplication. Senders that turn it off are seen only
    where their messages still lie there when it is looked.

    Args:
        session: The server.
        agent_id: Whose mailbox; None is all of them.
        tell: Called with each message.
    """
    known: dict[AgentId, set[str]] = {}
    first = True
    while True:
        agents = await session.mailboxes() if agent_id is None else [agent_id]
        found: dict[AgentId, set[str]] = {}
        for agent in agents:
            lying = {seen.message_id: seen for seen in await peek(session, agent, 1000)}
            remembered = cast(
                "list[bytes]",
                await session.command("ZRANGE", session.base(agent) + b":u", 0, -1),
            )
            order = [unquoted(name.decode()) for name in remembered]
            now = dict.fromkeys([*order, *lying])
            before = known.get(agent, now if first else ())
            for message_id in now:
                if message_id not in before:
                    gone = Seen(agent_id=agent, state="gone", message_id=message_id)
                    tell(lying.get(message_id, gone))
            found[agent] = set(now)
        known, first = found, False
        await asyncio.sleep(LOOK)
