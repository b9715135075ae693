"""What the commands have in common: their options, and how their work is run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from tta_agent_coordination.cli.output import Board, OutputClosed, say
from tta_agent_coordination.cli.session import UsageProblem, check_files, opened, shown_url
from tta_agent_coordination.errors import (
    AgentCoordinationError,
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
)
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.models import AgentId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_agent_coordination.cli.output import Listing
    from tta_agent_coordination.cli.session import Session

__all__ = (
    "EPILOG",
    "LOCAL",
    "Agent",
    "Failure",
    "Ids",
    "Instance",
    "Json",
    "Limit",
    "Prefix",
    "Url",
    "Watch",
    "Yes",
    "agent_named",
    "run",
    "show",
)

EPILOG = (
    "Exit codes: 0 it went well; 1 what was asked for is not there, the server refused, or doctor "
    "found a failure; 2 wrong use, or a missing extra; 3 the server cannot be reached, or does not "
    "let this account in; 130 interrupted."
)
EVERY = 1.0
"""Seconds between two looks of --watch."""
UNREACHED = 3

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


def run(url: str, prefix: str, work: Callable[[Session], Awaitable[int]]) -> None:
    """Do the work of a command, and exit with its code."""

    async def main() -> int:
        async with opened(url, prefix) as session:
            return await work(session)

    try:
        check_files(url)
        code = asyncio.run(main())
    except OutputClosed:
        code = 1
    except UsageProblem as problem:
        say(str(problem))
        code = 2
    except ConfigurationError as error:
        say(str(error))
        code = 2
    except CoordinatorConnectionError as error:
        say(f"{shown_url(url)}: {error}; where the server is, --url or TTA_REDIS_URL must say")
        code = UNREACHED
    except AgentCoordinationError as error:
        say(f"{shown_url(url)}: {error}")
        code = UNREACHED if isinstance(error, CoordinatorAccessError) else 1
    raise typer.Exit(code)


async def show(
    session: Session,
    look: Callable[[Session], Awaitable[Listing]],
    *,
    as_document: bool,
    watch: bool,
) -> int:
    """Show what `look` finds: once, or again and again until interrupted."""
    board = Board(as_document=as_document, live=watch)
    try:
        board.show(await look(session))
        while board.live:
            await asyncio.sleep(EVERY)
            board.show(await look(session))
    finally:
        board.close()
    return 0


def agent_named(kind: str, instance: str | None) -> AgentId:
    """Return whose mailbox is meant."""
    try:
        return AgentId(type=kind, instance=instance)
    except ValueError:
        say(f"TYPE and --instance must be texts of 1 to 256 characters, not {kind!r:.60}")
        raise typer.Exit(2) from None
