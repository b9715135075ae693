"""What the open exchanges of a running recorder share."""

from __future__ import annotations

import secrets
import threading
from itertools import count
from typing import TYPE_CHECKING

from keploy_framework.recording.journal_file import JournalFile
from keploy_framework.recording.spool import Memory, Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from keploy_framework.recording.clock import Clock
    from keploy_framework.recording.open_exchange import OpenExchange

__all__ = ("Intake",)


class Intake:
    """Takes in what exchanges hold: a bound on memory, the writing thread, and its journal.

    Args:
        clock: The time.
        max_memory: How many bytes may be held at once.
        on_full: What happens to what does not fit, see `Memory`.
        max_body: The length in bytes up to which a body is held.
        store_large: Whether longer bodies are stored too.
        drop: Counts an exchange that did not fit.
        failed: Counts an exchange that an error cost.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        max_memory: int,
        on_full: Literal["drop", "wait"],
        max_body: int,
        store_large: bool,
        drop: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.wall_ns: Callable[[], int] = clock.wall_ns
        self.monotonic: Callable[[], float] = clock.monotonic
        self.memory: Memory = Memory(max_memory, on_full)
        self.journal: JournalFile = JournalFile(self.memory, failed)
        self.max_body: int = max_body
        self.store_large: bool = store_large
        self.drop: Callable[[], None] = drop
        self.failed: Callable[[BaseException], None] = failed
        self.ready: threading.Event = threading.Event()
        self.spool: Spool = Spool("keploy-recorder", self.journal.flush)
        self.under_way: set[OpenExchange] = set()
        """The exchanges that have not ended yet."""
        self._numbers = count(1)
        self._prefix = secrets.token_hex(4)

    def next_id(self) -> str:
        """Return an id that no other exchange of the session has."""
        return f"{self._prefix}-{next(self._numbers)}"
