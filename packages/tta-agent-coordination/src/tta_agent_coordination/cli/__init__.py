"""The `tta-agents` command: look at agents and their mailboxes, and set right what went wrong.

Needs the extra `cli`; nothing else of this package imports it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the `tta-agents` command and exit.

    Args:
        arguments: The arguments after the command's name. Default: those of the process.

    Raises:
        SystemExit: Always. 0: it went well. 1: what was asked for is not there, the server
            refused, or the doctor found a failure. 2: wrong use, or the extra `cli` is missing.
            3: the server cannot be reached, or does not let this account in. 130: interrupted.
    """
    try:
        from tta_agent_coordination.cli.app import app  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(
            f"tta-agents: the command needs {missing}, which is not installed; "
            f"add it with: uv add 'tta-agent-coordination[cli]'\n"
        )
        sys.exit(2)
    try:
        app(args=arguments if arguments is None else list(arguments), prog_name="tta-agents")
    except KeyboardInterrupt:
        sys.stderr.write("tta-agents: interrupted\n")
        sys.exit(130)
    sys.exit(0)
