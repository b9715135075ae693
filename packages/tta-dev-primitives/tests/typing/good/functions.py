"""Callables of all kinds as steps, and user classes: none may raise a false alarm."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypedDict, TypeVar

from tta_dev_primitives import (
    Assign,
    Batch,
    Conditional,
    Parallel,
    Router,
    WorkflowContext,
    WorkflowPrimitive,
    in_thread,
    step,
)

from ..steps import *

T = TypeVar("T")
K = TypeVar("K")


def listed(value: T) -> list[T]:
    return [value]


async def first(values: Sequence[T]) -> T:
    return values[0]


def scaled(number: int, factor: int = 2) -> int:
    return number * factor


def described(*parts: object) -> str:
    return str(parts)


def powered(exponent: int, number: int) -> int:
    return number * exponent


def as_mapping(text: str) -> dict[str, int]:
    return {text: len(text)}


def of_mapping(given: Mapping[str, int]) -> int:
    return len(given)


def of_iterable(given: Iterable[str]) -> int:
    return len(list(given))


def of_either(given: int | str) -> bool:
    return bool(given)


def maybe(text: str) -> int | None:
    return len(text) or None


def of_maybe(number: int | None) -> int:
    return number or 0


class Adder:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, number: int) -> int:
        return number + self.amount

    async def later(self, number: int) -> int:
        return number + self.amount

    def in_context(self, context: WorkflowContext, number: int) -> int:
        return number + self.amount

    @staticmethod
    def twice(number: int) -> int:
        return number * 2

    @classmethod
    def made(cls, number: int) -> "Adder":
        return cls(number)


@dataclass
class Point:
    x: int


class Fields(TypedDict):
    text: str


def of_fields(given: Fields) -> int:
    return len(given["text"])


def to_fields(text: str) -> Fields:
    return {"text": text}


class Boxed(WorkflowPrimitive[K, list[K]], Generic[K]):
    async def _execute_impl(self, context: WorkflowContext, input_data: K) -> list[K]:
        return [input_data]


class Longer(Length):
    """A subclass of a user's own primitive."""


adder = Adder(1)

# --- callables ------------------------------------------------------------------------------------
reveal_type(length >> listed)  # SequentialPrimitive[str, list[int]]
reveal_type(words >> first)  # SequentialPrimitive[str, str]
reveal_type(length >> listed >> first >> show)  # SequentialPrimitive[str, str]
reveal_type(length >> scaled)  # SequentialPrimitive[str, int]
reveal_type(length >> described)  # SequentialPrimitive[str, str]
reveal_type(length >> partial(powered, 2))  # SequentialPrimitive[str, int]
reveal_type(length >> adder)  # SequentialPrimitive[str, int]
reveal_type(length >> adder.later)  # SequentialPrimitive[str, int]
reveal_type(length >> adder.in_context)  # SequentialPrimitive[str, int]
reveal_type(length >> Adder.twice)  # SequentialPrimitive[str, int]
reveal_type(length >> Adder.made)  # SequentialPrimitive[str, Adder]
reveal_type(length >> Point)  # SequentialPrimitive[str, Point]
reveal_type(length >> str)  # SequentialPrimitive[str, str]
reveal_type(shout >> int)  # SequentialPrimitive[str, int]
reveal_type(words >> sorted)  # SequentialPrimitive[str, list[str]]
reveal_type(words >> " ".join)  # SequentialPrimitive[str, str]
reveal_type(str.strip >> shout)  # SequentialPrimitive[str, str]
reveal_type(adder.later >> show)  # SequentialPrimitive[int, str]

# --- a narrower value where a wider one is taken --------------------------------------------------
reveal_type(shout >> as_mapping >> of_mapping)  # SequentialPrimitive[str, int]
reveal_type(words >> of_iterable)  # SequentialPrimitive[str, int]
reveal_type(length >> of_either)  # SequentialPrimitive[str, bool]
reveal_type(shout >> maybe >> of_maybe)  # SequentialPrimitive[str, int]
reveal_type(length >> of_maybe)  # SequentialPrimitive[str, int]
reveal_type(to_fields >> step(of_fields))  # SequentialPrimitive[str, int]
reveal_type(Conditional(is_long, length, shout) >> of_either)  # SequentialPrimitive[str, bool]
reveal_type(length >> (double | truth))  # SequentialPrimitive[str, list[int | bool]]
reveal_type(length | of_iterable)  # FanOut[str, int]

# --- user classes ---------------------------------------------------------------------------------
reveal_type(Boxed[int]() >> total)  # SequentialPrimitive[int, int]
reveal_type(length >> Boxed[int]())  # SequentialPrimitive[str, list[int]]
reveal_type(Longer() >> show)  # SequentialPrimitive[str, str]
reveal_type(Longer().named("longer"))  # Longer
reveal_type(Parallel([Longer(), length]))  # ParallelPrimitive[str, list[int]]
reveal_type(Router({"a": Longer(), "b": Length()}))  # RouterPrimitive[str, int]
reveal_type(Assign(size=of_fields).run({"text": "a"}))  # dict[str, object]
reveal_type(in_thread(scaled))  # FunctionPrimitive[int, int]
reveal_type(Batch(scaled).run([1]))  # list[int]


def build(steps: Sequence[WorkflowPrimitive[str, int]]) -> WorkflowPrimitive[str, list[int]]:
    return Parallel(steps)


def stage(inner: WorkflowPrimitive[T, int]) -> WorkflowPrimitive[T, str]:
    return inner >> show


reveal_type(build([length, Longer()]))  # WorkflowPrimitive[str, list[int]]
reveal_type(stage(length))  # WorkflowPrimitive[str, str]
reveal_type(stage(double) >> shout)  # SequentialPrimitive[int, str]
