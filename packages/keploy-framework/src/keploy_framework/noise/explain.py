"""What to say of a difference: words for people, and the line that would excuse it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from keploy_framework.noise.kinds import text_of, typed_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.noise.evidence import Evidence
    from keploy_framework.results import CaseDifference

__all__ = ("explain", "line", "noise_line")


def line(path: str, patterns: Sequence[str] = ()) -> str:
    """Return one entry of noise as a line of YAML, to paste under ``noise:``.

    Example:
        >>> line("body.created_at")
        'body.created_at: []'
        >>> line("header.Location", ["^/orders/[0-9]+$"])
        "header.Location: ['^/orders/[0-9]+$']"
    """
    plain = path and all(letter.isalnum() or letter in "._-" for letter in path)
    key = path if plain and not path.isdigit() else json.dumps(path, ensure_ascii=False)
    quoted = ", ".join("'" + pattern.replace("'", "''") + "'" for pattern in patterns)
    return f"{key}: [{quoted}]"


def noise_line(difference: CaseDifference) -> str:
    """Return the line that excuses a difference: by a pattern where both values are of one kind.

    A status has none: it is never noise. Nor has what a case asserts in so many words.
    """
    if (
        difference.asserted
        or difference.path in {"status", "method"}
        or difference.path.startswith("url.")
    ):
        return ""
    if difference.kind == "value":
        old, new = text_of(difference.expected), text_of(difference.actual)
        if old is not None and new is not None:
            made = typed_pattern([old, new])
            if made is not None and made[0] not in {"number", "counter"}:
                return line(difference.path, [made[1]])
    if difference.kind == "order":
        return line(difference.path, ["^(?P<tta_order>.*)$"])
    if difference.kind == "length":
        return line(difference.path)
    return line(difference.path)


def explain(difference: CaseDifference, evidence: Evidence | None = None) -> str:
    """Return a difference in words, with what the replays say of it and the line to paste.

    Example:
        >>> from keploy_framework.matching import Difference
        >>> print(explain(Difference("body.n", "value", "a", "b")))
        body.n: 'a' became 'b'
          to ignore it: body.n: []
    """
    lines = [str(difference)]
    if difference.asserted:
        lines.append(f"  the case asserts it: {difference.asserted}")
    if evidence is not None:
        note = "unproven: " if evidence.unproven else ""
        lines.append(f"  {note}{evidence.reason}")
    if evidence is not None and evidence.kind is not None:
        path, patterns = evidence.entry
        lines.append(f"  to keep what stays true of it: {line(path, patterns)}")
    elif paste := noise_line(difference):
        lines.append(f"  to ignore it: {paste}")
    return "\n".join(lines)
