"""Serve recordings as mocks: a server for any client, and doubles for steps of workflows."""

from __future__ import annotations

from keploy_framework.mock.doubles import decoded, mock_primitive
from keploy_framework.mock.play import Play
from keploy_framework.mock.server import MockServer

__all__ = ("MockServer", "Play", "decoded", "mock_primitive")
