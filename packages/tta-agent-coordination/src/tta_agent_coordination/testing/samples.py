"""Messages, agents and a clock for tests."""

from __future__ import annotations

from typing import Any

from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority, MessageType

__all__ = ("ASKER", "WRITER", "ManualClock", "sample")

ASKER = AgentId(type="asker", instance="1")
"""Who sends the samples."""
WRITER = AgentId(type="writer")
"""Who receives the samples."""


def sample(
    message_id: str,
    *,
    sender: AgentId = ASKER,
    recipient: AgentId = WRITER,
    message_type: MessageType = MessageType.EVENT,
    payload: dict[str, Any] | None = None,
    priority: MessagePriority = MessagePriority.NORMAL,
    timestamp: str | None = None,
) -> AgentMessage:
    """Return a message of which a test names only what matters to it.

    Example:
        >>> sample("m1").recipient
        AgentId(type='writer', instance=None)
    """
    return AgentMessage(
        message_id=message_id,
        sender=sender,
        recipient=recipient,
        message_type=message_type,
        payload={} if payload is None else payload,
        priority=priority,
        timestamp=timestamp,
    )


class ManualClock:
    """A clock that stands still until it is moved.

    Args:
        now: Where it stands, in seconds since 1970.

    Example:
        >>> clock = ManualClock(1000.0)
        >>> clock.advance(2.5)
        >>> clock()
        1002.5
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now: float = now

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now

    def milliseconds(self) -> int:
        """Return the time in milliseconds since 1970."""
        return round(self.now * 1000)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds
