"""Patched HTTP clients: what an application calls is recorded, or answered from recordings."""

from __future__ import annotations

from keploy_framework.recording.clients.install import CLIENTS, answering, install, recording
from keploy_framework.recording.clients.recorded import RecordedAnswers
from keploy_framework.recording.clients.seam import Interception, Responder

__all__ = (
    "CLIENTS",
    "Interception",
    "RecordedAnswers",
    "Responder",
    "answering",
    "install",
    "recording",
)
