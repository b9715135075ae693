"""Observers that a block changes are put back when it ends."""

import asyncio

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.observability import collect_records, get_metrics, reset_metrics
from tta_dev_primitives.testing import preserved_observers


def double(value: int) -> int:
    return 2 * value


def test_observers_are_put_back() -> None:
    """What was added inside listens no more, what was removed listens again."""
    first = NullObserver()

    class Second(NullObserver):
        pass

    engine.add_observer(first)
    listening = engine.listening
    with preserved_observers():
        engine.remove_observer(first)
        engine.add_observer(Second())
    assert engine.observers() == (first,)
    assert engine.listening is listening


def test_observers_are_put_back_after_an_error() -> None:
    """However the block ends."""
    before = engine.observers()
    with pytest.raises(ZeroDivisionError), preserved_observers():  # noqa: PT012 - what is undone
        engine.add_observer(NullObserver())
        raise ZeroDivisionError
    assert engine.observers() == before


def test_silence_ends_with_the_block() -> None:
    """The default recorder is there again."""
    asyncio.run(step(double).execute(1))  # the defaults are installed by the first run
    listening = engine.listening
    with preserved_observers():
        engine.silence()
        assert engine.listening is None
    assert engine.listening is listening


async def test_calls_are_counted_on_after_a_reset_inside_the_block() -> None:
    """What is read is what the observers that were put back write to."""
    reset_metrics()
    workflow = step(double).named("counted_on")
    await workflow.execute(1)
    with preserved_observers():
        reset_metrics()
        assert get_metrics("counted_on") is None
    await workflow.execute(1)
    metrics = get_metrics("counted_on")
    assert metrics is not None
    assert metrics.total == 2


async def test_records_collected_around_the_block_are_complete() -> None:
    """Putting observers back does not take away one that listened before."""
    with collect_records() as records:
        with preserved_observers(), collect_records() as inner:
            await step(double).execute(1)
        await step(double).execute(1)
    assert (len(records), len(inner)) == (2, 1)
