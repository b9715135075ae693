"""What is to be replayed: the cases of the chosen sets, in their order, with all that they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.config import KeployConfig
from keploy_framework.errors import OptionError
from keploy_framework.noise import NoiseRules, entries, global_entries
from keploy_framework.replay.chain import Links, chained
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keploy_framework.model import Exchange
    from keploy_framework.storage.folder import TestSet
    from keploy_framework.storage.stored import StoredCase, StoredMock

__all__ = ("PlannedCase", "PlannedMock", "PlannedSet", "planned")

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
    """

    number: int
    stored: StoredCase
    exchange: Exchange | None
    noise: NoiseRules
    links: Links = field(default_factory=Links)
    redacted: bool = False

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
        foreign: The kinds of its other mocks, which cannot be played.
        ignored_fields: Fields of the bodies of outbound requests that do not count.
        notices: What a reader should know.
    """

    name: str
    cases: list[PlannedCase]
    mocks: list[PlannedMock]
    foreign: tuple[str, ...] = ()
    ignored_fields: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list[str])


def planned(folder: Path | str, test_sets: Sequence[str] = ()) -> list[PlannedSet]:
    """Read what is to be replayed.

    Args:
        folder: The `keploy` folder.
        test_sets: The names of the sets; none for all.

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
    everywhere = _configured(path)
    return [_set(store.set(name), everywhere) for name in test_sets or there]


def _configured(path: Path) -> dict[str, Any]:
    """Return the noise of `keploy.yml`, which stands beside the folder or in it."""
    for place in (path.parent / "keploy.yml", path / "keploy.yml"):
        if place.is_file():
            return KeployConfig.load(place).test.globalNoise
    return {}


def _set(found: TestSet, configured: dict[str, Any]) -> PlannedSet:
    everywhere = global_entries(configured.get("global"))
    own = global_entries(cast("dict[str, Any]", configured.get("test-sets") or {}).get(found.name))
    cases: list[PlannedCase] = []
    for stored in found:
        noise = entries({path: list(patterns) for path, patterns in stored.noise.items()})
        cases.append(
            PlannedCase(
                number=len(cases),
                stored=stored,
                exchange=stored.exchange,
                noise=NoiseRules(noise, test_set=own, everywhere=everywhere),
                redacted=stored.exchange is not None and _is_redacted(stored.exchange),
            )
        )
    for case, links in zip(cases, chained([case.exchange for case in cases]), strict=True):
        case.links = links
    mocks = found.mocks()
    fields = {**everywhere, **own}
    return PlannedSet(
        name=found.name,
        cases=cases,
        mocks=_mocks(found.mappings(), mocks, cases),
        foreign=tuple(sorted({mock.kind for mock in mocks if mock.exchange is None})),
        ignored_fields=tuple(
            path.partition(".")[2] for path in fields if path.startswith("requestbody.")
        ),
        notices=list(found.notices),
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
    mappings: Mapping[str, tuple[str, ...]],
    mocks: Sequence[StoredMock],
    cases: Sequence[PlannedCase],
) -> list[PlannedMock]:
    """Say which case each mock belongs to: what the mapping says, its parent, or its time."""
    owners = {mock: case for case, names in mappings.items() for mock in names}
    ids = {case.exchange.id: case.name for case in cases if case.exchange is not None}
    result: list[PlannedMock] = []
    for mock in mocks:
        exchange = mock.exchange
        if exchange is None:
            continue
        owner = owners.get(mock.name)
        if owner is None and exchange.parent is not None:
            owner = ids.get(exchange.parent)
        if owner is None and not mappings:
            owner = _by_time(exchange, cases)
        result.append(PlannedMock(stored=mock, exchange=exchange, case=owner))
    return result


def _by_time(mock: Exchange, cases: Sequence[PlannedCase]) -> str | None:
    """Return the one case during which a mock was recorded; None if it is not clear."""
    found = [
        case.name
        for case in cases
        if case.exchange is not None
        and case.exchange.started_at <= mock.started_at <= case.exchange.ended_at
    ]
    return found[0] if len(found) == 1 else None
