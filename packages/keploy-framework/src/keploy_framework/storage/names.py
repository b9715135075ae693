"""Names of test sets, test cases and mocks, as Keploy gives them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from keploy_framework.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = (
    "RESERVED",
    "CaseNames",
    "check_case_name",
    "check_set_name",
    "descriptive_base",
    "name_number",
    "next_set_name",
)

RESERVED = frozenset({"api-tests", "reports", "schema", "testReports"})
"""Names of folders beside the test sets: never the name of a set."""

_BY_ID = re.compile(
    r"\d+|[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_LONGEST = 40
_LONGEST_NAME = 200
_SET = re.compile(r"test-set-(\d+)")
_NUMBER = re.compile(r"(\d+)$")
_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_set_name(name: str) -> str:
    """Return the name of a test set, if it can be one.

    Raises:
        OptionError: It is empty, reserved, or would lead out of the `keploy` folder.

    >>> check_set_name("checkout")
    'checkout'
    """
    if name in RESERVED:
        raise OptionError(f"{name!r} is a folder of Keploy's own; a test set needs another name")
    return _check("test set", name)


def check_case_name(name: str) -> str:
    """Return the name of a test case or mock, if a file can have it.

    Raises:
        OptionError: It is empty, too long, or would lead out of its folder.
    """
    return _check("test case", name)


def next_set_name(existing: Iterable[str]) -> str:
    """Return the next `test-set-<n>`, after the highest number that there is.

    >>> next_set_name(["test-set-0", "test-set-9", "checkout"])
    'test-set-10'
    """
    numbers = [int(found[1]) for name in existing if (found := _SET.fullmatch(name))]
    return f"test-set-{max(numbers, default=-1) + 1}"


def descriptive_base(method: str, url: str) -> str:
    """Return a test case's name before its number: the method and the path, ids taken out.

    >>> descriptive_base("GET", "http://localhost:8000/users/17/orders?page=2")
    'get-users-by-id-orders'
    """
    path = urlsplit(url).path
    parts = [method.lower()]
    for segment in filter(None, path.split("/")):
        text = unquote(segment, errors="replace")
        if _BY_ID.fullmatch(text):
            parts.append("by-id")
        elif plain := re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-"):
            parts.append(plain)
    if len(parts) == 1:
        parts.append("root")
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(parts)).strip("-") or "request"
    if len(name) > _LONGEST:
        cut = name[: _LONGEST + 1].rfind("-")
        name = name[:cut] if cut > 0 else name[:_LONGEST]
    return name


def name_number(name: str) -> int:
    """Return the number at the end of a name; 0 if there is none.

    >>> name_number("get-users-12")
    12
    """
    found = _NUMBER.search(name)
    return int(found[1]) if found else 0


class CaseNames:
    """Gives test cases names that no other case of their set has.

    Args:
        taken: The names that are there already.
        sequential: `test-<n>` instead of method and path.

    >>> names = CaseNames(["get-users-1"])
    >>> names.give("GET", "http://localhost/users")
    'get-users-2'
    >>> names.give("GET", "http://localhost/users", wanted="list users")
    'list-users'
    """

    def __init__(self, taken: Collection[str] = (), *, sequential: bool = False) -> None:
        # Compared without case: two names that differ in nothing else are one file on some systems.
        self._taken = {name.casefold() for name in taken}
        self._sequential = sequential
        self._last: dict[str, int] = {}

    def give(self, method: str, url: str, *, wanted: str | None = None) -> str:
        """Return a name; the wanted one, made fit for a file, if it is free."""
        if wanted and (plain := re.sub(r"[^\w.-]+", "-", wanted).strip("-.")[:_LONGEST_NAME]):
            if plain.casefold() not in self._taken:
                self._taken.add(plain.casefold())
                return plain
            base = plain
        else:
            base = "test" if self._sequential else descriptive_base(method, url)
        number = self._last.get(base, 0) + 1
        while f"{base}-{number}".casefold() in self._taken:
            number += 1
        self._last[base] = number
        name = f"{base}-{number}"
        self._taken.add(name.casefold())
        return name


def _check(what: str, name: object) -> str:
    """Refuse what is no plain file name on every system."""
    if not isinstance(name, str) or not name or name != name.strip(" ."):
        raise OptionError(f"{name!r:.80} cannot be the name of a {what}")
    bad = "/" in name or "\\" in name or ".." in name or not name.isprintable() or ":" in name
    if bad or len(name.encode(errors="replace")) > _LONGEST_NAME or _WINDOWS.fullmatch(name):
        raise OptionError(
            f"{name!r:.80} cannot be the name of a {what}: it has to be a plain file name of at "
            f"most {_LONGEST_NAME} bytes, without '/', '\\', ':' and '..'"
        )
    return name
