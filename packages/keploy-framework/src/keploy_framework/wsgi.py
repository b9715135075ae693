"""Record a WSGI application (Flask, Django, bare) in one line."""

from __future__ import annotations

from keploy_framework.recording.wsgi import RecordingMiddleware

__all__ = ("RecordingMiddleware",)
