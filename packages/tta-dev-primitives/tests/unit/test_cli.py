"""The `tta` command, called in this process."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from typer.testing import CliRunner

from tta_dev_primitives import Router, Sequential, Switch, WorkflowPrimitive
from tta_dev_primitives.cli.app import app
from tta_dev_primitives.cli.checking import check
from tta_dev_primitives.cli.data import as_json
from tta_dev_primitives.cli.measuring import measure, rows
from tta_dev_primitives.core import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

FLOW = """
import asyncio
import dataclasses
import logging
from typing import Literal
from tta_dev_primitives import Filter, Parallel, Router, Sequential, Switch, WorkflowContext, step

@dataclasses.dataclass
class Answer:
    text: str
    score: float

async def shout(text: str) -> str:
    return text.upper()

async def fail(text: str) -> str:
    raise LookupError("no such document: " + text)

async def wait(text: str) -> str:
    await asyncio.sleep(3600)
    return text

async def tokens(text: str):
    for word in text.split():
        yield word + " "

async def numbers(limit: int):
    for number in range(limit):
        yield number

async def tokens_then_failure(text: str):
    yield "partial"
    raise OSError("the line broke")

def chatty(text: str) -> str:
    print("printed by a step")
    logging.getLogger("flow").warning("logged by a step")
    return text

async def who(context: WorkflowContext, value: object) -> str:
    return f"{context.correlation_id} {context.data.get('user')}"

answer = (step(str.strip) >> shout).named("answer")
upper = answer
broken = (step(str.strip) >> Parallel({"good": shout, "bad": fail})).named("broken")
slow = (step(str.strip) >> wait).named("slow")
stream = step(str.strip) >> tokens
count = step(numbers)
broken_stream = step(tokens_then_failure)
talk = step(chatty)
asks = step(who)
typed = step(lambda text: Answer(text, 0.5))
odd = step(lambda text: object)
nan = step(lambda text: float("nan"))
dropped = Filter(lambda text: False) >> shout
own_timeout = step(lambda text: (_ for _ in ()).throw(TimeoutError("its own")))

def make():
    return step(shout)

def wrong():
    return 3

def raises():
    raise RuntimeError("not today")

async def later():
    return step(shout)

def needs(text):
    return text

number = 3
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file of workflows, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def untouched_engine() -> Iterator[None]:
    """No command leaves an observer or a module behind."""
    before, modules = engine.observers(), set(sys.modules)
    yield
    assert engine.observers() == before
    for name in set(sys.modules) - modules:
        if name in {"flow", "other"} or name.startswith(("_tta_", "kept")):
            del sys.modules[name]


def tta(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given)


# --- run: results -------------------------------------------------------------------------------


@pytest.mark.usefixtures("flow")
def test_the_result_is_json_on_stdout_and_the_summary_on_stderr() -> None:
    """What is piped on is the result alone."""
    ran = tta("run", "flow.py:answer", "--input", '" hi "')
    assert (ran.exit_code, ran.stdout) == (0, '"HI"\n')
    assert ran.stderr.startswith("ok in ")
    assert "2 step calls" in ran.stderr
    assert "slowest answer/" in ran.stderr


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("typed", {"text": "x", "score": 0.5}),
        ("make", "X"),
    ],
)
def test_results_are_shown_as_json_where_json_can_hold_them(name: str, shown: object) -> None:
    """Dataclasses become objects; a function that makes a workflow is called."""
    ran = tta("run", f"flow.py:{name}", "-i", '"x"')
    assert json.loads(ran.stdout) == shown


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize(("name", "shown"), [("odd", "<class 'object'>"), ("nan", "nan")])
def test_results_that_json_cannot_hold_are_shown_by_their_repr(name: str, shown: str) -> None:
    """NaN is no JSON either."""
    assert tta("run", f"flow.py:{name}", "-i", '"x"').stdout == f"{shown}\n"
    document = json.loads(tta("run", f"flow.py:{name}", "-i", '"x"', "--json").stdout)
    assert (document["result"], document["result_is_text"]) == (shown, True)


@pytest.mark.usefixtures("flow")
def test_a_stream_of_texts_is_written_as_it_comes() -> None:
    """Pieces of text are put together as they are, with one line break at the end."""
    assert tta("run", "flow.py:stream", "-i", '"a b"').stdout == "a b \n"


@pytest.mark.usefixtures("flow")
def test_a_stream_of_other_items_is_one_json_line_each() -> None:
    """A stream of data can be read line by line."""
    assert tta("run", "flow.py:count", "-i", "3").stdout == "0\n1\n2\n"


@pytest.mark.usefixtures("flow")
def test_a_stream_that_fails_shows_what_came_and_the_failure() -> None:
    """What was written stays; the exit code says that it is not all."""
    ran = tta("run", "flow.py:broken_stream", "-i", '"x"')
    assert (ran.exit_code, ran.stdout) == (1, "partial\n")
    assert "OSError: the line broke" in ran.stderr


@pytest.mark.usefixtures("flow")
def test_a_stream_in_a_document_is_a_list() -> None:
    """Machines get one document, also of a stream."""
    ran = tta("run", "flow.py:count", "-i", "3", "--json")
    assert json.loads(ran.stdout)["result"] == [0, 1, 2]


@pytest.mark.usefixtures("flow")
def test_the_document_tells_status_duration_and_steps() -> None:
    """--json: all of a run in one document, and nothing on stderr."""
    ran = tta("run", "flow.py:answer", "-i", '" hi "', "--json")
    document = json.loads(ran.stdout)
    assert ran.stderr == ""
    assert (document["workflow"], document["status"]) == ("answer", "ok")
    assert (document["result"], document["error"]) == ("HI", None)
    assert document["duration"] > 0
    assert sorted(s["path"] for s in document["steps"]) == [
        "answer",
        "answer/shout",
        "answer/strip",
    ]
    assert all((s["status"], s["calls"]) == ("ok", 1) for s in document["steps"])


@pytest.mark.usefixtures("flow")
def test_what_steps_print_and_log_does_not_get_into_the_document() -> None:
    """A print in a step must not break the reader of the JSON."""
    ran = tta("run", "flow.py:talk", "-i", '"x"', "--json")
    assert json.loads(ran.stdout)["result"] == "x"
    assert "printed by a step" in ran.stderr
    assert "logged by a step" in ran.stderr


@pytest.mark.usefixtures("flow")
def test_logs_go_to_stderr() -> None:
    """Without --json a print is the user's own output, a log line never is."""
    ran = tta("run", "flow.py:talk", "-i", '"x"')
    assert ran.stdout == 'printed by a step\n"x"\n'
    assert "logged by a step" in ran.stderr
    assert "logged" not in tta("run", "flow.py:talk", "-i", '"x"', "--log-level", "error").stderr


@pytest.mark.usefixtures("flow")
def test_a_filtered_run_is_no_failure() -> None:
    """A filter that ends the chain does what it was asked to."""
    ran = tta("run", "flow.py:dropped", "-i", '"x"')
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "a filter ended the run" in ran.stderr


# --- run: input, context, trace -----------------------------------------------------------------


def test_input_comes_from_a_file_and_from_the_standard_input(flow: Path) -> None:
    """@FILE and - are the two other places."""
    (flow / "in.json").write_bytes(b'\xef\xbb\xbf"caf\xc3\xa9"')
    assert tta("run", "flow.py:answer", "-i", "@in.json").stdout == '"CAFÉ"\n'
    assert tta("run", "flow.py:answer", "-i", "-", given='"x"').stdout == '"X"\n'


@pytest.mark.usefixtures("flow")
def test_the_context_takes_the_fields_of_workflow_context() -> None:
    """What a server would set can be set here."""
    context = '{"correlation_id": "req-1", "data": {"user": "u-7"}}'
    ran = tta("run", "flow.py:asks", "--context", context)
    assert ran.stdout == '"req-1 u-7"\n'
    assert "correlation id req-1" in ran.stderr


def test_the_trace_has_one_line_per_call_with_its_parent(flow: Path) -> None:
    """The records of a run can be read by another program."""
    tta("run", "flow.py:broken", "-i", '"x"', "--trace", "t.jsonl")
    lines = [json.loads(line) for line in (flow / "t.jsonl").read_text().splitlines()]
    by_path = {line["path"]: line for line in lines}
    assert set(by_path) == {
        "broken",
        "broken/strip",
        "broken/parallel",
        "broken/parallel/good",
        "broken/parallel/bad",
    }
    bad, parallel, root = (by_path[f"broken{rest}"] for rest in ("/parallel/bad", "/parallel", ""))
    assert bad["status"] == "error"
    assert bad["error"] == "LookupError: no such document: x"
    assert bad["parent_span_id"] == parallel["span_id"]
    assert parallel["parent_span_id"] == root["span_id"]
    assert root["parent_span_id"] is None
    assert len({line["trace_id"] for line in lines}) == 1


@pytest.mark.usefixtures("flow")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk of Linux")
def test_a_trace_that_cannot_be_completed_is_told() -> None:
    """A full disk does not go unnoticed, and does not take the result away."""
    ran = tta("run", "flow.py:answer", "-i", '"x"', "--trace", "/dev/full")
    assert (ran.exit_code, ran.stdout) == (1, '"X"\n')
    assert "tta: the trace in /dev/full is not complete: OSError: [Errno 28] No space" in ran.stderr


# --- run: failures ------------------------------------------------------------------------------


@pytest.mark.usefixtures("flow")
def test_a_failure_shows_type_message_path_and_the_users_lines_only() -> None:
    """The user sees his own code, not the engine's."""
    ran = tta("run", "flow.py:broken", "-i", '"x"')
    assert (ran.exit_code, ran.stdout) == (1, "")
    lines = ran.stderr.splitlines()
    assert lines[0] == "LookupError: no such document: x"
    assert lines[1].startswith("  in workflow step broken/parallel/bad, after ")
    assert lines[2].endswith("flow.py:17, in fail")
    assert lines[3].strip() == 'raise LookupError("no such document: " + text)'
    assert lines[4].startswith("error in ")
    assert "tta_dev_primitives" not in ran.stderr
    assert "asyncio" not in ran.stderr


@pytest.mark.usefixtures("flow")
def test_traceback_shows_all_frames() -> None:
    """--traceback is for those who look at the engine."""
    ran = tta("run", "flow.py:broken", "-i", '"x"', "--traceback")
    assert "Traceback (most recent call last)" in ran.stderr
    assert "tta_dev_primitives" in ran.stderr


@pytest.mark.usefixtures("flow")
def test_a_failure_in_a_document_is_data() -> None:
    """Machines are told type, path and the user's frames."""
    ran = tta("run", "flow.py:broken", "-i", '"x"', "--json")
    error = json.loads(ran.stdout)["error"]
    assert ran.exit_code == 1
    assert (error["type"], error["message"]) == ("LookupError", "no such document: x")
    assert error["path"] == "broken/parallel/bad"
    assert [frame["function"] for frame in error["frames"]] == ["fail"]


@pytest.mark.usefixtures("flow")
def test_a_timeout_cancels_the_run_and_says_where_it_was() -> None:
    """A run that hangs ends, with the step that hung."""
    ran = tta("run", "flow.py:slow", "-i", '"x"', "--timeout", "0.05")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "tta: not done within 0.05 s; was at slow/wait" in ran.stderr
    document = json.loads(
        tta("run", "flow.py:slow", "-i", '"x"', "--timeout", "0.05", "--json").stdout
    )
    assert (document["status"], document["error"]["was_at"]) == ("timeout", ["slow/wait"])


@pytest.mark.usefixtures("flow")
def test_a_timeout_error_of_the_workflow_is_its_own() -> None:
    """Only the option's deadline is reported as one."""
    ran = tta("run", "flow.py:own_timeout", "-i", '"x"', "--timeout", "60")
    assert "TimeoutError: its own" in ran.stderr
    assert "not done within" not in ran.stderr


# --- wrong use ----------------------------------------------------------------------------------

WRONG = {
    "malformed input": (["run", "flow.py:answer", "-i", "hi"], "--input is not JSON: Expecting"),
    "a hint for texts": (["run", "flow.py:answer", "-i", "hi"], "--input '\"hi\"'"),
    "empty input": (["run", "flow.py:answer", "-i", ""], "--input is not JSON"),
    "NaN": (["run", "flow.py:answer", "-i", "NaN"], "NaN is no JSON number"),
    "deep input": (["run", "flow.py:answer", "-i", "[" * 100_000], "--input is nested too deeply"),
    "no input file": (
        ["run", "flow.py:answer", "-i", "@no.json"],
        "--input @no.json: No such file",
    ),
    "context no object": (["run", "flow.py:answer", "--context", "3"], "--context must be a JSON"),
    "context field": (
        ["run", "flow.py:answer", "--context", '{"user": 1}'],
        "--context: WorkflowContext has no field 'user'",
    ),
    "context data": (
        ["run", "flow.py:answer", "--context", '{"data": 3}'],
        "--context: data must be a JSON object, not 3",
    ),
    "context budget": (
        ["run", "flow.py:answer", "--context", '{"budget": "x"}'],
        "--context: budget must be a number, not 'x'",
    ),
    "context deadline": (
        ["run", "flow.py:answer", "--context", '{"deadline": 3}'],
        "--context: deadline cannot be given on the command line; use --timeout",
    ),
    "timeout": (["run", "flow.py:answer", "--timeout", "0"], "--timeout must be a number"),
    "trace": (["run", "flow.py:answer", "--trace", "no/t.jsonl"], "--trace no/t.jsonl: No such"),
    "no colon": (["run", "flow.py"], "'flow.py' is not MODULE_OR_FILE:NAME"),
    "no file": (["run", "no.py:answer"], "there is no file no.py"),
    "no module": (["run", "no_such_module:answer"], "there is no module 'no_such_module'"),
    "no module name": (["run", "a b:answer"], "'a b' is neither a file nor the name of a module"),
    "no name": (["run", "flow.py:anwser"], "flow.py has no 'anwser'; did you mean 'answer'?"),
    "workflows listed": (["run", "flow.py:zzzzz"], "its workflows are answer, upper, broken"),
    "a number": (["graph", "flow.py:number"], "flow.py:number is an int, not a primitive"),
    "a function": (["run", "flow.py:needs"], "flow.py:needs takes (text), so it is neither"),
    "a wrong factory": (["run", "flow.py:wrong"], "flow.py:wrong() returned an int"),
    "an async factory": (["run", "flow.py:later"], "flow.py:later() returned a coroutine"),
    "a failing factory": (
        ["run", "flow.py:raises"],
        "flow.py:raises() failed: RuntimeError: not today (flow.py:",
    ),
    "output": (["graph", "flow.py:answer", "-o", "no/x.svg"], "--output no/x.svg: No such file"),
    "a benchmark": (["bench", "nothing"], "there is no benchmark 'nothing'; there are chain-10"),
}


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_gives_one_line_that_names_the_culprit(case: str) -> None:
    """Exit code 2, nothing on stdout, no traceback."""
    arguments, said = WRONG[case]
    ran = tta(*arguments)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("tta: ")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.usefixtures("flow")
def test_input_that_is_not_utf8_names_the_byte() -> None:
    """A file in another encoding is told from bad JSON."""
    ran = tta("run", "flow.py:answer", "-i", "-", given=b'"\xff"')
    assert ran.exit_code == 2
    assert "--input (standard input) is not UTF-8: byte 0xff at offset 1" in ran.stderr


BROKEN = {
    "a name": ("x = 1\ny = nowhere\n", "NameError: name 'nowhere' is not defined (other.py:2, in"),
    "syntax": ("def f(:\n", "SyntaxError: invalid syntax (other.py, line 1) (other.py:1)"),
    "an import": ("import no_such\n", "ModuleNotFoundError: No module named 'no_such' (other.py:1"),
    "an exit": ("raise SystemExit(3)\n", "SystemExit: 3 (other.py:1"),
    "a composition": (
        "from tta_dev_primitives import Sequential\nw = Sequential([])\n",
        "CompositionError: Sequential needs at least one step; the list is empty (other.py:2",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_does_not_import_shows_its_own_line(flow: Path, case: str) -> None:
    """The user's error, with file and line; none of ours."""
    source, said = BROKEN[case]
    (flow / "other.py").write_text(source)
    ran = tta("run", "other.py:w")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("tta: other.py does not import: ")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_exit_codes_stand_in_the_help() -> None:
    """Whoever writes a script finds them where he looks."""
    for command in ([], ["run"], ["graph"], ["validate"], ["bench"]):
        text = " ".join(tta(*command, "--help").stdout.split())
        assert "0 it went well; 1 the workflow failed" in text
        assert "130 interrupted" in text


# --- targets ------------------------------------------------------------------------------------


def test_a_file_in_a_package_is_imported_as_part_of_it(flow: Path) -> None:
    """Relative imports of the user's work."""
    package = flow / "kept" / "inner"
    package.mkdir(parents=True)
    (flow / "kept" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "steps.py").write_text("def up(text):\n    return text.upper()\n")
    (package / "flow.py").write_text(
        "from tta_dev_primitives import step\nfrom .steps import up\nw = step(up)\n"
    )
    assert tta("run", "kept/inner/flow.py:w", "-i", '"a"').stdout == '"A"\n'
    assert tta("run", "kept.inner.flow:w", "-i", '"b"').stdout == '"B"\n'


def test_a_file_named_like_a_module_of_python_does_not_take_its_place(flow: Path) -> None:
    """A user's json.py is loaded, and `import json` still means Python's."""
    (flow / "json.py").write_text(
        "from tta_dev_primitives import step\nw = step(lambda text: text + '!')\n"
    )
    assert tta("run", "json.py:w", "-i", '"a"').stdout == '"a!"\n'


def test_names_reach_into_objects(flow: Path) -> None:
    """A workflow kept on a class is found by its dotted name."""
    (flow / "other.py").write_text(
        "from tta_dev_primitives import step\nclass Kept:\n    w = step(str.upper)\n"
    )
    assert tta("run", "other.py:Kept.w", "-i", '"a"').stdout == '"A"\n'


# --- graph --------------------------------------------------------------------------------------


def test_graph_draws_in_each_style(flow: Path) -> None:
    """The picture is that of `draw`; a file's suffix chooses the style."""
    assert tta("graph", "flow.py:answer").stdout.startswith("answer  (sequential)")
    assert tta("graph", "flow.py:answer", "--style", "mermaid").stdout.startswith("flowchart TD")
    assert tta("graph", "flow.py:answer", "-o", "a.svg").stdout == ""
    assert (flow / "a.svg").read_text(encoding="utf-8").startswith("<svg ")
    tta("graph", "flow.py:answer", "-o", "a.mmd")
    assert (flow / "a.mmd").read_text(encoding="utf-8").startswith("flowchart TD")
    assert tta("graph", "flow.py:answer", "--style", "png").exit_code == 2


# --- validate -----------------------------------------------------------------------------------


def test_validate_passes_what_is_sound_and_says_how_much_it_saw(flow: Path) -> None:
    """All workflows of a module without a name; nothing on stdout, exit code 0."""
    ran = tta("validate", "flow.py:answer", "flow.py:broken")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert (
        ran.stderr == "flow.py:answer: 3 nodes, no problem\nflow.py:broken: 5 nodes, no problem\n"
    )
    assert tta("validate", "flow.py").exit_code == 0


def test_validate_lists_each_problem_on_its_line_and_exits_1(flow: Path) -> None:
    """A target that does not import is a problem like any other."""
    (flow / "other.py").write_text(
        textwrap.dedent("""
        from tta_dev_primitives import Conditional, step

        def number(text: str) -> int: ...
        def listed(items: list) -> list: ...
        def lost(value: "Nowhere") -> str: ...

        misfit = step(str) >> Conditional(bool, number, str.upper) >> Conditional(bool, listed)
        unresolved = step(lost) >> step(str.upper)
        """)
    )
    ran = tta("validate", "other.py", "no.py:x")
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [
        "other.py:misfit: sequential: 'number' gives int, but 'listed' takes list",
        (
            "other.py:unresolved: sequential/lost: the annotations of lost do not resolve: "
            "NameError: name 'Nowhere' is not defined"
        ),
        "no.py:x: there is no file no.py",
    ]


def test_validate_of_a_module_without_workflows_is_a_problem(flow: Path) -> None:
    """A check of nothing is not a pass."""
    (flow / "other.py").write_text("x = 1\n")
    ran = tta("validate", "other.py")
    assert (ran.exit_code, ran.stdout) == (1, "other.py: other.py defines no workflow\n")


def bool_selector(text: str) -> bool:
    return bool(text)


@pytest.mark.parametrize(
    ("node", "problems"),
    [
        (Switch(bool_selector, {True: str.upper, False: str.lower}), []),
        (
            Switch(bool_selector, {True: str.upper}),
            ["its selector can return False, which is no case, and there is no default"],
        ),
        (Switch(bool_selector, {True: str.upper}, str.lower), []),
        (
            Switch(bool_selector, {True: str.upper, "x": str.lower}, str.title),
            ["the case 'x' is never reached: its selector never returns it"],
        ),
        (Router({"yes": str.upper}, default_route="yes"), []),
        (Router({"yes": str.upper}), []),
    ],
)
def test_routes_are_compared_with_what_the_selector_can_return(
    node: WorkflowPrimitive[Any, Any], problems: list[str]
) -> None:
    """Missing cases and cases that are never reached, where the annotation tells."""
    assert [problem for _, problem in check(node)] == problems


def test_a_class_that_cannot_run_is_a_problem() -> None:
    """A forgotten or synchronous `_execute_impl` is told before the first run."""

    class Forgotten(WorkflowPrimitive[str, str]):
        """Has no code."""

    class Synchronous(WorkflowPrimitive[str, str]):
        def _execute_impl(self, context: Any, input_data: str) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            return input_data

    found = dict(check(Sequential([Forgotten(), Synchronous()], name="w")))
    assert "defines no _execute_impl" in found["w/forgotten"]
    assert "must be written with async def" in found["w/synchronous"]


def test_a_composite_without_steps_is_a_problem() -> None:
    """A composite of the user's own can be empty."""

    class Empty(WorkflowPrimitive[str, str]):
        kind = "parallel"

        async def _execute_impl(self, context: Any, input_data: str) -> str:
            return input_data

    assert check(Empty()) == [("empty", "it has no steps inside")]


# --- bench --------------------------------------------------------------------------------------


def test_bench_prints_a_line_per_benchmark() -> None:
    """Names choose; the table has a header."""
    ran = tta("bench", "chain-10", "fan-out-10", "--turns", "2")
    assert ran.exit_code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == [
        "benchmark",
        "chain-10",
        "fan-out-10",
    ]


def test_bench_gives_machines_seconds_and_ratios() -> None:
    """They are measured, so they are above zero; which one is larger, three turns cannot say."""
    (row,) = json.loads(tta("bench", "chain-10-recorder", "--turns", "3", "--json").stdout)
    assert row["name"] == "chain-10-recorder"
    assert min(row["bare_seconds"], row["composed_seconds"], row["ratio"]) > 0
    assert row["budget"] == 2.5


def test_a_benchmark_measures_with_observers_set_aside_and_puts_them_back() -> None:
    """What listens in the process would otherwise be measured too."""

    class Seen:
        calls = 0

        def ended(self, record: object, /) -> None:
            self.calls += 1

    seen = Seen()
    engine.add_observer(seen)
    try:
        list(measure(rows()["chain-10"], turns=1))
        assert seen.calls == 0
        assert seen in engine.observers()
    finally:
        engine.remove_observer(seen)


@pytest.mark.parametrize("name", rows())
async def test_each_benchmark_composes_the_same_work_as_the_bare_form(name: str) -> None:
    """Unlike work would make the ratio mean nothing."""
    row = rows()[name]
    assert await row.bare() == await row.composed.execute(1)


# --- data ---------------------------------------------------------------------------------------


def test_pydantic_models_and_sets_have_a_form_in_json() -> None:
    """Results are often models; a set is shown in a stable order."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Made", text=(str, ...))
    assert as_json({"m": model(text="x"), "s": {2, 1}}) == '{"m": {"text": "x"}, "s": [1, 2]}'


def test_a_result_that_holds_itself_is_no_json() -> None:
    """A cycle is told, not followed."""
    items: list[object] = []
    items.append(items)
    assert as_json(items) is None
