"""The settings that this package and Keploy share, and where they stand in `keploy.yml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, cast

from keploy_framework.config.edits import parse, set_value
from keploy_framework.errors import FormatError, OptionError

__all__ = ("AppConfig", "KeployConfig", "TestConfig", "create_default_config")

_HEAD = """\
# Configuration of Keploy and of keploy-framework. Every key is optional; Keploy's documents list
# them all. Keys that this package does not know, and comments, stay as they are.
"""
_SECTIONS = ("body", "header", "requestbody", "url")
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - addresses to listen on, not to call
_DEFAULT_PATH = "./keploy/tests"
_SWITCHES = (
    "ignoreOrdering",
    "compareAll",
    "schemaMatch",
    "disableAutoHeaderNoise",
    "autoPassHTTPResponseSchemaAddition",
)


@dataclass(slots=True)
class AppConfig:
    """The application under test.

    Attributes:
        command: How it is started; "" for one that runs already.
        port: The port it listens on; 0 if it is not known.
        host: The address it listens on.
    """

    command: str = ""
    port: int = 8000
    host: str = "0.0.0.0"  # noqa: S104 - what applications listen on in containers

    def __post_init__(self) -> None:
        port = cast("object", self.port)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:  # noqa: PLR2004 - ports
            raise OptionError(f"port must be a number from 0 to 65535, not {port!r:.60}")


@dataclass(slots=True)
class TestConfig:
    """How it is tested.

    Attributes:
        path: Where the test cases are; the `keploy` folder in it is what Keploy calls `path`.
        globalNoise: What replay ignores: `{"global": {"body": {"a.b": []}, "header": {...}},
            "test-sets": {"test-set-0": {...}}}`; an empty list ignores the field whatever it is,
            else only values that match one of the patterns are ignored.
        ignoreOrdering: Under Keploy's own rules: the elements of arrays may stand in any order.
        compareAll: Likewise: bodies that are no JSON are compared, too.
        schemaMatch: Likewise: only the keys and types of JSON count.
        disableAutoHeaderNoise: Likewise: times, and ids of requests and traces, in headers count.
        autoPassHTTPResponseSchemaAddition: Likewise: a body passes that has only gained fields.
    """

    __test__ = False

    path: str = _DEFAULT_PATH
    globalNoise: dict[str, Any] = field(default_factory=dict[str, Any])  # noqa: N815 - Keploy's name
    ignoreOrdering: bool = True  # noqa: N815 - as above, and so on
    compareAll: bool = False  # noqa: N815
    schemaMatch: bool = False  # noqa: N815
    disableAutoHeaderNoise: bool = False  # noqa: N815
    autoPassHTTPResponseSchemaAddition: bool = False  # noqa: N815


@dataclass(slots=True)
class KeployConfig:
    """What `keploy.yml` says.

    Saving writes the keys that Keploy itself reads (`appName`, `command`, `port`, `path`,
    `test.globalNoise`). Files in the older layout of this package (`name`, `app`, `test.path`) are
    read too, and saved as Keploy's.

    Args:
        name: The name of the application.
        app: The application under test.
        test: How it is tested.
        version: The version of the older layout; Keploy's file has none.

    >>> config = KeployConfig(name="shop", app=AppConfig(command="python app.py", port=8080))
    >>> config.add_noise_filter("header.Date")
    >>> config.add_noise_filter("created_at", scope="test-set-0")
    >>> config.test.globalNoise["global"]
    {'header': {'Date': []}}
    """

    name: str = ""
    app: AppConfig = field(default_factory=AppConfig)
    test: TestConfig = field(default_factory=TestConfig)
    version: str = "api.keploy.io/v1beta2"
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path | str = "keploy.yml") -> KeployConfig:
        """Read a file, of Keploy's layout or the older one of this package.

        Raises:
            FileNotFoundError: There is none.
            FormatError: It is no YAML, or a value in it is not what it has to be.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise FormatError("is not UTF-8", path=str(path)) from error
        tree = parse(text, str(path))
        app, test = _mapping(tree, "app", path), _mapping(tree, "test", path)
        folder = _text(tree, "path", path)
        own = f"{folder.rstrip('/') or '.'}/keploy/tests" if "path" in tree else _DEFAULT_PATH
        config = cls(
            name=_text(tree, "appName", path) or _text(tree, "name", path),
            app=AppConfig(
                command=_text(tree, "command", path) or _text(app, "command", path),
                port=_port(tree if "port" in tree else app, path),
                host=_text(app, "host", path) or _text(test, "host", path) or AppConfig().host,
            ),
            test=TestConfig(
                path=_text(test, "path", path) or own,
                globalNoise=_read_noise(_mapping(test, "globalNoise", path), path),
                **{name: _switch(test, name, path) for name in _SWITCHES},
            ),
        )
        if version := _text(tree, "version", path):
            config.version = version
        config._text = text
        return config

    @classmethod
    def create(
        cls, name: str, command: str, port: int = 8000, path: Path | str = "keploy.yml"
    ) -> KeployConfig:
        """Write a file for an application; see `create_default_config`."""
        target = Path(path)
        config = cls.load(target) if target.is_file() else cls()
        config.name = name
        config.app = AppConfig(command=command, port=port, host=config.app.host)
        if config._text is None:  # noqa: SLF001 - its own class
            config._text = set_value(_HEAD, ("disableTele",), value=True)  # noqa: SLF001 - as above
        config.save(target)
        return config

    def save(self, path: Path | str = "keploy.yml") -> None:
        """Write the file; what else stood in it when it was loaded stays.

        Raises:
            OptionError: The noise is not of the form that Keploy reads.
        """
        _check_noise(self.test.globalNoise)
        target = Path(path)
        text = self._text
        if text is None:
            text = target.read_text(encoding="utf-8") if target.is_file() else _HEAD
        old = parse(text, str(path))
        wanted: list[tuple[tuple[str, ...], object]] = [
            (("port",), self.app.port),
            (("command",), self.app.command),
            (("appName",), self.name),
            (("path",), _folder_of(self.test.path)),
        ]
        if self.app.host not in _EVERYWHERE:
            wanted.append((("test", "host"), self.app.host))
        stored = _mapping(old, "test", path)
        wanted += [
            (("test", name), getattr(self.test, name))
            for name in _SWITCHES
            if getattr(self.test, name) != _switch(stored, name, path)
        ]
        for keys, value in wanted:
            if _at(old, keys) != str(value):
                text = set_value(text, keys, value)
        text = self._with_noise(text, old, str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self._text = text

    def add_noise_filter(self, field: str, scope: str = "global") -> None:
        """Ignore a field in every comparison.

        Args:
            field: `body.<path>` or `header.<name>`; one without either is a path in the body.
            scope: "global", or the name of a test set.

        Raises:
            OptionError: The field or the scope is empty.
        """
        if not field.strip() or not scope.strip():
            raise OptionError("a noise filter needs the name of a field, and a scope")
        section, dot, rest = field.partition(".")
        if section not in _SECTIONS or not dot or not rest:
            section, rest = "body", field
        noise = self.test.globalNoise
        if scope != "global":
            noise = cast("dict[str, Any]", noise.setdefault("test-sets", {}))
        place = cast("dict[str, Any]", noise.setdefault(scope, {}))
        cast("dict[str, Any]", place.setdefault(section, {})).setdefault(rest, [])

    def _with_noise(self, text: str, old: dict[str, Any], path: str) -> str:
        """Write the noise: only new entries, where nothing was taken away or changed."""
        stored = _mapping(_mapping(old, "test", path), "globalNoise", path)
        before = dict(_leaves(_read_noise(stored, path)))
        after = dict(_leaves(self.test.globalNoise))
        lists = _holds_lists(stored)
        if before == after and not lists:
            return text
        if lists or any(after.get(keys) != value for keys, value in before.items()):
            return set_value(text, ("test", "globalNoise"), self.test.globalNoise)
        for keys, value in after.items():
            if keys not in before:
                text = set_value(text, ("test", "globalNoise", *keys), value)
        return text


def create_default_config(
    name: str, command: str, port: int = 8000, output_path: Path | str = "keploy.yml"
) -> KeployConfig:
    """Write a `keploy.yml` for an application, and return what it says.

    A file that is there already keeps its other keys and its comments.

    Args:
        name: The name of the application.
        command: How it is started.
        port: The port it listens on.
        output_path: Where the file goes.
    """
    return KeployConfig.create(name, command, port, output_path)


def _mapping(tree: dict[str, Any], name: str, path: object) -> dict[str, Any]:
    value = tree.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise FormatError(f"{name} has to be a mapping", path=str(path))
    return cast("dict[str, Any]", value)


def _text(tree: dict[str, Any], name: str, path: object) -> str:
    value = tree.get(name, "")
    if not isinstance(value, str):
        raise FormatError(f"{name} has to be text", path=str(path))
    return value


def _switch(tree: dict[str, Any], name: str, path: object) -> bool:
    text = _text(tree, name, path).lower()
    if text not in {"", "true", "false"}:
        raise FormatError(f"{name} has to be true or false, not {text[:60]!r}", path=str(path))
    default: bool = getattr(TestConfig(), name)
    return text == "true" if text else default


def _port(tree: dict[str, Any], path: object) -> int:
    text = _text(tree, "port", path)
    if not text:
        return AppConfig().port if "port" not in tree else 0
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - ports
        raise FormatError(
            f"port has to be a number from 0 to 65535, not {text[:60]!r}", path=str(path)
        )
    return int(text)


def _folder_of(path: str) -> str:
    """Return what Keploy calls `path`: the folder in which the `keploy` folder is."""
    parts = PurePosixPath(path).parts
    if parts[-1:] == ("tests",):
        parts = parts[:-1]
    if parts[-1:] == ("keploy",):
        parts = parts[:-1]
    folder = str(PurePosixPath(*parts))
    return "" if folder == "." else folder


def _read_noise(tree: dict[str, Any], path: object) -> dict[str, Any]:
    """Read noise; lists of fields, which the older layout wrote, become maps."""
    result: dict[str, Any] = {}
    for scope, value in tree.items():
        if scope == "test-sets":
            sets = {
                name: _sections(item, path) for name, item in _mapping(tree, scope, path).items()
            }
            if sets:
                result[scope] = sets
        elif sections := _sections(value, path):
            result[scope] = sections
    return result


def _sections(value: object, path: object) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if isinstance(value, list):
        value = {"body": cast("list[object]", value)}
    if not isinstance(value, dict):
        raise FormatError("globalNoise has to hold body and header", path=str(path))
    result: dict[str, Any] = {}
    for section, fields in cast("dict[str, Any]", value).items():
        if isinstance(fields, list):  # the older form
            result[section] = {str(name): [] for name in cast("list[object]", fields)}
        elif isinstance(fields, dict):
            result[section] = {
                name: list(cast("list[str]", patterns)) if isinstance(patterns, list) else []
                for name, patterns in cast("dict[str, Any]", fields).items()
            }
    return result


def _holds_lists(value: object, depth: int = 0) -> bool:
    """Say whether noise stands as lists of fields, which Keploy does not read."""
    if isinstance(value, list):
        return depth < 3  # noqa: PLR2004 - scope, section, field: deeper, lists are patterns
    if not isinstance(value, dict):
        return False
    pairs = cast("dict[str, object]", value).items()
    return any(_holds_lists(item, depth + (name != "test-sets")) for name, item in pairs)


def _leaves(tree: dict[str, Any]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return the paths of noise entries, and their patterns."""
    found: list[tuple[tuple[str, ...], list[str]]] = []
    for scope, value in tree.items():
        inner: dict[tuple[str, ...], Any] = {(scope,): value}
        if scope == "test-sets":
            inner = {(scope, name): item for name, item in value.items()}
        found += [
            ((*keys, section, name), patterns)
            for keys, sections in inner.items()
            for section, fields in sections.items()
            for name, patterns in fields.items()
        ]
    return found


def _check_noise(tree: dict[str, Any]) -> None:
    """Refuse noise that Keploy would not read."""
    try:
        shapes = _leaves(tree)
    except AttributeError:
        shapes = [(("?",), cast("list[str]", None))]
    if any(not isinstance(cast("object", patterns), list) for _, patterns in shapes):
        raise OptionError(
            "globalNoise has to be of the form {'global': {'body': {'field': []}}, 'test-sets': "
            "{'test-set-0': {'header': {'Date': []}}}}"
        )


def _at(tree: dict[str, Any], keys: tuple[str, ...]) -> object:
    """Return a value of a parsed file; None if it is not there."""
    value: object = tree
    for key in keys:
        value = cast("dict[str, object]", value).get(key) if isinstance(value, dict) else None
    return value
