"""Headers between the lines of the wire and the map that Keploy stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keploy_framework.storage.bodies import as_bytes, as_text

if TYPE_CHECKING:
    from keploy_framework.model import Headers
    from keploy_framework.storage.fields import Fields

__all__ = ("folded", "unfolded", "with_value")


def folded(headers: Headers) -> dict[str, str | bytes]:
    """Return headers as Keploy's map: canonical names, sorted, repeated values joined."""
    result: dict[str, list[str]] = {}
    for name, value in headers:
        canonical = "-".join(part.capitalize() for part in name.split("-"))
        result.setdefault(canonical, []).append(value)
    return {
        name: as_text(",".join(values).encode("latin-1", "replace"))
        for name, values in sorted(result.items())
    }


def unfolded(fields: Fields) -> Headers:
    """Return the header lines of Keploy's map, one for each name."""
    return tuple(
        (name, as_bytes(value).decode("latin-1")) for name, value in fields.texts("header").items()
    )


def with_value(headers: Headers, name: str, value: str) -> Headers:
    """Return the headers with another value of one that is there."""
    return tuple((key, value if key.lower() == name.lower() else old) for key, old in headers)
