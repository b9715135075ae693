"""The one module that knows `tta_dev_primitives`: it ties an observer to its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_observability_integration.settings import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_observability_integration.observer import OpenTelemetryObserver
    from tta_observability_integration.protocols import PlaceLike, Redactor

__all__ = ("attach", "check_core", "detach", "redactor", "running")


def check_core() -> None:
    """See whether there is an engine to observe.

    Raises:
        SetupError: It is not installed, or cannot be imported.
    """
    try:
        from tta_dev_primitives.core import engine  # noqa: PLC0415 - only if installed
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != "tta_dev_primitives":
            raise SetupError(f"tta_dev_primitives cannot be imported: {error}") from None
        raise SetupError(
            "there are no workflows to observe: tta-dev-primitives is not installed; "
            "`uv add tta-dev-primitives`"
        ) from None
    except Exception as error:  # noqa: BLE001 - a broken neighbor may raise anything
        raise SetupError(f"tta_dev_primitives cannot be imported: {error}") from None
    missing = [name for name in ("add_observer", "current") if not hasattr(engine, name)]
    if missing:
        raise SetupError(
            f"the installed tta-dev-primitives has no {', '.join(missing)}; "
            "`uv add --upgrade tta-dev-primitives`"
        )


def attach(observer: OpenTelemetryObserver) -> None:
    """Tell `observer` of every call from now on, instead of an earlier one of its type."""
    from tta_dev_primitives.core import engine  # noqa: PLC0415 - as above

    engine.add_observer(observer)


def detach(observer: OpenTelemetryObserver) -> None:
    """Tell `observer` of no run that begins from now on."""
    from tta_dev_primitives.core import engine  # noqa: PLC0415 - as above

    engine.remove_observer(observer)


def running() -> Callable[[], PlaceLike | None]:
    """Return what tells where in a workflow the current task is."""
    from tta_dev_primitives.core import engine  # noqa: PLC0415 - as above

    return engine.current.get


def redactor() -> Redactor:
    """Return what takes secrets out of texts: the rules of the core's own log lines.

    Raises:
        SetupError: The core has none. Nothing is exported then, for it might hold secrets.
    """
    try:
        from tta_dev_primitives.observability import redaction  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SetupError(
            f"the installed tta-dev-primitives cannot take secrets out ({error}); "
            "`uv add --upgrade tta-dev-primitives`, or give redact="
        ) from None

    def redact(key: str, value: str, /) -> str:
        if redaction.is_sensitive_key(key):
            return redaction.REDACTED
        return redaction.scrub_text(value)

    return redact
