"""The goals that are ratios between contenders: G1 to G5, G9."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .measure import Goal, figure, ratio

if TYPE_CHECKING:
    from .measure import Figure, Sense
    from .shoot_out import Results

__all__ = ("ratios",)


def ratios(results: Results) -> list[Goal]:
    """Make goals of what the contenders did."""
    to = _To(results)
    peers = sorted(name for name, kind in results.kinds.items() if kind == "one at a time")
    dramatiq = next((name for name in results.kinds if name.startswith("dramatiq")), "dramatiq")
    bullmq = next((name for name in results.kinds if name.startswith("bullmq")), "bullmq")
    return [
        to.cost("G1.server", "one send: server CPU", "ours", "send", "server", "raw stream", 1.5),
        to.cost("G1.client", "one send: client CPU", "ours", "send", "client", "raw list", 1.3),
        to.rate("G2.raw", "receive and ack in one call", "ours, fused", "take", "raw stream", 1.5),
        *(
            to.rate(
                f"G2.{name.split()[0]}",
                "receive and ack in one call",
                "ours, fused",
                "take",
                name,
                2,
            )
            for name in peers
        ),
        to.rate("G2b.rate", "consumer iterator", "ours, iterator", "take", dramatiq, 3),
        to.cost(
            "G2b.client",
            "consumer iterator: client CPU",
            "ours, iterator",
            "take",
            "client",
            dramatiq,
            0.5,
        ),
        to.rate("G3.raw", "send in batches of 100", "ours", "send_batches", "raw stream", 1.5),
        to.rate("G3.bullmq", "send in batches of 100", "ours", "send_batches", bullmq, 4),
        to.rate(
            "G4",
            "receive and ack in batches of 100",
            "ours, fused",
            "take_batches",
            "raw stream",
            0.8,
        ),
        to.rate("G5.rate", "four consumers", "ours, fused", "take_by_four", "raw stream", 1.5),
        _speed_up(results),
        to.count("G9.send", "commands per send, no dedupe", "ours, no dedupe", "send", 3),
        to.count("G9.dedupe", "commands per send", "ours", "send", 5),
        to.count("G9.take", "commands per receive and ack, fused", "ours, fused", "take", 8),
        _round_trips(results),
    ]


class _To:
    def __init__(self, results: Results) -> None:
        self._results = results

    def _goal(
        self,
        key: str,
        title: str,
        sense: Sense,
        budget: float,
        ours: list[float],
        other: list[float],
    ) -> Goal:
        known = bool(ours and other)
        return Goal(
            key=key,
            title=title,
            sense=sense,
            budget=budget,
            unit="x",
            found=ratio(ours, other) if known else None,
            facts=() if known else (f"{key}: the other side of the ratio was not measured",),
        )

    def cost(
        self, key: str, title: str, ours: str, phase: str, what: str, other: str, budget: float
    ) -> Goal:
        """Make a goal of a cost, to be at most so many times another's."""
        mine, theirs = (self._results.of(name, phase, what) for name in (ours, other))
        return self._goal(key, f"{title}, to {other}", "at most", budget, mine, theirs)

    def rate(self, key: str, title: str, ours: str, phase: str, other: str, budget: float) -> Goal:
        """Make a goal of a rate, to be at least so many times another's."""
        mine, theirs = (self._results.of(name, phase, "wall") for name in (ours, other))
        return self._goal(key, f"{title}: rate, to {other}", "at least", budget, theirs, mine)

    def count(self, key: str, title: str, ours: str, phase: str, budget: float) -> Goal:
        """Make a goal of a number of commands, what happens once a second not counted."""
        counts = [round(value, 1) for value in self._results.of(ours, phase, "commands")]
        return Goal(
            key=key,
            title=title,
            sense="at most",
            budget=budget,
            unit="",
            found=figure(counts) if counts else None,
        )


def _speed_up(results: Results) -> Goal:
    """Compare what the second to fourth consumer bring with what they bring to raw streams."""

    def gains(name: str) -> list[float]:
        one, four = (results.of(name, phase, "wall") for phase in ("take", "take_by_four"))
        return [a / b for a, b in zip(one, four, strict=True)]

    return Goal(
        key="G5.speed-up",
        title="from one consumer to four: speed-up, to that of raw stream",
        sense="at least",
        budget=1,
        unit="x",
        found=ratio(gains("ours, fused"), gains("raw stream")),
    )


def _round_trips(results: Results) -> Goal:
    trips = [round(value, 1) for value in results.of("ours, fused", "take", "scripts")]
    found: Figure | None = figure(trips) if trips else None
    return Goal(
        key="G9.round-trips",
        title="round trips per receive and ack, fused",
        sense="at most",
        budget=1,
        unit="",
        found=found,
    )
