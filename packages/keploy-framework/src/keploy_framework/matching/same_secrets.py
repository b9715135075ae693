"""Comparing texts in which secrets were redacted: placeholders must stand for the same things."""

from __future__ import annotations

from typing import Final

from keploy_framework.redact import PLACEHOLDER

__all__ = ("SameSecrets",)

_MARK: Final = "[redacted:"


class SameSecrets:
    """Maps placeholders of a recording to those, or to the values, of a replay: one to one.

    Kinds and ordinals may differ: what counts is that equal placeholders of the recording are
    always answered by equal ones, and different ones by different ones.

    Example:
        >>> secrets = SameSecrets()
        >>> secrets.same("a [redacted:bearer:1]", "a [redacted:bearer:7]")
        True
        >>> secrets.same("b [redacted:bearer:2]", "b [redacted:bearer:7]")
        False
    """

    __slots__ = ("_actual", "_recorded")

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    def same(self, recorded: str, actual: str) -> bool:
        """Say whether the texts are equal but for secrets, and those agree; they are remembered."""
        if recorded == actual and _MARK not in recorded:
            return True
        pairs = self.pairs(recorded, actual)
        return pairs is not None and self.agree(pairs)

    @staticmethod
    def pairs(recorded: str, actual: str) -> list[tuple[str, str]] | None:
        """Return which secret stands for which; None if the texts differ elsewhere."""
        if _MARK not in recorded:
            return [] if recorded == actual else None
        theirs = [match[0] for match in PLACEHOLDER.finditer(recorded)]
        ours = [match[0] for match in PLACEHOLDER.finditer(actual)]
        between = PLACEHOLDER.sub("\0", recorded)
        if len(theirs) == len(ours) and between == PLACEHOLDER.sub("\0", actual):
            return list(zip(theirs, ours, strict=True))
        # The replay was not redacted: what stands where one secret stood is its value.
        if len(theirs) == 1 and not ours:
            before, _, after = between.partition("\0")
            end = len(actual) - len(after)
            if actual.startswith(before) and actual.endswith(after) and end > len(before):
                return [(theirs[0], actual[len(before) : end])]
        return None

    def agree(self, pairs: list[tuple[str, str]], *, remember: bool = True) -> bool:
        """Say whether these pairs contradict neither each other nor what is remembered."""
        new_actual: dict[str, str] = {}
        new_recorded: dict[str, str] = {}
        for theirs, ours in pairs:
            known = self._actual.get(theirs, new_actual.get(theirs))
            back = self._recorded.get(ours, new_recorded.get(ours))
            if (known is not None and known != ours) or (back is not None and back != theirs):
                return False
            new_actual[theirs] = ours
            new_recorded[ours] = theirs
        if remember:
            self._actual.update(new_actual)
            self._recorded.update(new_recorded)
        return True

    def recorded(self, actual: str) -> str | None:
        """Return the recorded placeholder that an actual one stands for; None if none is known."""
        return self._recorded.get(actual)

    def bound(self, recorded: str) -> bool:
        """Say whether something stands for a recorded placeholder already."""
        return recorded in self._actual
