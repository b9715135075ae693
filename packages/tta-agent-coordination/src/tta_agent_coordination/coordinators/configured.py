"""What all parts of a coordinator have in common: the store, the options, the counters."""

from __future__ import annotations

import logging
import random
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from tta_agent_coordination.errors import ConfigurationError
from tta_agent_coordination.interfaces import MailboxCoordinator
from tta_agent_coordination.limits import check_count, check_fraction, check_seconds
from tta_agent_coordination.metrics import NullMetrics, QueueEvent, QueueObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.coordinators.names import Mailbox
    from tta_agent_coordination.coordinators.store import MailboxStore
    from tta_agent_coordination.metrics import EventKind, MetricsProtocol
    from tta_agent_coordination.models import AgentId

__all__ = ("ANNOUNCE", "Configured", "milliseconds", "moment")

_log = logging.getLogger("tta_agent_coordination")

T = TypeVar("T")

ANNOUNCE = 60.0
"""An instance that receives is noted down as being there once in so many seconds."""


class Configured(MailboxCoordinator):
    """A store of mailboxes, with the options under which it is used.

    Args:
        store: What keeps the mailboxes.
        metrics: Counts deliveries; if it also has `on_event`, it hears of everything else. What it
            raises changes nothing of what is done with messages; the log tells of the first time.
        max_attempts: After so many deliveries without success a message is a dead letter.
        max_length: So many messages may be ready in a mailbox, and so many scheduled; None is any
            number.
        max_message_bytes: The largest message, as JSON.
        dedupe_window: For so many seconds a mailbox knows the ids it has seen; 0 turns this off,
            and a message may then be sent twice when the connection breaks.
        backoff_base: Seconds that a failed message waits after its first delivery.
        backoff_factor: How many times longer after each further one; at least 1.
        backoff_max: Never longer than so many seconds.
        backoff_jitter: Up to this share of the wait is left out, at random, 0 to 1.
        rng: Draws the jitter; give a seeded one to repeat a run.

    Raises:
        ConfigurationError: An option is out of range, or the metrics cannot count.
    """

    def __init__(
        self,
        store: MailboxStore,
        *,
        metrics: MetricsProtocol | None = None,
        max_attempts: int = 4,
        max_length: int | None = 100_000,
        max_message_bytes: int = 1_048_576,
        dedupe_window: float = 120.0,
        backoff_base: float = 1.0,
        backoff_factor: float = 2.0,
        backoff_max: float = 30.0,
        backoff_jitter: float = 0.5,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self.metrics: MetricsProtocol = NullMetrics() if metrics is None else _check(metrics)
        self._metrics_raised = False
        self._observer = self.metrics if isinstance(self.metrics, QueueObserver) else None
        # When instances are to be noted down next, by the loop's clock.
        self._announced: dict[Mailbox, float] = {}
        self._max_attempts = check_count("max_attempts", max_attempts)
        self._max_length = 0 if max_length is None else check_count("max_length", max_length)
        self._max_bytes = check_count("max_message_bytes", max_message_bytes)
        self._window = milliseconds(check_seconds("dedupe_window", dedupe_window, zero=True))
        self._backoff_base = milliseconds(check_seconds("backoff_base", backoff_base, zero=True))
        self._backoff_factor = check_seconds("backoff_factor", backoff_factor)
        if self._backoff_factor < 1:
            raise ConfigurationError(f"backoff_factor must be 1 or more, not {backoff_factor!r}")
        self._backoff_cap = milliseconds(check_seconds("backoff_max", backoff_max, zero=True))
        self._jitter = check_fraction("backoff_jitter", backoff_jitter)
        self._random = random.Random() if rng is None else rng  # noqa: S311 - no secret

    def _delivered(self, count: int) -> None:
        if count:
            self._report(self.metrics.inc_delivered_ok, count)

    def _refused(self, count: int) -> None:
        if count:
            self._report(self.metrics.inc_delivered_error, count)

    def _tell(self, kind: EventKind, agent_id: AgentId, count: int) -> None:
        if self._observer is not None and count:
            event = QueueEvent(kind=kind, agent_id=agent_id, count=count)
            self._report(self._observer.on_event, event)

    def _report(self, tell: Callable[[T], None], what: T) -> None:
        # The work is done by now. Who is told that it has failed does it again, or never learns
        # which messages are reserved for him.
        try:
            tell(what)
        except Exception as error:  # noqa: BLE001 - a user's object may fail at anything
            if not self._metrics_raised:
                self._metrics_raised = True
                _log.warning(
                    "%s(%.200r) of %s raised %s; messages go on as before, but some are not "
                    "counted. This is logged once",
                    getattr(tell, "__name__", "a call"),
                    what,
                    type(self.metrics).__name__,
                    type(error).__name__,
                    exc_info=True,
                )


def _check(metrics: MetricsProtocol) -> MetricsProtocol:
    """Return the metrics.

    Raises:
        ConfigurationError: They cannot count.
    """
    methods = ("inc_delivered_ok", "inc_delivered_error")
    lacking = not all(callable(getattr(metrics, name, None)) for name in methods)
    if lacking or isinstance(metrics, type):
        raise ConfigurationError(
            "metrics must be an object with inc_delivered_ok(count) and "
            f"inc_delivered_error(count), such as MessageMetrics(), not {metrics!r:.100}"
        )
    return metrics


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(seconds * 1000)


def moment(when: object) -> int:
    """Return a point in time as milliseconds since 1970.

    Raises:
        ConfigurationError: It is no datetime, or has no time zone.
    """
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise ConfigurationError(
            f"deliver_at must be a datetime with a time zone, not {when!r:.60}; "
            "for example datetime.now(UTC) + timedelta(minutes=5)"
        )
    return max(0, round(when.timestamp() * 1000))
