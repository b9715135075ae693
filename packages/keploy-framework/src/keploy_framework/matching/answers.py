"""Whether an answer is the recorded one, and how it differs: status, headers, body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keploy_framework.matching.bodies import body_differences
from keploy_framework.matching.difference import Difference
from keploy_framework.matching.json_walk import STRICT
from keploy_framework.model import header_value, header_values
from keploy_framework.redact.compressed import CannotOpenError, encoding_of, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.matching.difference import Excuses, Plain
    from keploy_framework.matching.json_walk import JSONRules
    from keploy_framework.matching.same_secrets import SameSecrets
    from keploy_framework.model import Headers, Response

__all__ = ("FRAMING_HEADERS", "MatchRules", "answer_differences", "decoded_body")

FRAMING_HEADERS: Final = frozenset(
    {"connection", "date", "keep-alive", "server", "transfer-encoding"}
)
"""Headers that the server in front of an application adds: they say nothing of the application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRules:
    """How answers are compared; by default everything counts but `FRAMING_HEADERS`.

    Attributes:
        json: How JSON bodies are compared.
        ignored_headers: Names, in lower case, of headers that do not count.
        body: Whether bodies are compared.
        headers: Whether headers are compared.
    """

    json: JSONRules = STRICT
    ignored_headers: frozenset[str] = FRAMING_HEADERS
    body: bool = True
    headers: bool = True


def decoded_body(response_headers: Headers, body: bytes) -> bytes:
    """Return a body without its compression; as it is where it cannot be opened."""
    try:
        encoding = encoding_of(header_values(response_headers, "content-encoding"))
        return opened((body,), encoding)[0] if encoding and body else body
    except CannotOpenError:
        return body


def answer_differences(
    expected: Response,
    actual: Response,
    *,
    rules: MatchRules | None = None,
    secrets: SameSecrets | None = None,
    excuses: Excuses | None = None,
) -> list[Difference]:
    """Return how an answer differs from the recorded one; empty if it is the same.

    Args:
        expected: What was recorded.
        actual: What came.
        rules: How they are compared.
        secrets: Which placeholder stands for which; keep one for all cases of a run. None compares
            placeholders as text.
        excuses: Says which differences are noise.

    Example:
        >>> from keploy_framework.model import Response
        >>> [str(each) for each in answer_differences(Response(200), Response(404))]
        ['status: 200 became 404']
    """
    rules = rules or MatchRules()
    found: list[Difference] = []
    if expected.status != actual.status:
        found.append(Difference("status", "value", expected.status, actual.status))
    body: list[Difference] = []
    if rules.body:
        body = _body(expected, actual, rules, secrets, excuses)
    if rules.headers:
        for difference in _headers(expected.headers, actual.headers, rules, secrets):
            # A length says nothing that the body does not say; what the body may vary, it varies.
            if difference.path.lower() == "header.content-length" and not body:
                continue
            found.append(difference)
        found += [
            Difference(f"trailer.{each.path[7:]}", each.kind, each.expected, each.actual)
            for each in _headers(expected.trailers, actual.trailers, rules, secrets)
        ]
    if excuses is not None:
        found = [each for each in found if not excuses(each)]
    return found + body


def _body(
    expected: Response,
    actual: Response,
    rules: MatchRules,
    secrets: SameSecrets | None,
    excuses: Excuses | None,
) -> list[Difference]:
    if expected.omitted is not None:
        return [each for each in _omitted(expected, actual) if excuses is None or not excuses(each)]
    old, new = expected.body, actual.body
    if actual.omitted is not None:
        longer = Difference("body", "length", len(old), actual.omitted.size, "body, bytes")
        return [longer] if excuses is None or not excuses(longer) else []
    plain = header_value(expected.headers, "content-encoding") is None
    if plain and old == new and b"[redacted:" not in old:
        return []
    return body_differences(
        decoded_body(expected.headers, old),
        decoded_body(actual.headers, new),
        content_type=header_value(expected.headers, "content-type") or "",
        rules=rules.json,
        secrets=secrets,
        excuses=excuses,
    )


def _omitted(expected: Response, actual: Response) -> Iterator[Difference]:
    """Compare what is known of a body that was not stored: its length and its digest."""
    import hashlib  # noqa: PLC0415 - few bodies are left out

    known = expected.omitted
    if known is None:
        return
    size, digest = len(actual.body), hashlib.sha256(actual.body).hexdigest()
    if actual.omitted is not None:
        size, digest = actual.omitted.size, actual.omitted.sha256
    if known.size != size:
        yield Difference("body", "length", known.size, size, "body, bytes")
    elif known.sha256 and known.sha256 != digest:  # other tools keep the length alone
        yield Difference("body", "value", known.sha256, digest, "body, SHA-256")


def _headers(
    expected: Headers, actual: Headers, rules: MatchRules, secrets: SameSecrets | None
) -> Iterator[Difference]:
    if expected == actual and secrets is None:
        return
    mine, theirs = _by_name(expected), _by_name(actual)
    for name in {**mine, **theirs}:
        if name in rules.ignored_headers:
            continue
        shown, old = mine.get(name, ("", None))
        other, new = theirs.get(name, ("", None))
        path = f"header.{shown or other}"
        if old is None:
            yield Difference(path, "added", None, _one(new))
        elif new is None:
            yield Difference(path, "missing", _one(old), None)
        elif len(old) != len(new):
            yield Difference(path, "length", len(old), len(new))
        elif rules.json.schema_only:
            continue
        else:
            for number, (a, b) in enumerate(zip(old, new, strict=True)):
                same = secrets.same(a, b) if secrets is not None else a == b
                if not same and not (name == "content-type" and _same_media(a, b)):
                    place = path if len(old) == 1 else f"{path}[{number}]"
                    yield Difference(path, "value", a, b, place)


def _by_name(headers: Headers) -> dict[str, tuple[str, list[str]]]:
    result: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        result.setdefault(name.lower(), (name, []))[1].append(value)
    return result


def _same_media(expected: str, actual: str) -> bool:
    """Say whether multipart types differ in their boundary only, which is made anew each time."""
    if not expected.lower().startswith("multipart/"):
        return False
    return [part for part in _parameters(expected) if not part.startswith("boundary=")] == [
        part for part in _parameters(actual) if not part.startswith("boundary=")
    ]


def _parameters(value: str) -> list[str]:
    return [part.strip().lower() for part in value.split(";")]


def _one(values: list[str] | None) -> Plain:
    if values is None:
        return None
    return values[0] if len(values) == 1 else list(values)
