"""Secrets that only the caller knows, such as a password: from the environment, or handed over."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, cast

from keploy_framework.errors import OptionError
from keploy_framework.redact import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("known_secrets", "variable_of")

_START: Final = "KEPLOY_SECRET_"
_VARIABLE: Final = re.compile(rf"{_START}([A-Z0-9_]+)_([0-9]+)")


def variable_of(placeholder: str) -> str:
    """Return the variable of the environment that has the value of a placeholder.

    Example:
        >>> variable_of("[redacted:api-key:1]")
        'KEPLOY_SECRET_API_KEY_1'
    """
    kind, number = placeholder.strip("[]").split(":")[1:]
    return f"{_START}{kind.upper().replace('-', '_')}_{number}"


def known_secrets(
    given: Mapping[str, str] | None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the values of placeholders: those of the environment, and those given, which win.

    Args:
        given: Values by placeholder.
        environ: The environment; that of the process by default.

    Raises:
        OptionError: What is given is not by placeholder, or is no text.

    Example:
        >>> known_secrets({"[redacted:basic:1]": "x"}, {"KEPLOY_SECRET_PASSWORD_2": "y"})
        {'[redacted:password:2]': 'y', '[redacted:basic:1]': 'x'}
    """
    found: dict[str, str] = {}
    for name, value in (os.environ if environ is None else environ).items():
        match = _VARIABLE.fullmatch(name)
        if match is not None:
            found[f"[redacted:{match[1].lower().replace('_', '-')}:{match[2]}]"] = value
    for placeholder, value in (given or {}).items():
        if PLACEHOLDER.fullmatch(str(placeholder)) is None:
            raise OptionError(
                "secrets has values by placeholder, as {'[redacted:password:1]': '...'}, not by "
                f"{placeholder!r:.60}"
            )
        if not isinstance(cast("object", value), str):
            raise OptionError(f"secrets: the value of {placeholder} must be a text")
        found[placeholder] = value
    return found
