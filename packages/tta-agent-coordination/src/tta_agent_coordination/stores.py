"""What other packages can keep on a Redis server: cached bytes, and the state of breakers.

`RedisCacheStore` and `RedisBreakerStore` have the methods of the core package's `CacheStore` and
`BreakerStore` protocols. Nothing of the core is imported: where it is absent, they are as useful as
their methods are.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from tta_agent_coordination.errors import ConfigurationError
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.resilience.breaking import (
    OUTCOMES,
    BreakerTerms,
    SharedBreaker,
    check_name,
)
from tta_agent_coordination.server.client import answer_of, check_client, refuse
from tta_agent_coordination.server.names import check_prefix, quoted
from tta_agent_coordination.server.scripts import Scripts, load_scripts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_agent_coordination.resilience.breaking import BreakerState, CallOutcome
    from tta_agent_coordination.server.client import RedisClient

__all__ = ("BreakerPermit", "BreakerSettings", "RedisBreakerStore", "RedisCacheStore")

SCRIPTS = load_scripts("tta_agent_coordination.sharing", "cache_set")
LONGEST_KEY = 4096
_BREAKERS = 1024


class RedisCacheStore:
    """Keeps bytes under names, for a time, on a Redis server.

    An entry is one key of its own (so a cluster spreads them), and the server forgets it by itself
    when its time is over. For two minutes a small key beside it (about 200 bytes) tells that it was
    set, so that a call which the client repeats by itself brings nothing back that was replaced or
    deleted since. What fails raises an error of this package, also a `ConnectionError` where the
    server is away; a cache of the core package then goes on without it.

    Args:
        redis: A client of `redis.asyncio`. It is the caller's, and is never closed here.
        key_prefix: All keys begin with `{` and this.
        max_value_bytes: Larger values are refused. Default: 16 MiB.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is no asyncio client.

    Example:
        ```python
        cached = CachePrimitive(step, store=RedisCacheStore(redis.asyncio.Redis()))
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        key_prefix: str = "tta",
        *,
        max_value_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        check_client(redis)
        self._redis = redis
        self._scripts = Scripts(redis, None, SCRIPTS)
        self._head = f"{{{check_prefix(key_prefix)}:*cache:"
        self._most = check_count("max_value_bytes", max_value_bytes, most=512 * 1024 * 1024)

    async def get(self, key: str) -> bytes | None:
        """Return what was last set under `key`, or None: never set, deleted, or too old.

        Raises:
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        name = self._name(key)
        try:
            found = await answer_of(self._redis.execute_command("GET", name, NEVER_DECODE=True))
        except RedisError as error:
            refuse(error, name, "GET")
        return None if found is None else bytes(found)

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep `value` under `key` for `ttl` seconds; None for as long as there is room.

        Raises:
            ConfigurationError: The key is too long, the value is no bytes or too large, or the time
                is out of range.
            MessageCoordinatorError: The server does not take it; see its subclasses.
        """
        name = self._name(key)
        if not isinstance(value, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"value must be bytes, not {type(value).__name__}")
        if len(value) > self._most:
            raise ConfigurationError(
                f"value has {len(value)} bytes, and max_value_bytes is {self._most}"
            )
        life = "" if ttl is None else max(1, round(check_seconds("ttl", ttl) * 1000))
        await self._scripts.run("cache_set", name, secrets.token_urlsafe(9), life, value)

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`; nothing there is no error.

        Raises:
            MessageCoordinatorError: The server cannot be told; see its subclasses.
        """
        name = self._name(key)
        try:
            await answer_of(self._redis.execute_command("DEL", name))
        except RedisError as error:
            refuse(error, name, "DEL")

    def _name(self, key: object) -> bytes:
        if not isinstance(key, str) or len(key) > LONGEST_KEY:
            raise ConfigurationError(
                f"key must be a text of at most {LONGEST_KEY} characters, not {key!r:.60}"
            )
        try:
            return f"{self._head}{quoted(key)}}}".encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"key is no valid text: {key!r:.60}") from None


class BreakerSettings(Protocol):
    """What a breaker store reads of a configuration; the core package's `BreakerConfig` has it."""

    failure_threshold: int | None
    failure_rate: float | None
    slow_call_rate: float | None
    window_calls: int | None
    window_seconds: float | None
    minimum_calls: int | None
    recovery_timeout: float
    half_open_max_calls: int
    success_threshold: int
    half_open_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPermit:
    """The leave to make one call; hand it back to the store, or to another of the same server.

    Attributes:
        name: The breaker's name.
        generation: The period in which it was given; its result counts while that lasts.
        token: Tells it from all others.
        terms: The configuration under which it was given.
    """

    name: str
    generation: int
    token: str
    terms: BreakerTerms


class RedisBreakerStore:
    """Keeps the state of breakers on a Redis server, for all processes that ask there.

    Each answer is one script, decided at once and by the server's clock. Breakers of one name with
    one configuration are one breaker. A breaker that is not used for thirty days is forgotten.

    Args:
        redis: A client of `redis.asyncio`. It is the caller's, and is never closed here.
        key_prefix: All keys begin with `{` and this.

    Raises:
        ConfigurationError: `redis` is no asyncio client, or the prefix is empty.

    Example:
        ```python
        store = RedisBreakerStore(redis.asyncio.Redis(), key_prefix="myapp")
        guarded = CircuitBreakerPrimitive(step, store=store, name="mail")
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        key_prefix: str = "tta",
        *,
        _clock: Callable[[], int] | None = None,
    ) -> None:
        check_client(redis)
        check_prefix(key_prefix)
        self._redis = redis
        self._prefix = key_prefix
        self._clock = _clock
        self._breakers: OrderedDict[tuple[str, BreakerTerms], SharedBreaker] = OrderedDict()

    async def allow(self, name: str, config: BreakerSettings) -> BreakerPermit | None:
        """Give leave for one call; None while the breaker is open, or its probes are under way.

        Raises:
            ConfigurationError: The name is no text of 1 to 512 characters.
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        terms = _terms(config)
        leave = (await self._breaker(check_name("name", name), terms).allow()).leave
        if leave is None:
            return None
        return BreakerPermit(name=name, generation=leave.generation, token=leave.token, terms=terms)

    async def record(self, permit: object, outcome: CallOutcome) -> BreakerState:
        """Take the result of a call that had leave; a repeat of it counts once.

        Returns:
            The state that the breaker is in now.

        Raises:
            ConfigurationError: The permit is not from such a store, or there is no such outcome.
            MessageCoordinatorError: The server cannot be told; see its subclasses.
        """
        if not isinstance(permit, BreakerPermit):
            raise ConfigurationError(f"{permit!r:.80} is no permit of this store")
        if outcome not in OUTCOMES:
            raise ConfigurationError(
                f"outcome must be one of {', '.join(sorted(OUTCOMES))}, not {outcome!r:.60}"
            )
        breaker = self._breaker(permit.name, permit.terms)
        state, _ = await breaker.record(permit.generation, permit.token, outcome)
        return state

    def _breaker(self, name: str, terms: BreakerTerms) -> SharedBreaker:
        found = self._breakers.get((name, terms))
        if found is None:
            digest = hashlib.sha256(" ".join(terms.arguments()).encode()).hexdigest()[:16]
            found = self._breakers[name, terms] = SharedBreaker(
                self._redis, self._prefix, name, terms, variant=digest, clock=self._clock
            )
            if len(self._breakers) > _BREAKERS:
                self._breakers.popitem(last=False)
        return found


def _terms(config: BreakerSettings) -> BreakerTerms:
    half_open = _ms(config.half_open_timeout)
    return BreakerTerms(
        threshold=config.failure_threshold,
        failure_rate=config.failure_rate,
        slow_rate=config.slow_call_rate,
        window_calls=config.window_calls,
        window=None if config.window_seconds is None else _ms(config.window_seconds),
        minimum=config.minimum_calls,
        open_for=_ms(config.recovery_timeout),
        probes=config.half_open_max_calls,
        successes=config.success_threshold,
        half_open_for=half_open,
        lease=half_open,
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
