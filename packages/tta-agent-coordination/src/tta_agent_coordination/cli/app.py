"""The command with all its commands, and those that only look."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tta_agent_coordination.cli import dead, options
from tta_agent_coordination.cli.doctor import Verdict, examine
from tta_agent_coordination.cli.looking import peek as peek_at
from tta_agent_coordination.cli.looking import server_time
from tta_agent_coordination.cli.looking import tail as follow
from tta_agent_coordination.cli.output import (
    Board,
    Listing,
    ago,
    as_json,
    clock_time,
    name_of,
    preview,
    write,
)
from tta_agent_coordination.models import MessagePriority
from tta_agent_coordination.registries.redis_registry import RedisAgentRegistry

if TYPE_CHECKING:
    from tta_agent_coordination.cli.looking import Seen
    from tta_agent_coordination.cli.session import Session

__all__ = ("app",)

app: typer.Typer = typer.Typer(
    help="Look at agents and their mailboxes, and set right what went wrong.",
    epilog=options.EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def start() -> None:
    """Look at agents and their mailboxes, and set right what went wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign shows its code.
            stream.reconfigure(errors="backslashreplace")


@app.command(epilog=options.EPILOG)
def agents(
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
    watch: options.Watch = False,
) -> None:
    """List registered agents, and whether they are alive."""

    async def look(session: Session) -> Listing:
        listing = Listing(
            columns=("AGENT", "STATUS", "CAPABILITIES", "LAST HEARD", "INCARNATION"),
            empty="no agent is registered",
        )
        registry = RedisAgentRegistry(session.client, key_prefix=session.prefix)
        now = await server_time(session)
        for agent in await registry.list_registered():
            heard = float(agent["last_heartbeat"])
            cells = (
                agent["name"],
                agent["status"],
                ", ".join(agent["capabilities"]),
                f"{ago(now - heard)} ago",
                agent["incarnation"],
            )
            facts = {**agent, "agent_id": agent["agent_id"].model_dump(mode="json")}
            listing.add(cells, facts)
        return listing

    options.run(
        url,
        prefix,
        lambda session: options.show(session, look, as_document=as_document, watch=watch),
    )


@app.command(epilog=options.EPILOG)
def queues(
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
    watch: options.Watch = False,
) -> None:
    """List mailboxes, and how much each holds."""

    async def look(session: Session) -> Listing:
        columns = (
            "AGENT", "READY 9", "5", "1", "SCHEDULED", "LEASED", "DEAD", "WAITING", "OLDEST",
            "STATE",
        )  # fmt: skip
        listing = Listing(columns=columns, empty=f"no mailbox under the prefix {session.prefix!r}")
        for agent_id in await session.mailboxes():
            stats = await session.coordinator.stats(agent_id)
            ready = {level.value: stats.ready[level] for level in reversed(MessagePriority)}
            state = "paused" if stats.paused else ""
            cells = (
                name_of(agent_id), *ready.values(), stats.scheduled, stats.leased, stats.dead,
                stats.receivers, ago(stats.oldest_age), state,
            )  # fmt: skip
            facts = {
                "type": agent_id.type,
                "instance": agent_id.instance,
                "ready": {str(level): count for level, count in ready.items()},
                "scheduled": stats.scheduled,
                "leased": stats.leased,
                "dead": stats.dead,
                "expired": stats.expired,
                "receivers": stats.receivers,
                "paused": stats.paused,
                "oldest_age": stats.oldest_age,
            }
            listing.add(cells, facts)
        return listing

    options.run(
        url,
        prefix,
        lambda session: options.show(session, look, as_document=as_document, watch=watch),
    )


@app.command(epilog=options.EPILOG)
def peek(
    agent: options.Agent,
    instance: options.Instance = None,
    limit: options.Limit = 20,
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
    watch: options.Watch = False,
) -> None:
    """Show what lies in a mailbox, without taking it out."""
    agent_id = options.agent_named(agent, instance)

    async def look(session: Session) -> Listing:
        columns = ("STATE", "ID", "PRIORITY", "ATTEMPTS", "AGE", "DUE IN", "PAYLOAD")
        listing = Listing(columns=columns, empty=f"{name_of(agent_id)} has no messages")
        now = await server_time(session)
        for seen in await peek_at(session, agent_id, limit):
            cells = (
                seen.state,
                seen.message_id,
                "" if seen.priority is None else seen.priority,
                "" if seen.attempts is None else seen.attempts,
                "" if seen.enqueued_at is None else ago(now - seen.enqueued_at),
                "" if seen.due_at is None else ago(seen.due_at - now),
                preview(seen.payload),
            )
            facts = {**asdict(seen), "agent_id": agent_id.model_dump(mode="json")}
            listing.add(cells, facts)
        return listing

    options.run(
        url,
        prefix,
        lambda session: options.show(session, look, as_document=as_document, watch=watch),
    )


@app.command(epilog=options.EPILOG)
def tail(
    agent: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="The agents' type. Default: all.")
    ] = None,
    instance: options.Instance = None,
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
) -> None:
    """Write a line for each message that is sent from now on, until interrupted."""
    agent_id = None if agent is None else options.agent_named(agent, instance)

    def tell(seen: Seen) -> None:
        if as_document:
            facts = {**asdict(seen), "agent_id": seen.agent_id.model_dump(mode="json")}
            write(f"{as_json(facts)}\n")
        else:
            listing = Listing(columns=())
            sent = clock_time(seen.enqueued_at)
            text = "" if seen.state == "gone" else preview(seen.payload)
            cells = (sent, name_of(seen.agent_id), seen.state, seen.message_id, text)
            listing.add(cells, {})
            write("\t".join(listing.rows[0]) + "\n")

    options.run(url, prefix, lambda session: follow(session, agent_id, tell))


@app.command(epilog=options.EPILOG)
def doctor(
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
) -> None:
    """Check whether the server is fit for mailboxes, and say what to do where it is not."""

    async def work(session: Session) -> int:
        findings = await examine(session)
        listing = Listing(columns=("CHECK", "VERDICT", "FOUND", "WHAT TO DO"))
        for finding in findings:
            cells = (finding.check, finding.verdict.value, finding.found, finding.advice)
            listing.add(cells, asdict(finding))
        Board(as_document=as_document, live=False).show(listing)
        return int(any(finding.verdict is Verdict.FAILURE for finding in findings))

    options.run(url, prefix, work)


app.add_typer(dead.dead, name="dead")
app.command(epilog=options.EPILOG)(dead.redrive)
app.command(epilog=options.EPILOG)(dead.purge)
