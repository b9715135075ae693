"""Each implementation of a protocol, assigned to it: a checker flags one that does not conform.

The ordinary run of pyright over the workspace finds it, and so does `test_corpus.py`. That such an
assignment can fail is shown in `bad/protocols.py`.
"""

from __future__ import annotations

from typing import Any

from tta_dev_primitives import WorkflowContext, WorkflowPrimitive
from tta_dev_primitives.cli.watch import Watch
from tta_dev_primitives.core.context import FreshContext
from tta_dev_primitives.core.engine import Node, Recorder, SiteStats
from tta_dev_primitives.core.protocols import (
    CacheStore,
    NullObserver,
    Observer,
    SpanContextLike,
    StartObserver,
)
from tta_dev_primitives.observability import SpanContext, TreeObserver
from tta_dev_primitives.observability.logging import LogObserver
from tta_dev_primitives.observability.metrics import MetricsRecorder, PlaceStats
from tta_dev_primitives.performance import Codec, JsonCodec, MemoryStore, UnsafePickleCodec
from tta_dev_primitives.recovery import BreakerStore, MemoryBreakerStore
from tta_dev_primitives.recovery.saga.journal import (
    FileJournal,
    JsonSagaCodec,
    MemoryJournal,
    SagaCodec,
    SagaJournal,
)

null: type[Observer] = NullObserver
log: type[Observer] = LogObserver
tree: type[Observer] = TreeObserver
watch: type[StartObserver] = Watch
recorder: type[Recorder] = MetricsRecorder
statistics: type[SiteStats] = PlaceStats
span: type[SpanContextLike] = SpanContext
breakers: type[BreakerStore] = MemoryBreakerStore
results: type[CacheStore] = MemoryStore
json_codec: type[Codec] = JsonCodec
pickle_codec: type[Codec] = UnsafePickleCodec
fresh: type[WorkflowContext] = FreshContext
memory_journal: type[SagaJournal] = MemoryJournal
file_journal: type[SagaJournal] = FileJournal
saga_codec: type[SagaCodec] = JsonSagaCodec


def node(primitive: WorkflowPrimitive[Any, Any]) -> Node:
    """Every primitive is what the engine asks of a node."""
    return primitive
