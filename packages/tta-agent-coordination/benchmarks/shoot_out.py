"""All contenders in turn, round by round, on one server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .measure import Effort, Meter, Sample
    from .peers import Contender

__all__ = ("PHASES", "Results", "shoot_out")

PHASES = ("send", "send_batches", "take", "take_batches", "take_by_four")


@dataclass(slots=True)
class Results:
    """What each contender's phases cost, a sample per round.

    Attributes:
        samples: By the contender's name, then by phase.
        kinds: What kind of contender each is.
        memory: Bytes on the server per queued message, by name.
        failed: Who had to stop, and why.
    """

    samples: dict[str, dict[str, list[Sample]]] = field(
        default_factory=dict[str, "dict[str, list[Sample]]"]
    )
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    memory: dict[str, float] = field(default_factory=dict[str, float])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, name: str, phase: str, what: str) -> list[float]:
        """Return one figure of a contender's phase, round by round; empty if it has none."""
        return [getattr(sample, what) for sample in self.samples.get(name, {}).get(phase, [])]


async def shoot_out(
    contenders: Sequence[Contender], meter: Meter, port: int, effort: Effort
) -> Results:
    """Let everybody send and receive, `effort.rounds` times; the order rotates."""
    results = Results(kinds={one.name: one.kind for one in contenders})
    order = list(contenders)
    for round_ in range(effort.rounds + 1):
        for contender in order:
            if contender.name in results.failed:
                continue
            try:
                found, memory = await _turn(contender, meter, port, effort.messages)
            except Exception as error:  # noqa: BLE001 - the others go on
                results.failed[contender.name] = f"{type(error).__name__}: {error}"
                continue
            if round_ == 0:  # the first of anything is slower, and shows what is kept besides
                continue
            results.memory[contender.name] = memory
            kept = results.samples.setdefault(contender.name, {})
            for phase, sample in found.items():
                kept.setdefault(phase, []).append(sample)
        order.append(order.pop(0))
    meter.empty()
    return results


async def _turn(
    contender: Contender, meter: Meter, port: int, count: int
) -> tuple[dict[str, Sample], float]:
    meter.empty()
    await contender.open(port)
    found: dict[str, Sample] = {}
    try:
        before = meter.memory()
        found["send"] = await meter.block(contender.send, count)
        memory = (meter.memory() - before) / count
        if contender.can("take"):
            found["take"] = await meter.block(contender.take, count)
        for phase in ("take_by_four", "take_batches"):
            if contender.can(phase):
                await contender.send(count)
                found[phase] = await meter.block(getattr(contender, phase), count)
        if contender.can("send_batches"):
            found["send_batches"] = await meter.block(contender.send_batches, count)
    finally:
        await contender.close()
    return found, memory
