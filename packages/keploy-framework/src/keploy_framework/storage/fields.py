"""Reading the fields of a loaded file, with errors that name the file, the line and the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keploy_framework.errors import FormatError
from keploy_framework.storage.places import line_of
from keploy_framework.storage.tree import Plain, Repeated, as_bool, as_int

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.storage.tree import Tree

__all__ = ("Fields",)


class Fields:
    """A mapping of a file, read field by field.

    Args:
        tree: The value that should be a mapping.
        path: The file, for errors.
        data: Its bytes, looked at again only to find the line of an error.
        keys: How the mapping is reached from the top of its document.
        document: Which document of the file, from 0.

    Raises:
        FormatError: It is no mapping, or names a key twice.
    """

    __slots__ = ("_data", "_document", "_keys", "_tree", "path")

    def __init__(
        self,
        tree: Tree,
        path: str,
        data: bytes,
        *,
        keys: tuple[str | int, ...] = (),
        document: int = 0,
    ) -> None:
        self.path: str = path
        self._data = data
        self._keys = keys
        self._document = document
        if isinstance(tree, Repeated):
            names = [name for name, _ in tree]
            twice = next(name for name in names if names.count(name) > 1)
            raise self.error(f"the key {twice!r:.60} stands twice in one mapping", twice)
        if not isinstance(tree, dict):
            place = ".".join(map(str, keys)) or "the document"
            raise self.error(f"{place} has to be a mapping of fields")
        self._tree = tree

    def error(self, message: str, *keys: str | int) -> FormatError:
        """Return an error at the line of a field."""
        line = line_of(self._data, (*self._keys, *keys), document=self._document)
        return FormatError(message, path=self.path, line=line)

    def get(self, name: str) -> Tree:
        """Return a field as it stands; None if it is absent."""
        return self._tree.get(name)

    def nested(self, name: str) -> Fields:
        """Return a field that has to be a mapping; an absent one is empty."""
        value = self._tree.get(name)
        keys = (*self._keys, name)
        empty: Tree = {}
        return Fields(
            empty if value is None else value,
            self.path,
            self._data,
            keys=keys,
            document=self._document,
        )

    def required(self, name: str) -> Fields:
        """Return a field that has to be there, as a mapping."""
        if name not in self._tree:
            raise self.error(f"the field {self._dotted(name)} is missing; is the file cut off?")
        return self.nested(name)

    def text(self, name: str, default: str | None = "") -> str:
        """Return a field of text; numbers are taken as they are written."""
        value = self._tree.get(name)
        if value is None:
            if default is None:
                raise self.error(f"the field {self._dotted(name)} is missing; is the file cut off?")
            return default
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if not isinstance(value, str):
            raise self.error(f"{self._dotted(name)} has to be text", name)
        return str(value)

    def content(self, name: str) -> str | bytes:
        """Return a field of text or bytes; an absent one is empty."""
        value = self._tree.get(name)
        if value is None:
            return ""
        if not isinstance(value, (str, bytes)):
            raise self.error(f"{self._dotted(name)} has to be text", name)
        return value if isinstance(value, bytes) else str(value)

    def number(self, name: str, default: int | None = 0) -> int:
        """Return a field that is a whole number."""
        value = self._tree.get(name)
        if value is None:
            if default is None:
                raise self.error(f"the field {self._dotted(name)} is missing; is the file cut off?")
            return default
        found = as_int(value)
        if found is None:
            shown = f"{value!r:.40}" if isinstance(value, (str, bytes)) else type(value).__name__
            raise self.error(f"{self._dotted(name)} has to be a whole number, not {shown}", name)
        return found

    def real(self, name: str) -> float:
        """Return a field that is a number; 0 when it is absent."""
        value = self._tree.get(name)
        if value is None:
            return 0.0
        try:
            if isinstance(value, Plain):
                return float(value)
        except ValueError:
            pass
        raise self.error(f"{self._dotted(name)} has to be a number", name)

    def truth(self, name: str) -> bool:
        """Return a field that is true or false; an absent one is false."""
        value = self._tree.get(name)
        found = False if value is None else as_bool(value)
        if found is None:
            raise self.error(f"{self._dotted(name)} has to be true or false", name)
        return found

    def items(self, name: str) -> list[Fields]:
        """Return a field that is a list of mappings; an absent one is empty."""
        return [
            Fields(
                item, self.path, self._data, keys=(*self._keys, name, at), document=self._document
            )
            for at, item in enumerate(self.listed(name))
        ]

    def listed(self, name: str) -> list[Tree]:
        """Return a field that is a list; an absent one is empty."""
        value = self._tree.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(f"{self._dotted(name)} has to be a list", name)
        return value

    def texts(self, name: str) -> dict[str, str | bytes]:
        """Return a field that maps text to text."""
        nested = self.nested(name)
        return {str(key): nested.content(key) for key in nested.names()}

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(self._tree)

    def checked(self, name: str, check: Callable[[str], object]) -> str:
        """Return a field of text that a check accepts.

        Raises:
            FormatError: With what the check says, at the line of the field.
        """
        value = self.text(name, None)
        try:
            check(value)
        except ValueError as error:
            raise self.error(str(error), name) from error
        return value

    def _dotted(self, name: str) -> str:
        return ".".join(map(str, (*self._keys, name)))
