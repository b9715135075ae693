"""The protocols that the core owns, each beside the object that does nothing.

A neighbour conforms to one by having its methods; it need not inherit. Conformance is proven by
the test classes in `tta_dev_primitives.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tta_dev_primitives.core.record import Call, Record

__all__ = (
    "CacheStore",
    "CallerObserver",
    "NullObserver",
    "Observer",
    "SpanContextLike",
    "StartObserver",
)


class SpanContextLike(Protocol):
    """The identity of a span elsewhere: what W3C Trace Context carries.

    OpenTelemetry's `SpanContext` fits, and so does
    `tta_dev_primitives.observability.SpanContext`.
    """

    @property
    def trace_id(self) -> int:
        """128-bit trace id, not zero."""
        ...

    @property
    def span_id(self) -> int:
        """64-bit span id, not zero."""
        ...

    @property
    def trace_flags(self) -> int:
        """W3C trace flags; bit 0 says that the trace is sampled."""
        ...


@runtime_checkable
class Observer(Protocol):
    """Is told of every call that ended, in the thread and the task in which it ended.

    An observer must return quickly and must not await. What it raises is logged once and never
    reaches the workflow. Children end before their parents.
    """

    def ended(self, record: Record, /) -> None:
        """Take note of a call that has ended."""
        ...


@runtime_checkable
class StartObserver(Observer, Protocol):
    """An observer that is also told when a call starts; the engine pays for this only then."""

    def started(self, call: Call, /) -> None:
        """Take note of a call that has begun."""
        ...


@runtime_checkable
class CallerObserver(Observer, Protocol):
    """An observer that knows in which span, of a system of its own, a run begins.

    Asked in the task of the run, once for each run that user code starts. A run whose context
    names a `parent_span_context` belongs to that one all the same.
    """

    def caller(self) -> SpanContextLike | None:
        """Return the span around the run that begins now, or None."""
        ...


class NullObserver:
    """Hears everything and does nothing."""

    __slots__ = ()

    def ended(self, record: Record, /) -> None:
        """Do nothing."""


class CacheStore(Protocol):
    """Keeps bytes under names, for as long as they are good, for whoever asks.

    The cache treats a store as something that may fail: what `get` raises is a miss, and so are
    bytes that were not written by it, or only in part. Conformance:
    `tta_dev_primitives.testing.CacheStoreContract`.
    """

    async def get(self, key: str) -> bytes | None:
        """Return what was last set under `key`, or None: never set, deleted, or too old."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep `value` under `key` for `ttl` seconds; None for as long as there is room."""
        ...

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`; nothing there is no error."""
        ...
