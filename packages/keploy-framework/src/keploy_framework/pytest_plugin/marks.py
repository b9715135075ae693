"""The mark `keploy`: what may stand in it; anything else ends the run before a test has begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from keploy_framework.errors import OptionError
from keploy_framework.matching import DEFAULT_MATCH_ON, RequestRules
from keploy_framework.recording.network import AllowedHosts
from keploy_framework.storage.names import check_set_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.matching import MatchOn

__all__ = ("MarkOptions", "checked", "options_of")

_KEYS: Final = ("name", "match_on", "allow_hosts", "allow_unplayed")


@dataclass(frozen=True, slots=True)
class MarkOptions:
    """What the mark of a test says.

    Attributes:
        name: The name of the recording; None for one made of the test's own.
        match_on: The parts of a request that count.
        allow_hosts: Hosts that are called for real.
        allow_unplayed: Whether recordings may remain that nothing asks for.
    """

    name: str | None = None
    match_on: tuple[MatchOn, ...] = DEFAULT_MATCH_ON
    allow_hosts: tuple[str, ...] = ()
    allow_unplayed: bool = False


def options_of(item: pytest.Item) -> MarkOptions:
    """Return what the marks of a test say; the nearest one counts, key by key."""
    merged: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("keploy"))):
        merged |= _given(mark, item.nodeid)
    return MarkOptions(**merged)


def checked(mark: pytest.Mark, where: str) -> None:
    """Check a mark.

    Raises:
        pytest.UsageError: A key is unknown, or a value is not what it has to be.
    """
    _given(mark, where)


def _given(mark: pytest.Mark, where: str) -> dict[str, Any]:
    keys = dict(mark.kwargs)
    if len(mark.args) > 1 or (mark.args and "name" in keys):
        raise pytest.UsageError(f"{where}: the mark keploy takes one name, not {mark.args!r:.80}")
    if mark.args:
        keys["name"] = mark.args[0]
    unknown = [key for key in keys if key not in _KEYS]
    if unknown:
        raise pytest.UsageError(
            f"{where}: the mark keploy has no key {unknown[0]!r}; it has {', '.join(_KEYS)}"
        )
    try:
        for key, value in keys.items():
            keys[key] = _value(key, value)
    except OptionError as error:
        raise pytest.UsageError(f"{where}: the mark keploy: {error}") from error
    return keys


def _value(key: str, value: object) -> object:
    if key == "name":
        return None if value is None else check_set_name(cast("str", value))
    if key == "allow_unplayed":
        if not isinstance(value, bool):
            raise OptionError(f"allow_unplayed must be True or False, not {value!r:.60}")
        return value
    if not isinstance(value, (list, tuple)):
        raise OptionError(f"{key} must be a list or tuple, not {value!r:.60}")
    values = tuple(cast("Sequence[Any]", value))
    if key == "match_on":
        RequestRules(values)
    else:
        AllowedHosts(values)
    return values
