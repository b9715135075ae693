"""What may stand behind `tta-keploy`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from keploy_framework import __version__
from keploy_framework.cli.files import diff, generate, import_files, report, scan
from keploy_framework.cli.recordings import compact_folder, record
from keploy_framework.cli.replays import accept_answers, replay_cases
from keploy_framework.cli.serving import serve
from keploy_framework.cli.setting_up import set_up

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("made_parser", "parsed")

_CODES = "exit codes: 0 as recorded, 1 differences, 2 wrong use, 3 no start, 5 nothing to run"


def made_parser() -> argparse.ArgumentParser:
    """Return the parser; what it parses has a function `run` that takes it."""
    parser = argparse.ArgumentParser(
        prog="tta-keploy",
        description="Record API traffic, replay it as tests, serve it as mocks.",
        epilog=_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=text, epilog=_CODES, allow_abbrev=False
        )
        made.set_defaults(run=run)
        return made

    _record(command("record", record, "Record what passes through a proxy to an application."))
    _replay(command("replay", replay_cases, "Replay recorded cases and compare the answers."))
    _mock(command("mock", serve, "Serve recordings as a mock server."))
    _scan(command("scan", scan, "Look for credentials in files; exit with 1 if there are any."))
    _diff(command("diff", diff, "Compare two runs by their reports."))
    _accept(command("accept", accept_answers, "Make the answers of today the recorded ones."))
    _folder(command("compact", compact_folder, "Make Keploy's files of journals."))
    _import(command("import", import_files, "Import vcrpy and cassetter cassettes, HAR, Postman."))
    _report(command("report", report, "Show the report of a run in another form."))
    _generate(command("generate", generate, "Make pytest files, OpenAPI, or find duplicates."))
    _setup(command("setup", set_up, "Write keploy.yml, a CI workflow and a pre-commit hook."))
    return parser


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the options; what stands behind `--` is the command that starts the application."""
    own, command = arguments, list[str]()
    if "--" in arguments:
        at = arguments.index("--")
        own, command = arguments[:at], arguments[at + 1 :]
    parser = made_parser()
    options = parser.parse_args(own)
    if len(own) == len(arguments):
        return options
    if not hasattr(options, "command"):
        parser.error("a command behind -- is for record, replay and accept")
    if options.command is not None or not command:
        parser.error("give the command once: with --command, or behind --")
    options.command = command
    return options


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default="keploy", help="the keploy folder (default: keploy)")


def _target(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("target", nargs="?", help=what)
    parser.add_argument("--command", help="what starts it, also behind -- (default: keploy.yml's)")
    parser.add_argument("--app-port", type=int, help="the port it listens at (keploy.yml's)")
    parser.add_argument("--config", default="keploy.yml", help="the configuration (keploy.yml)")


def _record(parser: argparse.ArgumentParser) -> None:
    _target(parser, "the URL of the application that is recorded")
    _folder(parser)
    parser.add_argument("--test-set", help="the name of the test set (default: the next number)")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen at (any)")
    parser.add_argument("--include", action="append", default=[], help="a pattern to record only")
    parser.add_argument("--exclude", action="append", default=[], help="a pattern to leave out")
    parser.add_argument("--sample", type=float, default=1.0, help="the fraction to record (1)")
    parser.add_argument("--seconds", type=float, help="how long to record (until it is stopped)")


def _replaying(parser: argparse.ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--test-set", action="append", default=[], help="a set to replay (all)")
    parser.add_argument("--freeze", action="store_true", help="let time stand still")
    parser.add_argument("--restart", action="store_true", help="restart before each set")
    parser.add_argument("--keploy-rules", action="store_true", help="forgive what Keploy forgives")
    parser.add_argument("--allow-host", action="append", default=[], help="a host to call for real")
    parser.add_argument("--live", action="store_true", help="let outbound calls go out")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for each case (30)")


def _replay(parser: argparse.ArgumentParser) -> None:
    _target(parser, "a URL, or module:application (default: the command of keploy.yml)")
    _replaying(parser)
    parser.add_argument("--case", action="append", default=[], help="a case to replay (all)")
    parser.add_argument("--workers", type=int, default=1, help="cases at a time (1)")
    parser.add_argument("--speed", type=float, default=0.0, help="speed of streams (no pauses)")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--html", metavar="FILE", help="write an HTML page")
    parser.add_argument("--markdown", metavar="FILE", help="write Markdown for a pull request")
    parser.add_argument("--no-report", action="store_true", help="write no report into the folder")
    parser.add_argument("--quiet", "-q", action="store_true", help="print one line")
    parser.add_argument("--verbose", "-v", action="store_true", help="list what passed, too")
    parser.add_argument(
        "--learn-noise",
        action="store_true",
        help="replay twice, and write what varies into the cases as noise",
    )


def _accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="*", help="a case, set/name or name (default: all)")
    parser.add_argument("--target", help="a URL, or module:application (the command of keploy.yml)")
    parser.add_argument("--command", help="what starts the application (default: keploy.yml's)")
    parser.add_argument("--app-port", type=int, help="the port it listens at (keploy.yml's)")
    parser.add_argument("--config", default="keploy.yml", help="the configuration (keploy.yml)")
    _replaying(parser)


def _mock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default="keploy", help="a test set or keploy folder")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen at (any)")
    parser.add_argument("--speed", type=float, default=0.0, help="1 plays streams as they came (0)")
    parser.add_argument("--order", choices=("sequence", "scenario"), default="sequence")
    parser.add_argument("--repeat", choices=("once", "last", "cycle"), default="last")
    parser.add_argument("--kind", choices=("mocks", "cases", "any"), default="any")


def _scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="*", default=["keploy"], help="files and folders (keploy)")
    parser.add_argument("--allow", action="append", default=[], help="a name or value to allow")


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", nargs="?", help="the earlier run (the last but one)")
    parser.add_argument("new", nargs="?", help="the later run (the last)")
    _folder(parser)


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", help="a recording of another tool")
    _folder(parser)
    parser.add_argument("--test-set", help="the name of the test set (default: the next number)")
    parser.add_argument(
        "--as", dest="kind", choices=("cases", "mocks"), help="what it becomes (by its tool)"
    )


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_name", nargs="?", metavar="RUN", help="test-run-<n> (the last)")
    _folder(parser)
    parser.add_argument("--format", choices=("text", "junit", "html", "markdown"), default="text")
    parser.add_argument("--output", "-o", help="a file (default: the standard output)")


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("pytest", "openapi", "duplicates"))
    parser.add_argument("path", nargs="?", default="keploy", help="a test set or keploy folder")
    parser.add_argument("--output", "-o", help="a file (default: the standard output)")
    parser.add_argument("--target", default="app:app", help="pytest: a URL or module:application")
    parser.add_argument("--title", default="Recorded API", help="openapi: the title")
    parser.add_argument("--lines", help="duplicates: dedupData.yaml, so that coverage stays")


def _setup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="the name of the application (the folder's)")
    parser.add_argument("--command", default="", help="what starts the application")
    parser.add_argument("--app-port", type=int, default=8000, help="the port it listens at (8000)")
    parser.add_argument("--ci", action="store_true", help="write .github/workflows/keploy.yml")
    parser.add_argument("--pre-commit", action="store_true", help="write .pre-commit-config.yaml")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
