"""Record API traffic, replay it as tests, serve it as mocks.

It stands alone: the recorder, the replayer and the mock server need no other package of this
project, and no service.
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

        return version("keploy-framework")
