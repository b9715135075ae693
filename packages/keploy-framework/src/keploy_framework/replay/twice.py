"""Noise by evidence: replay twice or more, and see what varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from keploy_framework.errors import OptionError
from keploy_framework.noise import classify
from keploy_framework.replay.running import replaying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from keploy_framework.noise import Evidence
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.replay.keploy_rules import Rules
    from keploy_framework.replay.running import AnyTarget, Outbound, Reset
    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults

__all__ = ("NoiseFound", "find_noise")

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE"})
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class NoiseFound:
    """What several replays say of the differences.

    Attributes:
        results: The outcomes of the last pass.
        evidence: What is said of each path that differs, by the id of the case (`set/name`).
    """

    results: TestResults
    evidence: Mapping[str, tuple[Evidence, ...]]

    @property
    def noise(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The rules that can be made of it: by the id of the case, paths and their patterns."""
        found = {
            name: dict(each.entry for each in evidence if each.is_noise)
            for name, evidence in self.evidence.items()
        }
        return {name: rules for name, rules in found.items() if rules}

    @property
    def unproven(self) -> tuple[str, ...]:
        """The ids of cases whose differences may be the work of the cases themselves."""
        return tuple(
            name
            for name, evidence in self.evidence.items()
            if any(each.unproven for each in evidence)
        )


def _telling(outcome: CaseOutcome) -> list[CaseDifference]:
    """Return the differences without the length of a body that differs: it only follows."""
    body = any(each.path.partition(".")[0] == "body" for each in outcome.differences)
    return [
        each
        for each in outcome.differences
        if not (body and each.path.lower() == "header.content-length")
    ]


async def find_noise(
    target: AnyTarget,
    folder: Path | str,
    *,
    passes: int = 2,
    test_sets: Sequence[str] = (),
    cases: Sequence[str] = (),
    workers: int = 1,
    freeze: bool = False,
    reset: Reset | None = None,
    outbound: Outbound = "recorded",
    timeout: float = 30.0,  # noqa: ASYNC109 - of each case, not of this call
    secrets: Mapping[str, str] | None = None,
    redact: Redactor | None = None,
    rules: Rules = "strict",
    allow_hosts: Sequence[str] = (),
) -> NoiseFound:
    """Replay twice or more, and say which differences are noise, and of which kind.

    What differs from pass to pass varies; what is the same in all passes and not in the recording
    has changed. Each pass has to begin from the same state: without `reset`, what is found in a
    case that changes something, or that comes after such a one, is unproven, and no noise.

    Args:
        target: See `replay`.
        folder: See `replay`.
        passes: How often all is replayed, 2 or more.
        test_sets: See `replay`.
        cases: See `replay`.
        workers: See `replay`.
        freeze: See `replay`.
        reset: See `replay`; it is called before each set of each pass.
        outbound: See `replay`.
        timeout: See `replay`.
        secrets: See `replay`.
        redact: See `replay`.
        rules: See `replay`.
        allow_hosts: See `replay`.

    Raises:
        OptionError: An option has a value that it cannot have.
        AppStartError: The application does not start.
    """
    given = cast("object", passes)
    if isinstance(given, bool) or not isinstance(given, int) or given < _FEWEST:
        raise OptionError(f"passes must be a whole number, 2 or more, not {passes!r:.40}")
    done: list[list[CaseOutcome]] = []
    async with replaying(
        target,
        folder,
        test_sets=test_sets,
        cases=cases,
        workers=workers,
        freeze=freeze,
        reset=reset,
        outbound=outbound,
        timeout=timeout,
        secrets=secrets,
        redact=redact,
        rules=rules,
        allow_hosts=allow_hosts,
    ) as running:
        for _ in range(passes):
            done += [await running.once()]
    evidence: dict[str, tuple[Evidence, ...]] = {}
    changed: set[str] = set()
    for outcomes in zip(*done, strict=True):
        first = outcomes[0]
        exchange = first.expected
        if exchange is None:
            continue
        if exchange.request.method not in _SAFE:
            changed.add(first.test_set)
        if not any(outcome.differences for outcome in outcomes):
            continue
        found = classify(
            [_telling(outcome) for outcome in outcomes],
            proven=reset is not None or first.test_set not in changed,
            recorded_at=exchange.started_at / 1e9,
            replayed_at=[
                (exchange.started_at if freeze else outcome.started_at) / 1e9
                for outcome in outcomes
            ],
        )
        evidence[first.id] = tuple(found)
    return NoiseFound(running.results(), evidence)
