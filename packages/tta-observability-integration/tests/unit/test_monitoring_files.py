"""The files for Grafana and Prometheus: what they are, and how they are written to a folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tta_observability_integration.monitoring import FILES, read_file, write_files

DASHBOARDS = [name for name in FILES if name.endswith(".json")]
GUIDE = Path(__file__).parents[4] / "docs" / "observability"


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard."""
    return dict(json.loads(read_file(name)))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    module = "tta_observability_integration.monitoring"
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


# --- dashboards -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own(name: str) -> None:
    """Grafana links to panels by id."""
    ids = [panel["id"] for panel in dashboard(name)["panels"]]

    assert ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    """And stay within the 24 columns that there are."""
    places = [panel["gridPos"] for panel in dashboard(name)["panels"]]

    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_fits_every_installation(name: str) -> None:
    """It has no number of one, and its data source is chosen in it."""
    made = dashboard(name)

    assert made["id"] is None
    sources = re.findall(r'"type": "prometheus", "uid": "([^"]+)"', read_file(name))
    assert set(sources) == {"${datasource}"}
    assert made["templating"]["list"][0]["type"] == "datasource"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_has_a_unit_and_says_what_it_shows(name: str) -> None:
    """Rows are headings only."""
    for panel in dashboard(name)["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["targets"], panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_that_is_used_is_offered(name: str) -> None:
    """And every one that is offered is used."""
    offered = {variable["name"] for variable in dashboard(name)["templating"]["list"]}

    used = set(re.findall(r"\$\{?([a-z]\w*)", read_file(name)))

    assert used == offered


# --- the guide ------------------------------------------------------------------------------------


@pytest.mark.skipif(not GUIDE.is_dir(), reason="the guide is not here: tested as a wheel")
def test_every_alert_has_its_section_in_the_guide_and_no_section_is_left_over() -> None:
    """Its address is the name in small letters, to which the alert points."""
    alerts = re.findall(r"- alert: (\w+)", read_file("alerts.yml"))

    sections = re.findall(r"^## (TTA\w+)$", (GUIDE / "alerts.md").read_text(), re.MULTILINE)

    assert alerts
    assert sections == alerts


@pytest.mark.skipif(not GUIDE.is_dir(), reason="the guide is not here: tested as a wheel")
def test_every_row_of_a_dashboard_stands_in_the_guide() -> None:
    """Under the name that the dashboard shows."""
    guide = (GUIDE / "dashboards.md").read_text()

    for name in DASHBOARDS:
        for panel in dashboard(name)["panels"]:
            if panel["type"] == "row":
                assert f"| {panel['title']} |" in guide


# --- writing --------------------------------------------------------------------------------------


def test_all_that_lies_beside_the_code_is_offered() -> None:
    """Nothing is shipped that cannot be asked for."""
    assert list(FILES) == sorted(FILES)
    folder = Path(str(sys.modules[write_files.__module__].__file__)).parent
    assert {path.name for path in folder.iterdir() if path.suffix in {".json", ".yml"}} == set(
        FILES
    )


def test_the_files_are_written_as_they_are_shipped(tmp_path: Path) -> None:
    """Into a folder that is made."""
    folder = tmp_path / "new" / "monitoring"

    paths = write_files(folder)

    assert paths == [folder / name for name in FILES]
    assert [path.read_text(encoding="utf-8") for path in paths] == [read_file(n) for n in FILES]


def test_what_was_edited_is_not_replaced(tmp_path: Path) -> None:
    """Nothing is written then, not even what is missing."""
    (tmp_path / FILES[-1]).write_text("edited")

    with pytest.raises(FileExistsError, match=FILES[-1]):
        write_files(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [FILES[-1]]
    assert (tmp_path / FILES[-1]).read_text() == "edited"


def test_what_was_edited_is_replaced_when_asked_for(tmp_path: Path) -> None:
    """All of it."""
    (tmp_path / FILES[0]).write_text("edited")

    write_files(str(tmp_path), overwrite=True)

    assert (tmp_path / FILES[0]).read_text(encoding="utf-8") == read_file(FILES[0])


def test_a_file_that_is_not_there_is_named_with_those_that_are() -> None:
    """No path gets through."""
    with pytest.raises(ValueError, match=r"'\.\./names\.py'; there are agents\.json, alerts\.yml"):
        read_file("../names.py")


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_what_it_wrote(tmp_path: Path) -> None:
    """A path in a line."""
    done = command(str(tmp_path))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in FILES]


def test_the_command_refuses_to_replace_files_unless_forced(tmp_path: Path) -> None:
    """In one line that says how."""
    (tmp_path / "alerts.yml").write_text("edited")

    refused = command(str(tmp_path))
    forced = command(str(tmp_path), "--force")

    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(
        f"{str(tmp_path / 'alerts.yml')!r} is there already; nothing was written"
    )
    assert "--force" in line
    assert forced.returncode == 0


@pytest.mark.parametrize("beneath", ["", "/below", "/two\nlines"])
def test_a_folder_that_cannot_be_is_an_error_in_one_line(tmp_path: Path, beneath: str) -> None:
    """A file stands there, or on the way."""
    (tmp_path / "file").touch()
    folder = f"{tmp_path}/file{beneath}"

    done = command(folder)

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cannot write to {folder!r}: ")


def test_a_folder_without_a_name_is_not_the_present_one() -> None:
    """As where a shell variable is not set."""
    done = command("")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cannot write to '': no folder is named; '.' is the present one\n"


def test_a_wrong_call_is_an_error_that_shows_how(tmp_path: Path) -> None:
    """By argparse's rules."""
    for arguments in ((), (str(tmp_path), "--forced")):
        done = command(*arguments)
        assert done.returncode == 2
        assert "usage: python -m tta_observability_integration.monitoring" in done.stderr
