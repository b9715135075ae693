"""Bad files: one clear error that names the file, and the line where there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keploy_framework.errors import FormatError, JournalError, OptionError
from keploy_framework.model import Direction, Exchange, Failure, Message, Piece, Request, Response
from keploy_framework.storage.documents import (
    Document,
    as_read,
    read_documents,
    render,
    replace_file,
)
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.places import line_of
from keploy_framework.storage.tree import Plain, Repeated
from keploy_framework.storage.writer import SetWriter

if TYPE_CHECKING:
    from pathlib import Path

CASE = """\
version: api.keploy.io/v1beta1
kind: Http
name: case-1
spec:
    metadata: {}
    req:
        method: GET
        url: http://localhost/
        header: {}
        body: ""
        timestamp: 2024-01-01T00:00:00Z
    resp:
        status_code: 200
        header: {}
        body: ""
        timestamp: 2024-01-01T00:00:01Z
    objects: []
    created: 1
"""
MOCK = CASE.replace("case-1", "mock-0")


@pytest.fixture
def folder(tmp_path: Path) -> KeployFolder:
    (tmp_path / "set/tests").mkdir(parents=True)
    return KeployFolder(tmp_path)


def put(folder: KeployFolder, name: str, data: str | bytes) -> Path:
    path = folder.path / "set" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("v1beta1", "v9", 1, "'api.keploy.io/v9' is not known; this reads api.keploy.io/v1beta1"),
        ("kind: Http", "kind: SMTP", 2, "'SMTP' is no kind of test case"),
        ("kind: Http\n", "", None, "the field kind is missing; is the file cut off?"),
        ("        method: GET\n", "", 7, "spec.req.method is missing; is the file cut off?"),
        ("method: GET", "method: [GET]", 7, "spec.req.method has to be text"),
        ("status_code: 200", "status_code: many", 13, "has to be a whole number, not 'many'"),
        ("status_code: 200", "status_code: {}", 13, "has to be a whole number, not dict"),
        ("    req:\n", "    rek:\n", 5, "the field spec.req is missing"),
        ("        header: {}\n        body", "        header: 7\n        body", 9,
         "spec.req.header has to be a mapping of fields"),
        ('body: ""', "body: {a: 1}", 10, "spec.req.body has to be text"),
        ("        url: http://localhost/\n", "        url: a\n        url: b\n", 8,
         "the key 'url' stands twice in one mapping"),
        ("metadata: {}", "metadata: []", 5, "spec.metadata has to be a mapping of fields"),
        ("created: 1", "created: 1\n    assertions: {noise: {a: {}}}", 19,
         "the noise of 'a' has to be a list of patterns"),
        ("created: 1", "created: 1\n    assertions: 5", 19, "spec.assertions has to be a mapping"),
        ("created: 1", "created: 1\n    app_port: x", 19, "spec.app_port has to be a whole number"),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_case_is_named(
    folder: KeployFolder, old: str, new: str, line: int | None, words: str
) -> None:
    """By file, line, and path in the file."""
    path = put(folder, "tests/case-1.yaml", CASE.replace(old, new, 1))
    with pytest.raises(FormatError) as caught:
        list(folder.set("set"))
    assert words in str(caught.value)
    assert caught.value.path == str(path)
    if line is not None:
        assert caught.value.line is not None
        assert abs(caught.value.line - line) <= 1, caught.value.line


@pytest.mark.parametrize(
    ("add", "words"),
    [
        ("        form: [{key: a, paths: [../../../etc/passwd]}]\n", "leads out of the folder"),
        ("        form: [{key: a, paths: [/etc/passwd]}]\n", "leads out of the folder"),
        ("        form: [{key: a, paths: ['']}]\n", "is no path of a file"),
        ("        form: [{key: a, paths: [set/absent.bin]}]\n", "is not in"),
        ("        form: [7]\n", "spec.req.form.0 has to be a mapping"),
        ("        form: {}\n", "spec.req.form has to be a list"),
        ("        body_ref: {path: ../../x, size: 1}\n", "leads out of the folder"),
    ],
)
def test_a_bad_asset_is_named(folder: KeployFolder, add: str, words: str) -> None:
    """A path that leaves the folder is not followed."""
    path = put(folder, "tests/case-1.yaml", CASE.replace("    resp:\n", f"{add}    resp:\n"))
    with pytest.raises(FormatError, match=words) as caught:
        list(folder.set("set"))
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty; one test case is expected"),
        (CASE.encode() + b"---\n" + CASE.encode(), "holds more than one document"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"name: case-1\nspec: [", "YAML"),
        (b"name: case-1\n\tspec: 1", "YAML"),
        (b"just text", "the document has to be a mapping of fields"),
        (b"name: ../../evil\nspec:\n  req: {}\n", "cannot be the name of a test case"),
        (b"spec:\n  req: {}\n", "name is missing"),
    ],
)
def test_a_file_that_is_no_case_is_named(folder: KeployFolder, data: bytes, words: str) -> None:
    """Empty, doubled, no text, no YAML, no mapping, a name that leads elsewhere."""
    path = put(folder, "tests/case-1.yaml", data)
    with pytest.raises(FormatError, match=words) as caught:
        list(folder.set("set"))
    assert caught.value.path == str(path)


@settings(max_examples=6 * settings().max_examples // 5)
@given(st.integers(0, len(CASE) - 2))
def test_a_case_cut_off_anywhere_is_an_error_or_lost_nothing_that_matters(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """Never an exception of another kind, never a case with half a request."""
    folder = KeployFolder(tmp_path_factory.mktemp("keploy"))
    path = put(folder, "tests/case-1.yaml", CASE[:cut])
    try:
        (case,) = folder.set("set")
    except FormatError as error:
        assert error.path == str(path)  # noqa: PT017 - one of two outcomes
    else:
        assert case.exchange is not None
        assert case.exchange.request == Request("GET", "http://localhost/")
        assert case.exchange.response is not None
        assert case.exchange.response.status == 200


def test_a_case_that_cannot_be_opened_is_named(folder: KeployFolder) -> None:
    """A folder where a file should be."""
    path = folder.path / "set/tests/case-1.yaml"
    path.mkdir()
    with pytest.raises(FormatError, match="cannot be read") as caught:
        folder.set("set").case_names()
    assert caught.value.path == str(path)
    with pytest.raises(FormatError, match="cannot be read"):
        read_documents(path)


@pytest.mark.parametrize(
    ("data", "words", "line"),
    [
        (b'{"a": 1', "is not JSON", 1),
        (b'{"a": 1}\n{"b": }', "is not JSON", 2),
        (b"{}\n\xff", "is not UTF-8: byte 0xff", 2),
        (b"[" * 100_000, "nests too deep", 1),
    ],
)  # fmt: skip
def test_bad_json_is_named(tmp_path: Path, data: bytes, words: str, line: int) -> None:
    """As YAML is."""
    path = tmp_path / "mocks.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words) as caught:
        read_documents(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_json_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    """Numbers as they were written, truth, keys that stand twice, a mark at the start."""
    path = tmp_path / "mocks.json"
    path.write_bytes(
        b'\xef\xbb\xbf{"a": [1, 1.50, true, null], "b": {"c": "x"}}\n{"d": 1, "d": 2}\n'
    )
    first, second = read_documents(path)
    assert first.tree == {"a": [Plain("1"), Plain("1.50"), Plain("true"), None], "b": {"c": "x"}}
    assert isinstance(second.tree, Repeated)
    assert (second.index, second.line) == (1, 2)
    text = render([first], compact=True).decode()
    assert json.loads(text) == {"a": [1, 1.5, True, None], "b": {"c": "x"}}
    assert json.loads(render([second])) == {"d": 2}
    odd: Any = {"n": Plain("nan"), "t": Plain("2024-01-01"), "f": Plain("1e400"), "b": b"\xff"}
    assert json.loads(render([Document(odd, format="json")])) == {
        "n": "nan", "t": "2024-01-01", "f": "1e400", "b": "\ufffd",
    }  # fmt: skip
    assert as_read(Document({"b": b"\xff"}, format="json")) == {"b": "\ufffd"}
    assert as_read(Document({"b": b"\xff"})) == {"b": b"\xff"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays when the new cannot be written."""
    path = tmp_path / "a" / "file.yaml"
    replace_file(path, b"one")
    assert path.read_bytes() == b"one"
    (tmp_path / "dir").mkdir()
    with pytest.raises(JournalError, match="cannot write"):
        replace_file(tmp_path / "dir", b"two")
    with pytest.raises(JournalError, match="cannot write"):
        replace_file(path / "below", b"two")
    assert path.read_bytes() == b"one"
    assert not list(tmp_path.rglob("*.draft"))


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (MOCK.replace("v1beta1", "v7"), 1, "'api.keploy.io/v7' is not known"),
        (f"{MOCK}---\n{MOCK.replace('name: mock-0', 'nome: x')}", 19, "name is missing"),
        (f"{MOCK}---\n{MOCK.replace('status_code: 200', 'status_code: x')}", 32, "whole number"),
        (f"{MOCK}---\n- 1\n", 20, "has to be a mapping"),
    ],
)
def test_a_bad_mock_is_named_by_its_line_in_the_file(
    folder: KeployFolder, data: str, line: int, words: str
) -> None:
    """Not by its line in the document."""
    path = put(folder, "mocks.yaml", data)
    with pytest.raises(FormatError, match=words) as caught:
        folder.set("set").mocks()
    assert caught.value.path == str(path)
    assert caught.value.line is not None
    assert abs(caught.value.line - line) <= 1, caught.value.line


def test_gob_mocks_beside_yaml_are_noted(folder: KeployFolder) -> None:
    """And an error where they stand alone."""
    put(folder, "mocks.gob", b"\x0f")
    with pytest.raises(FormatError, match=r"gob.*mockFormat: yaml"):
        folder.set("set").mocks()
    put(folder, "mocks.yaml", MOCK)
    test_set = folder.set("set")
    assert len(test_set.mocks()) == 1
    assert any("mocks.gob is ignored" in notice for notice in test_set.notices)


def recorded(folder: KeployFolder, **changes: Any) -> None:
    """Write one case and one mock with their sidecars."""
    writer = SetWriter(KeployFolder(folder.path / "staging"), "set", names=CaseNames())
    head = (("Content-Type", "text/plain"), ("Content-Length", "1"))
    for direction in Direction:
        writer.add(
            Exchange(
                direction.value,
                direction,
                Request("GET", "http://localhost/a", head),
                Response(200, "OK", head, (Piece(0.5, b"x"),)),
                10,
                20,
                **changes,
            )
        )
    writer.finish()
    writer.move_into(folder)


def test_a_sidecar_of_another_case_is_ignored_with_a_notice(folder: KeployFolder) -> None:
    """The case was changed by hand; so was the mock."""
    recorded(folder)
    for name in ("tests/get-a-1.yaml", "mocks.yaml"):
        path = folder.path / "set" / name
        path.write_text(path.read_text().replace("status_code: 200", "status_code: 201"))
    test_set = folder.set("set")
    (case,), (mock,) = list(test_set), test_set.mocks()
    for item in (case, mock):
        assert not item.exact
        assert item.exchange is not None
        assert item.exchange.response is not None
        assert item.exchange.response.status == 201
    assert len(test_set.notices) == 2


def test_a_sidecar_whose_case_is_gone_is_ignored_with_a_notice(folder: KeployFolder) -> None:
    """It was deleted on purpose."""
    recorded(folder)
    (folder.path / "set/tests/get-a-1.yaml").unlink()
    test_set = folder.set("set")
    assert list(test_set) == []
    assert any("its test case is gone" in notice for notice in test_set.notices)


def test_what_keploy_cannot_hold_is_in_the_sidecar_alone(folder: KeployFolder) -> None:
    """Failures and WebSockets: no case of Keploy's, but one of ours, with its kind."""
    recorded(folder, failure=Failure("ValueError", "x"))
    test_set = folder.set("set")
    (case,), (mock,) = list(test_set), test_set.mocks()
    assert (case.kind, mock.kind, case.exact, mock.exact) == ("Http", "Http", True, True)
    assert not list((folder.path / "set/tests").glob("*"))
    with pytest.raises(OptionError, match="no file of Keploy's"):
        test_set.rewrite(case, noise={})
    other = KeployFolder(folder.path / "other")
    recorded(other, messages=(Message(0.1, "client", "hi"),))
    assert [item.kind for item in (*other.set("set"), *other.set("set").mocks())] == [
        "WebSocket"
    ] * 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("started_at: 10", "started_at: soon"),
        ("direction: inbound", "direction: sideways"),
        ("status: 200", "status: []"),
        ("at: 0.5", "at: later"),
        ("method: GET", "methud: GET"),
    ],
)
def test_a_damaged_sidecar_is_named(folder: KeployFolder, old: str, new: str) -> None:
    """It is an error, not a case with other bytes."""
    recorded(folder)
    path = folder.path / "set/tta/get-a-1.yaml"
    text = path.read_text()
    if old not in text:
        pytest.skip(f"{old} is written in another way")
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError) as caught:
        list(folder.set("set"))
    assert caught.value.path == str(path)


def test_names_and_sets_that_are_not_there(folder: KeployFolder) -> None:
    """An empty set is empty; a case that is asked for is a lookup error."""
    assert KeployFolder(folder.path / "absent").sets() == ()
    test_set = KeployFolder(folder.path / "absent").set("set")
    assert (len(test_set), test_set.mocks(), test_set.mappings()) == (0, (), {})
    assert test_set.settings() is None
    with pytest.raises(LookupError, match="holds no test case 'x'"):
        test_set.case("x")
    with pytest.raises(OptionError, match="'yaml' or 'json'"):
        KeployFolder(folder.path, format="toml")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - what is tested


def test_a_set_is_not_made_where_a_file_is(folder: KeployFolder) -> None:
    """With a name it is an error; without one, the next number is free."""
    (folder.path / "test-set-0").write_text("")
    with pytest.raises(JournalError, match="in the way"):
        folder.create_set("test-set-0")
    assert folder.create_set().name == "test-set-1"
    with pytest.raises(JournalError, match="cannot make"):
        KeployFolder(folder.path / "test-set-0").create_set()


TYPED = b"""\
text: {a: 1}
whole: 1.5
real: [1]
truth: perhaps
listed: 7
many: [1, {}]
bytes: !!binary /w==
"""


@pytest.mark.parametrize(
    ("read", "name", "line", "words"),
    [
        ("text", "text", 1, "text has to be text"),
        ("content", "text", 1, "text has to be text"),
        ("number", "whole", 2, "whole has to be a whole number, not '1.5'"),
        ("real", "real", 3, "real has to be a number"),
        ("real", "truth", 4, "truth has to be a number"),
        ("truth", "truth", 4, "truth has to be true or false"),
        ("listed", "listed", 5, "listed has to be a list"),
        ("items", "many", 6, "many.0 has to be a mapping"),
        ("nested", "listed", 5, "listed has to be a mapping"),
        ("texts", "text", None, ""),
    ],
)
def test_fields_are_read_as_what_they_are(
    tmp_path: Path, read: str, name: str, line: int | None, words: str
) -> None:
    """Each wrong type is an error at its line."""
    path = tmp_path / "typed.yaml"
    path.write_bytes(TYPED)
    (document,) = read_documents(path)
    fields = Fields(document.tree, str(path), document.data)
    if line is None:
        assert fields.texts("text") == {"a": "1"}
        assert fields.text("bytes") == "\xff"
        assert fields.content("bytes") == b"\xff"
        assert (fields.real("none"), fields.number("none"), fields.truth("none")) == (0, 0, False)
        assert fields.real("whole") == 1.5
        return
    with pytest.raises(FormatError) as caught:
        getattr(fields, read)(name)
    assert words in str(caught.value)
    assert caught.value.line == line
    with pytest.raises(FormatError, match="is missing"):
        fields.number("none", None)


def test_a_check_speaks_with_the_line_of_its_field(tmp_path: Path) -> None:
    """What the check says, where it is meant."""
    path = tmp_path / "typed.yaml"
    path.write_bytes(b"a: 1\nb: x\n")
    (document,) = read_documents(path)
    fields = Fields(document.tree, str(path), document.data)
    assert fields.checked("a", int) == "1"
    with pytest.raises(FormatError, match="invalid literal") as caught:
        fields.checked("b", int)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("a",), 2), (("a", 0), 2), (("a", 1, "b"), 3), (("a", 1, "c"), 3), (("d",), 4),
        (("d", "e"), 4), ((), 1),
    ],
)  # fmt: skip
def test_places_are_lines_of_the_nearest_that_is_there(
    keys: tuple[str | int, ...], line: int
) -> None:
    """For a key that is missing, that of what should have it."""
    data = b"a:\n- 1\n- {b: 2}\nd: &x {f: 1}\ng: *x\n"
    assert line_of(data, keys) == line
    assert line_of(data + b"---\na: 1\n", ("a",), document=1) == 7
    assert line_of(b"a: [", ("b",)) in {None, 1}
