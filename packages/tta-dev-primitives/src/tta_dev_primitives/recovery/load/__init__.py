"""What keeps load in bounds: permits, rates, costs, percentiles and concurrency limits."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
