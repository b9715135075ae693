"""What coordinators do alike, whatever keeps their mailboxes: all parts in one class."""

from __future__ import annotations

from tta_agent_coordination.coordinators.asking import Asking
from tta_agent_coordination.coordinators.care import Care
from tta_agent_coordination.coordinators.once import Once
from tta_agent_coordination.coordinators.receiving import MAX_BATCH, Receiving
from tta_agent_coordination.coordinators.topics import Topics

__all__ = ("MAX_BATCH", "StoredMailboxes")


class StoredMailboxes(Asking, Topics, Receiving, Care, Once):
    """A coordinator over a store of mailboxes; its arguments are those of `Configured`."""
