"""Files in Keploy's own layout, as Keploy writes them."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.model import Direction, header_value
from keploy_framework.storage.documents import read_documents, render
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from keploy_framework.storage.documents import Format

CORPUS = Path(__file__).parents[1] / "corpus" / "keploy"
FILES = sorted(path for path in CORPUS.rglob("*") if path.suffix in {".yaml", ".json"})


@pytest.fixture
def keploy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CORPUS, tmp_path / "keploy"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_a_file_is_written_back_byte_for_byte(path: Path) -> None:
    """Indent, head comment, foreign kinds and keys stay as they were."""
    assert render(read_documents(path)) == path.read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_writing_is_stable(path: Path, tmp_path: Path) -> None:
    """What was written once is written so again."""
    written = render(read_documents(path))
    copy = tmp_path / path.name
    copy.write_bytes(written)
    assert [item.tree for item in read_documents(copy)] == [
        item.tree for item in read_documents(path)
    ]
    assert render(read_documents(copy)) == written


def test_sets_are_listed_and_reserved_folders_are_not(keploy: Path) -> None:
    """Numbers count as numbers; folders of Keploy's own are no sets."""
    for name in ("test-set-10", "test-set-2", "reports", "schema", "testReports", ".git"):
        (keploy / name).mkdir()
    names = KeployFolder(keploy).sets()
    assert names == ("json-set", "old-2024", "test-set-0", "test-set-2", "test-set-10")
    assert KeployFolder(keploy).create_set().name == "test-set-11"


def test_cases_come_in_the_order_of_their_requests() -> None:
    """Not in that of their files."""
    test_set = KeployFolder(CORPUS).set("test-set-0")
    assert test_set.case_names() == (
        "get-events-1",
        "post-todos-1",
        "put-file-1",
        "grpc-shop-Buy-1",
    )


def test_a_case_is_read_field_by_field() -> None:
    """The request, the answer, and what is asserted of it."""
    case = KeployFolder(CORPUS).set("test-set-0").case("post-todos-1")
    exchange = case.exchange
    assert exchange is not None
    assert exchange.response is not None
    assert (case.kind, case.exact, case.app_port) == ("Http", False, 3000)
    assert case.description == "makes a todo"
    assert case.noise == {"header.Date": (), "body.id": (r"^\d+$",)}
    assert case.assertions == {"status_code": "201"}
    assert exchange.direction is Direction.INBOUND
    assert exchange.request.method == "POST"
    assert exchange.request.body.endswith(b'"answer": "no"\n}')
    assert exchange.response.status == 201
    assert exchange.response.body == b'{"id": 7, "at": "12:30"}'
    assert exchange.started_at == 1_772_598_601_729_611_191
    assert exchange.ended_at - exchange.started_at == 65_364_729


def test_a_stream_is_read_frame_by_frame_with_its_times() -> None:
    """A field that stands twice in a frame is read twice."""
    exchange = KeployFolder(CORPUS).set("test-set-0").case("get-events-1").exchange
    assert exchange is not None
    assert exchange.response is not None
    first, second = exchange.response.pieces
    assert (first.at, first.data) == (0.25, b"event: token\ndata: Hel\n\n")
    assert (second.at, second.data) == (0.5, b"data: one\nid: 1\ndata: two\n\n")


def test_a_multipart_form_gets_its_files_back() -> None:
    """The boundary is ours, the parts are the form's."""
    exchange = KeployFolder(CORPUS).set("test-set-0").case("put-file-1").exchange
    assert exchange is not None
    assert exchange.response is not None
    assert b'name="title"\r\n\r\nhello\r\n' in exchange.request.body
    assert b'filename="a.bin"' in exchange.request.body
    assert b"\r\n\r\nFILE\r\n" in exchange.request.body
    boundary = (header_value(exchange.request.headers, "content-type") or "").partition("=")[2]
    assert exchange.request.body.endswith(f"--{boundary}--\r\n".encode())
    assert exchange.response.body == b"\x89PNG\r\n\x1a\n"


def test_other_kinds_are_carried_through() -> None:
    """GRPC cases and the mocks of other protocols keep their documents."""
    test_set = KeployFolder(CORPUS).set("test-set-0")
    grpc = test_set.case("grpc-shop-Buy-1")
    assert (grpc.kind, grpc.exchange) == ("gRPC", None)
    http, dns, redis = test_set.mocks()
    assert [mock.kind for mock in (http, dns, redis)] == ["Http", "DNS", "Redis"]
    assert dns.exchange is None
    assert redis.exchange is None
    assert redis.document is not None


def test_a_mock_is_read_as_it_was_on_the_wire() -> None:
    """Forms are encoded, answers compressed again; noise and lifetime are told."""
    mock = KeployFolder(CORPUS).set("test-set-0").mocks()[0]
    assert mock.exchange is not None
    assert mock.exchange.response is not None
    assert mock.exchange.request.body == b"to=%2B1+2&text=a+b"
    assert gzip.decompress(mock.exchange.response.body) == b'{"ok": true}'
    assert mock.noise == {"req": ("body.at",), "value": (r"^\d+$",)}
    assert mock.lifetime == "once"


def test_mappings_are_read_in_each_of_their_forms() -> None:
    """Entries, a line of names, a list of names, a list of mappings, nothing."""
    assert KeployFolder(CORPUS).set("test-set-0").mappings() == {
        "post-todos-1": ("mock-0",),
        "a": ("mock-1", "mock-2"),
        "b": ("mock-1",),
        "c": ("mock-2",),
        "d": (),
    }


def test_settings_and_secrets_are_read() -> None:
    """The files of a set beside its cases."""
    test_set = KeployFolder(CORPUS).set("test-set-0")
    settings, secrets = test_set.settings(), test_set.secrets()
    assert settings is not None
    assert settings.tree == {"preScript": "", "postScript": "", "template": {"id": "7"}}
    assert secrets is not None
    assert secrets.tree == {"secret": {"token": "[redacted:token:1]"}}


def test_new_noise_changes_nothing_else(keploy: Path) -> None:
    """In a file of 2024, with its indent and without a head comment."""
    test_set = KeployFolder(keploy).set("old-2024")
    case = test_set.case("test-1")
    before = case.path.read_text()
    test_set.rewrite(case, noise={"header.Date": [], "body.id": ["^a$"]})
    after = case.path.read_text()
    added = "            body.id:\n                - ^a$\n"
    assert after == before.replace(
        "            header.Date: []\n", f"            header.Date: []\n{added}"
    )


def test_twins_in_json_are_read_and_preferred_on_request(keploy: Path) -> None:
    """One case a name: that of the configured format."""
    tests = keploy / "json-set" / "tests"
    (tests / "test-1.yaml").write_text((keploy / "old-2024/tests/test-1.yaml").read_text())
    expected: list[tuple[Format, int]] = [("json", 204), ("yaml", 200)]
    for wanted, status in expected:
        case = KeployFolder(keploy, format=wanted).set("json-set").case("test-1")
        assert case.exchange is not None
        assert case.exchange.response is not None
        assert case.exchange.response.status == status


def _broken(keploy: Path, name: str, old: str, new: str) -> str:
    """Change a case and read it; return the error."""
    path = keploy / "test-set-0/tests" / f"{name}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(FormatError) as caught:
        list(KeployFolder(keploy).set("test-set-0"))
    assert caught.value.path.endswith(f"{name}.yaml")
    return f"{caught.value.line}: {caught.value.message}"


def test_bad_fields_are_errors_with_file_and_line(keploy: Path) -> None:
    """A status that is text, a time that is none, a foreign version or kind."""
    name = "put-file-1"
    assert _broken(keploy, name, "status_code: 200", 'status_code: "200"').startswith(
        "25: spec.resp"
    )
    assert "unknown" not in _broken(keploy, name, 'status_code: "200"', "status_code: {}")
    assert "is not known" in _broken(keploy, name, "keploy.io/v1beta1", "keploy.io/v9")
    assert "no kind of test case" in _broken(keploy, "get-events-1", "kind: Http", "kind: Telnet")


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "test-set-0/../../x", "nothing.bin", "a\\0b", "link"],
)
def test_paths_that_leave_the_folder_are_refused(keploy: Path, path: str) -> None:
    """Whether by dots, from the root, or through a link."""
    (keploy / "link").symlink_to("/etc/passwd")
    message = _broken(keploy, "put-file-1", "test-set-0/assets/put-file-1/a.bin", f'"{path}"')
    assert "leads out of the folder" in message or "is not in" in message or "no path" in message


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "..", "", "reports", "x" * 300, "con", "a:b"]
)
def test_names_that_cannot_be_folders_are_refused(name: str) -> None:
    """The name of a set stays inside the folder."""
    with pytest.raises(OptionError):
        KeployFolder(CORPUS).set(name)


def test_two_cases_of_one_name_are_an_error(keploy: Path) -> None:
    """It names both files."""
    tests = keploy / "test-set-0/tests"
    shutil.copy(tests / "put-file-1.yaml", tests / "zzz.yaml")
    with pytest.raises(FormatError, match=r"zzz.yaml.*put-file-1.*put-file-1.yaml"):
        KeployFolder(keploy).set("test-set-0").case_names()


@pytest.mark.parametrize("keep", [0, 30, 200, 500, 560])
def test_a_file_that_was_cut_off_is_an_error_that_says_so(keploy: Path, keep: int) -> None:
    """Wherever it was cut."""
    path = keploy / "old-2024/tests/test-1.yaml"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError) as caught:
        list(KeployFolder(keploy).set("old-2024"))
    assert "test-1.yaml" in str(caught.value)


def test_gob_mocks_are_refused_with_what_to_do(keploy: Path) -> None:
    """Unless the same mocks stand beside them in YAML."""
    (keploy / "test-set-0/mocks.gob").write_bytes(b"\x1f\x8b")
    test_set = KeployFolder(keploy).set("test-set-0")
    assert len(test_set.mocks()) == 3
    assert "is ignored" in test_set.notices[0]
    (keploy / "test-set-0/mocks.yaml").unlink()
    with pytest.raises(FormatError, match="mockFormat: yaml"):
        KeployFolder(keploy).set("test-set-0").mocks()


def test_mocks_that_share_a_name_are_told_apart(keploy: Path) -> None:
    """Recordings of 2023 call every mock `mocks`."""
    path = keploy / "test-set-0/mocks.yaml"
    path.write_text(path.read_text().replace("name: mock-1", "name: mock-0"))
    names = [mock.name for mock in KeployFolder(keploy).set("test-set-0").mocks()]
    assert names == ["mock-0", "mock-0#2", "mock-2"]
