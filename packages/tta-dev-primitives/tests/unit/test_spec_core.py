"""The code blocks of the product's two founding documents run as written.

Names that the documents leave undefined (`load_data`, `gpt4`) are given here; nothing else is.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from tta_dev_primitives import (
    ConditionalPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_dev_primitives.errors import CompositionError
from tta_dev_primitives.observability import (
    collect_records,
    configure_logging,
    enable_observability,
    get_metrics,
    reset_metrics,
    unconfigure_logging,
)


@pytest.fixture(autouse=True)
def default_observers() -> None:
    """Start as a program starts: measured, with nothing counted yet."""
    enable_observability()
    reset_metrics()


def calls_of(path_or_name: str) -> int:
    """Return how many calls were counted for a place."""
    metrics = get_metrics(path_or_name)
    return 0 if metrics is None else metrics.total


async def run_block(block: str, **names: Any) -> dict[str, Any]:
    """Execute a block, `await` at its top level included, and return its names."""
    code = compile(
        textwrap.dedent(block), "<document>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    space: dict[str, Any] = dict(names)
    result = eval(code, space)  # noqa: S307 - the documents' own code
    if inspect.iscoroutine(result):
        await result
    return space


async def test_workflow_composition_of_the_package_readme() -> None:
    """Sequential, Parallel and Router over plain functions."""

    async def load_data(given: dict[str, str]) -> list[str]:
        return [given["input"]]

    def process_data(rows: list[str]) -> list[str]:
        return [row.upper() for row in rows]

    async def save_results(rows: list[str]) -> int:
        return len(rows)

    def fetch_user_data(request: dict[str, int]) -> dict[str, int]:
        return {"user": request["user_id"]}

    def fetch_analytics(request: dict[str, int]) -> dict[str, int]:
        return {"visits": 7}

    async def fetch_recommendations(request: dict[str, int]) -> list[str]:
        return ["x"]

    def model(name: str) -> Any:
        async def ask(request: dict[str, str]) -> str:
            return f"{name}: {request['prompt']}"

        return ask

    space = await run_block(
        """
        from tta_dev_primitives import Sequential, Parallel, Router, WorkflowPrimitive

        # Sequential workflow
        workflow = Sequential([
            load_data,
            process_data,
            save_results
        ])
        result = await workflow.execute({"input": "data"})

        # Parallel execution
        parallel = Parallel([
            fetch_user_data,
            fetch_analytics,
            fetch_recommendations
        ])
        results = await parallel.execute({"user_id": 123})

        # Dynamic routing with cost optimization
        router = Router({
            "fast": gpt4_mini,
            "balanced": gpt4,
            "quality": gpt4_turbo
        })
        response = await router.execute({"tier": "balanced", "prompt": "..."})
        """,
        load_data=load_data,
        process_data=process_data,
        save_results=save_results,
        fetch_user_data=fetch_user_data,
        fetch_analytics=fetch_analytics,
        fetch_recommendations=fetch_recommendations,
        gpt4_mini=model("mini"),
        gpt4=model("gpt4"),
        gpt4_turbo=model("turbo"),
    )
    assert space["result"] == 1
    assert space["results"] == [{"user": 123}, {"visits": 7}, ["x"]]
    assert space["response"] == "gpt4: ..."


async def test_observability_of_the_package_readme(capsys: pytest.CaptureFixture[str]) -> None:
    """The log line has its fields, the metric its call, the span its name."""

    async def transform(data: str) -> str:
        return data.upper()

    async def call() -> str:
        return "answer"

    configure_logging()
    try:
        with collect_records() as records:
            space = await run_block(
                """
                from tta_dev_primitives import get_logger, track_metrics, trace_operation

                # Structured logging
                logger = get_logger(__name__)
                logger.info("Processing request", user_id=123, request_id="abc")

                # Metrics tracking
                @track_metrics(name="api_latency")
                async def api_call():
                    return await external_service.call()

                # Distributed tracing
                @trace_operation(span_name="data_processing")
                async def process_pipeline(data):
                    # Automatic span creation and context propagation
                    return await transform(data)
                """,
                __name__="document",
                external_service=SimpleNamespace(call=call),
                transform=transform,
            )
            assert await space["api_call"]() == "answer"
            assert await space["process_pipeline"]("x") == "X"
    finally:
        unconfigure_logging()
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert line["message"] == "Processing request"
    assert (line["user_id"], line["request_id"]) == (123, "abc")
    assert "data_processing" in [record.name for record in records]
    assert calls_of("api_latency") == 1


async def test_composability_of_the_system_design() -> None:
    """`a >> (b | c | d) >> e >> f`."""
    space = await run_block(
        """
        workflow = (
            input_processor >>
            (fast_llm | slow_llm | cached_llm) >>
            aggregator >>
            output_formatter
        )
        """,
        input_processor=step(str.strip),
        fast_llm=step(lambda text: f"fast {text}"),
        slow_llm=step(lambda text: f"slow {text}"),
        cached_llm=step(lambda text: f"cached {text}"),
        aggregator=step(", ".join),
        output_formatter=step(str.title),
    )
    assert await space["workflow"].execute(" hi ") == "Fast Hi, Slow Hi, Cached Hi"


class _StrToDict(WorkflowPrimitive[str, dict[str, str]]):
    async def _execute_impl(self, context: Any, input_data: str) -> dict[str, str]:
        return {"text": input_data}


class _DictToList(WorkflowPrimitive[dict[str, str], list[str]]):
    async def _execute_impl(self, context: Any, input_data: dict[str, str]) -> list[str]:
        return list(input_data.values())


class _IntToList(WorkflowPrimitive[int, list[str]]):
    async def _execute_impl(self, context: Any, input_data: int) -> list[str]:
        return []


async def test_type_safety_of_the_system_design() -> None:
    """The matching line composes; the deliberately wrong one is refused."""
    block = """
        # Type-safe composition
        step1: WorkflowPrimitive[str, dict]
        step2: WorkflowPrimitive[dict, list]

        workflow = step1 >> step2  # ✅ Types match
        """
    names = {
        "WorkflowPrimitive": WorkflowPrimitive,
        "step1": _StrToDict(),
        "step2": _DictToList(),
        "step3": _IntToList(),
    }
    space = await run_block(block, **names)
    assert await space["workflow"].execute("x") == ["x"]
    with pytest.raises(
        CompositionError, match=r"'str_to_dict' gives dict.*'int_to_list' takes int"
    ):
        await run_block("workflow = step1 >> step3  # ❌ Editor shows type error", **names)


async def test_observability_by_default_of_the_system_design() -> None:
    """A call is measured without its author doing anything."""
    space = await run_block(
        """
        # Observability is automatic
        result = await workflow.execute(context, input_data)
        """,
        workflow=(step(str.upper) >> len).named("observed_by_default"),
        context=WorkflowContext(correlation_id="req-1"),
        input_data="four",
    )
    assert space["result"] == 4
    assert calls_of("observed_by_default") == calls_of("observed_by_default/upper") == 1


async def test_workflow_primitive_of_the_system_design() -> None:
    """Subclassing needs one method."""
    space = await run_block(
        """
        class CustomPrimitive(WorkflowPrimitive[str, dict]):
            async def _execute_impl(self, context, input_data):
                # Your logic here
                return {"result": "processed"}
        """,
        WorkflowPrimitive=WorkflowPrimitive,
    )
    custom = space["CustomPrimitive"]()
    assert await custom.execute(WorkflowContext(), "x") == {"result": "processed"}
    assert custom.name == "custom"


async def test_workflow_context_of_the_system_design() -> None:
    """The correlation id appears in all logs and traces."""
    with collect_records() as records:
        await run_block(
            """
            context = WorkflowContext(
                correlation_id="req-abc-123",
                data={"user_id": "user-789", "priority": "high"}
            )

            result = await workflow.execute(context, input_data)

            # correlation_id appears in all logs and traces
            """,
            WorkflowContext=WorkflowContext,
            workflow=step(str.upper) >> len,
            input_data="x",
        )
    assert {record.correlation_id for record in records} == {"req-abc-123"}
    assert len(records) == 3


async def test_composition_primitives_of_the_system_design() -> None:
    """All four, by operator and by constructor."""
    upper, count = step(str.upper), step(len)
    chain = (
        await run_block("workflow = step1 >> step2 >> step3", step1=upper, step2=upper, step3=count)
    )["workflow"]
    assert await chain.execute("ab") == 2
    assert isinstance(chain, SequentialPrimitive)
    fan = (
        await run_block(
            "workflow = branch1 | branch2 | branch3", branch1=upper, branch2=count, branch3=upper
        )
    )["workflow"]
    assert await fan.execute("ab") == ["AB", 2, "AB"]
    assert isinstance(fan, ParallelPrimitive)
    space = await run_block(
        """
        workflow = ConditionalPrimitive(
            condition=lambda ctx, data: len(data) < 1000,
            true_primitive=fast_path,
            false_primitive=slow_path
        )
        """,
        ConditionalPrimitive=ConditionalPrimitive,
        fast_path=step(lambda data: "fast"),
        slow_path=step(lambda data: "slow"),
    )
    assert await space["workflow"].execute("x") == "fast"
    assert await space["workflow"].execute("x" * 1000) == "slow"

    def select_route(context: WorkflowContext, data: str) -> str:
        return data

    space = await run_block(
        """
        router = RouterPrimitive(
            routes={"fast": llm1, "quality": llm2},
            selector=select_route,
            default_route="fast"
        )
        """,
        RouterPrimitive=RouterPrimitive,
        llm1=step(lambda data: "one"),
        llm2=step(lambda data: "two"),
        select_route=select_route,
    )
    assert await space["router"].execute("quality") == "two"
    assert await space["router"].execute("unheard of") == "one"


async def test_input_validation_of_the_system_design() -> None:
    """Validate at the entry."""
    space = await run_block(
        "workflow = input_validator >> process >> output",
        input_validator=step(str.strip),
        process=step(str.upper),
        output=step(list),
    )
    assert await space["workflow"].execute(" a ") == ["A"]
