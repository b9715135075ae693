"""Where a run of a saga stands, and `saga_key`, which tells it to the step that runs."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from tta_dev_primitives.core.base import Composite

__all__ = ("Place", "PlainPlace", "enter", "leave", "new_run_id", "reset", "saga_key")


class Place:
    """Which step of which run is under way, for `saga_key`."""

    __slots__ = ("index", "owner", "run_id")

    def __init__(self, owner: Composite[Any, Any], index: int, run_id: str) -> None:
        self.owner: Composite[Any, Any] = owner
        self.index: int = index
        self.run_id: str = run_id

    def run(self) -> str:
        """Return the id of the run."""
        return self.run_id

    def key(self) -> str:
        """Return the key of the step that is under way."""
        return f"{self.run()}/{self.owner.segments[self.index]}"


class PlainPlace(Place):
    """A place that costs little to make: the step is told from the number of values so far."""

    __slots__ = ("values",)

    def __init__(self, owner: Composite[Any, Any], values: list[Any]) -> None:
        self.owner = owner
        self.values: list[Any] = values

    def run(self) -> str:
        """Return the id of the run, made when first asked for."""
        try:
            return self.run_id
        except AttributeError:
            self.run_id: str = new_run_id()
            return self.run_id

    def key(self) -> str:
        """Return the key of the step that is under way."""
        self.index: int = len(self.values) - 1
        return super().key()


_here: ContextVar[Place | None] = ContextVar("tta_dev_primitives.saga", default=None)
enter: Callable[[Place | None], Token[Place | None]] = _here.set
reset: Callable[[Token[Place | None]], None] = _here.reset


def leave(token: Any) -> None:
    """Make the place current again that was so before `enter` gave `token`."""
    try:
        _here.reset(token)
    except ValueError:
        """The call is being closed unfinished, from another context, which has its own place."""


def new_run_id() -> str:
    """Return 128 random bits in hex."""
    return os.urandom(16).hex()


def saga_key() -> str:
    """Return the idempotency key of the saga's step that is running, or being undone.

    It is the same in a step and in its compensation, also in a compensation that another process
    finishes after a crash; it differs between steps and between runs. Given to a service as the
    key of a request, it makes a second request harmless, and it finds what a step whose outcome is
    not known has done. For a request of the compensation's own, add to it: `f"{saga_key()}/undo"`.

    Raises:
        ConfigurationError: No step of a saga is running.

    Example:
        >>> from tta_dev_primitives.recovery import Saga
        >>> keys = []
        >>> async def charge(order: str) -> str:
        ...     keys.append(saga_key())
        ...     return order
        >>> async def refund() -> None:
        ...     keys.append(saga_key())
        >>> def ship(order: str) -> str:
        ...     raise ConnectionError("no carrier")
        >>> import asyncio
        >>> saga = Saga().add_step(charge, rollback=refund).add_step(ship)
        >>> try:
        ...     asyncio.run(saga.execute("order 7"))
        ... except ConnectionError:
        ...     print(keys[0] == keys[1])
        True
    """
    place = _here.get()
    if place is None:
        message = "saga_key() was called where no step of a saga is running"
        raise ConfigurationError(message)
    return place.key()
