"""Which recording answers a request: looked up, not searched, however many there are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import parse_qsl, urlsplit

from keploy_framework.errors import OptionError
from keploy_framework.matching.answers import decoded_body
from keploy_framework.matching.bodies import body_differences
from keploy_framework.matching.difference import Difference
from keploy_framework.matching.request_key import RequestRules
from keploy_framework.matching.same_secrets import SameSecrets
from keploy_framework.model import header_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keploy_framework.matching.request_key import RequestKey
    from keploy_framework.model import Request

__all__ = ("Lifetime", "Miss", "MockIndex", "Recording", "Repeat", "request_differences")

T = TypeVar("T")

Lifetime: TypeAlias = Literal["test", "connection", "session"]
"""How long a recording answers: once and in its test, again and again for its connection, or
always. Keploy writes the last two as ``type: connection`` and ``type: config``."""

Repeat: TypeAlias = Literal["once", "last", "cycle"]
"""What happens after the last recording of a sequence: a miss, the last one again, or the first."""

_CONSIDERED = 64
_EXPLAINED = 10
_OTHER_PLACE = 50


@dataclass(frozen=True, slots=True)
class Recording(Generic[T]):
    """A recorded request, and what it is answered with.

    Attributes:
        name: What it is called in explanations.
        request: What was asked.
        answer: What `MockIndex.find` returns.
        lifetime: How long it answers.
        scope: The test it belongs to; None for all.
        connection: The id of its connection, for that lifetime.
    """

    name: str
    request: Request
    answer: T
    lifetime: Lifetime = "test"
    scope: str | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    """Why no recording answers a request.

    Attributes:
        request: The method and the URL that were asked.
        nearest: The name of the recording that is most like it; None if there is none at all.
        differences: How the request differs from that one; empty if it was played already.
        played: Whether recordings of this very request were there, and all have been played.
        hint: A line that makes the request match, for the noise file or the call; "" if none can.
    """

    request: str
    nearest: str | None
    differences: tuple[Difference, ...]
    played: bool
    hint: str

    def __str__(self) -> str:
        """Return an explanation of some lines."""
        if self.nearest is None:
            return f"{self.request}: nothing is recorded"
        if self.played:
            return (
                f"{self.request}: each of its recordings was played already, "
                f"{self.nearest} the last\n  {self.hint}"
            )
        lines = [f"{self.request}: no recording; the nearest is {self.nearest}"]
        lines += [f"  {difference}" for difference in self.differences[:_EXPLAINED]]
        if len(self.differences) > _EXPLAINED:
            lines.append(f"  and {len(self.differences) - _EXPLAINED} more")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


@dataclass(slots=True)
class _Sequence:
    """The recordings of one key with the same secrets, in their order."""

    order: list[int]
    waiting: deque[int]


@dataclass(slots=True)
class _Bucket:
    """The sequences of one key, by their secrets, and which secrets nothing stands for yet."""

    sequences: dict[tuple[str, ...], _Sequence]
    unbound: deque[tuple[str, ...]]


class MockIndex(Generic[T]):
    """Finds the recording that answers a request, in a time that does not grow with their number.

    Recordings of the same request answer in the order in which they were recorded. A secret of the
    request may be another one than the recorded one, as long as it is the same one everywhere.

    Args:
        recordings: What is there, in the order of recording.
        rules: Which parts of a request count.
        repeat: What follows the last of a sequence.

    Raises:
        OptionError: `repeat` is none of its values.

    Example:
        >>> from keploy_framework.model import Request
        >>> index = MockIndex([Recording("mock-0", Request("GET", "http://h/a"), "answer")])
        >>> index.find(Request("GET", "http://h/a")).answer
        'answer'
        >>> print(index.find(Request("GET", "http://h/b")))
        GET http://h/b: no recording; the nearest is mock-0
          url.path: '/a' became '/b'
    """

    def __init__(
        self,
        recordings: Iterable[Recording[T]],
        *,
        rules: RequestRules | None = None,
        repeat: Repeat = "once",
    ) -> None:
        if repeat not in get_args(Repeat):
            raise OptionError(f"repeat is one of {', '.join(get_args(Repeat))}, not {repeat!r:.40}")
        self._rules = rules or RequestRules()
        self._repeat = repeat
        self._recordings: list[Recording[T]] = list(recordings)
        self._secrets = SameSecrets()
        self._played: dict[int, int] = {}
        # By key, scope and connection.
        self._found: dict[tuple[tuple[str, ...], str | None, str | None], _Bucket] = {}
        self._by_path: dict[str, list[int]] | None = None
        for number, recording in enumerate(self._recordings):
            made = self._rules.key(recording.request)
            connection = recording.connection if recording.lifetime == "connection" else None
            scope = recording.scope if recording.lifetime == "test" else None
            bucket = self._found.setdefault((made.key, scope, connection), _Bucket({}, deque()))
            sequence = bucket.sequences.get(made.secrets)
            if sequence is None:
                sequence = bucket.sequences[made.secrets] = _Sequence([], deque())
                bucket.unbound.append(made.secrets)
            sequence.order.append(number)
            sequence.waiting.append(number)

    def __len__(self) -> int:
        """How many recordings there are."""
        return len(self._recordings)

    def find(
        self, request: Request, *, scope: str | None = None, connection: str | None = None
    ) -> Recording[T] | Miss:
        """Return the recording that answers, which is played by that; or why there is none.

        Args:
            request: What is asked, redacted as the recordings are.
            scope: The test in which it is asked; its own recordings come first.
            connection: The id of the connection on which it is asked.
        """
        made = self._rules.key(request)
        places = dict.fromkeys(
            [(scope, None), (None, connection), (scope, connection), (None, None)]
        )
        played: list[int] = []
        for test, link in places:
            bucket = self._found.get((made.key, test, link))
            if bucket is None:
                continue
            number = self._take(bucket, made, played)
            if number is not None:
                self._played[number] = self._played.get(number, 0) + 1
                return self._recordings[number]
        return self._miss(request, played)

    def unplayed(self) -> Iterator[Recording[T]]:
        """Yield the recordings that answered nothing yet, in order."""
        for number, recording in enumerate(self._recordings):
            if number not in self._played:
                yield recording

    def times_played(self, name: str) -> int:
        """Return how often the recording of this name answered."""
        return sum(
            times for number, times in self._played.items() if self._recordings[number].name == name
        )

    def _take(self, bucket: _Bucket, made: RequestKey, played: list[int]) -> int | None:
        known = [self._secrets.recorded(secret) for secret in made.secrets]
        if None not in known:
            sequence = bucket.sequences.get(tuple(name for name in known if name is not None))
            return self._next(sequence, played) if sequence is not None else None
        # Secrets that all stand for something are found by the lookup above from now on.
        while bucket.unbound and all(map(self._secrets.bound, bucket.unbound[0])):
            bucket.unbound.popleft()
        for secrets in bucket.unbound:
            pairs = list(zip(secrets, made.secrets, strict=True))
            if self._secrets.agree(pairs, remember=False):
                number = self._next(bucket.sequences[secrets], played)
                if number is not None:
                    self._secrets.agree(pairs)
                    return number
        return None

    def _next(self, sequence: _Sequence, played: list[int]) -> int | None:
        if not sequence.waiting:
            last = sequence.order[-1]
            reusable = self._recordings[last].lifetime != "test"
            if self._repeat == "cycle":
                sequence.waiting.extend(sequence.order)
            elif self._repeat == "last" or reusable:
                return last
            else:
                played.append(last)
                return None
        return sequence.waiting.popleft()

    def _miss(self, request: Request, played: list[int]) -> Miss:
        asked = f"{request.method} {request.url}"
        if played:
            name = self._recordings[played[-1]].name
            hint = 'repeat="last" answers again with the last one'
            return Miss(asked, name, (), played=True, hint=hint)
        best: tuple[int, int, list[Difference]] | None = None
        for number in self._candidates(request):
            found = request_differences(self._recordings[number].request, request, self._rules)
            weight = sum(_weight(difference) for difference in found)
            if best is None or weight < best[0]:
                best = (weight, number, found)
        if best is None:
            return Miss(asked, None, (), played=False, hint="")
        differences = tuple(best[2])
        name = self._recordings[best[1]].name
        return Miss(asked, name, differences, played=False, hint=_hint(differences))

    def _candidates(self, request: Request) -> list[int]:
        """Return some recordings that may be near: of the same path, else of the same host."""
        if self._by_path is None:
            self._by_path = {}
            for number, recording in enumerate(self._recordings):
                split = urlsplit(_bare(recording.request.url))
                for key in (split.path, f"//{split.netloc}", f"{split.netloc}{_first(split.path)}"):
                    self._by_path.setdefault(key, []).append(number)
        split = urlsplit(_bare(request.url))
        for key in (split.path, f"{split.netloc}{_first(split.path)}", f"//{split.netloc}"):
            found = self._by_path.get(key)
            if found:
                return found[:_CONSIDERED]
        return list(range(min(len(self._recordings), _CONSIDERED)))


def _bare(url: str) -> str:
    return url.replace("[redacted:", "(").replace("]", ")")


def _first(path: str) -> str:
    return path.rpartition("/")[0]


def _weight(difference: Difference) -> int:
    word = difference.path.partition(".")[0]
    if difference.path in {"method", "url.host"}:
        return _OTHER_PLACE
    return {"url": 20, "query": 5, "header": 2}.get(word, 1)


def request_differences(
    recorded: Request, asked: Request, rules: RequestRules | None = None
) -> list[Difference]:
    """Return how a request differs from a recorded one, in what the rules look at.

    Paths are ``method``, ``url.host``, ``url.path``, ``query.name``, ``header.name``, ``body.a.b``.
    """
    rules = rules or RequestRules()
    on = set(rules.match_on)
    found: list[Difference] = []
    if "method" in on and recorded.method.upper() != asked.method.upper():
        found.append(Difference("method", "value", recorded.method, asked.method))
    old, new = urlsplit(_bare(recorded.url)), urlsplit(_bare(asked.url))
    if on & {"url", "host"} and RequestRules(("host",)).key(recorded) != RequestRules(
        ("host",)
    ).key(asked):
        found.append(Difference("url.host", "value", old.netloc, new.netloc))
    if on & {"url", "path"} and old.path != new.path:
        found.append(Difference("url.path", "value", old.path, new.path))
    if on & {"url", "query"} and rules.query(old.query) != rules.query(new.query):
        found += _pairs("query", _parameters(old.query), _parameters(new.query))
    if "headers" in on:
        heads = RequestRules(("headers",))
        if heads.key(recorded) != heads.key(asked):
            found += _pairs(
                "header",
                {name.lower(): value for name, value in recorded.headers},
                {name.lower(): value for name, value in asked.headers},
            )
    if "body" in on and rules.body(recorded) != rules.body(asked):
        inside = body_differences(
            decoded_body(recorded.headers, recorded.body),
            decoded_body(asked.headers, asked.body),
            content_type=header_value(recorded.headers, "content-type") or "",
            secrets=SameSecrets(),
        )
        found += [replace(each, path="body") if _is_line(each) else each for each in inside]
    return found


def _is_line(difference: Difference) -> bool:
    """Say whether a difference is that of a text, which a request has no rules for."""
    return difference.path == "body.text" and difference.place.startswith("body, line ")


def _parameters(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _pairs(word: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Difference]:
    for name in {**old, **new}:
        if name not in new:
            yield Difference(f"{word}.{name}", "missing", old[name], None)
        elif name not in old:
            yield Difference(f"{word}.{name}", "added", None, new[name])
        elif old[name] != new[name]:
            yield Difference(f"{word}.{name}", "value", old[name], new[name])


def _hint(differences: tuple[Difference, ...]) -> str:
    """Return the one line that excuses all differences, if there is one."""
    words = {difference.path.partition(".")[0] for difference in differences}
    names = list(dict.fromkeys(each.path.partition(".")[2] for each in differences))
    if words == {"body"}:
        if "" in names:
            return 'match_on=("method", "url") does not look at bodies'
        return f"requestbody: {{{', '.join(f'{name}: []' for name in names)}}}"
    if words == {"query"}:
        return f"ignored_query=({', '.join(map(repr, names))},)"
    if words == {"header"}:
        return f"ignored_headers=({', '.join(map(repr, names))},)"
    return ""
