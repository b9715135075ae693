"""The `tta-keploy` command, and the three scripts that are short for parts of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from keploy_framework.errors import AppStartError, KeployError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("keploy_record", "keploy_setup", "keploy_test", "main", "run")

_WRONG_USE = 2
_NO_START = 3
_INTERRUPTED = 130
_TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the `tta-keploy` command and exit.

    Args:
        arguments: The arguments after the command's name. Default: those of the process.

    Raises:
        SystemExit: Always. 0: all is as it was recorded. 1: something differs, or a scan found a
            credential. 2: wrong use, or a file or folder that cannot be used. 3: the application
            did not start. 5: there was nothing to run. 130: interrupted. 143: terminated.
    """
    ended: list[int] = []

    def end(number: int, frame: object) -> None:
        """Stop as for Ctrl-C: what was started is stopped too."""
        del frame
        ended.append(number)
        if signal.getsignal(signal.SIGINT) in {signal.SIG_IGN, signal.SIG_DFL}:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, end)
    code = run(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_TERMINATED if ended and code == _INTERRUPTED else code)


def keploy_setup() -> NoReturn:
    """Run `tta-keploy setup`."""
    main(["setup", *sys.argv[1:]])


def keploy_record() -> NoReturn:
    """Run `tta-keploy record`."""
    main(["record", *sys.argv[1:]])


def keploy_test() -> NoReturn:
    """Run `tta-keploy replay`."""
    main(["replay", *sys.argv[1:]])


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; errors are one line on the standard error."""
    try:
        from keploy_framework.cli.parser import parsed  # noqa: PLC0415 - loads what it offers

        options = parsed(list(arguments))
        code: int = options.run(options)
        sys.stdout.flush()
    except AppStartError as error:
        _tell(error.message)
        for line in error.output.splitlines()[-20:]:
            sys.stderr.write(f"  {line}\n")
        return _NO_START
    except BrokenPipeError:
        # Whoever read has gone; nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeployError, OSError, LookupError) as error:
        _tell(str(error))
        return _WRONG_USE
    except KeyboardInterrupt:
        _tell("interrupted")
        return _INTERRUPTED
    return code


def _tell(message: str) -> None:
    """Say what went wrong, in one line."""
    sys.stderr.write(f"tta-keploy: {' '.join(message.split())}\n")
