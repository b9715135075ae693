"""Keploy's files: test cases, mocks, mappings and settings, and the sidecars beside them."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
