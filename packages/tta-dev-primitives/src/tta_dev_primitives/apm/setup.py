"""`setup_apm`: find the installed observability plug-in and start it.

The one place of this package that reads entry points, and only when called. A plug-in is an entry
point of the group `tta_dev_primitives.apm` whose value is a callable: it takes `service_name` and
options by keyword, attaches its observers, and says whether it is at work.

Three cases, told apart: no plug-in is installed (False, no word), one is installed but broken
(False, one warning), one is asked for with `strict=True` (an error that says what to do).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from tta_dev_primitives.core.protocols import Observer

__all__ = ("LoadedPlugin", "loaded_plugins", "setup_apm")

GROUP = "tta_dev_primitives.apm"
DISABLED = "TTA_DISABLED_PLUGINS"

_logger = logging.getLogger("tta_dev_primitives.apm")
_loaded: dict[str, LoadedPlugin] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlugin:
    """A plug-in that `setup_apm` has started."""

    name: str
    """The name of its entry point."""
    distribution: str
    """The distribution that brings it."""
    version: str
    """That distribution's version."""


def setup_apm(
    service_name: str | None = None,
    *,
    observers: Iterable[Observer] | None = None,
    strict: bool = False,
    **options: object,
) -> bool:
    """Start application performance monitoring with whatever is installed. Safe to call twice.

    Plug-ins are started in the order of their names. The environment variable
    `TTA_DISABLED_PLUGINS` names those to leave out, separated by commas; `*` means all.

    Args:
        service_name: Who reports. Default: the plug-in's.
        observers: Attach just these, and look for no plug-in.
        strict: Raise what would otherwise be a warning or a silent False.
        options: Passed on to the plug-ins.

    Returns:
        Whether somebody observes now.

    Raises:
        ConfigurationError: Something in `observers` is no observer, or options were given with it.
        MissingExtraError: `strict`, and no plug-in is installed.
        Exception: `strict`, and a plug-in fails: what it raised.
    """
    if observers is not None:
        if options or service_name is not None:
            given = ", ".join([*(["service_name"] if service_name is not None else []), *options])
            raise ConfigurationError(
                f"observers= looks for no plug-in, so nobody would take {given}; "
                f"set up the observers themselves"
            )
        return _attach(tuple(observers))
    if service_name is not None:
        options["service_name"] = service_name
    found = [point for point in _discover() if not _is_disabled(point.name)]
    if not found:
        if strict:
            raise MissingExtraError("setup_apm()", "apm")
        _logger.debug("no plug-in of the group %s is installed or enabled", GROUP)
        return False
    working = [_start(point, options, strict=strict) for point in found]
    return any(working)


def loaded_plugins() -> tuple[LoadedPlugin, ...]:
    """Return the plug-ins that are at work, by name."""
    return tuple(_loaded[name] for name in sorted(_loaded))


def _discover() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _is_disabled(name: str) -> bool:
    names = {part.strip() for part in os.environ.get(DISABLED, "").split(",")}
    return "*" in names or name in names


def _attach(observers: tuple[Observer, ...]) -> bool:
    for observer in observers:
        if not callable(getattr(observer, "ended", None)):
            raise ConfigurationError(
                f"{type(observer).__name__} is no observer: it has no method ended(record)"
            )
    for observer in observers:
        engine.add_observer(observer)
    return bool(observers)


def _start(point: EntryPoint, options: dict[str, object], *, strict: bool) -> bool:
    distribution = point.dist
    shown = point.name if distribution is None else distribution.name
    try:
        initialize = point.load()
        working = bool(initialize(**options))
    except Exception:
        if strict:
            raise
        _logger.warning(
            "the plug-in %r of %s failed to start; running without it",
            point.name,
            shown,
            exc_info=True,
        )
        return False
    if not working:
        if strict:
            raise ConfigurationError(
                f"the plug-in {point.name!r} of {shown} did not start; its log says why"
            )
        _logger.debug("the plug-in %r of %s did not start", point.name, shown)
        return False
    _loaded[point.name] = LoadedPlugin(
        name=point.name,
        distribution=shown,
        version="" if distribution is None else distribution.version,
    )
    return True
