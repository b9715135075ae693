"""The systems that users would otherwise take, each behind the same two methods.

Each is used as its own documentation shows it, with whatever it observes by default. A peer that
is not installed is named in the report with the reason; nothing fails.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

__all__ = ("NAMES", "Peer", "find")

NAMES = ("langchain-core", "langgraph", "pydantic-graph", "burr")
"""The distributions of the dependency group `bench` that are measured."""


class Peer(Protocol):
    """A system that runs steps one after another, and perhaps at once."""

    @property
    def statement(self) -> str:
        """The import that its users write."""
        ...

    @property
    def concurrent(self) -> bool:
        """Whether one workflow object can be executed many times at the same time."""
        ...

    def chain(
        self, steps: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[int]]:
        """Build a chain, and return what runs it."""
        ...

    def fan_out(
        self, branches: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[Sequence[int]]] | None:
        """Build a fan-out, and return what runs it; None if the system has none to compare."""
        ...


def find(names: Iterable[str] = NAMES) -> dict[str, Peer | str]:
    """Load peers by the name of their distribution.

    Returns:
        Under `name version` each peer; where it is absent or does not load, under its name the
        reason.
    """
    found: dict[str, Peer | str] = {}
    for name in names:
        try:
            label = f"{name} {version(name)}"
        except PackageNotFoundError:
            found[name] = "not installed (dependency group `bench`)"
            continue
        try:
            module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
            peer: Peer = module.SUBJECT
        except Exception as error:  # noqa: BLE001 - whatever another system raises on import
            found[label] = f"does not load: {type(error).__name__}: {error}"
        else:
            found[label] = peer
    return found
