"""What a command works on: a URL, an application to import, or the command of `keploy.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keploy_framework.config import KeployConfig
from keploy_framework.errors import OptionError
from keploy_framework.replay import Command
from keploy_framework.replay.named import named_target

if TYPE_CHECKING:
    import argparse

__all__ = ("command_of", "target_of")


def target_of(options: argparse.Namespace) -> Any:
    """Return what is replayed against.

    Raises:
        OptionError: There is nothing, or no such application.
        AppStartError: Its module raises when it is imported.
    """
    named: str | None = options.target
    if named is None:
        return command_of(options)
    if options.command is not None:
        raise OptionError("give either a target or a command, not both")
    return named_target(named)


def command_of(options: argparse.Namespace) -> Command:
    """Return the command that starts the application, of the options or of `keploy.yml`.

    Raises:
        OptionError: Neither names one.
    """
    command, port = options.command, options.app_port
    if command is None or port is None:
        path = Path(options.config)
        config = KeployConfig.load(path) if path.is_file() else None
        if config is not None:
            command = command or config.app.command
            port = port or config.app.port
    if not command:
        raise OptionError(
            "there is no application: give its URL, module:application, or --command, or a "
            f"command in {options.config}"
        )
    if not port:
        raise OptionError("give --app-port: at which port does the command answer?")
    return Command(command, port)
