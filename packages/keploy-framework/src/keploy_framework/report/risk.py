"""How bad a difference is, in Keploy's words, and how the schema of an endpoint has drifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from keploy_framework.storage.names import descriptive_base

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults

__all__ = ("Assessment", "Drift", "Risk", "assess", "drift")

Risk: TypeAlias = Literal["NONE", "LOW", "MEDIUM", "HIGH"]
"""How likely clients break: LOW for changed values, MEDIUM for what was added and for headers, HIGH
for what is gone or has another type, for the status, and for an application that did not answer."""

_RISKS: Final[tuple[Risk, ...]] = ("NONE", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What the differences of a case come to.

    Attributes:
        risk: The highest risk among them.
        categories: Keploy's names for what changed: `SCHEMA_BROKEN`, `STATUS_CODE_CHANGED`, …
        added_fields: Paths in the body that are new.
        removed_fields: Paths that are gone.
        type_changes: Paths whose value has another type, with both types.
        value_changes: Paths whose value changed.
        reasons: What decided the risk, one sentence each.
    """

    risk: Risk
    categories: tuple[str, ...] = ()
    added_fields: tuple[str, ...] = ()
    removed_fields: tuple[str, ...] = ()
    type_changes: tuple[str, ...] = ()
    value_changes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """A change of the schema of one endpoint.

    Attributes:
        endpoint: The endpoint, as test cases are named: `get-users-by-id`.
        path: Where, in the words of noise files.
        kind: `added`, `missing` or `type`.
        risk: How likely clients break.
        cases: The ids of the cases that show it.
    """

    endpoint: str
    path: str
    kind: str
    risk: Risk
    cases: tuple[str, ...]


def assess(case: CaseOutcome) -> Assessment:
    """Return what the differences of a case come to.

    Example:
        >>> from keploy_framework.matching import Difference
        >>> from keploy_framework.results import CaseOutcome
        >>> gone = Difference("body.id", "missing", 7, None)
        >>> found = assess(
        ...     CaseOutcome(test_set="s", name="c", status="FAILED", differences=(gone,))
        ... )
        >>> found.risk, found.categories, found.removed_fields
        ('HIGH', ('SCHEMA_BROKEN',), ('body.id',))
    """
    categories: dict[str, None] = {}
    reasons: dict[str, None] = {}
    risk: Risk = "NONE"
    for found in case.differences:
        level, category, reason = _weighed(found)
        risk = _higher(risk, level)
        categories.setdefault(category)
        reasons.setdefault(reason)
    if case.crashed:
        risk = "HIGH"
        categories.setdefault("APP_CONNECTION_ERROR")
        reasons.setdefault(case.reason or "the application gave no whole answer")
    elif case.status in {"FAILED", "OBSOLETE"} and not case.differences:
        risk = _higher(risk, "MEDIUM" if case.unanswered else "HIGH")
        categories.setdefault("INTERNAL_FAILURE")
        if case.reason:
            reasons.setdefault(case.reason)
    body = [found for found in case.differences if _section(found) == "body"]
    return Assessment(
        risk=risk,
        categories=tuple(categories),
        added_fields=_paths(body, "added"),
        removed_fields=_paths(body, "missing"),
        type_changes=tuple(
            dict.fromkeys(
                f"{found.path}: {_type(found.expected)} became {_type(found.actual)}"
                for found in body
                if found.kind == "type"
            )
        ),
        value_changes=_paths(body, "value", "order", "length"),
        reasons=tuple(reasons),
    )


def drift(results: TestResults) -> tuple[Drift, ...]:
    """Return how the schemas of endpoints have changed, the riskiest first."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for case in results.test_cases:
        request = case.expected.request if case.expected is not None else None
        endpoint = descriptive_base(request.method, request.url) if request else case.name
        for found in case.differences:
            if _section(found) == "body" and found.kind in {"added", "missing", "type"}:
                cases = seen.setdefault((endpoint, found.path, found.kind), [])
                if case.id not in cases:
                    cases.append(case.id)
    found_drifts = [
        Drift(endpoint, path, kind, "MEDIUM" if kind == "added" else "HIGH", tuple(cases))
        for (endpoint, path, kind), cases in seen.items()
    ]
    return tuple(
        sorted(found_drifts, key=lambda one: (-_RISKS.index(one.risk), one.endpoint, one.path))
    )


def _weighed(found: CaseDifference) -> tuple[Risk, str, str]:
    """Return the risk of a difference, its category, and the reason."""
    section = _section(found)
    if section == "status":
        return "HIGH", "STATUS_CODE_CHANGED", "the status changed"
    if section in {"header", "trailer"}:
        if found.path.lower() == "header.content-type":
            return "HIGH", "HEADER_CHANGED", "the content type changed"
        return "MEDIUM", "HEADER_CHANGED", "headers changed"
    if found.kind in {"missing", "type"}:
        return "HIGH", "SCHEMA_BROKEN", "parts of the body are gone or have another type"
    if found.kind == "added":
        return "MEDIUM", "SCHEMA_ADDED", "parts were added to the body"
    return "LOW", "SCHEMA_UNCHANGED", "values changed, the schema did not"


def _section(found: CaseDifference) -> str:
    return found.path.partition(".")[0].lower()


def _higher(one: Risk, other: Risk) -> Risk:
    return _RISKS[max(_RISKS.index(one), _RISKS.index(other))]


def _paths(found: Iterable[CaseDifference], *kinds: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.path for each in found if each.kind in kinds))


def _type(value: object) -> str:
    """Return JSON's word for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (str, bytes)):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "number"
