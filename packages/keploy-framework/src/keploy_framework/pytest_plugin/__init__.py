"""The pytest plugin: loaded by every run of pytest, so it imports nothing of ours by itself.

```python
@pytest.mark.keploy(match_on=("method", "url"))
def test_outbound(keploy):  # its calls are recorded once, and replayed from then on
    ...


@pytest.mark.keploy_cases("keploy/test-set-0")  # one test for each case
def test_case(keploy_case, keploy_target):
    keploy_case.check(keploy_target)
```
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from keploy_framework.pytest_plugin.cases import Case
    from keploy_framework.pytest_plugin.cassette import Cassette

__all__ = ("keploy", "keploy_case", "keploy_mock_server", "keploy_target")

_MARKERS = (
    (
        "keploy(name=None, match_on=('method', 'url', 'body'), allow_hosts=(), "
        "allow_unplayed=False): record the calls of this test, or answer them from its recording "
        "(keploy-framework)"
    ),
    "keploy_cases(path): run this test for each recorded case of a set (keploy-framework)",
)
_MODES = ("none", "once", "new", "rewrite")
_RIVALS = ("pytest_recording", "cassetter")
_FOREIGN_MODES = {"new_episodes": "new", "all": "rewrite"}
_UNPLAYED = "keploy_unplayed"
_REPORT: pytest.StashKey[pytest.TestReport] = pytest.StashKey()
_WRONG: pytest.StashKey[pytest.UsageError] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("keploy", "record and replay (keploy-framework)")
    # These have the option too, and end the run if it is there when they come.
    if not any(map(find_spec, _RIVALS)):
        group.addoption(
            "--record-mode",
            choices=_MODES,
            help="outbound calls: none replays only (default where CI is set); once records tests "
            "that have no recording (default elsewhere); new adds what is not recorded; rewrite "
            "records anew",
        )
    group.addoption("--keploy-dir", help="where recordings are (default: keploy)")
    group.addoption("--keploy-target", help="what cases run against: a URL, or module:application")
    group.addoption(
        "--fail-unplayed",
        action="store_true",
        help="fail tests that did not ask for all of their recordings",
    )
    parser.addini("keploy_dir", "where recordings are, from the root of the project", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marks."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(_Unplayed())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each recorded case."""
    marker = metafunc.definition.get_closest_marker("keploy_cases")
    if marker is None:
        return
    from keploy_framework.pytest_plugin.cases import cases_of  # noqa: PLC0415 - when used

    found = cases_of(marker, metafunc.config.rootpath, metafunc.definition.nodeid)
    if "keploy_case" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} is marked keploy_cases, but does not take keploy_case"
        )
    metafunc.parametrize("keploy_case", found, ids=[case.short_name for case in found])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Check the marks, and let a test that is marked have its cassette, asked for or not."""
    for item in items:
        marks = list(item.iter_markers("keploy"))
        if marks:
            from keploy_framework.pytest_plugin.marks import checked  # noqa: PLC0415 - when used

            try:
                for mark in marks:
                    checked(mark, item.nodeid)
            except pytest.UsageError as error:
                if not hasattr(item.config, "workerinput"):
                    raise
                item.stash[_WRONG] = error  # a worker of xdist cannot end the run
            names = cast("list[str]", getattr(item, "fixturenames", []))
            if "keploy" not in names:
                names.insert(0, "keploy")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run no test whose mark is wrong."""
    if _WRONG in item.stash:
        raise item.stash[_WRONG]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep whether the test passed: only then a recording is kept."""
    del call
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


class _Unplayed:
    """Collects the recordings that nothing asked for, where the reports of all workers meet."""

    def __init__(self) -> None:
        self._found: list[tuple[str, list[str]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of what a test left unplayed."""
        if report.when == "teardown":
            self._found += [
                (report.nodeid, list(cast("Any", value)))
                for name, value in report.user_properties
                if name == _UNPLAYED
            ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        if self._found:
            terminalreporter.section("keploy: recordings that nothing asked for")
            for nodeid, names in sorted(self._found):
                terminalreporter.line(f"{nodeid}: {', '.join(names)}")


@pytest.fixture
def keploy(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The recording of this test's outbound calls; see `Cassette`."""
    from keploy_framework.pytest_plugin.cassette import Cassette  # noqa: PLC0415 - when used
    from keploy_framework.pytest_plugin.marks import options_of  # noqa: PLC0415 - when used
    from keploy_framework.pytest_plugin.names import cassette_name  # noqa: PLC0415 - when used

    item = cast("pytest.Item", request.node)
    options = options_of(item)
    cassette = Cassette(
        _folder(request.config),
        cassette_name(item, options.name),
        mode=_mode(request.config),
        options=options,
    )
    with cassette:
        yield cassette
        report = item.stash.get(_REPORT, None)
        passed = report is not None and report.passed
        cassette.finish(keep=passed)
    unplayed = [] if options.allow_unplayed else list(cassette.unplayed)
    if unplayed:
        item.user_properties.append((_UNPLAYED, unplayed))
        if passed and request.config.getoption("--fail-unplayed"):
            pytest.fail(
                f"{cassette.path}: nothing asked for {', '.join(unplayed)}; record the test anew "
                "with --record-mode=rewrite, or mark it allow_unplayed=True",
                pytrace=False,
            )


@pytest.fixture
def keploy_case(request: pytest.FixtureRequest) -> Case:
    """A recorded case; there with the mark `keploy_cases`."""
    found: object = getattr(request, "param", None)
    if found is None:
        raise pytest.UsageError(
            f"{request.node.nodeid} takes keploy_case, but is not marked "
            '@pytest.mark.keploy_cases("keploy/<test set>")'
        )
    return cast("Case", found)


@pytest.fixture
def keploy_target(request: pytest.FixtureRequest) -> Any:
    """What cases run against: define this fixture, or give `--keploy-target`."""
    from keploy_framework.errors import KeployError  # noqa: PLC0415 - when used
    from keploy_framework.replay.named import named_target  # noqa: PLC0415 - when used

    named = cast("str | None", request.config.getoption("--keploy-target"))
    if not named:
        raise pytest.UsageError(
            "there is nothing to run cases against: define a fixture keploy_target that returns "
            "the application, a URL or a Command, or give --keploy-target=module:application"
        )
    try:
        return named_target(named)
    except KeployError as error:
        raise pytest.UsageError(f"--keploy-target: {error}") from error


@pytest.fixture
def keploy_mock_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Serve recordings: a callable that takes a test set or `keploy` folder and returns a URL."""
    from contextlib import ExitStack  # noqa: PLC0415 - when used

    from keploy_framework.mock import MockServer, Play  # noqa: PLC0415 - when used
    from keploy_framework.mock.recordings import recorded_exchanges  # noqa: PLC0415 - when used

    with ExitStack() as stack:

        def serve(folder: Path | str, *, speed: float = 0.0, **options: Any) -> str:
            path = request.config.rootpath / folder
            play = Play(recorded_exchanges(path), **options)
            return stack.enter_context(MockServer(play, speed=speed)).url

        yield serve


def _folder(config: pytest.Config) -> Path:
    named = config.getoption("--keploy-dir")
    if named:
        return Path(named).absolute()
    return config.rootpath / (cast("str", config.getini("keploy_dir")) or "keploy")


def _mode(config: pytest.Config) -> str:
    given = cast("str | None", config.getoption("--record-mode", None))
    given = _FOREIGN_MODES.get(given or "", given)
    in_ci = os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}
    return given or ("none" if in_ci else "once")
