"""Alerts fire when they should, and only then: Prometheus's own tool says so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tta_observability_integration.monitoring import read_file, write_files

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDE = Path(__file__).parents[4] / "docs" / "observability" / "README.md"
CASES = Path(__file__).parent / "monitoring" / "alerts_test.yml"


@pytest.fixture
def promtool(tmp_path: Path) -> Callable[..., str]:
    """Run promtool in a folder with the files; return what it said, with its verdict first."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool, of Prometheus, is not on the PATH")
    write_files(tmp_path)
    shutil.copy(CASES, tmp_path)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return f"{'passed' if done.returncode == 0 else 'failed'}\n{done.stdout}{done.stderr}"

    return run


def test_prometheus_takes_the_rules(promtool: Callable[..., str]) -> None:
    """As they are written."""
    said = promtool("check", "rules", "alerts.yml")

    assert said.startswith("passed"), said


@pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is not here: tested as a wheel")
def test_prometheus_takes_the_settings_of_the_guide(
    promtool: Callable[..., str], tmp_path: Path
) -> None:
    """With the rules in the folder that it names."""
    _, settings = GUIDE.read_text(encoding="utf-8").split("```yaml\n")
    (tmp_path / "prometheus.yml").write_text(settings.split("```")[0], encoding="utf-8")
    write_files(tmp_path / "monitoring")

    said = promtool("check", "config", "prometheus.yml")

    assert said.startswith("passed"), said
    assert "12 rules found" in said


def test_alerts_fire_when_they_should_and_not_at_low_traffic(
    promtool: Callable[..., str],
) -> None:
    """With the labels and texts that stand in the cases."""
    said = promtool("test", "rules", "alerts_test.yml")

    assert said.startswith("passed"), said


def test_an_alert_without_its_guard_for_low_traffic_is_found(
    promtool: Callable[..., str], tmp_path: Path
) -> None:
    """The cases can fail: each alert that has a guard is noticed without it."""
    rules = read_file("alerts.yml")
    (tmp_path / "alerts.yml").write_text(re.sub(r">= \d+", ">= 0", rules), encoding="utf-8")

    said = promtool("test", "rules", "alerts_test.yml")

    assert said.startswith("failed"), said
    guarded = [text.split("\n")[0] for text in rules.split("- alert: ")[1:] if ">= " in text]
    assert len(guarded) == 8
    assert [alert for alert in guarded if f"alertname: {alert}," not in said] == []


def test_every_alert_has_its_cases() -> None:
    """One that fires, and one that does not."""
    cases = CASES.read_text(encoding="utf-8")
    lines = [
        line.split(":")[1].strip()
        for line in read_file("alerts.yml").splitlines()
        if "alert:" in line
    ]

    assert lines
    for alert in lines:
        assert f"alertname: {alert} }}" in cases, f"{alert} is never quiet"
        assert f"alertname: {alert}\n        exp_alerts:" in cases, f"{alert} never fires"
