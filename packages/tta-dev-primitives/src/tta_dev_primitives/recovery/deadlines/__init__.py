"""Deadlines that nest, and limits that follow what was observed."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
