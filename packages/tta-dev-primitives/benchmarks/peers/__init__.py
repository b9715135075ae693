"""The systems that users would otherwise take, behind the same few forms.

Those that run workflows are a `Peer`, with two methods; those that wrap one step are a `Guard`.

Each is used as its own documentation shows it, with whatever it observes by default. A peer that
is not installed is named in the report with the reason; nothing fails.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

__all__ = (
    "CONCURRENCY",
    "GUARDS",
    "NAMES",
    "PLENTY",
    "ROOM",
    "WORKFLOWS",
    "Guard",
    "Peer",
    "Role",
    "Step",
    "beside_role",
    "distribution",
    "find",
)

Step: TypeAlias = "Callable[[int], Awaitable[int]]"
Role: TypeAlias = Literal["retry", "breaker", "cache", "bulkhead", "rate-limit", "eviction"]
"""What a library that wraps one step can be compared in."""
Guard: TypeAlias = "Mapping[Role, Callable[[Step], Step]]"
"""A library that wraps one step: for each role what wraps it."""

ROOM = 1_000
"""Entries that every cache may hold."""
CONCURRENCY = 10
"""Calls that every bulkhead lets run at once."""
PLENTY = 1e9
"""Calls per second that every rate limiter lets pass, so that none ever waits."""

WORKFLOWS = ("langchain-core", "langgraph", "pydantic-graph", "burr")
"""The distributions that run steps one after another."""
GUARDS: dict[Role, tuple[str, ...]] = {
    "retry": ("tenacity", "stamina", "python-backoff", "hyx"),
    "breaker": ("purgatory", "aiobreaker", "circuitbreaker", "pybreaker", "hyx"),
    "cache": ("async-lru", "cachebox", "cachetools", "cashews", "theine"),
    "bulkhead": ("hyx",),
    "rate-limit": ("hyx",),
    "eviction": ("cachebox", "cachetools", "theine"),
}
"""The distributions that wrap one step, by what they wrap it with."""
NAMES = (*WORKFLOWS, *dict.fromkeys(name for names in GUARDS.values() for name in names))
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


def beside_role(peers: Mapping[str, Peer | Guard | str], role: Role | None) -> dict[str, Any]:
    """Return those that can stand in a row: of the role, or the workflows where there is none."""
    if role is not None:
        return {label: one for label, one in peers.items() if distribution(label) in GUARDS[role]}
    wrapping = {name for names in GUARDS.values() for name in names}
    return {label: one for label, one in peers.items() if distribution(label) not in wrapping}


def distribution(label: str) -> str:
    """Return what stands before the version in a peer's label."""
    return label.partition(" ")[0]


def find(names: Iterable[str] = NAMES) -> dict[str, Peer | Guard | str]:
    """Load peers by the name of their distribution.

    Returns:
        Under `name version` each peer; where it is absent or does not load, under its name the
        reason.
    """
    found: dict[str, Peer | Guard | str] = {}
    for name in names:
        try:
            label = f"{name} {version(name)}"
        except PackageNotFoundError:
            found[name] = "not installed (dependency group `bench`)"
            continue
        try:
            module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
            peer: Peer | Guard = module.SUBJECT
        except Exception as error:  # noqa: BLE001 - whatever another system raises on import
            found[label] = f"does not load: {type(error).__name__}: {error}"
        else:
            found[label] = peer
    return found
