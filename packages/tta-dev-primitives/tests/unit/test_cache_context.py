"""Cache: what the step can see of the context is part of the key."""

from __future__ import annotations

from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.performance import CachePrimitive
from tta_dev_primitives.recovery import RetryPrimitive


def tenant(context: WorkflowContext, question: str) -> str:
    return f"{context.data.get('tenant')}: {question}"


def of(**data: object) -> WorkflowContext:
    return WorkflowContext(data=data)


async def test_tenants_never_share_a_result_by_accident() -> None:
    """Where the step can see the context, its data counts; its ids do not."""
    cache = CachePrimitive(tenant)
    assert await cache.execute(of(tenant="a"), "q") == "a: q"
    assert await cache.execute(of(tenant="b"), "q") == "b: q"
    assert await cache.execute(of(tenant="a"), "q") == "a: q"
    assert cache.cache_stats().hits == 1


async def test_it_also_counts_for_a_step_deeper_inside() -> None:
    """A chain or a wrapper hides nothing."""
    inner = RetryPrimitive(RetryPrimitive(tenant) >> str.upper)
    cache = CachePrimitive(inner)
    assert await cache.execute(of(tenant="a"), "q") == "A: Q"
    assert await cache.execute(of(tenant="b"), "q") == "B: Q"


async def test_a_step_that_cannot_see_the_context_shares() -> None:
    """All tenants get the one result."""
    cache = CachePrimitive(RetryPrimitive(str.upper) >> str.strip)
    await cache.execute(of(tenant="a"), "q")
    await cache.execute(of(tenant="b"), "q")
    assert cache.cache_stats().hits == 1


async def test_context_fields_name_what_counts() -> None:
    """A request id does not, when only the tenant is named."""
    cache = CachePrimitive(tenant, context_fields=["tenant"])
    await cache.execute(of(tenant="a", request=1), "q")
    await cache.execute(of(tenant="a", request=2), "q")
    await cache.execute(of(request=2), "q")
    assert (cache.cache_stats().hits, cache.cache_stats().misses) == (1, 2)


async def test_a_replaced_step_does_not_answer_with_the_old_ones_results() -> None:
    """`replace` gives a cache that is empty."""
    cache = CachePrimitive(str.upper, name="c")
    assert await cache.execute("x") == "X"
    other = cache.replace("c/upper", str.lower)
    assert await other.execute("X") == "x"
    assert await other.execute("x") == "x"
