"""The differences of two bodies, each kind of body by its own parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import parse_qsl

from keploy_framework.matching.difference import Difference
from keploy_framework.matching.json_value import NotJSONError, parsed
from keploy_framework.matching.json_walk import MOST, STRICT, json_differences
from keploy_framework.matching.xml_walk import xml_differences, xml_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from keploy_framework.matching.difference import Excuses, Plain
    from keploy_framework.matching.json_walk import JSONRules
    from keploy_framework.matching.same_secrets import SameSecrets

__all__ = ("BodyKind", "body_differences", "body_kind", "events", "form_fields", "parts")

BodyKind: TypeAlias = Literal["json", "ndjson", "sse", "form", "multipart", "xml", "text", "binary"]
"""What a body is, by its content type, and where that does not say it, by its looks."""

_BOUNDARY: Final = re.compile(rb"--([^\r\n]{1,200}?)(?:--)?\r?\n")
_NAME: Final = re.compile(r"name=(?:\"([^\"]{0,256})\"|([^;\s]{1,256}))", re.IGNORECASE)
_FILE_NAME: Final = re.compile(r"filename=(?:\"([^\"]{0,256})\"|([^;\s]{1,256}))", re.IGNORECASE)
_EVENT_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END: Final = re.compile(r"\r\n|\n|\r")


def body_kind(content_type: str, body: bytes) -> BodyKind:  # noqa: PLR0911 - one a kind
    r"""Return what a body is.

    Example:
        >>> body_kind("application/problem+json", b"{}"), body_kind("", b"\xff\xfe")
        ('json', 'binary')
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == "text/event-stream":
        return "sse"
    if "ndjson" in media or "jsonl" in media or media == "application/json-seq":
        return "ndjson"
    if media in {"application/json", "text/json"} or media.endswith("+json"):
        return "json"
    if media.startswith("application/x-amz-json"):  # AWS writes its version behind the name
        return "json"
    if media in {"application/xml", "text/xml"} or media.endswith("+xml"):
        return "xml"
    if media == "application/x-www-form-urlencoded":
        return "form"
    if media.startswith("multipart/"):
        return "multipart"
    if not media and body[:1] in {b"{", b"["}:
        return "json"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "text" if media.startswith("text/") else "binary"
    return "text"


def body_differences(
    expected: bytes,
    actual: bytes,
    *,
    content_type: str = "",
    rules: JSONRules | None = None,
    secrets: SameSecrets | None = None,
    excuses: Excuses | None = None,
    path: str = "body",
) -> list[Difference]:
    """Return how two bodies differ; equal bytes are never looked into.

    Args:
        expected: The recorded body, decompressed.
        actual: The body that came, decompressed.
        content_type: The recorded content type.
        rules: How JSON is compared.
        secrets: Which placeholder stands for which.
        excuses: Says which differences do not count.
        path: What the body is called in paths.
    """
    redacted = b"[redacted:" in expected
    if expected == actual and not redacted:
        return []
    known = secrets if redacted else None
    kind = body_kind(content_type, expected)
    rules = rules or STRICT
    found: Iterable[Difference] | None = None
    if kind == "json":
        found = _json(expected, actual, rules, known, excuses, path)
    elif kind in {"sse", "ndjson"}:
        split = events if kind == "sse" else _lines
        found = _events(split(expected), split(actual), rules, known, excuses, path)
    elif kind == "form":
        found = _fields(form_fields(expected), form_fields(actual), known, path)
    elif kind == "multipart":
        found = _parts(expected, actual, rules, known, excuses, path)
    elif kind == "xml":
        found = _xml(expected, actual, rules, known, path)
    if found is None:
        if rules.schema_only:
            return []
        found = _text(expected, actual, kind, known, path)
    return [each for each in found if excuses is None or not excuses(each)][:MOST]


def _json(
    expected: bytes,
    actual: bytes,
    rules: JSONRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
    path: str,
) -> list[Difference] | None:
    try:
        recorded = parsed(expected)
    except NotJSONError:
        return None
    try:
        came = parsed(actual)
    except NotJSONError:
        text = actual.decode("utf-8", "replace")
        return [Difference(path, "type", _shown(expected), text, f"{path}, which is no JSON")]
    return json_differences(
        recorded, came, rules=rules, path=path, secrets=secrets, excuses=excuses
    )


def _xml(
    expected: bytes, actual: bytes, rules: JSONRules, secrets: SameSecrets | None, path: str
) -> Iterator[Difference] | None:
    old, new = xml_tree(expected), xml_tree(actual)
    if old is None or new is None:
        return None
    return xml_differences(old, new, path=path, secrets=secrets, schema_only=rules.schema_only)


def _shown(body: bytes) -> str | bytes:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def _text(
    expected: bytes, actual: bytes, kind: BodyKind, secrets: SameSecrets | None, path: str
) -> Iterator[Difference]:
    if secrets is not None and secrets.same(expected.decode("latin-1"), actual.decode("latin-1")):
        return
    old, new = expected.split(b"\n"), actual.split(b"\n")
    # Behind the bare name of the section, Keploy's noise has paths, not patterns.
    named = f"{path}.text" if path == "body" and kind != "binary" else path
    if kind != "binary" and len(old) == len(new) > 1:
        for number, (mine, theirs) in enumerate(zip(old, new, strict=True), 1):
            same = mine == theirs
            if secrets is not None:
                same = secrets.same(mine.decode("latin-1"), theirs.decode("latin-1"))
            if not same:
                place = f"{path}, line {number}"
                yield Difference(named, "value", _shown(mine), _shown(theirs), place)
        return
    at = next(
        (n for n, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b),
        min(len(expected), len(actual)),
    )
    place = f"{path}, byte {at + 1}"
    if kind != "binary":
        line = expected.count(b"\n", 0, at) + 1
        place = f"{path}, line {line}"
    yield Difference(named, "value", _shown(expected), _shown(actual), place)


def events(body: bytes) -> list[list[tuple[str, str]]]:
    r"""Return the events of a stream: the fields of each, in order, as (name, value).

    Example:
        >>> events(b"event: a\ndata: 1\n\ndata: 2\n\n")
        [[('event', 'a'), ('data', '1')], [('data', '2')]]
    """
    result: list[list[tuple[str, str]]] = []
    for block in _EVENT_END.split(body):
        fields: list[tuple[str, str]] = []
        for line in _LINE_END.split(block.decode("utf-8", "replace")):
            if line:
                name, _, value = line.partition(":")
                fields.append((name or "comment", value.removeprefix(" ")))
        if fields:
            result.append(fields)
    return result


def _lines(body: bytes) -> list[list[tuple[str, str]]]:
    return [
        [("data", line)]
        for line in _LINE_END.split(body.decode("utf-8", "replace"))
        if line.strip()
    ]


def _events(
    expected: Sequence[list[tuple[str, str]]],
    actual: Sequence[list[tuple[str, str]]],
    rules: JSONRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
    path: str,
) -> Iterator[Difference]:
    if len(expected) != len(actual):
        yield Difference(path, "length", len(expected), len(actual), f"{path}, events")
    for number, (mine, theirs) in enumerate(zip(expected, actual, strict=False), 1):
        if mine == theirs and secrets is None:
            continue
        place = f"{path}, event {number}"
        for name in dict.fromkeys(name for name, _ in [*mine, *theirs]):
            old = "\n".join(value for key, value in mine if key == name)
            new = "\n".join(value for key, value in theirs if key == name)
            if not any(key == name for key, _ in theirs):
                yield Difference(f"{path}.{name}", "missing", old, None, f"{place}: {name}")
            elif not any(key == name for key, _ in mine):
                yield Difference(f"{path}.{name}", "added", None, new, f"{place}: {name}")
            elif old != new or secrets is not None:
                yield from _field(name, old, new, place, rules, secrets, excuses, path)


def _field(
    name: str,
    old: str,
    new: str,
    place: str,
    rules: JSONRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
    path: str,
) -> Iterator[Difference]:
    if name == "data" and old[:1] in {"{", "["}:
        try:
            mine, theirs = parsed(old), parsed(new)
        except NotJSONError:
            pass
        else:
            yield from json_differences(
                mine, theirs, rules=rules, path=path, place=place, secrets=secrets, excuses=excuses
            )
            return
    same = secrets.same(old, new) if secrets is not None else old == new
    if not same and not rules.schema_only:
        yield Difference(f"{path}.{name}", "value", old, new, f"{place}: {name}")


def form_fields(body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form, each with its values in order."""
    fields: dict[str, list[str]] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        fields.setdefault(name, []).append(value)
    return fields


def _fields(
    expected: dict[str, list[str]],
    actual: dict[str, list[str]],
    secrets: SameSecrets | None,
    path: str,
) -> Iterator[Difference]:
    for name in {**expected, **actual}:
        old, new = expected.get(name), actual.get(name)
        if old is None:
            yield Difference(f"{path}.{name}", "added", None, _one(new))
        elif new is None:
            yield Difference(f"{path}.{name}", "missing", _one(old), None)
        elif len(old) != len(new):
            yield Difference(f"{path}.{name}", "length", len(old), len(new))
        elif not all(
            secrets.same(a, b) if secrets is not None else a == b
            for a, b in zip(old, new, strict=True)
        ):
            yield Difference(f"{path}.{name}", "value", _one(old), _one(new))


def _one(values: list[str] | None) -> Plain:
    if values is None:
        return None
    return values[0] if len(values) == 1 else list(values)


def parts(body: bytes) -> list[tuple[str, str, str, bytes]] | None:
    """Return the parts of a multipart body: name, file name, content type, content.

    The boundary is taken from the body itself: it is made anew for each request, and says nothing.
    None if the body is not one.
    """
    start = _BOUNDARY.match(body)
    if start is None:
        return None
    mark = b"--" + start[1]
    result: list[tuple[str, str, str, bytes]] = []
    for block in body.split(mark)[1:]:
        if block.startswith(b"--"):
            break
        head, gap, content = block.partition(b"\r\n\r\n")
        if not gap:
            head, gap, content = block.partition(b"\n\n")
        text = head.decode("utf-8", "replace")
        name, file = _NAME.search(text), _FILE_NAME.search(text)
        media = next(
            (
                line[13:].strip()
                for line in text.splitlines()
                if line[:13].lower() == "content-type:"
            ),
            "",
        )
        content = content.removesuffix(b"\n").removesuffix(b"\r")
        named = (name[1] or name[2] or "") if name else ""
        result.append((named, (file[1] or file[2] or "") if file else "", media, content))
    return result


def _parts(
    expected: bytes,
    actual: bytes,
    rules: JSONRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
    path: str,
) -> Iterator[Difference] | None:
    mine, theirs = parts(expected), parts(actual)
    if mine is None or theirs is None:
        return None
    return _compared_parts(mine, theirs, rules, secrets, excuses, path)


def _compared_parts(
    mine: list[tuple[str, str, str, bytes]],
    theirs: list[tuple[str, str, str, bytes]],
    rules: JSONRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
    path: str,
) -> Iterator[Difference]:
    if len(mine) != len(theirs):
        yield Difference(path, "length", len(mine), len(theirs), f"{path}, parts")
    for old, new in zip(mine, theirs, strict=False):
        below = f"{path}.{old[0]}"
        if old[:3] != new[:3]:
            yield Difference(
                below, "value", "; ".join(old[:3]), "; ".join(new[:3]), f"{below}, head"
            )
        yield from body_differences(
            old[3],
            new[3],
            content_type=old[2],
            rules=rules,
            secrets=secrets,
            excuses=excuses,
            path=below,
        )
