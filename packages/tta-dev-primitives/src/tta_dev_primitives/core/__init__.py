"""Composition: primitives, the context, the combinators, and the engine that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives._exports import lazy_exports

if TYPE_CHECKING:
    from tta_dev_primitives.core.assign import Assign as Assign
    from tta_dev_primitives.core.assign import AssignPrimitive as AssignPrimitive
    from tta_dev_primitives.core.base import Composite as Composite
    from tta_dev_primitives.core.base import WorkflowPrimitive as WorkflowPrimitive
    from tta_dev_primitives.core.batch import Batch as Batch
    from tta_dev_primitives.core.batch import BatchPrimitive as BatchPrimitive
    from tta_dev_primitives.core.conditional import Conditional as Conditional
    from tta_dev_primitives.core.conditional import ConditionalPrimitive as ConditionalPrimitive
    from tta_dev_primitives.core.conditional import Switch as Switch
    from tta_dev_primitives.core.conditional import SwitchPrimitive as SwitchPrimitive
    from tta_dev_primitives.core.context import WorkflowContext as WorkflowContext
    from tta_dev_primitives.core.engine import add_observer as add_observer
    from tta_dev_primitives.core.engine import remove_observer as remove_observer
    from tta_dev_primitives.core.filter import Filter as Filter
    from tta_dev_primitives.core.filter import FilterPrimitive as FilterPrimitive
    from tta_dev_primitives.core.frames import annotate as annotate
    from tta_dev_primitives.core.functions import FunctionPrimitive as FunctionPrimitive
    from tta_dev_primitives.core.functions import in_thread as in_thread
    from tta_dev_primitives.core.functions import step as step
    from tta_dev_primitives.core.loop import Loop as Loop
    from tta_dev_primitives.core.loop import LoopPrimitive as LoopPrimitive
    from tta_dev_primitives.core.outcome import Outcome as Outcome
    from tta_dev_primitives.core.parallel import ErrorPolicy as ErrorPolicy
    from tta_dev_primitives.core.parallel import Parallel as Parallel
    from tta_dev_primitives.core.parallel import ParallelPrimitive as ParallelPrimitive
    from tta_dev_primitives.core.protocols import NullObserver as NullObserver
    from tta_dev_primitives.core.protocols import Observer as Observer
    from tta_dev_primitives.core.protocols import StartObserver as StartObserver
    from tta_dev_primitives.core.record import Call as Call
    from tta_dev_primitives.core.record import Record as Record
    from tta_dev_primitives.core.routing import Router as Router
    from tta_dev_primitives.core.routing import RouterPrimitive as RouterPrimitive
    from tta_dev_primitives.core.sequential import Sequential as Sequential
    from tta_dev_primitives.core.sequential import SequentialPrimitive as SequentialPrimitive
    from tta_dev_primitives.core.stream import Aggregate as Aggregate
    from tta_dev_primitives.core.stream import AggregatePrimitive as AggregatePrimitive
    from tta_dev_primitives.core.stream import Buffer as Buffer
    from tta_dev_primitives.core.stream import BufferPrimitive as BufferPrimitive
    from tta_dev_primitives.core.stream import Map as Map
    from tta_dev_primitives.core.stream import MapPrimitive as MapPrimitive
    from tta_dev_primitives.core.stream import Stream as Stream
    from tta_dev_primitives.core.stream import StreamPrimitive as StreamPrimitive
    from tta_dev_primitives.core.validate import Validate as Validate
    from tta_dev_primitives.core.validate import ValidatePrimitive as ValidatePrimitive
    from tta_dev_primitives.core.validate import input_schema as input_schema
    from tta_dev_primitives.core.validate import output_schema as output_schema

__all__ = (
    "Aggregate",
    "AggregatePrimitive",
    "Assign",
    "AssignPrimitive",
    "Batch",
    "BatchPrimitive",
    "Buffer",
    "BufferPrimitive",
    "Call",
    "Composite",
    "Conditional",
    "ConditionalPrimitive",
    "ErrorPolicy",
    "Filter",
    "FilterPrimitive",
    "FunctionPrimitive",
    "Loop",
    "LoopPrimitive",
    "Map",
    "MapPrimitive",
    "NullObserver",
    "Observer",
    "Outcome",
    "Parallel",
    "ParallelPrimitive",
    "Record",
    "Router",
    "RouterPrimitive",
    "Sequential",
    "SequentialPrimitive",
    "StartObserver",
    "Stream",
    "StreamPrimitive",
    "Switch",
    "SwitchPrimitive",
    "Validate",
    "ValidatePrimitive",
    "WorkflowContext",
    "WorkflowPrimitive",
    "add_observer",
    "annotate",
    "in_thread",
    "input_schema",
    "output_schema",
    "remove_observer",
    "step",
)

_PLACES = {
    "Aggregate": "stream",
    "AggregatePrimitive": "stream",
    "Assign": "assign",
    "AssignPrimitive": "assign",
    "Batch": "batch",
    "BatchPrimitive": "batch",
    "Buffer": "stream",
    "BufferPrimitive": "stream",
    "Call": "record",
    "Composite": "base",
    "Conditional": "conditional",
    "ConditionalPrimitive": "conditional",
    "ErrorPolicy": "parallel",
    "Filter": "filter",
    "FilterPrimitive": "filter",
    "FunctionPrimitive": "functions",
    "Loop": "loop",
    "LoopPrimitive": "loop",
    "Map": "stream",
    "MapPrimitive": "stream",
    "NullObserver": "protocols",
    "Observer": "protocols",
    "Outcome": "outcome",
    "Parallel": "parallel",
    "ParallelPrimitive": "parallel",
    "Record": "record",
    "Router": "routing",
    "RouterPrimitive": "routing",
    "Sequential": "sequential",
    "SequentialPrimitive": "sequential",
    "StartObserver": "protocols",
    "Stream": "stream",
    "StreamPrimitive": "stream",
    "Switch": "conditional",
    "SwitchPrimitive": "conditional",
    "Validate": "validate",
    "ValidatePrimitive": "validate",
    "WorkflowContext": "context",
    "WorkflowPrimitive": "base",
    "add_observer": "engine",
    "annotate": "frames",
    "in_thread": "functions",
    "input_schema": "validate",
    "output_schema": "validate",
    "remove_observer": "engine",
    "step": "functions",
}

if not TYPE_CHECKING:  # a checker must still flag names that do not exist
    __getattr__, __dir__ = lazy_exports(__name__, _PLACES)
