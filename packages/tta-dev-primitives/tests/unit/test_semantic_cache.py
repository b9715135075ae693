"""A step that also answers from other words: only after the second check, never across scopes."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tta_dev_primitives import CachePrimitive
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.performance import Candidate, SemanticCachePrimitive, SemanticTier
from tta_dev_primitives.testing import MockPrimitive, run_virtual

Request = dict[str, str]


class Everything:
    """Takes every text of a scope for alike: the worst index that there can be."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str, str]] = []
        self.fault: Exception | None = None

    async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
        if self.fault is not None:
            raise self.fault
        del text
        found = [Candidate(held, key, 0.9) for held, place, key in self.held if place == scope]
        return found[-limit:][::-1]

    async def add(self, text: str, scope: str, key: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.held.append((text, scope, key))


def same_words(asked: str, kept: str) -> bool:
    return set(asked.split()) - {"please"} == set(kept.split()) - {"please"}


def text_of(request: Request) -> str:
    return request["text"]


def tenant_of(request: Request) -> str:
    return request.get("tenant", "")


def built(
    primitive: Any, *, index: Everything | None = None, check_rate: float = 0.0, **options: Any
) -> SemanticCachePrimitive[Request, Any]:
    tier = SemanticTier(
        index or Everything(), verify=same_words, check_rate=check_rate, rng=random.Random(1)
    )
    given: dict[str, Any] = {
        "tier": tier,
        "text": text_of,
        "scope": tenant_of,
        **options,
    }
    return SemanticCachePrimitive(primitive, **given)


def asks(*texts: str, tenant: str = "") -> list[Request]:
    return [{"text": text, "tenant": tenant} for text in texts]


async def run_all(cached: SemanticCachePrimitive[Request, Any], requests: list[Request]) -> Any:
    return [await cached.execute(request) for request in requests]


async def test_other_words_for_the_same_are_answered_without_the_step() -> None:
    """And what only looks alike is not."""
    model = MockPrimitive(side_effect=lambda request: f"re: {request['text']}")
    cached = built(model)
    answers = await run_all(cached, asks("is it safe", "please is it safe", "is it not safe"))
    assert answers == ["re: is it safe", "re: is it safe", "re: is it not safe"]
    assert model.call_count == 2
    assert cached.tier.stats().hits == 1
    assert cached.tier.stats().refused == 1


async def test_nothing_is_served_from_one_scope_to_another() -> None:
    """A tenant never sees the answer of another one."""
    model = MockPrimitive(side_effect=lambda request: request["tenant"])
    cached = built(model)
    assert await run_all(cached, [*asks("a b", tenant="x"), *asks("a b", tenant="y")]) == ["x", "y"]


async def test_none_is_an_answer_like_any_other() -> None:
    """It is served, not computed again."""
    model = MockPrimitive(return_value=None)
    cached = built(model)
    assert await run_all(cached, asks("a", "please a")) == [None, None]
    assert model.call_count == 1


async def test_an_answer_that_was_cut_off_is_not_kept() -> None:
    """The next one who asks gets another try."""
    model = MockPrimitive(return_value={"content": "Par", "finish_reason": "length"})
    await run_all(built(model), asks("a", "please a"))
    assert model.call_count == 2


async def test_a_failure_is_not_kept_and_arrives_as_itself() -> None:
    """With a note of where it arose."""
    model = MockPrimitive(side_effect=[OSError("down"), "up"])
    cached = built(model)
    with pytest.raises(OSError, match="down") as caught:
        await cached.execute(asks("a")[0])
    assert "semantic_cache" in caught.value.__notes__[0]
    assert await cached.execute(asks("a")[0]) == "up"


def test_an_answer_is_served_for_its_time_to_live() -> None:
    """And not a moment longer."""
    model = MockPrimitive(return_value="x")
    cached = built(model, ttl=10)

    async def main() -> list[int]:
        counts: list[int] = []
        for pause in (0, 9.9, 0.1):
            await asyncio.sleep(pause)
            await cached.execute(asks("a")[0])
            counts.append(model.call_count)
        return counts

    assert run_virtual(main()) == [1, 1, 2]


async def test_no_more_answers_are_kept_than_was_said() -> None:
    """The one that was not used for longest goes; the index may still propose it."""
    model = MockPrimitive(side_effect=lambda request: request["text"])
    cached = built(model, max_size=2)
    await run_all(cached, asks("a", "b", "please a", "c"))
    assert model.call_count == 3
    await run_all(cached, asks("please b"))
    assert model.call_count == 4


async def test_the_names_of_another_process_in_the_index_mean_nothing_here() -> None:
    """An index can outlive the answers."""
    index = Everything()
    await built(MockPrimitive(return_value="old"), index=index).execute(asks("a")[0])
    assert (
        await built(MockPrimitive(return_value="new"), index=index).execute(asks("a")[0]) == "new"
    )


async def test_a_broken_index_is_as_good_as_none() -> None:
    """The call goes through."""
    index = Everything()
    index.fault = RuntimeError("no connection")
    model = MockPrimitive(return_value="x")
    cached = built(model, index=index)
    assert await run_all(cached, asks("a", "a")) == ["x", "x"]
    assert cached.tier.stats().errors == 4


async def test_a_sampled_hit_is_compared_and_the_fresh_answer_is_served() -> None:
    """A kept answer that differs is a false hit, and served no more."""
    model = MockPrimitive(side_effect=["old", "new", "new"])
    cached = built(model, check_rate=1.0)
    assert await run_all(cached, asks("a", "please a")) == ["old", "new"]
    assert cached.tier.stats().false_hits == 1
    assert await cached.execute(asks("a")[0]) == "new"
    assert model.call_count == 3


async def test_what_says_the_same_is_for_the_caller_to_say() -> None:
    """Two wordings of one answer are no false hit."""
    model = MockPrimitive(side_effect=["Paris", "paris"])

    def same(kept: str, fresh: str) -> bool:
        return kept.casefold() == fresh.casefold()

    cached = built(model, check_rate=1.0, same=same)
    await run_all(cached, asks("a", "a"))
    stats = cached.tier.stats()
    assert (stats.checked, stats.false_hits) == (1, 0)


async def test_an_exact_cache_stands_around_it() -> None:
    """The same input never reaches the index."""
    model = MockPrimitive(side_effect=lambda request: request["text"])
    inner = built(model)
    cached = CachePrimitive(inner)
    for request in asks("a", "a", "please a"):
        await cached.execute(request)
    assert inner.tier.stats().lookups == 2
    assert model.call_count == 1


async def test_a_cancelled_run_keeps_nothing() -> None:
    """The next one computes."""
    started = asyncio.Event()

    async def slow(request: Request) -> str:
        started.set()
        await asyncio.Event().wait()
        return request["text"]

    cached = built(slow)
    task = asyncio.create_task(cached.execute(asks("a")[0]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cached.tier.stats().hits == 0


async def test_a_copy_keeps_answers_of_its_own() -> None:
    """As with any cache."""
    cached = built(MockPrimitive(return_value="one", name="model"))
    assert await cached.execute(asks("a")[0]) == "one"
    twin = cached.replace("semantic_cache/model", MockPrimitive(return_value="other"))
    assert await twin.execute(asks("a")[0]) == "other"
    assert await cached.execute(asks("a")[0]) == "one"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tier": None}, "tier must be a SemanticTier, not None"),
        ({"text": None}, "text must be a function that answers at once, not None"),
        ({"scope": "tenant"}, "scope must be a function that answers at once, not 'tenant'"),
        ({"same": 1}, "same must be a function"),
        ({"ttl": 0}, "ttl must be"),
        ({"ttl": float("nan")}, "ttl must be"),
        ({"max_size": 0}, "max_size must be"),
        ({"max_size": True}, "max_size must be"),
    ],
)
def test_a_wrong_option_is_told_when_it_is_built(options: dict[str, Any], message: str) -> None:
    """With its value."""
    with pytest.raises(ConfigurationError, match=message):
        built(len, **options)


async def test_a_text_that_is_none_is_told() -> None:
    """Rather than compared with others."""

    def number(request: Request) -> int:
        return len(request) + 5

    with pytest.raises(ConfigurationError, match="text of 'semantic_cache' returned 7, not a text"):
        await built(len, text=number).execute(asks("a")[0])


def test_a_generator_function_is_no_step() -> None:
    """Its items would be gone after the first reader."""

    def letters(request: Request) -> Any:
        yield from request["text"]

    with pytest.raises(CompositionError):
        built(letters)
