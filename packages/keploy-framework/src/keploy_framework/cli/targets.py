"""What a command works on: a URL, an application to import, or the command of `keploy.yml`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keploy_framework.config import KeployConfig
from keploy_framework.errors import OptionError
from keploy_framework.replay import Command

if TYPE_CHECKING:
    import argparse

__all__ = ("command_of", "target_of")


def target_of(options: argparse.Namespace) -> Any:
    """Return what is replayed against.

    Raises:
        OptionError: There is nothing, or an application cannot be imported.
    """
    named: str | None = options.target
    if named is None:
        return command_of(options)
    if options.command is not None:
        raise OptionError("give either a target or --command, not both")
    if "://" in named:
        return named
    module, _, name = named.partition(":")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as it stands in the path
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
    try:
        found: Any = import_module(module)
        for part in (name or "app").split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"{named!r:.80} is no URL, and cannot be imported: {error}") from error
    return found


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
