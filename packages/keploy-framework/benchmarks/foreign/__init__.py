"""Applications that nobody here wrote, each with a session as its users have them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import with_datasette, with_httpbin, with_moto, with_pypiserver, with_wsgidav

if TYPE_CHECKING:
    from .application import Foreign

__all__ = ("ALL", "installed")

ALL: tuple[Foreign, ...] = (
    with_httpbin.APP,
    with_datasette.APP,
    with_pypiserver.APP,
    with_moto.APP,
    with_wsgidav.APP,
)
"""Every application that there is a session for."""


def installed() -> list[Foreign]:
    """Return those whose package is installed."""
    return [app for app in ALL if find_spec(app.name) is not None]
