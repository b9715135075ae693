"""Whether to record: off in production unless it is asked for.

Production is what the environment calls so. A host that sets none of the variables below is not
known to be one, and is recorded: set `KEPLOY_RECORD=0` there, or pass `enabled=False`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keploy_framework.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("RECORD_VARIABLE", "is_enabled")

RECORD_VARIABLE = "KEPLOY_RECORD"
_STAGES = ("APP_ENV", "DJANGO_ENV", "ENV", "ENVIRONMENT", "FASTAPI_ENV", "FLASK_ENV", "PYTHON_ENV")
_PRODUCTION = {"live", "prd", "prod", "production"}
_YES = {"1", "on", "true", "yes"}
_NO = {"0", "false", "no", "off"}


def is_enabled(
    enabled: bool | None = None,  # noqa: FBT001 - reads the option of the recorder
    environ: Mapping[str, str] | None = None,
) -> bool:
    """Say whether a recorder records.

    Args:
        enabled: What its `enabled` option says; None leaves it to the environment.
        environ: The environment; that of the process by default.

    Returns:
        `enabled` when it is given; else what `KEPLOY_RECORD` says; else False in production, which
        is where `APP_ENV`, `ENVIRONMENT`, `ENV`, `PYTHON_ENV`, `FLASK_ENV`, `DJANGO_ENV` or
        `FASTAPI_ENV` is `production`, `prod`, `prd` or `live`; else True.

    Raises:
        OptionError: `KEPLOY_RECORD` is neither yes nor no.

    >>> is_enabled(environ={"APP_ENV": "production"})
    False
    >>> is_enabled(environ={"APP_ENV": "production", "KEPLOY_RECORD": "1"})
    True
    """
    if enabled is not None:
        return enabled
    environ = os.environ if environ is None else environ
    asked = environ.get(RECORD_VARIABLE, "").strip().lower()
    if asked in _YES:
        return True
    if asked in _NO:
        return False
    if asked:
        raise OptionError(f"{RECORD_VARIABLE} must be 1 or 0, not {asked!r:.60}")
    return not any(environ.get(name, "").strip().lower() in _PRODUCTION for name in _STAGES)
