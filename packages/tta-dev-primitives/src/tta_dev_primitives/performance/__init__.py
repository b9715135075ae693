"""Performance: results that are kept."""

from __future__ import annotations

from tta_dev_primitives.performance.cache import (
    Cache,
    CachedFunction,
    CachePrimitive,
    CacheStats,
    cached,
)

__all__ = ("Cache", "CachePrimitive", "CacheStats", "CachedFunction", "cached")
