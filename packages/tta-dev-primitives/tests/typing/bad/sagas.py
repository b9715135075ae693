"""Sagas composed wrongly: each marked line is flagged by both checkers."""

from tta_dev_primitives import WorkflowContext
from tta_dev_primitives.recovery import FileJournal, Saga

from ..steps import *


def take_text(result: str) -> None: ...
async def take_text_in(context: WorkflowContext, result: str) -> None: ...
async def take_number(result: int) -> None: ...


s1 = Saga().add_step(async_length, rollback=take_text)  # BAD: the step's result is an int
s2 = Saga().add_step(async_length, rollback=take_text_in)  # BAD: the step's result is an int
s4 = Saga().add_step(length, rollback=shout)  # BAD: the compensation takes str, the result is int
s5 = Saga().add_step(async_length, take_number, undo_failed=True)  # BAD: the result may be unknown
s6 = Saga().add_step(three)  # BAD: a function with three parameters
s7 = Saga().add_step(3)  # BAD: a number is no step
s8 = Saga().add_step(async_length) >> shout  # BAD: int into a primitive that takes str
s9 = Saga(compensation_timeout="5")  # BAD: a time is a number
s10 = Saga(journal="sagas.jsonl")  # BAD: a path is no journal
s11 = Saga(retries=3)  # BAD: no such option
s12 = Saga(steps=[(async_length, 3)])  # BAD: a number is no compensation
s13 = Saga().add_stage(async_length)  # BAD: a stage is a list or a dict
s14 = Saga().add_step(async_length, compensate=take_number)  # BAD: no such option
s15 = FileJournal(3)  # BAD: a number is no path
