"""What this package needs of its neighbors, as it sees it.

`tta_dev_primitives` and `tta_agent_coordination` conform by their shape; neither side inherits from
the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "AgentEventLike",
    "AgentIdLike",
    "ContextLike",
    "PlaceLike",
    "RecordLike",
    "Redactor",
    "SpanContextLike",
    "Status",
)

Status: TypeAlias = Literal["ok", "error", "cancelled", "filtered"]
"""How a call ended."""


class SpanContextLike(Protocol):
    """The identity of a span, as W3C Trace Context carries it."""

    @property
    def trace_id(self) -> int:
        """128-bit trace id."""
        ...

    @property
    def span_id(self) -> int:
        """64-bit span id."""
        ...

    @property
    def trace_flags(self) -> int:
        """Bit 0 says that the trace is sampled."""
        ...


class ContextLike(Protocol):
    """The context of a run."""

    @property
    def correlation_id(self) -> str:
        """Identifies the request."""
        ...

    @property
    def parent_span_context(self) -> SpanContextLike | None:
        """The caller's span, where the user gave one."""
        ...


class RecordLike(Protocol):
    """One call that has ended."""

    @property
    def name(self) -> str:
        """The primitive's name."""
        ...

    @property
    def path(self) -> str:
        """Where it stands in the workflow."""
        ...

    @property
    def type(self) -> str:
        """Its class, in snake case."""
        ...

    @property
    def start(self) -> float:
        """When it began, in seconds on a monotonic clock."""
        ...

    @property
    def end(self) -> float:
        """When it ended, on the same clock."""
        ...

    @property
    def start_unix(self) -> float:
        """When it began, in seconds since the epoch."""
        ...

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 1."""
        ...

    @property
    def context(self) -> ContextLike:
        """The run's context."""
        ...

    @property
    def trace_id(self) -> int:
        """128-bit trace id."""
        ...

    @property
    def span_id(self) -> int:
        """64-bit id of the call."""
        ...

    @property
    def parent_span_id(self) -> int:
        """64-bit id of the call around it; 0 for a root."""
        ...

    @property
    def status(self) -> Status:
        """How it ended."""
        ...

    @property
    def error(self) -> BaseException | None:
        """What was raised, if anything."""
        ...

    @property
    def attributes(self) -> Mapping[str, object]:
        """What the primitive noted."""
        ...


class PlaceLike(Protocol):
    """Where in a running workflow the current task is."""

    @property
    def trace_id(self) -> int:
        """128-bit id of the run's trace."""
        ...

    @property
    def child_span_id(self) -> int:
        """64-bit id of the call that is running."""
        ...

    @property
    def context(self) -> ContextLike:
        """The run's context."""
        ...


class AgentIdLike(Protocol):
    """The name of an agent."""

    @property
    def type(self) -> str:
        """What kind of agent it is."""
        ...


class AgentEventLike(Protocol):
    """Something happened to messages of an agent's mailbox."""

    @property
    def kind(self) -> str:
        """What happened."""
        ...

    @property
    def agent_id(self) -> AgentIdLike:
        """Whose mailbox it is."""
        ...

    @property
    def count(self) -> int:
        """To how many messages."""
        ...


class Redactor(Protocol):
    """Takes secrets out of texts before they are exported."""

    def __call__(self, key: str, value: str, /) -> str:
        """Return `value`, or what may be shown of it.

        Args:
            key: The name under which the value is exported; empty where the text is such a name.
            value: The text.
        """
        ...
