"""Names of recordings: made of the test's own, short, and the same under every pytest.

Parts that pytest makes up (the ids of parameters) are not used: they change with its version, and
become long.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import pytest

__all__ = ("LONGEST", "cassette_name", "shortened")

LONGEST: Final = 80
"""The longest name that stays as it is, in characters."""

_HASHED: Final = 8
_OURS: Final = frozenset({"keploy_case"})


def cassette_name(item: pytest.Item, given: str | None = None) -> str:
    """Return the name of a test's recording.

    Args:
        item: The test.
        given: The name that its mark gives; parameters are added to it.
    """
    parts = [given] if given else _own(item)
    spec = getattr(item, "callspec", None)
    if spec is not None:
        params, indices = cast("dict[str, Any]", spec.params), cast("dict[str, int]", spec.indices)
        parts += [
            f"{name}={_value(value, indices.get(name, 0))}"
            for name, value in sorted(params.items())
            if name not in _OURS
        ]
    return shortened(".".join(parts))


def shortened(text: str) -> str:
    """Return a name that a file can have; a long one ends in a hash of the whole.

    Example:
        >>> shortened("tests.test_a.test_b.x=1/2")
        'tests.test_a.test_b.x=1-2-12cbc7d2'
        >>> len(shortened("x" * 500))
        80
    """
    plain = re.sub(r"[^\w.=-]+", "-", text, flags=re.ASCII)
    plain = re.sub(r"\.{2,}", ".", plain).strip(".-")
    if plain == text and len(plain) <= LONGEST:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASHED]
    return f"{plain[: LONGEST - _HASHED - 1].rstrip('.-')}-{digest}".lstrip("-")


def _own(item: pytest.Item) -> list[str]:
    """Return the file, the classes and the function."""
    file, *rest = item.nodeid.partition("[")[0].split("::")
    return [*file.removesuffix(".py").split("/"), *rest]


def _value(value: object, index: int) -> str:
    """Return a parameter's value where it is plain; else its place in the list."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    return value.hex() if isinstance(value, bytes) else f"#{index}"
