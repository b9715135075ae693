"""What is known of an application that was written elsewhere: how it is made, reset and used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

__all__ = ("Foreign", "Made")


@dataclass(frozen=True, slots=True)
class Made:
    """A running application.

    Attributes:
        app: The application object, of ASGI or WSGI.
        reset: Brings it back to the state in which the session began.
        close: Lets go of what it holds.
    """

    app: Any
    reset: Callable[[], None]
    close: Callable[[], None] = lambda: None

    async def put_back(self) -> None:
        """Reset it, on another thread: files and databases are slow."""
        await asyncio.to_thread(self.reset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An application, by the name of its package.

    Attributes:
        name: Name of the package.
        kind: What its application object is.
        make: Makes it; it may keep its state in the folder that it is given.
        session: Uses it as somebody would.
        allow: Names of headers that are recorded as they are, though they look like secrets,
            because the application does nothing without them.
        noise: Fields that are not the application's doing, which stand in its `keploy.yml`.
    """

    name: str
    kind: Literal["asgi", "wsgi"]
    make: Callable[[Path], Made]
    session: Callable[[httpx.Client], None]
    allow: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
