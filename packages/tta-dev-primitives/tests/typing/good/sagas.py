"""Sagas: forms of steps and compensations that must pass."""

from tta_dev_primitives import WorkflowContext
from tta_dev_primitives.recovery import CompensationPrimitive, FileJournal, MemoryJournal, Retry, Saga, saga_key

from ..steps import *


def take_back(result: int) -> None: ...
async def take_back_in(context: WorkflowContext, result: int) -> None: ...
async def take_back_all(context: WorkflowContext, text: str, result: int) -> None: ...
async def take_back_unknown(result: int | None) -> None: ...


reveal_type(Saga())  # CompensationPrimitive[object, object]
reveal_type(Saga().add_step(async_length))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(sync_length))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(length, rollback=take_back))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(async_length, rollback=take_back_in))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(async_length, rollback=take_back_all))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(async_length, rollback=Retry(double)))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(async_length, take_back_unknown, undo_failed=True))  # CompensationPrimitive[object, int]
reveal_type(Saga().add_step(async_length).add_step(async_show))  # CompensationPrimitive[object, str]
reveal_type(Saga().add_step(async_length).run("text"))  # int
reveal_type(Saga().add_step(async_length) >> show)  # SequentialPrimitive[object, str]
reveal_type(Saga().add_stage([(async_length, take_back), sync_show]))  # CompensationPrimitive[object, list[object]]
reveal_type(Saga().add_stage({"a": async_length}))  # CompensationPrimitive[object, dict[str, object]]
reveal_type(CompensationPrimitive(steps=[(async_length, take_back), (async_show, None)]))  # CompensationPrimitive[object, object]
reveal_type(Saga(journal=FileJournal("sagas.jsonl"), compensation_timeout=5.0))  # CompensationPrimitive[object, object]
reveal_type(saga_key())  # str
reveal_type(Saga(journal=MemoryJournal(), undo_failed=True))  # CompensationPrimitive[object, object]
