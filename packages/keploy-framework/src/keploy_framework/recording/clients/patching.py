"""Replace attributes of libraries for a while, and only of libraries that are there.

A library that is not imported is left alone until somebody imports it; then it is patched before
the importer sees it.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import warnings
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ("Apply", "Patches", "attributes", "hold", "release")

_MISSING: Final = object()


def attributes(of: Any) -> dict[str, Any]:
    """Return the attributes of an object itself, where a patch keeps what belongs to it."""
    found: dict[str, Any] = of.__dict__
    return found


class Patches:
    """Attributes that were replaced, and what stood there before."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, object, object]] = []

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace `owner.name` by what `make` returns for it."""
        before = attributes(owner).get(name, _MISSING)
        original = getattr(owner, name)
        replacement = functools.wraps(original)(make(original))
        setattr(owner, name, replacement)
        self._undo.append((owner, name, replacement, before))

    def undo(self) -> None:
        """Put everything back; what somebody else has replaced in the meantime is left to him."""
        while self._undo:
            owner, name, replacement, before = self._undo.pop()
            if attributes(owner).get(name) is not replacement:
                continue
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


Apply: TypeAlias = "Callable[[Patches, ModuleType], None]"
"""Patches a module that has just been imported, or was already."""


class _Watch:
    """One module that is patched as long as somebody holds it; one that cannot be is passed by."""

    def __init__(self, apply: Apply) -> None:
        self.apply = apply
        self.holders = 0
        self.patches: Patches | None = None

    def patch(self, module: ModuleType) -> None:
        """Patch the module, unless that is done."""
        if self.patches is None and self.holders:
            patches = Patches()
            try:
                self.apply(patches, module)
            except (AttributeError, ImportError) as error:
                patches.undo()
                _pass_by(module, error)
            except BaseException:
                patches.undo()
                raise
            self.patches = patches


def _pass_by(module: ModuleType, error: Exception) -> None:
    """Say that calls of a library go as if nobody had asked for them."""
    library = module.__name__.partition(".")[0]
    version = getattr(sys.modules.get(library), "__version__", "of unknown version")
    warnings.warn(
        f"{library} {version} is neither recorded nor answered: it lacks what is patched ({error})",
        RuntimeWarning,
        stacklevel=2,
    )


_watched: Final[dict[str, _Watch]] = {}
_lock: Final = threading.RLock()


class _Finder(MetaPathFinder):
    """Sees to it that a watched module is patched as soon as it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _watched:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    _patch_after_load(spec.loader, fullname)
                    return spec
        return None


_finder: Final = _Finder()


def _patch_after_load(loader: Any, name: str) -> None:
    """Let a loader patch the module `name` once it has run it, and then forget about us."""
    if loader is None or "exec_module" in attributes(loader):
        return
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        attributes(loader).pop("exec_module", None)
        run(module)
        with _lock:
            watch = _watched.get(name)
            if watch is not None and module.__name__ == name:
                watch.patch(module)

    loader.exec_module = exec_module


def hold(modules: Mapping[str, Apply]) -> None:
    """Patch these modules now, or when they are imported. `release` them as often as held."""
    with _lock:
        for name, apply in modules.items():
            watch = _watched.setdefault(name, _Watch(apply))
            watch.holders += 1
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    for name in modules:
        if name in sys.modules:
            # Waits for a thread that is in the middle of importing it.
            module = importlib.import_module(name)
            with _lock:
                _watched[name].patch(module)


def release(modules: Mapping[str, Apply]) -> None:
    """Put the modules back that nobody else holds."""
    with _lock:
        for name in modules:
            watch = _watched[name]
            watch.holders -= 1
            if not watch.holders:
                del _watched[name]
                if watch.patches is not None:
                    watch.patches.undo()
        if not _watched and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
