"""What is to be replayed: the cases of the chosen sets, in their order, with all that they need."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.config import KeployConfig, TestConfig
from keploy_framework.errors import OptionError
from keploy_framework.noise import NoiseRules, entries, global_entries
from keploy_framework.replay.asserted import assertions_of
from keploy_framework.replay.chain import Links, chained
from keploy_framework.replay.keploy_rules import KeployRules
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keploy_framework.model import Exchange
    from keploy_framework.replay.keploy_rules import Rules
    from keploy_framework.storage.folder import TestSet
    from keploy_framework.storage.stored import StoredCase, StoredMock

__all__ = ("PlannedCase", "PlannedMock", "PlannedSet", "Plans", "planned")

_MARK = b"[redacted:"


@dataclass(slots=True, kw_only=True)
class PlannedCase:
    """A case that is to be replayed.

    Attributes:
        number: Its place in its set, from 0.
        stored: As it is stored.
        exchange: What was asked and answered; None for a kind that cannot be replayed.
        noise: Which differences do not count.
        links: What its request takes from earlier answers, and the other way.
        redacted: Whether secrets were taken out of its answer.
        assertions: What it asserts besides noise; if anything, that decides, as in Keploy.
        keploy: Keploy's rules for it; None compares by our own.
    """

    number: int
    stored: StoredCase
    exchange: Exchange | None
    noise: NoiseRules
    links: Links = field(default_factory=Links)
    redacted: bool = False
    assertions: Mapping[str, object] = field(default_factory=dict[str, object])
    keploy: KeployRules | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.stored.name

    @property
    def is_websocket(self) -> bool:
        """Whether it speaks WebSocket."""
        return self.exchange is not None and self.exchange.request.url.startswith(("ws:", "wss:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMock:
    """A mock, and the case that it belongs to; None for all of the set."""

    stored: StoredMock
    exchange: Exchange
    case: str | None


@dataclass(slots=True, kw_only=True)
class PlannedSet:
    """A test set that is to be replayed.

    Attributes:
        name: Its name.
        cases: Its cases, in the order of the recording.
        mocks: Its mocks of HTTP and WebSocket.
        foreign: Its other mocks, which cannot be played: by kind and case, None for no known case.
        ignored_fields: Fields of the bodies of outbound requests that do not count.
        notices: What a reader should know.
    """

    name: str
    cases: list[PlannedCase]
    mocks: list[PlannedMock]
    foreign: Mapping[tuple[str, str | None], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, "str | None"], tuple[str, ...]]
    )
    ignored_fields: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list[str])
    _index: _Index | None = field(default=None, repr=False, compare=False)

    def chosen(self, names: Iterable[str]) -> PlannedSet:
        """Return the set with some of its cases, and those whose answers they need.

        It costs what is chosen, not what is there: a set may be asked for each of its cases.

        Args:
            names: Names of cases; those of others are left out.
        """
        index = self._index
        if index is None:
            index = self._index = _Index(self)
        waiting = [index.cases[name] for name in names if name in index.cases]
        numbers: set[int] = set()
        while waiting:
            case = waiting.pop()
            if case.number not in numbers:
                numbers.add(case.number)
                waiting += [index.numbered[needed] for needed in case.links.needs]
        cases = [index.numbered[number] for number in sorted(numbers)]
        owners = (None, *(case.name for case in cases))
        places = sorted(place for owner in owners for place in index.mocks.get(owner, ()))
        return replace(self, cases=cases, mocks=[self.mocks[place] for place in places])


class _Index:
    """Where things are in a set."""

    def __init__(self, planned: PlannedSet) -> None:
        self.cases = {case.name: case for case in planned.cases}
        self.numbered = {case.number: case for case in planned.cases}
        self.mocks: dict[str | None, list[int]] = {}
        for place, mock in enumerate(planned.mocks):
            self.mocks.setdefault(mock.case, []).append(place)


class Plans:
    """Reads what is to be replayed once, for many replays; anew when a file was replaced."""

    def __init__(self) -> None:
        self._read: dict[object, tuple[object, list[PlannedSet]]] = {}
        self._lock = threading.Lock()

    def __call__(
        self, folder: Path | str, test_sets: Sequence[str] = (), rules: Rules = "strict"
    ) -> list[PlannedSet]:
        """Return what `planned` returns; sets that are shared are not to be changed."""
        key = (str(folder), tuple(test_sets), rules)
        stamp = _stamp(Path(folder), test_sets)
        with self._lock:
            known = self._read.get(key)
            if known is None or known[0] != stamp:
                known = self._read[key] = (stamp, planned(folder, test_sets, rules))
        return known[1]


def _stamp(folder: Path, test_sets: Sequence[str]) -> tuple[int, ...]:
    """Return what is another when a file of these sets was made, removed or replaced."""
    parts = ("", "tests", "tta", "mocks.yaml", "mocks.json", "mappings.yaml")
    places = [folder.parent / "keploy.yml", folder / "keploy.yml", folder]
    places += [folder / name / part for name in test_sets for part in parts]
    return tuple(_changed(place) for place in places)


def _changed(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except OSError:
        return 0


def planned(
    folder: Path | str, test_sets: Sequence[str] = (), rules: Rules = "strict"
) -> list[PlannedSet]:
    """Read what is to be replayed.

    Args:
        folder: The `keploy` folder.
        test_sets: The names of the sets; none for all.
        rules: By which rules answers are compared.

    Raises:
        OptionError: A set that is named does not exist, or the folder does not.
        FormatError: A file is damaged.
    """
    if isinstance(test_sets, str):
        raise OptionError(f"test_sets must be a list of names, not the text {test_sets!r:.60}")
    path = Path(folder)
    if not path.is_dir():
        raise OptionError(f"{path} is no folder; record into it first, or name another")
    store = KeployFolder(path)
    there = store.sets()
    for name in test_sets:
        if name not in there:
            known = f"it has {', '.join(there)}" if there else "it has none"
            raise OptionError(f"{path} has no test set {name!r:.60}; {known}")
    config = _configured(path)
    return [_set(store.set(name), config, rules) for name in test_sets or there]


def _configured(path: Path) -> TestConfig:
    """Return what `keploy.yml` says of tests, which stands beside the folder or in it."""
    for place in (path.parent / "keploy.yml", path / "keploy.yml"):
        if place.is_file():
            return KeployConfig.load(place).test
    return TestConfig()


def _set(found: TestSet, config: TestConfig, rules: Rules) -> PlannedSet:
    configured = config.globalNoise
    everywhere = global_entries(configured.get("global"))
    own = global_entries(cast("dict[str, Any]", configured.get("test-sets") or {}).get(found.name))
    cases: list[PlannedCase] = []
    notices = list(found.notices)
    for stored in found:
        noise = entries({path: list(patterns) for path, patterns in stored.noise.items()})
        assertions, unknown = assertions_of(stored)
        notices += [f"{stored.name}: the assertion {name} is not known here" for name in unknown]
        cases.append(
            PlannedCase(
                number=len(cases),
                stored=stored,
                exchange=stored.exchange,
                noise=NoiseRules(noise, test_set=own, everywhere=everywhere),
                redacted=stored.exchange is not None and _is_redacted(stored.exchange),
                assertions=assertions,
                keploy=KeployRules.of(noise, (everywhere, own), config)
                if rules == "keploy" and stored.kind == "Http"
                else None,
            )
        )
    for case, links in zip(cases, chained([case.exchange for case in cases]), strict=True):
        case.links = links
    mocks = found.mocks()
    mappings = found.mappings()
    owners = {mock: case for case, names in mappings.items() for mock in names}
    fields = {**everywhere, **own}
    return PlannedSet(
        name=found.name,
        cases=cases,
        mocks=_mocks(owners, mocks, cases, by_time=not mappings),
        foreign=_foreign(owners, mocks),
        ignored_fields=tuple(
            path.partition(".")[2] for path in fields if path.startswith("requestbody.")
        ),
        notices=notices,
    )


def _is_redacted(exchange: Exchange) -> bool:
    response = exchange.response
    if any(_MARK.decode() in str(message.data) for message in exchange.messages):
        return True
    if response is None:
        return False
    if any(_MARK.decode() in value for _, value in (*response.headers, *response.trailers)):
        return True
    packed = any(name.lower() == "content-encoding" for name, _ in response.headers)
    return packed or _MARK in response.body


def _mocks(
    owners: Mapping[str, str],
    mocks: Sequence[StoredMock],
    cases: Sequence[PlannedCase],
    *,
    by_time: bool,
) -> list[PlannedMock]:
    """Say which case each mock belongs to: what the mapping says, its parent, or its time."""
    ids = {case.exchange.id: case.name for case in cases if case.exchange is not None}
    result: list[PlannedMock] = []
    for mock in mocks:
        exchange = mock.exchange
        if exchange is None:
            continue
        owner = owners.get(mock.name)
        if owner is None and exchange.parent is not None:
            owner = ids.get(exchange.parent)
        if owner is None and by_time:
            owner = _by_time(exchange, cases)
        result.append(PlannedMock(stored=mock, exchange=exchange, case=owner))
    return result


def _foreign(
    owners: Mapping[str, str], mocks: Sequence[StoredMock]
) -> dict[tuple[str, str | None], tuple[str, ...]]:
    found: dict[tuple[str, str | None], tuple[str, ...]] = {}
    for mock in mocks:
        if mock.exchange is None:
            key = mock.kind, owners.get(mock.name)
            found[key] = (*found.get(key, ()), mock.name)
    return found


def _by_time(mock: Exchange, cases: Sequence[PlannedCase]) -> str | None:
    """Return the one case during which a mock was recorded; None if it is not clear."""
    found = [
        case.name
        for case in cases
        if case.exchange is not None
        and case.exchange.started_at <= mock.started_at <= case.exchange.ended_at
    ]
    return found[0] if len(found) == 1 else None
