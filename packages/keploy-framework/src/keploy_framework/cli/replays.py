"""`replay` and `accept`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keploy_framework.cli.targets import target_of
from keploy_framework.cli.telling import remark, say
from keploy_framework.replay import Command, accept, find_noise, replay, write_noise
from keploy_framework.report import (
    html_report,
    junit_report,
    markdown_report,
    terminal_report,
    wants_color,
    write_report,
)
from keploy_framework.storage.documents import replace_file

if TYPE_CHECKING:
    import argparse

    from keploy_framework.results import TestResults

__all__ = ("accept_answers", "replay_cases")

_NOTHING = 5


def replay_cases(options: argparse.Namespace) -> int:
    """Replay, tell what came of it, and write the reports that were asked for."""
    target = target_of(options)
    chosen = {**_chosen(options), "cases": options.case, "workers": options.workers}
    if options.learn_noise:
        found = asyncio.run(find_noise(target, options.folder, **chosen))
        written = write_noise(options.folder, found.noise)
        for name in written:
            say(f"{name}: {', '.join(found.noise[name])} is noise")
        for name in found.unproven:
            say(
                f"{name}: unproven, since nothing puts back what a case before changed; --restart "
                "starts the application anew before each pass"
            )
        return 0 if found.results.total else _NOTHING
    results = asyncio.run(replay(target, options.folder, speed=options.speed, **chosen))
    text = terminal_report(results, color=wants_color(), verbose=options.verbose)
    # First of all what came of it: a report that cannot be written does not take it away.
    say(text.splitlines()[-1] if options.quiet else text)
    _write(results, options, _shown(target, options))
    return _code(results)


def accept_answers(options: argparse.Namespace) -> int:
    """Replay, and take over the answers that differ."""
    target = target_of(options)
    results = asyncio.run(replay(target, options.folder, cases=options.case, **_chosen(options)))
    if not results.total:
        remark("there is nothing to accept: no test cases")
        return _NOTHING
    wanted = set(options.case)
    outcomes = [case for case in results.test_cases if not wanted or {case.id, case.name} & wanted]
    for name in accept(options.folder, outcomes):
        say(f"{name}: accepted")
    return 0


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "test_sets": options.test_set,
        "freeze": options.freeze,
        "reset": "restart" if options.restart else None,
        "outbound": "live" if options.live else "recorded",
        "timeout": options.timeout,
        "allow_hosts": options.allow_host,
        "rules": "keploy" if options.keploy_rules else "strict",
    }


def _shown(target: object, options: argparse.Namespace) -> str:
    return " ".join(target.arguments) if isinstance(target, Command) else str(options.target)


def _write(results: TestResults, options: argparse.Namespace, command: str) -> None:
    if results.total and not options.no_report:
        write_report(results, options.folder, command=command)
    reports = {
        options.junit: junit_report,
        options.html: html_report,
        options.markdown: markdown_report,
    }
    for name, made in reports.items():
        if name is not None:
            replace_file(Path(name), made(results).encode("utf-8", "replace"))


def _code(results: TestResults) -> int:
    if results.passed + results.failed == 0:
        return _NOTHING
    return 0 if results.is_success else 1
