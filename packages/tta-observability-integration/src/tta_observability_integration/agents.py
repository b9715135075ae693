"""What happens to the messages of agents, counted while a metrics page is on.

`AgentMetrics` is handed to a coordinator of `tta_agent_coordination`, which it fits by its shape.
The counts belong to the page: they begin with it, end with it, and are read when somebody scrapes.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tta_observability_integration import names
from tta_observability_integration.outgoing import Outgoing

if TYPE_CHECKING:
    from tta_observability_integration.protocols import AgentEventLike, Redactor

__all__ = ("AgentCounts", "AgentMetrics", "CountSeries", "count_in")

_logger = logging.getLogger("tta_observability_integration")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSeries:
    """One series of a counter, as it stood when it was read."""

    metric: names.Metric
    """What is counted."""
    labels: dict[str, str]
    """Kind of event and type of agent; nothing for messages delivered and refused."""
    value: int
    """How many."""


class _Series:
    __slots__ = ("labels", "metric", "value")

    def __init__(self, metric: names.Metric, labels: dict[str, str]) -> None:
        self.metric = metric
        self.labels = labels
        self.value = 0


class AgentCounts:
    """What a metrics page shows of the messages of agents.

    Args:
        redact: Takes secrets out of label values.
        max_values: How many types of agents are kept apart, and how many kinds of events; those of
            further ones are counted together as `_OTHER`.
    """

    def __init__(self, *, redact: Redactor, max_values: int = 100) -> None:
        self._out = Outgoing(redact)
        self._max_values = max_values
        # Held while a user's redactor and log handlers run, which may send messages themselves.
        self._lock = threading.RLock()
        self._delivered = _Series(names.AGENT_DELIVERED, {})
        self._refused = _Series(names.AGENT_REFUSED, {})
        # What is shown of each value of a label: less than the value where that holds a secret.
        self._values: dict[str, dict[str, str]] = {names.KIND: {}, names.AGENT_TYPE: {}}
        self._events: dict[tuple[str, str], _Series] = {}  # by what is shown
        self._told: set[str] = set()

    def delivered(self, count: int) -> None:
        """Count messages that are in their mailbox."""
        with self._lock:
            self._delivered.value += max(count, 0)

    def refused(self, count: int) -> None:
        """Count messages that are not."""
        with self._lock:
            self._refused.value += max(count, 0)

    def event(self, kind: str, agent_type: str, count: int) -> None:
        """Count what happened to messages.

        Args:
            kind: What happened.
            agent_type: The type of the agent in whose mailbox it happened.
            count: To how many messages; what is less than zero, a counter cannot take.
        """
        with self._lock:
            key = (self._shown(names.KIND, kind), self._shown(names.AGENT_TYPE, agent_type))
            series = self._events.get(key)
            if series is None:
                labels = dict(zip(map(names.label, self._values), key, strict=True))
                series = self._events[key] = _Series(names.AGENT_EVENTS, labels)
            series.value += max(count, 0)

    def _shown(self, attribute: str, value: str) -> str:
        known = self._values[attribute]
        value = str.__str__(value)  # of an enum, or of a subclass that has overridden anything
        shown = known.get(value)
        if shown is not None:
            return shown
        if len(known) < self._max_values:
            known[value] = names.OTHER  # should the redactor send messages of this type itself
            shown = known[value] = self._out.text(attribute, value)
            return shown
        if attribute not in self._told:
            self._told.add(attribute)
            _logger.warning(
                "more than %d values of %s: the messages of further ones, such as %r, are counted "
                "together as %r; what tells agents of one type apart belongs into their instance",
                self._max_values,
                names.label(attribute),
                self._out.text(attribute, value),
                names.OTHER,
            )
        return names.OTHER

    def read(self) -> list[CountSeries]:
        """Return every series as it stands now."""
        with self._lock:
            return [
                CountSeries(metric=series.metric, labels=series.labels, value=series.value)
                for series in (self._delivered, self._refused, *self._events.values())
            ]

    def restart_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.RLock()


_counts: AgentCounts | None = None


def count_in(counts: AgentCounts | None) -> None:
    """Let every `AgentMetrics` count there from now on; with None, nowhere."""
    global _counts  # noqa: PLW0603 - one metrics page per process
    _counts = counts


class AgentMetrics:
    """Shows on the metrics page what happens to the messages of agents.

    For the coordinators of `tta_agent_coordination`: `RedisMessageCoordinator(redis,
    metrics=AgentMetrics())`. All of a process count together, whether they share one object or
    not, and it may be made before `initialize_observability` is called. While no metrics page is
    on, nothing is counted; where that is so at the first call, one line of the log says it.

    Safe to share between threads; never raises, and never waits for a server.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from tta_observability_integration import (
        ...     initialize_observability,
        ...     shutdown_observability,
        ... )
        >>> page = CollectorRegistry()
        >>> initialize_observability("docs", enable_tracing=False, prometheus_port=0, registry=page)
        True
        >>> metrics = AgentMetrics()
        >>> metrics.inc_delivered_ok(2)
        >>> page.get_sample_value("tta_agent_messages_delivered_total")
        2
        >>> shutdown_observability()
        True
    """

    def __init__(self) -> None:
        self._called = False

    def inc_delivered_ok(self, count: int) -> None:
        """Count messages that are in their mailbox now."""
        counts = self._page()
        if counts is not None:
            counts.delivered(count)

    def inc_delivered_error(self, count: int) -> None:
        """Count messages that were refused or could not be written."""
        counts = self._page()
        if counts is not None:
            counts.refused(count)

    def on_event(self, event: AgentEventLike) -> None:
        """Count the event by its kind and the type of the agent."""
        counts = self._page()
        if counts is not None:
            counts.event(event.kind, event.agent_id.type, event.count)

    def _page(self) -> AgentCounts | None:
        counts = _counts
        if not self._called:
            self._called = True
            if counts is None:
                _logger.warning(
                    "the messages of agents are not counted: no metrics page is on; "
                    "initialize_observability(), with enable_prometheus, opens one, or says here "
                    "what is missing"
                )
        return counts
