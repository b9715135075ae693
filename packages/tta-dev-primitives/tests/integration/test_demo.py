"""The demo, whole: the project's own documents, and a model's server that does what servers do.

The server is real and stands on this machine. Whatever it does, the command ends with an answer and
its sources.
"""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import ask_docs
import pytest
from ask_docs import Library, answering, main, reading
from docs_qa.extraction import Answer
from docs_qa.model import Settings

from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.testing import run_virtual

KEY = "sk-this-is-a-secret"
QUESTION = "How do I build a workflow?"


@dataclass(slots=True)
class Asked:
    """A request that the server got."""

    target: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[BaseHTTPRequestHandler], None]


@dataclass(slots=True)
class Server:
    """A server on this machine that answers as it is told.

    Attributes:
        address: What `OPENAI_BASE_URL` is set to.
        script: What to do for each request in turn; the last one is repeated.
        models: The names of its models.
        asked: The requests for an answer.
        hanging: Set when a client is being left without an answer.
        hung_up: Set when such a client shut its connection.
    """

    address: str = ""
    script: list[Respond] = field(default_factory=list[Respond])
    models: list[str] = field(default_factory=lambda: ["small", "large"])
    asked: list[Asked] = field(default_factory=list[Asked])
    hanging: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        if request.command == "GET":
            reply(200, {"data": [{"id": name} for name in self.models]})(request)
            return
        length = int(request.headers["Content-Length"])
        self.asked.append(
            Asked(request.path, dict(request.headers.items()), request.rfile.read(length))
        )
        self.script[min(len(self.asked), len(self.script)) - 1](request)

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        """Leave a client without an answer until it hangs up."""
        self.hanging.set()
        if not request.rfile.read(1):
            self.hung_up.set()


def reply(status: int, body: object, **headers: str) -> Respond:
    """Return what sends a reply; a body of bytes goes out as it is."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return send


def says(text: str) -> Respond:
    """Return what sends a model's answer."""
    return reply(200, {"choices": [{"message": {"role": "assistant", "content": text}}]})


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Respond:
    """Return what sends an error as these servers send it."""
    return reply(status, {"error": {"message": message, "code": code}}, **headers)


def close(request: BaseHTTPRequestHandler) -> None:
    """End the connection without a reply."""
    request.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server; nothing of it is left when the test ends."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.handle(self)

        def do_POST(self) -> None:
            state.handle(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no model that the machine is set up for."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Set the environment up for the server."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.address)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_MODEL", "small")
    return server


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """Read a small document through the demo's own workflow."""
    path = tmp_path / "guide.md"
    path.write_text("# Workflow\n\nA workflow is built with `>>`.\n\n## Run\n\nCall `run`.\n")
    library = reading(lambda path: path.name, lambda done, total: None).run([path])
    yield library
    library.index.close()


def in_virtual_time(library: Library, server: Server) -> tuple[Answer, float]:
    """Answer a question; returns the answer and how many virtual seconds it took."""
    settings = Settings(base_url=server.address, key=KEY, model="small")

    async def answer() -> tuple[Answer, float]:
        answer = await answering(library.index, settings).execute(QUESTION)
        return answer, asyncio.get_running_loop().time()

    return run_virtual(answer())


# --- without a model ----------------------------------------------------------------------------


def test_the_default_question_is_answered_from_this_projects_documents(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command alone tells what the project is, shows code, and names its sources."""
    assert main([]) == 0

    shown = capsys.readouterr()
    assert ask_docs.DEFAULT_QUESTION in shown.out
    assert "workflows" in shown.out
    assert "[1]" in shown.out
    assert "\nSources\n  [1] " in shown.out
    assert ".md:" in shown.out
    assert "Answered by extraction (no model is set up)" in shown.out
    assert shown.err == ""


def test_what_is_quoted_stands_in_the_named_lines(library: Library) -> None:
    """An answer's sources are the passages, with their lines."""
    answer = answering(library.index, None).run("How is a workflow built?")

    assert "A workflow is built with `>>`. [1]" in answer.text
    number, passage = answer.sources[0]
    assert (number, passage.place) == (1, "guide.md:3 · Workflow")


@pytest.mark.parametrize("question", ["zzyzx qwertz", "?!", '" OR 1 NEAR('])
def test_a_question_that_finds_nothing_says_what_was_searched(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words, the number of passages and the places are named."""
    (tmp_path / "a.md").write_text("text\n")

    assert main([question, "--docs", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "has any of these words: " in shown.out or "no word that could" in shown.out
    assert f"Searched: 1 passages of 1 files ({tmp_path})." in shown.out


def test_a_question_of_ten_thousand_characters_is_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A long question is answered, and shown in short."""
    assert main(["what is a workflow? " * 499 + "what is a workflow??"]) == 0

    shown = capsys.readouterr()
    assert "(10,000 characters)" in shown.out
    assert len(shown.out) < 8_000


def test_the_commands_for_a_terminal_in_a_document_are_not_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could move the cursor or set a title is replaced."""
    (tmp_path / "a.md").write_text("# Pump\x1b]0;x\x07\n\nThe pump \x1b[2Jis old.\n")

    assert main(["How old is the pump?", "--docs", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_what_is_wrong_with_a_file_is_said_once_and_the_rest_is_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One warning for each bad file, beside the answer."""
    (tmp_path / "a.md").write_text("The pump is old.\n")
    (tmp_path / "b.md").write_bytes(b"na\xefve pump\n")
    os.mkfifo(tmp_path / "c.md")

    assert main(["Is the pump old?", "--docs", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 2
    assert "b.md is not valid UTF-8 (line 1)" in shown.err
    assert "c.md is no regular file; skipped" in shown.err
    assert "The pump is old. [1]" in shown.out


@pytest.mark.parametrize("content", [None, "", "# only a heading\n"])
def test_an_empty_corpus_is_named(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing to search, the message says where it looked; exit code 3."""
    if content is not None:
        (tmp_path / "a.md").write_text(content)

    assert main(["x", "--docs", str(tmp_path)]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is no Markdown text in {tmp_path}")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--docs", "/no/such/place"], "/no/such/place: no such file or folder"),
        (["x", "--timeout", "0"], "--timeout must be a number of seconds, above 0, not 0.0"),
        (["x", "--timeout", "nan"], "not nan"),
        ([" "], "the question is empty"),
    ],
)
def test_a_wrong_command_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the culprit; exit code 2."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_wrong_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that cannot be used is an error, not a reason to go without a model."""
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:11434")

    assert main(["x"]) == 2
    assert capsys.readouterr().err.startswith("error: OPENAI_BASE_URL is no address")


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """What a script needs to know is in the help."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    assert "Exit codes: 0 answered; 1 nothing was found" in capsys.readouterr().out


def test_the_picture_shows_every_part_of_the_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    """`--graph` needs neither documents nor a model."""
    assert main(["--graph"]) == 0

    shown = capsys.readouterr().out
    for part in ("parallel", "router", "fallback", "retry", "timeout", "cache", "near_words"):
        assert part in shown


def test_the_trace_shows_what_ran(capsys: pytest.CaptureFixture[str]) -> None:
    """`--trace` ends with the span tree of the run."""
    assert main([QUESTION, "--trace"]) == 0

    shown = capsys.readouterr().out
    for part in ("answer", "understand", "all_words", "merge", "route=quotes"):
        assert part in shown.partition("Answered by")[2]


def test_questions_go_on_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--interactive` reads questions to the end of input; blank lines ask nothing."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("What is a cache?\n\nWhat is a router?\n"))

    assert main(["--interactive"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("Question: ") == 2
    assert "What is a router?" in shown


def test_the_same_question_is_searched_once(library: Library) -> None:
    """The cache answers the second time."""
    workflow = answering(library.index, None)
    with collect_records() as records:
        first, second = workflow.run(QUESTION), workflow.run(QUESTION)

    assert first == second
    assert sum(record.name == "merge" for record in records) == 1


# --- with a model -------------------------------------------------------------------------------


def test_the_model_answers_from_the_passages(
    model: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model gets question, passages and key; its answer is shown with what it cites."""
    model.script = [says("Join steps with `>>` [2].")]

    assert main([QUESTION]) == 0
    shown = capsys.readouterr()
    sent = json.loads(model.asked[0].body)
    assert "Join steps with `>>` [2]." in shown.out
    assert "Sources\n  [2] " in shown.out
    assert "Answered by small in" in shown.out
    assert model.asked[0].target == "/v1/chat/completions"
    assert model.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert sent["model"] == "small"
    assert "\n[1] " in sent["messages"][1]["content"]
    assert sent["messages"][1]["content"].endswith(f"Question: {QUESTION}")


def test_a_server_without_a_key_gets_none(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Local servers are asked without a key."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.address)
    server.script = [says("Yes [1].")]

    assert main([QUESTION]) == 0
    assert "Authorization" not in server.asked[0].headers
    assert "Yes [1]." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}"), "refused the key (401); check OPENAI"),
        (fails(403), "refused the key (403)"),
        (fails(404, "no such model", "model_not_found"), "no model 'small'; it has large, other; "),
        (fails(400, f"bad {KEY}\x1b[2J\nrequest"), "has no model 'small'"),
        (fails(429, "pay first", "insufficient_quota"), "with status 429: pay first"),
        (fails(429, Retry_After="86400"), "asks to come back in 86,400 s"),
        (fails(422, f"the key {KEY} and\x1b more"), "status 422: the key (key) and"),
        (reply(302, b"", Location="http://127.0.0.1:1/"), "status 302; check OPENAI_BASE_URL"),
    ],
    ids=["401", "403", "404", "400", "quota", "long pause", "422", "redirect"],
)
def test_a_refusal_is_not_repeated_and_quotes_take_over(
    response: Respond, why: str, model: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request, one line that says why, and an answer with sources all the same."""
    model.script = [response]
    model.models = ["large", "other"]

    assert main([QUESTION]) == 0
    shown = capsys.readouterr()
    assert len(model.asked) == 1
    assert why in shown.out
    assert "Answered by extraction (the model failed: " in shown.out
    assert "Sources\n  [1] " in shown.out
    assert KEY not in shown.out + shown.err
    assert "\x1b" not in shown.out


def test_a_model_that_fails_for_a_moment_is_asked_again(library: Library, server: Server) -> None:
    """A failure of the server, then an answer: the answer counts."""
    server.script = [fails(500), says("Use `>>` [1].")]

    answer, _ = in_virtual_time(library, server)

    assert (answer.answered_by, len(server.asked)) == ("small", 2)


def test_a_server_that_asks_for_a_pause_gets_it(library: Library, server: Server) -> None:
    """`Retry-After` is waited for, in full, before the next attempt."""
    server.script = [fails(429, Retry_After="7"), says("Use `>>` [1].")]

    answer, took = in_virtual_time(library, server)

    assert answer.answered_by == "small"
    assert 7 <= took < 8


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (fails(500, "oops"), "failed with status 500: oops"),
        (fails(429), "has too much to do (429)"),
        (reply(200, b"<html>not JSON"), "no chat completion"),
        (reply(200, b"[" * 100_000), "no chat completion"),
        (reply(200, {"choices": []}), "no chat completion"),
        (says("I know this by heart."), "the answer of small cites no passage"),
        (says("See [99]."), "cites [99], which does not exist"),
        (close, "cannot be reached"),
    ],
    ids=["500", "429", "no JSON", "deep JSON", "no choice", "no citation", "wrong one", "closed"],
)
def test_a_model_that_keeps_failing_is_replaced_by_quotes(
    response: Respond, why: str, library: Library, server: Server
) -> None:
    """Three attempts, then the documents' own sentences, and the reason."""
    server.script = [response]

    answer, took = in_virtual_time(library, server)

    assert len(server.asked) == 3
    assert answer.answered_by == "extraction"
    assert why in answer.remark
    assert answer.sources
    assert took < 60


def test_a_server_that_is_not_there_is_replaced_by_quotes(library: Library) -> None:
    """Nobody listens at the address: an answer with sources all the same."""
    settings = Settings(base_url="http://127.0.0.1:1/v1", model="small")

    answer = run_virtual(answering(library.index, settings).execute(QUESTION))

    assert answer.remark == "the model failed: 127.0.0.1:1 cannot be reached: Connection refused"
    assert answer.sources


class MovedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved on."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def test_a_model_that_hangs_is_cut_off(library: Library, server: Server) -> None:
    """At the limit the connection is shut, so that no thread stays behind, and quotes answer."""
    server.script = [server.hang]
    settings = Settings(base_url=server.address, key=KEY, model="small")

    async def answer() -> Answer:
        asked = asyncio.create_task(
            answering(library.index, settings, timeout=900).execute(QUESTION)
        )
        assert await asyncio.to_thread(server.hanging.wait, 60)
        loop.ahead = 900.0
        return await asked

    loop = MovedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        found = runner.run(answer())

    assert found.remark == "the model failed: no answer within 900 s"
    assert found.sources
    assert server.hung_up.wait(60)


def test_an_answer_that_was_paid_for_is_kept(library: Library, server: Server) -> None:
    """The model is asked the same question once; a failure is not kept."""
    server.script = [fails(422), says("Use `>>` [1].")]
    workflow = answering(library.index, Settings(base_url=server.address, model="small"))

    answers = [workflow.run(QUESTION) for _ in range(3)]

    assert [answer.answered_by for answer in answers] == ["extraction", "small", "small"]
    assert len(server.asked) == 2


def test_the_key_is_in_no_trace(model: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the span tree nor a failure shows the key."""
    model.script = [fails(401, KEY)]

    assert main([QUESTION, "--trace"]) == 0
    shown = capsys.readouterr()
    assert "ModelRefusedError" in shown.out
    assert KEY not in shown.out + shown.err


# --- as a program -------------------------------------------------------------------------------


def test_the_program_runs_by_itself_in_a_bare_environment(tmp_path: Path) -> None:
    """No environment, another folder, no terminal, an encoding that has no arrows: an answer."""
    done = subprocess.run(
        [sys.executable, "-W", "default", ask_docs.__file__, "What is a workflow?", "--trace"],
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\nSources\n" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """A closed pipe ends the program without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, ask_docs.__file__],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={},
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_ends_the_program_at_once(server: Server) -> None:
    """Ctrl-C during a request hangs up and says so in one line."""
    server.script = [server.hang]
    with subprocess.Popen(
        [sys.executable, ask_docs.__file__, QUESTION],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"OPENAI_BASE_URL": server.address},
    ) as process:
        assert server.hanging.wait(60)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)

    assert (process.returncode, out, error) == (130, b"", b"interrupted\n")
    assert server.hung_up.wait(60)


def test_progress_shows_in_a_terminal_only(tmp_path: Path) -> None:
    """On a terminal the work under way is shown and wiped away again."""
    (tmp_path / "a.md").write_text("The pump is old.\n")
    screen, terminal = os.openpty()
    with os.fdopen(screen, "rb", buffering=0) as shown:
        done = subprocess.run(
            [sys.executable, ask_docs.__file__, "Is the pump old?", "--docs", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=terminal,
            env={},
            check=True,
        )
        os.close(terminal)
        pieces: list[bytes] = []
        with suppress(OSError):  # so Linux reports the end of a terminal
            while piece := shown.read(10_000):
                pieces.append(piece)
        progress = b"".join(pieces).decode()

    assert "reading documents: 1 of 1" in progress
    assert "answering …" in progress
    assert progress.endswith("\r\x1b[K")
    assert b"\x1b" not in done.stdout
