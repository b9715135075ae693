"""How long closing goes on, decided of times alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_observability_integration.pipeline import _Patience as Patience  # pyright: ignore[reportPrivateUsage] - what closing decides by


@given(st.lists(st.floats(0.001, 10), min_size=1), st.floats(0.001, 10))
def test_no_pause_uses_up_patience_alone(pauses: list[float], timeout: float) -> None:
    """Ten looks at least in which nothing was delivered; and no more than the limit asks for."""
    patience = Patience(timeout, 0.0, 0)
    now = counted = 0.0
    for number, pause in enumerate(pauses, 1):
        now += pause
        counted += min(pause, timeout / 10)
        over = patience.is_over(now, 0)
        assert not (over and number < 10)
        assert not (over and now < timeout * 0.999)
        assert over or counted < timeout * 1.001


@pytest.mark.parametrize("timeout", [0.05, 1.0, 60.0])
def test_patience_ends_with_the_limit_where_looks_are_frequent(timeout: float) -> None:
    """Not before, and not two looks after."""
    patience = Patience(timeout, 5.0, 7)
    step = timeout / 100
    looks = next(n for n in range(1, 200) if patience.is_over(5.0 + n * step, 7))

    assert 100 <= looks <= 102


def test_a_delivery_is_what_patience_waits_for() -> None:
    """From each on, the limit begins anew; after ten limits it is over all the same."""
    patience = Patience(1.0, 0.0, 0)
    looks = next(n for n in range(1, 200) if patience.is_over(n * 0.1, n // 9))

    assert 100 <= looks <= 102
