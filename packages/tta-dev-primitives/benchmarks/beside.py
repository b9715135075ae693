"""Ours and the peers against one baseline: build, check that they do the work, time in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .measure import compare
from .row import Measured, WrongResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .measure import Effort, Figure, Timed

__all__ = ("OURS", "beside", "same_result")

P = TypeVar("P")

OURS = "tta-dev-primitives"


async def same_result(baseline: Timed, subject: Timed) -> None:
    """Run both once.

    Raises:
        WrongResultError: They differ, so that timing them would compare different work.
    """
    expected, got = await baseline(1), await subject(1)
    if got != expected:
        message = f"returned {got!r:.80}; the baseline returned {expected!r:.80}"
        raise WrongResultError(message)


async def beside(
    baseline: Timed,
    ours: Timed,
    effort: Effort,
    peers: Mapping[str, P | str],
    build: Callable[[P], Timed | None],
    *,
    extra: dict[str, Timed] | None = None,
) -> Measured:
    """Measure ours and every peer against the baseline.

    Args:
        baseline: The bare work.
        ours: The same work through ours.
        effort: How much is run.
        peers: Who else is measured.
        build: Makes the same work of a peer; None where it has no such thing.
        extra: What else is timed beside them, by name.

    Raises:
        WrongResultError: Ours does not return what the baseline returns.
    """
    await same_result(baseline, ours)
    subjects: dict[str, Timed] = {OURS: ours, **(extra or {})}
    reasons: dict[str, str] = {}
    for name, peer in peers.items():
        if isinstance(peer, str):
            reasons[name] = peer
            continue
        try:
            subject = build(peer)
            if subject is None:
                reasons[name] = "has nothing to compare"
                continue
            await same_result(baseline, subject)
        except Exception as error:  # noqa: BLE001 - whatever another system raises
            reasons[name] = f"{type(error).__name__}: {error}"
        else:
            subjects[name] = subject
    figures = await compare(baseline, subjects, effort)
    others: dict[str, Figure | str] = {
        name: figure for name, figure in figures.items() if name != OURS
    }
    return Measured(ours=figures[OURS], peers={**others, **reasons})
