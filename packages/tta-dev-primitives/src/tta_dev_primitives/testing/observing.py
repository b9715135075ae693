"""Observers are process-wide; a test puts them back as they were."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tta_dev_primitives.core import engine
from tta_dev_primitives.observability import metrics

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("preserved_observers",)

# Everything that says who listens; `listening` is made of the others.
_STATE = (
    "_added",
    "_recorder",
    "_log",
    "_log_enabled",
    "_log_possible",
    "_ambient",
    "_install_defaults",
    "listening",
)


@contextmanager
def preserved_observers() -> Generator[None]:
    """Put every process-wide observer back as it was when the block began.

    What the block adds, removes or silences has no effect after it, whether it ends well or not;
    what was counted before it is there again after a `reset_metrics` inside.

    Example:
        >>> from tta_dev_primitives.core import engine
        >>> from tta_dev_primitives.core.protocols import NullObserver
        >>> with preserved_observers():
        ...     engine.add_observer(NullObserver())
        >>> engine.observers()
        ()
    """
    state = [(engine, name, getattr(engine, name)) for name in _STATE]
    # `reset_metrics` replaces it: what is read must stay what the engine, put back, writes to.
    state.append((metrics, "_recorder", metrics._recorder))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        for module, name, value in state:
            setattr(module, name, value)
