"""Noise: which differences do not count, and how the replays themselves tell."""

from __future__ import annotations

from keploy_framework.noise.evidence import Evidence, classify
from keploy_framework.noise.explain import explain, line, noise_line
from keploy_framework.noise.kinds import NoiseKind, instant, typed_pattern
from keploy_framework.noise.rules import NoiseRules
from keploy_framework.noise.spelling import SECTIONS, dotted, entries, global_entries, sectioned

__all__ = (
    "SECTIONS",
    "Evidence",
    "NoiseKind",
    "NoiseRules",
    "classify",
    "dotted",
    "entries",
    "explain",
    "global_entries",
    "instant",
    "line",
    "noise_line",
    "sectioned",
    "typed_pattern",
)
