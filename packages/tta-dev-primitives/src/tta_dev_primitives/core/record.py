"""What an observer is told: `Call` when a call starts, `Record` when it has ended.

Built only for observers that are listening, never on the path of an unobserved run. Loaded with
the first observer, so that importing the core does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from tta_dev_primitives.core import clock
from tta_dev_primitives.core.frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Call", "Record", "Status")

Status: TypeAlias = Literal["ok", "error", "cancelled", "filtered"]
"""How a call ended. `filtered`: a Filter ended the chain on purpose; `cancelled`: from outside."""


class Call(Frozen):
    """One call of one primitive that has begun.

    `span_id` is the same in the `Record` that follows, and in `traceparent` headers that are made
    inside the call.
    """

    __slots__ = (
        "attempt",
        "context",
        "name",
        "parent_span_id",
        "path",
        "span_id",
        "start",
        "trace_id",
        "type",
    )

    name: str
    """The primitive's own name."""
    path: str
    """Where it stands in the workflow, as `name/name[i]`."""
    type: str
    """The class of the primitive, in snake case without `Primitive`: `sequential`, `function`."""
    start: float
    """The engine's clock at the start, in seconds; see `start_unix` for wall time."""
    attempt: int
    """1, or the number of the attempt when a Retry calls."""
    context: WorkflowContext
    """The run's context."""
    trace_id: int
    """128-bit trace id."""
    span_id: int
    """64-bit id of this call, unique in the process."""
    parent_span_id: int
    """Id of the enclosing call or of the remote caller; 0 for the root of a trace."""

    @property
    def correlation_id(self) -> str:
        """The context's correlation id."""
        return self.context.correlation_id

    @property
    def start_unix(self) -> float:
        """The start in seconds since the epoch, by the wall clock of the moment of reading."""
        return clock.unix_time(self.start)


class Record(Call):
    """One call of one primitive, ended.

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives import step
        >>> from tta_dev_primitives.observability import collect_records
        >>> with collect_records() as records:
        ...     result = asyncio.run(step(str.upper).execute("hi"))
        >>> [(record.path, record.status) for record in records]
        [('upper', 'ok')]
    """

    __slots__ = ("attributes", "end", "error", "status")

    end: float
    """The engine's clock at the end, in seconds."""
    status: Status
    """How the call ended."""
    error: BaseException | None
    """What was raised; None when `status` is `ok`."""
    attributes: Mapping[str, object]
    """What the primitive and its steps noted, such as the route that a Router chose."""

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start
