"""The four ways in which a run can be observed, as a reader of the report knows them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.observability.metrics import disable_observability, enable_observability
from tta_dev_primitives.testing.observing import preserved_observers

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("MODES", "Mode", "observed")

Mode: TypeAlias = Literal["off", "recorder", "frames", "observer"]

MODES: dict[Mode, str] = {
    "off": "observers off",
    "recorder": "default recorder",
    "frames": "recorder, span ids and context variable",
    "observer": "recorder and a NullObserver",
}
"""What each mode means, for the titles of rows."""


@contextmanager
def observed(mode: Mode) -> Generator[None]:
    """Run the block in a mode; afterwards everybody listens as before."""
    with preserved_observers():
        for observer in engine.observers():
            engine.remove_observer(observer)
        disable_observability()
        if mode != "off":
            enable_observability()
        if mode == "frames":
            engine.want_frames(True)
        elif mode == "observer":
            engine.add_observer(NullObserver())
        yield
