"""What a call costs a rate limiter besides its one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from tta_dev_primitives.core import notes
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.load.gcra import REQUESTS, check_amount

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.load.gcra import Rate

__all__ = ("Cost", "read_cost")

Cost: TypeAlias = float | Mapping[str, float]
"""Units besides the one request: a number, or a number for each unit."""


def read_cost(cost: Cost | None, rates: tuple[Rate, ...], name: str) -> tuple[float, ...]:
    """Return what a call takes of each rate.

    Args:
        cost: Units besides the one request: a number for the only other unit that there is, or a
            number for each unit by name. Units that are not named are not taken.
        rates: The rates.
        name: The limiter's, for errors.

    Raises:
        ConfigurationError: It is neither; or a number, where several units have a rate or none.

    Example:
        >>> from tta_dev_primitives.recovery.load.gcra import Rate
        >>> rates = (Rate(500), Rate(90_000, unit="tokens"))
        >>> read_cost(300, rates, "model"), read_cost(None, rates, "model")
        ((1.0, 300.0), (1.0, 0.0))
    """
    amounts: Mapping[str, float] = {}
    known = {rate.unit for rate in rates}
    if isinstance(cost, Mapping):
        amounts = cost
    elif cost is not None:
        others = sorted(known - {REQUESTS})
        if len(others) != 1:
            message = (
                f"a cost of {notes.shown_value(cost)} fits no one unit of {name!r}, which counts "
                f"these besides requests: {', '.join(others) or 'none'}; give a cost by unit"
            )
            raise ConfigurationError(message)
        amounts = {others[0]: cost}
    for unit, amount in amounts.items():
        if unit not in known or unit == REQUESTS:
            message = (
                f"a cost names the unit {unit!r}; {name!r} counts {', '.join(sorted(known))}, and "
                f"takes one request for every call"
            )
            raise ConfigurationError(message)
        check_amount(f"a cost in {unit}", amount, zero=True)
    return tuple(
        1.0 if rate.unit == REQUESTS else float(amounts.get(rate.unit, 0.0)) for rate in rates
    )
