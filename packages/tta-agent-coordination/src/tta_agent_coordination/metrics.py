"""What a coordinator tells about its work: two counters for all, events for who wants more."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_agent_coordination.models import AgentId

__all__ = (
    "EventKind",
    "MessageMetrics",
    "MetricsProtocol",
    "NullMetrics",
    "QueueEvent",
    "QueueObserver",
)


class MetricsProtocol(Protocol):
    """Counts what was sent."""

    def inc_delivered_ok(self, count: int) -> None:
        """Count messages that are in their mailbox now."""
        ...

    def inc_delivered_error(self, count: int) -> None:
        """Count messages that were refused or could not be written."""
        ...


class EventKind(str, Enum):  # noqa: UP042 - like the other enums of the package
    """What happened to messages."""

    SENT = "sent"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    RECEIVED = "received"
    ACKED = "acked"
    RETRIED = "retried"
    DEAD = "dead"
    EXPIRED = "expired"
    LEASE_EXPIRED = "lease_expired"
    STALE_TOKEN = "stale_token"  # noqa: S105 - a name, not a secret
    GIVEN_BACK = "given_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEvent:
    """Something happened to `count` messages of an agent's mailbox."""

    kind: EventKind
    agent_id: AgentId
    count: int = 1


@runtime_checkable
class QueueObserver(Protocol):
    """Hears of everything; a metrics object that also has this method gets the events."""

    def on_event(self, event: QueueEvent) -> None:
        """Take note; called in the event loop, so it must not block."""
        ...


class NullMetrics:
    """Counts nothing: what is used when no metrics are given."""

    def inc_delivered_ok(self, count: int) -> None:
        """Do nothing."""

    def inc_delivered_error(self, count: int) -> None:
        """Do nothing."""


class MessageMetrics:
    """Counts in memory; safe to share between threads.

    Example:
        >>> metrics = MessageMetrics()
        >>> metrics.inc_delivered_ok(2)
        >>> metrics.delivered_ok
        2
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._delivered_ok = 0
        self._delivered_error = 0
        self._events: Counter[str] = Counter()

    def inc_delivered_ok(self, count: int) -> None:
        """Count messages that are in their mailbox now."""
        with self._lock:
            self._delivered_ok += count

    def inc_delivered_error(self, count: int) -> None:
        """Count messages that were refused or could not be written."""
        with self._lock:
            self._delivered_error += count

    def on_event(self, event: QueueEvent) -> None:
        """Count the event by its kind."""
        with self._lock:
            self._events[event.kind.value] += event.count

    @property
    def delivered_ok(self) -> int:
        """How many messages were delivered."""
        return self._delivered_ok

    @property
    def delivered_error(self) -> int:
        """How many messages were not."""
        return self._delivered_error

    def snapshot(self) -> Mapping[str, int]:
        """Return all counts: `delivered_ok`, `delivered_error`, and each kind of event."""
        with self._lock:
            return {
                "delivered_ok": self._delivered_ok,
                "delivered_error": self._delivered_error,
                **{kind.value: self._events[kind.value] for kind in EventKind},
            }
