"""The options of a cache, checked once, when it is built."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Literal, cast

from tta_dev_primitives.core.base import MISSING
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError, Filtered
from tta_dev_primitives.performance.model_keys import check_fields
from tta_dev_primitives.performance.policies import POLICIES
from tta_dev_primitives.performance.worth import is_complete

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from tta_dev_primitives.core.protocols import CacheStore
    from tta_dev_primitives.performance.policies import Eviction, Policy
    from tta_dev_primitives.performance.store_guard import GuardedStore

__all__ = ("Settings",)

TTL = 3600.0
MAX_SIZE = 1000
_COPIES = ("none", "copy", "deepcopy")


class Settings:
    """The options, checked and in the form in which they are used.

    Raises:
        ConfigurationError: An option is out of range, or two contradict each other.
    """

    __slots__ = (
        "clock",
        "copier",
        "cost",
        "errors",
        "eviction",
        "fields",
        "jitter",
        "max_size",
        "max_weight",
        "rng",
        "shared",
        "should_cache",
        "stale_if_error",
        "stale_ttl",
        "ttl",
        "usage",
        "weigh",
    )

    def __init__(
        self,
        *,
        max_size: int = MISSING,
        max_weight: float | None = None,
        weigh: Callable[[Any], float] | None = None,
        eviction: Eviction = "s3-fifo",
        ttl_seconds: float | None = None,
        ttl: float | None = None,
        jitter: float = 0.0,
        rng: random.Random | None = None,
        stale_ttl: float = 0.0,
        stale_if_error: float = 0.0,
        cache_errors: Mapping[type[Exception], float] | None = None,
        should_cache: Callable[[Any], bool] | None = None,
        copy: Literal["none", "copy", "deepcopy"] = "none",
        cost: Callable[[Any], float] | None = None,
        usage: Callable[[Any], float] | None = None,
        context_fields: Sequence[str] | None = None,
        store: CacheStore | GuardedStore | None = None,
        namespace: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.max_weight: float = math.inf if max_weight is None else _weight(max_weight)
        if (max_weight is None) != (weigh is None):
            message = "max_weight and weigh belong together: the bound, and what a result weighs"
            raise ConfigurationError(message)
        bound = MAX_SIZE if max_weight is None else math.inf
        self.max_size: float = bound if max_size is MISSING else check_count("max_size", max_size)
        self.weigh: Callable[[Any], float] | None = _function("weigh", weigh)
        self.eviction: type[Policy] = _one_of("eviction", eviction, POLICIES)
        if ttl is not None and ttl_seconds is not None:
            message = "ttl and ttl_seconds of Cache are the same time; give one of them"
            raise ConfigurationError(message)
        given = ttl if ttl_seconds is None else ttl_seconds
        self.ttl: float = check_seconds("ttl", TTL if given is None else given, infinite=True)
        self.jitter: float = _share("jitter", jitter)
        if rng is not None and not callable(getattr(rng, "random", None)):
            message = f"rng must be a random.Random, not {rng!r:.60}"
            raise ConfigurationError(message)
        if rng is None and jitter:
            import random  # noqa: PLC0415 - most caches have no jitter

            rng = random.Random()  # noqa: S311 - jitter is no secret
        self.rng: random.Random | None = rng
        self.stale_ttl: float = check_seconds("stale_ttl", stale_ttl, zero=True, infinite=True)
        self.stale_if_error: float = check_seconds(
            "stale_if_error", stale_if_error, zero=True, infinite=True
        )
        self.errors: dict[type[Exception], float] = _errors(cache_errors)
        self.should_cache: Callable[[Any], bool] = (
            _function("should_cache", should_cache) or is_complete
        )
        self.copier: Callable[[Any], Any] | None = _copier(copy)
        self.cost: Callable[[Any], float] | None = _function("cost", cost)
        self.usage: Callable[[Any], float] | None = _function("usage", usage)
        self.fields: tuple[str, ...] | None = check_fields(context_fields)
        self.shared: GuardedStore | None = None
        if store is not None or namespace is not None:
            from tta_dev_primitives.performance.store_guard import guarded  # noqa: PLC0415

            self.shared = guarded(store, namespace)
        if clock is not None and not callable(cast("object", clock)):
            message = f"clock must be a function that gives seconds, not {clock!r:.60}"
            raise ConfigurationError(message)
        self.clock: Callable[[], float] | None = clock

    def without_store(self) -> Settings:
        """Return these options without the store that is shared."""
        if self.shared is None:
            return self
        import copy  # noqa: PLC0415 - few caches have a store

        made = copy.copy(self)
        made.shared = None
        return made


def _copier(option: object) -> Callable[[Any], Any] | None:
    """Return the function that copies what is kept."""
    name: str = _one_of("copy", option, {name: name for name in _COPIES})
    if name == "none":
        return None
    import copy  # noqa: PLC0415 - few caches copy

    return copy.copy if name == "copy" else copy.deepcopy


def _weight(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return value
    message = f"max_weight must be a number, more than zero and finite, not {value!r:.60}"
    raise ConfigurationError(message)


def _share(option: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    message = f"{option} must be a share from 0 to 1, not {value!r:.60}"
    raise ConfigurationError(message)


def _function(option: str, value: Any) -> Any:
    if value is not None and not callable(value):
        message = f"{option} must be a function of a result, not {value!r:.60}"
        raise ConfigurationError(message)
    return value


def _one_of(option: str, value: object, known: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value in known:
        return known[value]
    message = f"{option} must be one of {', '.join(map(repr, known))}, not {value!r:.60}"
    raise ConfigurationError(message)


def _errors(given: object) -> dict[type[Exception], float]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not given:
        message = (
            f"cache_errors must be a dict of exception classes with the seconds for which each is "
            f"kept, not {given!r:.60}"
        )
        raise ConfigurationError(message)
    checked: dict[type[Exception], float] = {}
    for kind, seconds in cast("dict[object, object]", given).items():
        refused = (asyncio.CancelledError, Filtered)
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(
            kind, refused
        ):
            message = f"cache_errors keeps classes of exceptions, and {kind!r:.60} is none"
            raise ConfigurationError(message)
        checked[kind] = check_seconds(f"cache_errors[{kind.__name__}]", seconds, infinite=True)
    return checked
