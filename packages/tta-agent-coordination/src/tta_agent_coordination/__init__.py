"""Agents on many machines, over Redis: mailboxes with leases, a registry, a shared circuit breaker.

It stands alone: no other package of this project is needed, and metrics or traces reach it only
through protocols that it owns.
"""

from typing import TYPE_CHECKING

__all__ = ("__version__",)

__version__: str
"""Version of the installed distribution."""

if not TYPE_CHECKING:  # type checkers would take any name for granted

    def __getattr__(name: str) -> str:
        """Return ``__version__``, which is read from the metadata when it is asked for."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

        from importlib.metadata import version  # noqa: PLC0415 - 30 ms that an import must not cost

        return version("tta-agent-coordination")
