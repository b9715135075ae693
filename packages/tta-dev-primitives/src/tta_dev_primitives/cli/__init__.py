"""The `tta` command: run, draw, check and measure workflows from a shell.

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
    """Run the `tta` command and exit.

    Args:
        arguments: The arguments after the command's name. Default: those of the process.

    Raises:
        SystemExit: Always. 0: it went well. 1: the workflow failed, or problems were found.
            2: wrong use, such as a target that does not exist, or the extra `cli` is missing.
            130: interrupted.
    """
    try:
        from tta_dev_primitives.cli.app import app  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(
            f"tta: the command needs {missing}, which is not installed; "
            f"add it with: uv add 'tta-dev-primitives[cli]'\n"
        )
        sys.exit(2)
    try:
        app(args=arguments if arguments is None else list(arguments), prog_name="tta")
    except KeyboardInterrupt:
        sys.stderr.write("tta: interrupted\n")
        sys.exit(130)
    sys.exit(0)
