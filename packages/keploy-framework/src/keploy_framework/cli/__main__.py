"""`python -m keploy_framework.cli`."""

from __future__ import annotations

from keploy_framework.cli import main

main()
