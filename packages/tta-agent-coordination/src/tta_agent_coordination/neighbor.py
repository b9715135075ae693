"""What is used of the core package, `tta-dev-primitives`, where it is installed.

Nothing here needs it: without it no context is made, no header is written, and errors are told
apart by their types alone.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tta_agent_coordination.errors import ConfigurationError, InvalidMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = (
    "CORRELATION_ID",
    "classifier",
    "incoming",
    "is_workflow",
    "lasting",
    "outgoing",
    "seconds_left",
)

CORRELATION_ID = "correlation-id"
"""The header in which a run's correlation id travels."""

_CORE = "tta_dev_primitives"
_PASSING = frozenset(
    {"rate_limit", "overloaded", "server_error", "network", "timeout", "unknown", "rejected"}
)
# The same work would fail in the same way: the code or the message is wrong, not the moment.
_LASTING = (
    TypeError,
    NameError,
    AttributeError,
    AssertionError,
    ImportError,
    ConfigurationError,
    InvalidMessageError,
)


def is_workflow(handler: object) -> bool:
    """Whether something is a workflow of the core; then the core is loaded already."""
    base = sys.modules.get(f"{_CORE}.core.base")
    return base is not None and isinstance(handler, base.WorkflowPrimitive)


@cache
def classifier() -> Callable[[Exception], str] | None:
    """Return the core's `classify_error`; None where the core is absent, or broken.

    To be called before an event loop is busy: it reads files.
    """
    if find_spec(_CORE) is None:
        return None
    try:
        recovery: Any = import_module(f"{_CORE}.recovery")
        found: Callable[[Exception], str] = recovery.classify_error
        found(Exception())  # loads its tables
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, we can do without
        warnings.warn(
            f"tta-dev-primitives is installed, but does not work: {error!r:.200}; errors are told "
            "apart by their types alone",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return found


def lasting(error: Exception) -> bool:
    """Whether the same work would fail again, as far as one can tell."""
    if isinstance(error, _LASTING):
        return True
    classify = classifier()
    return classify is not None and classify(error) not in _PASSING


def incoming(headers: Mapping[str, str], deadline: float | None) -> Any:
    """Return the context of a run that continues the one whose headers these are.

    Args:
        headers: As `outgoing` wrote them, or another system did.
        deadline: When the run must end, by the running loop's clock.
    """
    observability: Any = import_module(f"{_CORE}.observability")
    return observability.extract(
        headers, deadline=deadline, correlation_id=headers.get(CORRELATION_ID) or None
    )


def outgoing(context: Any) -> dict[str, str]:
    """Return the headers that carry a run on: trace context, baggage and correlation id.

    Args:
        context: What a step was given; anything that is no context of the core carries nothing.
    """
    known = _known(context)
    if known is None:
        return {}
    observability: Any = import_module(f"{_CORE}.observability")
    headers: dict[str, str] = {CORRELATION_ID: known.correlation_id}
    observability.inject(headers, known)
    return headers


def seconds_left(context: Any) -> float | None:
    """Return how long the caller's run may still take; None where nothing limits it."""
    if f"{_CORE}.core.context" not in sys.modules:
        return None
    recovery: Any = import_module(f"{_CORE}.recovery")
    left: float | None = recovery.remaining(_known(context))
    return left


def _known(context: Any) -> Any:
    core = sys.modules.get(f"{_CORE}.core.context")
    return context if core is not None and isinstance(context, core.WorkflowContext) else None
