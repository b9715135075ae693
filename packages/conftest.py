"""What holds for the tests of all packages."""  # noqa: INP001 - found by pytest, by its path

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    import pytest

# A machine that is busy with something else is no finding: no deadline. To explain a failure takes
# hundreds of runs, which would be minutes where a server is asked.
settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
# Where a suite is run once more in another environment, a few examples show what differs there.
settings.register_profile("again", settings.get_profile("busy"), max_examples=20)
settings.load_profile("busy")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with files that have slow tests: last, one would run while other processes idle.

    A few examples are enough for state machines as well, where they are run once more.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    if config.getoption("--hypothesis-profile") == "again":
        few = settings.get_profile("again").max_examples
        for case in {getattr(item, "cls", None) for item in items}:
            own = getattr(case, "settings", None)
            if isinstance(own, settings) and own.max_examples > few:
                setattr(case, "settings", settings(own, max_examples=few))  # noqa: B010 - of whichever class


@settings(max_examples=1, database=None)
@given(st.none())
def draw(_: None) -> None:
    """Draw an example."""


def pytest_collection_finish() -> None:
    """Set what was collected apart: many tests collect garbage, and none made this."""
    # Hypothesis registers its generator at the first use, and then looks for what refers to it.
    draw()
    gc.collect()
    gc.freeze()
