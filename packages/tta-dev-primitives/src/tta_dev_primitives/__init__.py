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

Names are loaded when first used. To compose a workflow costs an import less than `asyncio` does,
which is loaded with the first run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.apm.instrumented import InstrumentedPrimitive as InstrumentedPrimitive
    from tta_dev_primitives.core.assign import Assign as Assign
    from tta_dev_primitives.core.assign import AssignPrimitive as AssignPrimitive
    from tta_dev_primitives.core.base import WorkflowPrimitive as WorkflowPrimitive
    from tta_dev_primitives.core.batch import Batch as Batch
    from tta_dev_primitives.core.batch import BatchPrimitive as BatchPrimitive
    from tta_dev_primitives.core.conditional import Conditional as Conditional
    from tta_dev_primitives.core.conditional import ConditionalPrimitive as ConditionalPrimitive
    from tta_dev_primitives.core.conditional import Switch as Switch
    from tta_dev_primitives.core.conditional import SwitchPrimitive as SwitchPrimitive
    from tta_dev_primitives.core.context import WorkflowContext as WorkflowContext
    from tta_dev_primitives.core.engine import add_observer as add_observer
    from tta_dev_primitives.core.engine import remove_observer as remove_observer
    from tta_dev_primitives.core.filter import Filter as Filter
    from tta_dev_primitives.core.filter import FilterPrimitive as FilterPrimitive
    from tta_dev_primitives.core.frames import annotate as annotate
    from tta_dev_primitives.core.functions import in_thread as in_thread
    from tta_dev_primitives.core.functions import step as step
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
    from tta_dev_primitives.observability.logging import configure_logging as configure_logging
    from tta_dev_primitives.observability.logging import get_logger as get_logger
    from tta_dev_primitives.observability.metrics import PrimitiveMetrics as PrimitiveMetrics
    from tta_dev_primitives.observability.metrics import track_metrics as track_metrics
    from tta_dev_primitives.observability.operations import trace_operation as trace_operation
    from tta_dev_primitives.performance.cache import Cache as Cache
    from tta_dev_primitives.performance.cache import CachePrimitive as CachePrimitive
    from tta_dev_primitives.performance.cache import cached as cached
    from tta_dev_primitives.recovery.breakers.breaker import Breaker as Breaker
    from tta_dev_primitives.recovery.bulkhead import Bulkhead as Bulkhead
    from tta_dev_primitives.recovery.circuit_breaker import CircuitBreaker as CircuitBreaker
    from tta_dev_primitives.recovery.circuit_breaker import (
        CircuitBreakerPrimitive as CircuitBreakerPrimitive,
    )
    from tta_dev_primitives.recovery.compensation import (
        CompensationPrimitive as CompensationPrimitive,
    )
    from tta_dev_primitives.recovery.compensation import Saga as Saga
    from tta_dev_primitives.recovery.fallback import Fallback as Fallback
    from tta_dev_primitives.recovery.fallback import FallbackPrimitive as FallbackPrimitive
    from tta_dev_primitives.recovery.hedge import Hedge as Hedge
    from tta_dev_primitives.recovery.load.limiter import RateLimiter as RateLimiter
    from tta_dev_primitives.recovery.retry import Retry as Retry
    from tta_dev_primitives.recovery.retry import RetryPrimitive as RetryPrimitive
    from tta_dev_primitives.recovery.timeout import Timeout as Timeout
    from tta_dev_primitives.recovery.timeout import TimeoutPrimitive as TimeoutPrimitive
    from tta_dev_primitives.testing.mocks import Mock as Mock
    from tta_dev_primitives.testing.mocks import MockPrimitive as MockPrimitive

    __version__: str

__all__ = (
    "Aggregate",
    "Assign",
    "AssignPrimitive",
    "Batch",
    "BatchPrimitive",
    "Breaker",
    "Buffer",
    "Bulkhead",
    "Cache",
    "CachePrimitive",
    "CircuitBreaker",
    "CircuitBreakerPrimitive",
    "CompensationPrimitive",
    "Conditional",
    "ConditionalPrimitive",
    "Fallback",
    "FallbackPrimitive",
    "Filter",
    "FilterPrimitive",
    "Filtered",
    "Hedge",
    "InstrumentedPrimitive",
    "Loop",
    "LoopPrimitive",
    "Map",
    "Mock",
    "MockPrimitive",
    "Observer",
    "Outcome",
    "Parallel",
    "ParallelPrimitive",
    "PrimitiveMetrics",
    "RateLimiter",
    "Record",
    "Retry",
    "RetryPrimitive",
    "Router",
    "RouterPrimitive",
    "Saga",
    "Sequential",
    "SequentialPrimitive",
    "Stream",
    "StreamPrimitive",
    "Switch",
    "SwitchPrimitive",
    "TTAError",
    "Timeout",
    "TimeoutPrimitive",
    "Validate",
    "WorkflowContext",
    "WorkflowPrimitive",
    "add_observer",
    "annotate",
    "cached",
    "configure_logging",
    "get_logger",
    "in_thread",
    "remove_observer",
    "step",
    "trace_operation",
    "track_metrics",
)

_PLACES = {
    "Aggregate": "core.stream",
    "Assign": "core.assign",
    "AssignPrimitive": "core.assign",
    "Batch": "core.batch",
    "BatchPrimitive": "core.batch",
    "Breaker": "recovery.breakers.breaker",
    "Buffer": "core.stream",
    "Bulkhead": "recovery.bulkhead",
    "Cache": "performance.cache",
    "CachePrimitive": "performance.cache",
    "CircuitBreaker": "recovery.circuit_breaker",
    "CircuitBreakerPrimitive": "recovery.circuit_breaker",
    "CompensationPrimitive": "recovery.compensation",
    "Conditional": "core.conditional",
    "ConditionalPrimitive": "core.conditional",
    "Fallback": "recovery.fallback",
    "FallbackPrimitive": "recovery.fallback",
    "Filter": "core.filter",
    "FilterPrimitive": "core.filter",
    "Filtered": "errors",
    "Hedge": "recovery.hedge",
    "InstrumentedPrimitive": "apm.instrumented",
    "Loop": "core.loop",
    "LoopPrimitive": "core.loop",
    "Map": "core.stream",
    "Mock": "testing.mocks",
    "MockPrimitive": "testing.mocks",
    "Observer": "core.protocols",
    "Outcome": "core.outcome",
    "Parallel": "core.parallel",
    "ParallelPrimitive": "core.parallel",
    "PrimitiveMetrics": "observability.metrics",
    "RateLimiter": "recovery.load.limiter",
    "Record": "core.record",
    "Retry": "recovery.retry",
    "RetryPrimitive": "recovery.retry",
    "Router": "core.routing",
    "RouterPrimitive": "core.routing",
    "Saga": "recovery.compensation",
    "Sequential": "core.sequential",
    "SequentialPrimitive": "core.sequential",
    "Stream": "core.stream",
    "StreamPrimitive": "core.stream",
    "Switch": "core.conditional",
    "SwitchPrimitive": "core.conditional",
    "TTAError": "errors",
    "Timeout": "recovery.timeout",
    "TimeoutPrimitive": "recovery.timeout",
    "Validate": "core.validate",
    "WorkflowContext": "core.context",
    "WorkflowPrimitive": "core.base",
    "add_observer": "core.engine",
    "annotate": "core.frames",
    "cached": "performance.cache",
    "configure_logging": "observability.logging",
    "get_logger": "observability.logging",
    "in_thread": "core.functions",
    "remove_observer": "core.engine",
    "step": "core.functions",
    "trace_operation": "observability.operations",
    "track_metrics": "observability.metrics",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    _load, __dir__ = lazy_exports(__name__, _PLACES)

    def __getattr__(name: str) -> object:
        if name == "__version__":  # reading the metadata costs more than all the rest
            from importlib.metadata import version  # noqa: PLC0415 - on demand

            return version("tta-dev-primitives")
        return _load(name)


def install_default_observers() -> None:
    """Install the default recorder and log observer; the engine calls this before the first run.

    `TTA_OBSERVABILITY=off` in the environment keeps both out.
    """
    from tta_dev_primitives.observability.metrics import install  # noqa: PLC0415 - first run

    install()
