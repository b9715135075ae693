"""The commands and their options; what they do stands in the modules beside this one.

The file is long because it is one list: every command with its options, as the user sees them.
"""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from tta_agent_coordination.cli.doctor import Verdict, examine
from tta_agent_coordination.cli.looking import peek as peek_at
from tta_agent_coordination.cli.looking import server_time
from tta_agent_coordination.cli.looking import tail as follow
from tta_agent_coordination.cli.output import (
    Board,
    Listing,
    OutputClosed,
    ago,
    as_json,
    clock_time,
    name_of,
    preview,
    say,
    write,
)
from tta_agent_coordination.cli.session import UsageProblem, opened, shown_url
from tta_agent_coordination.errors import (
    AgentCoordinationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
)
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.models import AgentId, MessagePriority
from tta_agent_coordination.registries.redis_registry import RedisAgentRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_agent_coordination.cli.session import Session
    from tta_agent_coordination.messaging import DeadLetter

__all__ = ("app",)

_EPILOG = (
    "Exit codes: 0 it went well; 1 what was asked for is not there, the server refused, or doctor "
    "found a failure; 2 wrong use, or a missing extra; 3 the server cannot be reached, or does not "
    "let this account in; 130 interrupted."
)
EVERY = 1.0
"""Seconds between two looks of --watch."""
_UNREACHED = 3

app: typer.Typer = typer.Typer(
    help="Look at agents and their mailboxes, and set right what went wrong.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
dead: typer.Typer = typer.Typer(
    help="Messages that are not tried any more.", epilog=_EPILOG, no_args_is_help=True
)
app.add_typer(dead, name="dead")

Url: TypeAlias = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="TTA_REDIS_URL",
        show_envvar=True,
        help="redis://, rediss:// (TLS), unix://, redis+sentinel://host,host/service or "
        "redis+cluster://, with user:password@ before the host. A password is better kept in the "
        "environment variable.",
    ),
]
Prefix: TypeAlias = Annotated[str, typer.Option("--prefix", help="The coordinators' key_prefix.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
Watch: TypeAlias = Annotated[
    bool, typer.Option("--watch", "-w", help="Redraw each second, in a terminal; elsewhere once.")
]
Agent: TypeAlias = Annotated[str, typer.Argument(metavar="TYPE", help="The agents' type.")]
Instance: TypeAlias = Annotated[
    str | None,
    typer.Option("--instance", "-i", help="Which of them. Default: the mailbox that all share."),
]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")]
Failure: TypeAlias = Annotated[
    FailureType | None, typer.Option("--failure", help="Only those that died of this.")
]
Ids: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones. Default: all.")
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LOCAL = "redis://localhost:6379/0"


@app.callback()
def start() -> None:
    """Look at agents and their mailboxes, and set right what went wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign shows its code.
            stream.reconfigure(errors="backslashreplace")


# --- looking ------------------------------------------------------------------------------------


@app.command(epilog=_EPILOG)
def agents(
    *, url: Url = LOCAL, prefix: Prefix = "tta", as_document: Json = False, watch: Watch = False
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

    _run(url, prefix, lambda session: _show(session, look, as_document=as_document, watch=watch))


@app.command(epilog=_EPILOG)
def queues(
    *, url: Url = LOCAL, prefix: Prefix = "tta", as_document: Json = False, watch: Watch = False
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

    _run(url, prefix, lambda session: _show(session, look, as_document=as_document, watch=watch))


@app.command(epilog=_EPILOG)
def peek(
    agent: Agent,
    instance: Instance = None,
    limit: Limit = 20,
    *,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
    watch: Watch = False,
) -> None:
    """Show what lies in a mailbox, without taking it out."""
    agent_id = _agent(agent, instance)

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

    _run(url, prefix, lambda session: _show(session, look, as_document=as_document, watch=watch))


@app.command(epilog=_EPILOG)
def tail(
    agent: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="The agents' type. Default: all.")
    ] = None,
    instance: Instance = None,
    *,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
) -> None:
    """Write a line for each message that is sent from now on, until interrupted."""
    agent_id = None if agent is None else _agent(agent, instance)

    async def work(session: Session) -> int:
        async for seen in follow(session, agent_id):
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
        return 0

    _run(url, prefix, work)


@app.command(epilog=_EPILOG)
def doctor(*, url: Url = LOCAL, prefix: Prefix = "tta", as_document: Json = False) -> None:
    """Check whether the server is fit for mailboxes, and say what to do where it is not."""

    async def work(session: Session) -> int:
        findings = await examine(session)
        listing = Listing(columns=("CHECK", "VERDICT", "FOUND", "WHAT TO DO"))
        for finding in findings:
            cells = (finding.check, finding.verdict.value, finding.found, finding.advice)
            listing.add(cells, asdict(finding))
        Board(as_document=as_document, live=False).show(listing)
        return int(any(finding.verdict is Verdict.FAILURE for finding in findings))

    _run(url, prefix, work)


# --- dead letters -------------------------------------------------------------------------------


@dead.command("list", epilog=_EPILOG)
def dead_list(
    agent: Agent,
    instance: Instance = None,
    failure: Failure = None,
    limit: Limit = 100,
    *,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
    watch: Watch = False,
) -> None:
    """List dead letters, oldest first."""
    agent_id = _agent(agent, instance)

    async def look(session: Session) -> Listing:
        columns = ("ID", "FAILURE", "ATTEMPTS", "DIED", "ERROR")
        listing = Listing(columns=columns, empty=f"{name_of(agent_id)} has no dead letters")
        letters = await session.coordinator.dead_letters.list(
            agent_id, failure=failure, limit=limit
        )
        for letter in letters:
            cells = (
                letter.dead_letter_id,
                letter.failure.value,
                letter.attempts,
                clock_time(letter.died_at),
                letter.error or "",
            )
            listing.add(cells, _letter(letter))
        return listing

    _run(url, prefix, lambda session: _show(session, look, as_document=as_document, watch=watch))


@dead.command("show", epilog=_EPILOG)
def dead_show(
    agent: Agent,
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    instance: Instance = None,
    *,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
) -> None:
    """Show one dead letter with all that is known about it."""
    agent_id = _agent(agent, instance)

    async def work(session: Session) -> int:
        letter = await session.coordinator.dead_letters.peek(agent_id, letter_id)
        if letter is None:
            say(f"{name_of(agent_id)} has no dead letter {letter_id!r}")
            return 1
        facts = _letter(letter)
        if as_document:
            write(f"{as_json(facts)}\n")
            return 0
        listing = Listing(columns=("FIELD", "VALUE"))
        for field, value in facts.items():
            shown = clock_time(value) if isinstance(value, float) else value
            listing.add((field, shown if isinstance(shown, str) else as_json(shown)), {})
        Board(as_document=False, live=False).show(listing)
        return 0

    _run(url, prefix, work)


@app.command(epilog=_EPILOG)
def redrive(
    agent: Agent,
    letter_ids: Ids = None,
    instance: Instance = None,
    failure: Failure = None,
    *,
    yes: Yes = False,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
) -> None:
    """Put dead letters back at the end of their queue, as new."""
    agent_id = _agent(agent, instance)

    async def work(session: Session) -> int:
        if not letter_ids:
            dead = (await session.coordinator.stats(agent_id)).dead
            _sure(f"put back all of {dead} dead letters of {name_of(agent_id)}", yes=yes)
        moved = await session.coordinator.dead_letters.redrive(
            agent_id, letter_ids or None, failure=failure
        )
        return _told("redriven", moved, letter_ids, as_document=as_document)

    _run(url, prefix, work)


@app.command(epilog=_EPILOG)
def purge(
    agent: Agent,
    letter_ids: Ids = None,
    instance: Instance = None,
    failure: Failure = None,
    *,
    dead_letters: Annotated[
        bool, typer.Option("--dead", help="Dead letters, not messages that wait.")
    ] = False,
    yes: Yes = False,
    url: Url = LOCAL,
    prefix: Prefix = "tta",
    as_document: Json = False,
) -> None:
    """Delete for good: all messages that wait in a mailbox, or with --dead its dead letters."""
    agent_id = _agent(agent, instance)

    async def work(session: Session) -> int:
        if not dead_letters and (letter_ids or failure is not None):
            raise UsageProblem("[ID]... and --failure choose among dead letters: add --dead")
        stats = await session.coordinator.stats(agent_id)
        what = f"{stats.dead} dead letters" if dead_letters else (
            f"{stats.waiting} ready and {stats.scheduled} scheduled messages"
        )  # fmt: skip
        chosen = "the chosen of " if letter_ids or failure is not None else ""
        _sure(f"delete {chosen}{what} of {name_of(agent_id)} for good", yes=yes)
        if dead_letters:
            letters = session.coordinator.dead_letters
            gone = await letters.purge(agent_id, letter_ids or None, failure=failure)
        else:
            gone = await session.coordinator.purge(agent_id)
        return _told("purged", gone, letter_ids, as_document=as_document)

    _run(url, prefix, work)


# --- small matters ------------------------------------------------------------------------------


def _run(url: str, prefix: str, work: Callable[[Session], Awaitable[int]]) -> None:
    """Do the work of a command, and exit with its code."""

    async def main() -> int:
        async with opened(url, prefix) as session:
            return await work(session)

    try:
        code = asyncio.run(main())
    except OutputClosed:
        code = 1
    except UsageProblem as problem:
        say(str(problem))
        code = 2
    except (CoordinatorConnectionError, CoordinatorAccessError) as error:
        say(f"{shown_url(url)}: {error}")
        code = _UNREACHED
    except AgentCoordinationError as error:
        say(str(error))
        code = 2 if isinstance(error, ValueError) else 1
    raise typer.Exit(code)


async def _show(
    session: Session,
    look: Callable[[Session], Awaitable[Listing]],
    *,
    as_document: bool,
    watch: bool,
) -> int:
    board = Board(as_document=as_document, live=watch)
    try:
        board.show(await look(session))
        while board.live:
            await asyncio.sleep(EVERY)
            board.show(await look(session))
    finally:
        board.close()
    return 0


def _agent(kind: str, instance: str | None) -> AgentId:
    try:
        return AgentId(type=kind, instance=instance)
    except ValueError:
        say(f"TYPE and --instance must be texts of 1 to 256 characters, not {kind!r:.60}")
        raise typer.Exit(2) from None


def _letter(letter: DeadLetter) -> dict[str, object]:
    message = letter.message
    return {
        "dead_letter_id": letter.dead_letter_id,
        "failure": letter.failure.value,
        "error": letter.error,
        "attempts": letter.attempts,
        "enqueued_at": letter.enqueued_at,
        "died_at": letter.died_at,
        "message": None if message is None else message.model_dump(mode="json"),
        "raw": letter.raw.decode(errors="replace") if message is None else None,
    }


def _sure(question: str, *, yes: bool) -> None:
    """Ask, unless told not to.

    Raises:
        UsageProblem: Nobody can answer.
        typer.Exit: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(f"about to {question}; nobody can be asked here: add --yes")
    if not typer.confirm(f"{question}?", err=True):
        raise typer.Exit(1)


def _told(what: str, count: int, ids: list[str] | None, *, as_document: bool) -> int:
    if as_document:
        write(f"{as_json({what: count})}\n")
    else:
        write(f"{what}: {count}\n")
    missing = 0 if ids is None else len(set(ids)) - count
    if missing > 0:
        say(f"{missing} of the chosen are not there")
    return int(missing > 0)
