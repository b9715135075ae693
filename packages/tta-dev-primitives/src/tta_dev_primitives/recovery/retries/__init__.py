"""What a retry is made of: schedules, attempts, budgets, and the loop over attempts."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
