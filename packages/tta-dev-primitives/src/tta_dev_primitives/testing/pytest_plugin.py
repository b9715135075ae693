"""The pytest plugin: loaded by every run of pytest, so it imports nothing of ours by itself.

It does not compete with a plugin for async tests. `virtual_time` is for synchronous tests, which
run coroutines in it; the marker `virtual_time` runs one async test in virtual time without any
other plugin, so its fixtures must be synchronous ones. To run all async tests of a module in
virtual time under anyio's plugin, give it this backend:

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": VirtualTimeLoop}
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator
    from contextlib import AbstractContextManager

    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.testing.mocks import MockPrimitive
    from tta_dev_primitives.testing.session import VirtualTime

__all__ = ("mock_primitive", "no_leaked_tasks", "virtual_time", "workflow_records")

_MARKER = (
    "virtual_time(start=0.0, io_wait=0.05, real_limit=60.0): "
    "run this async test on a loop whose time jumps (tta-dev-primitives)"
)


@pytest.fixture
def virtual_time() -> Iterator[VirtualTime]:
    """Virtual time for a synchronous test: `virtual_time.run(workflow.execute(...))`.

    Tasks that a coroutine leaves running go on in the next `run` or `advance`, and are cancelled
    when the test has ended.
    """
    from tta_dev_primitives.testing.session import VirtualTime  # noqa: PLC0415 - when used

    with VirtualTime() as session:
        yield session


@pytest.fixture
def workflow_records() -> Iterator[list[Record]]:
    """The record of every call that ends while the test runs, children before parents."""
    from tta_dev_primitives.observability.tracing import collect_records  # noqa: PLC0415 - when used
    from tta_dev_primitives.testing.observing import preserved_observers  # noqa: PLC0415 - when used

    with preserved_observers(), collect_records() as records:
        yield records


@pytest.fixture
def mock_primitive() -> type[MockPrimitive[Any]]:
    """The class `MockPrimitive`: `mock_primitive(return_value=...)`."""
    from tta_dev_primitives.testing.mocks import MockPrimitive  # noqa: PLC0415 - when used

    return MockPrimitive


@pytest.fixture
def no_leaked_tasks() -> Callable[[], AbstractContextManager[None]]:
    """Fail an async test that leaves a task behind; the value checks a block by itself."""
    from tta_dev_primitives.testing.leaks import no_leaked_tasks  # noqa: PLC0415 - when used

    return no_leaked_tasks


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Wrap the test function where the marker or `no_leaked_tasks` asks for it."""
    marker = item.get_closest_marker("virtual_time")
    checked = "no_leaked_tasks" in getattr(item, "fixturenames", ())
    if not isinstance(item, pytest.Function) or (marker is None and not checked):
        return (yield)
    # Under `@given` the async function is inside; a plugin for async tests looks there as well.
    holder, field = item, "obj"
    if hasattr(item.obj, "hypothesis"):
        holder, field = item.obj.hypothesis, "inner_test"
    function = getattr(holder, field)
    if not inspect.iscoroutinefunction(function):
        if marker is not None:
            pytest.fail(
                f"{item.name} is marked virtual_time but is not async; "
                f"in a synchronous test use the fixture: virtual_time.run(...)",
                pytrace=False,
            )
        return (yield)
    wrapped = _checked(function) if checked else function
    setattr(holder, field, wrapped if marker is None else _virtual(wrapped, marker))
    try:
        return (yield)
    finally:
        setattr(holder, field, function)


def _checked(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def test(*args: Any, **kwargs: Any) -> Any:
        from tta_dev_primitives.testing.leaks import no_leaked_tasks  # noqa: PLC0415 - when used

        with no_leaked_tasks():
            return await function(*args, **kwargs)

    return test


def _virtual(
    function: Callable[..., Coroutine[Any, Any, Any]], marker: pytest.Mark
) -> Callable[..., Any]:
    @functools.wraps(function)
    def test(*args: Any, **kwargs: Any) -> Any:
        from tta_dev_primitives.testing.virtual_time import run_virtual  # noqa: PLC0415 - when used

        return run_virtual(function(*args, **kwargs), **marker.kwargs)

    return test
