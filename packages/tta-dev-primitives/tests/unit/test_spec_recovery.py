"""The code blocks of the specification about recovery, caching and the production stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core.base import WorkflowContext, WorkflowPrimitive
from tta_dev_primitives.core.routing import RouterPrimitive
from tta_dev_primitives.performance import CachePrimitive, cached
from tta_dev_primitives.recovery import (
    Fallback,
    FallbackPrimitive,
    Retry,
    RetryPrimitive,
    Timeout,
    TimeoutPrimitive,
)

if TYPE_CHECKING:
    import pytest


class Model(WorkflowPrimitive[str, str]):
    """Answers, or fails while it is down."""

    def __init__(self, name: str, *, down: bool = False) -> None:
        self.name = name
        self.down = down
        self.calls = 0

    async def _execute_impl(self, context: WorkflowContext, input_data: str) -> str:
        self.calls += 1
        if self.down:
            raise ConnectionError(self.name)
        return f"{self.name}: {input_data}"


async def test_spec_1_retry() -> None:
    """Retry with exponential backoff."""

    class ExternalApi:
        async def fetch(self) -> str:
            return "fetched"

    external_api = ExternalApi()

    # Retry with exponential backoff
    @Retry(max_attempts=3, backoff_factor=2.0)
    async def flaky_api_call():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in the specification
        return await external_api.fetch()

    assert await flaky_api_call() == "fetched"


async def test_spec_1_fallback() -> None:
    """Fallback strategy."""
    expensive_model = Model("expensive", down=True)
    cheap_model = Model("cheap")

    # Fallback strategy
    workflow = Fallback(
        primary=expensive_model,
        fallback=cheap_model,
    )

    assert await workflow.execute("hi") == "cheap: hi"


async def test_spec_1_timeout() -> None:
    """Timeout enforcement."""

    async def process_data() -> str:
        return "processed"

    # Timeout enforcement
    @Timeout(seconds=5.0)
    async def long_running_task():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in the specification
        return await process_data()

    assert await long_running_task() == "processed"


async def test_spec_1_performance(capsys: pytest.CaptureFixture[str]) -> None:
    """LRU cache with TTL, and its statistics."""
    result: dict[str, Any] = {"answer": 42}

    # LRU cache with TTL
    @cached(max_size=1000, ttl=3600)
    async def expensive_computation(input_data: str) -> dict:  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - as in the specification
        # Expensive operation here
        return result

    for _ in range(4):
        assert await expensive_computation("x") == result

    # Check cache stats
    stats = expensive_computation.cache_stats()
    print(f"Hit rate: {stats.hit_rate:.2%}")  # noqa: T201 - as in the specification

    assert capsys.readouterr().out == "Hit rate: 75.00%\n"


async def test_spec_2_production_stack() -> None:
    """Production-ready with one line: the answer of the first model that is up, kept."""
    gpt4, gpt35, local_llm = Model("gpt4"), Model("gpt35", down=True), Model("local")

    # Production-ready with one line
    llm = TimeoutPrimitive(
        RetryPrimitive(
            FallbackPrimitive(
                CachePrimitive(gpt4),
                fallbacks=[gpt35, local_llm],
            )
        ),
        timeout_seconds=30.0,
    )

    context = WorkflowContext()
    assert await llm.execute(context, "hi") == "gpt4: hi"
    gpt4.down = True
    assert await llm.execute(context, "hi") == "gpt4: hi"
    assert gpt4.calls == 1
    assert await llm.execute(context, "ho") == "local: ho"
    assert gpt35.calls == 1


async def test_spec_3_five_layers() -> None:
    """Each layer as the report writes it, with arguments where it has three dots."""
    llm, fallback_model, cheap_llm = Model("llm"), Model("spare"), Model("cheap")

    # Layer 1: Cache (40-60% cost reduction)
    cached_llm = CachePrimitive(llm, max_size=1000, ttl=3600)

    # Layer 2: Timeout (prevent hanging)
    timed_llm = TimeoutPrimitive(cached_llm, timeout_seconds=30.0)

    # Layer 3: Retry (handle transient failures)
    retry_llm = RetryPrimitive(timed_llm, max_attempts=3, initial_delay=0)

    # Layer 4: Fallback (high availability)
    fallback_llm = FallbackPrimitive(retry_llm, fallback=fallback_model)

    # Layer 5: Router (cost optimization)
    production_llm = RouterPrimitive(
        routes={"fast": cheap_llm, "quality": fallback_llm}, default_route="quality"
    )

    assert await production_llm.execute(WorkflowContext(data={"tier": "fast"}), "hi") == "cheap: hi"
    assert await production_llm.execute("hi") == "llm: hi"
    llm.down = True
    assert await production_llm.execute("hi") == "llm: hi"
    assert llm.calls == 1
    assert await production_llm.execute("ho") == "spare: ho"
    assert llm.calls == 4
