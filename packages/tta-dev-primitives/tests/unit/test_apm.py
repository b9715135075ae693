"""Finding plug-ins, the named base, the decorator with attributes, and `apm.yml`."""

import logging
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tta_dev_primitives
from tta_dev_primitives import apm, observability
from tta_dev_primitives.apm import setup
from tta_dev_primitives.apm.decorators import instrument
from tta_dev_primitives.apm.instrumented import InstrumentedPrimitive
from tta_dev_primitives.apm.setup import LoadedPlugin, loaded_plugins, setup_apm
from tta_dev_primitives.core import engine, frames
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.record import Record
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import ConfigurationError, MissingExtraError
from tta_dev_primitives.observability.tracing import collect_records

ROOT = Path(__file__).parents[2]


class Distribution:
    name = "acme-monitoring"
    version = "1.2.3"


class Point(EntryPoint):
    """An entry point as an installed distribution gives it, whose value is at hand."""

    value_at_hand: Callable[..., Any]
    dist = Distribution()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def load(self) -> Any:
        return self.value_at_hand


def point(name: str, value: Callable[..., Any]) -> Point:
    made = Point(name, "acme:start", setup.GROUP)
    vars(made)["value_at_hand"] = value
    return made


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make plug-ins look installed; without a call, none is."""
    found: list[Point] = []
    monkeypatch.setattr(setup, "entry_points", lambda *, group: [p for p in found if group])  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    monkeypatch.setattr(setup, "_loaded", {})

    def add(**plugins: Callable[..., Any]) -> None:
        found.extend(point(name, value) for name, value in plugins.items())

    return add


class Seen:
    """An observer that keeps paths."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def ended(self, record: Record, /) -> None:
        self.paths.append(record.path)


def test_without_a_plug_in_it_is_false_and_silent(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a debug line tells of it."""
    with caplog.at_level(logging.INFO):
        assert setup_apm("shop") is False
    assert caplog.records == []
    assert loaded_plugins() == ()


def test_strictly_a_missing_plug_in_is_an_error_that_names_the_extra(install: Install) -> None:
    """What to install stands in the message."""
    with pytest.raises(MissingExtraError, match=r"tta-dev-primitives\[apm\]"):
        setup_apm(strict=True)


def test_a_plug_in_is_started_with_the_options_and_listed(install: Install) -> None:
    """In the order of their names; service name only where one was given."""
    given: list[tuple[str, dict[str, object]]] = []

    def starter(name: str) -> Callable[..., bool]:
        def start(**options: object) -> bool:
            given.append((name, options))
            return True

        return start

    install(zeta=starter("zeta"), alpha=starter("alpha"))

    assert setup_apm("shop", prometheus_port=1) is True
    assert given == [
        ("alpha", {"prometheus_port": 1, "service_name": "shop"}),
        ("zeta", {"prometheus_port": 1, "service_name": "shop"}),
    ]
    assert loaded_plugins() == (
        LoadedPlugin(name="alpha", distribution="acme-monitoring", version="1.2.3"),
        LoadedPlugin(name="zeta", distribution="acme-monitoring", version="1.2.3"),
    )
    given.clear()
    setup_apm()
    assert given == [("alpha", {}), ("zeta", {})]


def broken(**options: object) -> bool:
    raise RuntimeError("port taken")


def test_a_broken_plug_in_is_one_warning_and_the_others_start(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the plug-in and its distribution."""
    install(bad=broken, good=lambda: True)
    with caplog.at_level(logging.WARNING):
        assert setup_apm() is True

    (record,) = caplog.records
    assert "'bad'" in record.getMessage()
    assert "acme-monitoring" in record.getMessage()
    assert [one.name for one in loaded_plugins()] == ["good"]


def test_with_only_a_broken_plug_in_it_is_false(install: Install) -> None:
    """The program goes on."""
    install(bad=broken)
    assert setup_apm() is False


def test_strictly_a_broken_plug_in_raises_what_it_raised(install: Install) -> None:
    """Or says that it did not start."""
    install(bad=broken)
    with pytest.raises(RuntimeError, match="port taken"):
        setup_apm(strict=True)


def test_a_plug_in_that_declines_is_not_listed(install: Install) -> None:
    """It has logged its own reason; strictly, that is an error."""
    install(tired=lambda: False)
    assert setup_apm() is False
    assert loaded_plugins() == ()
    with pytest.raises(ConfigurationError, match="'tired' of acme-monitoring did not start"):
        setup_apm(strict=True)


@pytest.mark.parametrize("value", ["bad", " bad , other", "*"])
def test_plug_ins_can_be_switched_off(
    value: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, several, or all; a disabled one is not even loaded."""
    monkeypatch.setenv("TTA_DISABLED_PLUGINS", value)
    install(bad=broken)
    assert setup_apm() is False


def test_explicit_observers_are_attached_without_looking_for_plug_ins(install: Install) -> None:
    """They hear of the next run, once each however often they are attached."""
    install(bad=broken)
    seen = Seen()

    assert setup_apm(observers=[seen]) is True
    assert setup_apm(observers=[seen], strict=True) is True
    Sequential([abs]).run(-1)

    assert seen.paths == ["sequential/abs", "sequential"]
    assert setup_apm(observers=[]) is False


def test_something_else_is_no_observer() -> None:
    """Nothing is attached if one of them is none."""
    before = engine.observers()
    with pytest.raises(ConfigurationError, match="int is no observer"):
        setup_apm(observers=[Seen(), 3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert engine.observers() == before


def test_options_beside_observers_are_refused() -> None:
    """Nobody would take them."""
    with pytest.raises(ConfigurationError, match="service_name, port"):
        setup_apm("shop", observers=[], port=1)


def test_a_primitive_of_the_named_base_takes_its_name_as_argument() -> None:
    """Else it has that of its class."""

    class Truncate(InstrumentedPrimitive[str, str]):
        async def _execute_impl(self, context: WorkflowContext, input_data: str) -> str:
            return input_data[:3]

    with collect_records() as records:
        assert (Truncate("teaser") >> Truncate()).run("abcdef") == "abc"
    assert [r.path for r in records][:2] == ["sequential/teaser", "sequential/truncate"]
    with pytest.raises(ConfigurationError):
        Truncate("a/b")


async def test_attributes_of_an_instrumented_function_are_on_every_record() -> None:
    """Whether it is called, or runs as a step; in time order before what it notes itself."""

    @instrument(name="lookup", attributes={"store": "fts5"})
    async def find(text: str) -> str:
        frames.annotate(found=1)
        return text

    @instrument
    def plain(text: str) -> str:
        return text

    with collect_records() as records:
        await find("a")
        await (find >> plain).execute("a")

    assert [dict(r.attributes) for r in records if r.name == "lookup"] == [
        {"store": "fts5", "found": 1}
    ] * 2
    assert {r.type for r in records} == {"operation", "sequential"}


def read_yaml(text: str) -> dict[str, Any]:
    """Read the part of YAML that `apm.yml` uses: keys, lists of words, one level of keys."""
    found: dict[str, Any] = {}
    key = ""
    for line in text.splitlines():
        bare = line.partition(" #")[0].rstrip()
        if not bare or bare.startswith("#"):
            continue
        if bare.startswith("  - "):
            found[key] = [*(found[key] or []), bare[4:]]
        elif bare.startswith("  "):
            name, _, value = bare.strip().partition(": ")
            found[key] = {**(found[key] or {}), name: value.strip('"')}
        else:
            key, _, value = bare.partition(":")
            found[key] = value.strip().strip('"') or None
    return found


def test_apm_yml_tells_of_the_package_as_it_is() -> None:
    """Name, version and description of pyproject, what is exported, and the entry points."""
    manifest = read_yaml((ROOT / "apm.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert (manifest["type"], manifest["category"]) == ("library", "development-tools")
    for key in ("name", "version", "description", "license"):
        assert manifest[key] == project[key], key
    assert manifest["python"] == project["requires-python"]
    assert manifest["extras"] == sorted(project["optional-dependencies"])
    assert manifest["entry_points"] == project["scripts"]
    assert manifest["exports"] == sorted(set(tta_dev_primitives.__all__) - {"__version__"})


@pytest.mark.parametrize("module", [apm, observability], ids=lambda module: module.__name__)
def test_every_listed_name_is_there(module: ModuleType) -> None:
    """`__all__` is a sorted tuple of names that exist; others are an error that says so."""
    assert isinstance(module.__all__, tuple)
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType, reportUnknownVariableType]
    assert set(module.__all__) <= set(dir(module))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        _ = module.no_such
