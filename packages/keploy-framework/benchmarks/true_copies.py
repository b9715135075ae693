"""How true recordings are, counted beside the peers: see `fidelity` for ways and notes."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from .asking import CLIENTS, DECODED, Got
from .fidelity import Score, compare, corpora, count_passed, first_piece, score
from .measure import Outcome, exactly
from .peers import cassettes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from .corpus import Ask
    from .fidelity import Corpus
    from .measure import Effort, Figure

__all__ = ("rows",)

_WAYS = ("middleware", "proxy", *CLIENTS)
_COUNTS = {
    "bodies": ("bodies that are the same to the byte", "requests"),
    "headers": ("answers with the same status and header lines", "requests"),
    "streams": ("streams in the same pieces", "of_streams"),
    "spreads": ("streams in the same time", "of_spreads"),
    "passed": ("answers that reached the client as if nothing recorded", "requests"),
}


def _peer(corpus: Corpus, use: Callable[..., AbstractContextManager[object]]) -> Score:
    """Record and replay a corpus with a peer, over httpx; what raises is lost."""
    found = Score(way="peer")
    with tempfile.TemporaryDirectory() as place, corpus.serve(None) as base:
        plain = [_asked(base, ask) for ask in corpus.asks]
        with use(Path(place) / "tape.yaml", record=True):
            told = [_asked(base, ask) for ask in corpus.asks]
        with use(Path(place) / "tape.yaml", record=False):
            again = [_asked(base, ask) for ask in corpus.asks]
    for ask, bare, one, other in zip(corpus.asks, plain, told, again, strict=True):
        # A recorder that runs the pieces together has nothing left to lose when it plays them.
        compare(found, ask, bare if ask.stream else one, other)
    count_passed(found, corpus.asks, plain, told)
    return found


_NUMBERS = count()


def _asked(base: str, ask: Ask) -> Got:
    """Ask for one thing; an answer like no other where that raises."""
    try:
        return DECODED(base, [ask])[0]
    except Exception as error:  # noqa: BLE001 - that it cannot is the finding
        number = next(_NUMBERS)
        nothing = f"{number}: {error}".encode()
        return Got(0, (("raised", str(number)),), ((-float(number), nothing), (0.0, nothing)))


def _sum(scores: list[Score], key: str) -> Figure:
    return exactly(sum(getattr(one, key) for one in scores))


def rows(effort: Effort) -> Generator[Outcome]:
    """Count over all corpora, for the worst way of recording."""
    known = corpora()
    scores = {way: [score(corpus, way) for corpus in known] for way in _WAYS}
    peers: dict[str, list[Score] | str] = {}
    for name, use in cassettes().items():
        try:
            peers[name] = [_peer(corpus, use) for corpus in known]
        except Exception as error:  # noqa: BLE001 - that it cannot is the finding
            peers[name] = f"{type(error).__name__}: {error}"[:120]
    for key, (title, of) in _COUNTS.items():
        total = sum(getattr(one, of) for one in scores["middleware"])
        by_way = {way: sum(getattr(one, key) for one in found) for way, found in scores.items()}
        worst = min(by_way, key=lambda way: by_way[way])
        beside: dict[str, Figure | str] = {
            name: found if isinstance(found, str) else _sum(found, key)
            for name, found in peers.items()
        }
        yield Outcome(
            key=f"fidelity.{key}",
            title=title,
            against=f"of {total}, in the worst of {len(_WAYS)} ways to record",
            unit="",
            budget=total,
            least=True,
            ours=exactly(by_way[worst]),
            peers=beside,
            facts=() if by_way[worst] == total else (f"the worst is {worst}",),
        )
    later = {way: first_piece(way, 2 * effort.rounds) for way in _WAYS}
    worst = max(later, key=lambda way: later[way])
    yield Outcome(
        key="fidelity.first-piece",
        title="first piece of a stream, later by",
        against=f"without recording; worst of {len(_WAYS)} ways",
        unit="ms",
        budget=2.0,
        ours=exactly(max(0.0, later[worst])),
        facts=tuple(f"{way}: {value:.2f} ms" for way, value in later.items()),
    )
