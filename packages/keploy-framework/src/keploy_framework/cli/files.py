"""The commands that only read and write files: scan, diff, import, report, generate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.cli.telling import remark, say
from keploy_framework.errors import OptionError
from keploy_framework.generate import find_duplicates, openapi_document, pytest_file, read_lines
from keploy_framework.importers import read_recordings, store_exchanges
from keploy_framework.mock.recordings import recorded_sets
from keploy_framework.model import Direction
from keploy_framework.redact import Redaction, scan_path
from keploy_framework.report import (
    compare_runs,
    html_report,
    junit_report,
    markdown_report,
    read_report,
    reread_results,
    run_names,
    terminal_report,
    wants_color,
)
from keploy_framework.storage.documents import replace_file

if TYPE_CHECKING:
    import argparse

__all__ = ("diff", "generate", "import_files", "report", "scan")

_NOTHING = 5


def scan(options: argparse.Namespace) -> int:
    """Name the credentials that stand in files."""
    count = 0
    for path in options.path:
        if not Path(path).exists():
            raise OptionError(f"there is no {path} to scan")
        for finding in scan_path(path, allow=options.allow):
            count += 1
            say(finding)
    if count:
        remark(f"{count} credentials found")
    return 1 if count else 0


def diff(options: argparse.Namespace) -> int:
    """Compare two runs."""
    names = run_names(options.folder)
    new = options.new or (names[-1] if names else None)
    earlier = [name for name in names if name != new]
    old = options.old or (earlier[-1] if earlier else None)
    if old is None or new is None:
        remark(f"{options.folder} has no two runs to compare")
        return _NOTHING
    changes = compare_runs(read_report(options.folder, old), read_report(options.folder, new))
    say(changes)
    return 0 if changes.is_empty else 1


def import_files(options: argparse.Namespace) -> int:
    """Store the recordings of other tools."""
    directions = {"cases": Direction.INBOUND, "mocks": Direction.OUTBOUND, None: None}
    redact = Redaction.default()
    total = 0
    for name in options.file:
        found = read_recordings(name, direction=directions[options.kind], redact=redact)
        for notice in found.notices:
            remark(f"{name}: {notice}")
        if found.exchanges:
            made = store_exchanges(options.folder, found.exchanges, test_set=options.test_set)
            say(f"{name}: {len(found.exchanges)} of {found.tool} are in {made}")
        total += len(found.exchanges)
    return 0 if total else _NOTHING


def report(options: argparse.Namespace) -> int:
    """Show a run."""
    if not run_names(options.folder):
        remark(f"{options.folder} has no reports")
        return _NOTHING
    found = read_report(options.folder, options.run_name)
    results = reread_results(found)
    made = {"junit": junit_report, "html": html_report, "markdown": markdown_report}
    if options.format == "text":
        color = options.output is None and wants_color()
        _put(terminal_report(results, color=color, verbose=True) + "\n", options.output)
    else:
        _put(made[options.format](results), options.output)
    return 0 if found.is_success else 1


def generate(options: argparse.Namespace) -> int:
    """Make something of recordings."""
    sets = recorded_sets(options.path)
    cases = [(each.name, case) for each in sets for case in each]
    if not cases:
        remark(f"{options.path} holds no test cases")
        return _NOTHING
    exchanges = [
        (f"{test_set}/{case.name}", case.exchange)
        for test_set, case in cases
        if case.exchange is not None
    ]
    if options.what == "pytest":
        _put(pytest_file([case for _, case in cases], target=options.target), options.output)
    elif options.what == "openapi":
        document = openapi_document((one for _, one in exchanges), title=options.title)
        _put(json.dumps(document, indent=2, ensure_ascii=False) + "\n", options.output)
    else:
        lines = read_lines(options.lines) if options.lines else None
        found = find_duplicates(exchanges, lines)
        text = [f"{name} says the same as {other}" for name, other in found.dropped.items()]
        if found.proof is not None:
            text.append(f"{found.proof.after} of {found.proof.before} lines stay covered")
        text.append(f"{len(found.kept)} of {len(exchanges)} cases are needed")
        _put("\n".join(text) + "\n", options.output)
    return 0


def _put(text: str, output: str | None) -> None:
    """Write a file, or to the standard output."""
    if output is None:
        sys.stdout.write(text)
    else:
        replace_file(Path(output), text.encode("utf-8", "replace"))
