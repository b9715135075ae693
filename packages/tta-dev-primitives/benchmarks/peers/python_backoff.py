"""backoff: the decorator for exceptions, as its maintained distribution `python-backoff` has it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("backoff")


def _retry(step: Step) -> Step:
    wrapped: Step = library.on_exception(library.expo, OSError, max_tries=3)(step)
    return wrapped


SUBJECT: Guard = {"retry": _retry}
