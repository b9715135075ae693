"""Application performance monitoring: decorators, a named base class, and finding plug-ins.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.apm.decorators import instrument
    from tta_dev_primitives.apm.instrumented import InstrumentedPrimitive
    from tta_dev_primitives.apm.setup import LoadedPlugin, loaded_plugins, setup_apm

__all__ = ("InstrumentedPrimitive", "LoadedPlugin", "instrument", "loaded_plugins", "setup_apm")

_PLACES = {
    "InstrumentedPrimitive": "instrumented",
    "LoadedPlugin": "setup",
    "instrument": "decorators",
    "loaded_plugins": "setup",
    "setup_apm": "setup",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
