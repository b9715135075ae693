"""tenacity: the decorator, with the options that its documentation shows first."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("tenacity")


def _retry(step: Step) -> Step:
    wrapped: Step = library.retry(
        stop=library.stop_after_attempt(3), wait=library.wait_exponential_jitter()
    )(step)
    return wrapped


SUBJECT: Guard = {"retry": _retry}
