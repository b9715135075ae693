"""Test cases and mocks as they are stored: the exchange, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keploy_framework.model import Exchange
    from keploy_framework.storage.documents import Document
    from keploy_framework.storage.tree import Tree

__all__ = ("StoredCase", "StoredMock")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """A test case, as it is stored.

    Attributes:
        name: Its name: that of its file.
        kind: `Http`, `gRPC`, or `WebSocket` for one that only the sidecar can hold.
        exchange: What was asked and answered; None for kinds that are only carried through.
        exact: Whether the exchange is the sidecar's, to the byte, and not Keploy's form of it.
        noise: What Keploy's noise says: paths, each with the patterns that excuse a difference.
        assertions: All other assertions of the file.
        description: What the case is about.
        app_port: The port that the application had; None if it is not known.
        path: Its file.
        document: The file's document; None when there is only the sidecar.
    """

    name: str
    kind: str
    exchange: Exchange | None
    exact: bool
    noise: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    assertions: Mapping[str, Tree] = field(default_factory=dict[str, "Tree"])
    description: str = ""
    app_port: int | None = None
    path: Path
    document: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMock:
    """A mock, as it is stored.

    Attributes:
        name: Its name; a second mock of the same name, which old recordings hold, gets `#2`.
        kind: `Http`, or another of Keploy's kinds, which are carried through.
        exchange: What was asked and answered; None for kinds that are only carried through.
        exact: Whether the exchange is the sidecar's, to the byte.
        lifetime: `config` for the whole session, `connection` for one connection, else `once`.
        noise: The request paths and the value patterns that matching ignores.
        document: The document of `mocks.yaml`; None when there is only the sidecar.
    """

    name: str
    kind: str
    exchange: Exchange | None
    exact: bool
    lifetime: str = "once"
    noise: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    document: Document | None = None
