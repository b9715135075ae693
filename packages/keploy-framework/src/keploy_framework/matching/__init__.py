"""Matching: is this the recorded answer, and which recording answers this request."""

from __future__ import annotations

from keploy_framework.matching.answers import (
    FRAMING_HEADERS,
    MatchRules,
    answer_differences,
    decoded_body,
)
from keploy_framework.matching.assertions import ASSERTIONS, assertion_differences
from keploy_framework.matching.bodies import BodyKind, body_differences, body_kind
from keploy_framework.matching.difference import Difference, DifferenceKind, Excuses
from keploy_framework.matching.flaky_headers import FLAKY_HEADERS, VOLATILE_HEADERS
from keploy_framework.matching.json_value import NotJSONError, parsed
from keploy_framework.matching.json_walk import JSONRules, json_differences
from keploy_framework.matching.keploy_rules import KeployNoise, KeployVerdict, keploy_verdict
from keploy_framework.matching.mock_index import (
    Lifetime,
    Miss,
    MockIndex,
    Recording,
    Repeat,
    request_differences,
)
from keploy_framework.matching.request_key import (
    DEFAULT_MATCH_ON,
    MatchOn,
    RequestKey,
    RequestRules,
)
from keploy_framework.matching.same_secrets import SameSecrets

__all__ = (
    "ASSERTIONS",
    "DEFAULT_MATCH_ON",
    "FLAKY_HEADERS",
    "FRAMING_HEADERS",
    "VOLATILE_HEADERS",
    "BodyKind",
    "Difference",
    "DifferenceKind",
    "Excuses",
    "JSONRules",
    "KeployNoise",
    "KeployVerdict",
    "Lifetime",
    "MatchOn",
    "MatchRules",
    "Miss",
    "MockIndex",
    "NotJSONError",
    "Recording",
    "Repeat",
    "RequestKey",
    "RequestRules",
    "SameSecrets",
    "answer_differences",
    "assertion_differences",
    "body_differences",
    "body_kind",
    "decoded_body",
    "json_differences",
    "keploy_verdict",
    "parsed",
    "request_differences",
)
