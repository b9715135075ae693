"""What a saga is made of: its plan, its steps, its run and its journal."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
