"""Start-up hook of applications that a replay starts: Python loads it before the application.

Its folder is put at the front of `PYTHONPATH`; a module of this name that it hides is loaded too.
"""  # noqa: INP001 - found by its folder, it belongs to no package

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path


def _begin() -> None:
    package = os.environ.get("KEPLOY_REPLAY_PACKAGE")
    try:
        if importlib.util.find_spec("keploy_framework") is None and package:
            sys.path.append(package)  # the application lives in another environment
        importlib.import_module("keploy_framework.replay.child").begin()
    except Exception as error:  # noqa: BLE001 - told, since Python would only print a traceback
        sys.stderr.write(f"keploy-framework: the start-up hook failed: {error!r}\n")


def _hidden() -> None:
    here = Path(__file__).parent
    kept = sys.path[:]
    sys.path[:] = [path for path in kept if not path or Path(path) != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ModuleNotFoundError:
        if own is not None:
            sys.modules["sitecustomize"] = own
    finally:
        sys.path[:] = kept


_begin()
_hidden()
