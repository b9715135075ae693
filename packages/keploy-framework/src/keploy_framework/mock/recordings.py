"""The recordings of a folder: of one test set or of all, mocks or test cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from keploy_framework.errors import OptionError
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from keploy_framework.model import Exchange
    from keploy_framework.storage.folder import TestSet

__all__ = ("Kind", "recorded_exchanges", "recorded_sets")

Kind: TypeAlias = Literal["mocks", "cases", "any"]
"""What is taken: mocks, test cases, or mocks where there are any and test cases elsewhere."""

_PARTS = ("tests", "mocks.yaml", "mocks.json", "mocks.gob", "tta")


def recorded_sets(path: Path | str) -> list[TestSet]:
    """Return the test set that a path names, or all sets of the `keploy` folder that it names.

    Raises:
        OptionError: There is nothing, or nothing of the kind.
    """
    place = Path(path)
    if not place.is_dir():
        raise OptionError(f"{place} is no folder of recordings: there is no such folder")
    if any((place / part).exists() for part in _PARTS):
        return [KeployFolder(place.parent).set(place.name)]
    folder = KeployFolder(place)
    sets = [folder.set(name) for name in folder.sets()]
    if not sets:
        raise OptionError(f"{place} is no folder of recordings: no test set is in it")
    return sets


def recorded_exchanges(path: Path | str, kind: Kind = "any") -> list[Exchange]:
    """Return what was recorded, in the order of the recording; what is only carried through is not.

    Args:
        path: A test set, or a `keploy` folder.
        kind: What is taken.

    Raises:
        OptionError: There is nothing there, or `kind` is none.
        FormatError: A file is damaged.
    """
    if kind not in get_args(Kind):
        raise OptionError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r:.60}")
    sets = recorded_sets(path)
    mocks = [mock.exchange for each in sets for mock in each.mocks() if mock.exchange is not None]
    if kind == "mocks" or (kind == "any" and mocks):
        return mocks
    return [case.exchange for each in sets for case in each if case.exchange is not None]
