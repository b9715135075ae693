"""Each implementation of a protocol, assigned to it: pyright flags one that does not conform.

Both sides only look alike; this is where they are held together.
"""

from __future__ import annotations

from tta_agent_coordination import MetricsProtocol, QueueEvent, QueueObserver
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.frames import Frame
from tta_dev_primitives.core.protocols import CallerObserver, Observer
from tta_dev_primitives.core.record import Record

from tta_observability_integration import AgentMetrics
from tta_observability_integration.observer import OpenTelemetryObserver
from tta_observability_integration.protocols import (
    AgentEventLike,
    ContextLike,
    PlaceLike,
    RecordLike,
)

observer: type[Observer] = OpenTelemetryObserver
caller: type[CallerObserver] = OpenTelemetryObserver
record: type[RecordLike] = Record
context: type[ContextLike] = WorkflowContext
place: type[PlaceLike] = Frame

counters: type[MetricsProtocol] = AgentMetrics
events: type[QueueObserver] = AgentMetrics
event: type[AgentEventLike] = QueueEvent
