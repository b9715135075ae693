"""`SharedState`: values that agents share, each with a version, whatever keeps them."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.errors import (
    ConfigurationError,
    CoordinatorConnectionError,
    InvalidStateError,
    StateConflictError,
)
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.sharing.store import Cell, Put

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pydantic import JsonValue

    from tta_agent_coordination.sharing.store import StateStore

__all__ = ("SharedState", "StateEntry")

LONGEST_KEY = 1024
WATCH = 60.0
"""A watch asks anew after so many seconds without any change."""
SOON = 0.05
LATE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """A value, or that there is none.

    Attributes:
        key: Under which key.
        version: Grows with each change of the key; 0 where nothing has been there for long.
        value: The value; None where there is none, or where it is None.
        exists: Whether there is a value.
        expires_at: When it ends, in seconds since 1970 by the keeper's clock; None: it does not.
    """

    key: str
    version: int
    value: JsonValue
    exists: bool
    expires_at: float | None = None


class SharedState:
    """Values that agents share: JSON under text keys, each with a version that only grows.

    Args:
        store: What keeps them.
        max_value_bytes: The largest value, as JSON.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(self, store: StateStore, *, max_value_bytes: int = 1_048_576) -> None:
        self._store = store
        self._most = check_count("max_value_bytes", max_value_bytes, most=512 * 1024 * 1024)

    async def get(self, key: str) -> StateEntry | None:
        """Return what is under a key, or None.

        Raises:
            InvalidStateError: The key is no text of 1 to 1,024 characters.
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        cell = await self._store.look(_check_key(key), 0, 0)
        return _entry(key, cell) if cell.body is not None else None

    async def set(self, key: str, value: JsonValue, *, ttl: float | None = None) -> StateEntry:
        """Put a value under a key, whatever was there.

        Args:
            key: Any text of 1 to 1,024 characters.
            value: JSON: dicts with text keys, lists, text, numbers, True, False and None.
            ttl: After so many seconds it is gone.

        Raises:
            InvalidStateError: The value is no JSON, or too large, or the key is too long.
            MessageCoordinatorError: The server does not take it; see its subclasses.
        """
        _, written = await self._put(key, value, None, ttl)
        return written

    async def compare_and_set(
        self, key: str, value: JsonValue, expected: int, *, ttl: float | None = None
    ) -> StateEntry | None:
        """Put a value under a key, if nobody has changed it since.

        Args:
            key: Any text of 1 to 1,024 characters.
            value: JSON.
            expected: The version that must be there; 0: nothing must be there.
            ttl: After so many seconds it is gone.

        Returns:
            What is there now; None if another version is there, and nothing was done.

        Raises:
            ConfigurationError: `expected` is no version.
            InvalidStateError: The value is no JSON, or too large, or the key is too long.
            MessageCoordinatorError: The server does not take it; see its subclasses.
        """
        done, entry = await self._put(key, value, _check_version(expected), ttl)
        return entry if done else None

    async def update(
        self,
        key: str,
        change: Callable[[JsonValue], JsonValue],
        *,
        ttl: float | None = None,
        attempts: int = 100,
    ) -> StateEntry:
        """Change a value, as often as it takes until nobody else has done so meanwhile.

        Args:
            key: Any text of 1 to 1,024 characters.
            change: Gets the value (None where there is none) and returns the new one; may be called
                several times.
            ttl: After so many seconds it is gone.
            attempts: So often at most.

        Raises:
            StateConflictError: Others were faster, each time.
            InvalidStateError: The value is no JSON, or too large, or the key is too long.
            MessageCoordinatorError: The server cannot be asked, or does not take it.

        Example:
            >>> from tta_agent_coordination.sharing.memory import InMemorySharedState
            >>> async def count(state: SharedState) -> object:
            ...     await state.set("visits", 41)
            ...     return (await state.update("visits", lambda visits: visits + 1)).value
            >>> asyncio.run(count(InMemorySharedState()))
            42
        """
        for attempt in range(check_count("attempts", attempts)):
            if attempt:
                await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 20)))  # noqa: S311 - no secret
            before = await self.get(key)
            new = change(None if before is None else before.value)
            version = 0 if before is None else before.version
            done, entry = await self._put(key, new, version, ttl)
            if done:
                return entry
        raise StateConflictError(
            f"others have changed {key!r:.80} each of {attempts} times; let fewer write it, or "
            "give more attempts"
        )

    async def delete(self, key: str, *, expected: int | None = None) -> bool:
        """Delete what is under a key.

        Args:
            key: Which.
            expected: Only if this version is there.

        Returns:
            Whether something was deleted.

        Raises:
            ConfigurationError: `expected` is no version.
            InvalidStateError: The key is no text of 1 to 1,024 characters.
            MessageCoordinatorError: The server cannot be told; see its subclasses.
        """
        version = None if expected is None else _check_version(expected)
        done, _, _ = await self._store.put(_check_key(key), Put(body=None, expected=version))
        return done

    async def watch(self, key: str) -> AsyncGenerator[StateEntry, None]:
        """Tell what is under a key, and then each time that it changes.

        A watcher that is slower than the changes sees the latest only. Nothing is missed while the
        server is away: then it is asked again and again. Close the generator when done
        (`contextlib.aclosing`).

        Yields:
            What is there, at first and after each change; `exists` tells whether there is a value.

        Raises:
            InvalidStateError: The key is no text of 1 to 1,024 characters.
            MessageCoordinatorError: The server refuses; being away is no reason.
        """
        _check_key(key)
        told: StateEntry | None = None
        pause = SOON
        while True:
            try:
                if told is None:
                    cell = await self._store.look(key, 0, 0)
                else:
                    cell = await self._store.look(key, told.version, WATCH)
            except CoordinatorConnectionError:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
                pause = min(2 * pause, LATE)
                continue
            pause = SOON
            entry = _entry(key, cell)
            new = told is None or entry.version != told.version
            # What was gone, and is now forgotten as well, is no news.
            news = told is None or (new and (entry.exists or told.exists))
            told = entry
            if news:
                yield entry

    async def _put(
        self, key: str, value: JsonValue, expected: int | None, ttl: float | None
    ) -> tuple[bool, StateEntry]:
        """Return whether the value was put, and its entry."""
        life = None if ttl is None else max(1, round(check_seconds("ttl", ttl) * 1000))
        put = Put(body=self._written(key, value), expected=expected, life=life)
        done, version, ends = await self._store.put(_check_key(key), put)
        return done, _entry(key, Cell(version=version, body=put.body, ends=ends))

    def _written(self, key: str, value: JsonValue) -> bytes:
        try:
            body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            data = body.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidStateError(
                f"the value of {key!r:.80} cannot be written as JSON: {error!s:.200}"
            ) from None
        if len(data) > self._most:
            raise InvalidStateError(
                f"the value of {key!r:.80} has {len(data)} bytes, and max_value_bytes is "
                f"{self._most}"
            )
        return data


def _entry(key: str, cell: Cell) -> StateEntry:
    try:
        value = None if cell.body is None else cast("JsonValue", json.loads(cell.body))
    except (ValueError, RecursionError) as error:
        raise InvalidStateError(
            f"what is under {key!r:.80} is no JSON; another program writes there: {error!s:.100}"
        ) from None
    return StateEntry(
        key=key,
        version=cell.version,
        value=value,
        exists=cell.body is not None,
        expires_at=cell.ends / 1000 if cell.ends else None,
    )


def _check_key(key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY:
        try:
            key.encode()
        except UnicodeEncodeError:
            pass
        else:
            return key
    raise InvalidStateError(f"key must be a text of 1 to {LONGEST_KEY} characters, not {key!r:.60}")


def _check_version(expected: object) -> int:
    if isinstance(expected, int) and not isinstance(expected, bool) and expected >= 0:
        return expected
    raise ConfigurationError(
        f"expected must be the version of an entry, or 0 for none, not {expected!r:.60}"
    )
