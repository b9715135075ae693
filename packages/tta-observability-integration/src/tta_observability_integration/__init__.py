"""OpenTelemetry spans and Prometheus metrics for workflows.

Attaches itself to `tta_dev_primitives` when that package is importable, and is useful without it.
It must never fail a workflow: what cannot be exported is dropped and counted.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_observability_integration.agents import AgentMetrics
    from tta_observability_integration.observer import OpenTelemetryObserver
    from tta_observability_integration.setup import (
        initialize_observability,
        is_observability_enabled,
        metrics_address,
        shutdown_observability,
    )

__all__ = (
    "AgentMetrics",
    "OpenTelemetryObserver",
    "__version__",
    "initialize_observability",
    "is_observability_enabled",
    "metrics_address",
    "shutdown_observability",
)

__version__: str
"""Version of the installed distribution."""

if not TYPE_CHECKING:  # type checkers would take any name for granted
    _WHERE = {
        "AgentMetrics": "agents",
        "OpenTelemetryObserver": "observer",
        "initialize_observability": "setup",
        "is_observability_enabled": "setup",
        "metrics_address": "setup",
        "shutdown_observability": "setup",
    }

    def __getattr__(name: str) -> object:
        """Return a public name, imported when first asked for: no import costs an SDK."""
        if name in _WHERE:
            from importlib import import_module  # noqa: PLC0415 - with the first name

            value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
            globals()[name] = value
            return value
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

        from importlib.metadata import version  # noqa: PLC0415 - 30 ms that an import must not cost

        return version("tta-observability-integration")
