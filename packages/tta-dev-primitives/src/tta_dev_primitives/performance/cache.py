"""The cache: `CachePrimitive` around a step, `@cached` on a function, and their figures."""

from __future__ import annotations

from tta_dev_primitives.performance.cached import CachedFunction, cached
from tta_dev_primitives.performance.primitive import Cache, CachePrimitive
from tta_dev_primitives.performance.stats import CacheStats
from tta_dev_primitives.performance.worth import is_complete

__all__ = (
    "Cache",
    "CachePrimitive",
    "CacheStats",
    "CachedFunction",
    "cached",
    "is_complete",
)
