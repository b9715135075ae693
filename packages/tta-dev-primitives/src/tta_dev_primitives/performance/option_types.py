"""The options of a cache as type checkers see them; loaded by nothing else, for import's sake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tta_dev_primitives.core.protocols import CacheStore
    from tta_dev_primitives.performance.policies import Eviction
    from tta_dev_primitives.performance.store_guard import GuardedStore

__all__ = ("CacheOptions", "CachedOptions")


class CacheOptions(TypedDict, total=False):
    """The options of a cache; see `CachePrimitive`."""

    max_size: int
    max_weight: float | None
    weigh: Callable[[Any], float] | None
    eviction: Eviction
    ttl_seconds: float | None
    ttl: float | None
    jitter: float
    rng: random.Random | None
    stale_ttl: float
    stale_if_error: float
    cache_errors: Mapping[type[Exception], float] | None
    should_cache: Callable[[Any], bool] | None
    copy: Literal["none", "copy", "deepcopy"]
    cost: Callable[[Any], float] | None
    usage: Callable[[Any], float] | None
    context_fields: Sequence[str] | None
    store: CacheStore | GuardedStore | None
    namespace: str | None
    clock: Callable[[], float] | None
    name: str | None


class CachedOptions(CacheOptions, total=False):
    """The options of `@cached`: those of a cache, and which parameters count."""

    ignore: Collection[str]
    allow_reserved: bool
