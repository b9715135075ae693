"""Performance: results that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

# At once: the module `cached`, loaded later, would hide the function of that name.
from tta_dev_primitives.performance.cache import (
    Cache,
    CachedFunction,
    CachePrimitive,
    CacheStats,
    cached,
    is_complete,
)

if TYPE_CHECKING:
    from tta_dev_primitives.performance.call_keys import CallKey as CallKey
    from tta_dev_primitives.performance.codec import Codec as Codec
    from tta_dev_primitives.performance.codec import JsonCodec as JsonCodec
    from tta_dev_primitives.performance.codec import UnsafePickleCodec as UnsafePickleCodec
    from tta_dev_primitives.performance.keys import key_of as key_of
    from tta_dev_primitives.performance.model_keys import RESERVED_PARAMETERS as RESERVED_PARAMETERS
    from tta_dev_primitives.performance.model_keys import TRACE_FIELDS as TRACE_FIELDS
    from tta_dev_primitives.performance.model_keys import request_key as request_key
    from tta_dev_primitives.performance.semantic import Candidate as Candidate
    from tta_dev_primitives.performance.semantic import SemanticHit as SemanticHit
    from tta_dev_primitives.performance.semantic import SemanticIndex as SemanticIndex
    from tta_dev_primitives.performance.semantic import SemanticStats as SemanticStats
    from tta_dev_primitives.performance.semantic import SemanticTier as SemanticTier
    from tta_dev_primitives.performance.semantic_cache import (
        SemanticCachePrimitive as SemanticCachePrimitive,
    )
    from tta_dev_primitives.performance.shared_keys import shared_key as shared_key
    from tta_dev_primitives.performance.store_guard import Found as Found
    from tta_dev_primitives.performance.store_guard import GuardedStore as GuardedStore
    from tta_dev_primitives.performance.store_guard import StoreStats as StoreStats
    from tta_dev_primitives.performance.stores import MemoryStore as MemoryStore

__all__ = (
    "RESERVED_PARAMETERS",
    "TRACE_FIELDS",
    "Cache",
    "CachePrimitive",
    "CacheStats",
    "CachedFunction",
    "CallKey",
    "Candidate",
    "Codec",
    "Found",
    "GuardedStore",
    "JsonCodec",
    "MemoryStore",
    "SemanticCachePrimitive",
    "SemanticHit",
    "SemanticIndex",
    "SemanticStats",
    "SemanticTier",
    "StoreStats",
    "UnsafePickleCodec",
    "cached",
    "is_complete",
    "key_of",
    "request_key",
    "shared_key",
)

_PLACES = {
    "CallKey": "call_keys",
    "Candidate": "semantic",
    "Codec": "codec",
    "Found": "store_guard",
    "GuardedStore": "store_guard",
    "JsonCodec": "codec",
    "MemoryStore": "stores",
    "RESERVED_PARAMETERS": "model_keys",
    "SemanticCachePrimitive": "semantic_cache",
    "SemanticHit": "semantic",
    "SemanticIndex": "semantic",
    "SemanticStats": "semantic",
    "SemanticTier": "semantic",
    "StoreStats": "store_guard",
    "TRACE_FIELDS": "model_keys",
    "UnsafePickleCodec": "codec",
    "key_of": "keys",
    "request_key": "model_keys",
    "shared_key": "shared_keys",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
