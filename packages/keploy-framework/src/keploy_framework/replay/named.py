"""What a command line names: a URL, or an application to import."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from keploy_framework.errors import AppStartError, OptionError

__all__ = ("named_target",)


def named_target(named: str) -> Any:
    """Return a URL as it is, and what ``module:application`` names; `app` if it names a module.

    Raises:
        OptionError: It is neither, or there is no such module or application.
        AppStartError: The module raises when it is imported.

    Example:
        >>> named_target("http://localhost:8000")
        'http://localhost:8000'
    """
    if "://" in named:
        return named
    module, _, name = named.partition(":")
    name = name or "app"
    if "/" in module or module.endswith(".py") or not all(module.split(".")):
        meant = module.removesuffix(".py").replace("/", ".").strip(".") or "module"
        raise OptionError(
            f"{named!r:.80} is neither a URL nor module:application: write http://host:port, or as "
            f"in Python's import, {meant}:{name}"
        )
    found = _imported(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise OptionError(f"{named!r:.80}: {found!r:.80} has no {part!r}")
        found = getattr(found, part)
    return found


def _imported(module: str) -> Any:
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as it stands in the path
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _unready(module, error) from error
        raise OptionError(
            f"{module!r:.80} cannot be imported: there is no module {error.name!r} in "
            f"{Path.cwd()}, nor is one installed"
        ) from error
    except (Exception, SystemExit) as error:
        raise _unready(module, error) from error


def _unready(module: str, error: BaseException) -> AppStartError:
    """Return the error of a module that raises: its own lines are shown, those of Python not."""
    made = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in made.stack if "importlib" not in frame.filename]
    made.stack = traceback.StackSummary.from_list(frames[1:])  # the first is the one above
    made.__cause__ = made.__context__ = None
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return AppStartError(
        f"{module} cannot be imported: it raises {text}", output="".join(made.format())
    )
