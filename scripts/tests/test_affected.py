"""A change is tested wherever it can be felt, and nowhere else."""

import json
from pathlib import Path

import pytest

from affected import affected, main
from workspace import CORE, Package


def package(name: str, *requires: str) -> Package:
    return Package(
        name=name,
        module=name.replace("-", "_"),
        version="1.0",
        folder=Path("packages", name),
        extras=(),
        requires=frozenset(requires),
        test_requirements=(),
    )


EVERY = (
    package(CORE, "tracer"),
    package("tracer", CORE),
    package("queue"),
    package("top", "queue"),
)


def test_a_package_is_affected_by_its_own_files() -> None:
    assert affected(["packages/top/src/top/a.py"], EVERY) == ["top"]


def test_those_that_need_a_package_are_affected_with_it() -> None:
    assert affected(["packages/queue/pyproject.toml"], EVERY) == ["queue", "top"]


def test_requirements_are_followed_through_others_and_around_a_cycle() -> None:
    far = (*EVERY, package("far", "top"))

    assert affected(["packages/queue/a.py"], far) == ["queue", "top", "far"]
    assert affected(["packages/tracer/a.py"], far) == [CORE, "tracer"]


@pytest.mark.parametrize("path", ["uv.lock", "pyproject.toml", "scripts/test", ".ci/run"])
def test_what_all_share_affects_all(path: str) -> None:
    assert affected([path], EVERY) == [package.name for package in EVERY]


def test_the_core_affects_all() -> None:
    changed = [f"packages/{CORE}/src/x.py"]

    assert affected(changed, EVERY) == [package.name for package in EVERY]


def test_a_folder_that_is_no_package_affects_all() -> None:
    assert affected(["packages/README.md"], EVERY) == [package.name for package in EVERY]


def test_documents_affect_no_package() -> None:
    assert affected(["docs/index.md", "README.md"], EVERY) == []


def test_the_output_is_a_step_output_of_the_real_packages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["uv.lock\n", "\n"]) == 0

    key, _, value = capsys.readouterr().out.strip().partition("=")
    assert key == "packages"
    assert json.loads(value)[0] == CORE
