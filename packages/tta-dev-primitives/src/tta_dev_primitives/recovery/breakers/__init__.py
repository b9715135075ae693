"""What a circuit breaker is made of: its settings, windows, state and store."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
