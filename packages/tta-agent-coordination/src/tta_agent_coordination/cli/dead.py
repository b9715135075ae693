"""The commands that set right what went wrong: dead letters, and emptying mailboxes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tta_agent_coordination.cli import options
from tta_agent_coordination.cli.output import (
    Board,
    Listing,
    as_json,
    clock_time,
    name_of,
    say,
    write,
)
from tta_agent_coordination.cli.session import UsageProblem

if TYPE_CHECKING:
    from tta_agent_coordination.cli.session import Session
    from tta_agent_coordination.messaging import DeadLetter

__all__ = ("dead", "purge", "redrive")

dead: typer.Typer = typer.Typer(
    help="Messages that are not tried any more.", epilog=options.EPILOG, no_args_is_help=True
)


@dead.command("list", epilog=options.EPILOG)
def dead_list(
    agent: options.Agent,
    instance: options.Instance = None,
    failure: options.Failure = None,
    limit: options.Limit = 100,
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
    watch: options.Watch = False,
) -> None:
    """List dead letters, oldest first."""
    agent_id = options.agent_named(agent, instance)

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

    options.run(
        url,
        prefix,
        lambda session: options.show(session, look, as_document=as_document, watch=watch),
    )


@dead.command("show", epilog=options.EPILOG)
def deadshow(
    agent: options.Agent,
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    instance: options.Instance = None,
    *,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
) -> None:
    """Show one dead letter with all that is known about it."""
    agent_id = options.agent_named(agent, instance)

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

    options.run(url, prefix, work)


def redrive(
    agent: options.Agent,
    letter_ids: options.Ids = None,
    instance: options.Instance = None,
    failure: options.Failure = None,
    *,
    yes: options.Yes = False,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
) -> None:
    """Put dead letters back at the end of their queue, as new."""
    agent_id = options.agent_named(agent, instance)

    async def work(session: Session) -> int:
        if not letter_ids:
            dead = (await session.coordinator.stats(agent_id)).dead
            chosen = "all" if failure is None else f"those that died of {failure.value}"
            sure(f"put back {chosen} of {dead} dead letters of {name_of(agent_id)}", yes=yes)
        moved = await session.coordinator.dead_letters.redrive(
            agent_id, letter_ids or None, failure=failure
        )
        return _told("redriven", moved, letter_ids, as_document=as_document)

    options.run(url, prefix, work)


def purge(
    agent: options.Agent,
    letter_ids: options.Ids = None,
    instance: options.Instance = None,
    failure: options.Failure = None,
    *,
    dead_letters: Annotated[
        bool, typer.Option("--dead", help="Dead letters, not messages that wait.")
    ] = False,
    yes: options.Yes = False,
    url: options.Url = options.LOCAL,
    prefix: options.Prefix = "tta",
    as_document: options.Json = False,
) -> None:
    """Delete for good: all messages that wait in a mailbox, or with --dead its dead letters."""
    agent_id = options.agent_named(agent, instance)

    async def work(session: Session) -> int:
        if not dead_letters and (letter_ids or failure is not None):
            raise UsageProblem("[ID]... and --failure choose among dead letters: add --dead")
        stats = await session.coordinator.stats(agent_id)
        what = f"{stats.dead} dead letters" if dead_letters else (
            f"{stats.waiting} ready and {stats.scheduled} scheduled messages"
        )  # fmt: skip
        chosen = "the chosen of " if letter_ids or failure is not None else ""
        sure(f"delete {chosen}{what} of {name_of(agent_id)} for good", yes=yes)
        if dead_letters:
            letters = session.coordinator.dead_letters
            gone = await letters.purge(agent_id, letter_ids or None, failure=failure)
        else:
            gone = await session.coordinator.purge(agent_id)
        return _told("purged", gone, letter_ids, as_document=as_document)

    options.run(url, prefix, work)


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


def sure(question: str, *, yes: bool) -> None:
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
