"""Record an ASGI application (FastAPI, Starlette, Django, bare) in one line."""

from __future__ import annotations

from keploy_framework.recording.asgi import ASGIApp, RecordingMiddleware

__all__ = ("ASGIApp", "RecordingMiddleware")
