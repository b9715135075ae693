"""Typed primitives for AI workflows: compose, recover, cache, observe, test.

Small steps are joined with `>>` (one after another) and `|` (at once), wrapped in recovery and
caching, and observed from the first run:

    >>> from tta_dev_primitives import Parallel, step
    >>> @step
    ... async def words(text: str) -> list[str]:
    ...     return text.split()
    >>> workflow = words >> Parallel({"count": len, "longest": lambda w: max(w, key=len)})
    >>> workflow.run("small steps make workflows")
    {'count': 4, 'longest': 'workflows'}

Names are loaded when first used, so importing this package costs little more than `asyncio`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_dev_primitives.core.assign import Assign as Assign
    from tta_dev_primitives.core.assign import AssignPrimitive as AssignPrimitive
    from tta_dev_primitives.core.base import WorkflowPrimitive as WorkflowPrimitive
    from tta_dev_primitives.core.base import in_thread as in_thread
    from tta_dev_primitives.core.base import step as step
    from tta_dev_primitives.core.batch import Batch as Batch
    from tta_dev_primitives.core.batch import BatchPrimitive as BatchPrimitive
    from tta_dev_primitives.core.conditional import Conditional as Conditional
    from tta_dev_primitives.core.conditional import ConditionalPrimitive as ConditionalPrimitive
    from tta_dev_primitives.core.conditional import Switch as Switch
    from tta_dev_primitives.core.conditional import SwitchPrimitive as SwitchPrimitive
    from tta_dev_primitives.core.context import WorkflowContext as WorkflowContext
    from tta_dev_primitives.core.engine import add_observer as add_observer
    from tta_dev_primitives.core.engine import annotate as annotate
    from tta_dev_primitives.core.engine import remove_observer as remove_observer
    from tta_dev_primitives.core.filter import Filter as Filter
    from tta_dev_primitives.core.filter import FilterPrimitive as FilterPrimitive
    from tta_dev_primitives.core.loop import Loop as Loop
    from tta_dev_primitives.core.loop import LoopPrimitive as LoopPrimitive
    from tta_dev_primitives.core.outcome import Outcome as Outcome
    from tta_dev_primitives.core.parallel import Parallel as Parallel
    from tta_dev_primitives.core.parallel import ParallelPrimitive as ParallelPrimitive
    from tta_dev_primitives.core.protocols import Observer as Observer
    from tta_dev_primitives.core.record import Record as Record
    from tta_dev_primitives.core.routing import Router as Router
    from tta_dev_primitives.core.routing import RouterPrimitive as RouterPrimitive
    from tta_dev_primitives.core.sequential import Sequential as Sequential
    from tta_dev_primitives.core.sequential import SequentialPrimitive as SequentialPrimitive
    from tta_dev_primitives.core.stream import Aggregate as Aggregate
    from tta_dev_primitives.core.stream import Buffer as Buffer
    from tta_dev_primitives.core.stream import Map as Map
    from tta_dev_primitives.core.stream import Stream as Stream
    from tta_dev_primitives.core.stream import StreamPrimitive as StreamPrimitive
    from tta_dev_primitives.core.validate import Validate as Validate
    from tta_dev_primitives.errors import Filtered as Filtered
    from tta_dev_primitives.errors import TTAError as TTAError

    __version__: str

_PLACES = {
    "Aggregate": "core.stream",
    "Buffer": "core.stream",
    "Map": "core.stream",
    "Stream": "core.stream",
    "StreamPrimitive": "core.stream",
    "Assign": "core.assign",
    "AssignPrimitive": "core.assign",
    "Batch": "core.batch",
    "BatchPrimitive": "core.batch",
    "Conditional": "core.conditional",
    "ConditionalPrimitive": "core.conditional",
    "Filter": "core.filter",
    "FilterPrimitive": "core.filter",
    "Filtered": "errors",
    "Loop": "core.loop",
    "LoopPrimitive": "core.loop",
    "Observer": "core.protocols",
    "Outcome": "core.outcome",
    "Parallel": "core.parallel",
    "ParallelPrimitive": "core.parallel",
    "Record": "core.record",
    "Router": "core.routing",
    "RouterPrimitive": "core.routing",
    "Sequential": "core.sequential",
    "SequentialPrimitive": "core.sequential",
    "Switch": "core.conditional",
    "SwitchPrimitive": "core.conditional",
    "TTAError": "errors",
    "Validate": "core.validate",
    "WorkflowContext": "core.context",
    "WorkflowPrimitive": "core.base",
    "add_observer": "core.engine",
    "annotate": "core.engine",
    "in_thread": "core.base",
    "remove_observer": "core.engine",
    "step": "core.base",
}

__all__ = tuple(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll] - checkers see the imports above

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name when it is first used (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version

            return version("tta-dev-primitives")
        place = _PLACES.get(name)
        if place is None:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{place}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})


def install_default_observers() -> None:
    """Install the default recorder and log observer; the engine calls this before the first run.

    `TTA_OBSERVABILITY=off` in the environment keeps both out.
    """
    from tta_dev_primitives.observability.metrics import install

    install()
