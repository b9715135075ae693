"""The assertions of Keploy's test cases besides noise, such as ``status_code_in``.

Where a case has one, it alone decides: nothing else of the answer is compared, as in Keploy.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from keploy_framework.errors import FormatError
from keploy_framework.matching.difference import Difference
from keploy_framework.matching.json_value import NotJSONError, Number, Repeated, parsed, plain
from keploy_framework.model import header_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from keploy_framework.matching.json_value import JSON
    from keploy_framework.model import Headers

__all__ = ("ASSERTIONS", "assertion_differences")

ASSERTIONS: Final = (
    "status_code",
    "status_code_class",
    "status_code_in",
    "header_equal",
    "header_contains",
    "header_exists",
    "header_matches",
    "json_equal",
    "json_contains",
)
"""The names that are known. Others, and ``noise``, assert nothing."""

_CLASS_LENGTH: Final = 3


def assertion_differences(
    assertions: Mapping[str, object],
    status: int,
    headers: Headers,
    body: bytes,
    *,
    recorded: bytes = b"",
) -> list[Difference] | None:
    """Return where an answer does not hold what a test case asserts.

    Args:
        assertions: The value of ``spec.assertions``.
        status: The status that came.
        headers: The headers that came.
        body: The body that came, decompressed.
        recorded: The recorded body, which ``json_equal`` compares with.

    Returns:
        The differences; None if there is no assertion, so that answers are compared as a whole.

    Raises:
        FormatError: An assertion has a value that it cannot have.

    Example:
        >>> assertion_differences({"noise": {}}, 200, (), b"") is None
        True
        >>> for found in assertion_differences({"status_code_in": [200, 201]}, 404, (), b""):
        ...     print(found)
        status: '200, 201' became 404
    """
    wanted = [name for name in ASSERTIONS if name in assertions]
    if not wanted:
        return None
    found: list[Difference] = []
    for name in wanted:
        value = assertions[name]
        if name.startswith("status_code"):
            broken = _status(name, value, status)
        elif name.startswith("header"):
            broken = _headers(name, value, headers)
        elif name == "json_equal":
            broken = _equal(recorded, body)
        else:
            broken = _contained(value, body)
        found += [replace(each, asserted=name) for each in broken]
    return found


def _told(path: str, name: str, expected: str | int | None, actual: str | int | None) -> Difference:
    place = f"{path} ({name})"
    if actual is None:
        return Difference(path, "missing", expected, None, place)
    return Difference(path, "value", expected, actual, place)


def _equal(recorded: bytes, body: bytes) -> Iterator[Difference]:
    if recorded != body:
        yield _told("body", "json_equal", _text(recorded), _text(body))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _status(name: str, value: object, status: int) -> Iterator[Difference]:
    if name == "status_code":
        wanted = _integer(name, value)
        if wanted != status:
            yield Difference("status", "value", wanted, status)
    elif name == "status_code_class":
        text = _word(value)
        # A whole status stands for its class.
        named = f"{text[:1]}xx" if len(text) == _CLASS_LENGTH else text
        if not re.fullmatch(r"[1-5]xx", named):
            raise FormatError(f"status_code_class is like 2xx, not {text!r:.40}")
        if named != f"{status // 100}xx":
            yield Difference("status", "value", named, status)
    else:
        codes = [_integer(name, each) for each in _list(value)]
        if status not in codes:
            yield Difference("status", "value", ", ".join(map(str, codes)), status)


def _headers(name: str, value: object, headers: Headers) -> Iterator[Difference]:
    if name == "header_exists":
        names: Iterable[object] = (
            cast("Mapping[object, object]", value) if isinstance(value, dict) else _list(value)
        )
        wanted = {_word(each): "" for each in names}
    else:
        if not isinstance(value, dict):
            raise FormatError(f"{name} is a mapping of headers, not {value!r:.60}")
        wanted = {
            _word(key): _word(each) for key, each in cast("dict[object, object]", value).items()
        }
    if name == "header_matches":
        for pattern in wanted.values():
            _compiled(pattern)
    for header, expected in wanted.items():
        values = header_values(headers, header)
        actual = ", ".join(values)
        if not values:
            yield _told(f"header.{header}", name, expected or header, None)
        elif name != "header_exists" and not _HOLDS[name](expected, actual):
            yield _told(f"header.{header}", name, expected, actual)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FormatError(f"header_matches: {pattern!r:.80} is no pattern: {error}") from None


_HOLDS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "header_equal": lambda expected, actual: expected == actual,
    "header_contains": lambda expected, actual: expected in actual,
    "header_matches": lambda expected, actual: _compiled(expected).search(actual) is not None,
}


def _contained(value: object, body: bytes) -> Iterator[Difference]:
    if isinstance(value, str):
        try:
            expected = parsed(value.encode())
        except NotJSONError as error:
            raise FormatError(f"json_contains is no JSON: {error}") from None
    else:
        expected = _json(value)
    if not isinstance(expected, dict):
        raise FormatError(f"json_contains is an object, not {value!r:.60}")
    try:
        came = parsed(body)
    except NotJSONError:
        yield _told("body", "json_contains", "JSON", _text(body))
        return
    yield from _inside("body", expected, came)


def _inside(path: str, expected: JSON, actual: JSON) -> Iterator[Difference]:
    """Yield what of an object is not in another; everything else in that one is free."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            below = f"{path}.{key}"
            if key not in actual:
                yield Difference(below, "missing", plain(value), None)
            else:
                yield from _inside(below, value, actual[key])
    elif _same(expected) != _same(actual):
        yield Difference(path, "value", plain(expected), plain(actual))


def _same(value: JSON) -> object:
    """Return a value whose equality is that of JSON: 1 and 1.0 are one number, true is none."""
    if isinstance(value, Repeated):
        return _same(value.values[-1])
    if isinstance(value, Number):
        return ("number", float(value.text))
    if isinstance(value, list):
        return [_same(each) for each in value]
    if isinstance(value, dict):
        return {key: _same(each) for key, each in value.items()}
    return (type(value), value)


def _json(value: object) -> JSON:
    """Return what a YAML file says as JSON: a plain scalar keeps its text there."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {_word(key): _json(each) for key, each in items}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in cast("list[object]", value)]
    if type(value) is str:  # a plain scalar of YAML is a kind of text that says what it is
        return value
    text = _word(value)
    try:
        return parsed(text.encode())
    except NotJSONError:
        return text


def _integer(name: str, value: object) -> int:
    text = _word(value)
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise FormatError(f"{name} is a status such as 200, not {text!r:.40}")
    return int(text)


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, (list, tuple)):
        return list(cast("list[object]", value))
    raise FormatError(f"a list is expected, not {value!r:.60}")


def _word(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, str) else str(getattr(value, "text", value))
