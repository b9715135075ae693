"""Replay: recorded cases against an application, noise by evidence, and accepting what is new."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keploy_framework.replay.accepting import accept, write_noise
    from keploy_framework.replay.command import Command
    from keploy_framework.replay.keploy_rules import Rules
    from keploy_framework.replay.running import Outbound, Replaying, replay, replaying
    from keploy_framework.replay.twice import NoiseFound, find_noise

__all__ = (
    "Command",
    "NoiseFound",
    "Outbound",
    "Replaying",
    "Rules",
    "accept",
    "find_noise",
    "replay",
    "replaying",
    "write_noise",
)

_PLACES = {
    "Command": "command",
    "NoiseFound": "twice",
    "Outbound": "running",
    "Replaying": "running",
    "Rules": "keploy_rules",
    "accept": "accepting",
    "find_noise": "twice",
    "replay": "running",
    "replaying": "running",
    "write_noise": "accepting",
}

if not TYPE_CHECKING:  # type checkers would take any name for granted

    def __getattr__(name: str) -> object:
        """Load a name when it is asked for.

        An application that is replayed loads this package too, perhaps without PyYAML.
        """
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = found
        return found
