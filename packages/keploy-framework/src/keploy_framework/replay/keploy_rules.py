"""Keploy's own verdicts in a replay: what it forgives is excused, what it does not is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from keploy_framework.matching import FRAMING_HEADERS, KeployNoise, decoded_body, keploy_verdict
from keploy_framework.noise.kinds import text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keploy_framework.config import TestConfig
    from keploy_framework.matching import Difference
    from keploy_framework.model import Headers, Response

__all__ = ("KeployRules", "Rules")

Rules: TypeAlias = Literal["strict", "keploy"]
"""By which rules answers are compared: our own, or those of Keploy, which forgive more."""


@dataclass(frozen=True, slots=True)
class KeployRules:
    """Keploy's rules for one case.

    Args:
        noise: What is excused, as Keploy reads it.
        config: The switches of `keploy.yml`.
    """

    noise: KeployNoise
    config: TestConfig

    @classmethod
    def of(
        cls,
        case: Mapping[str, Sequence[str]],
        levels: Sequence[Mapping[str, Sequence[str]]],
        config: TestConfig,
    ) -> KeployRules:
        """Return the rules of a case: its own entries, and those of all sets, then of its set."""
        sections: dict[str, dict[str, list[str]]] = {"body": {}, "header": {}}
        for path, patterns in {
            key: value for level in levels for key, value in level.items()
        }.items():
            section, _, rest = path.partition(".")
            if section in sections:
                # In the configuration a whole section is spelled by a star, twice.
                sections[section][rest or "*"] = list(patterns) if rest else ["*"]
        return cls(KeployNoise(case, **sections), config)

    def differences(
        self,
        found: Sequence[Difference],
        expected: Response,
        actual: Response,
        *,
        follows: Collection[str] = (),
    ) -> list[Difference]:
        """Return those differences that count under these rules; empty where Keploy would pass.

        Args:
            found: The differences of our own comparison, which is stricter, without any noise.
            expected: What was recorded.
            actual: What came, with the placeholders of the recording.
            follows: Paths at which differences were left out that only follow from earlier answers:
                Keploy's verdict knows nothing of these.
        """
        config = self.config
        verdict = keploy_verdict(
            _told(expected),
            _told(actual),
            noise=self.noise,
            ignore_ordering=config.ignoreOrdering,
            compare_all=config.compareAll,
            auto_header_noise=not config.disableAutoHeaderNoise,
            schema_match=config.schemaMatch,
            pass_additions=config.autoPassHTTPResponseSchemaAddition,
        )
        stored = expected.omitted is None  # else there is a length to compare, and no body
        passed = {
            "status": verdict.status,
            "header": verdict.headers,
            "body": verdict.body and stored,
        }
        kept = [each for each in found if each.path == "failure"]
        for section, good in passed.items():
            mine = [each for each in found if _section(each.path) == section]
            if not good:
                counting = [each for each in mine if not self._forgiven(each)]
                kept += counting or ([] if section in map(_section, follows) else mine)
        return kept

    def _forgiven(self, found: Difference) -> bool:
        """Say whether a difference is none that Keploy would fail for, as far as can be told."""
        path, config = found.path.partition(".")[2], self.config
        value = text_of(found.actual)
        if _section(found.path) == "header":
            return self.noise.header(path, value or str(found.expected))
        if (
            (found.kind == "order" and config.ignoreOrdering)
            or (found.kind in {"order", "value"} and config.schemaMatch)
            or (found.kind == "added" and config.autoPassHTTPResponseSchemaAddition)
        ):
            return True
        lowered = path.lower()
        entries = (self.noise.path(lowered), self.noise.key(lowered.rpartition(".")[2]))
        return any(
            entry.empty or (found.kind == "value" and value is not None and entry.match(value))
            for entry in entries
            if entry is not None
        )


def _section(path: str) -> str:
    return path.partition(".")[0]


def _told(response: Response) -> tuple[int, Headers, bytes]:
    """Return an answer without what the server in front of the application adds."""
    headers = tuple(line for line in response.headers if line[0].lower() not in FRAMING_HEADERS)
    return response.status, headers, decoded_body(response.headers, response.body)
