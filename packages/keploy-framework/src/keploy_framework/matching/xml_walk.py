"""The differences of two XML documents: by elements, as those of JSON are by keys.

Prefixes of namespaces, the order of attributes, comments, and white space between elements do not
count. A document with a document type is compared as text: what its entities say is nobody's here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from keploy_framework.matching.difference import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from keploy_framework.matching.same_secrets import SameSecrets

__all__ = ("xml_differences", "xml_tree")


def xml_tree(body: bytes) -> Element | None:
    """Return the root of a document; None if it is none, or has a document type."""
    if b"<!" in body.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        return None
    try:
        return ET.fromstring(body)  # noqa: S314 - it has no document type, so no entities
    except (ET.ParseError, ValueError, LookupError):
        return None


def xml_differences(
    expected: Element,
    actual: Element,
    *,
    path: str = "body",
    secrets: SameSecrets | None = None,
    schema_only: bool = False,
) -> Iterator[Difference]:
    """Yield how two documents differ.

    Args:
        expected: The root of the recorded one.
        actual: The root of the one that came.
        path: What the body is called in paths.
        secrets: Which placeholder stands for which.
        schema_only: Whether only elements and attributes count, not what they say.

    Example:
        >>> old, new = xml_tree(b"<a><n>1</n></a>"), xml_tree(b"<a><n>2</n></a>")
        >>> [str(each) for each in xml_differences(old, new)]
        ["body.a.n: '1' became '2'"]
    """
    root = f"{path}.{_name(expected.tag)}"
    if expected.tag != actual.tag:
        yield Difference(path, "type", _name(expected.tag), _name(actual.tag), f"{path}, root")
        return
    waiting = [(root, root, expected, actual)]
    while waiting:
        at, place, old, new = waiting.pop()
        if not schema_only:
            yield from _text(at, place, old.text, new.text, secrets)
        yield from _attributes(at, place, old, new, secrets, schema_only=schema_only)
        tags, others = [child.tag for child in old], [child.tag for child in new]
        if tags != others:
            yield from _children(at, place, tags, others)
            continue
        if not secrets and len(tags) > 1 and _reordered(old, new):
            yield Difference(at, "order", [_flat(x) for x in old], [_flat(x) for x in new], place)
            continue
        counts = Counter(tags)
        numbers: Counter[str] = Counter()
        below: list[tuple[str, str, Element, Element]] = []
        for one, other in zip(old, new, strict=True):
            name = _name(one.tag)
            inner = f"{place}.{name}"
            if counts[one.tag] > 1:
                inner = f"{inner}[{numbers[one.tag]}]"
                numbers[one.tag] += 1
            below.append((f"{at}.{name}", inner, one, other))
            if not schema_only:
                yield from _text(at, f"{inner}, text behind it", one.tail, other.tail, secrets)
        waiting += reversed(below)


def _name(tag: str) -> str:
    """Return a tag without its namespace."""
    return str(tag).rpartition("}")[2]


def _text(
    path: str, place: str, old: str | None, new: str | None, secrets: SameSecrets | None
) -> Iterator[Difference]:
    old, new = old or "", new or ""
    if not old.strip() and not new.strip():
        return
    if not (secrets.same(old, new) if secrets is not None else old == new):
        yield Difference(path, "value", old, new, place)


def _attributes(
    path: str,
    place: str,
    old: Element,
    new: Element,
    secrets: SameSecrets | None,
    *,
    schema_only: bool,
) -> Iterator[Difference]:
    for key in {**old.attrib, **new.attrib}:
        name, a, b = f"@{_name(key)}", old.get(key), new.get(key)
        if a is None:
            yield Difference(f"{path}.{name}", "added", None, b, f"{place}.{name}")
        elif b is None:
            yield Difference(f"{path}.{name}", "missing", a, None, f"{place}.{name}")
        elif not schema_only:
            yield from _text(f"{path}.{name}", f"{place}.{name}", a, b, secrets)


def _children(path: str, place: str, old: list[str], new: list[str]) -> Iterator[Difference]:
    """Say how the elements under one differ in name, number or order."""
    before, now = Counter(old), Counter(new)
    if before == now:
        yield Difference(path, "order", [*map(_name, old)], [*map(_name, new)], place)
        return
    for tag in {**before, **now}:
        name = _name(tag)
        if not before[tag]:
            yield Difference(f"{path}.{name}", "added", None, name, f"{place}.{name}")
        elif not now[tag]:
            yield Difference(f"{path}.{name}", "missing", name, None, f"{place}.{name}")
        elif before[tag] != now[tag]:
            at = f"{place}.{name}"
            yield Difference(f"{path}.{name}", "length", before[tag], now[tag], at)


def _reordered(old: Element, new: Element) -> bool:
    """Say whether the same elements stand in another order."""
    mine, theirs = [_flat(child) for child in old], [_flat(child) for child in new]
    return mine != theirs and Counter(mine) == Counter(theirs)


def _flat(element: Element) -> str:
    """Return an element as one text, for comparison."""
    return ET.tostring(element, encoding="unicode").strip()
