"""Recording: middleware, a proxy and patched clients write what passes into a journal."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
