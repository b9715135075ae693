"""A pytest file of test cases that runs alone: with pytest, without this package."""

from __future__ import annotations

import itertools
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from keploy_framework.errors import OptionError
from keploy_framework.matching import FRAMING_HEADERS, decoded_body
from keploy_framework.noise import NoiseRules
from keploy_framework.replay.chain import chained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from keploy_framework.storage.stored import StoredCase

__all__ = ("pytest_file",)

_UNSENT: Final = frozenset({"accept-encoding", "connection", "transfer-encoding"})
_UNCOMPARED: Final = FRAMING_HEADERS | {"content-encoding", "content-length"}


def pytest_file(cases: Iterable[StoredCase], *, target: str = "app:app") -> str:
    """Return the text of a pytest file that replays test cases and compares their answers.

    It needs pytest and Python 3.11, nothing of this package. Noise rules of the cases count in it;
    ids and tokens that an answer made up go into the requests that used the recorded ones, and a
    test that needs them asks for them first, so that it runs alone. What it does not do: outbound
    calls go out, numbers as ids are not carried, and time is not frozen; `tta-keploy replay` does
    these. WebSockets, gRPC, cases without a whole answer, and answers that were not stored are left
    out, and named in the file.

    Args:
        cases: The test cases, in their order.
        target: What is tested unless the environment names something else in `KEPLOY_TARGET`: the
            URL of the application, or `module:attribute` of an ASGI or WSGI application.

    Raises:
        OptionError: The target is neither.
        FormatError: A pattern in the noise of a case is no regular expression.
    """
    if "://" not in target and not target.partition(":")[0].replace(".", "").isidentifier():
        raise OptionError(f"target must be a URL or module:attribute, not {target!r:.80}")
    stored = list(cases)
    entries = [_entry(case) for case in stored]
    left_out = [case.name for case, entry in zip(stored, entries, strict=True) if entry is None]
    _link(stored, entries)
    made = [line for entry in entries if entry is not None for line in _literal(entry)]
    template = (files("keploy_framework.generate") / "standalone.template").read_text(
        encoding="utf-8"
    )
    notes = f"# Left out: {', '.join(left_out)}.\n" if left_out else ""
    return template.format(
        target=target,
        ignored=sorted(_UNCOMPARED),
        cases="".join(f"{line}\n" for line in made),
        left_out=_wrapped(notes),
    )


def _entry(case: StoredCase) -> dict[str, Any] | None:
    exchange = case.exchange
    response = exchange.response if exchange is not None else None
    if exchange is None or response is None or exchange.messages or exchange.failure is not None:
        return None
    request = exchange.request
    if response.omitted is not None or request.omitted is not None:
        return None
    parts = urlsplit(request.url.replace("[redacted:", "(redacted:").replace("]", ")"))
    target = request.url[len(parts.scheme) + 3 + len(parts.netloc) :].partition("#")[0]
    headers = [line for line in request.headers if line[0].lower() not in _UNSENT]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("Host", parts.netloc))
    if request.body and "content-length" not in names:
        headers.append(("Content-Length", str(len(request.body))))
    rules = NoiseRules(case.noise)  # says so where a pattern is none
    spelled = {
        path.lower() if path.lower().startswith("header.") else path: list(patterns)
        for path, patterns in case.noise.items()
    }
    return {
        "name": case.name,
        "method": request.method,
        "target": target if target.startswith("/") else f"/{target}",
        "headers": headers,
        "body": request.body,
        "status": response.status,
        "answer_headers": [line for line in response.headers if line[0].lower() not in _UNCOMPARED],
        "answer": decoded_body(response.headers, response.body),
        **({"noise": spelled} if rules else {}),
    }


def _link(cases: Sequence[StoredCase], entries: Sequence[dict[str, Any] | None]) -> None:
    """Note which answers hand out what later requests use, and which requests need them."""
    places = itertools.count()
    numbers = [None if entry is None else next(places) for entry in entries]
    for entry, links in zip(entries, chained([case.exchange for case in cases]), strict=True):
        if entry is None:
            continue
        # A value with an owner is a number: what it means, only a replay knows.
        if gives := sorted({use.value for use in links.gives if not use.owner}):
            entry["gives"] = gives
        sources = {use.source for use in links.uses if not use.owner and use.source is not None}
        if needs := sorted(number for at in sources if (number := numbers[at]) is not None):
            entry["needs"] = needs


def _literal(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a case, in Python."""
    yield "    {"
    for name, value in entry.items():
        if isinstance(value, list) and value:
            yield f"        {name!r}: ["
            yield from (f"            {item!r}," for item in value)  # pyright: ignore[reportUnknownVariableType]
            yield "        ],"
        else:
            yield f"        {name!r}: {value!r},"
    yield "    },"


def _wrapped(text: str) -> str:
    """Return a comment in lines of bearable length."""
    if not text:
        return ""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > 98:  # noqa: PLR2004 - a line of the file
            lines.append("#")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines) + "\n"
