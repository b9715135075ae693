"""What a redaction is told by its options, checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import OptionError
from keploy_framework.redact.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("own_kind", "own_names")

_KIND: Final = re.compile(r"[a-z0-9-]{1,40}")
_NAME_LIMIT: Final = 256


def own_names(option: str, names: Iterable[str]) -> frozenset[str]:
    """Return the names that an option lists.

    Raises:
        OptionError: They are one text, or one of them is no name.
    """
    if isinstance(names, str):
        raise OptionError(f"{option} must be a list of names, not the one text {names!r:.60}")
    result = frozenset(names)
    for name in result:
        if not _is_name(name):
            raise OptionError(f"{option} must hold names, not {name!r:.60}")
    return result


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and len(name) <= _NAME_LIMIT


def own_kind(kind: str, text: str) -> Kind:
    """Return a kind of secret that a regular expression finds.

    Raises:
        OptionError: The kind or the expression is none, or it finds the empty text.
    """
    if not _KIND.fullmatch(kind):
        raise OptionError(
            f"patterns: a kind has lower-case letters, digits and dashes, not {kind!r:.60}"
        )
    try:
        pattern = re.compile(text)
    except (re.error, TypeError) as error:
        raise OptionError(f"patterns: {kind} is no regular expression: {error}") from None
    if pattern.search("") is not None:
        raise OptionError(f"patterns: {kind} finds the empty text; let it find at least one sign")
    return Kind(kind, (), pattern)
