"""Sequential, Conditional, Switch, Router, Batch, Loop, Assign, Filter: accepted, and seen alike."""

from collections.abc import AsyncIterator, Sequence

from tta_dev_primitives import (
    Assign,
    Batch,
    Conditional,
    Filter,
    Loop,
    Router,
    Sequential,
    StreamPrimitive,
    Switch,
)

from ..steps import *

# --- Sequential -----------------------------------------------------------------------------------
reveal_type(Sequential([shout, shout]))  # SequentialPrimitive[str, str]
reveal_type(Sequential([async_shout, async_shout]))  # SequentialPrimitive[str, str]
reveal_type(Sequential([sync_shout, sync_shout], name="twice"))  # SequentialPrimitive[str, str]
reveal_type(Sequential([shout, length]))  # SequentialPrimitive[object, object]

# --- Conditional ----------------------------------------------------------------------------------
reveal_type(Conditional(is_long, length, shout))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long_in, length, shout))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, async_length, async_shout))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, sync_length, sync_shout))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, length, async_shout))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, length))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, async_length))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(is_long, sync_length))  # ConditionalPrimitive[str, int | str]
reveal_type(Conditional(lambda text: len(text) > 3, length, length))  # ConditionalPrimitive[str, int]
reveal_type(Conditional(is_long, length, length) >> show)  # SequentialPrimitive[str, str]

# --- Switch ---------------------------------------------------------------------------------------
reveal_type(Switch(is_long, {True: length, False: length}))  # SwitchPrimitive[str, int]
reveal_type(Switch(is_long, {True: length}, length))  # SwitchPrimitive[str, int]
reveal_type(Switch(is_long, {True: length, False: shout}))  # SwitchPrimitive[str, int | str] / mypy: SwitchPrimitive[str, object]
reveal_type(Switch(is_long, {True: async_length}, async_length))  # SwitchPrimitive[str, int]
reveal_type(Switch(is_long, {True: sync_length}, sync_length))  # SwitchPrimitive[str, int]
reveal_type(Switch(is_long_in, {True: length}, name="by_length"))  # SwitchPrimitive[str, int]

# --- Router ---------------------------------------------------------------------------------------
reveal_type(Router({"fast": length, "good": length}))  # RouterPrimitive[str, int]
reveal_type(Router({"fast": length, "good": shout}))  # RouterPrimitive[str, int | str] / mypy: RouterPrimitive[str, object]
reveal_type(Router({"fast": length}, sync_shout, "fast"))  # RouterPrimitive[str, int]
reveal_type(Router({"fast": async_length}, default_route="fast"))  # RouterPrimitive[str, int]
reveal_type(Router({"fast": sync_length}, costs={"fast": 0.1}))  # RouterPrimitive[str, int]
reveal_type(Router({"fast": length}) >> show)  # SequentialPrimitive[str, str]

# --- Batch ----------------------------------------------------------------------------------------
reveal_type(Batch(length).run(["a", "b"]))  # list[int]
reveal_type(Batch(async_length, max_concurrency=2).run(("a", "b")))  # list[int]
reveal_type(Batch(sync_length, ordered=False).run({"a", "b"}))  # list[int]
reveal_type(Batch(length, on_error="collect").run(["a"]))  # list[Outcome[int]]
reveal_type(Batch(async_length, on_error="collect").run(["a"])[0].unwrap())  # int
reveal_type(Batch(length, on_progress=lambda done, total: print(done, total)).run(["a"]))  # list[int]
reveal_type(words >> Batch(length))  # SequentialPrimitive[str, list[int]]
reveal_type(words >> Batch(length) >> total)  # SequentialPrimitive[str, int]


async def lines() -> AsyncIterator[str]:
    yield "line"


async def lines_of(text: str) -> AsyncIterator[str]:
    for line in text.splitlines():
        yield line


reveal_type(Batch(length).run(lines()))  # list[int]

# --- Loop -----------------------------------------------------------------------------------------
reveal_type(Loop(double, until=is_large, max_iterations=9))  # LoopPrimitive[int]
reveal_type(Loop(async_double, until=is_large, max_iterations=9))  # LoopPrimitive[int]
reveal_type(Loop(sync_double, until=is_large, max_iterations=9))  # LoopPrimitive[int]
reveal_type(Loop(shout, until=is_long_in, max_iterations=9, on_limit="return"))  # LoopPrimitive[str]
reveal_type(length >> Loop(double, until=is_large, max_iterations=9) >> show)  # SequentialPrimitive[str, str]


# --- Assign ---------------------------------------------------------------------------------------
def field(given: dict[str, str]) -> int:
    return len(given["text"])


def as_fields(text: str) -> dict[str, str]:
    return {"text": text}


reveal_type(Assign(size=field).run({"text": "a"}))  # dict[str, object]
reveal_type(Assign(size=field, now=sync_now, truth=truth).run({"text": "a"}))  # dict[str, object]
reveal_type(Assign(size=lambda given: len(given["text"])).run({"text": "a"}))  # dict[str, object]
reveal_type(shout.then(as_fields) >> Assign(size=field))  # SequentialPrimitive[str, dict[str, object]]
reveal_type(Assign(size=field).named("sizes"))  # AssignPrimitive

# --- Filter ---------------------------------------------------------------------------------------
def pair(text: str) -> tuple[str, ...]:
    return (text, text)


def unique(text: str) -> set[str]:
    return {text}


def sequence(text: str) -> Sequence[str]:
    return [text]


reveal_type(words >> Filter(is_long))  # SequentialPrimitive[str, list[str]]
reveal_type(words >> Filter(is_long_in))  # SequentialPrimitive[str, list[str]]
reveal_type(words >> Filter(is_long) >> Filter(is_long) >> len)  # SequentialPrimitive[str, int]
reveal_type(words.then(Filter(is_long)))  # SequentialPrimitive[str, list[str]]
reveal_type(str.split >> Filter(is_long))  # SequentialPrimitive[str, list[str]]
reveal_type(shout >> Filter(is_long))  # SequentialPrimitive[str, str]
reveal_type(length >> Filter(is_large) >> show)  # SequentialPrimitive[str, str]
reveal_type(async_length >> Filter(is_large))  # SequentialPrimitive[str, int]
reveal_type(pair >> Filter(is_long))  # SequentialPrimitive[str, tuple[str, ...]]
reveal_type(unique >> Filter(is_long))  # SequentialPrimitive[str, set[str]]
reveal_type(sequence >> Filter(is_long))  # SequentialPrimitive[str, list[str]]
reveal_type(StreamPrimitive(lines_of) >> Filter(is_long))  # SequentialPrimitive[str, Stream[str]]
reveal_type(Filter(is_large).run([1, 2]))  # list[int]
