"""What a fallback is made of: alternatives by kind of error, and the race between them."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
