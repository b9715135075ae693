"""JSON Schema (2020-12, as OpenAPI 3.1 has it) of the values that were seen."""

from __future__ import annotations

import re
from typing import Any, Final, cast

__all__ = ("Seen",)

_FORMATS: Final = {
    "uuid": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE),
    "date-time": re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)", re.IGNORECASE
    ),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
}
_DEEPEST: Final = 40


class Seen:
    """The values that stood in one place; its schema allows all of them.

    Example:
        >>> seen = Seen()
        >>> seen.add({"id": 1, "name": "ada"})
        >>> seen.add({"id": 2, "name": None})
        >>> seen.schema()["properties"]["name"]
        {'type': ['string', 'null']}
    """

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._types: dict[str, None] = {}
        self._objects = 0
        self._fields: dict[str, Seen] = {}
        self._present: dict[str, int] = {}
        self._items: Seen | None = None
        self._formats: set[str] | None = None

    def add(self, value: Any) -> None:
        """Take note of a value."""
        if isinstance(value, dict):
            self._types.setdefault("object")
            self._objects += 1
            if self._depth < _DEEPEST:
                for name, item in cast("dict[str, Any]", value).items():
                    self._fields.setdefault(name, Seen(self._depth + 1)).add(item)
                    self._present[name] = self._present.get(name, 0) + 1
        elif isinstance(value, list):
            self._types.setdefault("array")
            if self._depth < _DEEPEST:
                self._items = self._items or Seen(self._depth + 1)
                for item in cast("list[object]", value):
                    self._items.add(item)
        elif isinstance(value, str):
            self._types.setdefault("string")
            fits = {name for name, form in _FORMATS.items() if form.fullmatch(value)}
            self._formats = fits if self._formats is None else self._formats & fits
        elif value is None:
            self._types.setdefault("null")
        elif isinstance(value, bool):
            self._types.setdefault("boolean")
        else:
            self._types.setdefault("integer" if isinstance(value, int) else "number")

    def schema(self) -> dict[str, Any]:
        """Return the schema; empty, which allows all, when nothing was seen."""
        types = [name for name in self._types if name != "null"]
        if "number" in types:
            types = [name for name in types if name != "integer"]
        if "null" in self._types:
            types.append("null")
        if not types:
            return {}
        made: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
        if "object" in self._types and self._fields:
            made["properties"] = {name: seen.schema() for name, seen in self._fields.items()}
            required = [name for name, count in self._present.items() if count == self._objects]
            if required:
                made["required"] = required
        if "array" in self._types:
            made["items"] = self._items.schema() if self._items is not None else {}
        if self._formats:
            made["format"] = min(self._formats)
        return made
