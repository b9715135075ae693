"""Seeded changes of an application's answers are found when it is replayed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

GOAL = 0.95


def test_at_least_95_percent_of_changed_answers_are_caught(
    harness: Callable[[str], Any], tmp_path: Path
) -> None:
    """Statuses, keys, types, values, orders, headers, text, pieces of streams (goal 13)."""
    mutations, foreign = harness("mutations"), harness("foreign.application")
    asks = [ask for ask in harness("corpus").MODEL if not ask.volatile]

    def session(client: httpx.Client) -> None:
        for ask in asks:
            client.request(ask.method, ask.path, headers=list(ask.headers), content=ask.body)

    app = foreign.Foreign(
        name="model API", kind="asgi", make=mutations.MODEL_API.make, session=session
    )
    count = mutations.mutated(app, tmp_path, rounds=5, seed=7, pause=0.0)

    assert count.false == []
    assert count.made.total() == 5 * len(asks)
    assert count.share >= GOAL, count.missed
    assert {"piece dropped", "pieces merged", "piece doubled", "status"} <= set(count.made)


JSON = b'{"name": "Ada", "n": 1, "items": [1, 2, 3], "deep": {"x": null}}'
KINDS = {
    "key removed": "json",
    "key added": "json",
    "type": "json",
    "value": "json",
    "order": "json",
    "status": "json",
    "header removed": "json",
    "header added": "json",
    "header changed": "json",
    "header order": "json",
    "text changed": "text",
    "line removed": "text",
    "piece dropped": "stream",
    "pieces merged": "stream",
    "piece doubled": "stream",
    "pieces swapped": "stream",
}


def answer(mutations: Any, kind: str) -> Any:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    if kind == "json":
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(JSON)))]
        return mutations.Answer(200, [*head, *cookies], [JSON])
    if kind == "text":
        return mutations.Answer(200, [("Content-Type", "text/plain")], [b"one\ntwo\nthree\n"])
    pieces = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    return mutations.Answer(200, [("Content-Type", "text/event-stream")], pieces)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_change_changes_something(
    harness: Callable[[str], Any], kind: str, seed: int
) -> None:
    """A change that changes nothing would be missed by every replay, and say nothing."""
    mutations = harness("changes")
    assert set(KINDS) == set(mutations.KINDS)
    before, after = answer(mutations, KINDS[kind]), answer(mutations, KINDS[kind])

    told = mutations.changed(after, [kind], random.Random(seed), set())

    assert told == kind
    assert after != before


def test_values_that_are_noise_are_left_alone(harness: Callable[[str], Any]) -> None:
    """That they vary is what the noise says."""
    mutations = harness("changes")
    noise = {"body.name", "body.n", "body.items", "body.deep"}
    same = answer(mutations, "json")

    assert mutations.changed(same, ["value", "type"], random.Random(1), noise) is None
    assert same == answer(mutations, "json")
