"""What kind of failure an error is, and what a provider says about when to come back."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
