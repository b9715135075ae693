"""The pytest plugin: recording and replaying the calls of tests, and recorded cases as tests.

Each test runs pytest inside of it, against a server that counts what it is asked; all
of them need the project that is made here, so the file is longer than others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import pytest

from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.redact import scan_path
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["pytester"]
# What a run inside of this one imports first is forgotten at its end, and imported again by each.
# Of httpcore there would then be two, and httpx, which keeps the exceptions of the first, would
# know none of the second.
USED = [
    import_module(name)
    for name in (
        "httpcore",
        "keploy_framework.mock",
        "keploy_framework.pytest_plugin.cases",
        "keploy_framework.pytest_plugin.cassette",
        "keploy_framework.pytest_plugin.marks",
    )
]


class Network:
    """A server, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = f"answer {len(asked)}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Done(NamedTuple):
    """What a run of pytest came to."""

    returncode: int
    stdout: str
    stderr: str


class Project:
    """A project of tests, in a folder of its own."""

    def __init__(
        self, pytester: pytest.Pytester, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.root = pytester.path
        self.network = network
        self._pytester = pytester
        self._patch = monkeypatch
        (self.root / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")

    def write(self, text: str, name: str = "test_it.py") -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        head = f"import httpx, pytest\nURL = {self.network.url!r}\n"
        head += "httpx._config.DEFAULT_TIMEOUT_CONFIG.read = 60.0\n"  # a busy machine is no finding
        path.write_text(head + textwrap.dedent(text))

    def run(self, *options: str, **environ: str) -> Done:
        """Run pytest in this process, with no plugin but ours."""
        command = ["-q", "-p", "no:cacheprovider", "-p", "keploy_framework.pytest_plugin", *options]
        with self._patch.context() as patch:
            patch.delenv("CI", raising=False)
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            for name, value in environ.items():
                patch.setenv(name, value)
            done = self._pytester.runpytest_inprocess(*command)
        return Done(int(done.ret), "\n".join(done.outlines), "\n".join(done.errlines))

    def run_apart(self, *options: str, **environ: str) -> Done:
        """Run pytest in a process of its own, as workers need it."""
        own = {name: value for name, value in os.environ.items() if name != "CI"}
        own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environ}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "-p", "keploy_framework.pytest_plugin", *options],
            cwd=self.root, env=own, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def passes(self, *options: str, **environ: str) -> str:
        done = self.run(*options, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mocks(self, name: str) -> list[str]:
        found = KeployFolder(self.root / "keploy").set(name).mocks()
        return [one.exchange.request.url.rpartition("/")[2] for one in found if one.exchange]


@pytest.fixture
def project(
    pytester: pytest.Pytester, network: Network, monkeypatch: pytest.MonkeyPatch
) -> Project:
    return Project(pytester, network, monkeypatch)


ONE_CALL = """
def test_call(keploy):
    assert httpx.get(URL + "/a").text == "answer 1"
"""


def test_calls_are_recorded_once_and_replayed_from_then_on(project: Project) -> None:
    """The second run asks nothing of the network and sees the first answer."""
    project.write(ONE_CALL)

    project.passes()
    project.passes()
    project.passes("--record-mode=none")

    assert project.network.asked == ["/a"]
    assert project.mocks("test_it.test_call") == ["a"]


def test_ci_never_records(project: Project) -> None:
    """Where CI is set, a test without a recording fails and says how to record it."""
    project.write(ONE_CALL)
    done = project.run(CI="true")

    assert done.returncode == 1
    assert "nothing is recorded" in done.stdout
    assert "--record-mode=once" in done.stdout
    assert project.network.asked == []
    assert not (project.root / "keploy").exists()


def test_new_adds_and_rewrite_replaces(project: Project) -> None:
    project.write(ONE_CALL)
    project.passes()
    two_calls = """
    def test_call(keploy):
        assert httpx.get(URL + "/a").text == "answer {}"
        assert httpx.get(URL + "/b").text == "answer {}"
    """
    project.write(two_calls.format(1, 2))
    assert project.run("--record-mode=none").returncode == 1
    project.passes("--record-mode=new")
    assert project.mocks("test_it.test_call") == ["a", "b"]
    project.passes("--record-mode=none")
    assert project.network.asked == ["/a", "/b"]

    project.write(two_calls.format(3, 4))
    project.passes("--record-mode=rewrite")
    assert project.network.asked == ["/a", "/b", "/a", "/b"]
    assert project.mocks("test_it.test_call") == ["a", "b"]
    assert [path.name for path in (project.root / "keploy").iterdir()] != []
    project.passes("--record-mode=none")


def test_a_failed_test_leaves_the_recording_as_it_was(project: Project) -> None:
    """What it recorded is given up: the next run records again, and an old recording stays."""
    project.write("""
    def test_call(keploy):
        httpx.get(URL + "/a")
        assert False
    """)
    assert project.run().returncode == 1
    assert not (project.root / "keploy" / "test_it.test_call").exists()

    project.write(ONE_CALL.replace("answer 1", "answer 2"))
    project.passes()
    project.write(ONE_CALL.replace("answer 1", "never"))
    assert project.run("--record-mode=rewrite").returncode == 1
    assert project.mocks("test_it.test_call") == ["a"]


def test_a_miss_names_the_nearest_recording_and_the_difference(project: Project) -> None:
    project.write(ONE_CALL)
    project.passes()
    project.write("""
    def test_call(keploy):
        try:
            httpx.get(URL + "/a?page=2")
        finally:
            assert len(keploy.missed) == 1
    """)
    done = project.run()

    assert done.returncode == 1
    assert "the nearest is mock-0" in done.stdout
    assert "query.page: added, '2'" in done.stdout


def test_the_network_is_really_blocked_in_replay(project: Project) -> None:
    """Sockets and names fail, whatever library asks; allowed hosts pass."""
    project.write(f"""
    import socket, urllib.request
    PORT = {project.network.server.server_port}

    @pytest.mark.keploy(allow_unplayed=True)
    @pytest.mark.parametrize("how", ["socket", "name", "urllib"])
    def test_blocked(keploy, how):
        with pytest.raises(Exception, match="the network is blocked"):
            if how == "socket":
                socket.create_connection(("127.0.0.1", PORT))
            elif how == "name":
                socket.getaddrinfo("example.com", 80)
            else:
                urllib.request.urlopen(URL)

    @pytest.mark.keploy(allow_hosts=["127.0.0.1"])
    def test_allowed(keploy):
        socket.create_connection(("127.0.0.1", PORT)).close()
        assert httpx.get(URL + "/live").status_code == 200
    """)
    project.passes("--record-mode=none")
    assert project.network.asked == ["/live"]


def test_unplayed_recordings_are_named_and_fail_on_request(project: Project) -> None:
    """They are reported; `--fail-unplayed` fails, `allow_unplayed` says that it is meant."""
    project.write(ONE_CALL)
    project.passes()
    project.write("""
    def test_call(keploy):
        assert (keploy.played, keploy.unplayed) == ((), ("mock-0",))
    """)
    assert "test_it.py::test_call: mock-0" in project.passes()
    done = project.run("--fail-unplayed")
    assert done.returncode == 1
    assert "nothing asked for mock-0" in done.stdout

    project.write("""
    @pytest.mark.keploy(allow_unplayed=True)
    def test_call():
        pass
    """)
    assert "nothing asked for" not in project.passes("--fail-unplayed")


def test_a_mark_is_enough(project: Project) -> None:
    """A marked test has its cassette, whether it takes the fixture or not."""
    project.write("""
    @pytest.mark.keploy("calls", match_on=("method", "path"))
    def test_call():
        assert httpx.get(URL + "/a?at=1").text == "answer 1"
    """)
    project.passes()
    assert project.mocks("calls") == ["a?at=1"]
    project.write("""
    @pytest.mark.keploy("calls", match_on=("method", "path"))
    def test_call():
        assert httpx.get(URL + "/a?at=2").text == "answer 1"
    """)
    project.passes("--record-mode=none")


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("keploy(allowed_hosts=['x'])", "the mark keploy has no key 'allowed_hosts'"),
        ("keploy(allow_hosts='x')", "allow_hosts must be a list or tuple"),
        ("keploy(match_on=['metod'])", "match_on has no 'metod'"),
        ("keploy('a', 'b')", "takes one name"),
        ("keploy('../out')", "cannot be the name of a test set"),
        ("keploy(allow_unplayed=1)", "allow_unplayed must be True or False"),
        ("keploy_cases()", "keploy_cases takes the path of a test set"),
        ("keploy_cases('none')", "there is no such folder"),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_wrong_mark_is_a_usage_error_and_nothing_runs(
    project: Project, mark: str, says: str, workers: tuple[str, ...]
) -> None:
    if workers and says not in {"takes one name", "there is no such folder"}:
        pytest.skip("a mistake of each kind is enough for workers")
    project.write(f"""
    @pytest.mark.{mark}
    def test_call(request):
        open("ran", "w")
    """)
    done = project.run_apart("-p", "xdist.plugin", *workers) if workers else project.run()

    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert not (project.root / "ran").exists()
    if not workers:
        assert done.returncode in {2, 4}


def test_secrets_of_a_test_reach_no_file_and_still_match(project: Project) -> None:
    project.write("""
    def test_call(keploy):
        headers = {"Authorization": "Bearer %s" % ("abcdefghij" * 3)}
        url = URL + "/a?api_key=" + "Q1w2E3r4T5y6U7i8"
        assert httpx.get(url, headers=headers).text == "answer 1"
    """)
    project.passes()
    project.passes("--record-mode=none")

    assert list(scan_path(project.root / "keploy")) == []
    assert "Q1w2E3r4T5y6U7i8" not in "".join(
        path.read_text() for path in (project.root / "keploy").rglob("*.yaml")
    )


def test_names_are_short_stable_and_apart(project: Project) -> None:
    """Made of the test and its parameters, whatever ids pytest gives; long ones end in a hash."""
    project.write(
        """
        import enum
        class Color(enum.Enum):
            RED = 1
        class Test_Group:
            @pytest.mark.parametrize("value", [1, "a/b", None, Color.RED, b"x", [], "y" * 200])
            def test_call(self, keploy, value):
                print("NAME", keploy.name)
        """,
        "sub/test_names.py",
    )
    names = re.findall(r"NAME (\S+)", project.passes("-s"))
    base = "sub.test_names.Test_Group.test_call"

    assert len(set(names)) == 7
    assert [name for name in names if re.search(r"-[0-9a-f]{8}$", name) is None] == [
        f"{base}.value=1", f"{base}.value=None", f"{base}.value=RED", f"{base}.value=78",
    ]  # fmt: skip
    assert all(len(name) <= 80 for name in names)


@pytest.mark.slow
def test_workers_record_and_replay_without_each_other(project: Project) -> None:
    """Under xdist each test has its own recording; unplayed ones reach the one summary."""
    project.write("""
    @pytest.mark.parametrize("n", range(8))
    def test_call(keploy, n):
        text = httpx.get(URL + f"/{n}").text
        assert text.startswith("answer")
    """)
    done = project.run_apart("-p", "xdist.plugin", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert len(project.network.asked) == 8

    again = project.run_apart("-p", "xdist.plugin", "-n", "2", "--record-mode=none")
    assert again.returncode == 0, again.stdout
    assert len(project.network.asked) == 8
    project.write("""
    @pytest.mark.parametrize("n", range(8))
    def test_call(keploy, n):
        pass
    """)
    unplayed = project.run_apart("-p", "xdist.plugin", "-n", "2")
    assert unplayed.stdout.count(": mock-0") == 8


def test_async_and_threaded_calls_belong_to_the_test(project: Project) -> None:
    project.write("""
    import asyncio, threading
    def test_call(keploy):
        async def call():
            async with httpx.AsyncClient() as client:
                return (await client.get(URL + "/a")).text
        assert asyncio.run(call()) == "answer 1"
        found = []
        thread = threading.Thread(target=lambda: found.append(httpx.get(URL + "/b").text))
        thread.start()
        thread.join()
        assert found == ["answer 2"]
    """)
    project.passes()
    project.passes("--record-mode=none")
    assert project.network.asked == ["/a", "/b"]


# --- cases ---------------------------------------------------------------------------------------

APP = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]
"""


TEXT = (("Content-Type", "text/plain"),)


def stored(folder: Path, *paths: str, test_set: str = "test-set-0") -> None:
    exchanges = [
        Exchange(
            path, Direction.INBOUND, Request("GET", f"http://localhost/{path}"),
            Response(200, "OK", TEXT, (Piece(0, f"/{path}".encode()),)),
            number, number,
        )
        for number, path in enumerate(paths, 1)
    ]  # fmt: skip
    store_exchanges(folder, exchanges, test_set=test_set)


def test_each_recorded_case_is_a_test(project: Project) -> None:
    """With the case's name as its id; what differs fails with the difference."""
    stored(project.root / "keploy", "a", "b")
    (project.root / "changing.py").write_text(APP)
    project.write("""
    @pytest.mark.keploy_cases("keploy/test-set-0")
    def test_case(keploy_case, keploy_target):
        keploy_case.check(keploy_target)
    """)
    out = project.passes("-vv", "--keploy-target=changing:app")
    assert "test_case[get-a-1] PASSED" in out
    assert "2 passed" in out

    sys.modules.pop("changing", None)  # both runs are in this process
    (project.root / "changing.py").write_text(APP.replace("return [", "return [b'x' + "))
    done = project.run("--keploy-target=changing:app")
    assert done.returncode == 1
    assert "2 failed" in done.stdout
    assert '+ "x/a"' in done.stdout


def test_a_target_of_ones_own_and_async_tests(project: Project) -> None:
    stored(project.root / "keploy", "a")
    (project.root / "shop.py").write_text(APP)
    project.write("""
    import asyncio

    @pytest.fixture
    def keploy_target():
        from shop import app
        return app

    @pytest.mark.keploy_cases("keploy")
    def test_case(keploy_case, keploy_target):
        async def check():
            with pytest.raises(RuntimeError, match="acheck"):
                keploy_case.check(keploy_target)
            return await keploy_case.acheck(keploy_target)
        assert asyncio.run(check()).status == "PASSED"
    """)
    project.passes("-W", "error")


def test_cases_without_a_target_or_a_mark_say_what_is_missing(project: Project) -> None:
    stored(project.root / "keploy", "a")
    project.write("""
    @pytest.mark.keploy_cases("keploy/test-set-0")
    def test_case(keploy_case, keploy_target):
        keploy_case.check(keploy_target)

    def test_no_mark(keploy_case):
        pass
    """)
    done = project.run()
    assert "define a fixture keploy_target" in done.stdout
    assert "is not marked" in done.stdout
    project.write("""
    @pytest.mark.keploy_cases("keploy/empty")
    def test_case(keploy_case):
        pass
    """)
    (project.root / "keploy" / "empty" / "tests").mkdir(parents=True)
    assert "there are no test cases in keploy/empty" in project.run().stdout


def test_a_mock_server_serves_a_recording(project: Project) -> None:
    stored(project.root / "keploy", "a")
    project.write("""
    def test_call(keploy_mock_server):
        url = keploy_mock_server("keploy/test-set-0")
        assert httpx.get(url + "/a").text == "/a"
        assert httpx.get(url + "/other").status_code == 404
    """)
    project.passes("-W", "error")


def test_a_run_that_does_not_use_it_loads_nothing_of_ours(project: Project) -> None:
    project.write("""
    import sys
    def test_light():
        loaded = {name for name in sys.modules if name.startswith("keploy_framework")}
        assert loaded == {"keploy_framework", "keploy_framework.pytest_plugin"}
    """)
    assert project.run_apart().returncode == 0


def test_another_recorder_may_have_the_option(project: Project) -> None:
    """Where pytest-recording is installed `--record-mode` is its; its words are understood."""
    (project.root / "pytest_recording.py").write_text(
        "def pytest_addoption(parser):\n"
        "    parser.getgroup('x').addoption('--record-mode', default=None)\n"
    )
    project.write(ONE_CALL)
    options = ("-p", "pytest_recording", "--record-mode=all")
    done = project.run_apart(*options, PYTHONPATH=str(project.root))

    assert done.returncode == 0, done.stdout + done.stderr
    assert project.mocks("test_it.test_call") == ["a"]
