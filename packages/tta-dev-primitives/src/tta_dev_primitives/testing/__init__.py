"""Helpers for testing workflows: mocks, virtual time, leaked tasks, conformance.

Nothing of it is loaded before it is used. The pytest plugin beside it brings the same as fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.testing.breaker_conformance import (
        BreakerStoreConformance as BreakerStoreConformance,
    )
    from tta_dev_primitives.testing.cache_store_contract import (
        CacheStoreContract as CacheStoreContract,
    )
    from tta_dev_primitives.testing.case import WorkflowTestCase as WorkflowTestCase
    from tta_dev_primitives.testing.chaos import ChaosPrimitive as ChaosPrimitive
    from tta_dev_primitives.testing.chaos import inject_chaos as inject_chaos
    from tta_dev_primitives.testing.conformance import ObserverConformance as ObserverConformance
    from tta_dev_primitives.testing.journals import SagaJournalConformance as SagaJournalConformance
    from tta_dev_primitives.testing.leaks import LeakedTaskError as LeakedTaskError
    from tta_dev_primitives.testing.leaks import no_leaked_tasks as no_leaked_tasks
    from tta_dev_primitives.testing.mocks import Mock as Mock
    from tta_dev_primitives.testing.mocks import MockCall as MockCall
    from tta_dev_primitives.testing.mocks import MockPrimitive as MockPrimitive
    from tta_dev_primitives.testing.observing import preserved_observers as preserved_observers
    from tta_dev_primitives.testing.retrying import quick_retries as quick_retries
    from tta_dev_primitives.testing.virtual_time import DeadlockError as DeadlockError
    from tta_dev_primitives.testing.virtual_time import RealTimeLimitError as RealTimeLimitError
    from tta_dev_primitives.testing.virtual_time import VirtualTimeLoop as VirtualTimeLoop
    from tta_dev_primitives.testing.virtual_time import run_virtual as run_virtual

__all__ = (
    "BreakerStoreConformance",
    "CacheStoreContract",
    "ChaosPrimitive",
    "DeadlockError",
    "LeakedTaskError",
    "Mock",
    "MockCall",
    "MockPrimitive",
    "ObserverConformance",
    "RealTimeLimitError",
    "SagaJournalConformance",
    "VirtualTimeLoop",
    "WorkflowTestCase",
    "inject_chaos",
    "no_leaked_tasks",
    "preserved_observers",
    "quick_retries",
    "run_virtual",
)

_PLACES = {
    "BreakerStoreConformance": "breaker_conformance",
    "CacheStoreContract": "cache_store_contract",
    "ChaosPrimitive": "chaos",
    "DeadlockError": "virtual_time",
    "LeakedTaskError": "leaks",
    "Mock": "mocks",
    "MockCall": "mocks",
    "MockPrimitive": "mocks",
    "ObserverConformance": "conformance",
    "RealTimeLimitError": "virtual_time",
    "SagaJournalConformance": "journals",
    "VirtualTimeLoop": "virtual_time",
    "WorkflowTestCase": "case",
    "inject_chaos": "chaos",
    "no_leaked_tasks": "leaks",
    "preserved_observers": "observing",
    "quick_retries": "retrying",
    "run_virtual": "virtual_time",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
