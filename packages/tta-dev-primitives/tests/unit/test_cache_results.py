"""What becomes of results: which are kept, and whether callers share them."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.performance import CachePrimitive, is_complete

if TYPE_CHECKING:
    from collections.abc import Callable


def shown(result: object) -> str:
    """Return a name for a test that pytest can print."""
    return repr(result).replace("[", "(")


def giving(result: object) -> Callable[[str], object]:
    def step(_: str) -> object:
        return result

    return step


def answer(reason: object, **more: object) -> dict[str, object]:
    return {"finish_reason": reason, "content": "Paris", **more}


def choice(reason: object, content: str | None = "Paris", **message: object) -> dict[str, object]:
    said = {"role": "assistant", "content": content, **message}
    return {"choices": [{"finish_reason": reason, "message": said}]}


WHOLE: list[Any] = [
    "",
    {},
    [],
    {"content": ""},
    {"status": "failed"},
    answer("stop"),
    answer("tool_calls", content=None, tool_calls=[{"id": "1"}]),
    {"stop_reason": "end_turn", "content": [{"text": "Paris"}]},
    {"stop_reason": "tool_use", "content": [{"type": "tool_use"}]},
    choice("stop"),
    choice("tool_calls", None, tool_calls=[{"id": "1"}]),
    choice("stop", refusal=None),
    SimpleNamespace(finish_reason="stop", text="Paris"),
    {"status": "completed", "output": ["Paris"]},
]
PARTIAL: list[Any] = [
    answer("length"),
    answer("max_tokens"),
    answer("content_filter"),
    answer(None),
    answer("stop", content=""),
    answer(7),
    {"stop_reason": "refusal", "content": [{"text": "no"}]},
    {"stop_reason": "max_tokens", "content": [{"text": "Par"}]},
    choice("length"),
    choice(None),
    choice("stop", ""),
    choice("stop", refusal="I cannot help with that"),
    {"choices": []},
    {"choices": [answer("stop"), answer("length")]},
    SimpleNamespace(finish_reason="length", text="Par"),
    {"status": "incomplete", "output": ["Par"]},
]


@pytest.mark.parametrize("result", WHOLE, ids=shown)
async def test_whole_answers_are_kept(result: object) -> None:
    """And whatever does not look like a model's answer."""
    assert is_complete(result)
    cache = CachePrimitive(giving(result))
    await cache.execute("k")
    assert cache.cache_stats().size == 1


@pytest.mark.parametrize("result", PARTIAL, ids=shown)
async def test_answers_that_were_cut_short_refused_or_empty_are_not_kept(result: object) -> None:
    """They are handed out all the same (case 70)."""
    assert not is_complete(result)
    cache = CachePrimitive(giving(result))
    assert await cache.execute("k") is result
    assert cache.cache_stats().size == 0


def xs(n: int) -> str:
    return "x" * n


def same(n: int) -> int:
    return n


def is_short(text: str) -> bool:
    return len(text) < 3


def fails(_: object) -> bool:
    raise ZeroDivisionError


async def test_a_rule_of_ones_own_takes_the_place_of_the_default() -> None:
    """Plain results are asked about too; a rule that fails keeps nothing (case 70)."""
    short = CachePrimitive(xs, should_cache=is_short)
    for n in (2, 2, 5, 5):
        await short.execute(n)
    assert (short.cache_stats().hits, short.cache_stats().size) == (1, 1)
    broken = CachePrimitive(same, should_cache=fails)
    assert await broken.execute(1) == 1
    assert broken.cache_stats().size == 0


async def test_what_a_function_of_the_users_raises_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broken rule costs hits, not answers."""
    cache = CachePrimitive(same, should_cache=fails)
    with caplog.at_level(logging.WARNING):
        for n in range(5):
            await cache.execute(n)
    assert [record.message[:12] for record in caplog.records] == ["should_cache"]


# --- mutation -----------------------------------------------------------------------------------


def lists(_: str) -> list[list[int]]:
    return [[1]]


def locks(_: str) -> object:
    return threading.Lock()


async def test_results_are_shared_unless_copies_are_asked_for() -> None:
    """The default is documented: treat them as read-only (case 67)."""
    cache = CachePrimitive(lists)
    (await cache.execute("k")).append([2])
    assert await cache.execute("k") == [[1], [2]]


@pytest.mark.parametrize(("how", "deep"), [("copy", [[1, 9]]), ("deepcopy", [[1]])])
async def test_a_callers_change_does_not_reach_the_next_one(how: Any, deep: list[Any]) -> None:
    """Neither that of the one who computed it, nor that of one who got it kept (case 67)."""
    cache = CachePrimitive(lists, copy=how)
    for _ in range(3):
        got = await cache.execute("k")
        got.append([2])
        got[0][1:] = [9]
    assert await cache.execute("k") == deep


async def test_those_who_wait_get_copies_too() -> None:
    """No two callers share an object (case 67)."""

    async def step(_: str) -> list[int]:
        await asyncio.sleep(0)
        return [1]

    cache = CachePrimitive(step, copy="deepcopy")
    got = await asyncio.gather(*[cache.execute("k") for _ in range(5)])
    assert len({id(one) for one in got}) == 5


async def test_what_cannot_be_copied_is_handed_out_and_not_kept() -> None:
    """Rather no cache than a shared object that was to be private."""
    cache = CachePrimitive(locks, copy="deepcopy")
    assert await cache.execute("k") is not await cache.execute("k")
    assert cache.cache_stats().size == 0
