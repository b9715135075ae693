"""`mock`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keploy_framework.cli.stopping import told_to_stop
from keploy_framework.cli.telling import remark
from keploy_framework.mock import MockServer, Play
from keploy_framework.mock.recordings import recorded_exchanges

if TYPE_CHECKING:
    import argparse

__all__ = ("serve",)

_NOTHING = 5


def serve(options: argparse.Namespace) -> int:
    """Serve recordings until SIGTERM or Ctrl-C comes; exit with 1 if something was not there."""
    exchanges = recorded_exchanges(options.path, options.kind)
    if not exchanges:
        remark(f"{options.path} holds nothing to serve")
        return _NOTHING
    play = Play(exchanges, order=options.order, repeat=options.repeat)
    server = MockServer(play, host=options.host, port=options.port, speed=options.speed)
    asyncio.run(_serving(server, len(exchanges)))
    for request in server.missed:
        remark(f"not recorded: {request.method} {request.url}")
    return 1 if server.missed else 0


async def _serving(server: MockServer, count: int) -> None:
    async with server:
        await told_to_stop(f"serving {count} recordings at {server.url}")
