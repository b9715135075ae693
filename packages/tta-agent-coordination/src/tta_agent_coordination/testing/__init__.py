"""For tests of programs that use mailboxes: a clock, servers, samples, what metrics must hold."""

from __future__ import annotations

from tta_agent_coordination.testing.clusters import LocalCluster
from tta_agent_coordination.testing.metrics_contract import MetricsContract
from tta_agent_coordination.testing.samples import ASKER, WRITER, ManualClock, sample
from tta_agent_coordination.testing.sentinels import LocalSentinel
from tta_agent_coordination.testing.servers import RedisServer

__all__ = (
    "ASKER",
    "WRITER",
    "LocalCluster",
    "LocalSentinel",
    "ManualClock",
    "MetricsContract",
    "RedisServer",
    "sample",
)
